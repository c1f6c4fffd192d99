/** What a model is told of the arguments of a tool. */
import * as Either from "effect/Either"
import type * as Schema from "effect/Schema"
import { toJsonSchema } from "../../jsonSchema.js"
import { isJsonObject, type Json } from "../../wire.js"

/** Models call functions with objects: what does not say so is one that may hold anything. */
export const objectSchema = (schema: unknown): Json =>
  isJsonObject(schema) && Object.keys(schema).length > 0
    ? { type: "object", ...schema }
    : { type: "object", properties: {}, required: [] }

/** The input of an app, without the fields that are already given. */
export const appParameters = (input: Schema.Schema.AnyNoContext, given: Json): Json => {
  const schema = objectSchema(Either.getOrElse(toJsonSchema(input), () => ({})))
  const isOpen = (name: unknown) => typeof name !== "string" || !Object.hasOwn(given, name)
  return {
    ...schema,
    ...(isJsonObject(schema.properties) && {
      properties: Object.fromEntries(Object.entries(schema.properties).filter(([name]) => isOpen(name)))
    }),
    ...(Array.isArray(schema.required) && { required: schema.required.filter(isOpen) })
  }
}
