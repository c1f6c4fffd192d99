/** The pieces in which answers of models come: that they add up to what the chat shows in the end. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Arbitrary from "effect/FastCheck"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import { append } from "../src/internal/llmDelta.js"
import * as Agents from "./support/agents.js"
import { type Json, post } from "./support/wire.js"

/** What a follower knows of a message: the last snapshot of it and the pieces since then. */
const knowledge = (events: ReadonlyArray<Json>, id: string): Json => {
  let state: Json = {}
  for (const { event, data } of events) {
    if (event === "delta" && data.resource_id === id) state = append(state, data.delta)
    if (event === "chat_messages" && data.id === id) state = shown(data)
  }
  return state
}

/** The sum of the pieces, for those who look at nothing else. */
const sum = (events: ReadonlyArray<Json>, id: string): Json =>
  events
    .filter(({ event, data }) => event === "delta" && data.resource_id === id)
    .reduce((state, { data }) => append(state, data.delta), {})

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

/** Begins a chat, follows it from its beginning to the end of a turn, and gives what was seen and the answer in it. */
const followed = (text: string, agent_config: Json = Agents.config()) =>
  Effect.gen(function* () {
    const { data } = yield* post("/chats", { agent_config })
    const seen = yield* Agents.follow(data.id)
    const { assistant } = yield* Agents.say(text, agent_config, data.id)
    yield* Agents.untilSeen(seen, ({ event, data }) => event === "chats" && data.active_run?.state === "completed")
    return {
      seen,
      id: assistant.id as string,
      last: seen.findLast(({ data }) => data.id === assistant.id).data as Json
    }
  })

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
  calls: Arbitrary.array(
    Arbitrary.record({ name: Arbitrary.constantFrom("f", "g"), args: Arbitrary.object(), indent: Arbitrary.nat(2) }),
    { maxLength: 2 }
  )
}).map(({ response, reasoning, calls }) => ({
  response,
  reasoning,
  tool_calls: calls.map(({ name, args, indent }, i) =>
    Agents.call(name, JSON.stringify(args, undefined, indent), `id${i}`)
  )
}))

/** An output as models tell of it in the end, where the arguments of calls are objects. */
const final = (output: Json): Json => ({
  ...output,
  tool_calls: output.tool_calls.map((call: Json) => ({
    ...call,
    function: { ...call.function, arguments: JSON.parse(call.function.arguments) }
  }))
})

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

const cuts = Arbitrary.array(Arbitrary.nat(80), { maxLength: 8 }).map((cuts) => cuts.sort((a, b) => a - b))

const growing = Arbitrary.tuple(whole, cuts).map(([output, cuts]) => [
  ...cuts.map((cut) => upTo(output, cut)),
  final(output)
])

const story = Arbitrary.tuple(
  growing,
  // Now and then a model takes back what it has said.
  Arbitrary.array(Arbitrary.record({ response: text, reasoning: text }), { maxLength: 2 }),
  growing
).map(([first, others, last]) => (others.length === 0 ? last : [...first.slice(0, -1), ...others, ...last]))

const teller = (stories: ReadonlyArray<ReadonlyArray<Json>>) =>
  Agents.makeModel(({ role, text }) =>
    role === "tool"
      ? Agents.says("done")
      : Stream.fromIterable(stories[Number(text)] ?? []).pipe(
          Stream.rechunk(1),
          Stream.tap(() => Effect.yieldNow())
        )
  )

describe("the pieces of a message", () => {
  it.scoped("add up to it where it grows, also for those who look at nothing else", () => {
    const stories = Arbitrary.sample(growing, { numRuns: 60, seed: 7 })
    const model = teller(stories)
    return Effect.gen(function* () {
      let pieces = 0
      for (const [i, outputs] of stories.entries()) {
        const { seen, id, last } = yield* followed(String(i))
        const expected = comparable({ ...outputs.at(-1) })
        assert.strictEqual(last.status, "ready")
        assert.deepStrictEqual(comparable(shown(last)), expected, `story ${i}`)
        assert.deepStrictEqual(comparable(sum(seen, id)), expected, `story ${i}`)
        const seqs = seen.flatMap(({ event, data }) => (event === "delta" && data.resource_id === id ? [data.seq] : []))
        assert.deepStrictEqual(
          seqs,
          seqs.map((_, n) => 1 + n)
        )
        pieces += seqs.length
      }
      assert.isAbove(pieces, 100)
    }).pipe(Effect.provide(Agents.serve([model.app])))
  })

  it.scoped("come to an end where the message takes something back, and it is shown as it is", () => {
    const stories = Arbitrary.sample(story, { numRuns: 60, seed: 7 })
    const model = teller(stories)
    return Effect.gen(function* () {
      for (const [i, outputs] of stories.entries()) {
        const { seen, id, last } = yield* followed(String(i))
        const expected = comparable({ ...outputs.at(-1) })
        assert.deepStrictEqual(comparable(shown(last)), expected, `story ${i}`)
        assert.deepStrictEqual(comparable(knowledge(seen, id)), expected, `story ${i}`)
        const { response = "", reasoning = "" } = sum(seen, id)
        const told = [{ response: "", reasoning: "" }, ...outputs].map((output) => [output.response, output.reasoning])
        assert.deepInclude(told, [response, reasoning], `story ${i}`)
      }
    }).pipe(Effect.provide(Agents.serve([model.app])))
  })

  it.scoped("are followed by no more than a few messages in full, however much the model goes on to say", () => {
    const model = Agents.scripted(
      Stream.range(1, 500).pipe(
        Stream.map((n) => ({ response: n === 1 ? "x" : "word ".repeat(n) })),
        Stream.rechunk(1),
        Stream.tap((output) => (output.response.length % 500 === 0 ? Effect.sleep("10 millis") : Effect.yieldNow()))
      )
    )
    return Effect.gen(function* () {
      const { data } = yield* post("/chats", { agent_config: Agents.config() })
      const seen = yield* Agents.follow(data.id)
      const { assistant } = yield* Agents.say("go", Agents.config(), data.id)
      for (let i = 0; i < 6; i++) yield* TestClock.adjust("10 millis")
      yield* Agents.untilSeen(seen, ({ data }) => data.id === assistant.id && data.status === "ready")
      const full = seen.filter(({ event, data }) => event === "chat_messages" && data.id === assistant.id)
      assert.isBelow(full.length, 6)
      assert.strictEqual(Agents.textOf(full.at(-1)?.data), "word ".repeat(500))
    }).pipe(Effect.provide(Agents.serve([model.app])))
  })

  it.scoped("tell of a call whose arguments have white space in them as they are written", () => {
    const written = ['{"city": ', '{"city": "Oslo",\n  "days"', '{"city": "Oslo",\n  "days": 3}']
    const call = (args: unknown) => Agents.call("forecast", args)
    const model = Agents.scripted(
      Stream.fromIterable([...written, JSON.parse(written[2] ?? "")]).pipe(
        Stream.map((args) => ({ response: "", tool_calls: [call(args)] })),
        Stream.rechunk(1),
        Stream.tap(() => Effect.yieldNow())
      )
    )
    return Effect.gen(function* () {
      const { seen, id } = yield* followed("weather")
      const [told] = sum(seen, id).tool_calls as ReadonlyArray<Json>
      assert.deepStrictEqual(told, { index: 0, ...call(written[2]) })
    }).pipe(Effect.provide(Agents.serve([model.app])))
  })

  it.scoped("of a call make sense to those who come amid them", () => {
    const model = Agents.scripted(
      Stream.fromIterable(["", '{"city": ', '{"city": "Oslo"}']).pipe(
        Stream.map((args) => ({
          response: "",
          tool_calls: [Agents.call("wait", '{"for": "it"}', "a"), Agents.call("forecast", args, "b")]
        })),
        Stream.rechunk(1),
        Stream.tap(() => Effect.sleep("1 second"))
      ),
      Effect.never
    )
    return Effect.gen(function* () {
      const { chatId, assistant } = yield* Agents.say("weather")
      yield* Agents.pass(2)
      const seen = yield* Agents.follow(chatId)
      yield* Agents.untilSeen(seen, ({ event }) => event === "agent_runs")
      yield* Agents.pass(2)
      yield* Agents.untilSeen(seen, ({ data }) => data.id === assistant.id && data.status === "ready")
      assert.isTrue(seen.some(({ event }) => event === "delta"))
      const expected = [
        ["a", "wait", { for: "it" }],
        ["b", "forecast", { city: "Oslo" }]
      ]
      assert.deepStrictEqual(comparable(knowledge(seen, assistant.id)).calls, expected)
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
        ["pending", "cd"],
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
