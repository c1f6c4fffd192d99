/** Finds the files in the output of an app whose contract is not known. */

import * as Predicate from "effect/Predicate"
import { File } from "effect-inferencesh"

/** A file is a URL that ends in a file name, or an object with a `uri`. A contract would tell it from a mere link. */
export const filesIn = (output: unknown): ReadonlyArray<File.File> => {
  if (typeof output === "string") {
    const file = /^https?:\/\/\S+$/.test(output) ? File.fromUri(output) : undefined
    return file?.contentType !== undefined && file.contentType !== "text/html" ? [file] : []
  }
  if (Predicate.hasProperty(output, "uri") && typeof output.uri === "string") return [File.fromUri(output.uri)]
  return Predicate.isRecord(output) || Array.isArray(output) ? Object.values(output).flatMap(filesIn) : []
}
