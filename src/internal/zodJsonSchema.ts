/** The JSON Schemas that zod gives, in the subset that the service reads: everything inline, and objects open to further fields. */
import { isJsonObject, type Json } from "./wire.js"

const definitionPath = "#/$defs/"

/** What holds values, and no schemas. */
const isOfValues = (key: string) => ["default", "enum", "examples", "required"].includes(key)

export const inlined = (root: Json): Json => {
  const { $schema: _, $defs, ...top } = root
  const definitions = isJsonObject($defs) ? $defs : {}
  const definitionOf = ($ref: string): unknown =>
    $ref === "#" ? top : $ref.startsWith(definitionPath) ? definitions[$ref.slice(definitionPath.length)] : undefined

  const fields = (schemas: Json, above: ReadonlyArray<string>): Json =>
    Object.fromEntries(Object.entries(schemas).map(([name, schema]) => [name, go(schema, above)]))

  const go = (json: unknown, above: ReadonlyArray<string>): unknown => {
    if (Array.isArray(json)) return json.map((item: unknown) => go(item, above))
    return isJsonObject(json) ? ofObject(json, above) : json
  }

  const ofObject = ({ $ref, ...json }: Json, above: ReadonlyArray<string>): Json => {
    const rest = Object.fromEntries(
      Object.entries(json).flatMap(([key, value]): ReadonlyArray<readonly [string, unknown]> => {
        if (key === "additionalProperties" && value === false) return []
        if (key === "const") return [["enum", [value]]]
        if (isOfValues(key)) return [[key, value]]
        return [[key, key === "properties" && isJsonObject(value) ? fields(value, above) : go(value, above)]]
      })
    )
    if (typeof $ref !== "string") return rest
    const definition = definitionOf($ref)
    if (!isJsonObject(definition)) return rest
    // Of a schema that contains itself, all that is said inside of it is what kind of value it is.
    const { type, title, description } = definition
    const inner = above.includes($ref)
      ? Object.fromEntries(Object.entries({ type, title, description }).filter(([, value]) => value !== undefined))
      : ofObject(definition, [...above, $ref])
    return { ...inner, ...rest }
  }

  return ofObject(top, ["#"])
}
