/** Where on this machine an app of the platform may have put the files that it gives. */
import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"

const storage = ["/app/data", "/app/tmp", "/app/cache"]

/** How the temporary directories of servers are called. They hold what is of others than the caller. */
export const serverPrefix = "inferencesh-server-"

/** Where the server that hosts an app keeps its files, if one does. */
export class ServerDirectory extends Context.Reference<ServerDirectory>()("effect-inferencesh/ServerDirectory", {
  defaultValue: (): string | undefined => undefined
}) {}

/** What keeps the file at a path from being given, if anything does. `given` are the files that the app itself was given. */
export type Refuse = (path: string, given: ReadonlyMap<string, unknown>) => Effect.Effect<string | undefined>

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
    const server = yield* ServerDirectory
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
        const known = [...storage, ...Option.toArray(yield* temporary), ...Option.toArray(cache)]
        // One that is set to the root of the file system does not mean all of it.
        const roots = known.filter((directory) => path.dirname(directory) !== directory)
        return {
          known: yield* Effect.forEach(roots, real),
          others: yield* Effect.forEach(others, real),
          refused: server === undefined ? [] : [yield* real(server)]
        }
      })
    )
    const isIn = (file: string) => (directory: string) => {
      const way = path.relative(directory, file)
      return way !== ".." && !way.startsWith(`..${path.sep}`) && !path.isAbsolute(way)
    }
    const isOfServer = (file: string) => file.split(path.sep).some((name) => name.startsWith(serverPrefix))
    return (file, given) =>
      given.has(file)
        ? Effect.succeed(undefined)
        : Effect.map(Effect.all([real(file), directories]), ([place, { known, others, refused }]) =>
            path.isAbsolute(file) &&
            !refused.some(isIn(place)) &&
            (others.some(isIn(place)) || (known.some(isIn(place)) && !isOfServer(place)))
              ? undefined
              : `the file ${file} is not given: it is in none of the directories from which files are (the outputDirectories of fromNodeModule add some)`
          )
  })
