/** What a chat has done, as a graph: each answer of the model, and the calls that it made. */
import type { Json } from "../../wire.js"
import { iso } from "../taskWire.js"
import type { Chat, Invocation, Message } from "./state.js"
import { base } from "./wire.js"

const statuses = {
  pending: "running",
  in_progress: "running",
  awaiting_approval: "blocked",
  ready: "completed",
  completed: "completed",
  failed: "failed",
  cancelled: "cancelled",
  queued: "pending"
}

const node = (
  chat: Chat,
  type: string,
  label: string,
  of: Message | Invocation,
  resource: { readonly id: string; readonly type: string }
): Json & { readonly status: string } => {
  const status = statuses[of.status]
  const ended = status === "completed" || status === "failed" || status === "cancelled"
  return {
    ...base(of),
    graph_id: chat.id,
    type,
    label,
    resource_id: resource.id,
    resource_type: resource.type,
    status,
    metadata: null,
    ready_at: iso(of.createdAt),
    started_at: iso(of.createdAt),
    completed_at: ended ? iso(of.updatedAt) : null,
    duration_ms: ended ? of.updatedAt - of.createdAt : null
  }
}

/** `ChatTraceDTO`. */
export const trace = (chat: Chat): Json => {
  const answers = chat.messages.filter(({ role }) => role === "assistant")
  const nodes = answers.flatMap((message) => [
    node(chat, "execution", "model", message, { id: message.taskId ?? message.id, type: "task" }),
    ...message.invocations.map((call) =>
      node(chat, "execution", call.name, call, { id: call.id, type: "tool_invocation" })
    )
  ])
  const edge = (type: string, from: Message, to: Message | Invocation): Json => ({
    ...base({ ...to, id: `${from.id}-${to.id}` }),
    type,
    from_node: from.id,
    to_node: to.id
  })
  const edges = answers.flatMap((message, i) => {
    const next = answers[i + 1]
    return [
      ...message.invocations.map((call) => edge("execution", message, call)),
      ...(next === undefined ? [] : [edge("flow", message, next)])
    ]
  })
  const count = (...wanted: ReadonlyArray<string>) => nodes.filter(({ status }) => wanted.includes(status)).length
  return {
    graph_id: chat.id,
    nodes,
    edges,
    total_steps: nodes.length,
    completed_steps: count("completed"),
    running_steps: count("running", "blocked"),
    failed_steps: count("failed")
  }
}
