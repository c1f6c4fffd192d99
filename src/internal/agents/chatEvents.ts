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

/** Whether a resource is of the chat: other chats, such as those of agents that are its tools, may be told of on the same stream. */
const isOf = (chatId: string, tag: "Chat" | "Message" | "Run", data: Json): boolean =>
  tag === "Chat" ? data.id === chatId : data.chat_id === undefined || data.chat_id === null || data.chat_id === chatId

/** Reads a frame of the stream of the given chat. A piece of text of no message is of no use, and so `Unknown`. */
export const read = (chatId: string, frame: Frame): StreamEvents.Incoming<Update> =>
  StreamEvents.read(frame, (event): Update | undefined => {
    if (event._tag === "Delta") {
      const { delta, seq, resourceId } = event
      return resourceId !== undefined && typeof delta === "object" && delta !== null
        ? { _tag: "Delta", delta: { ...delta }, seq, messageId: resourceId }
        : undefined
    }
    const tag = event.event === undefined ? (event.data.id === chatId ? "Chat" : undefined) : tables[event.event]
    return tag !== undefined && typeof event.data.id === "string" && isOf(chatId, tag, event.data)
      ? { _tag: tag, data: event.data, fields: event.fields }
      : undefined
  })
