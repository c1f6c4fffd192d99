/** The files of a run on the disk of the machine that it runs on. */
import * as FileSystem from "@effect/platform/FileSystem"
import * as HttpClient from "@effect/platform/HttpClient"
import * as Path from "@effect/platform/Path"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as File from "../File.js"
import { FileError } from "../InferenceError.js"
import * as Download from "./download.js"
import { makeDownloadTo } from "./downloadTo.js"
import { fromPlatformError } from "./failure.js"

export interface LocalFiles {
  /** A file at an address, as one that is fetched when it is first read, and once. Any other stays what it is. */
  readonly lazily: (file: File.File) => File.File
  /** A file on the disk, where it stays until the scope closes. */
  readonly localFile: (file: File.File) => Effect.Effect<File.Local, FileError>
}

/** A file that is on the disk already. */
const onDisk = (fs: FileSystem.FileSystem, file: File.File, path: string): Effect.Effect<File.Local, FileError> =>
  Effect.map(
    Effect.provideService(File.refreshMetadata(file), FileSystem.FileSystem, fs),
    ({ size = 0, contentType, filename }) => File.make({ _tag: "Path", path }, { path, size, contentType, filename })
  )

const without = (fs: Option.Option<FileSystem.FileSystem>): LocalFiles => ({
  lazily: (file) => file,
  localFile: (file) => {
    const source = file[File.TypeId]
    return source._tag === "Path" && Option.isSome(fs)
      ? onDisk(fs.value, file, source.path)
      : new FileError({
          file: file.filename ?? "file",
          reason: "Write",
          detail: "the app was started without a FileSystem, a Path and an HttpClient in its context"
        })
  }
})

/** What there is for each run, as far as the context of its app has it. What was fetched goes with the run. */
export const make: Effect.Effect<Effect.Effect<LocalFiles, never, Scope.Scope>> = Effect.gen(function* () {
  const found = yield* Effect.all({
    fs: Effect.serviceOption(FileSystem.FileSystem),
    path: Effect.serviceOption(Path.Path),
    client: Effect.serviceOption(HttpClient.HttpClient)
  })
  const services = Option.all(found)
  if (Option.isNone(services)) return Effect.succeed(without(found.fs))
  const { fs, path, client } = services.value
  const saveTo = makeDownloadTo({ client, fs, path, patience: Download.defaultPatience })

  return Effect.gen(function* () {
    const scope = yield* Effect.scope
    let isOver = false
    const finish = Effect.addFinalizer(() =>
      Effect.sync(() => {
        isOver = true
      })
    )
    yield* finish
    const directory = yield* Effect.cached(
      fs.makeTempDirectoryScoped({ prefix: "inferencesh-run-" }).pipe(
        Effect.mapError((error) => fromPlatformError(error, "the temporary directory", "Write")),
        // Before the directory goes.
        Effect.zipLeft(finish),
        Scope.extend(scope)
      )
    )
    const saved = new WeakMap<File.File, File.Local>()
    let places = 0

    const save = (file: File.File): Effect.Effect<File.Local, FileError> =>
      Effect.gen(function* () {
        if (isOver) {
          const detail = "the run that it was given to is over: its files on the disk are gone"
          return yield* new FileError({ file: file.filename ?? "file", reason: "NotFound", detail })
        }
        const known = saved.get(file)
        if (known !== undefined) return known
        const root = yield* directory
        // Those at addresses have a place by their address, and others may be called the same.
        const local = yield* saveTo(file, File.isRemote(file) ? root : path.join(root, String(++places)))
        saved.set(file, local)
        return local
      })

    const localFile = (file: File.File): Effect.Effect<File.Local, FileError> => {
      const source = file[File.TypeId]
      return source._tag === "Path" ? onDisk(fs, file, source.path) : save(file)
    }

    const lazily = (file: File.File): File.File => {
      const { uri } = file
      if (file[File.TypeId]._tag !== "Uri" || !File.isRemote(file) || uri === undefined) return file
      // One that is kept beyond the run is fetched as any other.
      const stream = Stream.suspend(() =>
        isOver
          ? Download.download(client, uri)
          : Stream.unwrap(
              Effect.map(save(file), (local) =>
                Stream.provideService(File.localStream(local), FileSystem.FileSystem, fs)
              )
            )
      )
      return File.make({ _tag: "Fetched", uri, stream }, file)
    }

    return { lazily, localFile }
  })
})
