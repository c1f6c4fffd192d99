/** Which agent a request means, and what the agent wants to know of the chat. */
import * as Effect from "effect/Effect"
import { isJsonObject, type Json } from "../../wire.js"
import { text } from "../fields.js"
import type { Launcher } from "../launcher.js"
import { type FieldError, invalid, notFound, type Problem } from "../reply.js"
import * as Config from "./config.js"
import type { Agent } from "./state.js"
import { current, type Found, type Templates, versionOf } from "./templates.js"

export interface Agents {
  /** By `agent`, `agent_id` or `agent_config`, of which there must be one. */
  readonly ofRequest: (body: Json) => Effect.Effect<Agent, Problem>
  /** By a reference to a template, or its id. */
  readonly ofTemplate: (names: {
    readonly ref?: unknown
    readonly id?: unknown
    readonly version_id?: unknown
  }) => Effect.Effect<Agent, Problem>
  readonly parse: (config: unknown, field: string) => Effect.Effect<Config.Config, Problem>
}

export const make = (options: { readonly templates: Templates; readonly launcher: Launcher }): Agents => {
  const { templates, launcher } = options
  const parse: Agents["parse"] = (config, field) => Config.parse(config, field, launcher.resolve)

  const found = ({ template, version }: Found): Effect.Effect<Agent, Problem> =>
    Effect.map(parse(version.config, "agent"), (config) => ({
      config,
      id: template.id,
      versionId: version.id,
      name: config.name ?? template.name
    }))

  const ofTemplate: Agents["ofTemplate"] = ({ ref, id, version_id }) =>
    Effect.suspend(() => {
      const wanted = text(ref)
      if (wanted !== undefined) {
        const template = templates.resolve(wanted)
        return template === undefined ? notFound(`agent ${wanted}`) : found(template)
      }
      const template = templates.find(text(id) ?? "")
      if (template === undefined) return notFound(`agent ${text(id)}`)
      const version = text(version_id) === undefined ? current(template) : versionOf(template, text(version_id) ?? "")
      return version === undefined ? notFound(`version ${text(version_id)}`) : found({ template, version })
    })

  const ofRequest: Agents["ofRequest"] = (body) =>
    Effect.suspend(() => {
      const given = ["agent", "agent_id", "agent_config"].filter((name) => body[name] != null && body[name] !== "")
      if (given.length !== 1) {
        const message = "expected one of agent, agent_id and agent_config"
        return invalid("the request must name one agent", [{ field: given[1] ?? "agent", message }])
      }
      if (body.agent_config == null) return ofTemplate({ ref: body.agent, id: body.agent_id })
      return Effect.map(parse(body.agent_config, "agent_config"), (config) => ({
        config,
        id: undefined,
        versionId: undefined,
        name: text(body.agent_name) ?? config.name ?? ""
      }))
    })

  return { ofRequest, ofTemplate, parse }
}

/** The context of a chat: what is given, and the defaults for the rest of what the agent declares. */
export const contextFor = ({ config }: Agent, given: unknown): Effect.Effect<Json, Problem> =>
  Effect.suspend(() => {
    if (given != null && !isJsonObject(given)) {
      return invalid("this is no context", [{ field: "context", message: "expected an object of texts" }])
    }
    const values = new Map(Object.entries(given ?? {}))
    const errors: Array<FieldError> = []
    for (const [name, value] of values) {
      if (typeof value !== "string") errors.push({ field: `context.${name}`, message: "expected a text" })
    }
    for (const { name, required, default: value } of config.context) {
      if (values.has(name)) continue
      if (value !== undefined) values.set(name, value)
      else if (required) errors.push({ field: `context.${name}`, message: "is missing" })
    }
    return errors.length > 0
      ? invalid("the context is not what the agent needs", errors)
      : Effect.succeed(Object.fromEntries(values))
  })
