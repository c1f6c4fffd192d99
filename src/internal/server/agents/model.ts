/** Asks the model of a turn, and tells those who follow the chat what it says as it says it. */
import * as Clock from "effect/Clock"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { diff } from "../../llmDelta.js"
import { type Json, sameJson } from "../../wire.js"
import * as Launcher from "../launcher.js"
import type { Problem } from "../reply.js"
import * as Tasks from "../tasks.js"
import * as Chat from "./chat.js"
import { llmInput } from "./input.js"
import { normalise, soFar } from "./output.js"
import { type Turn, TurnFailed } from "./state.js"

/** A problem in one line, for those who did not make the request. */
export const describe = ({ detail, errors = [] }: Problem): string =>
  errors.length === 0 ? detail : `${detail}: ${errors.map(({ field, message }) => `${field} ${message}`).join("; ")}`

/** What the tasks of a turn say of where they come from. */
export const sourceOf = ({ chat, agent, order }: Turn): Launcher.Source => ({
  origin: order.origin,
  chatId: chat.id,
  agentId: agent.id,
  agentVersionId: agent.versionId
})

/** Starts a task, and cancels it where it is not waited for to the end. */
export const withTask = <A, E>(
  launcher: Launcher.Launcher,
  start: Effect.Effect<Launcher.Started>,
  use: (entry: Tasks.Entry) => Effect.Effect<A, E>
): Effect.Effect<A, E> =>
  Effect.acquireUseRelease(
    start,
    ({ entry }) => use(entry),
    ({ entry }) => launcher.cancel(entry, Launcher.defaultPatience)
  )

/** How often, at most, a message is told of in full while it is written, in milliseconds. */
const snapshotInterval = 100

/**
 * Tells of an output that has grown: what is new in it. Once it did not just grow it is told of as it is, now and then, to the end
 * of the message: whoever adds the pieces up could not tell what later ones go on from.
 */
const teller = (turn: Turn, messageId: string) => {
  let told: Json = {}
  let grows = true
  let seq = 0
  let shownAt = Number.NEGATIVE_INFINITY
  return (output: unknown): Effect.Effect<Json> =>
    Effect.map(Clock.currentTimeMillis, (now) => {
      const next = normalise(messageId, output)
      if (turn.chat.turn !== turn || sameJson(told, next)) return next
      const delta = grows ? diff(told, next) : undefined
      grows = delta !== undefined
      told = next
      if (delta === undefined) {
        const isSoon = now >= shownAt && now - shownAt < snapshotInterval
        if (!isSoon) shownAt = now
        Chat.changeMessage(turn.chat, now, messageId, soFar(next), isSoon ? "later" : undefined)
      } else if (Object.keys(delta).length > 0) {
        seq++
        Chat.changeMessage(turn.chat, now, messageId, soFar(next), { delta, seq })
      }
      return next
    })
}

/** What the model says in answer to the chat so far. It is told of in the given message, which stays pending. */
export const ask = (
  turn: Turn,
  messageId: string,
  launcher: Launcher.Launcher,
  heartbeat: Duration.DurationInput
): Effect.Effect<Json, TurnFailed> =>
  Effect.gen(function* () {
    const { chat, agent } = turn
    const input = llmInput(turn)
    const start = yield* Effect.mapError(
      launcher.prepare({ ...agent.config.model, input }, sourceOf(turn)),
      (problem) => new TurnFailed({ message: describe(problem) })
    )
    const tell = teller(turn, messageId)
    const state = yield* withTask(launcher, start, (entry) =>
      Effect.gen(function* () {
        const now = yield* Clock.currentTimeMillis
        Chat.changeMessage(chat, now, messageId, { taskId: entry.state.id })
        let last: unknown = null
        yield* Stream.runForEach(Tasks.follow(entry, heartbeat), (signal) => {
          const output =
            signal._tag === "Full" ? signal.state.output : signal._tag === "Patch" ? signal.patch.state.output : last
          if (output === last) return Effect.void
          last = output
          return tell(output)
        })
        return entry.state
      })
    )
    if (state.status === "completed") return yield* tell(state.output)
    // Somebody cancelled the task of the model: that ends the turn as a stop does.
    if (state.status === "cancelled") return yield* Effect.interrupt
    return yield* new TurnFailed({ message: state.error ?? `the model's task ${state.id} failed` })
  })
