/** The turns of chats: one at a time in each, from the message that starts it to the end of its run. */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as FiberMap from "effect/FiberMap"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import { Attribute } from "../../../Telemetry.js"
import * as Telemetry from "../../telemetry.js"
import { unsafeRandomId } from "../ids.js"
import * as Chat from "./chat.js"
import type { Chats } from "./chats.js"
import { type Chat as ChatState, type End, type Message, type Order, type Run, type Turn, TurnFailed } from "./state.js"

export interface Sent {
  readonly userMessage: Message
  /** The answer to come, and the turn that it is of. There are none yet where the message waits for its turn. */
  readonly begun: { readonly assistantMessage: Message; readonly turn: Turn } | undefined
}

export interface Turns {
  /** Says something in a chat. Its turn begins at once, unless another one is under way. */
  readonly send: (chat: ChatState, order: Order) => Effect.Effect<Sent>
  /** Ends the turn of a chat, and lets the next one begin. */
  readonly stop: (chat: ChatState) => Effect.Effect<void>
  /** Stops a chat and forgets it, and those of the agents that it uses. */
  readonly remove: (chat: ChatState) => Effect.Effect<void>
  /** Waits until no turn is under way. */
  readonly drain: Effect.Effect<void>
}

const endOf = (exit: Exit.Exit<unknown, TurnFailed>): End =>
  Exit.match(exit, {
    onSuccess: (output): End => ({ state: "completed", output }),
    onFailure: (cause) => {
      if (Cause.isInterruptedOnly(cause)) return { state: "canceled" }
      const error = Cause.squash(cause)
      const known = error instanceof TurnFailed
      return { state: "failed", error: known ? error.message : "the server failed: see its log" }
    }
  })

/** `perform` is what happens in a turn: its value is the output of the run. */
export const make = (
  chats: Chats,
  perform: (turn: Turn, turns: Turns) => Effect.Effect<unknown, TurnFailed>
): Effect.Effect<Turns, never, Scope.Scope> =>
  Effect.gen(function* () {
    let closing = false
    yield* Effect.addFinalizer(() => Effect.sync(chats.close))
    const fibers = yield* FiberMap.make<string, void, never>()
    const fork = yield* FiberMap.runtime(fibers)()
    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        closing = true
      })
    )

    const begin = (chat: ChatState, now: number, order: Order, queuedId?: string) => {
      const runId = unsafeRandomId()
      const message =
        (queuedId === undefined ? undefined : Chat.dequeue(chat, now, queuedId, runId)) ??
        Chat.addMessage(chat, now, { ...order.content, role: "user", status: "ready", runId })
      const assistantMessage = Chat.addMessage(chat, now, { role: "assistant", status: "pending", runId })
      const { agent = chat.info.agent } = order
      const turn: Turn = {
        chat,
        runId,
        agent,
        order,
        firstMessageId: assistantMessage.id,
        calls: new Map(),
        ended: Deferred.unsafeMake(FiberId.none),
        ending: undefined
      }
      chat.turn = turn
      const run: Run = {
        id: runId,
        userMessageId: message.id,
        agentId: agent.id,
        agentVersionId: agent.versionId,
        state: "submitted",
        waitsFor: undefined,
        output: undefined,
        error: undefined,
        createdAt: now,
        updatedAt: now
      }
      Chat.addRun(chat, now, run, agent)
      const fiber = Effect.suspend(() => perform(turn, turns)).pipe(
        Effect.tapErrorCause((cause) =>
          Cause.isDie(cause) ? Effect.logError("a turn failed unexpectedly", cause) : Effect.void
        ),
        Effect.annotateLogs({ [Attribute.chatId]: chat.id, [Attribute.runId]: runId }),
        Effect.onExit((exit) =>
          Effect.flatMap(Clock.currentTimeMillis, (now) => {
            const ending = endOf(exit)
            turn.ending = ending
            return Effect.map(chats.save(chat), () => end(turn, now, ending))
          })
        ),
        Telemetry.span(
          "LocalServer.turn",
          { [Attribute.agentName]: agent.name, [Attribute.chatId]: chat.id, [Attribute.runId]: runId },
          order.parent && { parent: order.parent }
        ),
        Effect.exit
      )
      // Not run before the state is complete, nor on the stack of the turn before.
      fork(runId, Effect.asVoid(fiber), { immediate: false })
      if (closing) end(turn, now, { state: "canceled" })
      return { userMessage: message, begun: { assistantMessage, turn } }
    }

    /** The first end counts. */
    const end = (turn: Turn, now: number, end: End) => {
      const { chat } = turn
      if (chat.turn !== turn) return
      chat.turn = undefined
      chat.children.clear()
      const run = Chat.endRun(chat, now, end)
      if (run !== undefined) Deferred.unsafeDone(turn.ended, Effect.succeed(run))
      if (chat.parent !== undefined) Chat.refresh(chat.parent, now, { interrupts: true })
      const next = closing || chat.closed ? undefined : chat.queue.shift()
      if (next !== undefined) begin(chat, now, next.order, next.messageId)
    }

    const interrupt = (turn: Turn) =>
      Effect.flatMap(
        Effect.option(FiberMap.get(fibers, turn.runId)),
        Option.match({ onNone: () => Effect.void, onSome: Fiber.interrupt })
      )

    const stop = (chat: ChatState) =>
      Effect.flatMap(Clock.currentTimeMillis, (now) => {
        const { turn } = chat
        if (turn === undefined) return Effect.void
        end(turn, now, { state: "canceled" })
        // Its end is close: it cancels its tasks, and does not wait for them.
        return interrupt(turn)
      }).pipe(Effect.uninterruptible, Effect.asVoid)

    const remove = (chat: ChatState): Effect.Effect<void> =>
      Effect.flatMap(Clock.currentTimeMillis, (now) => {
        const { turn } = chat
        chat.queue.length = 0
        if (turn !== undefined) end(turn, now, { state: "canceled" })
        const below = chats.all().filter(({ parent }) => parent === chat)
        chats.remove(chat)
        return Effect.all(
          [
            chats.save(chat),
            turn === undefined ? Effect.void : interrupt(turn),
            Effect.forEach(below, remove, { discard: true })
          ],
          { discard: true }
        )
      }).pipe(Effect.uninterruptible)

    const turns: Turns = {
      send: (chat, given) =>
        Effect.zipWith(Clock.currentTimeMillis, Effect.option(Effect.currentParentSpan), (now, parent): Sent => {
          const order = { ...given, parent: Option.getOrUndefined(parent) }
          if (chat.turn === undefined) return begin(chat, now, order)
          const userMessage = Chat.addMessage(chat, now, {
            ...order.content,
            role: "user",
            status: "queued",
            runId: undefined
          })
          chat.queue.push({ messageId: userMessage.id, order })
          return { userMessage, begun: undefined }
        }).pipe(Effect.tap(() => chats.save(chat))),
      stop,
      remove,
      drain: FiberMap.awaitEmpty(fibers)
    }
    return turns
  })
