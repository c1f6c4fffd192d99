import * as PlatformError from "@effect/platform/Error"
import type * as FileSystem from "@effect/platform/FileSystem"
import * as Effect from "effect/Effect"
import * as Sink from "effect/Sink"
import * as Stream from "effect/Stream"
import { NoFileSystem } from "./failure.js"

const refusal = (method: string) =>
  new PlatformError.BadArgument({
    module: "FileSystem",
    method,
    description: "there is no file system here",
    cause: new NoFileSystem()
  })

const refuse = (method: string) => () => Effect.fail(refusal(method))

/** The file system of platforms that have none. Whatever is asked of it fails. */
export const noFileSystem: FileSystem.FileSystem = {
  access: refuse("access"),
  chmod: refuse("chmod"),
  chown: refuse("chown"),
  copy: refuse("copy"),
  copyFile: refuse("copyFile"),
  exists: refuse("exists"),
  link: refuse("link"),
  makeDirectory: refuse("makeDirectory"),
  makeTempDirectory: refuse("makeTempDirectory"),
  makeTempDirectoryScoped: refuse("makeTempDirectoryScoped"),
  makeTempFile: refuse("makeTempFile"),
  makeTempFileScoped: refuse("makeTempFileScoped"),
  open: refuse("open"),
  readDirectory: refuse("readDirectory"),
  readFile: refuse("readFile"),
  readFileString: refuse("readFileString"),
  readLink: refuse("readLink"),
  realPath: refuse("realPath"),
  remove: refuse("remove"),
  rename: refuse("rename"),
  sink: () => Sink.fail(refusal("sink")),
  stat: refuse("stat"),
  stream: () => Stream.fail(refusal("stream")),
  symlink: refuse("symlink"),
  truncate: refuse("truncate"),
  utimes: refuse("utimes"),
  watch: () => Stream.fail(refusal("watch")),
  writeFile: refuse("writeFile"),
  writeFileString: refuse("writeFileString")
}
