import * as FileSystem from "@effect/platform/FileSystem"
import type * as HttpClient from "@effect/platform/HttpClient"
import type * as Path from "@effect/platform/Path"
import * as Effect from "effect/Effect"
import * as Encoding from "effect/Encoding"
import * as Stream from "effect/Stream"
import * as File from "../File.js"
import { type FileError, isTransient } from "../InferenceError.js"
import * as Download from "./download.js"
import { fromPlatformError } from "./failure.js"
import { contentTypeOf, extensionOf } from "./mime.js"
import * as Retry from "./retry.js"

const hexDigest = (text: string): Effect.Effect<string> =>
  Effect.map(
    Effect.promise(() => crypto.subtle.digest("SHA-256", new TextEncoder().encode(text))),
    (digest) => Encoding.encodeHex(new Uint8Array(digest))
  )

/** As many whole characters as fit into a number of bytes. */
const upTo = (bytes: number, text: string): string => {
  const encoder = new TextEncoder()
  let left = bytes
  const firstOver = Array.from(text).findIndex((char) => {
    left -= encoder.encode(char).length
    return left < 0
  })
  return firstOver === -1 ? text : Array.from(text).slice(0, firstOver).join("")
}

/** A name that stays in its directory, whatever a server or a user called the file. File systems count bytes, up to 255. */
export const safeName = (name: string): string => {
  const clean = Array.from(name, (char) =>
    char === "/" || char === "\\" || char < " " || char === "\u007f" ? "_" : char
  )
    .join("")
    .replace(/^\.+$/, "_")
  const dot = clean.lastIndexOf(".")
  const extension = dot > 0 ? upTo(20, clean.slice(dot)) : ""
  const whole = upTo(200, clean)
  return whole === clean ? clean || "download" : upTo(180, clean) + extension
}

/** Where a file is kept below a directory: the layout that the official tools share, protocol.md §12.4. */
const placeOf = (file: File.File): Effect.Effect<ReadonlyArray<string>> => {
  const uri = file.uri
  if (uri?.startsWith("data:")) {
    const extension = extensionOf(file.contentType ?? "")
    return Effect.map(hexDigest(uri), (hash) => [
      "data_uri",
      hash.slice(0, 16),
      extension === undefined ? "file" : `file.${extension}`
    ])
  }
  if (!File.isRemote(file) || uri === undefined || !URL.canParse(uri)) {
    return Effect.succeed([safeName(file.filename ?? "download")])
  }
  const url = new URL(uri)
  const name = url.pathname.split("/").at(-1)
  return Effect.map(hexDigest(url.host + url.pathname + url.search), (hash) => [
    hash.slice(0, 12),
    safeName(name || "download")
  ])
}

/** Writes files below a directory, each whole or not at all, and no URL twice at a time. */
export const makeDownloadTo = ({
  client,
  fs,
  path,
  patience
}: {
  readonly client: HttpClient.HttpClient
  readonly fs: FileSystem.FileSystem
  readonly path: Path.Path
  readonly patience: Download.Patience
}) => {
  const locks = new Map<string, { readonly lock: Effect.Semaphore; users: number }>()

  /** Whoever comes second waits, and then finds the file. */
  const oneAtATime =
    (key: string) =>
    <A, E>(effect: Effect.Effect<A, E>): Effect.Effect<A, E> =>
      Effect.acquireUseRelease(
        Effect.sync(() => {
          const entry = locks.get(key) ?? { lock: Effect.unsafeMakeSemaphore(1), users: 0 }
          entry.users += 1
          locks.set(key, entry)
          return entry
        }),
        ({ lock }) => lock.withPermits(1)(effect),
        (entry) =>
          Effect.sync(() => {
            entry.users -= 1
            if (entry.users === 0) locks.delete(key)
          })
      )

  const write = (bytes: Stream.Stream<Uint8Array, FileError>, target: string): Effect.Effect<void, FileError> =>
    Effect.gen(function* () {
      const temporary = `${target}.${crypto.randomUUID()}.tmp`
      yield* Stream.run(bytes, fs.sink(temporary)).pipe(
        Effect.zipRight(fs.rename(temporary, target)),
        Effect.onError(() => Effect.ignore(fs.remove(temporary, { force: true }))),
        Effect.mapError((error) => (error._tag === "FileError" ? error : fromPlatformError(error, target, "Write")))
      )
    })

  return (file: File.File, directory: string): Effect.Effect<File.Local, FileError> =>
    Effect.gen(function* () {
      const target = path.join(directory, ...(yield* placeOf(file)))
      const failed = Effect.mapError((error: Parameters<typeof fromPlatformError>[0]) =>
        fromPlatformError(error, target, "Write")
      )
      yield* failed(fs.makeDirectory(path.dirname(target), { recursive: true }))
      const remote = File.isRemote(file)
      const bytes = remote
        ? Download.download(client, file.uri ?? "", { ...patience, retry: Retry.resolve(false) })
        : Stream.provideService(File.localStream(file), FileSystem.FileSystem, fs)
      yield* oneAtATime(path.resolve(target))(
        Effect.gen(function* () {
          if (remote && (yield* failed(fs.exists(target)))) return
          yield* Retry.retrying<FileError>(patience.retry, isTransient)(() => write(bytes, target))
        })
      )
      const { contentType = contentTypeOf(target), filename } = file
      const size = Number((yield* failed(fs.stat(target))).size)
      return File.make({ _tag: "Path", path: target }, { path: target, size, contentType, filename })
    })
}
