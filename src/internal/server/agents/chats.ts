/** The chats that the server knows. */
import type { Json } from "../../wire.js"
import * as Feed from "../feed.js"
import { unsafeRandomId } from "../ids.js"
import { type Agent, type Chat, lineage } from "./state.js"

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
  /**
   * Forgets the chats that there are too many of, of those at rest: the ones of agents that are tools first, and then the ones that
   * have rested for longest. Never the newest, which has yet to begin.
   */
  readonly trim: () => void
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
    trim: () => {
      if (chats.size <= limit) return
      const all = Array.from(chats.values())
      const needed = new Set(all.filter((chat, i) => chat.turn !== undefined || i === all.length - 1).flatMap(lineage))
      const isRoot = ({ parent }: Chat) => Number(parent === undefined)
      all
        .filter((chat) => !needed.has(chat))
        .sort((a, b) => isRoot(a) - isRoot(b) || a.info.updatedAt - b.info.updatedAt)
        .slice(0, chats.size - limit)
        .forEach(remove)
    },
    remove
  }
}
