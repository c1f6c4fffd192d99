/** What clients say to calls that wait for them: that they may be made, or what came of them. */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import { unsafeRandomId } from "../ids.js"
import { Problem } from "../reply.js"
import * as Chat from "./chat.js"
import { type Chat as ChatState, type Interrupt, type Invocation, lineage, type Turn } from "./state.js"

const conflict = (detail: string) => new Problem({ status: 409, code: "conflict", detail })

/** Whether a tool that wants approval has it already. What goes for a chat goes for the agents that it uses. */
export const isAllowed = (chat: ChatState, name: string): boolean =>
  lineage(chat).some(({ info }) => info.allowAllTools || info.alwaysAllowed.includes(name))

/** Lets a tool be called from now on. Each use of an agent is a chat of its own: what is said in one goes for all of them. */
export const alwaysAllow = (chat: ChatState, now: number, name: string): void => {
  const root = lineage(chat).at(-1) ?? chat
  const { alwaysAllowed } = root.info
  if (!alwaysAllowed.includes(name)) Chat.setInfo(root, now, { alwaysAllowed: [...alwaysAllowed, name] })
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

/** Answers a question, once. */
export const decide = (
  chat: ChatState,
  now: number,
  invocationId: string,
  decision: { readonly allow: true } | { readonly allow: false; readonly reason: unknown }
): Effect.Effect<Interrupt, Problem> =>
  Effect.suspend(() => {
    const { turn } = chat
    const at = chat.interrupts.findLastIndex((each) => each.invocationId === invocationId)
    const interrupt = chat.interrupts[at]
    if (turn === undefined || interrupt === undefined || interrupt.status !== "pending") {
      return conflict(`tool invocation ${invocationId} does not wait for approval`)
    }
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
    return Effect.succeed(resolved)
  })

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
