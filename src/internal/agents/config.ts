/** Agents as they go over the wire: protocol.md §7.3. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { AgentConfig, CoreApp, Hook } from "../../AgentConfig.js"
import * as App from "../../App.js"
import { InvalidRequest, type Issue } from "../../InferenceError.js"
import { toJsonSchema } from "../jsonSchema.js"
import * as Payload from "../payload.js"
import type { Json } from "../wire.js"
import * as Tools from "./tools.js"

const invalid = (path: Issue["path"], message: string) => new InvalidRequest({ issues: [{ path, message }] })

const toCoreApp = (coreApp: CoreApp): Effect.Effect<Json, InvalidRequest> => {
  const isBare = typeof coreApp === "string" || App.isApp(coreApp)
  const { app, setup, input } = isBare ? { app: coreApp, setup: undefined, input: undefined } : coreApp
  const ref = typeof app === "string" ? app : app.name
  if (ref.trim() === "") return Effect.fail(invalid(["coreApp"], "the name of the app is empty"))
  const encoded =
    typeof app === "string" || setup === undefined
      ? Effect.succeed(setup)
      : Payload.encode(app.name, "setup", app.setup, setup)
  return Effect.map(encoded, (setup) => ({ ref, setup, input }))
}

const toHook = ({ event, type, handler, async: isAsync, timeout, defaultResolution }: Hook): Json => ({
  event,
  type,
  handler,
  async: isAsync,
  timeout: timeout === undefined ? undefined : Math.round(Duration.toSeconds(timeout)),
  default_resolution: defaultResolution
})

/** The JSON Schema of a structured output. */
const outputSchema = (schema: App.SchemaOrFields): Effect.Effect<Json, InvalidRequest> =>
  Effect.mapError(toJsonSchema(App.toSchema(schema)), (why) => invalid(["outputSchema"], why))

/** An agent on the wire, in which files may still have to be uploaded. */
export const encode = (config: AgentConfig): Effect.Effect<Json, InvalidRequest> =>
  Effect.gen(function* () {
    const tools = config.tools ?? []
    const names = tools.map(({ name }) => name)
    const twice = names.find((name, i) => names.indexOf(name) < i)
    if (twice !== undefined) return yield* invalid(["tools"], `two tools have the name "${twice}"`)
    const { internalTools, skills, hooks } = config
    const { hostContext, ...groups } = internalTools ?? {}
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
      output_schema: config.outputSchema && (yield* outputSchema(config.outputSchema))
    }
  })

/** The same agent, told to end its turn with a structured output. */
export const withOutput = (config: Json, schema: App.SchemaOrFields): Effect.Effect<Json, InvalidRequest> =>
  Effect.map(outputSchema(schema), (output) => ({
    ...config,
    internal_tools: { ...(typeof config.internal_tools === "object" ? config.internal_tools : {}), finish: true },
    output_schema: output
  }))
