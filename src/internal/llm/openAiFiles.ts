/** Files as the parts of a message to an API like OpenAI's: images as such, texts written out. */
import type * as FileSystem from "@effect/platform/FileSystem"
import type * as HttpClient from "@effect/platform/HttpClient"
import * as Effect from "effect/Effect"
import * as Encoding from "effect/Encoding"
import * as Stream from "effect/Stream"
import * as File from "../../File.js"
import { AppFailed, type FileError } from "../../InferenceError.js"
import { concat } from "../bytes.js"
import { withoutQuery } from "../failure.js"
import type { Json } from "../wire.js"

/** The largest file that is sent along, in bytes. */
const maxBytes = 20 * 1024 * 1024

const nameOf = (file: File.File): string | undefined =>
  file.filename ?? file.path ?? (file.uri === undefined ? undefined : withoutQuery(file.uri))

const declaredType = (file: File.File): string => (file.contentType ?? "").split(";")[0]?.trim().toLowerCase() ?? ""

type Failed = AppFailed | FileError

type Platform = FileSystem.FileSystem | HttpClient.HttpClient

const refused = (app: string, file: File.File, why: string): AppFailed => {
  const type = declaredType(file)
  const detail = `the file ${nameOf(file) ?? "without a name"}${type && ` (${type})`} cannot be sent to the model: ${why}`
  return new AppFailed({ app, phase: "run", detail })
}

const read = (app: string, file: File.File): Effect.Effect<Uint8Array, Failed, Platform> => {
  const tooLarge = refused(app, file, `it has more than ${maxBytes} bytes`)
  if (file.size !== undefined && file.size > maxBytes) return tooLarge
  return Effect.suspend(() => {
    const chunks: Array<Uint8Array> = []
    let size = 0
    return File.stream(file).pipe(
      Stream.runForEach((chunk) => {
        chunks.push(chunk)
        size += chunk.length
        return size > maxBytes ? tooLarge : Effect.void
      }),
      Effect.map(() => concat(chunks))
    )
  })
}

const startsWith = (bytes: Uint8Array, text: string, at = 0): boolean =>
  Array.from(text).every((char, i) => bytes[at + i] === char.charCodeAt(0))

/** The type of an image by its first bytes: files often come without a name, and so without a type. */
const imageTypeOf = (bytes: Uint8Array): string | undefined => {
  if (startsWith(bytes, "\x89PNG")) return "image/png"
  if (startsWith(bytes, "\xff\xd8\xff")) return "image/jpeg"
  if (startsWith(bytes, "GIF8")) return "image/gif"
  return startsWith(bytes, "RIFF") && startsWith(bytes, "WEBP", 8) ? "image/webp" : undefined
}

const textOf = (bytes: Uint8Array): string | undefined => {
  if (bytes.includes(0) || startsWith(bytes, "%PDF")) return undefined
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes)
  } catch {
    return undefined
  }
}

const textPart = (name: string | undefined, text: string): Json => ({
  type: "text",
  text: `<file${name === undefined ? "" : ` name=${JSON.stringify(name)}`}>${text}</file>`
})

/** What stands in the place of a file that cannot be sent. */
export const placeholder = (file: File.File): Json => textPart(nameOf(file), "cannot be shown")

const imagePart = (url: string): Json => ({ type: "image_url", image_url: { url } })

const dataUrl = (type: string, bytes: Uint8Array): string => `data:${type};base64,${Encoding.encodeBase64(bytes)}`

/** An image: by its URL where the server can fetch it, else with its bytes. */
export const image = (app: string, file: File.File): Effect.Effect<Json, Failed, Platform> =>
  File.isRemote(file) && file.uri !== undefined && /^https?:/i.test(file.uri)
    ? Effect.succeed(imagePart(file.uri))
    : Effect.flatMap(read(app, file), (bytes) => {
        const declared = declaredType(file)
        const type = imageTypeOf(bytes) ?? (declared.startsWith("image/") ? declared : undefined)
        return type === undefined
          ? refused(app, file, "it is no image of a known type")
          : Effect.succeed(imagePart(dataUrl(type, bytes)))
      })

// To the table of media types, `.ts` is a film and not a program.
const isFilm = (type: string): boolean => /^(audio|video)\//.test(type) && type !== "video/mp2t"

/** Any file: an image as one, and what can be read as text with its name around it. */
export const attachment = (app: string, file: File.File): Effect.Effect<Json, Failed, Platform> => {
  const declared = declaredType(file)
  if (declared.startsWith("image/") && declared !== "image/svg+xml") return image(app, file)
  const unsuitable = refused(app, file, "it is neither text nor an image")
  if (isFilm(declared)) return unsuitable
  return Effect.flatMap(read(app, file), (bytes) => {
    const type = imageTypeOf(bytes)
    if (type !== undefined) return Effect.succeed(imagePart(dataUrl(type, bytes)))
    const text = textOf(bytes)
    return text === undefined ? unsuitable : Effect.succeed(textPart(nameOf(file), `\n${text}\n`))
  })
}
