/** What a user says, as requests say it: protocol.md §7.3, §7.6. */
import * as Effect from "effect/Effect"
import { isJsonObject, type Json } from "../../wire.js"
import { type FieldError, invalid, type Problem } from "../reply.js"
import type { Content } from "./state.js"

/** The message in the `input` of a request. */
export const contentOf = (input: unknown): Effect.Effect<Content, Problem> =>
  Effect.suspend(() => {
    if (!isJsonObject(input)) {
      return invalid("the request has no message", [{ field: "input", message: "expected an object" }])
    }
    const errors: Array<FieldError> = []
    const list = <A>(name: string, expected: string, read: (value: unknown) => A | undefined): ReadonlyArray<A> => {
      const values: ReadonlyArray<unknown> = Array.isArray(input[name]) ? input[name] : []
      if (input[name] != null && !Array.isArray(input[name])) {
        errors.push({ field: `input.${name}`, message: "expected an array" })
      }
      return values.flatMap((value, i) => {
        const found = read(value)
        if (found === undefined) errors.push({ field: `input.${name}.${i}`, message: expected })
        return found === undefined ? [] : [found]
      })
    }
    const address = (value: unknown) => (typeof value === "string" && value !== "" ? value : undefined)
    const images = list("images", "expected a URI", address)
    const files = list("files", "expected a URI", address)
    const attachments = list("attachments", "expected a file with a uri", (value) =>
      isJsonObject(value) && address(value.uri) !== undefined ? value : undefined
    )
    const isImage = ({ content_type }: Json) => typeof content_type === "string" && content_type.startsWith("image/")
    const uriOf = ({ uri }: Json) => String(uri)
    const distinct = (uris: ReadonlyArray<string>) => Array.from(new Set(uris))
    if (input.text != null && typeof input.text !== "string") {
      errors.push({ field: "input.text", message: "expected a text" })
    } else if (input.text == null && images.length + files.length + attachments.length === 0) {
      errors.push({ field: "input.text", message: "is missing" })
    }
    return errors.length > 0
      ? invalid("the message is not well-formed", errors)
      : Effect.succeed({
          text: typeof input.text === "string" ? input.text : "",
          images: distinct([...images, ...attachments.filter(isImage).map(uriOf)]),
          files: distinct([...files, ...attachments.filter((file) => !isImage(file)).map(uriOf)]),
          attachments
        })
  })
