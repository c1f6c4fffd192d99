/** Whether the arguments of a call fit the JSON Schema that the model was told of: what schemas of tools use of it. */
import { isJsonObject, sameJson } from "../../wire.js"

const isOf: { readonly [type: string]: (value: unknown) => boolean } = {
  object: isJsonObject,
  array: Array.isArray,
  string: (value) => typeof value === "string",
  number: (value) => typeof value === "number",
  integer: Number.isInteger,
  boolean: (value) => typeof value === "boolean",
  null: (value) => value === null
}

const list = (value: unknown): ReadonlyArray<unknown> => (Array.isArray(value) ? value : [])

/** So many are told of at most: they go to the model. */
const maxMisfits = 10

/** The first of what is wrong with a value, for the model to read. */
export const firstMisfits = (schema: unknown, value: unknown): ReadonlyArray<string> => {
  const found = misfits(schema, value)
  const more = found.length - maxMisfits
  return more > 0 ? [...found.slice(0, maxMisfits), `and ${more} more`] : found
}

const at = (path: string, message: string) => (path === "" ? message : `${path}: ${message}`)

/** What is wrong with a value, for the model to read. Whatever a schema says that is not known here is taken to be met. */
export const misfits = (schema: unknown, value: unknown, path = ""): ReadonlyArray<string> => {
  if (!isJsonObject(schema)) return []
  const types = (Array.isArray(schema.type) ? schema.type : [schema.type]).map(String)
  if (value === null && schema.nullable === true) return []
  if (
    types.length > 0 &&
    types.every((type) => Object.hasOwn(isOf, type)) &&
    !types.some((type) => isOf[type]?.(value))
  ) {
    return [at(path, `expected ${types.join(" or ")}`)]
  }
  const values = "const" in schema ? [schema.const] : list(schema.enum)
  if (values.length > 0 && !values.some((each) => sameJson(each, value))) {
    const expected = values.map((each) => JSON.stringify(each)).join(", ")
    return [at(path, values.length === 1 ? `expected ${expected}` : `expected one of ${expected}`)]
  }
  const found = list(schema.allOf).flatMap((each) => misfits(each, value, path))
  for (const choices of [list(schema.anyOf), list(schema.oneOf)]) {
    const wrong = choices.map((choice) => misfits(choice, value))
    if (wrong.length > 0 && wrong.every((each) => each.length > 0)) {
      found.push(at(path, wrong.map((each) => each.join("; ")).join(", or: ")))
    }
  }
  if (Array.isArray(value)) {
    const first = list(schema.prefixItems)
    return [
      ...found,
      ...value.flatMap((item, i) => misfits(i < first.length ? first[i] : schema.items, item, under(path, i)))
    ]
  }
  if (!isJsonObject(value)) return found
  // Patterns may name any of the other fields.
  const others = "patternProperties" in schema ? undefined : schema.additionalProperties
  const properties = new Map(isJsonObject(schema.properties) ? Object.entries(schema.properties) : [])
  return [
    ...found,
    ...list(schema.required)
      .map(String)
      .filter((name) => !Object.hasOwn(value, name))
      .map((name) => `${under(path, name)} is missing`),
    ...Object.entries(value).flatMap(([name, each]) =>
      others === false && !properties.has(name)
        ? [`${under(path, name)} is not a field`]
        : misfits(properties.has(name) ? properties.get(name) : others, each, under(path, name))
    )
  ]
}

const under = (path: string, key: string | number): string => (path === "" ? String(key) : `${path}.${key}`)
