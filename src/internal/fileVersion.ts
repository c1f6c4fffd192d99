import * as FileSystem from "@effect/platform/FileSystem"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as File from "../File.js"
import { FileError } from "../InferenceError.js"
import { fromPlatformError } from "./failure.js"

/** What is another once a file on the disk has been written to. That of any other file stays the same. Fails where there is none. */
export const fileVersion = (file: File.File): Effect.Effect<string, FileError, FileSystem.FileSystem> => {
  const source = file[File.TypeId]
  return source._tag === "Path"
    ? Effect.gen(function* () {
        const fs = yield* FileSystem.FileSystem
        const { mtime, size, type } = yield* Effect.mapError(fs.stat(source.path), (error) =>
          fromPlatformError(error, source.path)
        )
        if (type !== "File") return yield* new FileError({ file: source.path, reason: "NotAFile" })
        return `${Option.match(mtime, { onNone: () => 0, onSome: (date) => date.getTime() })}-${size}`
      })
    : Effect.succeed("")
}
