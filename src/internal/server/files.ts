/** The files that the server keeps: records in memory, bytes on disk. */
import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as File from "../../File.js"
import { FileError } from "../../InferenceError.js"
import { fromPlatformError } from "../failure.js"
import { fileVersion } from "../fileVersion.js"
import { contentTypeOf, extensionOf } from "../mime.js"
import type { Json } from "../wire.js"
import { randomId } from "./ids.js"
import type { Records } from "./records.js"
import { iso } from "./taskWire.js"

export const FileRecord = Schema.Struct({
  ordinal: Schema.Int,
  id: Schema.String,
  createdAt: Schema.Number,
  filename: Schema.String,
  contentType: Schema.String,
  folder: Schema.String,
  category: Schema.String,
  origin: Schema.String,
  /** Bytes as announced, and once `stored`, as they are. */
  size: Schema.UndefinedOr(Schema.Number),
  stored: Schema.Boolean
})

export type FileRecord = typeof FileRecord.Type

/** A file name that is safe in any directory and in a URL, whatever was asked for. */
export const safeName = (name: string | undefined, contentType: string | undefined): string => {
  const base = (name ?? "").split(/[/\\]/).at(-1) ?? ""
  const safe = Array.from(base.normalize("NFC"), (char) => (/[\p{L}\p{N}._ ()+@,=-]/u.test(char) ? char : "_"))
    .join("")
    .replace(/^[. ]+|[. ]+$/g, "")
  if (safe === "") {
    const extension = contentType && extensionOf(contentType)
    return extension ? `file.${extension}` : "file"
  }
  // The end of a long name holds its extension; file systems take 255 bytes.
  const short = Array.from(safe).slice(-80)
  while (new TextEncoder().encode(short.join("")).length > 200) short.shift()
  return short.join("")
}

export const make = (directory: string, stored: Records) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const known = yield* stored.read(FileRecord)
    const records = new Map(known.map((record) => [record.id, record]))
    let ordinal = known.at(-1)?.ordinal ?? 0
    // What was being written when the server was killed.
    const partials = path.join(directory, "files", ".partial")
    yield* Effect.ignore(fs.remove(partials, { recursive: true, force: true }))

    const save = (id: string) => stored.save(id, () => records.get(id))

    const folderOf = (id: string) => path.join(directory, "files", id)
    const pathOf = (record: FileRecord) => path.join(folderOf(record.id), record.filename)
    const uriOf = (record: FileRecord) =>
      `${record.origin}/app/files/${record.id}/${encodeURIComponent(record.filename)}`

    const create = (options: {
      readonly filename?: string | undefined
      readonly contentType?: string | undefined
      readonly size?: number | undefined
      readonly folder?: string | undefined
      readonly category?: string | undefined
      readonly origin: string
    }) =>
      Effect.zipWith(randomId, Clock.currentTimeMillis, (id, now): FileRecord => {
        // It becomes a header, which other characters would break.
        const given = options.contentType?.replace(/[^\x20-\x7e]/g, "").trim()
        const contentType = given || (options.filename && contentTypeOf(options.filename)) || "application/octet-stream"
        const record: FileRecord = {
          ordinal: ++ordinal,
          id,
          createdAt: now,
          filename: safeName(options.filename, contentType),
          contentType,
          folder: options.folder ?? "",
          category: options.category ?? "",
          origin: options.origin,
          size: options.size,
          stored: false
        }
        records.set(id, record)
        return record
      })

    /** Writes the bytes beside their place, and moves them there when they are complete. */
    const write = <E, R>(
      record: FileRecord,
      bytes: Stream.Stream<Uint8Array, E, R>,
      expected?: number
    ): Effect.Effect<FileRecord, FileError | E, R> =>
      Effect.gen(function* () {
        const failed = (error: Parameters<typeof fromPlatformError>[0]) =>
          fromPlatformError(error, record.filename, "Write")
        const mismatch = (size: number) =>
          new FileError({ file: record.filename, reason: "SizeMismatch", detail: `${size} of ${expected} bytes` })
        const partial = path.join(partials, yield* randomId)
        yield* Effect.mapError(fs.makeDirectory(partials, { recursive: true }), failed)
        let size = 0
        const counted = Stream.mapEffect(bytes, (chunk) => {
          size += chunk.length
          return expected !== undefined && size > expected ? mismatch(size) : Effect.succeed(chunk)
        })
        const written = Effect.gen(function* () {
          const handle = yield* Effect.mapError(fs.open(partial, { flag: "wx" }), failed)
          yield* Stream.runForEach(counted, (chunk) => Effect.mapError(handle.writeAll(chunk), failed))
          if (expected !== undefined && size < expected) return yield* mismatch(size)
        })
        yield* Effect.gen(function* () {
          yield* Effect.scoped(written)
          if (!records.has(record.id)) return yield* new FileError({ file: record.filename, reason: "NotFound" })
          yield* Effect.mapError(fs.makeDirectory(folderOf(record.id), { recursive: true }), failed)
          yield* Effect.mapError(fs.rename(partial, pathOf(record)), failed)
        }).pipe(Effect.onError(() => Effect.ignore(fs.remove(partial, { force: true }))))
        // It may have been removed meanwhile.
        if (!records.has(record.id)) {
          yield* Effect.ignore(fs.remove(folderOf(record.id), { recursive: true, force: true }))
          return yield* new FileError({ file: record.filename, reason: "NotFound" })
        }
        const complete: FileRecord = { ...record, size, stored: true }
        records.set(record.id, complete)
        yield* save(record.id)
        return complete
      })

    // The id cannot be guessed, so its path alone tells a URL of this server, under whatever name it was reached.
    const own = (uri: string | undefined): FileRecord | undefined => {
      const match = uri === undefined ? null : /^https?:\/\/.+\/app\/files\/([0-9a-z]{26})\/[^/?#]+$/.exec(uri)
      const record = match?.[1] === undefined ? undefined : records.get(match[1])
      return record?.stored ? record : undefined
    }

    return {
      create,
      write,
      uriOf,
      pathOf,
      find: (id: string) => records.get(id),
      /** The newest first. */
      all: (): ReadonlyArray<FileRecord> => Array.from(records.values()).reverse(),
      remove: (id: string) =>
        Effect.suspend(() => {
          records.delete(id)
          return Effect.zipRight(save(id), Effect.ignore(fs.remove(folderOf(id), { recursive: true, force: true })))
        }),
      /** A file of this server as one that is read from the disk. Any other stays as it is. */
      resolve: (file: File.File): File.File => {
        const record = file[File.TypeId]._tag === "Uri" ? own(file.uri) : undefined
        if (record === undefined) return file
        const { filename, contentType, size, id } = record
        return Object.assign(File.fromPath(pathOf(record), { filename, contentType, size }), { id, uri: file.uri })
      },
      /** What tells whether a file on the disk has been written since. */
      versionOf: (file: File.File) => Effect.provideService(fileVersion(file), FileSystem.FileSystem, fs),
      /** The URL of a file, which is stored for it unless it is already. */
      publish: (file: File.File, origin: string): Effect.Effect<string, FileError> =>
        Effect.gen(function* () {
          const known = own(file.uri)
          if (known !== undefined && file.uri !== undefined) return file.uri
          const record = yield* create({ filename: file.filename, contentType: file.contentType, origin })
          const stored = yield* write(record, File.localStream(file)).pipe(
            Effect.provideService(FileSystem.FileSystem, fs),
            Effect.onError(() => Effect.sync(() => records.delete(record.id)))
          )
          return uriOf(stored)
        }),
      read: (record: FileRecord): Stream.Stream<Uint8Array, FileError> =>
        Stream.mapError(fs.stream(pathOf(record)), (error) => fromPlatformError(error, record.filename)),
      wire: (record: FileRecord, uploadUrl: string): Json => ({
        id: record.id,
        short_id: record.id.slice(0, 8),
        created_at: iso(record.createdAt),
        updated_at: iso(record.createdAt),
        deleted_at: null,
        user_id: "local",
        user: null,
        team_id: "local",
        team: null,
        visibility: "private",
        path: record.folder,
        remote_path: `files/${record.id}/${record.filename}`,
        upload_url: uploadUrl,
        uri: uriOf(record),
        content_type: record.contentType,
        size: record.size ?? 0,
        filename: record.filename,
        category: record.category,
        rating: "unrated",
        metadata: null
      })
    }
  })

export interface Files extends Effect.Effect.Success<ReturnType<typeof make>> {}
