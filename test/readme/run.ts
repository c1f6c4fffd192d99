/** Runs snippets as they are written, in the working directory, and fails where they do or where there is nothing to run. */
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import * as FileSystem from "@effect/platform/FileSystem"
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as Predicate from "effect/Predicate"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { App, BaseApp, type NodeModule, Tasks } from "effect-inferencesh"
import { NodeInference } from "effect-inferencesh/node"
import { startProcess } from "../support/startProcess.js"
import type { Snippet } from "./snippets.js"
import * as StandIns from "./standIns.js"

const root = fileURLToPath(new URL("../..", import.meta.url))

class Broken extends Data.TaggedError("Broken")<{ readonly message: string }> {}

// ---- Definitions --------------------------------------------------------------------------------------------------------

type Runnable = Effect.Effect<unknown, unknown, NodeInference.Services>

const isStream = (u: unknown): u is Stream.Stream<unknown, unknown, NodeInference.Services> =>
  Predicate.hasProperty(u, Stream.StreamTypeId)

const isEffect = (u: unknown): u is Runnable => Effect.isEffect(u)

const isNodeModule = (u: object): u is NodeModule.Any => Predicate.hasProperty(u, "App")

/** The entry file of a Node app: runs as the app that the platform would make of it. */
const runNodeModule = (module: NodeModule.Any): Runnable => {
  const app = BaseApp.fromNodeModule("acme/entry", module)
  return Effect.provide(Tasks.run("acme/entry", { input: { text: "hi" } }), NodeInference.layerLocal({ apps: [app] }))
}

/** Runs each Effect and Stream that a snippet defines, over the stand-ins unless it provides something itself. */
const runDefinitions = (snippet: Snippet) =>
  Effect.gen(function* () {
    const module: object = yield* Effect.promise(() => import(/* @vite-ignore */ snippet.id))
    const runs = Object.values(module).flatMap(
      (value): ReadonlyArray<Runnable> => (isEffect(value) ? [value] : isStream(value) ? [Stream.runDrain(value)] : [])
    )
    if (isNodeModule(module)) runs.push(runNodeModule(module))
    if (runs.length === 0) return yield* new Broken({ message: "it defines nothing that can be run" })
    yield* Effect.forEach(runs, (run) => run, { discard: true })
  }).pipe(Effect.provide(NodeInference.layerLocal({ apps: StandIns.apps, agents: StandIns.agents })))

// ---- Programs -----------------------------------------------------------------------------------------------------------

const Echo = App.make("acme/echo", { input: { text: Schema.String }, output: { text: Schema.String } })

/** Calls a server that a snippet has started. */
const call = (baseUrl: string) =>
  Tasks.run(Echo, { input: { text: "hi" } }).pipe(
    Effect.provide(NodeInference.layer({ apiKey: Redacted.make("secret"), baseUrl }))
  )

/** Runs a program in a process of its own. One that serves must say where, is called if it is a `LocalServer`, and is asked to end. */
const runProgram = (snippet: Snippet, env: Readonly<Record<string, string>>) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const directory = yield* fs.makeTempDirectoryScoped()
    yield* fs.copy(".", directory)
    yield* fs.symlink(join(root, "node_modules"), join(directory, "node_modules"))
    yield* fs.writeFileString(join(directory, "package.json"), JSON.stringify({ type: "module" }))
    yield* fs.writeFileString(join(directory, "program.ts"), snippet.text)
    const { child, ended, printed } = yield* startProcess(["program.ts"], {
      cwd: directory,
      env: { ...process.env, ...env, TSX_TSCONFIG_PATH: join(root, "tsconfig.json") }
    })
    if (snippet.text.includes("Layer.launch(")) {
      const [url] = yield* printed(/http:\/\/127\.0\.0\.1:\d+/)
      if (snippet.text.includes("LocalServer.layer(")) yield* call(url)
      child.kill("SIGTERM")
    }
    const { code, stdout, stderr } = yield* ended
    if (code !== 0) return yield* new Broken({ message: `it ended with ${code}\n${stdout}${stderr}` })
  }).pipe(Effect.scoped)

/** Fails if anything is logged as a warning or worse: that of a handler that died, for one. */
const withoutWarnings = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.suspend(() => {
    const warnings: Array<string> = []
    const logger = Logger.map(Logger.logfmtLogger, (line) => void warnings.push(line)).pipe(
      Logger.filterLogLevel(LogLevel.greaterThanEqual(LogLevel.Warning))
    )
    return Effect.zipRight(
      Effect.provide(effect, Logger.replace(Logger.defaultLogger, logger)),
      Effect.suspend(() => (warnings.length === 0 ? Effect.void : new Broken({ message: warnings.join("\n") })))
    )
  })

/** `env` is what programs and `Config`s see. */
export const run = (snippet: Snippet, env: Readonly<Record<string, string>>) =>
  (snippet.kind === "program" ? runProgram(snippet, env) : runDefinitions(snippet)).pipe(
    withoutWarnings,
    Effect.withConfigProvider(ConfigProvider.fromMap(new Map(Object.entries(env)))),
    Effect.provide(NodeContext.layer)
  )
