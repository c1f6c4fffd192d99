/**
 * Chats with agents: their messages, tool calls and runs, and the events of a turn.
 *
 * @module
 * @since 0.1.0
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as File from "./File.js"
import { FunctionLifted, JsonOrText } from "./internal/functionCall.js"
import { field, openEnum, timestamp } from "./internal/wire.js"
import type * as Tool from "./Tool.js"

const rows = <const Name extends string, A, I>(wireName: Name, item: Schema.Schema<A, I>) =>
  Schema.optionalWith(Schema.Array(item), { default: () => [], nullable: true }).pipe(Schema.fromKey(wireName))

const known = <const Name extends string, const Value extends string>(
  wireName: Name,
  fallback: Value,
  ...values: ReadonlyArray<Value>
) =>
  Schema.optionalWith(openEnum(fallback, ...values), { default: () => fallback, nullable: true }).pipe(
    Schema.fromKey(wireName)
  )

const fileAt = <const Name extends string>(wireName: Name) =>
  Schema.optionalToOptional(Schema.NullishOr(Schema.String), Schema.UndefinedOr(Schema.typeSchema(File.File)), {
    decode: Option.flatMap((uri) => (uri ? Option.some(File.fromUri(uri)) : Option.none())),
    encode: Option.map((file) => file?.uri)
  }).pipe(Schema.fromKey(wireName))

const record = {
  id: Schema.String,
  createdAt: timestamp("created_at"),
  updatedAt: timestamp("updated_at")
}

/**
 * A call of a tool as the model wrote it.
 *
 * @since 0.1.0
 * @category schemas
 */
export const ToolCall = Schema.compose(
  FunctionLifted,
  Schema.Struct({
    id: field("id", Schema.String),
    name: Schema.String,
    /** An object, or the text that the model wrote where that is no JSON. */
    arguments: Schema.Unknown
  }),
  { strict: false }
)

/**
 * A call of a tool as the model wrote it.
 *
 * @since 0.1.0
 * @category models
 */
export interface ToolCall extends Schema.Schema.Type<typeof ToolCall> {}

/**
 * A part of a message: `type` says which of the other fields it has. The text of a part of type `reasoning` is in `text`.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Part = Schema.Struct({
  type: known("type", "text", "reasoning", "image", "file", "tool"),
  text: field("text", Schema.String),
  image: fileAt("image"),
  file: fileAt("file"),
  toolCalls: rows("tool_calls", ToolCall),
  /** Why the message failed. */
  error: field("error", Schema.String)
})

/**
 * A part of a message.
 *
 * @since 0.1.0
 * @category models
 */
export interface Part extends Schema.Schema.Type<typeof Part> {}

/**
 * One call of a tool, from the model's wish to its result. `id` is what {@link Tool} results and approvals are sent for; `callId` is
 * the model's own id of the call.
 *
 * @since 0.1.0
 * @category schemas
 */
export const ToolInvocation = Schema.compose(
  FunctionLifted,
  Schema.Struct({
    ...record,
    callId: field("tool_invocation_id", Schema.String),
    messageId: field("chat_message_id", Schema.String),
    type: known("type", "client", "app", "agent", "hook", "http", "call", "mcp", "internal"),
    name: Schema.String,
    displayName: field("display_name", Schema.String),
    arguments: Schema.Unknown,
    status: known(
      "status",
      "pending",
      "in_progress",
      "awaiting_input",
      "awaiting_approval",
      "completed",
      "failed",
      "cancelled"
    ),
    /** What the model reads: a text, often JSON. */
    result: field("result", Schema.String),
    /** The task or chat that carries the call out. */
    executionId: field("execution_id", Schema.String),
    data: field("data", JsonOrText),
    /** A form for the user, in the form of A2UI. */
    widget: field("widget", Schema.Unknown)
  }),
  { strict: false }
)

/**
 * One call of a tool, from the model's wish to its result.
 *
 * @since 0.1.0
 * @category models
 */
export interface ToolInvocation extends Schema.Schema.Type<typeof ToolInvocation> {}

/**
 * One message of a chat. `ready`, `failed` and `cancelled` messages do not change any more, except for the state of their tool calls.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Message = Schema.Struct({
  ...record,
  chatId: field("chat_id", Schema.String),
  /** The run, that is the turn, that it belongs to. */
  runId: field("agent_run_id", Schema.String),
  /** Its place in the chat. */
  order: Schema.optionalWith(Schema.Number, { default: () => 0, nullable: true }),
  role: known("role", "assistant", "user", "system", "tool", "injection", "compaction"),
  status: Schema.optionalWith(
    Schema.transform(Schema.String, openEnum("pending", "queued", "ready", "failed", "cancelled"), {
      strict: true,
      decode: (status) => status || "pending",
      encode: (status) => status
    }),
    { default: () => "pending", nullable: true }
  ),
  content: rows("content", Part),
  /** The task of the model that wrote it. */
  taskId: field("task_id", Schema.String),
  /** For messages with the result of a tool: the model's id of the call. */
  toolCallId: field("tool_call_id", Schema.String),
  toolInvocations: rows("tool_invocations", ToolInvocation)
})

/**
 * One message of a chat.
 *
 * @since 0.1.0
 * @category models
 */
export interface Message extends Schema.Schema.Type<typeof Message> {}

/**
 * One turn of an agent, from a message of the user to the agent's last word. `completed`, `failed`, `canceled` and `rejected` runs
 * are over; one that waits for a tool, an approval or the user is `input_required`, one that waits for an account to be connected
 * `auth_required`.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Run = Schema.Struct({
  ...record,
  chatId: field("chat_id", Schema.String),
  agentId: field("agent_id", Schema.String),
  agentVersionId: field("agent_version_id", Schema.String),
  /** The message that it answers. */
  userMessageId: field("user_message_id", Schema.String),
  state: known(
    "state",
    "submitted",
    "working",
    "input_required",
    "auth_required",
    "completed",
    "failed",
    "canceled",
    "rejected"
  ),
  error: field("error", Schema.String),
  /** The structured output, where the agent gave one. */
  output: field("output", Schema.Unknown),
  /** What it waits for. */
  interruptReason: field("interrupt_reason", Schema.String),
  interruptToolId: field("interrupt_tool_id", Schema.String),
  interruptMeta: field("interrupt_meta", JsonOrText),
  metadata: field("metadata", JsonOrText)
})

/**
 * One turn of an agent.
 *
 * @since 0.1.0
 * @category models
 */
export interface Run extends Schema.Schema.Type<typeof Run> {}

/**
 * Something that holds up a run until it is resolved: a tool that needs approval, a hook's gate, an account to connect.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Interrupt = Schema.Struct({
  ...record,
  runId: field("run_id", Schema.String),
  chatId: field("chat_id", Schema.String),
  reason: known("reason", "tool_approval", "client_tool", "widget", "auth", "confirmation", "hook_gate"),
  source: field("source", Schema.String),
  /** For tools the id of the invocation. */
  resourceId: field("resource_id", Schema.String),
  resourceType: field("resource_type", openEnum("tool_invocation", "hook_event")),
  status: known("status", "pending", "resolved", "expired", "cancelled"),
  resolution: field("resolution", openEnum("allow", "deny")),
  resolvedAt: timestamp("resolved_at"),
  resolvedData: field("resolved_data", JsonOrText),
  expiresAt: timestamp("expires_at"),
  meta: field("meta", JsonOrText)
})

/**
 * Something that holds up a run until it is resolved.
 *
 * @since 0.1.0
 * @category models
 */
export interface Interrupt extends Schema.Schema.Type<typeof Interrupt> {}

/**
 * A step of the plan that an agent keeps.
 *
 * @since 0.1.0
 * @category schemas
 */
export const PlanStep = Schema.Struct({
  index: field("index", Schema.Number),
  title: field("title", Schema.String),
  description: field("description", Schema.String),
  notes: field("notes", Schema.String),
  status: known("status", "pending", "in_progress", "completed", "cancelled")
})

/**
 * A step of the plan that an agent keeps.
 *
 * @since 0.1.0
 * @category models
 */
export interface PlanStep extends Schema.Schema.Type<typeof PlanStep> {}

/**
 * One conversation with an agent. The service does not always send its messages along: `Agents.getChat` fetches them.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Chat = Schema.Struct({
  ...record,
  shortId: field("short_id", Schema.String),
  /** The chat of the agent that started this one as a tool. */
  parentId: field("parent_id", Schema.String),
  status: known("status", "idle", "busy", "awaiting_input", "completed"),
  name: field("name", Schema.String),
  description: field("description", Schema.String),
  agentId: field("agent_id", Schema.String),
  agentVersionId: field("agent_version_id", Schema.String),
  /** The record of the agent, as it comes. */
  agent: field("agent", Schema.Unknown),
  context: field("context", JsonOrText),
  /** The structured output of the last turn that gave one. */
  output: field("output", Schema.Unknown),
  messages: rows("chat_messages", Message),
  activeRun: field("active_run", Run),
  pendingInterrupts: rows("pending_interrupts", Interrupt),
  /** What the agent keeps: its plan, its memory, and the tools that need no approval any more. */
  data: field(
    "agent_data",
    Schema.Struct({
      planSteps: rows("plan_steps", PlanStep),
      memory: field("memory", JsonOrText),
      alwaysAllowedTools: rows("always_allowed_tools", Schema.String)
    })
  )
})

/**
 * One conversation with an agent.
 *
 * @since 0.1.0
 * @category models
 */
export interface Chat extends Schema.Schema.Type<typeof Chat> {}

/**
 * What happens in a turn. `E` is what the handlers of the agent's tools fail with.
 *
 * - `Message`: a message is finished: the user's, the agent's, the result of a tool. It comes once.
 * - `TextDelta`, `ReasoningDelta`: more of a message that is being written. `text` is all of it so far. The pieces add up to the
 *   finished message, whatever happens to the connection; where the service rewrites what it has sent, `delta` is empty.
 * - `ToolCall`: the model calls a tool, of whatever kind. It comes once per call.
 * - `ToolResult`: the call is answered with `result`. `failure` says why a handler of this program gave none.
 * - `ApprovalRequired`: the turn waits for `agent.approve(id)` or `agent.deny(id)`.
 * - `Status`: the run enters another state. The last event of a turn is the one of its end, with the structured `output` if the agent
 *   gave one.
 * - `Unknown`: anything else, as it came.
 *
 * @since 0.1.0
 * @category models
 */
export type Event<E = unknown> = Data.TaggedEnum<{
  Message: { readonly message: Message }
  TextDelta: { readonly messageId: string; readonly delta: string; readonly text: string }
  ReasoningDelta: { readonly messageId: string; readonly delta: string; readonly text: string }
  ToolCall: {
    readonly id: string
    readonly name: string
    readonly arguments: unknown
    readonly invocation: ToolInvocation
  }
  ToolResult: {
    readonly id: string
    readonly name: string
    readonly result: string | undefined
    readonly failure: Tool.Failure<E> | undefined
    readonly invocation: ToolInvocation
  }
  ApprovalRequired: {
    readonly id: string
    readonly name: string
    readonly arguments: unknown
    readonly invocation: ToolInvocation | undefined
    readonly interrupt: Interrupt | undefined
  }
  Status: { readonly status: Run["state"]; readonly run: Run | undefined; readonly output: unknown }
  Unknown: { readonly event: string | undefined; readonly data: unknown }
}>

interface EventDefinition extends Data.TaggedEnum.WithGenerics<1> {
  readonly taggedEnum: Event<this["A"]>
}

/**
 * Constructors and matchers for {@link Event}.
 *
 * @example
 * ```ts
 * import { Chat } from "effect-inferencesh"
 *
 * const describe = (event: Chat.Event) =>
 *   Chat.Event.$is("TextDelta")(event) ? event.delta : Chat.Event.$is("ToolCall")(event) ? `[${event.name}]` : ""
 * ```
 * @since 0.1.0
 * @category models
 */
export const Event = Data.taggedEnum<EventDefinition>()

/**
 * What a turn came to.
 *
 * @since 0.1.0
 * @category models
 */
export interface Reply {
  readonly chatId: string | undefined
  readonly runId: string | undefined
  /** The text of the agent's last message. */
  readonly text: string
  /** Its reasoning, where the model shows it. */
  readonly reasoning: string
  /** The agent's last message. */
  readonly message: Message | undefined
  /** All messages of the turn, in order: the user's, the agent's, the results of tools. */
  readonly messages: ReadonlyArray<Message>
  /** The structured output, where the agent gave one. */
  readonly output: unknown
}

const join = (message: Message, type: Part["type"]): string =>
  message.content.flatMap((part) => (part.type === type ? (part.text ?? []) : [])).join("")

/**
 * The text of a message, without its reasoning.
 *
 * @since 0.1.0
 * @category getters
 */
export const text = (message: Message): string => join(message, "text")

/**
 * The reasoning of a message, where the model shows it.
 *
 * @since 0.1.0
 * @category getters
 */
export const reasoning = (message: Message): string => join(message, "reasoning")

/**
 * Whether a run in this state does not go on any more. A state that this version does not know counts as going on.
 *
 * @since 0.1.0
 * @category status
 */
export const isOver = (state: Run["state"]): boolean =>
  state === "completed" || state === "failed" || state === "canceled" || state === "rejected"

/**
 * Whether a message is finished.
 *
 * @since 0.1.0
 * @category status
 */
export const isFinished = (message: Message): boolean =>
  message.status === "ready" || message.status === "failed" || message.status === "cancelled"

/**
 * Whether a turn is under way in a chat. One that waits for the user, for an approval or for an account to be connected is.
 *
 * @since 0.1.0
 * @category status
 */
export const isBusy = (chat: Chat): boolean =>
  chat.activeRun === undefined
    ? chat.status === "busy" || chat.status === "awaiting_input"
    : !isOver(chat.activeRun.state)

/** A call as its result leaves it. */
const answered = <F>({
  invocation,
  result,
  failure
}: Extract<Event<F>, { readonly _tag: "ToolResult" }>): ToolInvocation => {
  const isOver = ["completed", "failed", "cancelled"].includes(invocation.status)
  return isOver ? invocation : { ...invocation, result, status: failure === undefined ? "completed" : "failed" }
}

/**
 * Consumes the events of a turn and gives what it came to: what `agent.sendMessage` is to `agent.chat`.
 *
 * Fails with what the stream fails with.
 *
 * @example
 * ```ts
 * import { Console, Effect, Stream } from "effect"
 * import { Agents, Chat } from "effect-inferencesh"
 *
 * const answer = Effect.gen(function* () {
 *   const agent = yield* Agents.create("acme/helper")
 *   const reply = yield* agent.chat("What is the weather in Oslo?").pipe(
 *     Stream.tap((event) => (event._tag === "ToolCall" ? Console.log(`calls ${event.name}`) : Effect.void)),
 *     Chat.reply
 *   )
 *   return reply.text
 * })
 * ```
 * @since 0.1.0
 * @category turns
 */
export const reply = <F, E, R>(events: Stream.Stream<Event<F>, E, R>): Effect.Effect<Reply, E, R> =>
  Effect.suspend(() => {
    const byId = new Map<string, Message>()
    const results = new Map<string, ToolInvocation>()
    let run: Run | undefined
    let output: unknown
    const note = (event: Event<F>) => {
      if (event._tag === "Message") byId.set(event.message.id, event.message)
      if (event._tag === "ToolResult") results.set(event.id, answered(event))
      if (event._tag === "Status") {
        run = event.run ?? run
        output = event.output
      }
    }
    return Effect.map(
      Stream.runForEach(events, (event) => Effect.sync(() => note(event))),
      (): Reply => {
        const messages = Array.from(byId.values(), (message) => ({
          ...message,
          toolInvocations: message.toolInvocations.map((invocation) => results.get(invocation.id) ?? invocation)
        })).sort((a, b) => a.order - b.order)
        const message = messages.findLast(({ role }) => role === "assistant")
        return {
          chatId: run?.chatId ?? messages[0]?.chatId,
          runId: run?.id ?? message?.runId,
          text: message === undefined ? "" : text(message),
          reasoning: message === undefined ? "" : reasoning(message),
          message,
          messages,
          output
        }
      }
    )
  })
