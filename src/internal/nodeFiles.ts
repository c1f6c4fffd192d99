/** Files on their way into Node apps and out of them. */
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as File from "../File.js"
import type { Issue } from "../InferenceError.js"
import { mapFileFields } from "./fileFields.js"
import type { HeldFiles } from "./heldFiles.js"
import * as NodeSchema from "./nodeSchema.js"
import { isMethod, type Zod } from "./nodeZod.js"
import { isBytes, mapFiles } from "./server/mapFiles.js"
import { isJsonObject, isPlainObject, type Json } from "./wire.js"

/**
 * An input as the engine gives it, where files are URLs; those that the host holds itself, at addresses that may not be reached from
 * here, are paths.
 */
export const withPaths = (schema: Zod, input: unknown, copied: HeldFiles["copied"]) =>
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
export const replaceAt = (value: unknown, other: unknown, [head, ...path]: Issue["path"]): unknown => {
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
export const makeOutput = ({ input, given, versionOf, refuse }: OutputOptions) => {
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
