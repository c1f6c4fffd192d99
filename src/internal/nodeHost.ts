/** A Node app of the platform, hosted as it is: protocol.md §12.2. Its promises become Effects here. */
import * as FileSystem from "@effect/platform/FileSystem"
import type * as Cause from "effect/Cause"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as ParseResult from "effect/ParseResult"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import type * as AST from "effect/SchemaAST"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as App from "../App.js"
import * as File from "../File.js"
import { AppFailed, InvalidRequest, type Issue } from "../InferenceError.js"
import { Attribute } from "../Telemetry.js"
import { failed } from "./appFailed.js"
import { issuesOf, messageOf } from "./failure.js"
import { mapFileFields } from "./fileFields.js"
import { fileVersion } from "./fileVersion.js"
import type { HeldFiles } from "./heldFiles.js"
import { pascalCase, reserved } from "./nodeModule.js"
import * as NodeSchema from "./nodeSchema.js"
import * as OutputDirectories from "./outputDirectories.js"
import * as RunContext from "./runContext.js"
import { dotted } from "./server/issues.js"
import { isBytes, mapFiles } from "./server/mapFiles.js"
import { isJson, isJsonObject, isPlainObject, type Json } from "./wire.js"
import { inlined } from "./zodJsonSchema.js"

type Method = (...args: ReadonlyArray<unknown>) => unknown

const isMethod = (u: unknown): u is Method => typeof u === "function"

// ---- Schemas --------------------------------------------------------------------------------------------------------

/** What is asked of a zod schema, of version 3 or 4. */
interface Zod {
  readonly safeParseAsync: (value: unknown) => PromiseLike<unknown>
}

const isZod = (u: unknown): u is Zod => Predicate.hasProperty(u, "safeParseAsync") && isMethod(u.safeParseAsync)

type Parsed = { readonly value: unknown } | { readonly issues: ReadonlyArray<Issue> }

const issueOf = (issue: unknown): Issue => {
  const { path, message } = isJsonObject(issue) ? issue : {}
  const parts: ReadonlyArray<unknown> = Array.isArray(path) ? path : []
  return {
    path: parts.map((part) => (typeof part === "number" ? part : String(part))),
    message: typeof message === "string" ? message : "it is not valid"
  }
}

const parse = (schema: Zod, value: unknown): Effect.Effect<Parsed> => {
  const contract = NodeSchema.schemaOf(schema)
  // One that was made here takes the paths of files from its host, and must not from callers.
  return contract === undefined
    ? parseZod(schema, value)
    : Effect.match(NodeSchema.complete(contract, value), {
        onSuccess: (value): Parsed => {
          if (typeof value === "object" && value !== null) NodeSchema.hosted.add(value)
          return { value }
        },
        onFailure: (error): Parsed => ({ issues: issuesOf(error) })
      })
}

const parseZod = (schema: Zod, value: unknown): Effect.Effect<Parsed> =>
  Effect.tryPromise(async () => schema.safeParseAsync(value)).pipe(
    Effect.map((result): Parsed => {
      if (!isJsonObject(result)) return { issues: [{ path: [], message: "its schema gives no result" }] }
      if (result.success === true) return { value: result.data }
      const issues = isJsonObject(result.error) && Array.isArray(result.error.issues) ? result.error.issues : []
      return { issues: issues.length === 0 ? [issueOf(undefined)] : issues.map(issueOf) }
    }),
    // A refinement of the schema threw.
    Effect.catchAll(({ error }) => Effect.succeed({ issues: [{ path: [], message: messageOf(error) }] }))
  )

/** Marks the fields that the platform's package has made file fields. */
const markFiles = ({ zodSchema, jsonSchema }: { readonly zodSchema: unknown; readonly jsonSchema: unknown }) => {
  const def = isJsonObject(zodSchema) ? zodSchema._def : undefined
  if (isJsonObject(def) && isJsonObject(jsonSchema) && Reflect.get(def, NodeSchema.fileMarker) === true) {
    Object.assign(jsonSchema, { type: "string", format: "file" })
  }
}

/** By the Standard JSON Schema that zod offers since 4.2, of what it takes: outputs are not parsed. Not every schema can be one. */
const jsonSchemaOf = (schema: Zod): Json | undefined => {
  const standard: unknown = Reflect.get(schema, "~standard")
  const offers = isJsonObject(standard) && isJsonObject(standard.jsonSchema) ? standard.jsonSchema : {}
  if (!isMethod(offers.input)) return undefined
  try {
    const json = offers.input({
      target: "draft-2020-12",
      libraryOptions: { override: markFiles, unrepresentable: "any" }
    })
    return isJsonObject(json) ? inlined(json) : undefined
  } catch {
    return undefined
  }
}

const withJsonSchema = (schema: Schema.Schema<unknown>, json: Json | undefined): Schema.Schema<unknown> =>
  json === undefined ? schema : schema.annotations({ jsonSchema: json })

/** Setup parameters that a schema has made out of what was given. */
const complete = new WeakSet<object>()

/** What comes in as its schema makes it, so that the same setup is the same, whether its defaults are spelled out or not. */
const completed = (schema: Zod): Schema.Schema<unknown> =>
  withJsonSchema(
    Schema.transformOrFail(Schema.Unknown, Schema.Unknown, {
      strict: true,
      decode: (value, _, ast) =>
        Effect.flatMap(parse(schema, value ?? {}), (parsed) => {
          if ("issues" in parsed) return ParseResult.fail(misfitOf(ast, value, parsed.issues))
          if (!isJsonObject(parsed.value)) return ParseResult.succeed(value)
          complete.add(parsed.value)
          return ParseResult.succeed(parsed.value)
        }),
      // As JSON, what is none could look like something else.
      encode: (value, _, ast) =>
        isJsonObject(value) && complete.has(value) && !isJson(value)
          ? ParseResult.fail(new ParseResult.Type(ast, value, "it is no JSON"))
          : ParseResult.succeed(value)
    }),
    jsonSchemaOf(schema)
  )

/** Checks what comes in, and leaves it as it is: the app gets what the schema makes of it, its callers need not give that. */
const checked = (schema: Zod): Schema.Schema<unknown> => {
  const contract = NodeSchema.schemaOf(schema)
  return withJsonSchema(
    Schema.transformOrFail(Schema.Unknown, Schema.Unknown, {
      strict: true,
      decode: (value, options, ast) =>
        // One that was made here takes the paths of files from its host, and must not from callers.
        contract === undefined
          ? Effect.flatMap(parse(schema, value ?? {}), (parsed) =>
              "value" in parsed ? ParseResult.succeed(value) : ParseResult.fail(misfitOf(ast, value, parsed.issues))
            )
          : Effect.as(ParseResult.decodeUnknown(contract)(value ?? {}, options), value),
      encode: (value) => ParseResult.succeed(value)
    }),
    jsonSchemaOf(schema)
  )
}

const misfitOf = (ast: AST.AST, value: unknown, issues: ReadonlyArray<Issue>): ParseResult.ParseIssue => {
  const [first, ...others] = issues.map(({ path: [head, ...rest], message }) => {
    const issue = new ParseResult.Type(ast, value, message)
    return head === undefined ? issue : new ParseResult.Pointer([head, ...rest], value, issue)
  })
  return first === undefined
    ? new ParseResult.Type(ast, value)
    : new ParseResult.Composite(ast, value, [first, ...others])
}

// ---- Files ----------------------------------------------------------------------------------------------------------

/**
 * An input as the engine gives it, where files are URLs; those that the host holds itself, at addresses that may not be reached from
 * here, are paths.
 */
const withPaths = (schema: Zod, input: unknown, copied: HeldFiles["copied"]) =>
  Effect.gen(function* () {
    const contract = NodeSchema.schemaOf(schema)
    const isAddress = (u: unknown): u is string => typeof u === "string" && /^https?:/i.test(u)
    const map = (place: (given: File.File | string) => unknown) => {
      const placed = mapFiles(input, place)
      const addressed = (value: unknown) => {
        const address = isJsonObject(value) && !File.isFile(value) ? value.uri : value
        return isAddress(address) ? place(address) : value
      }
      return contract === undefined ? mapTexts(placed, addressed) : mapFileFields(contract.ast, placed, addressed)
    }
    const given = new Set<File.File | string>()
    map((file) => {
      given.add(file)
      return file
    })
    const found = new Map(
      yield* Effect.forEach(given, (file) =>
        Effect.map(copied(typeof file === "string" ? File.fromUri(file) : file), (found) => [file, found] as const)
      )
    )
    const isHere = (file: File.File | undefined) => file?.[File.TypeId]._tag === "Path"
    return {
      input: map((given) => {
        const file = found.get(given)
        // The platform's own `File` takes a path for an address; schemas made here are not so free with texts.
        if (isHere(file)) return contract === undefined ? file?.path : file
        return typeof given === "string" ? given : file?.uri
      }),
      files: Array.from(found.values()).filter(isHere)
    }
  })

/** What another value has at a path, in place of what is there. */
const replaceAt = (value: unknown, other: unknown, [head, ...path]: Issue["path"]): unknown => {
  if (head === undefined) return other
  if (Array.isArray(value) && Array.isArray(other)) {
    return value.map((item: unknown, i) => (i === head ? replaceAt(item, other[i], path) : item))
  }
  return isJsonObject(value) && isJsonObject(other) && head in value
    ? { ...value, [head]: replaceAt(value[head], other[head], path) }
    : value
}

const mapTexts = (value: unknown, f: (text: string) => unknown): unknown =>
  typeof value === "string"
    ? f(value)
    : Array.isArray(value)
      ? value.map((item) => mapTexts(item, f))
      : isJsonObject(value) && isPlainObject(value)
        ? Object.fromEntries(Object.entries(value).map(([key, item]) => [key, mapTexts(item, f)]))
        : value

const fileKeys = new Set(["uri", "path", "content_type", "size", "filename"])

const text = (u: unknown) => (typeof u === "string" && u !== "" ? u : undefined)

/** An object that may be a file, in the form of the platform's `File`. */
interface Found {
  readonly file: File.File
  readonly json: Json
  /** Whether it is one of the platform's own. A plain object may just be data. */
  readonly isFile: boolean
}

/** By what all versions of the platform's `File` have: each app comes with a class of its own. */
const isPlatformFile = (value: object): boolean =>
  ["toJSON", "exists", "refreshMetadata"].every((name) => isMethod(Reflect.get(value, name)))

/** The file that an object is in the form of the platform's `File`, if it is in that form. */
const asFile = (json: Json, isFile: boolean): File.File | undefined => {
  // A class of the app's own that extends it may tell more of it.
  if (!isFile && Object.keys(json).some((key) => !fileKeys.has(key))) return undefined
  const { uri, path, content_type, size, filename } = json
  const metadata = {
    contentType: text(content_type),
    filename: text(filename),
    size: typeof size === "number" ? size : undefined
  }
  const local = text(path)
  if (local !== undefined) return File.fromPath(local, metadata)
  const address = text(uri)
  return address !== undefined && /^(https?|data):/i.test(address) ? File.fromUri(address, metadata) : undefined
}

/** A file of the input on this machine, as it was given. */
interface Given {
  readonly file: File.File
  readonly version: string | undefined
}

interface OutputOptions {
  readonly input: unknown
  /** By their paths. */
  readonly given: ReadonlyMap<string, Given>
  /** None where there is no such file. */
  readonly versionOf: (file: File.File) => Effect.Effect<string | undefined>
  readonly refuse: (path: string) => Effect.Effect<string | undefined>
}

/**
 * An output in which the files of the platform are files of this package, which the host uploads, and those of the input are at the
 * addresses that the caller knows. A path that the caller has written is none, and none is given that `refuse` is against: that would
 * give whoever calls an app that repeats its input any file of this machine.
 */
const makeOutput = ({ input, given, versionOf, refuse }: OutputOptions) => {
  const texts = new Set<string>()
  mapTexts(input, (text) => texts.add(text))
  // A file that stays the same in each partial output is stored once, unless it was written to.
  const files = new WeakMap<object, Found>()
  const replaced = new Map<File.File, unknown>()
  const unchecked: Array<Found> = []
  const go = (value: unknown, above: ReadonlyArray<unknown>): unknown => {
    if (typeof value === "string") return given.get(value)?.file.uri ?? value
    if (typeof value !== "object" || value === null || File.isFile(value) || isBytes(value)) return value
    if (above.includes(value)) return value
    const below = [...above, value]
    if (Array.isArray(value)) return value.map((item: unknown) => go(item, below))
    const json = Predicate.hasProperty(value, "toJSON") && isMethod(value.toJSON) ? value.toJSON() : value
    if (!isJsonObject(json)) return value
    const isFile = isPlatformFile(value)
    const file = isFile || isPlainObject(value) ? asFile(json, isFile) : undefined
    if (file?.path !== undefined && texts.has(file.path)) return json
    if (file !== undefined) {
      const known = files.get(value)
      const found =
        known !== undefined && JSON.stringify(known.json) === JSON.stringify(json) ? known : { file, json, isFile }
      files.set(value, found)
      unchecked.push(found)
      return found.file
    }
    const entries = Object.entries(json).map(([key, item]) => [key, go(item, below)] as const)
    // What is no object of JSON, such as a Map, is none afterwards.
    return isPlainObject(json) || entries.some(([key, item]) => item !== json[key])
      ? Object.fromEntries(entries)
      : value
  }
  const check = ({ file, json, isFile }: Found): Effect.Effect<void, string> =>
    Effect.gen(function* () {
      replaced.delete(file)
      if (file.path === undefined) return
      const known = given.get(file.path)
      const version = yield* versionOf(file)
      if (known?.file.uri !== undefined && known.version === version) {
        replaced.set(file, known.file.uri)
        return
      }
      const reason = yield* refuse(file.path)
      if (reason === undefined && (isFile || version !== undefined)) return
      if (isFile && reason !== undefined) return yield* Effect.fail(reason)
      replaced.set(file, json)
    })
  return (value: unknown): Effect.Effect<unknown, string> =>
    Effect.suspend(() => {
      const output = go(value, [])
      return Effect.map(Effect.forEach(unchecked.splice(0), check, { discard: true }), () =>
        mapFiles(output, (file) => (replaced.has(file) ? replaced.get(file) : file))
      )
    })
}

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
