/** A Node app of the platform, hosted as it is: protocol.md §12.2. Its promises become Effects here. */
import * as FileSystem from "@effect/platform/FileSystem"
import type * as Cause from "effect/Cause"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as App from "../App.js"
import type * as File from "../File.js"
import { AppFailed, InvalidRequest, type Issue } from "../InferenceError.js"
import { Attribute } from "../Telemetry.js"
import { failed } from "./appFailed.js"
import { messageOf } from "./failure.js"
import { fileVersion } from "./fileVersion.js"
import type { HeldFiles } from "./heldFiles.js"
import { makeOutput, replaceAt, withPaths } from "./nodeFiles.js"
import { pascalCase, reserved } from "./nodeModule.js"
import {
  checked,
  complete,
  completed,
  isMethod,
  isZod,
  jsonSchemaOf,
  parse,
  withJsonSchema,
  type Zod
} from "./nodeZod.js"
import * as OutputDirectories from "./outputDirectories.js"
import * as RunContext from "./runContext.js"
import { dotted } from "./server/issues.js"
import { mapFiles } from "./server/mapFiles.js"
import { isJsonObject, type Json } from "./wire.js"

// ---- Calls ----------------------------------------------------------------------------------------------------------

/** One thing that an app is asked to do, and may be asked to stop. */
interface Turn {
  readonly context: RunContext.RunContext
  /** Goes on with what was called. */
  readonly enter: <A>(f: () => A) => A
  /** Once it is over. */
  readonly leave: () => void
  readonly call: (name: string, ...args: ReadonlyArray<unknown>) => unknown
}

const isAsyncIterable = (u: unknown): u is AsyncIterable<unknown> => Predicate.hasProperty(u, Symbol.asyncIterator)

/** Waits for something of which only the end counts. */
const settled = (promise: PromiseLike<unknown> | undefined): Effect.Effect<void> =>
  Effect.promise(async () => {
    try {
      await promise
    } catch {
      // Whoever is interrupted does not look at it.
    }
  })

/** For finalizers: they cannot be interrupted, and neither could what takes too long. */
const within =
  <B, E2>(duration: Duration.DurationInput, onTimeout: Effect.Effect<B, E2>) =>
  <A, E>(effect: Effect.Effect<A, E>): Effect.Effect<A | B, E | E2> =>
    effect.pipe(
      Effect.interruptible,
      Effect.timeoutTo({ duration, onSuccess: (value) => Effect.succeed<A | B>(value), onTimeout: () => onTimeout }),
      Effect.flatten
    )

const tellToStop = ({ call, context }: Turn): Effect.Effect<void> =>
  Effect.suspend(() => {
    context.cancelRequested = true
    return settled(Promise.resolve().then(() => call("onCancel")))
  })

/**
 * Sets a module up, until the scope closes. A promise cannot be stopped: one that does not end soon after an interruption is left to
 * itself, and should it get through later, the module is unloaded then.
 */
const setUp = (
  turn: Turn,
  config: unknown,
  unload: Effect.Effect<void>,
  cancelTimeout: Duration.DurationInput
): Effect.Effect<void, unknown, Scope.Scope> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.suspend(() => {
      const setup = (async () => turn.call("setup", config))().finally(turn.leave)
      // Whoever is interrupted before it waits for it does not hear of its failure.
      setup.catch(() => {})
      const ended = Effect.tryPromise({ try: () => setup, catch: (error) => error })
      const giveUp = Effect.suspend(() => {
        setup.then(() => turn.call("unload")).catch(() => {})
        const warning = "setup was interrupted and did not return in time: it is left to itself"
        return Effect.as(Effect.logWarning(warning), Effect.void)
      })
      return restore(ended).pipe(
        Effect.onInterrupt(() =>
          tellToStop(turn).pipe(
            Effect.zipRight(Effect.match(ended, { onSuccess: () => unload, onFailure: () => Effect.void })),
            within(cancelTimeout, giveUp),
            Effect.flatten
          )
        ),
        Effect.zipRight(Effect.addFinalizer(() => unload))
      )
    })
  )

/** Runs a function. Where the scope closes before it is over, it is told to stop and has a while for that. */
const runMethod = (
  turn: Turn,
  name: string,
  input: unknown,
  { cancelTimeout, onStuck }: { readonly cancelTimeout: Duration.DurationInput; readonly onStuck: () => void }
): Effect.Effect<Stream.Stream<{ readonly value: unknown; readonly last: boolean }, unknown>, unknown, Scope.Scope> =>
  Effect.gen(function* () {
    let pending: PromiseLike<unknown> | undefined
    let iterator: AsyncIterator<unknown> | undefined
    let isOver = false

    const stop = Effect.suspend(() => {
      if (isOver) return Effect.sync(turn.leave)
      const warning = `"${name}" was cancelled and did not return in time: it is left to itself`
      return tellToStop(turn).pipe(
        Effect.zipRight(settled(pending)),
        Effect.zipRight(Effect.suspend(() => settled(turn.enter(() => iterator?.return?.())))),
        within(cancelTimeout, Effect.zipRight(Effect.sync(onStuck), Effect.logWarning(warning)))
      )
    })
    const follow = <A>(begin: () => PromiseLike<A>) =>
      Effect.tryPromise({
        try: () => {
          const promise = begin()
          pending = promise
          return promise
        },
        catch: (error) => {
          isOver = true
          return error
        }
      })

    yield* Effect.addFinalizer(() => stop)
    const result = yield* Effect.try({
      try: () => {
        const result = turn.call(name, input)
        // It may reject before it is waited for.
        if (result instanceof Promise) result.catch(() => {})
        return result
      },
      catch: (error) => {
        isOver = true
        return error
      }
    })
    if (!isAsyncIterable(result)) {
      const value = follow(async () => result)
      return Stream.fromEffect(
        Effect.map(value, (value) => {
          isOver = true
          return { value, last: true }
        })
      )
    }
    const values = result[Symbol.asyncIterator]()
    iterator = values
    return Stream.repeatEffectOption(
      Effect.mapError(
        follow(async () => turn.enter(() => values.next())),
        Option.some
      ).pipe(
        Effect.flatMap((next) => {
          if (!next.done) return Effect.succeed({ value: next.value, last: false })
          isOver = true
          return Effect.fail(Option.none())
        })
      )
    )
  })

// ---- The app --------------------------------------------------------------------------------------------------------

interface NodeFunction {
  readonly input: Zod
  readonly output: Zod
}

/** The functions of a module, by the platform's rules. One with a second parameter talks over a socket, which there is none of here. */
const functionsOf = (module: Json): { readonly [name: string]: NodeFunction } => {
  const { App: constructor } = module
  const prototypes: Array<Json> = []
  for (
    let prototype: unknown = isMethod(constructor) ? constructor.prototype : undefined;
    isJsonObject(prototype) && prototype !== Object.prototype;
    prototype = Object.getPrototypeOf(prototype)
  ) {
    prototypes.unshift(prototype)
  }
  const methods = prototypes.flatMap((prototype) => Object.entries(Object.getOwnPropertyDescriptors(prototype)))
  return Object.fromEntries(
    methods.flatMap(([name, { value }]): ReadonlyArray<readonly [string, NodeFunction]> => {
      const input = module[`${pascalCase(name)}Input`]
      const output = module[`${pascalCase(name)}Output`]
      const isPublic = isMethod(value) && value.length < 2 && !reserved.has(name) && !name.startsWith("_")
      return isPublic && isZod(input) && isZod(output) ? [[name, { input, output }]] : []
    })
  )
}

interface Invoke {
  (
    name: string,
    input: unknown,
    copied: HeldFiles["copied"]
  ): Stream.Stream<{ readonly value: unknown; readonly last: boolean }, AppFailed>
  readonly isStuck: () => boolean
}

type Open = (config: unknown) => Effect.Effect<Invoke, AppFailed, Scope.Scope>

export interface Options {
  readonly cancelTimeout: Duration.DurationInput
  readonly outputDirectories: ReadonlyArray<string>
}

export const make = (
  name: string,
  module: Json,
  { cancelTimeout, outputDirectories }: Options
): { readonly app: App.Any; readonly open: Open } => {
  const functions = functionsOf(module)
  if (Object.keys(functions).length === 0) {
    const message =
      "it exports no class App with a function, as RunInput and RunOutput for a method run; fields of the class, as run = async () => …, are none"
    throw new InvalidRequest({ app: name, issues: [{ path: ["module"], message }] })
  }
  const { AppSetup } = module
  const app = App.make(name, {
    functions: Object.fromEntries(
      Object.entries(functions).map(([name, { input, output }]) => [
        name,
        { input: checked(input), output: withJsonSchema(Schema.Unknown, jsonSchemaOf(output)) }
      ])
    ),
    ...(isZod(AppSetup) && { setup: completed(AppSetup) })
  })

  const misfit = (phase: AppFailed["phase"], issues: ReadonlyArray<Issue>) =>
    new AppFailed({
      app: name,
      phase,
      detail: dotted(issues)
    })

  const parsed = (phase: "setup" | "input", schema: Zod, value: unknown) =>
    Effect.flatMap(parse(schema, value), (result) =>
      "value" in result ? Effect.succeed(result.value) : Effect.fail(misfit(phase, result.issues))
    )

  /** A schema may insist on addresses, in some fields or in all. */
  const parsedInput = (schema: Zod, withPaths: unknown, addressed: unknown) =>
    Effect.gen(function* () {
      const result = yield* parse(schema, withPaths)
      if ("value" in result) return result.value
      const mixed = result.issues.reduce((value, { path }) => replaceAt(value, addressed, path), withPaths)
      return yield* Effect.orElse(parsed("input", schema, mixed), () => parsed("input", schema, addressed))
    })

  const create = Effect.try({
    try: () => {
      const instance: object = isMethod(module.App) ? Reflect.construct(module.App, []) : {}
      const contexts = RunContext.install(instance)
      return (): Turn => {
        const context = { cancelRequested: false }
        const enter: Turn["enter"] = (f) => contexts.enter(context, f)
        const leave = () => contexts.leave(context)
        const call: Turn["call"] = (name, ...args) =>
          enter(() => {
            const method: unknown = Reflect.get(instance, name)
            return isMethod(method) ? Reflect.apply(method, instance, args) : undefined
          })
        return { context, enter, leave, call }
      }
    },
    catch: (error) => error
  })

  const open: Open = (given) =>
    Effect.gen(function* () {
      const isParsed = isJsonObject(given) && complete.has(given)
      const config = isZod(AppSetup) && !isParsed ? yield* parsed("setup", AppSetup, given ?? {}) : (given ?? {})
      const inPhase = (phase: AppFailed["phase"]) =>
        Effect.catchAllCause((cause: Cause.Cause<unknown>) => Effect.fail(failed(app, phase)(cause)))
      const fs = yield* Effect.serviceOption(FileSystem.FileSystem)
      const versionOf = (file: File.File) =>
        fs.pipe(
          Effect.flatMap((fs) => Effect.provideService(fileVersion(file), FileSystem.FileSystem, fs)),
          Effect.orElseSucceed(() => undefined)
        )
      const refuse = yield* OutputDirectories.make(outputDirectories)
      const makeTurn = yield* inPhase("setup")(create)
      const unload = Effect.tryPromise({ try: async () => makeTurn().call("unload"), catch: (error) => error }).pipe(
        within(cancelTimeout, Effect.logWarning("unload did not return in time: it is left to itself")),
        Effect.asVoid,
        Effect.catchAllCause((cause) => Effect.logWarning("unload failed", failed(app, "unload")(cause))),
        Effect.annotateLogs(Attribute.app, name)
      )
      yield* inPhase("setup")(setUp(makeTurn(), config, unload, cancelTimeout))
      let isStuck = false
      const onStuck = () => {
        isStuck = true
      }
      const invoke = (name: string, input: unknown, copied: HeldFiles["copied"]) => {
        const fn = functions[name]
        if (fn === undefined)
          return Stream.fail(misfit("input", [{ path: [], message: `there is no function "${name}"` }]))
        const outputs = Effect.gen(function* () {
          const { input: withFiles, files } = yield* withPaths(fn.input, input ?? {}, copied)
          const given = new Map(
            yield* Effect.forEach(files, (file) =>
              Effect.map(versionOf(file), (version) => [file.path ?? "", { file, version }] as const)
            )
          )
          const addressed = mapFiles(input ?? {}, (file) => file.uri)
          const value = yield* parsedInput(fn.input, withFiles, addressed)
          const stream = yield* runMethod(makeTurn(), name, value, { cancelTimeout, onStuck })
          const toOutput = makeOutput({ input, given, versionOf, refuse: (path) => refuse(path, given) })
          return Stream.mapEffect(stream, (part) =>
            Effect.mapBoth(toOutput(part.value), {
              onSuccess: (value) => ({ ...part, value }),
              onFailure: (message) => misfit("output", [{ path: [], message }])
            }).pipe(
              Effect.catchAllDefect((defect) =>
                Effect.fail(misfit("output", [{ path: [], message: messageOf(defect) }]))
              )
            )
          )
        })
        return Stream.catchAllCause(Stream.unwrapScoped(outputs), (cause) => Stream.fail(failed(app, "run")(cause)))
      }
      return Object.assign(invoke, { isStuck: () => isStuck })
    })

  return { app, open }
}
