/** The configuration of an agent, checked: protocol.md §7.3, §8. */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type * as App from "../../../App.js"
import { isJsonObject, type Json } from "../../wire.js"
import { text } from "../fields.js"
import type { Hosted } from "../registry.js"
import { type FieldError, invalid, type Problem } from "../reply.js"
import { appParameters, objectSchema } from "./parameters.js"

export interface Tool {
  readonly name: string
  readonly type: string
  readonly displayName: string | undefined
  readonly description: string
  readonly requireApproval: boolean
  /** What the model is told of its arguments, as a JSON Schema. */
  readonly parameters: Json
  /** What its type needs to know: the object under the type's name. */
  readonly settings: Json
}

export interface ContextField {
  readonly name: string
  readonly required: boolean
  readonly default: string | undefined
}

export interface Config {
  readonly name: string | undefined
  readonly systemPrompt: string
  /** The app that is the model, its setup, and what its input always has. */
  readonly model: Json
  readonly preset: Json
  readonly tools: ReadonlyArray<Tool>
  readonly context: ReadonlyArray<ContextField>
}

type Resolve = (body: Json) => Effect.Effect<{ readonly app: Hosted; readonly signature: App.Signature }, Problem>

/** Where the settings of each type of tool are. */
const settingsKeys: { readonly [type: string]: ReadonlyArray<string> } = {
  client: ["client"],
  app: ["app"],
  agent: ["agent"],
  hook: ["hook"],
  http: ["http"],
  call: ["call", "http"],
  mcp: ["mcp"],
  internal: ["internal"]
}

/** A request to run the app that these settings name. */
export const appRequest = ({ ref, id, version_id, function: name, setup }: Json): Json => ({
  app: text(ref),
  app_id: text(id),
  version_id: text(version_id),
  function: text(name),
  setup: setup ?? undefined
})

export const finishTool = "finish"

const finish = (schema: unknown): Tool => ({
  name: finishTool,
  type: "internal",
  displayName: undefined,
  description: "Ends the task with its result.",
  requireApproval: false,
  parameters: objectSchema(schema),
  settings: { category: "finish", operation: "finish" }
})

/** Whether calling a tool ends the turn, with the arguments as its output. */
export const isFinish = ({ type, settings }: Tool): boolean => type === "internal" && settings.category === "finish"

/** Reads a configuration that came in a field of a request, and says in which fields it is wrong. */
export const parse = (raw: unknown, field: string, resolve: Resolve): Effect.Effect<Config, Problem> =>
  Effect.gen(function* () {
    if (!isJsonObject(raw)) return yield* invalid("this is no agent", [{ field, message: "expected an object" }])
    const errors: Array<FieldError> = []
    const reject = (at: string, message: string) => void errors.push({ field: `${field}.${at}`, message })

    const find = (settings: Json, at: string) =>
      Effect.gen(function* () {
        if (!text(settings.ref) && !text(settings.id) && !text(settings.version_id)) {
          reject(`${at}.ref`, "is missing")
          return undefined
        }
        const found = yield* Effect.either(resolve(appRequest(settings)))
        if (Either.isRight(found)) return found.right
        reject(`${at}.ref`, found.left.errors?.[0]?.message ?? found.left.detail)
        return undefined
      })

    const names = new Set<string>()
    const readTool = (tool: unknown, at: string) =>
      Effect.gen(function* () {
        if (!isJsonObject(tool)) return reject(at, "expected an object")
        const name = text(tool.name)
        if (name === undefined) return reject(`${at}.name`, "is missing")
        if (names.has(name)) return reject(`${at}.name`, `there is another tool "${name}"`)
        names.add(name)
        const type = typeof tool.type === "string" ? tool.type : ""
        const keys = Object.hasOwn(settingsKeys, type) ? settingsKeys[type] : undefined
        if (keys === undefined) {
          return reject(`${at}.type`, `expected one of: ${Object.keys(settingsKeys).join(", ")}`)
        }
        const settings = keys.map((key) => tool[key]).find(isJsonObject)
        if (settings === undefined) return reject(`${at}.${keys[0]}`, "expected an object")
        let parameters = objectSchema(settings.input_schema)
        let described = text(tool.description)
        if (type === "app") {
          const found = yield* find(settings, `${at}.app`)
          if (found === undefined) return
          parameters = appParameters(found.signature.input, isJsonObject(settings.input) ? settings.input : {})
          described ??= found.app.base.app.description
        }
        if (type === "agent") {
          if (!text(settings.ref) && !text(settings.id)) return reject(`${at}.agent.ref`, "is missing")
          parameters = messageParameters
        }
        return {
          name,
          type,
          displayName: text(tool.display_name),
          description: described ?? "",
          requireApproval: tool.require_approval === true,
          parameters,
          settings
        } satisfies Tool
      })

    const list = (key: string): ReadonlyArray<unknown> => {
      const value = raw[key] ?? []
      if (Array.isArray(value)) return value
      reject(key, "expected an array")
      return []
    }

    const internal = isJsonObject(raw.internal_tools) ? raw.internal_tools : {}
    if (internal.finish === true) {
      names.add(finishTool)
      const schema = raw.output_schema ?? {}
      if (!isJsonObject(schema) || (schema.type ?? "object") !== "object") {
        reject("output_schema", `expected the schema of an object: "${finishTool}" is called with it`)
      }
    }
    const coreApp = isJsonObject(raw.core_app) ? raw.core_app : {}
    yield* find(coreApp, "core_app")
    const tools = yield* Effect.forEach(list("tools"), (tool, i) => readTool(tool, `tools.${i}`))
    const context = list("context").map((value, i): ContextField | undefined => {
      const name = isJsonObject(value) ? text(value.name) : undefined
      if (name === undefined || !isJsonObject(value)) {
        reject(`context.${i}.name`, "is missing")
        return undefined
      }
      return {
        name,
        required: value.required === true,
        default: typeof value.default === "string" ? value.default : undefined
      }
    })
    if (errors.length > 0) return yield* invalid("the agent is not configured well", errors)
    return {
      name: text(raw.name),
      systemPrompt: text(raw.system_prompt) ?? "",
      model: appRequest(coreApp),
      preset: isJsonObject(coreApp.input) ? coreApp.input : {},
      tools: [
        ...tools.filter((tool) => tool !== undefined),
        ...(internal.finish === true ? [finish(raw.output_schema)] : [])
      ],
      context: context.filter((each) => each !== undefined)
    }
  })

/** What an agent that is a tool takes. */
const messageParameters: Json = {
  type: "object",
  properties: { message: { type: "string", description: "What the agent is to do" } },
  required: ["message"]
}
