/** Agents as they go over the wire: protocol.md §7.3. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import type * as AgentConfig from "../../AgentConfig.js"
import * as App from "../../App.js"
import { InvalidRequest, type Issue } from "../../InferenceError.js"
import { toJsonSchema } from "../jsonSchema.js"
import * as Payload from "../payload.js"
import { isJsonObject, type Json } from "../wire.js"
import * as Tools from "./tools.js"

const invalid = (path: Issue["path"], message: string) => new InvalidRequest({ issues: [{ path, message }] })

const partsOf = (coreApp: AgentConfig.CoreApp) => {
  const isBare = typeof coreApp === "string" || App.isApp(coreApp)
  const parts = isBare ? { app: coreApp, setup: undefined, input: undefined } : coreApp
  return { ...parts, ref: typeof parts.app === "string" ? parts.app : parts.app.name }
}

/** The app of the agent's model. */
export const modelOf = ({ coreApp }: AgentConfig.Any): string => partsOf(coreApp).ref

const toCoreApp = (coreApp: AgentConfig.CoreApp): Effect.Effect<Json, InvalidRequest> => {
  const { app, ref, setup, input } = partsOf(coreApp)
  if (ref.trim() === "") return Effect.fail(invalid(["coreApp"], "the name of the app is empty"))
  const encoded =
    typeof app === "string" || setup === undefined
      ? Effect.succeed(setup)
      : Payload.encode(app.name, "setup", app.setup, setup)
  return Effect.map(encoded, (setup) => ({ ref, setup, input }))
}

const toHook = ({ event, type, handler, async: isAsync, timeout, defaultResolution }: AgentConfig.Hook): Json => ({
  event,
  type,
  handler,
  async: isAsync,
  timeout: timeout === undefined ? undefined : Math.ceil(Duration.toSeconds(timeout)),
  default_resolution: defaultResolution
})

/** An agent on the wire, in which files may still have to be uploaded. */
export const encode = (config: AgentConfig.Any): Effect.Effect<Json, InvalidRequest> =>
  Effect.gen(function* () {
    const tools = config.tools ?? []
    const names = tools.map(({ name }) => name)
    const twice = names.find((name, i) => names.indexOf(name) < i)
    if (twice !== undefined) return yield* invalid(["tools"], `two tools have the name "${twice}"`)
    const { internalTools, skills, hooks } = config
    const { hostContext, ...groups } = internalTools ?? {}
    if (groups.finish || config.outputSchema !== undefined) yield* checkFinish(config)
    return {
      name: config.name,
      description: config.description,
      system_prompt: config.systemPrompt,
      example_prompts: config.examplePrompts,
      core_app: yield* toCoreApp(config.coreApp),
      tools: yield* Effect.forEach(tools, Tools.definition),
      internal_tools: internalTools && { ...groups, host_context: hostContext },
      skills: skills?.map(({ skillId, versionId, ...skill }) => ({
        ...skill,
        skill_id: skillId,
        version_id: versionId
      })),
      hooks: hooks?.map(toHook),
      context: config.contextFields,
      output_schema: config.outputSchema && (yield* Tools.objectSchema("outputSchema", config.outputSchema))
    }
  })

/** Structured output is given by calling a tool of the service that has a name of its own. */
const checkFinish = ({ tools = [] }: AgentConfig.Any): Effect.Effect<void, InvalidRequest> =>
  tools.some(({ name, type }) => name === "finish" && type !== "internal")
    ? Effect.fail(
        invalid(["tools", "finish"], "the service has a tool of this name, which gives the structured output")
      )
    : Effect.void

/** The field of an object that stands for a structured output that is none: outputs are arguments of a call. */
const wrapping = "result"

const isObject = (json: Json): boolean => json.type === "object"

/** The same agent, told to end its turn with a structured output. */
export const withOutput = (
  agent: AgentConfig.Any,
  config: Json,
  schema: App.SchemaOrFields
): Effect.Effect<Json, InvalidRequest> =>
  Effect.gen(function* () {
    yield* checkFinish(agent)
    const output = yield* Tools.jsonSchema("outputSchema", schema)
    return {
      ...config,
      internal_tools: { ...(typeof config.internal_tools === "object" ? config.internal_tools : {}), finish: true },
      output_schema: isObject(output)
        ? output
        : { type: "object", properties: { [wrapping]: output }, required: [wrapping] }
    }
  })

/** What {@link withOutput} has wrapped. */
export const unwrapped = (schema: App.SchemaOrFields, output: unknown): unknown =>
  isJsonObject(output) &&
  wrapping in output &&
  !Option.exists(Either.getRight(toJsonSchema(App.toSchema(schema))), isObject)
    ? output[wrapping]
    : output
