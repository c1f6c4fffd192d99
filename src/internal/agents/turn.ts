/** One turn of a chat: which of what is known of the chat belongs to it, what happens in it, and when it is over: protocol.md §7.7. */
import * as Chat from "../../Chat.js"
import { ChatFailed } from "../../InferenceError.js"
import { isJsonObject, sameJson } from "../wire.js"
import type { ChatState, Entry } from "./chatState.js"

/** The reply to the message that begins the turn. */
export interface Posted {
  readonly chatId: string
  readonly userMessage: Chat.Message | undefined
  readonly assistantMessage: Chat.Message | undefined
}

/** What is to be done next: to tell of an event, or to answer a call. `isOurs` says whether the call is one of this turn. */
export type Step =
  | { readonly _tag: "Tell"; readonly event: Chat.Event<never> }
  | { readonly _tag: "Answer"; readonly invocation: Chat.ToolInvocation; readonly isOurs: boolean }

export type Ending = "completed" | "failed" | "canceled" | "rejected"

export interface Turn {
  readonly begin: (posted: Posted) => void
  /** What follows from what has changed. */
  readonly steps: () => ReadonlyArray<Step>
  /** How it ended. `isSure` says whether the service has said so of this very turn, and not only that nothing is under way. */
  readonly ending: () => { readonly ending: Ending; readonly isSure: boolean } | undefined
  /** Whether all of its messages are known as they are in the end, as far as can be told from them. */
  readonly isComplete: () => boolean
  /** Whether none of those that are known is still being written. */
  readonly isSettled: () => boolean
  /** The last steps. */
  readonly close: (ending: Ending) => ReadonlyArray<Step>
  /** What a turn that did not go well fails with. */
  readonly failure: (ending: Exclude<Ending, "completed">) => ChatFailed
  /** Notes that a call has its answer. Whether it had none before. */
  readonly answered: (id: string) => boolean
  /** Whether it waits for somebody. */
  readonly isWaiting: () => boolean
  /** Whether its message waits until other turns are over. */
  readonly isQueued: () => boolean
  /** The message that began it, as it is now. */
  readonly userMessage: () => Chat.Message | undefined
}

const tell = (event: Chat.Event<never>): Step => ({ _tag: "Tell", event })

/** Bookkeeping of the service that is not part of the conversation. */
const isHidden = ({ role }: Chat.Message): boolean => role === "injection" || role === "compaction"

const isAnswered = ({ status }: Chat.ToolInvocation): boolean =>
  status === "completed" || status === "failed" || status === "cancelled"

/** Whether a call waits for this program. Older servers say so with another status. */
export const waitsForClient = ({ type, status }: Chat.ToolInvocation): boolean =>
  type === "client" && (status === "in_progress" || status === "awaiting_input")

export const make = (
  state: ChatState,
  options: {
    readonly isNewChat: boolean
    /** Whether it is for the sake of its structured output. */
    readonly wantsOutput: boolean
  }
): Turn => {
  const { isNewChat, wantsOutput } = options
  let posted: Posted | undefined
  let runId: string | undefined
  /** Messages that were there before the turn, where their order does not tell. */
  let before: ReadonlySet<string> | undefined
  /** Runs that were there before a queued message got its turn. */
  let runsBefore: ReadonlySet<string> = new Set()
  let hasBegun = false
  /** The output of the chat as it was last, and whether it has become another one in this turn. */
  let chatOutput: { readonly value: unknown } | undefined
  let isOutputNew = isNewChat
  let wasBusy = false
  let status: string | undefined
  /** Changed messages that may turn out to belong to this turn. */
  const undecided = new Set<Entry>()
  const told = new Set<string>()
  const called = new Set<string>()
  const answered = new Set<string>()
  const approvals = new Set<string>()
  const handed = new Set<string>()

  const current = (message: Chat.Message | undefined) =>
    message === undefined ? undefined : (state.entry(message.id)?.message ?? message)

  const ourRun = (): Chat.Run | undefined => {
    if (posted === undefined) return undefined
    const { userMessage, assistantMessage } = posted
    runId ??= current(userMessage)?.runId ?? current(assistantMessage)?.runId
    const runs = Array.from(state.runs())
    const found =
      runs.find(({ id, userMessageId }) => id === runId || (userMessage && userMessageId === userMessage.id)) ??
      (runId === undefined && hasBegun ? runs.find(isFirst) : undefined)
    runId ??= found?.id
    return found
  }

  /** Where nothing says whose run one is: the first that begins in the turn is that of the turn. */
  const isFirst = (run: Chat.Run): boolean =>
    run.userMessageId === undefined && !runsBefore.has(run.id) && (isNewChat || !Chat.isOver(run.state))

  const isQueued = () => current(posted?.userMessage)?.status === "queued" && ourRun() === undefined

  /** Notes when the turn begins: at once, or once those before it in the queue are over. */
  const checkBegun = () => {
    if (hasBegun || posted === undefined || isQueued()) return
    hasBegun = true
    const { userMessage, assistantMessage } = posted
    const wasQueued = userMessage?.status === "queued"
    if (wasQueued || (userMessage ?? assistantMessage) === undefined) {
      before = new Set(Array.from(state.entries(), ({ id }) => id))
    }
    if (wasQueued) runsBefore = new Set(Array.from(state.runs(), ({ id }) => id))
  }

  /** The order after which the messages of the turn come. */
  const start = (): number =>
    posted?.userMessage?.order ?? (posted?.assistantMessage?.order ?? Number.NEGATIVE_INFINITY) - 1

  const isOurs = ({ id, message }: Entry): boolean => {
    if (posted === undefined || message === undefined || !hasBegun) return false
    const { userMessage, assistantMessage } = posted
    if (id === userMessage?.id || id === assistantMessage?.id) return true
    if (runId !== undefined && message.runId !== undefined) return message.runId === runId
    // Without the ids of runs their order tells. Other messages of users begin turns of their own.
    return message.role !== "user" && message.order > start() && !before?.has(id)
  }

  const ours = (): ReadonlyArray<Chat.Message> =>
    Array.from(state.entries())
      .filter(isOurs)
      .flatMap((entry) => (entry.message === undefined || isHidden(entry.message) ? [] : entry.message))
      .sort((a, b) => a.order - b.order)

  const lastAssistant = () => ours().findLast(({ role }) => role === "assistant")

  const answersOf = (message: Chat.Message, isOurs: boolean): ReadonlyArray<Step> =>
    message.toolInvocations.flatMap((invocation): ReadonlyArray<Step> => {
      if (!waitsForClient(invocation) || handed.has(invocation.id)) return []
      handed.add(invocation.id)
      return [{ _tag: "Answer", invocation, isOurs }]
    })

  const callsOf = (message: Chat.Message): ReadonlyArray<Step> =>
    message.toolInvocations.flatMap((invocation) => {
      const { id, name, arguments: args } = invocation
      const steps: Array<Step> = []
      const isWritten = invocation.status !== "pending" || Chat.isFinished(message)
      if (isWritten && !called.has(id)) {
        called.add(id)
        steps.push(tell(Chat.Event.ToolCall({ id, name, arguments: args, invocation })))
      }
      if (invocation.status === "awaiting_approval" && !approvals.has(id)) {
        approvals.add(id)
        const interrupt = state.chat()?.pendingInterrupts.find(({ resourceId }) => resourceId === id)
        steps.push(tell(Chat.Event.ApprovalRequired({ id, name, arguments: args, invocation, interrupt })))
      }
      if (isAnswered(invocation) && !answered.has(id)) {
        answered.add(id)
        const { result } = invocation
        steps.push(tell(Chat.Event.ToolResult<never>({ id, name, result, failure: undefined, invocation })))
      }
      return steps
    })

  const messageSteps = (entry: Entry): ReadonlyArray<Step> => {
    const { message } = entry
    if (message === undefined || isHidden(message)) return []
    const steps: Array<Step> = []
    const thought = entry.reasoning.read()
    const written = entry.text.read()
    if (message.role === "assistant") {
      if (thought !== undefined) steps.push(tell(Chat.Event.ReasoningDelta({ messageId: message.id, ...thought })))
      if (written !== undefined) steps.push(tell(Chat.Event.TextDelta({ messageId: message.id, ...written })))
    }
    if (Chat.isFinished(message) && !told.has(message.id)) {
      told.add(message.id)
      steps.push(tell(Chat.Event.Message({ message })))
    }
    return [...steps, ...callsOf(message), ...answersOf(message, true)]
  }

  /** Gates other than that of a tool, which shows in its invocation. */
  const gateSteps = (): ReadonlyArray<Step> =>
    (state.chat()?.pendingInterrupts ?? []).flatMap((interrupt) => {
      const { id, reason, status, meta, source } = interrupt
      const isGate = reason === "hook_gate" || reason === "confirmation"
      const isOther = interrupt.runId !== undefined && runId !== undefined && interrupt.runId !== runId
      if (!isGate || status !== "pending" || isOther || approvals.has(id)) return []
      approvals.add(id)
      const { tool_name: name, arguments: args } = isJsonObject(meta) ? meta : {}
      const gate = { id, name: typeof name === "string" ? name : (source ?? reason), arguments: args }
      return [tell(Chat.Event.ApprovalRequired({ ...gate, invocation: undefined, interrupt }))]
    })

  const statusSteps = (): ReadonlyArray<Step> => {
    const run = ourRun()
    if (run === undefined || Chat.isOver(run.state) || run.state === status) return []
    status = run.state
    return [tell(Chat.Event.Status({ status: run.state, run, output: undefined }))]
  }

  /** Chats keep the output of the turn before. */
  const checkOutput = () => {
    const chat = state.chat()
    if (chat === undefined) return
    if (hasBegun && chatOutput !== undefined && !sameJson(chat.output, chatOutput.value)) isOutputNew = true
    chatOutput = { value: chat.output }
  }

  /** What the run says, the call with which a model gives it, or what the chat says if that is news. */
  const output = (): { readonly value: unknown } | undefined => {
    const run = ourRun()
    if (run !== undefined && state.hasOutput(run.id)) return { value: run.output }
    const calls = ours().flatMap(({ toolInvocations }) => toolInvocations)
    const finish = calls.findLast(
      ({ type, name, status }) => `${type} ${name} ${status}` === "internal finish completed"
    )
    if (finish !== undefined) return { value: finish.arguments }
    return isOutputNew && chatOutput?.value !== undefined ? chatOutput : undefined
  }

  return {
    begin: (reply) => {
      posted = reply
      for (const entry of state.entries()) undecided.add(entry)
    },

    steps: () => {
      for (const entry of state.takeChanged()) undecided.add(entry)
      checkBegun()
      checkOutput()
      const run = ourRun()
      if (hasBegun && !state.isIdle()) wasBusy = true
      const entries = Array.from(undecided).sort((a, b) => (a.message?.order ?? 0) - (b.message?.order ?? 0))
      const found = entries.flatMap((entry) => {
        if (isOurs(entry)) {
          undecided.delete(entry)
          return messageSteps(entry)
        }
        const { message } = entry
        // Which messages are this turn's is not known for good before its run is, except for those from before it.
        if (run !== undefined || (message !== undefined && hasBegun && message.order <= start()))
          undecided.delete(entry)
        return message === undefined ? [] : answersOf(message, false)
      })
      return hasBegun ? [...found, ...gateSteps(), ...statusSteps()] : found
    },

    ending: () => {
      const run = ourRun()
      if (run !== undefined && Chat.isOver(run.state)) return { ending: endingOf(run.state), isSure: true }
      const user = current(posted?.userMessage)
      if (user?.status === "cancelled") return { ending: "canceled", isSure: true }
      if (user?.status === "failed") return { ending: "failed", isSure: true }
      const assistant = current(posted?.assistantMessage)
      const isAnswered = assistant !== undefined && Chat.isFinished(assistant)
      const canTell = isNewChat || run !== undefined || isAnswered || (runId === undefined && wasBusy)
      if (!hasBegun || !state.isIdle() || !canTell) return undefined
      const last = lastAssistant()
      const ending = last?.status === "failed" ? "failed" : last?.status === "cancelled" ? "canceled" : "completed"
      return { ending, isSure: false }
    },

    isComplete: () => {
      const last = lastAssistant()
      const mayHaveOutput = wantsOutput || (last !== undefined && last.toolInvocations.length > 0)
      return last !== undefined && ours().every(Chat.isFinished) && (!mayHaveOutput || output() !== undefined)
    },

    isSettled: () => ours().every(Chat.isFinished),

    close: (ending) => {
      const run = ourRun()
      const unfinished =
        ending === "completed"
          ? Array.from(state.entries())
              .filter((entry) => isOurs(entry) && !told.has(entry.id))
              .flatMap((entry) => state.view(entry) ?? [])
              .filter((message) => !isHidden(message))
          : []
      const value = ending === "completed" ? output()?.value : undefined
      return [
        ...unfinished.map((message) => tell(Chat.Event.Message({ message }))),
        tell(Chat.Event.Status({ status: ending, run: run && { ...run, state: ending, output: value }, output: value }))
      ]
    },

    failure: (ending) => {
      const last = lastAssistant()
      const failed = ours().findLast((message) => message.content.some(({ error }) => error))
      return new ChatFailed({
        reason: ending === "failed" ? "Failed" : ending === "canceled" ? "Cancelled" : "Rejected",
        chatId: posted?.chatId,
        runId,
        messageId: failed?.id,
        detail: failed?.content.find(({ error }) => error)?.error ?? ourRun()?.error,
        text: last === undefined ? "" : (state.entry(last.id)?.text.text() ?? "")
      })
    },

    answered: (id) => {
      const isFirst = !answered.has(id)
      answered.add(id)
      return isFirst
    },

    isWaiting: () => status === "input_required" || status === "auth_required" || isQueued(),

    isQueued,

    userMessage: () => current(posted?.userMessage)
  }
}

const badEndings = ["failed", "canceled", "rejected"] as const

const endingOf = (state: Chat.Run["state"]): Ending => badEndings.find((ending) => ending === state) ?? "completed"
