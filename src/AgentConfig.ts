/**
 * What an agent is: its model, its instructions, its tools. Callers give one with their messages or store it at the service, hosts
 * serve it.
 *
 * @module
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import * as Schema from "effect/Schema"
import type { Open } from "./ApiClient.js"
import type * as App from "./App.js"
import { field, timestamp } from "./internal/wire.js"
import type * as Tasks from "./Tasks.js"
import type * as Tool from "./Tool.js"

/**
 * The app that is the model of an agent: its contract or its name, possibly with preset setup and input.
 *
 * @since 0.1.0
 * @category models
 */
export type CoreApp =
  | Tasks.AppOrName
  | { readonly app: Tasks.AppOrName; readonly setup?: unknown; readonly input?: unknown }

/**
 * Groups of the service's own tools. What is left out is as the service decides: see `Agents.internalTools`.
 *
 * @since 0.1.0
 * @category models
 */
export interface InternalTools {
  readonly plan?: boolean | undefined
  readonly memory?: boolean | undefined
  readonly widget?: boolean | undefined
  /** The tool by which an agent gives its structured output. `agent.run` turns it on. */
  readonly finish?: boolean | undefined
  readonly skills?: boolean | undefined
  readonly hostContext?: boolean | undefined
  readonly meta?: boolean | undefined
  readonly artifact?: boolean | undefined
  readonly spawn?: boolean | undefined
}

/**
 * Instructions that an agent reads when it needs them.
 *
 * @since 0.1.0
 * @category models
 */
export interface Skill {
  readonly name: string
  readonly description: string
  readonly skillId?: string | undefined
  readonly versionId?: string | undefined
  readonly url?: string | undefined
  readonly content?: string | undefined
  /** Whether it is read from the start. */
  readonly preload?: boolean | undefined
}

/**
 * Something that the service calls, or waits for, at a point in the life of an agent.
 *
 * @since 0.1.0
 * @category models
 */
export interface Hook {
  readonly event: Open<
    | "agent.start"
    | "agent.turn_start"
    | "agent.tool_call"
    | "agent.tool_result"
    | "agent.turn_complete"
    | "agent.error"
    | "agent.complete"
    | "agent.idle"
    | "agent.pre_compact"
    | "agent.post_compact"
  >
  /** `webhook`: `handler` is a URL. `task`: it is the reference of an app or agent. `gate`: the run waits for `agent.approve`. */
  readonly type: Open<"webhook" | "task" | "gate">
  readonly handler?: string | undefined
  /** Whether the agent goes on without waiting. */
  readonly async?: boolean | undefined
  /** The service counts it in whole seconds: it is rounded up to them. */
  readonly timeout?: Duration.DurationInput | undefined
  /** What becomes of a gate that nobody resolves. */
  readonly defaultResolution?: "allow" | "deny" | undefined
}

/**
 * A value that each chat with an agent may, or must, be given in its context.
 *
 * @since 0.1.0
 * @category models
 */
export interface ContextField {
  readonly name: string
  readonly description?: string | undefined
  readonly required?: boolean | undefined
  readonly default?: string | undefined
}

/**
 * What an agent is. Write `{ … } satisfies AgentConfig.Any` where one is kept in a variable: its type then still tells what the tools need.
 *
 * @since 0.1.0
 * @category models
 */
export interface AgentConfig<out Tools extends ReadonlyArray<Tool.Any> = readonly []> {
  readonly coreApp: CoreApp
  readonly name?: string | undefined
  readonly description?: string | undefined
  readonly systemPrompt?: string | undefined
  readonly examplePrompts?: ReadonlyArray<string> | undefined
  readonly tools?: Tools | undefined
  readonly internalTools?: InternalTools | undefined
  readonly skills?: ReadonlyArray<Skill> | undefined
  readonly hooks?: ReadonlyArray<Hook> | undefined
  /** The values that its chats take as their context. */
  readonly contextFields?: ReadonlyArray<ContextField> | undefined
  /** The form of the structured output. `agent.run` sets it for its turn. */
  readonly outputSchema?: App.SchemaOrFields | undefined
}

/**
 * What any agent is, whatever its tools need.
 *
 * @since 0.1.0
 * @category models
 */
export interface Any extends AgentConfig<ReadonlyArray<Tool.Any>> {}

/**
 * One version of an agent that is stored at the service. What it is made of is as it comes.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Version = Schema.Struct({
  id: field("id", Schema.String),
  createdAt: timestamp("created_at"),
  description: field("description", Schema.String),
  systemPrompt: field("system_prompt", Schema.String),
  examplePrompts: field("example_prompts", Schema.Array(Schema.String)),
  coreApp: field("core_app", Schema.Unknown),
  tools: field("tools", Schema.Array(Schema.Unknown)),
  skills: field("skills", Schema.Array(Schema.Unknown)),
  hooks: field("hooks", Schema.Array(Schema.Unknown)),
  contextFields: field("context", Schema.Array(Schema.Unknown)),
  internalTools: field("internal_tools", Schema.Unknown),
  outputSchema: field("output_schema", Schema.Unknown)
})

/**
 * One version of an agent that is stored at the service.
 *
 * @since 0.1.0
 * @category models
 */
export interface Version extends Schema.Schema.Type<typeof Version> {}

/**
 * An agent that is stored at the service: talk with it by its reference, `namespace/name`.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Stored = Schema.Struct({
  id: Schema.String,
  createdAt: timestamp("created_at"),
  updatedAt: timestamp("updated_at"),
  namespace: field("namespace", Schema.String),
  name: field("name", Schema.String),
  title: field("title", Schema.String),
  visibility: field("visibility", Schema.String),
  teamId: field("team_id", Schema.String),
  versionId: field("version_id", Schema.String),
  version: field("version", Version)
})

/**
 * An agent that is stored at the service.
 *
 * @since 0.1.0
 * @category models
 */
export interface Stored extends Schema.Schema.Type<typeof Stored> {}

/**
 * A group of the service's own tools: its name is what {@link InternalTools} calls it.
 *
 * @since 0.1.0
 * @category schemas
 */
export const InternalToolGroup = Schema.Struct({
  id: field("id", Schema.String),
  name: field("name", Schema.String),
  description: field("description", Schema.String),
  tools: field("tools", Schema.Array(Schema.String)),
  scope: field("scope", Schema.String),
  /** Whether agents have it unless they say otherwise. */
  isDefault: field("default_enabled", Schema.Boolean)
})

/**
 * A group of the service's own tools.
 *
 * @since 0.1.0
 * @category models
 */
export interface InternalToolGroup extends Schema.Schema.Type<typeof InternalToolGroup> {}
