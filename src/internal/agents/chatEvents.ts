/** What the lines of a chat's stream mean: protocol.md §7.8. */
import type { Frame } from "../framing.js"
import * as StreamEvents from "../streamEvents.js"
import type { Json } from "../wire.js"

/** `fields` names what changed; without it the data is the whole resource. */
export type Update =
  | {
      readonly _tag: "Chat" | "Message" | "Run"
      readonly data: Json
      readonly fields: ReadonlyArray<string> | undefined
    }
  | { readonly _tag: "Delta"; readonly delta: Json; readonly seq: number; readonly messageId: string }

const tables: Record<string, "Chat" | "Message" | "Run"> = {
  chats: "Chat",
  chat_messages: "Message",
  agent_runs: "Run"
}

/** The name under which something is told of. */
export const tableOf = (update: Update): string | undefined =>
  Object.keys(tables).find((name) => tables[name] === update._tag)

/** The ids of the chat that is followed: the one that it is followed by may be a short one, while its resources name the long one. */
export type Ids = Set<unknown>

const isChat = (ids: Ids, { id, short_id }: Json): boolean => {
  if (ids.has(short_id)) ids.add(id)
  return ids.has(id)
}

/** Whether a resource is of the chat: other chats, such as those of agents that are its tools, may be told of on the same stream. */
const isOf = (ids: Ids, tag: "Chat" | "Message" | "Run", data: Json): boolean =>
  tag === "Chat" ? isChat(ids, data) : data.chat_id === undefined || data.chat_id === null || ids.has(data.chat_id)

/** Reads a frame of the stream of a chat. A piece of text of no message is of no use, and so `Unknown`. */
export const read = (ids: Ids, frame: Frame): StreamEvents.Incoming<Update> =>
  StreamEvents.read(frame, (event): Update | undefined => {
    if (event._tag === "Delta") {
      const { delta, seq, resourceId } = event
      return resourceId !== undefined && typeof delta === "object" && delta !== null
        ? { _tag: "Delta", delta: { ...delta }, seq, messageId: resourceId }
        : undefined
    }
    const tag = event.event === undefined ? (isChat(ids, event.data) ? "Chat" : undefined) : tables[event.event]
    return tag !== undefined && typeof event.data.id === "string" && isOf(ids, tag, event.data)
      ? { _tag: tag, data: event.data, fields: event.fields }
      : undefined
  })
