/** The chats that the server knows. */
import type { Json } from "../../wire.js"
import * as Feed from "../feed.js"
import { unsafeRandomId } from "../ids.js"
import type { Agent, Chat } from "./state.js"

/** How many events are kept for those who follow a chat and lag behind. */
const maxRecent = 256

export interface Chats {
  readonly create: (
    now: number,
    options: {
      readonly agent: Agent
      readonly name: string
      readonly context: Json
      readonly channelContext?: Json | undefined
      readonly parent?: Chat | undefined
    }
  ) => Chat
  readonly find: (id: string) => Chat | undefined
  /** The chat that a message, call, run or interrupt is in. */
  readonly holding: (id: string) => Chat | undefined
  /** The newest first. */
  readonly all: () => ReadonlyArray<Chat>
  /** The chats that there are too many of: idle ones before others, and the oldest first. Never the newest. */
  readonly excess: () => ReadonlyArray<Chat>
  /** Forgets a chat, whose followers come to their end. */
  readonly remove: (chat: Chat) => void
}

/** Keeps chats in memory, up to `limit` of them. */
export const make = (limit: number): Chats => {
  const chats = new Map<string, Chat>()
  const index = new Map<string, Chat>()
  let ordinal = 0

  const remove = (chat: Chat) => {
    chats.delete(chat.id)
    chat.closed = true
    for (const { id, invocations } of chat.messages) {
      index.delete(id)
      for (const invocation of invocations) index.delete(invocation.id)
    }
    for (const { id } of [...chat.runs, ...chat.interrupts]) index.delete(id)
    Feed.wake(chat.feed)
  }

  return {
    create: (now, { agent, name, context, channelContext, parent }) => {
      const chat: Chat = {
        ordinal: ++ordinal,
        id: unsafeRandomId(),
        createdAt: now,
        context,
        channelContext,
        parent,
        children: new Set(),
        info: {
          agent,
          name,
          description: "",
          visibility: "private",
          allowAllTools: false,
          alwaysAllowed: [],
          updatedAt: now
        },
        messages: [],
        runs: [],
        interrupts: [],
        turn: undefined,
        queue: [],
        closed: false,
        feed: Feed.make(maxRecent),
        index
      }
      chats.set(chat.id, chat)
      return chat
    },
    find: (id) => chats.get(id),
    holding: (id) => index.get(id),
    all: () => Array.from(chats.values()).reverse(),
    excess: () => {
      if (chats.size <= limit) return []
      const all = Array.from(chats.values()).slice(0, -1)
      const isIdle = (chat: Chat) => chat.turn === undefined
      return [...all.filter(isIdle), ...all.filter((chat) => !isIdle(chat))].slice(0, chats.size - limit)
    },
    remove
  }
}
