/** A Node app of the platform, hosted as it is: protocol.md §12.2. Its promises become Effects here. */
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
import { pascalCase, reserved } from "./nodeModule.js"
import * as NodeSchema from "./nodeSchema.js"
import * as OutputDirectories from "./outputDirectories.js"
import { dotted } from "./server/issues.js"
import { mapFiles } from "./server/mapFiles.js"
import { isJsonObject, isPlainObject, type Json } from "./wire.js"

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

/** By the Standard JSON Schema that zod offers since 4.2. Not every schema can be one. */
const jsonSchemaOf = (schema: Zod, side: "input" | "output"): Json | undefined => {
  const standard: unknown = Reflect.get(schema, "~standard")
  const offers = isJsonObject(standard) && isJsonObject(standard.jsonSchema) ? standard.jsonSchema : {}
  const offer = offers[side]
  if (!isMethod(offer)) return undefined
  try {
    const json = offer({ target: "draft-2020-12", libraryOptions: { override: markFiles, unrepresentable: "any" } })
    if (!isJsonObject(json)) return undefined
    const { $schema: _, ...rest } = json
    return rest
  } catch {
    return undefined
  }
}

const withJsonSchema = (schema: Schema.Schema<unknown>, json: Json | undefined): Schema.Schema<unknown> =>
  json === undefined ? schema : schema.annotations({ jsonSchema: json })

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
    jsonSchemaOf(schema, "input")
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

type ResolveFile = (file: File.File) => File.File

/**
 * An input as the engine gives it, where files are URLs; those that the host holds itself, at addresses that may not be reached from
 * here, are paths.
 */
const withPaths = (
  schema: Zod,
  input: unknown,
  resolve: ResolveFile
): { readonly input: unknown; readonly paths: ReadonlySet<string> } => {
  const contract = NodeSchema.schemaOf(schema)
  // The platform's own `File` takes a path for an address; schemas made here are not so free with texts.
  const local = (file: File.File) => (contract === undefined ? file.path : file)
  const paths = new Set<string>()
  const place = (file: File.File): unknown => {
    const found = resolve(file)
    if (found.path !== undefined) paths.add(found.path)
    return found[File.TypeId]._tag === "Path" ? local(found) : found.uri
  }
  const given = mapFiles(input, place)
  const isAddress = (u: unknown): u is string => typeof u === "string" && /^https?:/i.test(u)
  const addressed = (value: unknown) => {
    const address = isJsonObject(value) ? value.uri : value
    return isAddress(address) ? place(File.fromUri(address)) : value
  }
  return {
    input: contract === undefined ? mapTexts(given, addressed) : mapFileFields(contract.ast, given, addressed),
    paths
  }
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

/** The file that an object is in the form of the platform's `File`, if it is in that form. */
const asFile = (json: Json, isForeign: (path: string) => boolean): File.File | undefined => {
  if (Object.keys(json).some((key) => !fileKeys.has(key))) return undefined
  const { uri, path, content_type, size, filename } = json
  const metadata = {
    contentType: text(content_type),
    filename: text(filename),
    size: typeof size === "number" ? size : undefined
  }
  const local = text(path)
  if (local !== undefined) return isForeign(local) ? undefined : File.fromPath(local, metadata)
  const address = text(uri)
  return address === undefined ? undefined : File.fromUri(address, metadata)
}

/**
 * An output in which the files of the platform are files of this package, which the host uploads. A path that the caller has written is
 * none, and none is given that `refuse` is against: that would give whoever calls an app that repeats its input any file of this machine.
 */
const makeOutput = (input: unknown, refuse: (path: string) => Effect.Effect<string | undefined>) => {
  const texts = new Set<string>()
  mapTexts(input, (text) => texts.add(text))
  // A file that stays the same in each partial output is stored once.
  const files = new WeakMap<object, File.File>()
  const unchecked: Array<File.File> = []
  const go = (value: unknown, above: ReadonlyArray<unknown>): unknown => {
    if (typeof value !== "object" || value === null || File.isFile(value) || ArrayBuffer.isView(value)) return value
    if (above.includes(value)) return value
    const below = [...above, value]
    if (Array.isArray(value)) return value.map((item: unknown) => go(item, below))
    const known = files.get(value)
    if (known !== undefined) return known
    const json = Predicate.hasProperty(value, "toJSON") && isMethod(value.toJSON) ? value.toJSON() : value
    if (!isJsonObject(json) || (json === value && !isPlainObject(value))) return value
    const file = asFile(json, (path) => texts.has(path))
    if (file !== undefined) {
      files.set(value, file)
      unchecked.push(file)
      return file
    }
    return Object.fromEntries(Object.entries(json).map(([key, item]) => [key, go(item, below)]))
  }
  return (value: unknown): Effect.Effect<unknown, string> =>
    Effect.suspend(() => {
      const output = go(value, [])
      return Effect.as(
        Effect.forEach(unchecked.splice(0), ({ path }) =>
          path === undefined
            ? Effect.void
            : Effect.flatMap(refuse(path), (reason) => (reason === undefined ? Effect.void : Effect.fail(reason)))
        ),
        output
      )
    })
}

// ---- Calls ----------------------------------------------------------------------------------------------------------

interface Loaded {
  readonly call: (name: string, ...args: ReadonlyArray<unknown>) => unknown
  /** Tells the app whether it is cancelled. */
  readonly setCancelled: (cancelled: boolean) => void
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

/** Runs a function. Where the scope closes before it is over, it is told to stop and has a while for that. */
const runMethod = (
  { call, setCancelled }: Loaded,
  name: string,
  input: unknown,
  cancelTimeout: Duration.DurationInput
): Effect.Effect<Stream.Stream<{ readonly value: unknown; readonly last: boolean }, unknown>, unknown, Scope.Scope> =>
  Effect.gen(function* () {
    let pending: PromiseLike<unknown> | undefined
    let iterator: AsyncIterator<unknown> | undefined
    let isOver = false

    const stop = Effect.suspend(() => {
      if (isOver) return Effect.void
      setCancelled(true)
      return settled(Promise.resolve().then(() => call("onCancel"))).pipe(
        Effect.zipRight(settled(pending)),
        Effect.zipRight(Effect.suspend(() => settled(iterator?.return?.()))),
        // Finalizers cannot be interrupted, and neither could what takes too long.
        Effect.interruptible,
        Effect.timeoutTo({
          duration: cancelTimeout,
          onSuccess: () => Effect.void,
          onTimeout: () => Effect.logWarning(`"${name}" was cancelled and did not return in time: it is left to itself`)
        }),
        Effect.flatten
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
    setCancelled(false)
    const result = yield* Effect.try({
      try: () => call(name, input),
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
        follow(async () => values.next()),
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

type Open = (
  config: unknown
) => Effect.Effect<
  (
    name: string,
    input: unknown,
    resolveFile: ResolveFile | undefined
  ) => Stream.Stream<{ readonly value: unknown; readonly last: boolean }, AppFailed>,
  AppFailed,
  Scope.Scope
>

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
    const message = "it exports no class App with a function, as RunInput and RunOutput for a method run"
    throw new InvalidRequest({ app: name, issues: [{ path: ["module"], message }] })
  }
  const { AppSetup } = module
  const app = App.make(name, {
    functions: Object.fromEntries(
      Object.entries(functions).map(([name, { input, output }]) => [
        name,
        { input: checked(input), output: withJsonSchema(Schema.Unknown, jsonSchemaOf(output, "output")) }
      ])
    ),
    ...(isZod(AppSetup) && { setup: checked(AppSetup) })
  })

  const misfit = (phase: AppFailed["phase"], issues: ReadonlyArray<Issue>) =>
    new AppFailed({
      app: name,
      phase,
      detail: dotted(issues)
    })

  const parsed = (phase: "setup" | "input", schema: Zod, values: ReadonlyArray<unknown>) =>
    Effect.gen(function* () {
      let issues: ReadonlyArray<Issue> = []
      for (const value of values) {
        const result = yield* parse(schema, value)
        if ("value" in result) return result.value
        issues = result.issues
      }
      return yield* misfit(phase, issues)
    })

  const create = Effect.try({
    try: (): Loaded => {
      const instance: object = isMethod(module.App) ? Reflect.construct(module.App, []) : {}
      const context = { cancelRequested: false }
      Reflect.set(instance, "context", context)
      return {
        call: (name, ...args) => {
          const method: unknown = Reflect.get(instance, name)
          return isMethod(method) ? Reflect.apply(method, instance, args) : undefined
        },
        setCancelled: (cancelled) => {
          context.cancelRequested = cancelled
        }
      }
    },
    catch: (error) => error
  })

  const open: Open = (given) =>
    Effect.gen(function* () {
      const config = isZod(AppSetup) ? yield* parsed("setup", AppSetup, [given ?? {}]) : (given ?? {})
      const inPhase = (phase: AppFailed["phase"]) =>
        Effect.catchAllCause((cause: Cause.Cause<unknown>) => Effect.fail(failed(app, phase)(cause)))
      const refuse = yield* OutputDirectories.make(outputDirectories)
      const loaded = yield* inPhase("setup")(create)
      // What has begun to load is loaded before it is unloaded: a promise cannot be stopped.
      yield* Effect.acquireRelease(
        inPhase("setup")(Effect.tryPromise({ try: async () => loaded.call("setup", config), catch: (error) => error })),
        () =>
          Effect.tryPromise({ try: async () => loaded.call("unload"), catch: (error) => error }).pipe(
            // Finalizers cannot be interrupted, and neither could what takes too long.
            Effect.interruptible,
            Effect.timeoutTo({
              duration: cancelTimeout,
              onSuccess: () => Effect.void,
              onTimeout: () => Effect.logWarning("unload did not return in time: it is left to itself")
            }),
            Effect.flatten,
            Effect.catchAllCause((cause) => Effect.logWarning("unload failed", failed(app, "unload")(cause))),
            Effect.annotateLogs(Attribute.app, name)
          )
      )
      return (name, input, resolveFile) => {
        const fn = functions[name]
        if (fn === undefined)
          return Stream.fail(misfit("input", [{ path: [], message: `there is no function "${name}"` }]))
        const outputs = Effect.gen(function* () {
          const { input: withFiles, paths } = withPaths(fn.input, input ?? {}, resolveFile ?? ((file) => file))
          // A schema may insist on an address.
          const value = yield* parsed("input", fn.input, [withFiles, mapFiles(input ?? {}, (file) => file.uri)])
          const stream = yield* runMethod(loaded, name, value, cancelTimeout)
          const toOutput = makeOutput(input, (path) => refuse(path, paths))
          return Stream.mapEffect(stream, (part) =>
            Effect.mapBoth(toOutput(part.value), {
              onSuccess: (value) => ({ ...part, value }),
              onFailure: (message) => misfit("output", [{ path: [], message }])
            })
          )
        })
        return Stream.catchAllCause(Stream.unwrapScoped(outputs), (cause) => Stream.fail(failed(app, "run")(cause)))
      }
    })

  return { app, open }
}
