/** Chats, and what is in them, as they go over the wire: protocol.md §7.5. */
import type { Json } from "../../wire.js"
import { iso } from "../taskWire.js"
import { pendingInterrupts } from "./pending.js"
import type { Chat, Interrupt, Invocation, Message, Run } from "./state.js"

/** What every resource says of itself. */
export const base = (of: {
  readonly id: string
  readonly createdAt: number
  readonly updatedAt: number
  readonly visibility?: string
}): Json => ({
  id: of.id,
  short_id: of.id.slice(0, 8),
  created_at: iso(of.createdAt),
  updated_at: iso(of.updatedAt),
  deleted_at: null,
  user_id: "local",
  user: null,
  team_id: "local",
  team: null,
  org_id: null,
  visibility: of.visibility ?? "private"
})

const item = (type: string, fields: Json): Json => ({
  type,
  error: null,
  text: null,
  image: null,
  file: null,
  tool_calls: null,
  ...fields
})

const content = (message: Message): ReadonlyArray<Json> | null => {
  const { reasoning, text, images, files, toolCalls, error } = message
  const calls = toolCalls.map(({ index, id, name, arguments: args }) => ({
    ...(index !== undefined && { index }),
    id,
    type: "function",
    function: { name, arguments: args }
  }))
  const items = [
    ...(reasoning === "" ? [] : [item("reasoning", { text: reasoning })]),
    ...(text === "" ? [] : [item("text", { text })]),
    ...images.map((image) => item("image", { image })),
    ...files.map((file) => item("file", { file })),
    ...(calls.length === 0 ? [] : [item("tool", { tool_calls: calls })]),
    ...(error === undefined ? [] : [item("text", { error })])
  ]
  return items.length === 0 && message.status === "pending" ? null : items
}

const invocation = (messageId: string, of: Invocation): Json => ({
  ...base(of),
  chat_message_id: messageId,
  tool_invocation_id: of.callId,
  type: of.type,
  display_name: of.displayName ?? null,
  execution_id: of.executionId ?? null,
  function: { name: of.name, arguments: of.arguments },
  status: of.status,
  result: of.result ?? null,
  data: null,
  widget: null
})

export const message = (chat: Chat, of: Message): Json => ({
  ...base({ ...of, visibility: chat.info.visibility }),
  chat_id: chat.id,
  chat: null,
  agent_run_id: of.runId ?? null,
  order: of.order,
  status: of.status,
  task_id: of.taskId ?? null,
  role: of.role,
  content: content(of),
  tools: null,
  tool_call_id: of.toolCallId ?? null,
  tool_invocations: of.invocations.length === 0 ? null : of.invocations.map((each) => invocation(of.id, each))
})

export const run = (chat: Chat, of: Run): Json => ({
  ...base({ ...of, visibility: chat.info.visibility }),
  agent_id: of.agentId ?? "",
  agent: null,
  agent_version_id: of.agentVersionId ?? null,
  chat_id: chat.id,
  user_message_id: of.userMessageId,
  state: of.state,
  error: of.error ?? null,
  output: of.output ?? null,
  interrupt_reason: of.waitsFor?.reason ?? null,
  interrupt_tool_id: of.waitsFor?.invocationId ?? null,
  interrupt_meta: null,
  tool_invocation_id: null,
  trigger_id: null,
  metadata: null
})

export const interrupt = (chat: Chat, of: Interrupt): Json => ({
  ...base({ ...of, visibility: chat.info.visibility }),
  run_id: of.runId,
  chat_id: chat.id,
  reason: "tool_approval",
  source: "agent",
  resource_id: of.invocationId,
  resource_type: "tool_invocation",
  status: of.status,
  resolution: of.resolution ?? null,
  resolved_at: of.status === "pending" ? null : iso(of.updatedAt),
  resolved_data: null,
  expires_at: null,
  meta: { tool_invocation_id: of.invocationId, tool_name: of.toolName, arguments: of.arguments }
})

export const chatStatus = (chat: Chat): "busy" | "awaiting_input" | "idle" =>
  chat.turn === undefined ? "idle" : chat.runs.at(-1)?.state === "input_required" ? "awaiting_input" : "busy"

export const chat = (of: Chat): Json => {
  const { info } = of
  const active = of.runs.at(-1)
  return {
    ...base({ ...of, ...info }),
    parent_id: of.parent?.id ?? null,
    parent: null,
    children: null,
    status: chatStatus(of),
    output: active?.output ?? null,
    context: of.context,
    channel_context: of.channelContext ?? null,
    agent_id: info.agent.id ?? null,
    agent: null,
    agent_version_id: info.agent.versionId ?? null,
    agent_version: null,
    name: info.name,
    description: info.description,
    chat_messages: null,
    agent_data: {
      plan_steps: null,
      memory: null,
      always_allowed_tools:
        info.alwaysAllowed.length === 0 ? null : Array.from(new Set(info.alwaysAllowed.map(({ name }) => name)))
    },
    active_run: active === undefined ? null : run(of, active),
    pending_interrupts: pendingInterrupts(of).map((each) => interrupt(each.chat, each.interrupt))
  }
}
