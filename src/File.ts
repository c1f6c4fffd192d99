/**
 * Files as values: where the bytes are, and what is known of them.
 *
 * A `File` in a task's input is uploaded when the task is submitted, once, and the app receives its URL. Nothing else is:
 * a plain string is never read as a path.
 *
 * @module
 * @since 0.1.0
 */
import * as FileSystem from "@effect/platform/FileSystem"
import * as HttpClient from "@effect/platform/HttpClient"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Inspectable from "effect/Inspectable"
import * as Option from "effect/Option"
import * as ParseResult from "effect/ParseResult"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { FileError } from "./InferenceError.js"
import { concat } from "./internal/bytes.js"
import { parseDataUri } from "./internal/dataUri.js"
import * as Download from "./internal/download.js"
import { fromPlatformError, withoutQuery } from "./internal/failure.js"
import { contentTypeOf } from "./internal/mime.js"
import { field, JsonObject } from "./internal/wire.js"

/**
 * The mark of a {@link File}.
 *
 * @since 0.1.0
 * @category type ids
 */
export const TypeId: unique symbol = Symbol.for("effect-inferencesh/File")

/**
 * The mark of a {@link File}.
 *
 * @since 0.1.0
 * @category type ids
 */
export type TypeId = typeof TypeId

/**
 * What may be known of a file. `size` is in bytes.
 *
 * @since 0.1.0
 * @category models
 */
export interface Metadata {
  /** On the caller's side the local path, on a file record the folder it is shown in. */
  readonly path?: string | undefined
  readonly uri?: string | undefined
  readonly contentType?: string | undefined
  readonly size?: number | undefined
  readonly filename?: string | undefined
  /** The id of the file's record at the service, where it has one. */
  readonly id?: string | undefined
}

/**
 * A file: metadata, and where its bytes are. Make one with {@link fromPath}, {@link fromUri}, {@link fromBytes},
 * {@link fromBlob} or {@link fromStream}.
 *
 * @since 0.1.0
 * @category models
 */
export interface File extends Metadata, Inspectable.Inspectable {
  readonly [TypeId]: Source
}

/**
 * A file that is stored somewhere: its URL is known.
 *
 * @since 0.1.0
 * @category models
 */
export interface Stored extends File {
  readonly uri: string
}

/**
 * A file on this machine: its path and its size, in bytes, are known.
 *
 * @since 0.1.0
 * @category models
 */
export interface Local extends File {
  readonly path: string
  readonly size: number
}

/**
 * Where the bytes of a file are.
 *
 * @since 0.1.0
 * @category models
 */
export type Source =
  | { readonly _tag: "Path"; readonly path: string }
  | { readonly _tag: "Uri"; readonly uri: string }
  /** At an address, and read from this machine once it was fetched. */
  | { readonly _tag: "Fetched"; readonly uri: string; readonly stream: Stream.Stream<Uint8Array, FileError> }
  | { readonly _tag: "Bytes"; readonly bytes: Uint8Array }
  | { readonly _tag: "Blob"; readonly blob: Blob }
  | { readonly _tag: "Stream"; readonly stream: Stream.Stream<Uint8Array, FileError> }

const Proto = {
  ...Inspectable.BaseProto,
  toJSON(this: File) {
    const { uri, ...metadata } = metadataOf(this)
    return { ...metadata, ...(uri !== undefined && { uri: uri.startsWith("data:") ? withoutQuery(uri) : uri }) }
  }
}

const metadataOf = (file: File): Metadata => {
  const { path, uri, contentType, size, filename, id } = file
  return Object.fromEntries(
    Object.entries({ id, path, uri, contentType, size, filename }).filter(([, value]) => value !== undefined)
  )
}

/** @internal */
export const make = <M extends Metadata>(source: Source, metadata: M): File & M =>
  Object.assign(
    // The bytes are no enumerable property: printing or serialising a file shows what it is, not what it holds.
    Object.create(Proto, { [TypeId]: { value: source } }),
    metadata
  )

const baseName = (path: string): string | undefined => path.split(/[/\\]/).findLast((part) => part !== "")

const nameInUri = (uri: string): string | undefined => {
  if (uri.startsWith("data:")) return undefined
  const name = baseName(withoutQuery(uri).replace(/^[a-z][a-z0-9+.-]*:\/\/[^/]*/i, ""))
  return name === undefined ? undefined : Option.getOrElse(Option.liftThrowable(decodeURIComponent)(name), () => name)
}

const withContentType = <M extends Metadata>(metadata: M) => ({
  ...metadata,
  contentType: metadata.contentType ?? (metadata.filename && contentTypeOf(metadata.filename))
})

/**
 * Whether a value is a {@link File}.
 *
 * @since 0.1.0
 * @category guards
 */
export const isFile = (u: unknown): u is File => Predicate.hasProperty(u, TypeId)

/**
 * A local file. The name and the content type come from the path unless given; the size is read when the file is used,
 * or by {@link refreshMetadata}. That the file exists is not looked at here.
 *
 * @example
 * ```ts
 * import { File } from "effect-inferencesh"
 *
 * const photo = File.fromPath("./cat.png")
 * // photo.filename === "cat.png", photo.contentType === "image/png"
 * const named = File.fromPath("./export.bin", { contentType: "image/png", filename: "cat.png" })
 * ```
 * @since 0.1.0
 * @category constructors
 */
export const fromPath = (path: string, metadata: Omit<Metadata, "path" | "uri" | "id"> = {}): File =>
  make({ _tag: "Path", path }, withContentType({ ...metadata, path, filename: metadata.filename ?? baseName(path) }))

/**
 * A file somewhere else: an `http(s)` URL, a URI of the service, or a `data:` URI.
 *
 * @since 0.1.0
 * @category constructors
 */
export const fromUri = (uri: string, metadata: Omit<Metadata, "uri"> = {}): Stored => {
  const data = Option.getOrUndefined(parseDataUri(uri))
  return make(
    { _tag: "Uri", uri },
    withContentType({
      ...metadata,
      uri,
      filename: metadata.filename ?? nameInUri(uri),
      contentType: metadata.contentType ?? data?.contentType,
      size: metadata.size ?? data?.bytes.length
    })
  )
}

/**
 * A file in memory.
 *
 * @since 0.1.0
 * @category constructors
 */
export const fromBytes = (bytes: Uint8Array, metadata: Omit<Metadata, "uri" | "size" | "id"> = {}): File =>
  make({ _tag: "Bytes", bytes }, withContentType({ ...metadata, size: bytes.length }))

/**
 * A `Blob` or a browser's `File`. Its type and name are used unless others are given.
 *
 * @since 0.1.0
 * @category constructors
 */
export const fromBlob = (blob: Blob, metadata: Omit<Metadata, "uri" | "size" | "id"> = {}): File =>
  make(
    { _tag: "Blob", blob },
    withContentType({
      ...metadata,
      size: blob.size,
      contentType: metadata.contentType ?? (blob.type || undefined),
      filename: metadata.filename ?? (Predicate.hasProperty(blob, "name") ? String(blob.name) : undefined)
    })
  )

/**
 * A file whose bytes come from a stream. It is run once per use. If its size is not known, an upload first writes it to
 * a temporary file, since the size has to be announced.
 *
 * @since 0.1.0
 * @category constructors
 */
export const fromStream = <E>(
  stream: Stream.Stream<Uint8Array, E>,
  metadata: Omit<Metadata, "uri" | "id"> = {}
): File => {
  const file = metadata.filename ?? "stream"
  return make(
    {
      _tag: "Stream",
      stream: Stream.mapError(stream, (error) =>
        error instanceof FileError
          ? error
          : new FileError({
              file,
              reason: "Read",
              detail: Predicate.hasProperty(error, "message") ? String(error.message) : String(error)
            })
      )
    },
    withContentType(metadata)
  )
}

/**
 * The bytes of a file, as a stream. Constant memory for files of any size, except those in memory anyway.
 *
 * Fails with `FileError`: no such file or permission, an address that cannot be fetched, a transfer that breaks off.
 *
 * @since 0.1.0
 * @category reading
 */
export const stream = (
  file: File
): Stream.Stream<Uint8Array, FileError, FileSystem.FileSystem | HttpClient.HttpClient> => {
  const source = file[TypeId]
  if (source._tag !== "Uri" || source.uri.startsWith("data:")) return localStream(file)
  return Stream.unwrap(Effect.map(HttpClient.HttpClient, (client) => Download.download(client, source.uri)))
}

/**
 * The bytes of a file that is here, not at some address.
 *
 * @internal
 */
export const localStream = (file: File): Stream.Stream<Uint8Array, FileError, FileSystem.FileSystem> => {
  const source = file[TypeId]
  switch (source._tag) {
    case "Bytes":
      return Stream.make(source.bytes)
    case "Blob":
      return Stream.fromReadableStream(
        () => source.blob.stream(),
        (error) => new FileError({ file: file.filename ?? "blob", reason: "Read", detail: String(error) })
      )
    case "Stream":
    case "Fetched":
      return source.stream
    case "Path":
      return Stream.unwrap(
        Effect.map(FileSystem.FileSystem, (fs) =>
          Stream.mapError(fs.stream(source.path), (error) => fromPlatformError(error, source.path))
        )
      )
    case "Uri": {
      const data = Option.getOrUndefined(parseDataUri(source.uri))
      return data === undefined
        ? Stream.fail(new FileError({ file: withoutQuery(source.uri), reason: "InvalidUri" }))
        : Stream.make(data.bytes)
    }
  }
}

/**
 * The bytes of a file, all in memory.
 *
 * Fails with `FileError` as {@link stream} does.
 *
 * @since 0.1.0
 * @category reading
 */
export const bytes = (
  file: File
): Effect.Effect<Uint8Array, FileError, FileSystem.FileSystem | HttpClient.HttpClient> =>
  Effect.map(Stream.runCollect(stream(file)), (chunks) => concat(Chunk.toReadonlyArray(chunks)))

/**
 * Whether the file is there: on disk, or, for a URL, by asking its server. Files in memory always are.
 *
 * Fails with `FileError` where that cannot be found out.
 *
 * @since 0.1.0
 * @category metadata
 */
export const exists = (
  file: File
): Effect.Effect<boolean, FileError, FileSystem.FileSystem | HttpClient.HttpClient> => {
  const source = file[TypeId]
  if (source._tag === "Path") {
    return Effect.flatMap(FileSystem.FileSystem, (fs) =>
      Effect.mapError(fs.exists(source.path), (error) => fromPlatformError(error, source.path))
    )
  }
  if ((source._tag !== "Uri" && source._tag !== "Fetched") || source.uri.startsWith("data:"))
    return Effect.succeed(true)
  return Effect.flatMap(HttpClient.HttpClient, (client) =>
    Download.open(client, source.uri).pipe(
      Effect.scoped,
      Effect.as(true),
      Effect.catchIf(
        (error) => error.reason === "NotFound",
        () => Effect.succeed(false)
      )
    )
  )
}

/**
 * The same file with its metadata read again: the size of a local file as it is now, name and content type from the path
 * where they are not set. Files that are not on disk come back as they are.
 *
 * Fails with `FileError` if there is no such file, or it is a directory.
 *
 * @since 0.1.0
 * @category metadata
 */
export const refreshMetadata = (file: File): Effect.Effect<File, FileError, FileSystem.FileSystem> => {
  const source = file[TypeId]
  if (source._tag !== "Path") return Effect.succeed(file)
  return Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const info = yield* Effect.mapError(fs.stat(source.path), (error) => fromPlatformError(error, source.path))
    if (info.type !== "File") return yield* new FileError({ file: source.path, reason: "NotAFile" })
    return fromPath(source.path, { ...metadataOf(file), size: Number(info.size) })
  })
}

/**
 * The wire form of a file's metadata.
 *
 * @since 0.1.0
 * @category schemas
 */
const Wire = Schema.Struct({
  id: field("id", Schema.String),
  uri: Schema.NonEmptyString,
  path: field("path", Schema.String),
  contentType: field("content_type", Schema.String),
  size: field("size", Schema.Number),
  filename: field("filename", Schema.String)
})

const FileFromSelf: Schema.Schema<File> = Schema.declare(isFile, { identifier: "File" })

/**
 * The schema of a {@link File}, for the fields of an app's contract that are files.
 *
 * It decodes a URL, or an object with a `uri`, as the service sends them. It encodes to the URL; a file that is not at a
 * URL yet stays a `File`, which submitting a task then uploads.
 *
 * @example
 * ```ts
 * import { Schema } from "effect"
 * import { App, File } from "effect-inferencesh"
 *
 * const Upscale = App.make("acme/upscaler", {
 *   input: { image: File.File, scale: Schema.Int },
 *   output: { image: File.File }
 * })
 * ```
 * @since 0.1.0
 * @category schemas
 */
export const File: Schema.Schema<File, string | { readonly [key: string]: unknown } | File> = Schema.transformOrFail(
  Schema.Union(FileFromSelf, Schema.NonEmptyString, JsonObject),
  FileFromSelf,
  {
    strict: true,
    decode: (wire, _, ast) => {
      if (isFile(wire)) return ParseResult.succeed(wire)
      if (typeof wire === "string") return ParseResult.succeed(fromUri(wire))
      return ParseResult.mapBoth(ParseResult.decodeUnknown(Wire)(wire), {
        onSuccess: ({ uri, ...metadata }) => fromUri(uri, metadata),
        onFailure: () => new ParseResult.Type(ast, wire, "Expected a file: a URL, or an object with a uri")
      })
    },
    encode: (file) => ParseResult.succeed(isRemote(file) && file.uri !== undefined ? file.uri : file)
  }
).annotations({ identifier: "File", jsonSchema: { type: "string", format: "file" } })

const ofMedia = (contentMediaType: string): typeof File =>
  File.annotations({ jsonSchema: { type: "string", format: "file", contentMediaType } })

/**
 * {@link File}, for a field that holds an image: so says its JSON Schema, from which forms and models choose what to give.
 * What the file really is, is not looked at.
 *
 * @example
 * ```ts
 * import { Schema } from "effect"
 * import { App, File } from "effect-inferencesh"
 *
 * const Upscale = App.make("acme/upscaler", {
 *   input: { image: File.image.annotations({ description: "What to enlarge" }), mask: Schema.optional(File.image) },
 *   output: { images: Schema.Array(File.image) }
 * })
 * ```
 * @since 0.1.0
 * @category schemas
 */
export const image = ofMedia("image/*")

/**
 * {@link File}, for a field that holds a video. As {@link image}.
 *
 * @since 0.1.0
 * @category schemas
 */
export const video = ofMedia("video/*")

/**
 * {@link File}, for a field that holds sound. As {@link image}.
 *
 * @since 0.1.0
 * @category schemas
 */
export const audio = ofMedia("audio/*")

/**
 * Whether a file is at an address that an app can fetch, so that it need not be uploaded.
 *
 * @internal
 */
export const isRemote = (file: File): boolean => {
  const source = file[TypeId]
  return source._tag === "Fetched" || (source._tag === "Uri" && !source.uri.startsWith("data:"))
}
