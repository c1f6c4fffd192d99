/** Chats as they are on the disk. */
import * as Schema from "effect/Schema"
import { JsonObject } from "../../wire.js"
import * as Feed from "../feed.js"
import * as ChatChanges from "./chat.js"
import type { Chat } from "./state.js"

const Tool = Schema.Struct({
  name: Schema.String,
  type: Schema.String,
  displayName: Schema.UndefinedOr(Schema.String),
  description: Schema.String,
  requireApproval: Schema.Boolean,
  parameters: JsonObject,
  settings: JsonObject
})

const ContextField = Schema.Struct({
  name: Schema.String,
  required: Schema.Boolean,
  default: Schema.UndefinedOr(Schema.String)
})

const Agent = Schema.Struct({
  config: Schema.Struct({
    name: Schema.UndefinedOr(Schema.String),
    systemPrompt: Schema.String,
    model: JsonObject,
    preset: JsonObject,
    tools: Schema.Array(Tool),
    context: Schema.Array(ContextField)
  }),
  id: Schema.UndefinedOr(Schema.String),
  versionId: Schema.UndefinedOr(Schema.String),
  name: Schema.String
})

const Info = Schema.Struct({
  agent: Agent,
  name: Schema.String,
  description: Schema.String,
  visibility: Schema.String,
  allowAllTools: Schema.Boolean,
  alwaysAllowed: Schema.Array(Schema.Struct({ agentId: Schema.UndefinedOr(Schema.String), name: Schema.String })),
  updatedAt: Schema.Number
})

const times = { createdAt: Schema.Number, updatedAt: Schema.Number }

const ToolCall = Schema.Struct({
  index: Schema.UndefinedOr(Schema.Number),
  id: Schema.String,
  name: Schema.String,
  arguments: Schema.Union(Schema.String, JsonObject)
})

const Invocation = Schema.Struct({
  id: Schema.String,
  callId: Schema.String,
  type: Schema.String,
  name: Schema.String,
  displayName: Schema.UndefinedOr(Schema.String),
  arguments: JsonObject,
  status: Schema.Literal("in_progress", "awaiting_approval", "completed", "failed", "cancelled"),
  result: Schema.UndefinedOr(Schema.String),
  executionId: Schema.UndefinedOr(Schema.String),
  ...times
})

const Message = Schema.Struct({
  id: Schema.String,
  order: Schema.Int,
  runId: Schema.UndefinedOr(Schema.String),
  role: Schema.Literal("user", "assistant", "tool"),
  status: Schema.Literal("pending", "queued", "ready", "failed", "cancelled"),
  taskId: Schema.UndefinedOr(Schema.String),
  text: Schema.String,
  images: Schema.Array(Schema.String),
  files: Schema.Array(Schema.String),
  attachments: Schema.Array(JsonObject),
  reasoning: Schema.String,
  toolCalls: Schema.Array(ToolCall),
  invocations: Schema.Array(Invocation),
  toolCallId: Schema.UndefinedOr(Schema.String),
  error: Schema.UndefinedOr(Schema.String),
  ...times
})

const Run = Schema.Struct({
  id: Schema.String,
  userMessageId: Schema.String,
  agentId: Schema.UndefinedOr(Schema.String),
  agentVersionId: Schema.UndefinedOr(Schema.String),
  state: Schema.Literal("submitted", "working", "input_required", "completed", "failed", "canceled"),
  waitsFor: Schema.UndefinedOr(
    Schema.Struct({ reason: Schema.Literal("client_tool", "tool_approval"), invocationId: Schema.String })
  ),
  output: Schema.Unknown,
  error: Schema.UndefinedOr(Schema.String),
  ...times
})

const Interrupt = Schema.Struct({
  id: Schema.String,
  runId: Schema.String,
  invocationId: Schema.String,
  toolName: Schema.String,
  arguments: JsonObject,
  status: Schema.Literal("pending", "resolved", "cancelled"),
  resolution: Schema.UndefinedOr(Schema.Literal("allow", "deny")),
  ...times
})

export const ChatRecord = Schema.Struct({
  ordinal: Schema.Int,
  id: Schema.String,
  createdAt: Schema.Number,
  context: JsonObject,
  channelContext: Schema.UndefinedOr(JsonObject),
  parentId: Schema.UndefinedOr(Schema.String),
  info: Info,
  messages: Schema.Array(Message),
  runs: Schema.Array(Run),
  interrupts: Schema.Array(Interrupt)
})

export type ChatRecord = typeof ChatRecord.Type

/** What of a chat there is to record: the rest is about what goes on in it. */
export type Contents = Pick<
  Chat,
  "ordinal" | "id" | "createdAt" | "context" | "channelContext" | "parent" | "info" | "messages" | "runs" | "interrupts"
>

/** The chat as it is, and as its turn ends where that is already clear. */
export const encode = (chat: Chat): ChatRecord => {
  const { ordinal, id, createdAt, context, channelContext, parent, info, messages, runs, interrupts } = after(chat)
  return { ordinal, id, createdAt, context, channelContext, parentId: parent?.id, info, messages, runs, interrupts }
}

const after = (chat: Chat): Chat => {
  const ending = chat.turn?.ending
  if (ending === undefined) return chat
  const copy: Chat = {
    ...chat,
    messages: [...chat.messages],
    runs: [...chat.runs],
    interrupts: [...chat.interrupts],
    feed: Feed.make(0),
    touch: () => {}
  }
  ChatChanges.endRun(copy, chat.info.updatedAt, ending)
  return copy
}

export const decode = (
  { parentId, messages, runs, interrupts, ...rest }: ChatRecord,
  find: (id: string) => Chat | undefined
): Contents => ({
  ...rest,
  parent: parentId === undefined ? undefined : find(parentId),
  messages: [...messages],
  runs: [...runs],
  interrupts: [...interrupts]
})

const stopped = "the server was stopped before the turn had ended: send the message again"

/** Ends what was going on in a chat when its server was stopped. */
export const settle = (chat: Chat, now: number): void => {
  const state = chat.runs.at(-1)?.state
  if (state === "submitted" || state === "working" || state === "input_required") {
    ChatChanges.endRun(chat, now, { state: "failed", error: stopped })
  }
  for (const { id, status } of [...chat.messages]) {
    if (status === "queued") ChatChanges.changeMessage(chat, now, id, { status: "cancelled", error: stopped })
  }
}
