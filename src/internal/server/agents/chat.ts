/** How a chat changes. */
import type { Json } from "../../wire.js"
import * as Feed from "../feed.js"
import { unsafeRandomId } from "../ids.js"
import { chatEvent, event, messageEvent, runEvent } from "./follow.js"
import { waits } from "./pending.js"
import type { Agent, Chat, Content, End, Info, Invocation, Message, Run, Turn } from "./state.js"

export const nothing: Content = { text: "", images: [], files: [], attachments: [] }

export const setInfo = (chat: Chat, now: number, patch: Partial<Info>): void => {
  chat.info = { ...chat.info, ...patch, updatedAt: now }
  chat.touch()
  Feed.unsafePublish(chat.feed, () => chatEvent(chat))
}

const nextOrder = (chat: Chat): number => (chat.messages.at(-1)?.order ?? 0) + 1

/** Adds a message as the last one. */
export const addMessage = (
  chat: Chat,
  now: number,
  message: Pick<Message, "role" | "status" | "runId"> & Partial<Message>
): Message => {
  const added: Message = {
    ...nothing,
    id: unsafeRandomId(),
    taskId: undefined,
    reasoning: "",
    toolCalls: [],
    invocations: [],
    toolCallId: undefined,
    error: undefined,
    createdAt: now,
    ...message,
    order: nextOrder(chat),
    updatedAt: now
  }
  chat.messages.push(added)
  chat.index.set(added.id, chat)
  chat.touch()
  Feed.unsafePublish(chat.feed, () => messageEvent(chat, added))
  return added
}

/** Changes a message. Followers are sent it in full, or only the piece that is new in it, or wait for what comes next. */
export const changeMessage = (
  chat: Chat,
  now: number,
  id: string,
  patch: Partial<Message>,
  told?: { readonly seq: number; readonly delta: Json } | "later"
): Message | undefined => {
  const at = chat.messages.findLastIndex((message) => message.id === id)
  const found = chat.messages[at]
  if (found === undefined) return undefined
  const changed: Message = { ...found, ...patch, updatedAt: now }
  chat.messages[at] = changed
  if (told === "later") return changed
  // What is new in it will soon be more: the whole is recorded once it is there.
  if (told === undefined) chat.touch()
  Feed.unsafePublish(chat.feed, () =>
    told === undefined ? messageEvent(chat, changed) : event("delta", { ...told, resource_id: id })
  )
  return changed
}

/** Makes a queued message the last one, so that it comes after the answers to those before it. */
export const dequeue = (chat: Chat, now: number, id: string, runId: string): Message | undefined => {
  const at = chat.messages.findIndex((message) => message.id === id)
  const [found] = at === -1 ? [] : chat.messages.splice(at, 1)
  return found && addMessage(chat, now, { ...found, status: "ready", runId })
}

/** Adds a run as the current one, of the agent that the chat runs on from now on. */
export const addRun = (chat: Chat, now: number, run: Run, agent: Agent): void => {
  chat.runs.push(run)
  chat.index.set(run.id, chat)
  setInfo(chat, now, { agent })
  Feed.unsafePublish(chat.feed, () => runEvent(chat, run))
}

/** Changes the current run, and tells of it and then of the chat. */
export const changeRun = (chat: Chat, now: number, patch: Partial<Run>): Run | undefined => {
  const current = chat.runs.at(-1)
  if (current === undefined) return undefined
  const run: Run = { ...current, ...patch, updatedAt: now }
  chat.runs[chat.runs.length - 1] = run
  Feed.unsafePublish(chat.feed, () => runEvent(chat, run))
  setInfo(chat, now, {})
  return run
}

/** Finds out what the run waits for after something about its calls has changed. */
export const refresh = (chat: Chat, now: number, options?: { readonly interrupts: boolean }): void => {
  const run = chat.turn && chat.runs.at(-1)
  if (run !== undefined) {
    const [waitsFor] = waits(chat)
    const same = waitsFor?.invocationId === run.waitsFor?.invocationId && waitsFor?.reason === run.waitsFor?.reason
    if (!same) changeRun(chat, now, { state: waitsFor === undefined ? "working" : "input_required", waitsFor })
    else if (options?.interrupts) setInfo(chat, now, {})
  }
  if (chat.parent !== undefined) refresh(chat.parent, now, options)
}

const open = new Set(["in_progress", "awaiting_approval"])

/** Changes a call of a turn, unless it has ended already. */
export const changeInvocation = (
  turn: Turn,
  now: number,
  id: string,
  patch: Partial<Invocation>
): Invocation | undefined => {
  const { chat } = turn
  if (chat.turn !== turn) return undefined
  const message = chat.messages.findLast(({ invocations }) => invocations.some((each) => each.id === id))
  const found = message?.invocations.find((each) => each.id === id)
  if (message === undefined || found === undefined || !open.has(found.status)) return undefined
  const changed = { ...found, ...patch, updatedAt: now }
  changeMessage(chat, now, message.id, {
    invocations: message.invocations.map((each) => (each.id === id ? changed : each))
  })
  return changed
}

/** Ends the current run, and everything that it has left open. */
export const endRun = (chat: Chat, now: number, end: End): Run | undefined => {
  close(chat, now, end.state === "failed" ? end.error : undefined)
  return changeRun(chat, now, { ...end, waitsFor: undefined })
}

const close = (chat: Chat, now: number, error: string | undefined): void => {
  const run = chat.runs.at(-1)
  if (run === undefined) return
  const start = chat.messages.findLastIndex(({ id }) => id === run.userMessageId)
  for (const message of chat.messages.slice(start)) {
    if (message.runId !== run.id) continue
    const pending = message.status === "pending"
    if (!pending && !message.invocations.some(({ status }) => open.has(status))) continue
    changeMessage(chat, now, message.id, {
      // Calls that were still being written are no calls.
      ...(pending && {
        toolCalls: [],
        ...(error === undefined ? { status: "cancelled" } : { status: "failed", error })
      }),
      invocations: message.invocations.map((each) =>
        open.has(each.status) ? { ...each, status: "cancelled", updatedAt: now } : each
      )
    })
  }
  for (const [i, interrupt] of chat.interrupts.entries()) {
    if (interrupt.status === "pending") {
      chat.interrupts[i] = { ...interrupt, status: "cancelled", updatedAt: now }
    }
  }
}
