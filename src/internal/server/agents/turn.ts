/** What happens in a turn: the model is asked, and asked again with the results of the calls that it makes. */
import * as Clock from "effect/Clock"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Calls from "./calls.js"
import * as Chat from "./chat.js"
import * as Model from "./model.js"
import { callsOf, textsOf } from "./output.js"
import { type Turn, TurnFailed } from "./state.js"

/** How often a model is asked in one turn: one that always calls a tool would never come to an end. */
const maxAsked = 100

/** Gives the output of the run, which is there where the agent has called `finish`. */
export const perform = (
  turn: Turn,
  means: Calls.Means,
  heartbeat: Duration.DurationInput
): Effect.Effect<unknown, TurnFailed> =>
  Effect.gen(function* () {
    const { chat, runId } = turn
    Chat.changeRun(chat, yield* Clock.currentTimeMillis, { state: "working" })
    let messageId = turn.firstMessageId
    for (let asked = 1; asked <= maxAsked; asked++) {
      const output = yield* Model.ask(turn, messageId, means.launcher, heartbeat)
      const calls = callsOf(output)
      const now = yield* Clock.currentTimeMillis
      const invocations = Calls.begin(turn, now, calls)
      Chat.changeMessage(chat, now, messageId, {
        ...textsOf(output),
        status: "ready",
        toolCalls: calls.map(({ id, name, arguments: args = {} }) => ({ index: undefined, id, name, arguments: args })),
        invocations
      })
      if (calls.length === 0) return undefined
      Chat.refresh(chat, now, { interrupts: invocations.some(({ status }) => status === "awaiting_approval") })
      yield* Effect.forEach(invocations, (invocation) => Calls.handle(turn, invocation, means), {
        concurrency: "unbounded",
        discard: true
      })
      const answeredAt = yield* Clock.currentTimeMillis
      const handled = chat.messages.findLast(({ id }) => id === messageId)?.invocations ?? []
      for (const { callId, result = "" } of handled) {
        Chat.addMessage(chat, answeredAt, { role: "tool", status: "ready", runId, toolCallId: callId, text: result })
      }
      const finish = handled.find((invocation) => Calls.hasFinished(turn, invocation))
      if (finish !== undefined) return finish.arguments
      if (asked < maxAsked) {
        messageId = Chat.addMessage(chat, answeredAt, { role: "assistant", status: "pending", runId }).id
      }
    }
    return yield* new TurnFailed({ message: `the model was asked ${maxAsked} times, and still calls tools` })
  })
