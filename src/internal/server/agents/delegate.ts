/** Agents that are tools of other agents: each call is a chat of its own. */
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import { type Agents, contextFor } from "./agents.js"
import { completed, failed, type Outcome, setExecution } from "./calls.js"
import { nothing } from "./chat.js"
import type { Chats } from "./chats.js"
import type { Tool } from "./config.js"
import { describe } from "./model.js"
import { type Agent, type Chat, type Invocation, lineage, type Run, type Turn } from "./state.js"
import type { Turns } from "./turns.js"

/** How many agents may use each other in a row: one that uses itself would never come to an end. */
const maxDepth = 8

const outcome = (chat: Chat, run: Run): Outcome => {
  if (run.state === "failed") return failed(run.error ?? "the agent failed")
  if (run.state !== "completed") return failed("the agent was stopped")
  if (run.output !== undefined) return completed(JSON.stringify(run.output))
  const last = chat.messages.findLast(({ role, runId }) => role === "assistant" && runId === run.id)
  return completed(last?.text ?? "")
}

export const make =
  (options: { readonly agents: Agents; readonly chats: Chats; readonly turns: Turns }) =>
  (turn: Turn, tool: Tool, invocation: Invocation): Effect.Effect<Outcome> => {
    const { agents, chats, turns } = options
    const { message } = invocation.arguments

    const begin = (agent: Agent, context: Chat["context"], text: string) =>
      Effect.gen(function* () {
        const now = yield* Clock.currentTimeMillis
        const chat = chats.create(now, { agent, name: agent.name, context, parent: turn.chat })
        turn.chat.children.add(chat)
        const content = { ...nothing, text }
        const { origin } = turn.order
        const { begun } = yield* turns.send(chat, { agent, content, settings: {}, context: [], origin })
        chats.trim()
        return { chat, own: begun?.turn }
      })

    return Effect.gen(function* () {
      if (typeof message !== "string") return failed("message: expected a text")
      if (lineage(turn.chat).length > maxDepth) return failed(`more than ${maxDepth} agents use each other in a row`)
      const ready = yield* agents.ofTemplate(tool.settings).pipe(
        Effect.flatMap((agent) => Effect.map(contextFor(agent, turn.chat.context), (context) => ({ agent, context }))),
        Effect.either
      )
      if (Either.isLeft(ready)) return failed(describe(ready.left))
      return yield* Effect.acquireUseRelease(
        begin(ready.right.agent, ready.right.context, message),
        ({ chat, own }) =>
          Effect.gen(function* () {
            yield* setExecution(turn, invocation, chat.id)
            return own === undefined ? failed("the agent was stopped") : outcome(chat, yield* Deferred.await(own.ended))
          }),
        ({ chat, own }) =>
          Effect.suspend(() => {
            turn.chat.children.delete(chat)
            return own !== undefined && chat.turn === own ? turns.stop(chat) : Effect.void
          })
      )
    })
  }
