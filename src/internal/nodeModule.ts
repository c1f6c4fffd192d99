/** An app as a module for the platform's Node runtime. Here Effects become promises: protocol.md §12.2. */
import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as Cause from "effect/Cause"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as ExecutionStrategy from "effect/ExecutionStrategy"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberSet from "effect/FiberSet"
import type * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as App from "../App.js"
import type { Instance } from "../BaseApp.js"
import * as File from "../File.js"
import { AppFailed, type FileError, InvalidRequest } from "../InferenceError.js"
import type { NodeRun, NodeSchema } from "../NodeModule.js"
import { failed } from "./appFailed.js"
import { safeName } from "./downloadTo.js"
import { fromPlatformError } from "./failure.js"
import * as Run from "./nodeRun.js"
import * as Schemas from "./nodeSchema.js"
import { outputJson } from "./outputJson.js"

interface Options<R, E> {
  readonly app: App.Any
  readonly start: (config: unknown) => Effect.Effect<Instance, AppFailed, R | Scope.Scope>
  readonly layer: Layer.Layer<R | FileSystem.FileSystem | Path.Path, E>
}

/** An instance, and what its runs need. */
interface Loaded {
  readonly scope: Scope.CloseableScope
  readonly run: (name: string, input: unknown) => NodeRun<unknown>
  /** Interrupts the runs, and does not wait for them. */
  readonly cancel: Effect.Effect<void>
}

/** Files on this machine under their absolute paths. What is in memory is written down, and stays until the scope closes. */
const makeLocal = (app: string) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const writeDown = (file: File.File, scope: Scope.Scope): Effect.Effect<File.File, FileError> =>
      Effect.gen(function* () {
        const name = safeName(file.filename ?? "file")
        const failed = (error: Parameters<typeof fromPlatformError>[0]) => fromPlatformError(error, name, "Write")
        const directory = yield* Effect.mapError(fs.makeTempDirectoryScoped({ prefix: "inferencesh-" }), failed)
        const target = path.join(directory, name)
        yield* Effect.catchTags(
          Stream.run(Stream.provideService(File.localStream(file), FileSystem.FileSystem, fs), fs.sink(target)),
          { BadArgument: (error) => Effect.fail(failed(error)), SystemError: (error) => Effect.fail(failed(error)) }
        )
        return File.fromPath(target, { contentType: file.contentType, filename: file.filename })
      }).pipe(Scope.extend(scope))

    const local = (file: File.File, scope: Scope.Scope): Effect.Effect<unknown, FileError> =>
      File.isRemote(file)
        ? Effect.succeed(file.uri)
        : (file[File.TypeId]._tag === "Path" ? Effect.succeed(file) : writeDown(file, scope)).pipe(
            Effect.flatMap(File.refreshMetadata),
            Effect.map((file) => Schemas.toLocal({ ...file, path: path.resolve(file.path ?? "") })),
            Effect.provideService(FileSystem.FileSystem, fs)
          )

    // A file that stays the same in each partial output is written once.
    return (scope: Scope.Scope) => {
      const known = new WeakMap<File.File, unknown>()
      return (output: unknown) =>
        outputJson(app, output, (file) =>
          file[File.TypeId]._tag !== "Path" && known.has(file)
            ? Effect.succeed(known.get(file))
            : Effect.tap(local(file, scope), (json) => Effect.sync(() => known.set(file, json)))
        )
    }
  })

/**
 * Scopes for the files of runs. The engine reads them when a run is over, and does not say when it has: they go once as many runs have
 * ended after it as ever went on at a time, and another begins.
 */
const makeRunScopes = Effect.gen(function* () {
  const all = yield* Scope.fork(yield* Effect.scope, ExecutionStrategy.sequential)
  const ended: Array<Scope.CloseableScope> = []
  let running = 0
  let most = 0
  const remove = Effect.suspend(() =>
    Effect.forEach(
      ended.splice(0, Math.max(0, ended.length - most)),
      (scope) =>
        Effect.catchAllCause(Scope.close(scope, Exit.void), (cause) =>
          Effect.logWarning("files of an earlier run could not be removed", cause)
        ),
      { discard: true }
    )
  )
  return Effect.acquireRelease(
    remove.pipe(
      Effect.zipRight(Scope.fork(all, ExecutionStrategy.sequential)),
      Effect.tap(() =>
        Effect.sync(() => {
          running++
          most = Math.max(most, running)
        })
      )
    ),
    (scope) =>
      Effect.sync(() => {
        running--
        ended.push(scope)
      })
  )
})

const cancelled = (app: string) => new AppFailed({ app, phase: "run", detail: "the run was cancelled" })

const load = <R>(
  { app, start }: Pick<Options<R, never>, "app" | "start">,
  config: unknown,
  scope: Scope.CloseableScope
): Effect.Effect<Loaded, AppFailed, R | FileSystem.FileSystem | Path.Path> =>
  Effect.gen(function* () {
    const instance = yield* start(config)
    const toOutput = yield* makeLocal(app.name)
    const runScope = yield* makeRunScopes
    // Closed first: no run outlives what it runs on.
    const fibers = yield* FiberSet.make<void, unknown>()
    const fork = yield* FiberSet.runtime(fibers)()
    let cancels = 0
    const run: Loaded["run"] = (name, input) => {
      const cancelsBefore = cancels
      const schema = App.signature(app, name)?.input
      const isHosted = typeof input === "object" && input !== null && Schemas.hosted.has(input)
      const given = schema === undefined || isHosted ? input : Schemas.withLocalFiles(schema, input ?? {})
      const outputs = Stream.unwrapScoped(
        Effect.map(runScope, (scope) =>
          Stream.mapEffect(
            instance.runEncoded(given, { function: name, log: (line) => Console.log(line) }),
            toOutput(scope)
          )
        )
      )
      return Run.make({
        // It starts when it is awaited, and may be cancelled before.
        outputs: Stream.suspend(() => (cancels === cancelsBefore ? outputs : Stream.fail(cancelled(app.name)))),
        fork,
        reason: ({ cause }) => (Cause.isInterruptedOnly(cause) ? cancelled(app.name) : failed(app, "output")(cause))
      })
    }
    const cancel = Effect.flatMap(Effect.fiberId, (id) => {
      cancels++
      return Effect.forEach(Array.from(fibers), (fiber) => Fiber.interruptAsFork(fiber, id), { discard: true })
    })
    return { scope, run, cancel }
  }).pipe(Scope.extend(scope))

/** What is behind one object of the class `App`. */
const makeHost = <R, E>({ app, start, layer }: Options<R, E>) => {
  const one = Effect.unsafeMakeSemaphore(1).withPermits(1)
  let runtime: ManagedRuntime.ManagedRuntime<R | FileSystem.FileSystem | Path.Path, E> | undefined
  let loaded: Loaded | undefined

  const close = Effect.suspend(() => {
    const { scope } = loaded ?? {}
    loaded = undefined
    return scope === undefined ? Effect.void : Scope.close(scope, Exit.void)
  })
  const inUnload = Effect.catchAllCause((cause: Cause.Cause<unknown>) => Effect.fail(failed(app, "unload")(cause)))
  const dispose = Effect.suspend(() => {
    const disposed = runtime
    runtime = undefined
    return disposed === undefined ? Effect.void : disposed.disposeEffect
  })

  const setup = (config: unknown) =>
    Effect.gen(function* () {
      yield* inUnload(close)
      runtime ??= ManagedRuntime.make(layer)
      const scope = yield* Scope.make()
      loaded = yield* load({ app, start }, config, scope).pipe(
        Effect.provide(runtime),
        Effect.onError(() => Effect.zipRight(Scope.close(scope, Exit.void), dispose)),
        Effect.catchAllCause((cause) => Effect.fail(failed(app, "setup")(cause)))
      )
    }).pipe(one)

  const unload = Effect.ensuring(close, dispose).pipe(inUnload, one)

  const run = (name: string, input: unknown): NodeRun<unknown> => {
    if (loaded !== undefined) return loaded.run(name, input)
    const error = new AppFailed({ app: app.name, phase: "setup", detail: "it is not set up: call setup before a run" })
    return Run.make({ outputs: Stream.fail(error), fork: Effect.runFork, reason: () => error })
  }

  const cancel = Effect.suspend(() => loaded?.cancel ?? Effect.void)

  return { setup, unload, run, cancel }
}

/** Rejects with the failure itself. */
const promise = async <A, E>(effect: Effect.Effect<A, E>): Promise<A> =>
  Either.getOrThrowWith(await Effect.runPromise(Effect.either(effect)), (error) => error)

export const reserved = new Set(["constructor", "setup", "unload", "onCancel", "context", "then"])

export const pascalCase = (name: string) =>
  name
    .split("_")
    .map((word) => word.slice(0, 1).toUpperCase() + word.slice(1))
    .join("")

/** What keeps the platform from finding a function under its name. */
const problem = (name: string, names: ReadonlyArray<string>): string | undefined => {
  if (!/^[a-z][a-z0-9_]*$/i.test(name)) return "the name of a function for Node is made of letters, digits and _"
  if (reserved.has(name)) return `${name} has a meaning of its own on Node: name the function otherwise`
  const other = names.find((other) => other !== name && pascalCase(other) === pascalCase(name))
  return other === undefined ? undefined : `its schemas would have the same names as those of ${other}`
}

export const make = <R, E>(options: Options<R, E>): { readonly [name: string]: unknown } => {
  const { app } = options
  const names = Object.keys(app.functions)
  const issues = names.flatMap((name) => {
    const message = problem(name, names)
    return message === undefined ? [] : [{ path: ["functions", name], message }]
  })
  if (issues.length > 0) throw new InvalidRequest({ app: app.name, issues })

  class NodeApp {
    context = { cancelRequested: false }
    readonly #host = makeHost(options)
    static {
      for (const name of names) {
        // A method as if written here: with its name, one parameter, and not enumerable.
        const methods = {
          [name](this: NodeApp, input: unknown) {
            this.context.cancelRequested = false
            return this.#host.run(name, input)
          }
        }
        Object.defineProperty(NodeApp.prototype, name, { value: methods[name], writable: true, configurable: true })
      }
    }
    setup(config?: unknown): Promise<void> {
      return promise(this.#host.setup(config))
    }
    unload(): Promise<void> {
      return promise(this.#host.unload)
    }
    async onCancel(): Promise<boolean> {
      this.context.cancelRequested = true
      await promise(this.#host.cancel)
      return true
    }
  }
  Object.defineProperty(NodeApp, "name", { value: "App" })

  const schemas: ReadonlyArray<readonly [string, NodeSchema<unknown>]> = Object.entries(app.functions).flatMap(
    ([name, { input, output }]) => [
      [`${pascalCase(name)}Input`, Schemas.make(app.name, ["functions", name, "input"], input)],
      [`${pascalCase(name)}Output`, Schemas.make(app.name, ["functions", name, "output"], output)]
    ]
  )
  return {
    App: NodeApp,
    ...(App.hasSetup(app) && { AppSetup: Schemas.make(app.name, ["setup"], app.setup) }),
    ...Object.fromEntries(schemas)
  }
}
