/** What is known of one chat that is followed: its state, its messages and its runs, and what of them is new. */
import * as Either from "effect/Either"
import type * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import * as Chat from "../../Chat.js"
import { isJsonObject, isOlder, type Json, sameJson } from "../wire.js"
import type { Update } from "./chatEvents.js"
import * as Writing from "./writing.js"

/** A message, with its text as far as it is known from pieces of it. */
export interface Entry {
  readonly id: string
  raw: Json
  /** Not there yet where only pieces of its text were seen. */
  message: Chat.Message | undefined
  readonly text: Writing.Writing
  readonly reasoning: Writing.Writing
  /** The number of the last piece that was taken. */
  seq: number | undefined
  /** The connection whose pieces go on from what was taken. */
  syncedTo: number | undefined
}

/** Where an update comes from: from a connection, in order with what else that brings, or from a reply to some request. */
export type Origin = "stream" | "reply"

const decodeChat = Schema.decodeUnknownEither(Chat.Chat)
const decodeMessage = Schema.decodeUnknownEither(Chat.Message)
const decodeRun = Schema.decodeUnknownEither(Chat.Run)

/** Merges the named fields, or takes the data as a whole. A field that is named and not there is cleared. */
const merged = (before: Json | undefined, data: Json, fields: ReadonlyArray<string> | undefined): Json => {
  if (fields === undefined) return data
  const named = new Set(["id", ...fields, ...(data.updated_at === undefined ? [] : ["updated_at"])])
  return { ...before, ...Object.fromEntries(Array.from(named, (name) => [name, data[name] ?? null])) }
}

/** Whether an update was news, or why it is not what it should be. */
export type Outcome = Either.Either<boolean, ParseResult.ParseError>

/** What a call is while it waits for somebody. */
const waiting: ReadonlySet<string> = new Set(["in_progress", "awaiting_input", "awaiting_approval"])

const nothingNew: Outcome = Either.right(false)

export interface ChatState {
  readonly chat: () => Chat.Chat | undefined
  readonly entries: () => Iterable<Entry>
  readonly entry: (id: string) => Entry | undefined
  readonly runs: () => Iterable<Chat.Run>
  /** Whether the service has said what the output of a run is, be it that there is none. */
  readonly hasOutput: (runId: string) => boolean
  /** Whether the last word on what is under way was that nothing is. */
  readonly isIdle: () => boolean
  /** Whether somebody is waited for, and it is not known who or for what. */
  readonly isPuzzling: () => boolean
  /** Whether a message is known as it is in the end. */
  readonly isFinished: (id: string) => boolean
  /** A message with the text that is known of it. */
  readonly view: (entry: Entry) => Chat.Message | undefined
  /** Begins a connection: its pieces of text need not go on from the last ones. */
  readonly connected: () => void
  /** Whether an update says all that there is to say, or changes what is known already. */
  readonly isKnown: (update: Update) => boolean
  readonly apply: (update: Update, origin: Origin) => Outcome
  /** The messages that changed since this was asked last. */
  readonly takeChanged: () => ReadonlyArray<Entry>
}

export const make = (): ChatState => {
  let rawChat: Json | undefined
  let chat: Chat.Chat | undefined
  let isIdle = false
  let activeId: string | undefined
  let connection = 0
  const entries = new Map<string, Entry>()
  const runs = new Map<string, { readonly raw: Json; readonly run: Chat.Run }>()
  const changed = new Set<Entry>()

  const entryOf = (id: string): Entry => {
    const found = entries.get(id)
    if (found !== undefined) return found
    const entry: Entry = {
      id,
      raw: {},
      message: undefined,
      text: Writing.make(),
      reasoning: Writing.make(),
      seq: undefined,
      syncedTo: undefined
    }
    entries.set(id, entry)
    return entry
  }

  const takeRun = (raw: Json): Outcome =>
    Either.map(decodeRun(raw), (run) => {
      const last = runs.get(run.id)?.run
      const isStale = last !== undefined && Chat.isOver(last.state) && !Chat.isOver(run.state)
      if (isStale || isOlder(run, last) || sameJson(run, last)) return false
      runs.set(run.id, { raw, run })
      return true
    })

  const takeChat = (data: Json, fields: ReadonlyArray<string> | undefined): Outcome => {
    const raw = merged(rawChat, data, fields)
    return Either.map(decodeChat(raw), (decoded) => {
      if (isOlder(decoded, chat)) return false
      const isNew = !sameJson(decoded, chat)
      rawChat = raw
      chat = decoded
      // An update may name other fields alone, and say nothing of what is under way.
      if (fields === undefined || fields.includes("status") || fields.includes("active_run")) {
        isIdle = !Chat.isBusy(decoded)
        activeId = decoded.activeRun?.id
        const { active_run: run } = data
        // It may hold less of the run than is known already.
        if (isJsonObject(run)) takeRun({ chat_id: decoded.id, ...runs.get(String(run.id))?.raw, ...run })
      }
      return isNew
    })
  }

  /** Brings the sum of the pieces in line with a state of the whole, unless it goes on from what was there before. */
  const sync = (entry: Entry, text: string, reasoning: string) => {
    if (entry.syncedTo === connection) return
    // After a connection broke, no text may mean that states do not hold what is being written: pieces may have got lost.
    if (connection > 1 && entry.seq === undefined && text === "" && reasoning === "") return
    const [a, b] = [entry.text.compare(text), entry.reasoning.compare(reasoning)]
    if (a === "same" && b === "same") entry.syncedTo = connection
    else if (a === "other" || b === "other") {
      entry.text.restart(text)
      entry.reasoning.restart(reasoning)
      entry.syncedTo = connection
    }
  }

  const takeMessage = (data: Json, fields: ReadonlyArray<string> | undefined, origin: Origin): Outcome => {
    const id = String(data.id)
    const before = entries.get(id)
    const raw = merged(before?.raw, data, fields)
    return Either.map(decodeMessage(raw), (message) => {
      const entry = entryOf(id)
      const last = entry.message
      const isStale = last !== undefined && Chat.isFinished(last) && !Chat.isFinished(message)
      if (isStale || isOlder(message, last)) return false
      const isNew = !sameJson(message, last)
      entry.raw = raw
      entry.message = message
      const [text, reasoning] = [Chat.text(message), Chat.reasoning(message)]
      if (origin === "stream") sync(entry, text, reasoning)
      entry.text.replace(text, Chat.isFinished(message))
      entry.reasoning.replace(reasoning, Chat.isFinished(message))
      if (isNew) changed.add(entry)
      return isNew
    })
  }

  const takeDelta = ({ delta, seq, messageId }: Extract<Update, { readonly _tag: "Delta" }>): Outcome => {
    const entry = entryOf(messageId)
    const { seq: last } = entry
    if (last !== undefined && seq <= last) return nothingNew
    if (entry.message !== undefined && Chat.isFinished(entry.message)) return nothingNew
    // Without a state of the whole on this connection, only the very next piece can be known to be the next.
    const isNext = last === undefined ? entry.text.text() === "" && seq <= 1 : seq === last + 1
    if (entry.syncedTo !== connection && !isNext) return nothingNew
    entry.syncedTo = connection
    entry.seq = seq
    const { response, reasoning } = delta
    const fits = [
      typeof response !== "string" || entry.text.append(response),
      typeof reasoning !== "string" || entry.reasoning.append(reasoning)
    ]
    // Something got lost. What is missing comes with the next state of the whole.
    if (fits.includes(false)) entry.syncedTo = undefined
    changed.add(entry)
    return Either.right(true)
  }

  return {
    chat: () => {
      const active = chat?.activeRun
      if (chat === undefined || active === undefined) return chat
      return { ...chat, activeRun: runs.get(active.id)?.run ?? active }
    },
    entries: () => entries.values(),
    entry: (id) => entries.get(id),
    runs: () => Array.from(runs.values(), ({ run }) => run),
    hasOutput: (runId) => runs.get(runId)?.raw.output !== undefined,
    isIdle: () => isIdle,
    isPuzzling: () => {
      const active = activeId === undefined ? undefined : runs.get(activeId)?.run
      const isWaiting = active === undefined ? chat?.status === "awaiting_input" : active.state === "input_required"
      const calls = Array.from(entries.values()).flatMap(({ message }) => message?.toolInvocations ?? [])
      return isWaiting && chat?.pendingInterrupts.length === 0 && !calls.some(({ status }) => waiting.has(status))
    },
    isFinished: (id) => {
      const message = entries.get(id)?.message
      return message !== undefined && Chat.isFinished(message)
    },
    view: ({ message, text, reasoning }) => {
      if (message === undefined || Chat.isFinished(message)) return message
      const [written, thought] = [text.text(), reasoning.text()]
      if (written === Chat.text(message) && thought === Chat.reasoning(message)) return message
      const part = (type: "text" | "reasoning", text: string): ReadonlyArray<Chat.Part> =>
        text === "" ? [] : [{ type, text, toolCalls: [] }]
      const others = message.content.filter(({ type }) => type !== "text" && type !== "reasoning")
      return { ...message, content: [...part("reasoning", thought), ...part("text", written), ...others] }
    },
    connected: () => {
      connection++
    },
    isKnown: (update) => {
      if (update._tag === "Delta" || update.fields === undefined) return true
      const id = String(update.data.id)
      return update._tag === "Chat"
        ? rawChat !== undefined
        : update._tag === "Run"
          ? runs.has(id)
          : entries.get(id)?.message !== undefined
    },
    apply: (update, origin) => {
      switch (update._tag) {
        case "Chat":
          return takeChat(update.data, update.fields)
        case "Message":
          return takeMessage(update.data, update.fields, origin)
        case "Run": {
          const id = String(update.data.id)
          return Either.map(takeRun(merged(runs.get(id)?.raw, update.data, update.fields)), (isNew) => {
            const run = runs.get(id)?.run
            if (!isNew || run === undefined) return isNew
            if (!Chat.isOver(run.state)) {
              activeId = id
              isIdle = false
            } else if (activeId === undefined || activeId === id) isIdle = true
            return isNew
          })
        }
        case "Delta":
          return takeDelta(update)
      }
    },
    takeChanged: () => {
      const taken = Array.from(changed)
      changed.clear()
      return taken
    }
  }
}
