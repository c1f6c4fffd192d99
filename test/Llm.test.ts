import { existsSync, readdirSync, readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { assert, describe, it, vi } from "@effect/vitest"
import * as Chunk from "effect/Chunk"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Fc from "effect/FastCheck"
import * as Fiber from "effect/Fiber"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import type * as App from "effect-inferencesh/App"
import * as BaseApp from "effect-inferencesh/BaseApp"
import * as File from "effect-inferencesh/File"
import * as Llm from "effect-inferencesh/Llm"
import * as NodeInference from "effect-inferencesh/NodeInference"
import * as Tasks from "effect-inferencesh/Tasks"
import { toJsonSchema } from "../src/internal/jsonSchema.js"
import { isJsonObject, type Json } from "../src/internal/wire.js"

const decodeInput = Schema.decodeUnknownSync(Llm.Input)
const encodeInput = (input: Llm.Input): Json => Schema.encodeSync(Llm.Input)(input)
const decodeOutput = Schema.decodeUnknownSync(Llm.Output)
const encodeOutput = (output: Llm.Output): Json => Schema.encodeSync(Llm.Output)(output)

/** Runs a model on a decoded input: all its outputs. */
const outputs = <R>(model: BaseApp.BaseApp<Llm.Llm, R>, input: App.Input<Llm.Llm>) =>
  Effect.scoped(
    Effect.flatMap(BaseApp.start(model), (instance) =>
      Effect.map(Stream.runCollect(instance.run(input)), Chunk.toReadonlyArray)
    )
  )

const reply = <R>(model: BaseApp.BaseApp<Llm.Llm, R>, input: App.Input<Llm.Llm>) =>
  Effect.map(outputs(model, input), (all) => {
    const last = all.at(-1)
    assert.isDefined(last)
    return last ?? Llm.empty
  })

const assistant = (toolCalls?: ReadonlyArray<Llm.ToolCall>): Llm.ContextMessage => ({
  role: "assistant",
  text: "",
  ...(toolCalls && { toolCalls })
})

describe("Llm.Input", () => {
  it("is called with a text alone, and says no more on the wire than it has to", () => {
    assert.deepStrictEqual(encodeInput(Llm.Input.make({ text: "hi" })), { text: "hi", role: "user", context: [] })
    assert.deepStrictEqual(decodeInput({ text: "hi" }), { text: "hi", role: "user", context: [] })
  })

  it("takes null for any field, and ignores fields that it does not know", () => {
    const fields = Object.keys(encodeInput(full))
    const nulls = Object.fromEntries(fields.map((name) => [name, null]))
    assert.deepStrictEqual(decodeInput({ ...nulls, reasoning_exclude: true }), { text: "", role: "user", context: [] })
  })

  it("survives the wire with all of its fields", () => {
    const wire = encodeInput(full)
    assert.deepStrictEqual(JSON.parse(JSON.stringify(decodeInput(wire))), JSON.parse(JSON.stringify(full)))
    assert.deepStrictEqual(Object.keys(full).length, Object.keys(Llm.Input.fields).length)
    for (const name of Object.keys(wire)) assert.match(name, /^[a-z_]+$/)
  })

  it("has tools in OpenAI's form on the wire, and flat ones in code", () => {
    const parameters = { type: "object", properties: {} }
    const { tools } = decodeInput({
      tools: [
        { type: "function", function: { name: "add", description: "Adds", parameters } },
        { type: "function", function: { name: "now", description: null, parameters: null } }
      ]
    })
    assert.deepStrictEqual(tools, [{ name: "add", description: "Adds", parameters }, { name: "now" }])
    assert.deepStrictEqual(encodeInput({ ...decodeInput({}), tools: [{ name: "now" }] }).tools, [
      { type: "function", function: { name: "now" } }
    ])
  })

  it("reads the choice of a tool and the form of the reply in the service's words and in OpenAI's", () => {
    const choice = (tool_choice: unknown) => decodeInput({ tool_choice }).toolChoice
    assert.deepStrictEqual(choice({ mode: "required" }), { mode: "required" })
    assert.deepStrictEqual(choice("required"), { mode: "required" })
    assert.deepStrictEqual(choice({ mode: "function", name: "add" }), { mode: "function", name: "add" })
    assert.deepStrictEqual(choice({ type: "function", function: { name: "add" } }), { mode: "function", name: "add" })
    const format = (response_format: unknown) => decodeInput({ response_format }).responseFormat
    const jsonSchema = { type: "object" }
    const expected = { type: "json_schema", name: "sum", jsonSchema, strict: true }
    assert.deepStrictEqual(format({ ...expected, json_schema: jsonSchema }), expected)
    assert.deepStrictEqual(
      format({ type: "json_schema", json_schema: { name: "sum", schema: jsonSchema, strict: true } }),
      expected
    )
  })

  it("finds the text of a message where it is in parts of its content", () => {
    const read = (message: Json) => decodeInput({ context: [message] }).context[0]
    assert.deepStrictEqual(read({ role: "user", content: [{ type: "text", text: "hi" }] }), {
      role: "user",
      text: "hi"
    })
    assert.deepStrictEqual(read({ role: "user", content: "hi", text: null }), { role: "user", text: "hi" })
    assert.deepStrictEqual(read({ role: "user", content: null, text: "hi" }), { role: "user", text: "hi" })
    assert.deepStrictEqual(read({}), { role: "user", text: "" })
    const parts = [
      { type: "text", text: "what is" },
      { type: "text", text: "this?" },
      { type: "image_url", image_url: { url: "https://x.test/a.png" } }
    ]
    const message = read({ role: "injection", content: parts })
    assert.strictEqual(message?.role, "injection")
    assert.strictEqual(message?.text, "what is\nthis?")
    assert.deepStrictEqual(
      message?.images?.map(({ uri }) => uri),
      ["https://x.test/a.png"]
    )
  })

  it("keeps the name and the type of an attachment, and lets a file that is not uploaded yet stand for its URL", () => {
    const attachment = { uri: "https://x.test/f/1", filename: "report.pdf", content_type: "application/pdf", size: 7 }
    const input = decodeInput({ attachments: [attachment, "https://x.test/a.txt"] })
    assert.strictEqual(input.attachments?.[0]?.filename, "report.pdf")
    assert.strictEqual(input.attachments?.[0]?.contentType, "application/pdf")
    const [first, second] = input.attachments ?? []
    assert.deepStrictEqual(encodeInput({ ...input, attachments: first ? [first] : [] }).attachments, [attachment])
    assert.strictEqual(second?.filename, "a.txt")
    const local = File.fromBytes(new Uint8Array(3), { filename: "a.bin" })
    assert.deepStrictEqual(encodeInput({ ...input, attachments: [local] }).attachments, [
      { uri: local, filename: "a.bin", content_type: "application/octet-stream", size: 3 }
    ])
  })

  it("says which tool is not as expected", () => {
    const error = Either.getOrThrow(
      Either.flip(Schema.decodeUnknownEither(Llm.Input)({ tools: [{ type: "function" }] }))
    )
    assert.include(error.message, "tools")
    assert.include(error.message, "function")
  })

  it("has a JSON Schema, for those who offer a model as a tool", () => {
    for (const schema of [Llm.Input, Llm.Output]) assert.isTrue(Either.isRight(toJsonSchema(schema)))
  })
})

const full: Llm.Input = {
  text: "What is this?",
  role: "user",
  systemPrompt: "Be brief.",
  context: [
    { role: "user", text: "hi", images: [File.fromUri("https://x.test/a.png")], files: [] },
    { role: "assistant", text: "", reasoning: "hm", toolCalls: [{ id: "c1", name: "add", arguments: { a: 1 } }] },
    { role: "tool", text: "1", toolCallId: "c1" }
  ],
  contextSize: 1000,
  images: [File.fromUri("https://x.test/b.png")],
  files: [File.fromUri("https://x.test/c.txt")],
  attachments: [File.fromUri("https://x.test/d.txt", { filename: "notes.txt", contentType: "text/plain", size: 5 })],
  tools: [{ name: "add", description: "Adds", parameters: { type: "object" } }],
  toolChoice: { mode: "function", name: "add" },
  toolCallId: "c0",
  reasoning: "earlier",
  temperature: 0.5,
  topP: 0.9,
  topK: 40,
  minP: 0.1,
  frequencyPenalty: 0.1,
  presencePenalty: 0.2,
  repetitionPenalty: 1.1,
  seed: 7,
  stop: ["END"],
  maxTokens: 100,
  reasoningEffort: "low",
  reasoningMaxTokens: 50,
  responseFormat: { type: "json_schema", name: "sum", jsonSchema: { type: "object" }, strict: true }
}

describe("Llm.Output", () => {
  it("reads the arguments of a call as an object, or as their text while they grow", () => {
    const read = (args: unknown) =>
      decodeOutput({
        response: "",
        tool_calls: [{ id: "c1", type: "function", function: { name: "f", arguments: args } }]
      }).toolCalls?.[0]?.arguments
    assert.deepStrictEqual(read({ a: 1 }), { a: 1 })
    assert.deepStrictEqual(read('{"a": 1}\n'), { a: 1 })
    for (const nothing of [null, undefined, "", " ", "null", "{}"]) assert.deepStrictEqual(read(nothing), {})
    for (const text of ['{"a": ', '{"a":{"b":1}', "[1]", "1", "{oops}"]) assert.strictEqual(read(text), text)
    assert.strictEqual(read([1, 2]), "[1,2]")
  })

  it("keeps arguments to themselves, whatever their names are", () => {
    const wire = JSON.parse(
      '{"tool_calls": [{"function": {"name": "f", "arguments": "{\\"__proto__\\": {\\"a\\": 1}}"}}]}'
    )
    const args = decodeOutput(wire).toolCalls?.[0]?.arguments
    assert.strictEqual(JSON.stringify(args), '{"__proto__":{"a":1}}')
    assert.isTrue(isJsonObject(args) && args.a === undefined && Object.getPrototypeOf(args) === Object.prototype)
  })

  it("writes calls in OpenAI's form", () => {
    assert.deepStrictEqual(
      encodeOutput({ response: "", toolCalls: [{ id: "c1", name: "f", arguments: { a: 1 } }] }).tool_calls,
      [{ id: "c1", type: "function", function: { name: "f", arguments: { a: 1 } } }]
    )
  })

  it("reads a reply with nulls and what it does not know, and fills in an unknown usage", () => {
    const wire = { response: null, reasoning: null, tool_calls: null, usage: { prompt_tokens: 3 }, output_meta: {} }
    const output = decodeOutput(wire)
    assert.strictEqual(output.response, "")
    assert.notProperty(output, "reasoning")
    assert.notProperty(output, "toolCalls")
    assert.deepStrictEqual(output.usage, Llm.Usage.make({ promptTokens: 3 }))
    assert.strictEqual(output.usage?.stopReason, "")
    assert.strictEqual(decodeOutput({}).response, "")
  })
})

describe("Llm.append", () => {
  /** The same output as if it had come whole. */
  const readAsWhole = (output: Llm.Output = Llm.empty) => decodeOutput(encodeOutput(output))

  it("adds up the protocol's example", () => {
    const usage = { stop_reason: "tool_calls", prompt_tokens: 9, completion_tokens: 4 }
    const call = { index: 0, id: "c1", type: "function", function: { name: "add", arguments: '{"a":' } }
    const pieces = [
      { response: "Hel" },
      { response: "lo", reasoning: "hm", tool_calls: [call] },
      { tool_calls: [{ index: 0, function: { arguments: "1}" } }], usage }
    ]
    const seen: Array<Llm.Output> = []
    pieces.reduce((output, piece) => {
      const next = Llm.append(output, piece)
      seen.push(next)
      return next
    }, Llm.empty)
    assert.deepStrictEqual(
      seen.map(({ toolCalls }) => toolCalls?.[0]?.arguments),
      [undefined, '{"a":', '{"a":1}']
    )
    const whole = {
      response: "Hello",
      reasoning: "hm",
      toolCalls: [{ index: 0, id: "c1", name: "add", arguments: { a: 1 } }],
      usage: Llm.Usage.make({ stopReason: "tool_calls", promptTokens: 9, completionTokens: 4 })
    }
    assert.deepStrictEqual(readAsWhole(seen[2]), whole)
    assert.deepStrictEqual(Llm.empty, { response: "" })
  })

  it("finds the call that a piece belongs to, whatever its index is and in whichever form its arguments are", () => {
    const start = (index: number, args: unknown) => ({
      tool_calls: [{ index, id: `c${index}`, function: { name: "f", arguments: args } }]
    })
    const more = (index: number, args: string) => ({ tool_calls: [{ index, function: { arguments: args } }] })
    const output = [
      start(1, ""),
      start(2, '{"b"'),
      more(1, '{"a":1}'),
      more(2, ":{}"),
      more(2, "}"),
      start(4, { c: 1 })
    ].reduce(Llm.append, Llm.empty)
    assert.deepStrictEqual(
      output.toolCalls?.map(({ id, arguments: args }) => [id, args]),
      [
        ["c1", '{"a":1}'],
        ["c2", '{"b":{}}'],
        ["c4", '{"c":1}']
      ]
    )
  })

  it("goes on from an output that came whole", () => {
    const before = decodeOutput({
      response: "a",
      tool_calls: [{ id: "c1", function: { name: "f", arguments: '{"x":' } }]
    })
    const after = Llm.append(before, { response: "b", tool_calls: [{ index: 0, function: { arguments: "1}" } }] })
    assert.strictEqual(after.response, "ab")
    assert.deepStrictEqual(after.toolCalls, [{ index: 0, id: "c1", name: "f", arguments: '{"x":1}' }])
    const complete = decodeOutput({ tool_calls: [{ id: "c1", function: { name: "f", arguments: { x: 1 } } }] })
    assert.deepStrictEqual(readAsWhole(Llm.append(complete, { response: "a" })), {
      response: "a",
      toolCalls: [{ index: 0, id: "c1", name: "f", arguments: { x: 1 } }]
    })
  })

  it("leaves the arguments unread while pieces of them come", () => {
    const parse = vi.spyOn(JSON, "parse")
    const stringify = vi.spyOn(JSON, "stringify")
    const pieces = ['{"a":[{}', ...Array.from({ length: 20 }, () => ',{"b":{}}'), "]}"]
    const output = pieces.reduce(
      (output, piece) => Llm.append(output, { tool_calls: [{ index: 0, function: { arguments: piece } }] }),
      Llm.empty
    )
    const reads = parse.mock.calls.length + stringify.mock.calls.length
    vi.restoreAllMocks()
    assert.strictEqual(output.toolCalls?.[0]?.arguments, pieces.join(""))
    assert.strictEqual(reads, 0)
  })

  it("changes nothing where a piece makes no sense", () => {
    const output = Llm.append(Llm.empty, { response: "a" })
    for (const piece of [null, undefined, 7, "text", [], {}, { response: 5 }, { usage: { prompt_tokens: "x" } }]) {
      assert.deepStrictEqual(Llm.append(output, piece), output)
    }
  })

  it("leaves out fields that it does not know, whatever they are called", () => {
    for (const name of ["__proto__", "constructor", "toString", "surprise"]) {
      const output = Llm.append(Llm.empty, JSON.parse(`{"response": "a", "${name}": {"polluted": true}}`))
      assert.deepStrictEqual(output, { response: "a" })
      assert.strictEqual(Object.getPrototypeOf(output), Object.prototype)
      assert.notProperty({}, "polluted")
    }
  })

  it.prop(
    "adds up the text of arguments however it is cut",
    [Fc.dictionary(Fc.string(), Fc.jsonValue()), Fc.array(Fc.nat(), { maxLength: 8 })],
    ([value, places]) => {
      const text = JSON.stringify(value)
      const ends = [...places.map((place) => place % (text.length + 1)).sort((a, b) => a - b), text.length]
      const output = ends.reduce(
        (output, end, i) =>
          Llm.append(output, {
            tool_calls: [{ index: 3, function: { arguments: text.slice(ends[i - 1] ?? 0, end) } }]
          }),
        Llm.append(Llm.empty, { tool_calls: [{ index: 3, id: "c1", function: { name: "f" } }] })
      )
      assert.strictEqual(output.toolCalls?.[0]?.arguments, text)
      assert.deepStrictEqual(readAsWhole(output).toolCalls?.[0]?.arguments, JSON.parse(text))
    }
  )
})

describe("Llm.scripted", () => {
  it.effect("streams the reply word by word", () =>
    Effect.gen(function* () {
      const model = Llm.scripted("acme/llm", [{ reasoning: "let me see", response: "  It rains\nin Oslo. " }])
      const all = yield* outputs(model, { text: "weather?" })
      assert.deepStrictEqual(
        all.map(({ reasoning, response }) => [reasoning, response]),
        [
          ["let", ""],
          ["let me", ""],
          ["let me see", ""],
          ["let me see", "  It"],
          ["let me see", "  It rains"],
          ["let me see", "  It rains\nin"],
          ["let me see", "  It rains\nin Oslo."],
          ["let me see", "  It rains\nin Oslo. "]
        ]
      )
    })
  )

  it.effect.prop(
    "pieces only ever add to the text, and add up to it exactly",
    [Fc.string({ unit: "binary" }), Fc.string({ unit: Fc.constantFrom(" ", "\n", "\t", "a", "é", "🙂", "\u00a0") })],
    ([reasoning, response]) =>
      Effect.gen(function* () {
        const all = yield* outputs(Llm.scripted("acme/llm", [{ reasoning, response }]), {})
        const texts = all.map((output) => (output.reasoning ?? "") + output.response)
        for (const [i, text] of texts.entries()) assert.isTrue(text.startsWith(texts[i - 1] ?? ""))
        assert.strictEqual(all.at(-1)?.response, response)
        assert.strictEqual(all.at(-1)?.reasoning ?? "", reasoning)
      })
  )

  it.effect("takes the step that the messages of the assistant so far lead to", () =>
    Effect.gen(function* () {
      const model = Llm.scripted("acme/llm", [{ response: "one" }, { response: "two" }])
      const user = { role: "user", text: "and?" }
      const first = reply(model, { text: "hi" })
      const second = reply(model, { text: "go on", context: [user, assistant(), user] })
      const replies = yield* Effect.all([second, first, second, first], { concurrency: "unbounded" })
      assert.deepStrictEqual(
        replies.map(({ response }) => response),
        ["two", "one", "two", "one"]
      )
    })
  )

  it.effect("fails where the script has ended, and says how long it is", () =>
    Effect.gen(function* () {
      const failure = (steps: ReadonlyArray<Llm.Step>, answers: number) =>
        Effect.flip(
          reply(Llm.scripted("acme/llm", steps), { context: Array.from({ length: answers }, () => assistant()) })
        )
      const one = yield* failure([{ response: "one" }], 1)
      assert.strictEqual(one.phase, "run")
      assert.strictEqual(one.detail, "the script has ended: it has 1 step, and this would be step 2")
      assert.include((yield* failure([{}, {}], 4)).detail, "it has 2 steps, and this would be step 5")
      assert.include((yield* failure([], 0)).detail, "it has 0 steps")
    })
  )

  it.effect("gives calls ids that nothing else in the conversation has, the same ones each time", () =>
    Effect.gen(function* () {
      const call = { name: "add", arguments: { a: 1 } }
      const model = Llm.scripted("acme/llm", [
        { toolCalls: [call, call] },
        { toolCalls: [{ ...call, id: "call_4" }, call, { name: "now" }] }
      ])
      const first = yield* reply(model, { text: "hi" })
      assert.deepStrictEqual(first.toolCalls, [
        { id: "call_1", name: "add", arguments: { a: 1 } },
        { id: "call_2", name: "add", arguments: { a: 1 } }
      ])
      const second = reply(model, { context: [assistant(first.toolCalls)] })
      assert.deepStrictEqual(
        (yield* second).toolCalls?.map(({ id }) => id),
        ["call_4", "call_3", "call_5"]
      )
      assert.deepStrictEqual((yield* second).toolCalls?.[2], { id: "call_5", name: "now", arguments: {} })
      assert.deepStrictEqual(yield* second, yield* second)
    })
  )

  it.effect("says its text first, then calls tools, and gives its usage at the end", () =>
    Effect.gen(function* () {
      const step = { toolCalls: [{ name: "f", arguments: "{oops" }], response: "I call.", usage: { promptTokens: 3 } }
      const all = yield* outputs(Llm.scripted("acme/llm", [step]), {})
      assert.deepStrictEqual(all, [
        { response: "I" },
        { response: "I call." },
        {
          response: "I call.",
          toolCalls: [{ id: "call_1", name: "f", arguments: "{oops" }],
          usage: Llm.Usage.make({ promptTokens: 3 })
        }
      ])
    })
  )

  it.effect("fails in its own words, after what it says", () =>
    Effect.gen(function* () {
      const instance = yield* BaseApp.start(Llm.scripted("acme/llm", [{ response: "I am", fail: "out of tokens" }]))
      const seen: Array<string> = []
      const error = yield* Effect.flip(
        Stream.runForEach(instance.run({}), ({ response }) => Effect.sync(() => seen.push(response)))
      )
      assert.deepStrictEqual(seen, ["I", "I am"])
      assert.strictEqual(error.detail, "out of tokens")
      const silent = yield* Effect.flip(reply(Llm.scripted("acme/llm", [{ fail: "no luck" }]), {}))
      assert.strictEqual(silent.detail, "no luck")
    }).pipe(Effect.scoped)
  )

  it.effect("says nothing where its step says nothing", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* outputs(Llm.scripted("acme/llm", [{}]), {}), [{ response: "" }])
    })
  )

  it.effect("takes its time between two pieces, and none before the first", () =>
    Effect.gen(function* () {
      const model = Llm.scripted("acme/llm", [{ response: "a b c" }], { pace: "1 second" })
      const instance = yield* BaseApp.start(model)
      const seen: Array<string> = []
      const fiber = yield* Effect.fork(
        Stream.runForEach(instance.run({}), ({ response }) => Effect.sync(() => seen.push(response)))
      )
      for (const expected of [["a"], ["a", "a b"], ["a", "a b", "a b c"]]) {
        yield* TestClock.adjust(expected.length === 1 ? 0 : "1 second")
        assert.deepStrictEqual(seen, expected)
      }
      yield* Fiber.join(fiber)
    }).pipe(Effect.scoped)
  )

  it.effect("can be a function of what it is given, or an Effect that needs services", () =>
    Effect.gen(function* () {
      class Name extends Context.Tag("test/Name")<Name, string>() {}
      const parrot = Llm.scripted("acme/parrot", ({ text }) => ({ response: text.toUpperCase() }))
      assert.strictEqual((yield* reply(parrot, { text: "hi" })).response, "HI")
      const named = Llm.scripted("acme/named", () => Effect.map(Name, (response) => ({ response })))
      assert.strictEqual((yield* reply(named, {}).pipe(Effect.provideService(Name, "Ada"))).response, "Ada")
      const broken = Llm.scripted("acme/broken", () => Effect.fail(new Error("no luck")))
      assert.strictEqual((yield* Effect.flip(reply(broken, {}))).detail, "no luck")
      const thrown = Llm.scripted("acme/thrown", () => {
        throw new Error("a defect")
      })
      assert.strictEqual((yield* Effect.flip(reply(thrown, {}))).detail, "a defect")
    })
  )
})

describe("a hosted model", () => {
  const model = Llm.scripted("acme/llm@v1", [
    { response: "Let me look.", toolCalls: [{ name: "look", arguments: { at: "sky" } }] },
    { response: "It is blue." }
  ])

  it.effect("is run by its contract, and its partial outputs are followed", () =>
    Effect.gen(function* () {
      const Model = Llm.make("acme/llm@v1")
      const first = yield* Tasks.run(Model, { input: { text: "what do you see?" } })
      assert.strictEqual(first.output.response, "Let me look.")
      assert.deepStrictEqual(first.output.toolCalls, [{ id: "call_1", name: "look", arguments: { at: "sky" } }])
      const context = [assistant(first.output.toolCalls), { role: "tool", text: "blue", toolCallId: "call_1" }]
      const states = Tasks.runStream(Model, { input: { context } })
      const responses = Chunk.toReadonlyArray(yield* Stream.runCollect(states)).map(({ output }) => output?.response)
      assert.strictEqual(responses.at(-1), "It is blue.")
      for (const response of responses) assert.isTrue("It is blue.".startsWith(response ?? ""))
    }).pipe(Effect.provide(NodeInference.layerLocal({ apps: [model] })))
  )

  it.effect("serves conversations at the same time", () =>
    Effect.gen(function* () {
      const asked: Array<string> = []
      const slow = Llm.scripted("acme/slow", ({ text }) =>
        Effect.zipRight(
          Effect.sync(() => asked.push(text)),
          Effect.never
        )
      )
      yield* Effect.gen(function* () {
        const instance = yield* BaseApp.start(slow)
        const running = Array.from({ length: 20 }, (_, i) => Stream.runDrain(instance.run({ text: `${i}` })))
        const fiber = yield* Effect.fork(Effect.all(running, { concurrency: "unbounded" }))
        yield* TestClock.adjust("1 second")
        assert.strictEqual(asked.length, 20)
        yield* Fiber.interrupt(fiber)
      }).pipe(Effect.scoped)
    })
  )
})

const published = fileURLToPath(new URL("../../shared/app-schemas/", import.meta.url))

describe.skipIf(!existsSync(published))("published language models", () => {
  const models = (existsSync(published) ? readdirSync(published) : [])
    .map((file): Json => JSON.parse(readFileSync(published + file, "utf8")))
    .filter(({ input_schema: schema }) => isJsonObject(schema) && schema.title === "LLMInput")

  const propertiesOf = (schema: unknown): Json =>
    isJsonObject(schema) && isJsonObject(schema.properties) ? schema.properties : {}

  it("require nothing of their input that the contract may leave out", () => {
    assert.isAbove(models.length, 3)
    const sent = Object.keys(encodeInput(Llm.Input.make({ text: "hi" })))
    for (const { app, input_schema: schema } of models) {
      const required = isJsonObject(schema) && Array.isArray(schema.required) ? schema.required : []
      assert.includeMembers(sent, required, String(app))
      for (const name of sent) assert.property(propertiesOf(schema), name, String(app))
    }
  })

  it("have examples that the contract reads", () => {
    for (const { input_schema } of models) {
      const properties = Object.entries(propertiesOf(input_schema))
      const examples = properties.flatMap(([name, property]) =>
        isJsonObject(property) && Array.isArray(property.examples) ? [[name, property.examples[0]] as const] : []
      )
      const input = decodeInput(Object.fromEntries(examples))
      assert.notStrictEqual(input.text, "")
      assert.isAbove(input.context.length, 0)
      for (const { text } of input.context) assert.notStrictEqual(text, "")
    }
  })

  it("have outputs of which the contract knows each part but the prices", () => {
    const known = Object.keys(encodeOutput({ ...Llm.empty, ...wholeOutput }))
    for (const { app, output_schema } of models) {
      const names = Object.keys(propertiesOf(output_schema)).filter((name) => name !== "output_meta")
      assert.includeMembers(known, names, String(app))
    }
  })
})

const wholeOutput: Partial<Llm.Output> = {
  reasoning: "",
  toolCalls: [],
  images: [],
  usage: Llm.Usage.make({})
}
