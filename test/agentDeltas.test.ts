/** The pieces in which answers of models come: that they add up to what the chat shows in the end. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Arbitrary from "effect/FastCheck"
import * as Stream from "effect/Stream"
import { append } from "../src/internal/llmDelta.js"
import * as Agents from "./support/agents.js"
import type { Json } from "./support/wire.js"

/** What a follower knows of a message: the last snapshot of it and the pieces since then. */
const knowledge = (events: ReadonlyArray<Json>, id: string): Json => {
  let state: Json = {}
  for (const { event, data } of events) {
    if (event === "delta" && data.resource_id === id) state = append(state, data.delta)
    if (event === "chat_messages" && data.id === id && data.status === "pending") {
      state = shown(data)
    }
  }
  return state
}

/** What a message shows, as an output of a model. */
const shown = (message: Json): Json => {
  const text = (type: string) =>
    (message.content ?? []).filter((item: Json) => item.type === type).map((item: Json) => item.text)[0] ?? ""
  const tools = (message.content ?? []).filter((item: Json) => item.type === "tool")
  return {
    response: text("text"),
    reasoning: text("reasoning"),
    tool_calls: tools.flatMap((item: Json) => item.tool_calls)
  }
}

const comparable = ({ response = "", reasoning = "", tool_calls = [] }: Json) => ({
  response,
  reasoning,
  calls: tool_calls.map(({ id, function: fn }: Json) => [
    id,
    fn.name,
    typeof fn.arguments === "string" ? JSON.parse(fn.arguments || "{}") : fn.arguments
  ])
})

const text = Arbitrary.string({ maxLength: 12 })

const whole = Arbitrary.record({
  response: text,
  reasoning: text,
  calls: Arbitrary.array(Arbitrary.record({ name: Arbitrary.constantFrom("f", "g"), args: Arbitrary.object() }), {
    maxLength: 2
  })
}).map(({ response, reasoning, calls }) => ({
  response,
  reasoning,
  tool_calls: calls.map(({ name, args }, i) => Agents.call(name, JSON.stringify(args), `id${i}`))
}))

/** An output up to some point, as a model writes: what it thinks, then what it says, then what it calls. */
const upTo = (output: Json, length: number): Json => {
  let left = length
  const take = (text: string) => {
    const taken = text.slice(0, left)
    left -= taken.length
    return taken
  }
  const reasoning = take(output.reasoning)
  const response = take(output.response)
  const tool_calls = output.tool_calls.flatMap((call: Json) => {
    if (left <= 0) return []
    left--
    return [{ ...call, function: { ...call.function, arguments: take(call.function.arguments) } }]
  })
  return { response, reasoning, ...(tool_calls.length > 0 && { tool_calls }) }
}

const story = Arbitrary.tuple(
  whole,
  Arbitrary.array(Arbitrary.nat(80), { maxLength: 8 }),
  // Now and then a model takes back what it has said.
  Arbitrary.array(Arbitrary.record({ response: text, reasoning: text }), { maxLength: 2 })
).map(([output, cuts, others]) => [
  ...cuts.sort((a, b) => a - b).map((cut) => upTo(output, cut)),
  ...others,
  upTo(output, 40),
  output
])

describe("the pieces of a message", () => {
  it.scoped("add up to it, and are numbered without a gap", () => {
    const stories = Arbitrary.sample(story, { numRuns: 60, seed: 7 })
    const model = Agents.makeModel(({ role, text }) =>
      role === "tool"
        ? Agents.says("done")
        : Stream.fromIterable(stories[Number(text)] ?? []).pipe(
            Stream.rechunk(1),
            Stream.tap(() => Effect.yieldNow())
          )
    )
    return Effect.gen(function* () {
      let pieces = 0
      for (const [i, outputs] of stories.entries()) {
        const { chatId, assistant } = yield* Agents.say(String(i))
        const seen = yield* Agents.follow(chatId)
        yield* Agents.untilSeen(seen, ({ event, data }) => event === "chats" && data.status === "idle")
        const last = seen.findLast(({ data }) => data.id === assistant.id).data
        assert.strictEqual(last.status, "ready")
        const expected = outputs.at(-1)
        assert.deepStrictEqual(comparable(shown(last)), comparable({ ...expected }), `story ${i}`)
        assert.deepStrictEqual(comparable(knowledge(seen, assistant.id)), comparable({ ...expected }), `story ${i}`)
        const seqs = seen
          .filter(({ event, data }) => event === "delta" && data.resource_id === assistant.id)
          .map(({ data }) => data.seq)
        assert.deepStrictEqual(
          seqs,
          seqs.map((_, n) => (seqs[0] ?? 1) + n)
        )
        pieces += seqs.length
      }
      assert.isAbove(pieces, 100)
    }).pipe(Effect.provide(Agents.serve([model.app])))
  })

  it.scoped("start from one, and come in full where the text does not just grow", () => {
    const model = Agents.scripted(
      Stream.make({ response: "a" }, { response: "ab" }, { response: "c" }, { response: "cd" }).pipe(
        Stream.rechunk(1),
        Stream.tap(() => Effect.sleep("1 second"))
      )
    )
    return Effect.gen(function* () {
      const { chatId, assistant } = yield* Agents.say("go")
      const seen = yield* Agents.follow(chatId)
      yield* Agents.untilSeen(seen, ({ event }) => event === "agent_runs")
      yield* Agents.pass(4)
      yield* Agents.untilIdle(chatId)
      const story = seen
        .filter(({ data }) => (data.resource_id ?? data.id) === assistant.id)
        .map(({ event, data }) =>
          event === "delta" ? [data.seq, data.delta.response] : [data.status, Agents.textOf(data)]
        )
        .filter(([, text]) => text !== "")
      assert.deepStrictEqual(story, [
        [1, "a"],
        [2, "b"],
        ["pending", "c"],
        [3, "d"],
        ["ready", "cd"]
      ])
    }).pipe(Effect.provide(Agents.serve([model.app])))
  })

  it.scoped("hold the usage that the model tells of, once", () => {
    const usage = { prompt_tokens: 3, completion_tokens: 4 }
    const model = Agents.scripted(
      Stream.make({ response: "a" }, { response: "a", usage }, { response: "ab", usage }).pipe(
        Stream.rechunk(1),
        Stream.tap(() => Effect.sleep("1 second"))
      )
    )
    return Effect.gen(function* () {
      const { chatId } = yield* Agents.say("go")
      const seen = yield* Agents.follow(chatId)
      yield* Agents.untilSeen(seen, ({ event }) => event === "agent_runs")
      yield* Agents.pass(3)
      yield* Agents.untilIdle(chatId)
      const deltas = seen.filter(({ event }) => event === "delta").map(({ data }) => data.delta)
      assert.deepStrictEqual(deltas, [{ response: "a" }, { usage }, { response: "b" }])
    }).pipe(Effect.provide(Agents.serve([model.app])))
  })
})
