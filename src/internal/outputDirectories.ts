/** Where on this machine an app of the platform may have put the files that it gives. */
import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"

const storage = ["/app/data", "/app/tmp", "/app/cache"]

/** What keeps the file at a path from being given, if anything does. `given` are the files that the app itself was given. */
export type Refuse = (path: string, given: ReadonlySet<string>) => Effect.Effect<string | undefined>

export const make = (others: ReadonlyArray<string>): Effect.Effect<Refuse> =>
  Effect.gen(function* () {
    const services = Option.all({
      fs: yield* Effect.serviceOption(FileSystem.FileSystem),
      path: yield* Effect.serviceOption(Path.Path)
    })
    if (Option.isNone(services)) {
      return (path) =>
        Effect.succeed(
          `the file ${path} is not given: the app was started without a FileSystem and a Path in its context`
        )
    }
    const { fs, path } = services.value
    // Links are followed. Of what is not there, there is nothing to read either.
    const real = (file: string) => Effect.orElseSucceed(fs.realPath(file), () => path.resolve(file))
    const directories = yield* Effect.cached(
      Effect.gen(function* () {
        const temporary = fs
          .makeTempDirectoryScoped({ prefix: "inferencesh-" })
          .pipe(Effect.map(path.dirname), Effect.scoped, Effect.option)
        const home = yield* Effect.option(
          Config.orElse(Config.nonEmptyString("HOME"), () => Config.nonEmptyString("USERPROFILE"))
        )
        const cache = Option.orElse(yield* Effect.option(Config.nonEmptyString("FILE_CACHE_DIR")), () =>
          Option.map(home, (home) => path.join(home, ".cache", "inferencesh", "files"))
        )
        const known = [...storage, path.resolve(), ...Option.toArray(yield* temporary), ...Option.toArray(cache)]
        // A process that runs at the root of the file system does not mean all of it.
        const roots = known.filter((directory) => path.dirname(directory) !== directory)
        return yield* Effect.forEach([...roots, ...others], real)
      })
    )
    const isIn = (directory: string, file: string) => {
      const way = path.relative(directory, file)
      return way !== ".." && !way.startsWith(`..${path.sep}`) && !path.isAbsolute(way)
    }
    return (file, given) =>
      given.has(file)
        ? Effect.succeed(undefined)
        : Effect.map(Effect.all([real(file), directories]), ([place, directories]) =>
            directories.some((directory) => isIn(directory, place))
              ? undefined
              : `the file ${file} is not given: it is in none of the directories from which files are (outputDirectories adds some)`
          )
  })
