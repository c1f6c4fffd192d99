import { isJsonObject } from "../wire.js"

/** A value that a JSON Schema describes, with the fields that it requires: something to begin with, and to change. */
export const sample = (schema: unknown): unknown => {
  if (!isJsonObject(schema)) return null
  if ("default" in schema) return schema.default
  if ("const" in schema) return schema.const
  if (Array.isArray(schema.examples) && schema.examples.length > 0) return schema.examples[0]
  if (Array.isArray(schema.enum)) return schema.enum[0]
  if (Array.isArray(schema.anyOf)) return sample(schema.anyOf[0])
  switch (schema.type) {
    case "string":
      return schema.format === "file"
        ? "https://example.com/file"
        : schema.format === "date-time"
          ? "2026-01-01T00:00:00Z"
          : "text"
    case "integer":
    case "number":
      return typeof schema.minimum === "number" ? schema.minimum : 1
    case "boolean":
      return true
    case "array":
      return typeof schema.minItems === "number"
        ? Array.from({ length: schema.minItems }, () => sample(schema.items))
        : []
    case "object": {
      const { properties, required } = schema
      if (!isJsonObject(properties) || !Array.isArray(required)) return {}
      return Object.fromEntries(
        Object.entries(properties).flatMap(([name, property]) =>
          required.includes(name) ? [[name, sample(property)] as const] : []
        )
      )
    }
    default:
      return null
  }
}
