import * as FileSystem from "@effect/platform/FileSystem"
import * as HttpBody from "@effect/platform/HttpBody"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type * as ApiClient from "../ApiClient.js"
import * as File from "../File.js"
import type { UploadOptions } from "../Files.js"
import { type ApiFailure, FileError, isTransient } from "../InferenceError.js"
import { Attribute } from "../Telemetry.js"
import { parseDataUri } from "./dataUri.js"
import * as Download from "./download.js"
import { fromHttpClientError, fromPlatformError, readProblem, retryAfter, withoutQuery } from "./failure.js"
import { lastly } from "./lastly.js"
import { contentTypeOf, extensionOf } from "./mime.js"
import * as Retry from "./retry.js"
import { field } from "./wire.js"

/** A file record, protocol.md §6.1. */
export const FileRecord = Schema.Struct({
  id: field("id", Schema.String),
  uri: Schema.optionalWith(Schema.String, { default: () => "", nullable: true }),
  uploadUrl: field("upload_url", Schema.String),
  contentType: field("content_type", Schema.String),
  size: field("size", Schema.Number),
  filename: field("filename", Schema.String),
  path: field("path", Schema.String)
})

export const fromRecord = ({ uri, uploadUrl: _, ...metadata }: typeof FileRecord.Type): File.Stored =>
  File.fromUri(uri, metadata)

/** Something of known size that can be sent again. */
interface Content {
  readonly size: number
  readonly body: (contentType: string, onBytes: (count: number) => Effect.Effect<void>) => HttpBody.HttpBody
}

interface Dependencies {
  readonly api: ApiClient.Service
  readonly client: HttpClient.HttpClient
  readonly fs: FileSystem.FileSystem
}

const chunkSize = FileSystem.KiB(64)

const fromDisk = (fs: FileSystem.FileSystem, path: string): Effect.Effect<Content, FileError> =>
  Effect.gen(function* () {
    const info = yield* Effect.mapError(fs.stat(path), (error) => fromPlatformError(error, path))
    if (info.type !== "File") return yield* new FileError({ file: path, reason: "NotAFile" })
    // Opened once before anything is sent, so that a missing permission is found here.
    yield* Effect.scoped(Effect.mapError(fs.open(path, { flag: "r" }), (error) => fromPlatformError(error, path)))
    return {
      size: Number(info.size),
      body: (contentType, onBytes) =>
        HttpBody.stream(
          Stream.tap(fs.stream(path, { chunkSize }), (chunk) => onBytes(chunk.length)),
          contentType,
          Number(info.size)
        )
    }
  })

const fromMemory = (bytes: Uint8Array): Content => ({
  size: bytes.length,
  body: (contentType) => HttpBody.uint8Array(bytes, contentType)
})

/** Not every HTTP client takes blobs. Those that would fill the memory are left to the ones that do. */
const fromBlob = (blob: Blob, name: string): Effect.Effect<Content, FileError> =>
  blob.size > 16 * 1024 * 1024
    ? Effect.succeed({
        size: blob.size,
        body: (contentType) => HttpBody.raw(blob, { contentType, contentLength: blob.size })
      })
    : Effect.tryPromise({
        try: async () => fromMemory(new Uint8Array(await blob.arrayBuffer())),
        catch: (error) => new FileError({ file: name, reason: "Read", detail: String(error) })
      })

/** A signed address needs the size beforehand and the service may want the bytes twice: a stream goes to disk first. */
const spool = (
  fs: FileSystem.FileSystem,
  name: string,
  stream: Stream.Stream<Uint8Array, FileError>
): Effect.Effect<Content, FileError, Scope.Scope> =>
  Effect.gen(function* () {
    const path = yield* Effect.mapError(fs.makeTempFileScoped({ prefix: "inferencesh-" }), (error) =>
      fromPlatformError(error, name, "Write")
    )
    yield* Stream.run(stream, fs.sink(path)).pipe(
      Effect.mapError((error) => (error._tag === "FileError" ? error : fromPlatformError(error, name, "Write")))
    )
    return yield* fromDisk(fs, path)
  })

const contentOf = (
  { client, fs, api }: Dependencies,
  file: File.File
): Effect.Effect<Content, FileError, Scope.Scope> => {
  const source = file[File.TypeId]
  switch (source._tag) {
    case "Path":
      return fromDisk(fs, source.path)
    case "Bytes":
      return Effect.succeed(fromMemory(source.bytes))
    case "Blob":
      return fromBlob(source.blob, file.filename ?? "blob")
    case "Stream":
    case "Fetched":
      return spool(fs, file.filename ?? "stream", source.stream)
    case "Uri":
      return Option.match(parseDataUri(source.uri), {
        onSome: ({ bytes }) => Effect.succeed(fromMemory(bytes)),
        onNone: () =>
          source.uri.startsWith("data:")
            ? Effect.fail(new FileError({ file: withoutQuery(source.uri), reason: "InvalidUri" }))
            : spool(fs, file.filename ?? source.uri, Download.download(client, source.uri, api.settings))
      })
  }
}

/** Bytes in memory are handed over as one: no word on how far they are. They may take as long as a slow line needs. */
const slowest = 32 * 1024

/** Sends the bytes to a signed address. It fails when no byte is taken, and no reply comes, within the request timeout. */
const put = (
  { api, client }: Dependencies,
  name: string,
  url: string,
  contentType: string,
  content: Content,
  onProgress: (sent: number, total: number) => Effect.Effect<void>
): Effect.Effect<void, FileError> =>
  Effect.suspend(() => {
    let sent = 0
    const onBytes = (count: number) => {
      sent += count
      return onProgress(Math.min(sent, content.size), content.size)
    }
    const body = content.body(contentType, onBytes)
    const failed = (fields: Partial<FileError>) => new FileError({ file: name, reason: "Upload", ...fields })
    const send = Effect.gen(function* () {
      yield* onProgress(0, content.size)
      const request = HttpClientRequest.put(url).pipe(HttpClientRequest.setBody(body))
      const response = yield* HttpClient.withScope(Download.plainClient(client)).execute(request)
      if (response.status >= 200 && response.status < 300) {
        // Bodies that are not streams are not counted as they go.
        return yield* sent < content.size ? onProgress(content.size, content.size) : Effect.void
      }
      const text = yield* response.stream.pipe(
        Stream.take(1),
        Stream.decodeText(),
        Stream.mkString,
        Effect.timeout(api.settings.idleTimeout),
        Effect.orElseSucceed(() => "")
      )
      return yield* failed({
        status: response.status,
        detail: readProblem(text).detail ?? `the storage answered ${response.status}`,
        retryAfter: yield* retryAfter(response.headers, response.status)
      })
    }).pipe(
      Effect.scoped,
      Effect.catchTags({
        RequestError: (error) => failed({ detail: fromHttpClientError(error).detail ?? "the connection failed" }),
        ResponseError: (error) => failed({ detail: fromHttpClientError(error).detail ?? "the connection broke" })
      })
    )
    const stalled: Effect.Effect<never, FileError> = Effect.suspend(() => {
      const before = sent
      return Effect.flatMap(Effect.sleep(api.settings.requestTimeout), () =>
        sent > before ? stalled : Effect.fail(failed({ detail: "the storage takes no more bytes" }))
      )
    })
    const watch =
      body._tag === "Stream" ? stalled : Effect.delay(stalled, `${Math.ceil(content.size / slowest)} seconds`)
    return Effect.raceFirst(send, watch)
  })

/** Uploads a file: a record first, then its bytes to the signed address that comes with it. */
export const makeUpload =
  (dependencies: Dependencies) =>
  (
    file: File.File,
    options: UploadOptions,
    onProgress: (sent: number, total: number) => Effect.Effect<void>
  ): Effect.Effect<File.Stored, ApiFailure | FileError> =>
    Effect.scoped(
      Effect.gen(function* () {
        const { api } = dependencies
        const content = yield* contentOf(dependencies, file)
        const named = options.filename ?? file.filename
        const contentType =
          options.contentType ?? file.contentType ?? (named && contentTypeOf(named)) ?? "application/octet-stream"
        const extension = extensionOf(contentType)
        const filename = named ?? (extension === undefined ? "file" : `file.${extension}`)
        const records = yield* api.request({
          method: "POST",
          path: "/files",
          body: {
            files: [
              {
                uri: "",
                filename,
                content_type: contentType,
                size: content.size,
                path: options.path,
                public: options.public
              }
            ]
          },
          schema: Schema.Array(FileRecord)
        })
        const [record] = records
        if (record?.uploadUrl === undefined || record.uploadUrl === "" || record.uri === "") {
          return yield* new FileError({
            file: filename,
            reason: "Upload",
            detail: "the service gave no upload address"
          })
        }
        const { uploadUrl, id } = record
        const signedType = record.contentType || contentType
        const forget =
          id === undefined
            ? Effect.void
            : api.request({ method: "DELETE", path: `/files/${encodeURIComponent(id)}`, schema: Schema.Unknown })
        yield* Retry.retrying<FileError>(
          api.settings.retry,
          isTransient
        )(() => put(dependencies, filename, uploadUrl, signedType, content, onProgress)).pipe(
          Effect.onError(() =>
            lastly(`The record of ${filename}, which was not uploaded, may be left at the service`)(forget).pipe(
              Effect.annotateLogs(Attribute.fileId, id)
            )
          )
        )
        return fromRecord({
          ...record,
          contentType: signedType,
          size: content.size,
          filename: record.filename || filename
        })
      })
    )
