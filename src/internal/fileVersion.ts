import * as FileSystem from "@effect/platform/FileSystem"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as File from "../File.js"
import type { FileError } from "../InferenceError.js"
import { fromPlatformError } from "./failure.js"

/** What is another once a file on the disk has been written to. That of any other file stays the same. */
export const fileVersion = (file: File.File): Effect.Effect<string, FileError, FileSystem.FileSystem> => {
  const source = file[File.TypeId]
  return source._tag === "Path"
    ? Effect.gen(function* () {
        const fs = yield* FileSystem.FileSystem
        const { mtime, size } = yield* fs.stat(source.path)
        return `${Option.match(mtime, { onNone: () => 0, onSome: (date) => date.getTime() })}-${size}`
      }).pipe(Effect.mapError((error) => fromPlatformError(error, source.path)))
    : Effect.succeed("")
}
