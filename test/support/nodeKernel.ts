/**
 * A stand-in for the runtime that the platform runs Node apps in, after protocol.md §12.2: it finds the functions of a module,
 * reads its schemas as zod's, validates, sets up, runs, cancels and unloads.
 */
import { FILE_SCHEMA_MARKER } from "@inferencesh/app"

type Json = { readonly [key: string]: unknown }
type Zod = { readonly _def: Json; readonly description?: string; readonly [key: string]: unknown }
type Method = (...args: ReadonlyArray<unknown>) => unknown

const isObject = (u: unknown): u is Json => (typeof u === "object" && u !== null) || typeof u === "function"

const isZod = (u: unknown): u is Zod => isObject(u) && isObject(u._def)

const zod = (u: unknown): Zod => {
  if (!isZod(u)) throw new TypeError("no zod schema")
  return u
}

const list = (u: unknown): ReadonlyArray<unknown> => (Array.isArray(u) ? u : [])

const isFile = (def: Json) => Reflect.get(def, FILE_SCHEMA_MARKER) === true

const pascal = (name: string) => name.replace(/(^|_)([a-z0-9])/gi, (_, __, letter: string) => letter.toUpperCase())

/** The definitions of a number or a text, and of its checks. */
const limits = (def: Json): ReadonlyArray<Json> => [
  def,
  ...list(def.checks).map((check) =>
    isObject(check) && isObject(check._zod) && isObject(check._zod.def) ? check._zod.def : {}
  )
]

const number = (def: Json): Json => {
  const all = limits(def)
  const at = (check: string, inclusive: boolean) =>
    all.find((limit) => limit.check === check && limit.inclusive === inclusive)?.value
  const found = {
    minimum: at("greater_than", true),
    exclusiveMinimum: at("greater_than", false),
    maximum: at("less_than", true),
    exclusiveMaximum: at("less_than", false)
  }
  return {
    type: all.some((limit) => limit.check === "number_format") ? "integer" : "number",
    ...Object.fromEntries(Object.entries(found).filter(([, value]) => value !== undefined))
  }
}

/** The JSON Schema of a zod 4 schema, by its `_def` alone. */
export const zodToJsonSchema = (schema: unknown): Json => {
  const { _def: def, description } = zod(schema)
  return { ...ofDef(def), ...(description !== undefined && { description }) }
}

const ofDef = (def: Json): Json => {
  const optional = (field: unknown) => ["optional", "default"].includes(String(zod(field)._def.type))
  switch (def.type) {
    case "object": {
      const fields = Object.entries(isObject(def.shape) ? def.shape : {})
      return {
        type: "object",
        properties: Object.fromEntries(fields.map(([name, field]) => [name, zodToJsonSchema(field)])),
        required: fields.filter(([, field]) => !optional(field)).map(([name]) => name)
      }
    }
    case "string":
      return { type: "string", ...(isFile(def) && { format: "file" }) }
    case "pipe":
      return { ...zodToJsonSchema(def.in), ...(isFile(def) && { format: "file" }) }
    case "number":
      return number(def)
    case "boolean":
    case "null":
      return { type: def.type }
    case "enum":
      return { type: "string", enum: Object.values(isObject(def.entries) ? def.entries : {}) }
    case "literal":
      return { enum: list(def.values) }
    case "array":
      return { type: "array", items: zodToJsonSchema(def.element) }
    case "record":
      return { type: "object", additionalProperties: zodToJsonSchema(def.valueType) }
    case "union":
      return { anyOf: list(def.options).map(zodToJsonSchema) }
    case "nullable":
      return { anyOf: [zodToJsonSchema(def.innerType), { type: "null" }] }
    case "optional":
      return zodToJsonSchema(def.innerType)
    case "default":
      return { ...zodToJsonSchema(def.innerType), default: def.defaultValue }
    case "any":
    case "unknown":
      return {}
    default:
      throw new TypeError(`an unknown kind of zod schema: ${String(def.type)}`)
  }
}

const excluded = ["constructor", "setup", "unload", "onCancel"]

export interface Kernel {
  readonly functions: { readonly [name: string]: { readonly input_schema: Json; readonly output_schema: Json } }
  readonly setupSchema: Json | undefined
  readonly setup: (config?: unknown) => Promise<void>
  /** Gives each output as JSON, partial ones first. */
  readonly run: (name: string, input: unknown, onOutput?: (output: unknown) => void) => Promise<unknown>
  readonly cancel: () => Promise<unknown>
  readonly unload: () => Promise<void>
}

/** What `safeParse` of zod says, or an error with all of it. */
const parse = async (schema: unknown, value: unknown): Promise<unknown> => {
  const { safeParseAsync } = zod(schema)
  if (typeof safeParseAsync !== "function") throw new TypeError("no safeParseAsync")
  const result: unknown = await (safeParseAsync as Method)(value)
  if (isObject(result) && result.success === true) return result.data
  const issues = isObject(result) && isObject(result.error) ? list(result.error.issues) : []
  const lines = issues.map((issue) =>
    isObject(issue) ? `${list(issue.path).join(".")}: ${String(issue.message)}` : String(issue)
  )
  throw new Error(lines.join("; "))
}

const toJson = (value: unknown): unknown => JSON.parse(JSON.stringify(value))

/** Loads a module, as the worker process does. */
export const makeKernel = (module: Json): Kernel => {
  const { App, AppSetup } = module
  if (typeof App !== "function") throw new TypeError("the module exports no class App")
  const app: { [name: string]: unknown } = Reflect.construct(App, [])
  const prototype: Json = App.prototype
  const names = Object.getOwnPropertyNames(prototype).filter(
    (name) =>
      !excluded.includes(name) &&
      !name.startsWith("_") &&
      typeof prototype[name] === "function" &&
      isZod(module[`${pascal(name)}Input`]) &&
      isZod(module[`${pascal(name)}Output`])
  )
  const call = async (name: string, ...args: ReadonlyArray<unknown>): Promise<unknown> => {
    const method = app[name]
    return typeof method === "function" ? method.apply(app, args) : undefined
  }
  const context = { cancelRequested: false }
  app.context = context
  return {
    functions: Object.fromEntries(
      names.map((name) => [
        name,
        {
          input_schema: zodToJsonSchema(module[`${pascal(name)}Input`]),
          output_schema: zodToJsonSchema(module[`${pascal(name)}Output`])
        }
      ])
    ),
    setupSchema: AppSetup === undefined ? undefined : zodToJsonSchema(AppSetup),
    setup: async (config = {}) => {
      await call("setup", AppSetup === undefined ? config : await parse(AppSetup, config))
    },
    run: async (name, input, onOutput) => {
      context.cancelRequested = false
      const method = app[name]
      if (!names.includes(name) || typeof method !== "function") throw new Error(`no function ${name}`)
      const parsed = await parse(module[`${pascal(name)}Input`], input)
      const result: unknown = method.call(app, parsed)
      if (!isObject(result) || !(Symbol.asyncIterator in result)) return toJson(await result)
      let last: unknown
      for await (const output of result as unknown as AsyncIterable<unknown>) {
        last = toJson(output)
        onOutput?.(last)
      }
      return last
    },
    cancel: () => {
      context.cancelRequested = true
      return call("onCancel")
    },
    unload: async () => {
      await call("unload")
    }
  }
}
