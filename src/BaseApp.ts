/**
 * Writing an app: its contract made to run. `setup` loads what every run needs, once per instance and in the instance's
 * scope; `run` answers one input; `unload` undoes `setup`.
 *
 * @module
 * @since 0.1.0
 */
import type * as FileSystem from "@effect/platform/FileSystem"
import type * as Path from "@effect/platform/Path"
import * as EffectContext from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import { identity } from "effect/Function"
import type * as Layer from "effect/Layer"
import * as ParseResult from "effect/ParseResult"
import * as Predicate from "effect/Predicate"
import * as Record from "effect/Record"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Tracer from "effect/Tracer"
import * as App from "./App.js"
import type * as File from "./File.js"
import { AppFailed, type FileError, type InvalidRequest } from "./InferenceError.js"
import { failed, misfit } from "./internal/appFailed.js"
import { messageOf } from "./internal/failure.js"
import * as HeldFiles from "./internal/heldFiles.js"
import { jsonSchemaOf } from "./internal/jsonSchema.js"
import * as LocalFiles from "./internal/localFiles.js"
import * as NodeHost from "./internal/nodeHost.js"
import * as Node from "./internal/nodeModule.js"
import { scopedPermit } from "./internal/permit.js"
import { mapFiles } from "./internal/server/mapFiles.js"
import * as Telemetry from "./internal/telemetry.js"
import type * as NodeModule from "./NodeModule.js"
import { Attribute } from "./Telemetry.js"

/**
 * The mark of a {@link BaseApp}.
 *
 * @since 0.1.0
 * @category type ids
 */
export const TypeId: unique symbol = Symbol.for("effect-inferencesh/BaseApp")

/**
 * The mark of a {@link BaseApp}.
 *
 * @since 0.1.0
 * @category type ids
 */
export type TypeId = typeof TypeId

/**
 * What a handler gives back: an Effect of the output, or a Stream of outputs. Each value of a stream is the output so far,
 * in full, and replaces the one before; the last is the result.
 *
 * @since 0.1.0
 * @category models
 */
export type Returned<Out, E = unknown, R = unknown> = Effect.Effect<Out, E, R> | Stream.Stream<Out, E, R>

/**
 * The code behind one function of an app. Being cancelled is being interrupted: finalizers run as anywhere in Effect.
 *
 * @since 0.1.0
 * @category models
 */
export type Handler<A extends App.Any, Name extends App.FunctionName<A>, State> = (
  input: App.DecodedInput<A, Name>,
  state: State
) => Returned<App.Output<A, Name>>

/**
 * The code of an app: one handler where the app has one function, or a record of a handler for each.
 *
 * @since 0.1.0
 * @category models
 */
export type Handlers<A extends App.Any, State> =
  | Handler<A, App.DefaultFunction<A>, State>
  | { readonly [Name in App.FunctionName<A>]: Handler<A, Name, State> }

/**
 * What the handlers of an app need, other than what the host provides.
 *
 * @since 0.1.0
 * @category types
 */
export type HandlersContext<H> = H extends (...args: ReadonlyArray<never>) => infer Result
  ? Result extends Returned<unknown, unknown, infer R>
    ? R
    : never
  : { readonly [Name in keyof H]: HandlersContext<H[Name]> }[keyof H]

/**
 * What a run can find out about itself, and where it writes its log. The host provides it to every handler.
 *
 * @since 0.1.0
 * @category services
 */
export interface Service {
  /** The id of the task that this run is for. */
  readonly taskId: string
  /** The session that the task belongs to, if any. */
  readonly sessionId: string | undefined
  /** Adds a line to the task's log. `Effect.log` reaches it too. */
  readonly log: (line: string) => Effect.Effect<void>
  /** What else the host knows of the run: the app, the function. */
  readonly metadata: { readonly [key: string]: unknown }
  /**
   * A file on the disk of this machine, for programs that take paths. One at an address is fetched, once, and of one that the host
   * holds there is a copy, which the app may change or remove; they are there until the run ends. Fails with `FileError`, also where the app was started without a `FileSystem`, a `Path` and an `HttpClient`.
   */
  readonly localFile: (file: File.File) => Effect.Effect<File.Local, FileError>
}

/**
 * The service inside of `run`: the ids of the task and its session, and its log.
 *
 * @example
 * ```ts
 * import { Effect, Schema } from "effect"
 * import { App, BaseApp } from "effect-inferencesh"
 *
 * const Echo = App.make("acme/echo", { input: { text: Schema.String }, output: { text: Schema.String } })
 *
 * const echo = BaseApp.make(Echo, {
 *   run: ({ text }) =>
 *     Effect.gen(function* () {
 *       const context = yield* BaseApp.Context
 *       yield* context.log(`task ${context.taskId} says ${text}`)
 *       return { text }
 *     })
 * })
 * ```
 * @since 0.1.0
 * @category services
 */
export class Context extends EffectContext.Tag("effect-inferencesh/BaseApp/Context")<Context, Service>() {}

/**
 * An app that can be hosted: a contract with the code behind it. `R` is what the code needs from its host's surroundings.
 *
 * @since 0.1.0
 * @category models
 */
export interface BaseApp<out A extends App.Any = App.Any, out R = unknown> {
  readonly [TypeId]: TypeId
  readonly app: A
  /** How many runs one instance takes at a time. */
  readonly concurrency: number
  /** @internal */
  readonly open: (setup: unknown) => Effect.Effect<Invoke, AppFailed, R | Scope.Scope>
}

/** An output, and whether it is known to be the last: an Effect has only one. */
interface Part {
  readonly value: unknown
  readonly last: boolean
}

/** Runs one function on decoded input. */
interface Invoke {
  (name: string, input: unknown, copied: HeldFiles.HeldFiles["copied"]): Stream.Stream<Part, AppFailed, Context>
  /** Whether something still goes on that could not be stopped. */
  readonly isStuck?: () => boolean
}

/**
 * Any app that can be hosted.
 *
 * @since 0.1.0
 * @category models
 */
export interface Any extends BaseApp<App.Any, unknown> {}

/**
 * What an app, or any of several, needs from its host's surroundings.
 *
 * @since 0.1.0
 * @category types
 */
export type Requirements<B extends Any> = B extends BaseApp<App.Any, infer R> ? R : never

/**
 * How to run: which function, and what the {@link Context} of the run says.
 *
 * @since 0.1.0
 * @category models
 */
export interface RunOptions<Name extends string = string> extends Partial<Service> {
  /** The function to run, unless it is the default one. */
  readonly function?: Name
  /** Tells where the bytes of a file in the input are, for a host that holds them itself. */
  readonly resolveFile?: (file: File.File) => File.File
}

/**
 * A started app: setup has run. It is unloaded when the scope closes in which it was started.
 *
 * @since 0.1.0
 * @category models
 */
export interface Instance<out A extends App.Any = App.Any> {
  readonly app: A
  /**
   * Runs a function on decoded input, in which fields with a default may be left out. Emits partial outputs and, last, the
   * output. Fails with `AppFailed` in the phase `input`, `run` or `output`. Interrupt it to cancel.
   */
  run<Name extends App.FunctionName<A> = App.DefaultFunction<A>>(
    input: App.Input<A, Name>,
    options?: RunOptions<Name>
  ): Stream.Stream<App.Output<A, Name>, AppFailed>
  /**
   * The same on the wire form: decodes the input and encodes each output by the contract's schemas. A file that is not at
   * an address that others can fetch stays a `File` in the output.
   */
  runEncoded(input: unknown, options?: RunOptions): Stream.Stream<unknown, AppFailed>
  /** @internal */
  runParts(input: unknown, options?: RunOptions): Stream.Stream<Part, AppFailed>
  /** @internal */
  isStuck(): boolean
}

/**
 * The same type, but not inferred from where the app is used: hosts take apps that need anything. The union of a `NoInfer` would not be
 * that of its members.
 *
 * @since 0.1.0
 * @category types
 */
export type Known<R> = [R] extends [infer Same] ? Same : never

// A schema with fields has a constructor, which fills in the defaults that a caller may leave out.
const construct = (
  schema: Schema.Schema.AnyNoContext,
  value: unknown
): Either.Either<unknown, ParseResult.ParseError> =>
  Predicate.hasProperty(schema, "make") && Predicate.isFunction(schema.make)
    ? Either.try({
        try: () => Predicate.isFunction(schema.make) && schema.make(value),
        catch: (error) => (ParseResult.isParseError(error) ? error : unconstructed(schema, error))
      })
    : Schema.validateEither(schema, { errors: "all" })(value)

const unconstructed = (schema: Schema.Schema.AnyNoContext, error: unknown) =>
  ParseResult.parseError(new ParseResult.Type(schema.ast, undefined, messageOf(error)))

/**
 * Puts code behind a contract.
 *
 * `setup` runs once per instance, on the decoded setup parameters; what it acquires in its scope is released, and `unload`
 * runs, when the instance goes. `run` is the handler, or a record with a handler for each function. A failure or a defect
 * in any of them fails the task, never the host.
 *
 * @example
 * ```ts
 * import { Effect, Schema, Stream } from "effect"
 * import { App, BaseApp } from "effect-inferencesh"
 *
 * const Count = App.make("acme/count", {
 *   input: { to: Schema.Int },
 *   output: { count: Schema.Int },
 *   setup: { step: Schema.optionalWith(Schema.Int, { default: () => 1 }) }
 * })
 *
 * const count = BaseApp.make(Count, {
 *   setup: ({ step }) => Effect.succeed({ step }),
 *   run: ({ to }, { step }) =>
 *     Stream.range(1, to).pipe(
 *       Stream.map((n) => ({ count: n * step })),
 *       Stream.tap(() => Effect.sleep("1 second"))
 *     )
 * })
 * ```
 * @since 0.1.0
 * @category constructors
 */
export const make = <
  const A extends App.Any,
  State = void,
  SetupR = never,
  UnloadR = never,
  // Left to the call: it holds the requirements of each handler, which one R could not.
  H = unknown
>(
  app: A,
  options: {
    readonly setup?: (config: Schema.Schema.Type<A["setup"]>) => Effect.Effect<State, unknown, SetupR>
    readonly run: H & Handlers<A, NoInfer<State>>
    readonly unload?: (state: NoInfer<State>) => Effect.Effect<void, never, UnloadR>
    readonly concurrency?: number
  }
): BaseApp<
  A,
  Exclude<Known<SetupR>, Scope.Scope> | Known<UnloadR> | Exclude<HandlersContext<H>, Context | Scope.Scope>
> => {
  type R = Exclude<Known<SetupR>, Scope.Scope> | Known<UnloadR> | Exclude<HandlersContext<H>, Context | Scope.Scope>
  const setup = options.setup as ((config: unknown) => Effect.Effect<State, unknown, R | Scope.Scope>) | undefined
  const unload = options.unload as ((state: unknown) => Effect.Effect<void, never, R>) | undefined
  // The contract's schemas guard what comes in and goes out, so in between the handlers' types can be forgotten.
  const handler = (name: string) =>
    (typeof options.run === "function"
      ? options.run
      : Object.entries(options.run).find(([key]) => key === name)?.[1]) as
      | ((input: unknown, state: unknown) => Returned<unknown, unknown, R | Context | Scope.Scope>)
      | undefined

  const open = (config: unknown): Effect.Effect<Invoke, AppFailed, R | Scope.Scope> =>
    Effect.gen(function* () {
      const context = yield* Effect.context<R>()
      const state = yield* Effect.suspend(
        (): Effect.Effect<unknown, unknown, R | Scope.Scope> => (setup === undefined ? Effect.void : setup(config))
      ).pipe(Effect.catchAllCause((cause) => Effect.fail(failed(app, "setup")(cause))))
      yield* Effect.addFinalizer(() =>
        Effect.catchAllCause(
          Effect.suspend(() => (unload === undefined ? Effect.void : unload(state))),
          (cause) =>
            Effect.annotateLogs(
              Effect.logWarning("unload failed", failed(app, "unload")(cause)),
              Attribute.app,
              app.name
            )
        )
      )
      return (name, input) => {
        const handle = handler(name)
        if (handle === undefined) return Stream.fail(noFunction(app, name))
        const outputs = Stream.unwrapScopedWith((scope) =>
          Effect.sync(() => {
            const returned = handle(input, state)
            const stream = Effect.isEffect(returned)
              ? Stream.fromEffect(Effect.map(returned, (value): Part => ({ value, last: true })))
              : Stream.map(returned, (value): Part => ({ value, last: false }))
            return Stream.mapInputContext(stream, (own: EffectContext.Context<Context>) =>
              EffectContext.merge(own, context).pipe(
                EffectContext.add(Context, EffectContext.get(own, Context)),
                EffectContext.add(Scope.Scope, scope),
                // That of the run, and not that of setup.
                EffectContext.merge(EffectContext.pick(Tracer.ParentSpan)(own))
              )
            )
          })
        )
        return Stream.catchAllCause(outputs, (cause) => Stream.fail(failed(app, "run")(cause)))
      }
    })

  return { [TypeId]: TypeId, app, concurrency: Math.max(1, Math.floor(options.concurrency ?? 1)), open }
}

const noFunction = (app: App.Any, name: string) =>
  new AppFailed({ app: app.name, phase: "input", detail: `there is no function "${name}"` })

/**
 * A JSON Schema.
 *
 * @since 0.1.0
 * @category models
 */
export interface JsonSchema {
  readonly [keyword: string]: unknown
}

/**
 * The JSON Schemas of an app: those of its default function as `input` and `output`, those of `setup` where it has such
 * parameters, and those of each function by its name.
 *
 * @since 0.1.0
 * @category models
 */
export interface JsonSchemas {
  readonly input: JsonSchema
  readonly output: JsonSchema
  readonly setup?: JsonSchema
  readonly functions: { readonly [name: string]: { readonly input: JsonSchema; readonly output: JsonSchema } }
}

/**
 * The JSON Schemas of an app or of a contract, in the form in which apps are published: of what is on the wire, fields in
 * the order of their definition, with titles, descriptions, defaults and limits; fields that may be left out are not
 * `required`; a file is a string of the format `file`; named schemas are written out where they are used.
 *
 * Fails with `InvalidRequest` where a schema has no JSON Schema, such as one of a value that is no JSON: annotate it with
 * `jsonSchema`.
 *
 * @example
 * ```ts
 * import { Effect, Schema } from "effect"
 * import { App, BaseApp, File } from "effect-inferencesh"
 *
 * const Upscale = App.make("acme/upscaler", {
 *   input: {
 *     image: File.image.annotations({ title: "Image", description: "What to enlarge" }),
 *     scale: Schema.optionalWith(Schema.Int.pipe(Schema.between(2, 8)), { default: () => 2 })
 *   },
 *   output: { image: File.image }
 * })
 *
 * const program = Effect.gen(function* () {
 *   const { input, functions } = yield* BaseApp.jsonSchemas(Upscale)
 *   // input.required: ["image"]; input.properties.scale: { type: "integer", minimum: 2, maximum: 8, default: 2 }
 *   yield* Effect.log(input, functions)
 * })
 * ```
 * @since 0.1.0
 * @category getters
 */
export const jsonSchemas = (self: Any | App.Any): Effect.Effect<JsonSchemas, InvalidRequest> => {
  const app = App.isApp(self) ? self : self.app
  return Effect.gen(function* () {
    const functions = yield* Effect.all(
      Record.map(app.functions, ({ input, output }, name) =>
        Effect.all({
          input: jsonSchemaOf(["functions", name, "input"], input),
          output: jsonSchemaOf(["functions", name, "output"], output)
        })
      )
    )
    const setup = App.hasSetup(app) ? { setup: yield* jsonSchemaOf(["setup"], app.setup) } : {}
    const own = functions[App.defaultFunction(app)]
    return { input: own?.input ?? {}, output: own?.output ?? {}, ...setup, functions }
  })
}

/**
 * The app as a module for the platform's Node runtime: what its entry file `inference.js` exports.
 *
 * Each object of the class `App` owns what it opens: `setup` builds the layer and starts the app, a second `setup` unloads
 * the first, `unload` closes both. `onCancel` interrupts the runs. The methods take inputs as the engine gives them, files
 * as URLs or as `{ uri }`, and also those on the same machine as `{ path }`, which the platform's own `File` takes too. They
 * give files as `{ path, content_type, size, filename }`; files in memory are written to a temporary directory for each run.
 * Nothing tells when the engine has read them: the directory goes when the run after next begins, later where runs overlap, or
 * at `unload`. The lines of `Context.log` go to the console, which the platform keeps as the logs of the task.
 *
 * The platform's runtime is not public. It is known that schemas are read as zod's: that the input is validated and its
 * defaults filled in before a call, and that fields are found by the `_def` of zod. `NodeModule.NodeSchema` answers to both and
 * tells its JSON Schema by any known way, but a runtime that asks for more of zod than that, such as `instanceof`, would
 * refuse it. What of a run reaches an app (ids of the task and its session) is not known either: there the {@link Context}
 * says `local`.
 *
 * Throws `InvalidRequest` where a function cannot have its name on Node, or a schema has no JSON Schema.
 *
 * @example
 * ```ts
 * import * as NodeContext from "@effect/platform-node/NodeContext"
 * import { Effect, Schema } from "effect"
 * import { App as Contract, BaseApp } from "effect-inferencesh"
 *
 * const Shout = Contract.make("acme/shout", { input: { text: Schema.String }, output: { text: Schema.String } })
 * const shout = BaseApp.make(Shout, { run: ({ text }) => Effect.succeed({ text: text.toUpperCase() }) })
 *
 * export const { App, RunInput, RunOutput } = BaseApp.toNodeModule(shout, NodeContext.layer)
 * ```
 * @since 0.1.0
 * @category Node apps
 */
export const toNodeModule = <A extends App.Any, R, E>(
  self: BaseApp<A, R>,
  layer: Layer.Layer<NoInfer<R> | FileSystem.FileSystem | Path.Path, E>
): NodeModule.NodeModule<A> =>
  // Each name that the type holds is made from the same functions.
  Node.make({
    app: self.app,
    start: (config) => startEncoded(self, config),
    layer
  }) as unknown as NodeModule.NodeModule<A>

/**
 * Hosts a module that was written for the platform's Node runtime, with zod and the platform's own `File`, as it is.
 *
 * Its functions are the public methods of its class `App` for which it exports both schemas, and it is set up, called,
 * cancelled and unloaded as the platform does it: inputs are validated and completed by its schemas; each value of a
 * generator replaces the output; where a run is interrupted, `this.context.cancelRequested` is set for that run, `onCancel` is
 * called, and the function has `cancelTimeout` (default 30 seconds) to return before it is left to itself, and no run given to its
 * instance any more, which a server unloads and replaces; `unload` is called once
 * for each `setup` that got through. `setup` is interrupted as a run is, and `unload` has as much time: one that takes longer
 * is left to itself, and a warning logged. Should such a `setup` get through later, `unload` is called then. Outputs are not
 * validated, as on the platform. Files are URLs in inputs; those that the host holds itself are paths of copies that last as long
 * as the run, which the platform's `File` takes as well, except in fields whose schema insists on an address. In outputs, these
 * paths are the URLs again, but for a `File` that the app has written to.
 *
 * Files in outputs are objects of the platform's `File`, and plain objects of nothing but fields of it, as `{ path }`. They are
 * read from this machine, unless the caller has given the very path. So that nobody can have any file read by its name, they
 * must be (links followed) in the directory for temporary files, the platform's file cache (`$FILE_CACHE_DIR`, or
 * `~/.cache/inferencesh/files`) or storage (`/app/data`, `/app/tmp`, `/app/cache`), or one of `outputDirectories`, and in no
 * directory of the server that hosts it, unless the host itself has given them to the run. Where a `File` is elsewhere, the run
 * fails in the phase `output`; a plain object is just data then, as is one whose `path` is that of no file, or whose `uri` is none
 * of `http(s):` and `data:`. The instance needs a `FileSystem` and a `Path` in its context for this, as `LocalServer` gives them.
 * But since the platform's `File` takes a path for an address, an app that opens what it is given can be made to open any file of
 * this machine: serve it to no one who may not read them.
 *
 * Runs fail with `AppFailed` in the phase `input`, which names the fields, `run` with the message of what was thrown, or
 * `output`. The JSON Schemas are those that zod offers (since 4.2), and allow anything before. Functions that talk over a socket are
 * left out. What the module writes to the console stays there: it cannot be told which run it belongs to.
 *
 * Throws `InvalidRequest` where the module holds no functions.
 *
 * @example
 * ```ts
 * import { BaseApp, LocalServer } from "effect-inferencesh"
 * import { z } from "zod"
 *
 * // In place of: import * as Shout from "./shout/inference.js"
 * const Shout = {
 *   RunInput: z.object({ text: z.string(), times: z.number().int().default(1) }),
 *   RunOutput: z.object({ text: z.string() }),
 *   App: class {
 *     async run(input: { readonly text: string; readonly times: number }) {
 *       return { text: input.text.toUpperCase().repeat(input.times) }
 *     }
 *   }
 * }
 *
 * const server = LocalServer.layerHttpClient({ apps: [BaseApp.fromNodeModule("acme/shout", Shout)] })
 * ```
 * @since 0.1.0
 * @category Node apps
 */
export const fromNodeModule = <const M extends NodeModule.Any>(
  name: string,
  module: M,
  options: {
    readonly cancelTimeout?: Duration.DurationInput
    readonly outputDirectories?: ReadonlyArray<string>
  } = {}
): BaseApp<NodeModule.Contract<M>, never> => {
  const { cancelTimeout = "30 seconds", outputDirectories = [] } = options
  const { app, open } = NodeHost.make(name, Object.fromEntries(Object.entries(module)), {
    cancelTimeout,
    outputDirectories
  })
  // The functions are found by the rules that the type follows.
  return { [TypeId]: TypeId, app: app as NodeModule.Contract<M>, concurrency: 1, open }
}

/**
 * Whether a value is an app that can be hosted.
 *
 * @since 0.1.0
 * @category guards
 */
export const isBaseApp = (u: unknown): u is Any => Predicate.hasProperty(u, TypeId)

/**
 * Starts an instance: runs setup, in the surrounding scope. Closing that scope runs unload and the finalizers of setup.
 *
 * Fails with `AppFailed` in the phase `setup`, where the parameters do not fit or setup itself fails.
 *
 * @example
 * ```ts
 * import { Effect, Schema, Stream } from "effect"
 * import { App, BaseApp } from "effect-inferencesh"
 *
 * const Echo = App.make("acme/echo", { input: { text: Schema.String }, output: { text: Schema.String } })
 * const echo = BaseApp.make(Echo, { run: Effect.succeed })
 *
 * const program = Effect.gen(function* () {
 *   const instance = yield* BaseApp.start(echo)
 *   return yield* Stream.runLast(instance.run({ text: "hello" }))
 * }).pipe(Effect.scoped)
 * ```
 * @since 0.1.0
 * @category running
 */
export const start = <A extends App.Any, R>(
  self: BaseApp<A, R>,
  config?: App.Setup<A>
): Effect.Effect<Instance<A>, AppFailed, R | Scope.Scope> =>
  Effect.flatMap(
    Either.mapLeft(
      construct(self.app.setup, config === undefined ? emptySetup(self.app) : config),
      misfit(self.app, "setup")
    ),
    (decoded) => instance(self, decoded)
  )

/** Starts an instance on setup parameters in their wire form. @internal */
export const startEncoded = <A extends App.Any, R>(
  self: BaseApp<A, R>,
  config: unknown
): Effect.Effect<Instance<A>, AppFailed, R | Scope.Scope> =>
  Effect.flatMap(
    Effect.mapError(
      Schema.decodeUnknown(self.app.setup, { errors: "all" })(config ?? emptySetup(self.app)),
      misfit(self.app, "setup")
    ),
    (decoded) => instance(self, decoded)
  )

/** What no setup stands for: no parameters, where the contract has some. @internal */
export const emptySetup = (app: App.Any): unknown => (Predicate.hasProperty(app.setup, "fields") ? {} : undefined)

const instance = <A extends App.Any, R>(
  self: BaseApp<A, R>,
  config: unknown
): Effect.Effect<Instance<A>, AppFailed, R | Scope.Scope> =>
  Effect.gen(function* () {
    const { app } = self
    const invoke = yield* Telemetry.span("BaseApp.start", { [Attribute.app]: app.name })(self.open(config))
    const semaphore = yield* Effect.makeSemaphore(self.concurrency)
    const permit = scopedPermit(semaphore)
    const makeLocalFiles = yield* LocalFiles.make
    const makeHeldFiles = yield* HeldFiles.make

    const run = (
      options: RunOptions,
      read: (schema: Schema.Schema.AnyNoContext) => Effect.Effect<unknown, ParseResult.ParseError>,
      write: (schema: Schema.Schema.AnyNoContext) => (value: unknown) => Effect.Effect<unknown, ParseResult.ParseError>
    ): Stream.Stream<Part, AppFailed> => {
      const name = options.function ?? App.defaultFunction(app)
      const signature = app.functions[name]
      if (signature === undefined) return Stream.fail(noFunction(app, name))
      const outputs = Effect.gen(function* () {
        const input = yield* Effect.mapError(read(signature.input), misfit(app, "input"))
        yield* permit
        const files = yield* makeLocalFiles
        let empty = true
        const held = yield* makeHeldFiles(options.resolveFile ?? identity)
        const here = mapFiles(input, (file) => files.lazily(held.resolve(file)))
        return invoke(name, here, held.copied).pipe(
          Stream.provideService(Context, {
            taskId: options.taskId ?? "local",
            sessionId: options.sessionId,
            log: options.log ?? Effect.logInfo,
            metadata: options.metadata ?? { app: app.name, function: name },
            localFile: options.localFile ?? ((file) => Effect.flatMap(held.copied(file), files.localFile))
          }),
          Stream.mapEffect(({ value, last }) => {
            empty = false
            return Effect.mapBoth(write(signature.output)(value), {
              onSuccess: (written): Part => ({ value: written, last }),
              onFailure: misfit(app, "output")
            })
          }),
          Stream.concat(
            Stream.suspend(() =>
              empty
                ? Stream.fail(
                    new AppFailed({ app: app.name, phase: "output", detail: "the stream ended without an output" })
                  )
                : Stream.empty
            )
          )
        )
      })
      return Stream.unwrapScoped(outputs).pipe(
        Telemetry.streamSpan("BaseApp.run", {
          [Attribute.app]: app.name,
          [Attribute.function]: name,
          [Attribute.taskId]: options.taskId,
          [Attribute.sessionId]: options.sessionId
        })
      )
    }

    const runParts = (input: unknown, options: RunOptions = {}) =>
      run(
        options,
        (schema) => Schema.decodeUnknown(schema, { errors: "all" })(input),
        (schema) => Schema.encodeUnknown(schema, { errors: "all" })
      )

    return {
      app,
      run: (input, options = {}) =>
        Stream.map(
          run(
            options,
            (schema) => construct(schema, input),
            (schema) => Schema.validate(schema, { errors: "all" })
          ),
          (part) => part.value
        ),
      runEncoded: (input, options) => Stream.map(runParts(input, options), (part) => part.value),
      runParts,
      isStuck: () => invoke.isStuck?.() ?? false
    } satisfies Instance as Instance<A>
  })
