/** Schemas as Node apps of the platform export them: in the form of zod 4, as far as that is looked at from outside. */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import * as File from "../File.js"
import { InvalidRequest, type Issue } from "../InferenceError.js"
import type { NodeSchema } from "../NodeModule.js"
import { formatIssues, issuesOf } from "./failure.js"
import { mapFileFields } from "./fileFields.js"
import { toJsonSchema } from "./jsonSchema.js"
import { mapFiles } from "./server/mapFiles.js"
import { isJsonObject, type Json } from "./wire.js"

/** By this the platform tells file fields from texts: its own package marks them so. */
export const fileMarker = Symbol.for("inferencesh.fileSchema")

/** The form in which the platform's engine and its apps exchange files that are on the same machine. */
export const toLocal = ({ path, contentType, size, filename }: File.Metadata): Json =>
  Object.fromEntries(
    Object.entries({ path, content_type: contentType, size, filename }).filter(([, value]) => value !== undefined)
  )

const text = (u: unknown) => (typeof u === "string" && u !== "" ? u : undefined)

/** Where the engine gives a path as well, it has fetched the file, and its `uri` may be that path. */
const fromLocal = (value: unknown): unknown => {
  const path = isJsonObject(value) && !File.isFile(value) ? text(value.path) : undefined
  if (path === undefined || !isJsonObject(value)) return value
  const contentType = text(value.content_type)
  const filename = text(value.filename)
  const size = typeof value.size === "number" ? value.size : undefined
  return File.fromPath(path, { contentType, filename, size })
}

/** An input as the engine gives it, with the files in it that are on this machine. */
export const withLocalFiles = (schema: Schema.Schema.AnyNoContext, value: unknown): unknown =>
  mapFileFields(schema.ast, value, fromLocal)

/** Files in their JSON form. Those in memory have none. */
const asJson = (value: unknown): unknown =>
  mapFiles(value, (file) => {
    const source = file[File.TypeId]
    return source._tag === "Path" ? toLocal(file) : source._tag === "Uri" ? source.uri : file
  })

// ---- What zod tells of a schema -------------------------------------------------------------------------------------

interface Node {
  readonly type: unknown
  readonly description: string | undefined
  readonly def: Json
  readonly _def: Json
  readonly _zod: { readonly def: Json; readonly toJSONSchema: () => Json }
  readonly shape?: unknown
}

const node = (def: Json, json: Json): Node => ({
  type: def.type,
  description: text(json.description),
  def,
  _def: def,
  // `z.toJSONSchema` asks for this before it looks for itself, and writes into what it gets.
  _zod: { def, toJSONSchema: () => structuredClone(json) },
  ...(def.type === "object" && { shape: def.shape })
})

const check = (def: Json) => ({ def, _zod: { def } })

const checks = (json: Json): Json => {
  const limit = (key: string, def: (value: unknown) => Json) => (key in json ? [check(def(json[key]))] : [])
  const found = [
    ...limit("minimum", (value) => ({ check: "greater_than", value, inclusive: true })),
    ...limit("exclusiveMinimum", (value) => ({ check: "greater_than", value, inclusive: false })),
    ...limit("maximum", (value) => ({ check: "less_than", value, inclusive: true })),
    ...limit("exclusiveMaximum", (value) => ({ check: "less_than", value, inclusive: false })),
    ...limit("minLength", (minimum) => ({ check: "min_length", minimum })),
    ...limit("maxLength", (maximum) => ({ check: "max_length", maximum })),
    ...limit("minItems", (minimum) => ({ check: "min_length", minimum })),
    ...limit("maxItems", (maximum) => ({ check: "max_length", maximum }))
  ]
  return found.length === 0 ? {} : { checks: found }
}

const nodeOf = (json: unknown, isRequired = true): Node => {
  if (!isJsonObject(json)) return node({ type: "any" }, {})
  if ("default" in json) {
    const { default: defaultValue, ...rest } = json
    return node({ type: "default", innerType: nodeOf(rest), defaultValue }, json)
  }
  return isRequired ? node(defOf(json), json) : node({ type: "optional", innerType: nodeOf(json) }, json)
}

const defOf = (json: Json): Json => {
  const { anyOf, type, properties, required, additionalProperties } = json
  if (Array.isArray(json.enum)) {
    const values: ReadonlyArray<unknown> = json.enum
    return values.every((value) => typeof value === "string")
      ? { type: "enum", entries: Object.fromEntries(values.map((value) => [value, value])) }
      : { type: "literal", values }
  }
  if (Array.isArray(anyOf)) {
    const members: ReadonlyArray<unknown> = anyOf
    const options = members.filter((member) => !isJsonObject(member) || member.type !== "null")
    const inner = options.length === 1 ? nodeOf(options[0]) : node(unionOf(options), { anyOf: options })
    return options.length < members.length ? { type: "nullable", innerType: inner } : inner.def
  }
  switch (type) {
    case "string":
      return { type: "string", ...(json.format === "file" && { [fileMarker]: true }), ...checks(json) }
    case "integer":
      return { type: "number", check: "number_format", format: "safeint", ...checks(json) }
    case "number":
    case "boolean":
    case "null":
      return { type, ...checks(json) }
    case "array":
      return { type: "array", element: nodeOf(json.items), ...checks(json) }
    case "object": {
      const fields = Object.entries(isJsonObject(properties) ? properties : {})
      if (fields.length === 0 && additionalProperties !== undefined) {
        return {
          type: "record",
          keyType: node({ type: "string" }, { type: "string" }),
          valueType: nodeOf(additionalProperties)
        }
      }
      const isRequired = (name: string) => Array.isArray(required) && required.includes(name)
      const shape = fields.map(([name, field]) => [name, nodeOf(field, isRequired(name))] as const)
      return { type: "object", shape: Object.fromEntries(shape) }
    }
    default:
      return { type: "any" }
  }
}

const unionOf = (options: ReadonlyArray<unknown>): Json => ({
  type: "union",
  options: options.map((option) => nodeOf(option))
})

// ---- What zod does with a value -------------------------------------------------------------------------------------

/** What does not fit, as zod's own error tells it. */
class NodeSchemaError extends Error {
  override readonly name = "NodeSchemaError"
  readonly issues: ReadonlyArray<{ readonly code: "custom" } & Issue>
  constructor(error: ParseResult.ParseError) {
    const issues = issuesOf(error)
    super(formatIssues(issues))
    this.issues = issues.map((issue) => ({ code: "custom", ...issue }))
  }
}

/** The wire form again, with the defaults filled in, since that is what an app gets. Not every schema can go back. */
export const complete = (schema: Schema.Schema.AnyNoContext, wire: unknown) =>
  Schema.decodeUnknown(schema, { errors: "all" })(wire).pipe(
    Effect.flatMap((decoded) => Effect.orElseSucceed(Schema.encode(schema)(decoded), () => wire))
  )

/** Inputs from a host of this package. Their files are `File`s: a `{ path }` in them was written by the caller. */
export const hosted = new WeakSet<object>()

const own = new WeakMap<object, Schema.Schema.AnyNoContext>()

/** The schema behind one that was made here. */
export const schemaOf = (nodeSchema: object): Schema.Schema.AnyNoContext | undefined => own.get(nodeSchema)

/** Throws `InvalidRequest` where there is no JSON Schema, from which the platform learns what the fields are. */
export const make = (app: string, path: Issue["path"], schema: Schema.Schema.AnyNoContext): NodeSchema<unknown> => {
  const json = Either.getOrThrowWith(
    toJsonSchema(schema),
    (message) => new InvalidRequest({ app, issues: [{ path, message }] })
  )
  const read = (value: unknown): Effect.Effect<NodeSchema.Result<unknown>> =>
    Effect.match(complete(schema, withLocalFiles(schema, value ?? {})), {
      onSuccess: (filled): NodeSchema.Result<unknown> => ({ success: true, data: asJson(filled) }),
      onFailure: (error) => ({ success: false, error: new NodeSchemaError(error) })
    })
  const get = (result: NodeSchema.Result<unknown>): unknown => {
    if (result.success) return result.data
    throw result.error
  }
  const safeParse = (value: unknown) => Effect.runSync(read(value))
  const safeParseAsync = (value: unknown) => Effect.runPromise(read(value))
  const toJSONSchema = () => structuredClone(json)
  const made: NodeSchema<unknown> = {
    ...nodeOf(json),
    safeParse,
    safeParseAsync,
    parse: (value) => get(safeParse(value)),
    parseAsync: async (value) => get(await safeParseAsync(value)),
    toJSONSchema,
    "~standard": {
      version: 1,
      vendor: "effect-inferencesh",
      validate: async (value) => {
        const result = await safeParseAsync(value)
        return result.success ? { value: result.data } : { issues: result.error.issues }
      },
      jsonSchema: { input: toJSONSchema, output: toJSONSchema }
    }
  }
  own.set(made, schema)
  return made
}
