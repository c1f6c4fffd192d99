/** Agent templates as they go over the wire: protocol.md §7.12. */
import { isJsonObject, type Json } from "../../wire.js"
import { current, type Template, type Version } from "./templates.js"
import { base } from "./wire.js"

/** `AgentVersionDTO`. */
export const version = (template: Template, of: Version): Json => {
  const { config } = of
  const coreApp = isJsonObject(config.core_app) ? config.core_app : undefined
  return {
    ...base({ ...of, updatedAt: of.createdAt, visibility: template.visibility }),
    description: config.description ?? "",
    system_prompt: config.system_prompt ?? "",
    example_prompts: config.example_prompts ?? [],
    core_app: coreApp === undefined ? null : { ...coreApp, app: null },
    tools: config.tools ?? [],
    skills: config.skills ?? [],
    context: config.context ?? null,
    internal_tools: config.internal_tools ?? null,
    hooks: config.hooks ?? null,
    output_schema: config.output_schema ?? null
  }
}

/** `AgentDTO`, with the current version unless another is asked for. */
export const agent = (template: Template, of: Version = current(template)): Json => ({
  ...base(template),
  team_id: template.teamId,
  project_id: null,
  project: null,
  namespace: template.namespace,
  name: template.name,
  title: template.title,
  images: template.images,
  version_id: of.id,
  version: version(template, of)
})

/** What other agents are told of one: an A2A agent card. */
export const card = (template: Template, origin: string): Json => ({
  name: template.title === "" ? template.name : template.title,
  description: current(template).config.description ?? "",
  url: `${origin}/agents/run`,
  version: current(template).id.slice(0, 8),
  capabilities: { streaming: true },
  defaultInputModes: ["text/plain"],
  defaultOutputModes: ["text/plain"],
  skills: []
})
