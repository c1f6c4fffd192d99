/** From what a caller gives to the JSON that is sent: schemas encode it, files are found in it and replaced by their URLs. */
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import * as File from "../File.js"
import type { Issue } from "../InferenceError.js"
import { InvalidRequest } from "../InferenceError.js"
import { issuesOf } from "./failure.js"
import { mapFileFields } from "./fileFields.js"
import { isJsonObject, isPlainObject } from "./wire.js"

/** Fills in the defaults of the schema's constructor, also behind filters. */
const construct = (schema: Schema.Schema.AnyNoContext, value: unknown): unknown => {
  if (!isJsonObject(value) && value !== undefined) return value
  if (
    Predicate.hasProperty(schema, "fields") &&
    Predicate.hasProperty(schema, "make") &&
    Predicate.isFunction(schema.make)
  ) {
    return schema.make(value ?? {}, { disableValidation: true })
  }
  return Predicate.hasProperty(schema, "filter") && Predicate.hasProperty(schema, "from") && isSchema(schema.from)
    ? construct(schema.from, value)
    : value
}

const isSchema = (u: unknown): u is Schema.Schema.AnyNoContext => Schema.isSchema(u)

/** Encodes decoded values, with the defaults of the schema's constructor filled in. Issues are told as of the part that it is. */
export const encode = (
  app: string,
  part: "input" | "setup",
  schema: Schema.Schema.AnyNoContext,
  value: unknown
): Effect.Effect<unknown, InvalidRequest> =>
  Effect.suspend(() => Schema.encodeUnknown(schema, { errors: "all" })(construct(schema, value))).pipe(
    Effect.map((encoded) => dataInFields(schema, encoded)),
    Effect.mapError(
      (error) =>
        new InvalidRequest({
          app,
          issues: issuesOf(error).map(({ path, message }) => ({ path: [part, ...path], message }))
        })
    )
  )

/** Takes `data:` URIs for files, but only where the schema says that the field is one. */
const dataInFields = (schema: Schema.Schema.AnyNoContext, encoded: unknown): unknown =>
  mapFileFields(schema.ast, encoded, (value) =>
    typeof value === "string" && value.startsWith("data:") ? File.fromUri(value) : value
  )

const asFile = (value: unknown): File.File | undefined =>
  File.isFile(value)
    ? value
    : value instanceof Uint8Array
      ? File.fromBytes(value)
      : value instanceof ArrayBuffer
        ? File.fromBytes(new Uint8Array(value))
        : value instanceof Blob
          ? File.fromBlob(value)
          : undefined

type Path = ReadonlyArray<string | number>

/**
 * Rebuilds a value as JSON with `onFile` in the place of each file. What JSON cannot hold is an issue: nothing is lost on
 * the way without a word.
 */
const toJson = (value: unknown, onFile: (value: object, file: File.File) => unknown, issues: Array<Issue>): unknown => {
  const go = (value: unknown, path: Path, above: ReadonlyArray<unknown>): unknown => {
    const reject = (message: string): undefined => {
      issues.push({ path, message })
      return undefined
    }
    switch (typeof value) {
      case "string":
      case "boolean":
      case "undefined":
        return value
      case "number":
        return Number.isFinite(value) ? value : reject(`${value} is no JSON number`)
      case "object":
        break
      default:
        return reject(`a ${typeof value} cannot be sent as JSON`)
    }
    if (value === null) return null
    const file = asFile(value)
    if (file !== undefined) return onFile(value, file)
    if (above.includes(value)) return reject("the value contains itself")
    if (value instanceof Date && Number.isNaN(value.getTime())) return reject("it is no valid date")
    const below = [...above, value]
    if (Array.isArray(value)) return value.map((item: unknown, i) => go(item, [...path, i], below) ?? null)
    if (Predicate.hasProperty(value, "toJSON") && Predicate.isFunction(value.toJSON)) {
      return go(value.toJSON(), path, below)
    }
    if (value instanceof Map || value instanceof Set) return reject("a Map or Set cannot be sent as JSON")
    if (ArrayBuffer.isView(value)) return reject("only Uint8Array is sent as a file; this is another typed array")
    if (!isPlainObject(value) && Predicate.isPromise(value)) return reject("a Promise cannot be sent as JSON")
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, go(item, [...path, key], below)]))
  }
  return go(value, [], [])
}

export const uploadConcurrency = 4

/**
 * The JSON of a value, in which each distinct file is replaced, once. None is if any part of the value cannot be JSON.
 */
export const withFilesReplaced = <E, R>(
  app: string,
  value: unknown,
  replace: (file: File.File) => Effect.Effect<unknown, E, R>
): Effect.Effect<unknown, E | InvalidRequest, R> =>
  Effect.gen(function* () {
    const found = new Map<object, File.File>()
    const issues: Array<Issue> = []
    toJson(value, (key, file) => void found.set(key, file), issues)
    if (issues.length > 0) return yield* new InvalidRequest({ app, issues })
    const replaced = new Map(
      yield* Effect.forEach(found, ([key, file]) => Effect.map(replace(file), (it) => [key, it] as const), {
        concurrency: uploadConcurrency
      })
    )
    return toJson(value, (key) => replaced.get(key), issues)
  })

/** The JSON of a value: each distinct file in it is uploaded once, and replaced by its URL. */
export const withFilesUploaded = <E, R>(
  app: string,
  value: unknown,
  upload: (file: File.File) => Effect.Effect<File.File, E, R>
): Effect.Effect<unknown, E | InvalidRequest, R> =>
  withFilesReplaced(app, value, (file) =>
    File.isRemote(file) ? Effect.succeed(file.uri) : Effect.map(upload(file), (stored) => stored.uri)
  )
