/** Wire forms of chats, for services that answer from a script. */
import type { Json } from "./tasks.js"

export const chat = (fields: Json = {}): Json => ({
  event: "chats",
  data: { id: "c1", status: "busy", active_run: null, ...fields }
})

export const run = (state: string, fields: Json = {}): Json => ({
  event: "agent_runs",
  data: { id: "r1", chat_id: "c1", user_message_id: "m1", state, ...fields }
})

export const message = (id: string, fields: Json = {}, names?: ReadonlyArray<string>): Json => ({
  event: "chat_messages",
  data: names === undefined ? { ...base(id), ...fields } : { id, ...fields },
  ...(names && { fields: names })
})

const base = (id: string): Json => ({
  id,
  chat_id: "c1",
  order: Number(id.slice(1)),
  role: "assistant",
  status: "pending",
  content: null,
  tool_invocations: null,
  agent_run_id: "r1"
})

export const delta = (messageId: string | undefined, seq: number, delta: Json): Json => ({
  event: "delta",
  data: { delta, seq, resource_id: messageId }
})

export const text = (text: string): ReadonlyArray<Json> => [part("text", { text })]

export const part = (type: string, fields: Json): Json => ({
  type,
  error: null,
  text: null,
  image: null,
  file: null,
  tool_calls: null,
  ...fields
})

export const invocation = (id: string, name: string, args: unknown, fields: Json = {}): Json => ({
  id,
  tool_invocation_id: `call_${id}`,
  chat_message_id: "m2",
  type: "client",
  function: { name, arguments: args },
  status: "in_progress",
  result: null,
  ...fields
})

export const ready = (id: string, content: string, fields: Json = {}): Json =>
  message(id, { status: "ready", content: text(content), ...fields })

/** The data of an event, as a request for the resource would give it. */
export const dataOf = (event: Json): Json => event.data as Json

export const userMessage = (content = "hi", fields: Json = {}): Json =>
  dataOf(message("m1", { role: "user", status: "ready", content: text(content), ...fields }))

/** The reply to a message that begins a turn at once. */
export const posted = (fields: Json = {}): Json => ({
  user_message: userMessage(),
  assistant_message: dataOf(message("m2")),
  ...fields
})

export const idle = chat({ status: "idle", active_run: { id: "r1", state: "completed" } })
