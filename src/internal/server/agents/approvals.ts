/** What clients say to calls that wait for them: that they may be made, or what came of them. */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import { unsafeRandomId } from "../ids.js"
import { Problem } from "../reply.js"
import * as Chat from "./chat.js"
import { type Chat as ChatState, type Interrupt, type Invocation, lineage, type Turn } from "./state.js"

const conflict = (detail: string) => new Problem({ status: 409, code: "conflict", detail })

/** Whether a tool that wants approval has it already. */
export const isAllowed = (chat: ChatState, name: string): boolean => {
  const agentId = chat.info.agent.id
  return lineage(chat).some(
    ({ info }) =>
      info.allowAllTools || info.alwaysAllowed.some((tool) => tool.name === name && tool.agentId === agentId)
  )
}

/**
 * Lets a tool of an agent be called from now on. Each use of an agent is a chat of its own: what is said in one goes for all of
 * them, but not for a tool of another agent that has the same name.
 */
export const alwaysAllow = (chat: ChatState, now: number, name: string): void => {
  if (isAllowed(chat, name)) return
  const root = lineage(chat).at(-1) ?? chat
  Chat.setInfo(root, now, { alwaysAllowed: [...root.info.alwaysAllowed, { agentId: chat.info.agent.id, name }] })
}

/** Asks whether a call may be made. */
export const ask = (turn: Turn, now: number, { id, name, arguments: args }: Invocation): void => {
  const interrupt: Interrupt = {
    id: unsafeRandomId(),
    runId: turn.runId,
    invocationId: id,
    toolName: name,
    arguments: args,
    status: "pending",
    resolution: undefined,
    createdAt: now,
    updatedAt: now
  }
  turn.chat.interrupts.push(interrupt)
  turn.chat.index.set(interrupt.id, turn.chat)
}

const done = <A>(deferred: Deferred.Deferred<A> | undefined, value: A): void => {
  if (deferred !== undefined) Deferred.unsafeDone(deferred, Effect.succeed(value))
}

type Decision = { readonly allow: true } | { readonly allow: false; readonly reason: unknown }

/** Answers a question, where it is open. */
const settle = (chat: ChatState, now: number, invocationId: string, decision: Decision): Interrupt | undefined => {
  const { turn } = chat
  const at = chat.interrupts.findLastIndex((each) => each.invocationId === invocationId)
  const interrupt = chat.interrupts[at]
  if (turn === undefined || interrupt === undefined || interrupt.status !== "pending") return undefined
  const resolved: Interrupt = {
    ...interrupt,
    status: "resolved",
    resolution: decision.allow ? "allow" : "deny",
    updatedAt: now
  }
  chat.interrupts[at] = resolved
  Chat.changeInvocation(
    turn,
    now,
    invocationId,
    decision.allow
      ? { status: "in_progress" }
      : { status: "cancelled", result: JSON.stringify({ status: "rejected", reason: decision.reason }) }
  )
  Chat.refresh(chat, now, { interrupts: true })
  done(turn.calls.get(invocationId)?.decided, decision.allow)
  return resolved
}

/** Answers a question, once: but what goes without saying by now may be said again, by clients who do not know that yet. */
export const decide = (
  chat: ChatState,
  now: number,
  invocationId: string,
  decision: Decision
): Effect.Effect<Interrupt, Problem> =>
  Effect.suspend(() => {
    const resolved =
      settle(chat, now, invocationId, decision) ??
      chat.interrupts.find(
        (each) =>
          each.invocationId === invocationId &&
          each.resolution === "allow" &&
          decision.allow &&
          isAllowed(chat, each.toolName)
      )
    return resolved === undefined
      ? conflict(`tool invocation ${invocationId} does not wait for approval`)
      : Effect.succeed(resolved)
  })

/** Answers the questions whose answers are known by now. */
export const settleAllowed = (chats: ReadonlyArray<ChatState>, now: number): void => {
  for (const chat of chats) {
    for (const { invocationId, toolName, status } of chat.interrupts) {
      if (status === "pending" && isAllowed(chat, toolName)) settle(chat, now, invocationId, { allow: true })
    }
  }
}

/** Says what came of a call that is a client's to make, once. */
export const answer = (
  chat: ChatState,
  now: number,
  invocationId: string,
  result: string
): Effect.Effect<void, Problem> =>
  Effect.suspend(() => {
    const { turn } = chat
    const found = chat.messages.flatMap(({ invocations }) => invocations).find(({ id }) => id === invocationId)
    if (turn === undefined || found?.type !== "client" || found.status !== "in_progress") {
      return conflict(`tool invocation ${invocationId} does not wait for a result: it is ${found?.status}`)
    }
    Chat.changeInvocation(turn, now, invocationId, { status: "completed", result })
    Chat.refresh(chat, now)
    done(turn.calls.get(invocationId)?.answered, undefined)
    return Effect.void
  })
