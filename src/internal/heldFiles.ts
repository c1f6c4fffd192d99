/** The files of an input that the host holds itself. A run gets copies of them: it may change or remove what it is given. */
import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import * as File from "../File.js"
import { FileError } from "../InferenceError.js"
import { safeName } from "./downloadTo.js"
import { fromPlatformError } from "./failure.js"

export interface HeldFiles {
  /** A file as the host has it, which is for reading only. */
  readonly resolve: (file: File.File) => File.File
  /** The copy of a file that the host holds, on the disk until the scope closes. Any other stays what it is. */
  readonly copied: (file: File.File) => Effect.Effect<File.File, FileError>
}

type ResolveFile = (file: File.File) => File.File

/** What there is for each run. */
export const make: Effect.Effect<(resolveFile: ResolveFile) => Effect.Effect<HeldFiles, never, Scope.Scope>> =
  Effect.gen(function* () {
    const services = Option.all({
      fs: yield* Effect.serviceOption(FileSystem.FileSystem),
      path: yield* Effect.serviceOption(Path.Path)
    })

    return (resolveFile) =>
      Effect.map(Effect.scope, (scope): HeldFiles => {
        const held = new Set<string>()
        const copies = new Map<string, string>()

        const resolve: HeldFiles["resolve"] = (file) => {
          const found = resolveFile(file)
          const source = found[File.TypeId]
          if (found !== file && source._tag === "Path") held.add(source.path)
          return found
        }

        const copy = (file: File.File, source: string): Effect.Effect<string, FileError> =>
          Effect.gen(function* () {
            const known = copies.get(source)
            if (known !== undefined) return known
            const name = safeName(file.filename ?? "file")
            if (Option.isNone(services)) {
              const detail = "the app was started without a FileSystem and a Path in its context"
              return yield* new FileError({ file: name, reason: "Write", detail })
            }
            const { fs, path } = services.value
            const made = yield* fs.makeTempDirectoryScoped({ prefix: "inferencesh-run-" }).pipe(
              Scope.extend(scope),
              Effect.map((directory) => path.join(directory, name)),
              Effect.tap((target) => fs.copyFile(source, target)),
              Effect.mapError((error) => fromPlatformError(error, name, "Write"))
            )
            copies.set(source, made)
            return made
          })

        const copied: HeldFiles["copied"] = (file) => {
          const found = resolve(file)
          const source = found[File.TypeId]
          return source._tag === "Path" && held.has(source.path)
            ? Effect.map(copy(found, source.path), (path) => File.make({ _tag: "Path", path }, { ...found, path }))
            : Effect.succeed(found)
        }

        return { resolve, copied }
      })
  })
