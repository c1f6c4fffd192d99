/** Finds what a user's module has to serve. */
import { createRequire } from "node:module"
import { basename, dirname, resolve } from "node:path"
import { pathToFileURL } from "node:url"
import * as FileSystem from "@effect/platform/FileSystem"
import type * as HttpClient from "@effect/platform/HttpClient"
import type * as Path from "@effect/platform/Path"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as AgentConfig from "../../AgentConfig.js"
import type * as App from "../../App.js"
import * as BaseApp from "../../BaseApp.js"
import { InvalidRequest } from "../../InferenceError.js"
import type * as NodeModule from "../../NodeModule.js"
import { messageOf } from "../failure.js"
import { isJsonObject, type Json } from "../wire.js"

/** Why a module cannot be served, in a sentence or two. */
export class BadModule extends Data.TaggedError("BadModule")<{ readonly message: string }> {}

/** What apps find in their surroundings, whatever their module's own layer adds. */
export type Surroundings = FileSystem.FileSystem | Path.Path | HttpClient.HttpClient

export interface Loaded {
  readonly apps: ReadonlyArray<BaseApp.BaseApp<App.Any, Surroundings>>
  readonly agents: { readonly [ref: string]: AgentConfig.Any }
  readonly layer: Layer.Layer<never, unknown, Surroundings>
}

const isTypeScript = (file: string): boolean => /\.[cm]?tsx?$/.test(file)

/** Lets Node load TypeScript by `tsx`, as `node --import tsx` does, where that is installed beside the module or in the working directory. */
const withTsx = (file: string): Effect.Effect<void> =>
  Effect.firstSuccessOf(
    [file, resolve("package.json")].map((from) =>
      Effect.tryPromise(() => import(pathToFileURL(createRequire(from).resolve("tsx")).href))
    )
  ).pipe(Effect.ignore)

const load = (file: string): Effect.Effect<Json, BadModule> =>
  Effect.tryPromise({
    try: (): Promise<Json> => import(pathToFileURL(file).href),
    catch: (error) =>
      new BadModule({
        message:
          isJsonObject(error) && error.code === "ERR_UNKNOWN_FILE_EXTENSION" && isTypeScript(file)
            ? `${file} is TypeScript, which this Node does not load by itself: npm install -D tsx.`
            : `${file} does not load: ${messageOf(error)}`
      })
  })

// Nothing at run time tells what an app needs: one that needs more than it finds fails its tasks with the name of the service.
const isApp = (u: unknown): u is Loaded["apps"][number] => BaseApp.isBaseApp(u)

/** The apps among the exports: each that is one, and those in lists. A default export that is also named counts once. */
const appsOf = (module: Json): Loaded["apps"] => Array.from(new Set(Object.values(module).flat())).filter(isApp)

// Their configurations are checked when they are served.
const isAgents = (u: unknown): u is Loaded["agents"] => isJsonObject(u) && Object.values(u).every(isJsonObject)

const isNodeModule = (module: Json): module is Json & NodeModule.Any => typeof module.App === "function"

/** What the platform knows a Node app by: what its `inf.yml` says, or the folder that it is in. */
const nameOf = (file: string): Effect.Effect<string, never, FileSystem.FileSystem> =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const text = yield* Effect.orElseSucceed(fs.readFileString(resolve(dirname(file), "inf.yml")), () => "")
    const field = (key: string) => new RegExp(`^${key}:\\s*["']?([\\w.-]+)`, "m").exec(text)?.[1]
    return `${field("namespace") ?? "local"}/${field("name") ?? basename(dirname(file))}`
  })

/** In the words of whoever serves it: no request was made. */
const reason = (error: unknown): string =>
  error instanceof InvalidRequest ? error.issues.map(({ message }) => message).join("; ") : messageOf(error)

/** The apps in a module of either kind. */
const found = (file: string, module: Json, outputDirectories: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const apps = appsOf(module)
    if (apps.length > 0 || !isNodeModule(module)) return apps
    const name = yield* nameOf(file)
    return yield* Effect.try({
      try: () => [BaseApp.fromNodeModule(name, module, { outputDirectories })],
      catch: (error) => new BadModule({ message: `${file} cannot be served: ${reason(error)}` })
    })
  })

const isLayer = (u: unknown): u is Loaded["layer"] => Layer.isLayer(u)

export const loadModule = (
  path: string,
  outputDirectories: ReadonlyArray<string>
): Effect.Effect<Loaded, BadModule, FileSystem.FileSystem> =>
  Effect.gen(function* () {
    const file = resolve(path)
    const fs = yield* FileSystem.FileSystem
    const info = yield* Effect.option(fs.stat(file))
    if (Option.isNone(info)) return yield* new BadModule({ message: `There is no file ${file}.` })
    if (info.value.type !== "File")
      return yield* new BadModule({ message: `${file} is no file: name the module in it.` })
    if (isTypeScript(file)) yield* withTsx(file)
    const module = yield* load(file)
    const apps = yield* found(file, module, outputDirectories)
    if (apps.length === 0) {
      const names = Object.keys(module)
      const found = names.length === 0 ? "nothing" : names.join(", ")
      return yield* new BadModule({
        message: `${file} exports no app: export a BaseApp, a list of them, or the App of a Node app. It exports ${found}.`
      })
    }
    if (module.agents !== undefined && !isAgents(module.agents)) {
      const message = `${file} exports agents that are no record of references and their configurations.`
      return yield* new BadModule({ message })
    }
    return {
      apps,
      agents: isAgents(module.agents) ? module.agents : {},
      layer: isLayer(module.layer) ? module.layer : Layer.empty
    }
  })
