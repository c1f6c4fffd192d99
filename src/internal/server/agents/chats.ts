/** The chats that the server knows. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type { FileError } from "../../../InferenceError.js"
import type { Json } from "../../wire.js"
import * as Feed from "../feed.js"
import { unsafeRandomId } from "../ids.js"
import * as Records from "../records.js"
import * as ChatRecord from "./chatRecord.js"
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
  /** Records a chat, as it is and as its turn ends. */
  readonly save: (chat: Chat) => Effect.Effect<void>
  /** Ends the followers of all chats. */
  readonly close: () => void
}

/** What outlives the server. */
interface Kept {
  readonly records: Records.Records
  readonly stored: ReadonlyArray<ChatRecord.ChatRecord>
  readonly now: number
}

const nothing: Kept = { records: Records.none, stored: [], now: 0 }

/** Keeps chats in memory, up to `limit` of them. */
export const make = (limit: number, { records, stored, now }: Kept = nothing): Chats => {
  const chats = new Map<string, Chat>()
  const index = new Map<string, Chat>()
  let ordinal = stored.at(-1)?.ordinal ?? 0

  const current = (chat: Chat) => () => (chats.get(chat.id) === chat ? ChatRecord.encode(chat) : undefined)

  const add = (of: ChatRecord.Contents): Chat => {
    const chat: Chat = {
      ...of,
      children: new Set(),
      turn: undefined,
      queue: [],
      closed: false,
      feed: Feed.make(maxRecent),
      index,
      touch: () => records.touch(chat.id, current(chat))
    }
    chats.set(chat.id, chat)
    for (const { id, invocations } of chat.messages) {
      index.set(id, chat)
      for (const invocation of invocations) index.set(invocation.id, chat)
    }
    for (const { id } of [...chat.runs, ...chat.interrupts]) index.set(id, chat)
    return chat
  }

  const remove = (chat: Chat) => {
    chats.delete(chat.id)
    chat.touch()
    chat.closed = true
    for (const { id, invocations } of chat.messages) {
      index.delete(id)
      for (const invocation of invocations) index.delete(invocation.id)
    }
    for (const { id } of [...chat.runs, ...chat.interrupts]) index.delete(id)
    Feed.wake(chat.feed)
  }

  const trim = () => {
    if (chats.size <= limit) return
    const all = Array.from(chats.values())
    const needed = new Set(all.filter((chat, i) => chat.turn !== undefined || i === all.length - 1).flatMap(lineage))
    const isRoot = ({ parent }: Chat) => Number(parent === undefined)
    all
      .filter((chat) => !needed.has(chat))
      .sort((a, b) => isRoot(a) - isRoot(b) || a.info.updatedAt - b.info.updatedAt)
      .slice(0, chats.size - limit)
      .forEach(remove)
  }

  // The chats of agents come after those that use them.
  for (const record of stored) ChatRecord.settle(add(ChatRecord.decode(record, (id) => chats.get(id))), now)
  trim()

  return {
    create: (now, { agent, name, context, channelContext, parent }) => {
      const chat = add({
        ordinal: ++ordinal,
        id: unsafeRandomId(),
        createdAt: now,
        context,
        channelContext,
        parent,
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
        interrupts: []
      })
      chat.touch()
      return chat
    },
    find: (id) => chats.get(id),
    holding: (id) => index.get(id),
    all: () => Array.from(chats.values()).reverse(),
    trim,
    save: (chat) => records.save(chat.id, current(chat)),
    close: () => {
      for (const chat of chats.values()) {
        chat.closed = true
        Feed.wake(chat.feed)
      }
    },
    remove
  }
}

/** Keeps records of them as well, and those that there are from before. */
export const load = (limit: number, records: Records.Records): Effect.Effect<Chats, FileError> =>
  Effect.zipWith(records.read(ChatRecord.ChatRecord), Clock.currentTimeMillis, (stored, now) =>
    make(limit, { records, stored, now })
  )
