/**
 * The service that moves files: uploads, downloads, and the records of what is stored.
 *
 * @module
 * @since 0.1.0
 */
import * as FileSystem from "@effect/platform/FileSystem"
import * as HttpClient from "@effect/platform/HttpClient"
import * as Path from "@effect/platform/Path"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Mailbox from "effect/Mailbox"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as ApiClient from "./ApiClient.js"
import * as File from "./File.js"
import type { ApiFailure, FileError } from "./InferenceError.js"
import * as Download from "./internal/download.js"
import { makeDownloadTo } from "./internal/downloadTo.js"
import { list as listPages } from "./internal/pagination.js"
import * as Telemetry from "./internal/telemetry.js"
import { FileRecord, fromRecord, makeUpload } from "./internal/upload.js"
import { Attribute } from "./Telemetry.js"

/**
 * What can be uploaded. A stream's `E` is reported as `FileError`.
 *
 * @since 0.1.0
 * @category models
 */
export type UploadSource = File.File | Uint8Array | Blob | Stream.Stream<Uint8Array, unknown>

/**
 * How a file is stored.
 *
 * @since 0.1.0
 * @category models
 */
export interface UploadOptions {
  /** Default: the name of the source, else `file` with the extension of its content type. */
  readonly filename?: string | undefined
  /** Default: the content type of the source, else the one that the name's extension stands for. */
  readonly contentType?: string | undefined
  /** Whether anyone with the URL may read the file. What the service does with this is not documented. */
  readonly public?: boolean | undefined
  /** The folder that the file is shown in. */
  readonly path?: string | undefined
}

/**
 * The steps of an upload: how many bytes are `sent`, of how many in all, then the stored file.
 *
 * @since 0.1.0
 * @category models
 */
export type UploadEvent = Data.TaggedEnum<{
  Progress: { readonly sent: number; readonly total: number }
  Done: { readonly file: File.Stored }
}>

/**
 * Constructors and matchers for {@link UploadEvent}.
 *
 * @since 0.1.0
 * @category models
 */
export const UploadEvent = Data.taggedEnum<UploadEvent>()

/**
 * What an upload can fail with.
 *
 * @since 0.1.0
 * @category errors
 */
export type UploadError = ApiFailure | FileError

/**
 * The service that moves files.
 *
 * @since 0.1.0
 * @category services
 */
export interface Service {
  readonly upload: (source: UploadSource, options?: UploadOptions) => Effect.Effect<File.Stored, UploadError>
  readonly uploadStream: (source: UploadSource, options?: UploadOptions) => Stream.Stream<UploadEvent, UploadError>
  readonly download: (file: File.File) => Stream.Stream<Uint8Array, FileError>
  readonly downloadTo: (file: File.File, directory: string) => Effect.Effect<File.Local, FileError>
  readonly get: (id: string) => Effect.Effect<File.Stored, ApiFailure>
  readonly list: (query?: ApiClient.ListQuery) => Stream.Stream<File.Stored, ApiFailure>
  readonly remove: (id: string) => Effect.Effect<void, ApiFailure>
}

/**
 * The tag of the service that moves files.
 *
 * @since 0.1.0
 * @category services
 */
export class Files extends Context.Tag("effect-inferencesh/Files")<Files, Service>() {}

const toFile = (source: UploadSource): File.File =>
  File.isFile(source)
    ? source
    : source instanceof Uint8Array
      ? File.fromBytes(source)
      : source instanceof Blob
        ? File.fromBlob(source)
        : File.fromStream(source)

/**
 * Makes the service. Transfers to and from other hosts use the `HttpClient` of the context, without the API key.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make: Effect.Effect<
  Service,
  never,
  ApiClient.ApiClient | HttpClient.HttpClient | FileSystem.FileSystem | Path.Path
> = Effect.gen(function* () {
  const api = yield* ApiClient.ApiClient
  const client = yield* HttpClient.HttpClient
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const patience: Download.Patience = api.settings

  const uploadWith = makeUpload({ api, client, fs })
  const saveTo = makeDownloadTo({ client, fs, path, patience })

  const download: Service["download"] = (file) =>
    File.isRemote(file)
      ? Download.download(client, file.uri ?? "", patience)
      : Stream.provideService(File.localStream(file), FileSystem.FileSystem, fs)

  return {
    upload: (source, options = {}) =>
      uploadWith(toFile(source), options, () => Effect.void).pipe(Telemetry.operation("Files.upload")),

    uploadStream: (source, options = {}) =>
      Stream.unwrapScoped(
        Effect.gen(function* () {
          // Sliding: a consumer that is slow misses steps of the progress, and does not slow the upload down.
          const events = yield* Mailbox.make<UploadEvent, UploadError>({ capacity: 16, strategy: "sliding" })
          yield* uploadWith(toFile(source), options, (sent, total) =>
            events.offer(UploadEvent.Progress({ sent, total }))
          ).pipe(
            Effect.flatMap((file) => events.offer(UploadEvent.Done({ file }))),
            Mailbox.into(events),
            Effect.forkScoped
          )
          return Mailbox.toStream(events)
        })
      ).pipe(Telemetry.streamOperation("Files.uploadStream")),

    download: (file) => download(file).pipe(Telemetry.streamOperation("Files.download")),

    downloadTo: (file, directory) => saveTo(file, directory).pipe(Telemetry.operation("Files.downloadTo")),

    get: (id) =>
      Effect.map(api.request({ path: `/files/${encodeURIComponent(id)}`, schema: FileRecord }), fromRecord).pipe(
        Telemetry.operation("Files.get", { [Attribute.fileId]: id })
      ),

    list: (query) =>
      Stream.map(listPages(api, { method: "POST", path: "/files/list" }, FileRecord, query), fromRecord).pipe(
        Telemetry.streamOperation("Files.list")
      ),

    remove: (id) =>
      api
        .request({ method: "DELETE", path: `/files/${encodeURIComponent(id)}`, schema: Schema.Unknown })
        .pipe(Effect.asVoid, Telemetry.operation("Files.remove", { [Attribute.fileId]: id }))
  }
})

/**
 * Provides the service.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<
  Files,
  never,
  ApiClient.ApiClient | HttpClient.HttpClient | FileSystem.FileSystem | Path.Path
> = Layer.effect(Files, make)

/**
 * Stores a file at the service, and gives it back with its URL. Constant memory for files on disk and streams.
 *
 * Fails with {@link UploadError}: `FileError` where the file cannot be read or its storage refuses it.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import { File, Files } from "effect-inferencesh"
 *
 * const stored = Effect.gen(function* () {
 *   const photo = yield* Files.upload(File.fromPath("./cat.png"))
 *   const note = yield* Files.upload(new TextEncoder().encode("hello"), { filename: "note.txt" })
 *   return [photo.uri, note.uri]
 * })
 * ```
 * @since 0.1.0
 * @category operations
 */
export const upload = (source: UploadSource, options?: UploadOptions): Effect.Effect<File.Stored, UploadError, Files> =>
  Effect.flatMap(Files, (files) => files.upload(source, options))

/**
 * Stores a file at the service: `Progress` events with the bytes sent so far, then `Done` with the stored file. After a failed
 * attempt the progress starts over.
 *
 * Fails with {@link UploadError}.
 *
 * @since 0.1.0
 * @category operations
 */
export const uploadStream = (
  source: UploadSource,
  options?: UploadOptions
): Stream.Stream<UploadEvent, UploadError, Files> =>
  Stream.unwrap(Effect.map(Files, (files) => files.uploadStream(source, options)))

/**
 * Consumes the events of an upload and gives the stored file: what {@link upload} is to {@link uploadStream}.
 *
 * Fails with what the stream fails with. Dies if the stream ends before the upload is done, as one that was cut short does.
 *
 * @example
 * ```ts
 * import { Console, Stream } from "effect"
 * import { File, Files } from "effect-inferencesh"
 *
 * const stored = Files.uploadStream(File.fromPath("./film.mp4")).pipe(
 *   Stream.tap((event) => (event._tag === "Progress" ? Console.log(event.sent / event.total) : Console.log("done"))),
 *   Files.uploaded
 * )
 * ```
 * @since 0.1.0
 * @category operations
 */
export const uploaded = <E, R>(events: Stream.Stream<UploadEvent, E, R>): Effect.Effect<File.Stored, E, R> =>
  Effect.flatMap(Stream.runLast(events), (last) =>
    Option.match(Option.filter(last, UploadEvent.$is("Done")), {
      onSome: ({ file }) => Effect.succeed(file),
      onNone: () => Effect.dieMessage("the stream of events ended before the upload was done")
    })
  )

/**
 * The bytes of a file, as a stream.
 *
 * Fails with `FileError`; `SizeMismatch` where the connection ends before the announced size.
 *
 * @since 0.1.0
 * @category operations
 */
export const download = (file: File.File): Stream.Stream<Uint8Array, FileError, Files> =>
  Stream.unwrap(Effect.map(Files, (files) => files.download(file)))

/**
 * Writes a file below a directory, and gives back the local file. A URL has one place there, `<hash>/<name>`, which other
 * processes and official tools share: a file that is there already is not fetched again. The file appears whole or not at all.
 *
 * Fails with `FileError`.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import { File, Files } from "effect-inferencesh"
 *
 * const saved = Files.downloadTo(File.fromUri("https://cloud.inference.sh/app/files/t/ab12cd34/cat.png"), "./downloads").pipe(
 *   Effect.map((file) => file.path)
 * )
 * ```
 * @since 0.1.0
 * @category operations
 */
export const downloadTo = (file: File.File, directory: string): Effect.Effect<File.Local, FileError, Files> =>
  Effect.flatMap(Files, (files) => files.downloadTo(file, directory))

/**
 * The record of a stored file.
 *
 * Fails with `ApiFailure`.
 *
 * @since 0.1.0
 * @category operations
 */
export const get = (id: string): Effect.Effect<File.Stored, ApiFailure, Files> =>
  Effect.flatMap(Files, (files) => files.get(id))

/**
 * The records of stored files. Pages are fetched as the stream is consumed.
 *
 * Fails with `ApiFailure`.
 *
 * @since 0.1.0
 * @category operations
 */
export const list = (query?: ApiClient.ListQuery): Stream.Stream<File.Stored, ApiFailure, Files> =>
  Stream.unwrap(Effect.map(Files, (files) => files.list(query)))

/**
 * Deletes a stored file.
 *
 * Fails with `ApiFailure`.
 *
 * @since 0.1.0
 * @category operations
 */
export const remove = (id: string): Effect.Effect<void, ApiFailure, Files> =>
  Effect.flatMap(Files, (files) => files.remove(id))
