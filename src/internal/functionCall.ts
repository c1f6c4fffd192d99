/** How the wire wraps the name and the arguments of a call: `{ function: { name, arguments } }`. */
import * as Schema from "effect/Schema"
import { isJsonObject, type Json, JsonObject } from "./wire.js"

/** A value that some senders write as JSON inside of a text. A text that is no JSON stays what it is. */
export const parsed = (value: unknown): unknown => {
  if (typeof value !== "string") return value
  try {
    return JSON.parse(value)
  } catch {
    return value
  }
}

/** A JSON value that may come as a text. */
export const JsonOrText = Schema.transform(Schema.Unknown, Schema.Unknown, {
  strict: true,
  decode: parsed,
  encode: (value) => value
})

/** Lifts `name` and `arguments` out of `function`, and puts them back. No arguments are `{}`. */
export const FunctionLifted = Schema.transform(JsonObject, JsonObject, {
  strict: true,
  decode: (wire): Json => {
    const fn = isJsonObject(wire.function) ? wire.function : {}
    return { ...wire, name: fn.name ?? "", arguments: parsed(fn.arguments ?? {}) }
  },
  encode: ({ name, arguments: args, ...rest }) => ({ ...rest, function: { name, arguments: args } })
})
