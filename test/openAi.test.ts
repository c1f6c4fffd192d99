import { fileURLToPath } from "node:url"
import { inspect } from "node:util"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import * as Tracer from "effect/Tracer"
import type * as App from "effect-inferencesh/App"
import * as BaseApp from "effect-inferencesh/BaseApp"
import * as File from "effect-inferencesh/File"
import * as InferenceError from "effect-inferencesh/InferenceError"
import * as Llm from "effect-inferencesh/Llm"
import * as NodeInference from "effect-inferencesh/NodeInference"
import * as Tasks from "effect-inferencesh/Tasks"
import { callIds } from "../src/internal/llm/callIds.js"
import type { Json } from "../src/internal/wire.js"
import * as Bad from "./support/badServer.js"
import * as Http from "./support/http.js"

const base = "https://models.test/v1"

const key = "sk-5ecr3tK3yDoNotShow"

type Input = App.Input<Llm.Llm>

/** All that a model says to an input. */
const outputs = <R>(model: BaseApp.BaseApp<Llm.Llm, R>, input: Input = { text: "hi" }) =>
  Effect.scoped(
    Effect.flatMap(BaseApp.start(model), (instance) =>
      Effect.map(Stream.runCollect(instance.run(input)), Chunk.toReadonlyArray)
    )
  )

/** A model whose server answers by a script. */
const over = (script: Parameters<typeof Http.recorder>[0], options: Partial<Llm.OpenAiOptions> = {}) => {
  const recorder = Http.recorder(script)
  const model = Llm.openAi("acme/llm", { model: "m1", baseUrl: base, apiKey: Redacted.make(key), ...options })
  const ask = (input?: Input) => Effect.provide(outputs(model, input), [recorder.layer, NodeFileSystem.layer])
  return { model, ask, sent: recorder.sent, layer: Layer.merge(recorder.layer, NodeFileSystem.layer) }
}

/** The body of the request that an input comes to. */
const bodyOf = (input: Input, options: Partial<Llm.OpenAiOptions> = {}) => {
  const { ask, sent } = over([stream(chunk({ content: "ok" }, "stop"))], options)
  return Effect.map(ask(input), (): Json => JSON.parse(sent[0]?.text ?? ""))
}

const messagesOf = (input: Input) => Effect.map(bodyOf(input), ({ messages }) => messages)

const sse = { "content-type": "text/event-stream" }

const chunk = (delta: Json, finish_reason: string | null = null): Json => ({
  object: "chat.completion.chunk",
  choices: [{ index: 0, delta, finish_reason }]
})

/** Events as text: values are written as JSON, texts as they are. */
const events = (...data: ReadonlyArray<unknown>): string =>
  data.map((each) => (typeof each === "string" ? `${each}\n` : `data: ${JSON.stringify(each)}\n\n`)).join("")

const done = "data: [DONE]\n"

/** A stream of events that ends as it should. */
const stream = (...data: ReadonlyArray<unknown>): Http.Answer => Http.reply(200, events(...data, done), sse)

/** A stream of events, as it stands. */
const cutOff = (...data: ReadonlyArray<unknown>): Http.Answer => Http.reply(200, events(...data), sse)

const completion = (message: Json, finish_reason = "stop"): Json => ({
  object: "chat.completion",
  choices: [{ index: 0, message: { role: "assistant", ...message }, finish_reason }],
  usage: { prompt_tokens: 3, completion_tokens: 2, total_tokens: 5 }
})

/** What a model finally says where its server answers like this. */
const answer = (script: Http.Answer, input?: Input) =>
  Effect.flatMap(over([script]).ask(input), (all) => Effect.orDie(Effect.fromNullable(all.at(-1))))

/** Why a model fails where its server answers like this, time and again. */
const failure = (script: Http.Answer, options?: Partial<Llm.OpenAiOptions>) => {
  const { ask, sent } = over(() => script, options)
  return Effect.map(inTime(Effect.flip(ask())), (error) => {
    assert.strictEqual(error.phase, "run")
    return { error, sent }
  })
}

/** Events that are sent after some time of the test's clock. */
const later = (time: Duration.DurationInput, ...data: ReadonlyArray<unknown>) =>
  Stream.fromEffect(Effect.delay(Effect.succeed(new TextEncoder().encode(events(...data))), time))

/** What an effect comes to, and what it logs by the way. */
const withLog = <A, E, R>(effect: Effect.Effect<A, E, R>) => {
  const logged: Array<string> = []
  const logger = Logger.make(({ message, logLevel }) => void logged.push([logLevel.label, message].flat().join(" ")))
  return effect.pipe(
    Logger.withMinimumLogLevel(LogLevel.Debug),
    Effect.provide(Logger.replace(Logger.defaultLogger, logger)),
    Effect.map((value) => ({ value, logged }))
  )
}

/** Runs an effect to its end with the test clock moved as far as it takes. */
const inTime = <A, E, R>(effect: Effect.Effect<A, E, R>, time: Duration.DurationInput = "1 hour") =>
  Effect.gen(function* () {
    const fiber = yield* Effect.fork(effect)
    yield* TestClock.adjust(time)
    return yield* Fiber.join(fiber)
  })

const call = (index: number | undefined, id: string | undefined, name: string | undefined, args: unknown): Json => ({
  ...(index !== undefined && { index }),
  ...(id !== undefined && { id, type: "function" }),
  function: { ...(name !== undefined && { name }), arguments: args }
})

const toolCalls = (...calls: ReadonlyArray<Json>) => chunk({ tool_calls: calls })

describe("what Llm.openAi sends", () => {
  it.effect("a request carries the key, the model and the message, and asks for a stream with its usage", () =>
    Effect.gen(function* () {
      const { ask, sent } = over([stream(chunk({ content: "ok" }, "stop"))], { headers: { "X-Title": "tests" } })
      yield* ask({ text: "hi" })
      const [request] = sent
      assert.strictEqual(request?.method, "POST")
      assert.strictEqual(request?.url, `${base}/chat/completions`)
      assert.deepInclude(request?.headers, {
        authorization: `Bearer ${key}`,
        "content-type": "application/json",
        "x-title": "tests"
      })
      for (const trace of ["traceparent", "b3"]) assert.notProperty(request?.headers, trace)
      assert.deepStrictEqual(JSON.parse(request?.text ?? ""), {
        model: "m1",
        messages: [{ role: "user", content: "hi" }],
        stream: true,
        stream_options: { include_usage: true }
      })
    })
  )

  it.effect("the base URL may have a path, slashes at its end and a query; without one it is OpenAI's", () =>
    Effect.gen(function* () {
      for (const [baseUrl, expected] of [
        [undefined, "https://api.openai.com/v1/chat/completions"],
        ["http://h.test:11434/v1//", "http://h.test:11434/v1/chat/completions"],
        [" http://h.test", "http://h.test/chat/completions"],
        [
          "https://h.test/openai/deployments/d?api-version=1",
          "https://h.test/openai/deployments/d/chat/completions?api-version=1"
        ]
      ] as const) {
        const { ask, sent } = over([stream(chunk({}, "stop"))], { baseUrl })
        yield* ask()
        assert.strictEqual(sent[0]?.url, expected)
      }
    })
  )

  it.effect("nothing is sent to an address that is none, or with a header that is none", () =>
    Effect.gen(function* () {
      for (const baseUrl of ["localhost 80", "ftp://h.test", "https://u:p@h.test/v1"]) {
        const { error, sent } = yield* failure(Http.never, { baseUrl })
        assert.include(error.detail, "no URL")
        assert.strictEqual(sent.length, 0)
      }
      for (const options of [{ apiKey: Redacted.make(`${key}\nx`) }, { headers: { "x-a": "☃" } }]) {
        const { error, sent } = yield* failure(Http.never, options)
        assert.include(error.detail, "characters that no header can hold")
        assert.notInclude(inspect(error, { depth: 9 }), key)
        assert.strictEqual(sent.length, 0)
      }
    })
  )

  it.effect("a server that needs no key gets none", () =>
    Effect.gen(function* () {
      for (const apiKey of [undefined, Redacted.make("")]) {
        const { ask, sent } = over([stream(chunk({}, "stop"))], { apiKey })
        yield* ask()
        assert.notProperty(sent[0]?.headers, "authorization")
      }
    })
  )

  it.effect("the conversation comes in its order: the system prompt, the context, the message", () =>
    Effect.gen(function* () {
      const messages = yield* messagesOf({
        text: "and now?",
        systemPrompt: "Be brief.",
        context: [
          { role: "user", text: "1+2, and the time?" },
          {
            role: "assistant",
            text: "",
            reasoning: "I think",
            toolCalls: [
              { id: "c1", name: "add", arguments: { a: 1, b: 2 } },
              { id: "c2", name: "now", arguments: {} },
              { id: "c3", name: "odd", arguments: "{oops" }
            ]
          },
          { role: "tool", text: "3", toolCallId: "c1" },
          { role: "tool", text: "", toolCallId: "c2" },
          { role: "assistant", text: "3, at noon." }
        ]
      })
      const fn = (name: string, args: string) => ({ name, arguments: args })
      assert.deepStrictEqual(messages, [
        { role: "system", content: "Be brief." },
        { role: "user", content: "1+2, and the time?" },
        {
          role: "assistant",
          content: null,
          tool_calls: [
            { id: "c1", type: "function", function: fn("add", '{"a":1,"b":2}') },
            { id: "c2", type: "function", function: fn("now", "{}") },
            { id: "c3", type: "function", function: fn("odd", "{oops") }
          ]
        },
        { role: "tool", content: "3", tool_call_id: "c1" },
        { role: "tool", content: "", tool_call_id: "c2" },
        { role: "assistant", content: "3, at noon." },
        { role: "user", content: "and now?" }
      ])
    })
  )

  it.effect("a message that says nothing is left out, unless it is the result of a tool or the only one", () =>
    Effect.gen(function* () {
      const context = [{ role: "user", text: "hi" }]
      assert.deepStrictEqual(yield* messagesOf({ context }), [{ role: "user", content: "hi" }])
      assert.deepStrictEqual(yield* messagesOf({ context, role: "tool", toolCallId: "c1" }), [
        { role: "user", content: "hi" },
        { role: "tool", content: "", tool_call_id: "c1" }
      ])
      assert.deepStrictEqual(yield* messagesOf({}), [{ role: "user", content: "" }])
    })
  )

  it.effect("tools, and the choice among them, are in OpenAI's form", () =>
    Effect.gen(function* () {
      const parameters = { type: "object", properties: { a: { type: "number" } } }
      const tools = [{ name: "add", description: "Adds", parameters }, { name: "now" }]
      const body = yield* bodyOf({ text: "hi", tools, toolChoice: { mode: "function", name: "add" } })
      assert.deepStrictEqual(body.tools, [
        { type: "function", function: { name: "add", description: "Adds", parameters } },
        { type: "function", function: { name: "now", parameters: { type: "object", properties: {} } } }
      ])
      assert.deepStrictEqual(body.tool_choice, { type: "function", function: { name: "add" } })
      assert.strictEqual((yield* bodyOf({ tools, toolChoice: { mode: "required" } })).tool_choice, "required")
      const without = yield* bodyOf({ tools: [], toolChoice: { mode: "auto" } })
      assert.notProperty(without, "tools")
      assert.notProperty(without, "tool_choice")
    })
  )

  it.effect("settings have OpenAI's names, and what the options say of the body comes first", () =>
    Effect.gen(function* () {
      const input: Input = {
        text: "hi",
        contextSize: 1000,
        temperature: 0,
        topP: 0.9,
        topK: 40,
        minP: 0.1,
        frequencyPenalty: 0.2,
        presencePenalty: 0.3,
        repetitionPenalty: 1.1,
        seed: 7,
        stop: ["END"],
        maxTokens: 100,
        reasoningEffort: "low",
        reasoningMaxTokens: 50,
        responseFormat: { type: "json_schema", jsonSchema: { type: "object" }, strict: true }
      }
      const { model, messages, stream, stream_options, ...settings } = yield* bodyOf(input, {
        body: { seed: 8, user: "u1" }
      })
      assert.deepStrictEqual(settings, {
        temperature: 0,
        top_p: 0.9,
        top_k: 40,
        min_p: 0.1,
        frequency_penalty: 0.2,
        presence_penalty: 0.3,
        repetition_penalty: 1.1,
        seed: 8,
        stop: ["END"],
        max_tokens: 100,
        reasoning_effort: "low",
        reasoning: { max_tokens: 50 },
        response_format: {
          type: "json_schema",
          json_schema: { name: "response", schema: { type: "object" }, strict: true }
        },
        user: "u1"
      })
      const atOpenAi = yield* bodyOf({ text: "hi", maxTokens: 5, stop: [] }, { baseUrl: undefined })
      assert.strictEqual(atOpenAi.max_completion_tokens, 5)
      assert.notProperty(atOpenAi, "max_tokens")
      assert.notProperty(atOpenAi, "stop")
      assert.deepStrictEqual((yield* bodyOf({ responseFormat: { type: "json_object" } })).response_format, {
        type: "json_object"
      })
    })
  )
})

const png = Uint8Array.from([0x89, 0x50, 0x4e, 0x47, 1, 2, 3, 0xff])
const pngUrl = `data:image/png;base64,${Buffer.from(png).toString("base64")}`

describe("files that Llm.openAi sends", () => {
  const partsOf = (input: Input) =>
    Effect.map(messagesOf(input), (messages) => (Array.isArray(messages) ? messages.at(-1).content : undefined))

  const imageAt = (url: string) => ({ type: "image_url", image_url: { url } })

  it.effect("an image at a URL goes as its URL, any other as its bytes", () =>
    Effect.gen(function* () {
      const local = File.fromPath(fileURLToPath(new URL("../examples/assets/landscape.jpg", import.meta.url)))
      const images = [
        File.fromUri("https://x.test/a.png?sig=1"),
        File.fromBytes(png),
        File.fromBytes(Uint8Array.from([1, 2]), { contentType: "image/bmp; x=y" }),
        File.fromUri(pngUrl),
        local
      ]
      const [text, url, bytes, declared, data, disk] = yield* partsOf({ text: "what is it?", images })
      assert.deepStrictEqual(text, { type: "text", text: "what is it?" })
      assert.deepStrictEqual(url, imageAt("https://x.test/a.png?sig=1"))
      assert.deepStrictEqual(bytes, imageAt(pngUrl))
      assert.deepStrictEqual(declared, imageAt("data:image/bmp;base64,AQI="))
      assert.deepStrictEqual(data, imageAt(pngUrl))
      assert.match(disk.image_url.url, /^data:image\/jpeg;base64,.{100000}/)
      assert.deepStrictEqual(yield* partsOf({ images: [File.fromBytes(png)] }), [imageAt(pngUrl)])
    })
  )

  it.effect("a text is written into the message with its name, an image among the files goes as one", () =>
    Effect.gen(function* () {
      const bytes = (text: string) => new TextEncoder().encode(text)
      const parts = yield* partsOf({
        text: "look",
        files: [
          File.fromBytes(bytes("a,b\n1,2"), { filename: "table.csv" }),
          File.fromBytes(bytes("export {}"), { filename: "index.ts" }),
          File.fromBytes(bytes("grüße")),
          File.fromBytes(bytes("<svg/>"), { filename: "x.svg" })
        ],
        attachments: [File.fromBytes(png, { filename: "cat" }), File.fromUri("https://x.test/dog.jpg")]
      })
      assert.deepStrictEqual(parts, [
        { type: "text", text: "look" },
        { type: "text", text: '<file name="table.csv">\na,b\n1,2\n</file>' },
        { type: "text", text: '<file name="index.ts">\nexport {}\n</file>' },
        { type: "text", text: "<file>\ngrüße\n</file>" },
        { type: "text", text: '<file name="x.svg">\n<svg/>\n</file>' },
        imageAt(pngUrl),
        imageAt("https://x.test/dog.jpg")
      ])
    })
  )

  it.effect("a file that a message names in two places is shown once, with all that is known of it", () =>
    Effect.gen(function* () {
      const { ask, sent } = over((request) =>
        request.method === "GET" ? Http.reply(200, "notes") : stream(chunk({ content: "ok" }, "stop"))
      )
      const local = File.fromBytes(new TextEncoder().encode("mine"), { filename: "mine.txt" })
      yield* ask({
        text: "look",
        images: ["cat", "dog.png", "plan", "bare"].map((name) => File.fromUri(`https://x.test/${name}`)),
        files: [File.fromUri("https://x.test/1"), local],
        attachments: [
          File.fromUri("https://x.test/1", { filename: "notes.txt", contentType: "text/plain" }),
          File.fromUri("https://x.test/cat", { filename: "cat.png", contentType: "image/png" }),
          File.fromUri("https://x.test/plan", { filename: "plan.svg", contentType: "image/svg+xml" }),
          File.fromUri("https://x.test/bare"),
          local,
          File.fromUri("https://x.test/more.txt"),
          File.fromUri("https://x.test/more.txt")
        ]
      })
      assert.deepStrictEqual(
        sent.slice(0, -1).map(({ url }) => url),
        ["https://x.test/plan", "https://x.test/1", "https://x.test/more.txt"]
      )
      assert.deepStrictEqual(JSON.parse(sent.at(-1)?.text ?? "").messages.at(-1).content, [
        { type: "text", text: "look" },
        imageAt("https://x.test/cat"),
        imageAt("https://x.test/dog.png"),
        { type: "text", text: '<file name="plan.svg">\nnotes\n</file>' },
        imageAt("https://x.test/bare"),
        { type: "text", text: '<file name="notes.txt">\nnotes\n</file>' },
        { type: "text", text: '<file name="mine.txt">\nmine\n</file>' },
        { type: "text", text: '<file name="more.txt">\nnotes\n</file>' }
      ])
    })
  )

  it.effect("a text at a URL is fetched, without the key", () =>
    Effect.gen(function* () {
      const { ask, sent } = over((request) =>
        request.method === "GET" ? Http.reply(200, "notes") : stream(chunk({ content: "ok" }, "stop"))
      )
      yield* ask({ text: "look", files: [File.fromUri("https://x.test/notes.txt")] })
      assert.strictEqual(sent[0]?.url, "https://x.test/notes.txt")
      assert.notProperty(sent[0]?.headers, "authorization")
      assert.include(sent[1]?.text, "notes\\n</file>")
    })
  )

  it.effect("a file that a model cannot take is named, and nothing is sent", () =>
    Effect.gen(function* () {
      const refused = (input: Input) => {
        const { ask, sent } = over([])
        return Effect.map(Effect.flip(ask(input)), ({ detail }) => {
          assert.strictEqual(sent.length, 0)
          return detail
        })
      }
      const pdf = File.fromBytes(new TextEncoder().encode("%PDF-1.7"), { filename: "report.pdf" })
      assert.strictEqual(
        yield* refused({ attachments: [pdf] }),
        "the file report.pdf (application/pdf) cannot be sent to the model: it is neither text nor an image"
      )
      const zip = File.fromBytes(Uint8Array.from([0x50, 0x4b, 3, 4, 0xff]), { filename: "a.zip" })
      assert.include(yield* refused({ files: [zip] }), "the file a.zip (application/zip) cannot be sent")
      const film = File.fromUri("https://x.test/film.mp4?sig=hidden")
      assert.include(yield* refused({ files: [film] }), "the file film.mp4 (video/mp4) cannot be sent")
      const odd = File.fromBytes(Uint8Array.from([1, 2]), { filename: "a.bin" })
      assert.include(
        yield* refused({ images: [odd] }),
        "a.bin (application/octet-stream) cannot be sent to the model: it is no image"
      )
      const large = File.fromStream(Stream.repeatValue(new Uint8Array(1024 * 1024)), { filename: "large.txt" })
      assert.include(
        yield* refused({ files: [large] }),
        "the file large.txt (text/plain) cannot be sent to the model: it has more than"
      )
      const said = File.fromStream(Stream.empty, { filename: "said.txt", size: 30_000_000 })
      assert.include(yield* refused({ files: [said] }), "the file said.txt")
      assert.include(yield* refused({ files: [File.fromPath("./no-such-file.txt")] }), "no-such-file.txt")
    })
  )
})

describe("files of earlier messages that Llm.openAi cannot send", () => {
  it.effect("are named in their place, and do not keep the conversation from going on", () =>
    Effect.gen(function* () {
      const pdf = File.fromBytes(new TextEncoder().encode("%PDF-1.7"), { filename: "r.pdf" })
      const bytes = Uint8Array.from([1, 2])
      const { ask, sent } = over((request) =>
        request.method === "GET" ? Http.reply(404) : stream(chunk({ content: "ok" }, "stop"))
      )
      yield* ask({
        text: "and now?",
        context: [
          {
            role: "user",
            text: "look",
            images: [File.fromBytes(bytes, { filename: "a.bin" }), File.fromBytes(png)],
            files: [pdf, File.fromPath("./no-such-file.txt"), File.fromUri("https://x.test/gone.txt?sig=hidden")]
          },
          { role: "user", text: "", files: [File.fromBytes(bytes.map(() => 0))] }
        ]
      })
      const instead = (text: string) => ({ type: "text", text })
      assert.deepStrictEqual(JSON.parse(sent.at(-1)?.text ?? "").messages, [
        {
          role: "user",
          content: [
            { type: "text", text: "look" },
            instead('<file name="a.bin">cannot be shown</file>'),
            { type: "image_url", image_url: { url: pngUrl } },
            instead('<file name="r.pdf">cannot be shown</file>'),
            instead('<file name="no-such-file.txt">cannot be shown</file>'),
            instead('<file name="gone.txt">cannot be shown</file>')
          ]
        },
        { role: "user", content: [instead("<file>cannot be shown</file>")] },
        { role: "user", content: "and now?" }
      ])
    })
  )

  it.effect("are in the log with the reason, and without the query of their address", () =>
    Effect.gen(function* () {
      const { ask } = over((request) =>
        request.method === "GET" ? Http.reply(403) : stream(chunk({ content: "ok" }, "stop"))
      )
      const files = [File.fromUri("https://x.test/gone.txt?sig=hidden")]
      const { logged } = yield* withLog(ask({ text: "and now?", context: [{ role: "user", text: "look", files }] }))
      const warnings = logged.filter((line) => line.startsWith("WARN"))
      assert.strictEqual(warnings.length, 1)
      assert.include(warnings[0], "https://x.test/gone.txt (403)")
      assert.notInclude(logged.join("\n"), "hidden")
    })
  )

  it.effect("are waited for at the same time, a few of them", () =>
    Effect.gen(function* () {
      const { ask, sent } = over((request) =>
        request.method === "GET" ? Http.after(1000, Http.reply(200, "notes")) : stream(chunk({ content: "ok" }, "stop"))
      )
      const context = Array.from({ length: 20 }, (_, i) => ({
        role: "user",
        text: "look",
        files: [File.fromUri(`https://x.test/${i}.txt`)]
      }))
      yield* inTime(ask({ text: "and now?", context }))
      const atOnce = sent.filter(({ at }) => at === 0).length
      assert.isAbove(atOnce, 1)
      assert.isBelow(atOnce, 20)
      assert.strictEqual(JSON.parse(sent.at(-1)?.text ?? "").messages.length, 21)
    })
  )

  it.effect("still end the run where they come with the new message", () =>
    Effect.gen(function* () {
      const pdf = File.fromBytes(new TextEncoder().encode("%PDF-1.7"), { filename: "r.pdf" })
      const { ask, sent } = over([])
      const error = yield* Effect.flip(ask({ context: [{ role: "user", text: "look", files: [pdf] }], files: [pdf] }))
      assert.include(error.detail, "the file r.pdf (application/pdf) cannot be sent to the model")
      assert.strictEqual(sent.length, 0)
    })
  )
})

describe("what Llm.openAi makes of a stream", () => {
  it.effect("the answer grows, and comes with its usage and times at the end", () =>
    Effect.gen(function* () {
      const usage = {
        prompt_tokens: 9,
        completion_tokens: 8,
        total_tokens: 17,
        completion_tokens_details: { reasoning_tokens: 3 }
      }
      const pieces = [
        chunk({ role: "assistant", content: "" }),
        chunk({ reasoning_content: "hm" }),
        chunk({ reasoning_content: "m" }),
        chunk({ content: "Hel" }),
        chunk({ content: "lo" }, "stop"),
        { choices: [], usage }
      ]
      const timed = Stream.fromIterable([...pieces.map((piece) => events(piece)), events(done)]).pipe(
        Stream.mapEffect((text) => Effect.delay(Effect.succeed(text), "1 second")),
        Stream.encodeText
      )
      const { ask } = over([Http.after(1000, Http.reply(200, timed, sse))])
      assert.deepStrictEqual(yield* inTime(ask()), [
        { response: "", reasoning: "hm" },
        { response: "", reasoning: "hmm" },
        { response: "Hel", reasoning: "hmm" },
        { response: "Hello", reasoning: "hmm" },
        {
          response: "Hello",
          reasoning: "hmm",
          usage: {
            stopReason: "stop",
            promptTokens: 9,
            completionTokens: 8,
            totalTokens: 17,
            reasoningTokens: 3,
            reasoningTime: 1,
            // Sent at 0, the headers came at 1; the first word was in the second event, the end in the seventh.
            timeToFirstToken: 3,
            tokensPerSecond: 8 / 5
          }
        }
      ])
    })
  )

  it.effect("reasoning is found by either name, a refusal counts as what was said, and parts are put together", () =>
    Effect.gen(function* () {
      const { reasoning } = yield* answer(
        stream(chunk({ reasoning: "a", content: null }), chunk({ reasoning: "b" }, "stop"))
      )
      assert.strictEqual(reasoning, "ab")
      const both = yield* answer(stream(chunk({ reasoning: "a", reasoning_content: "a" }, "stop")))
      assert.strictEqual(both.reasoning, "a")
      assert.strictEqual((yield* answer(stream(chunk({ refusal: "I will not." }, "stop")))).response, "I will not.")
      const parts = [
        { type: "text", text: "a" },
        { type: "text", text: "b" }
      ]
      assert.strictEqual((yield* answer(stream(chunk({ content: parts }, "stop")))).response, "ab")
    })
  )

  it.effect("reasoning among the parts of an answer, and in details, is no part of what was said", () =>
    Effect.gen(function* () {
      const said = { type: "text", text: "4" }
      for (const delta of [
        { content: [{ type: "reasoning", text: "2+2" }, said] },
        { content: [{ type: "thinking", thinking: "2+2" }, said] },
        { content: [{ type: "thinking", thinking: [{ type: "text", text: "2+2" }] }, said] },
        { content: [said], reasoning_details: [{ type: "reasoning.text", text: "2+2" }, { data: "0" }] },
        { content: "4", reasoning: "2+2", reasoning_details: [{ type: "reasoning.text", text: "2+2" }] }
      ]) {
        const { response, reasoning } = yield* answer(stream(chunk(delta, "stop")))
        assert.deepStrictEqual([response, reasoning], ["4", "2+2"])
      }
    })
  )

  it.effect("the arguments of a call are text while they grow, and an object at the end", () =>
    Effect.gen(function* () {
      const { ask } = over([
        stream(
          toolCalls(call(0, "c1", "add", "")),
          toolCalls(call(0, undefined, undefined, '{"a": 1,')),
          toolCalls(call(0, undefined, undefined, ' "b": 2}')),
          chunk({}, "tool_calls")
        )
      ])
      const all = yield* ask()
      assert.deepStrictEqual(
        all.map(({ toolCalls }) => toolCalls?.[0]?.arguments),
        ["", '{"a": 1,', '{"a": 1, "b": 2}', { a: 1, b: 2 }]
      )
      assert.strictEqual(all.at(-1)?.usage?.stopReason, "tool_calls")
    })
  )

  const two = [
    { id: "c1", name: "add", arguments: { a: 1 } },
    { id: "c2", name: "add", arguments: { b: 2 } }
  ]
  const more = (index: number | undefined, args: string) => toolCalls(call(index, undefined, undefined, args))

  for (const [name, chunks] of Object.entries({
    "one after the other": [
      toolCalls(call(0, "c1", "add", '{"a"')),
      more(0, ":1}"),
      toolCalls(call(1, "c2", "add", '{"b"')),
      more(1, ":2}")
    ],
    interleaved: [
      toolCalls(call(0, "c1", "add", ""), call(1, "c2", "add", "")),
      more(0, '{"a"'),
      more(1, '{"b"'),
      more(0, ":1}"),
      more(1, ":2}")
    ],
    "with the indexes shifted": [
      toolCalls(call(1, "c1", "add", '{"a"')),
      toolCalls(call(3, "c2", "add", '{"b"')),
      more(3, ":2}"),
      more(1, ":1}")
    ],
    "without an index": [
      toolCalls(call(undefined, "c1", "add", '{"a"')),
      more(undefined, ":1}"),
      toolCalls(call(undefined, "c2", "add", '{"b"')),
      more(undefined, ":2}")
    ],
    "with an index at the start only": [
      toolCalls(call(0, "c1", "add", '{"a"')),
      more(undefined, ":1}"),
      toolCalls(call(1, "c2", "add", '{"b"')),
      more(undefined, ":2}")
    ],
    "with the same index": [
      toolCalls(call(0, "c1", "add", '{"a"')),
      more(0, ":1}"),
      toolCalls(call(0, "c2", "add", '{"b"')),
      more(0, ":2}")
    ],
    "with another index for each piece": [
      toolCalls(call(0, "c1", "add", '{"a"')),
      more(1, ":1}"),
      toolCalls(call(2, "c2", "add", '{"b"')),
      more(3, ":2}")
    ],
    "with the id and the name in each piece": [
      toolCalls(call(undefined, "c1", "add", '{"a"')),
      toolCalls(call(undefined, "c2", "add", '{"b"')),
      toolCalls(call(undefined, "c1", "add", ":1}")),
      toolCalls(call(undefined, "c2", "add", ":2}"))
    ],
    "with a new id for each piece": [
      toolCalls(call(0, "c1", "add", '{"a"'), call(1, "c2", "add", '{"b"')),
      toolCalls(call(0, "x1", undefined, ":1}")),
      toolCalls(call(1, "x2", undefined, ":2}"))
    ],
    "with empty texts for what is missing": [
      toolCalls(call(0, "c1", "add", '{"a"')),
      toolCalls(call(0, "", "", ":1}")),
      toolCalls(call(1, "c2", "add", '{"b"')),
      toolCalls(call(1, "", "", ":2}"))
    ],
    "whole, all at once": [toolCalls(call(0, "c1", "add", '{"a":1}'), call(1, "c2", "add", '{"b":2}'))],
    "whole, with the same index": [
      toolCalls(call(0, "c1", "add", '{"a":1}')),
      toolCalls(call(0, "c2", "add", '{"b":2}'))
    ],
    "whole, with objects as arguments": [
      toolCalls(call(undefined, "c1", "add", { a: 1 }), call(undefined, "c2", "add", { b: 2 }))
    ],
    "with names in pieces": [
      toolCalls(call(0, "c1", "a", ""), call(1, "c2", "ad", "")),
      toolCalls(call(0, undefined, "dd", ""), call(1, undefined, "d", '{"b"')),
      more(0, '{"a":1}'),
      more(1, ":2}")
    ],
    "with the name in each piece, and the arguments later": [
      toolCalls(call(0, "c1", "add", ""), call(1, "c2", "add", "")),
      toolCalls(call(0, undefined, "add", ""), call(1, undefined, "add", '{"b"')),
      toolCalls(call(0, undefined, "add", '{"a":1}'), call(1, undefined, "add", ":2}"))
    ],
    "not in a list": [
      chunk({ tool_calls: call(0, "c1", "add", { a: 1 }) }),
      chunk({ tool_calls: call(1, "c2", "add", { b: 2 }) })
    ]
  })) {
    it.effect(`several calls that come ${name} are told apart`, () =>
      Effect.gen(function* () {
        const { toolCalls } = yield* answer(stream(...chunks, chunk({}, "tool_calls")))
        assert.deepStrictEqual(toolCalls, two)
      })
    )
  }

  it.effect("calls without an id are told apart too, and are given one", () =>
    Effect.gen(function* () {
      const whole = toolCalls(
        call(0, undefined, "add", { a: 1 }),
        call(0, undefined, "add", { b: 2 }),
        call(0, "", "now", null)
      )
      const context = [{ role: "assistant", text: "", toolCalls: [{ id: "call_1", name: "now", arguments: {} }] }]
      const { toolCalls: calls } = yield* answer(stream(whole, chunk({}, "tool_calls")), { context })
      assert.deepStrictEqual(calls, [
        { id: "call_2", name: "add", arguments: { a: 1 } },
        { id: "call_3", name: "add", arguments: { b: 2 } },
        { id: "call_4", name: "now", arguments: {} }
      ])
    })
  )

  it.effect("another name is another call where it has an id, has no index, or comes after arguments", () =>
    Effect.gen(function* () {
      for (const [first, second] of [
        [call(0, "c1", "f", ""), call(0, "c2", "g", "{}")],
        [call(0, "c1", "f", "{}"), call(0, undefined, "g", "{}")],
        [call(undefined, "c1", "f", ""), call(undefined, undefined, "g", "{}")],
        [call(0, undefined, "f", ""), call(0, undefined, "g", "{}")]
      ] as const) {
        const { toolCalls: calls } = yield* answer(stream(toolCalls(first), toolCalls(second), chunk({}, "tool_calls")))
        assert.deepStrictEqual(
          calls?.map(({ name }) => name),
          ["f", "g"]
        )
      }
    })
  )

  for (const [name, chunks] of Object.entries({
    "whole, with other names": [toolCalls(call(0, "x", "f", "{}"), call(1, "x", "g", '{"a":1}'))],
    "whole, with other names and no index": [
      toolCalls(call(undefined, "x", "f", {})),
      toolCalls(call(undefined, "x", "g", { a: 1 }))
    ],
    "one after the other": [
      toolCalls(call(0, "x", "f", "")),
      toolCalls(call(0, "x", undefined, "{}")),
      toolCalls(call(1, "x", "g", "")),
      toolCalls(call(1, "x", undefined, '{"a"')),
      more(1, ":1}")
    ],
    interleaved: [
      toolCalls(call(0, "x", "f", ""), call(1, "x", "g", "")),
      toolCalls(call(1, "x", undefined, '{"a"'), call(0, "x", undefined, "{")),
      toolCalls(call(0, "x", undefined, "}"), call(1, "x", undefined, ":1}"))
    ]
  })) {
    it.effect(`calls that share an id and come ${name} are told apart, and the later ones given another`, () =>
      Effect.gen(function* () {
        const context = [{ role: "assistant", text: "", toolCalls: [{ id: "call_2", name: "f", arguments: {} }] }]
        const answered = yield* answer(stream(...chunks, chunk({}, "tool_calls")), { context })
        assert.deepStrictEqual(answered.toolCalls, [
          { id: "x", name: "f", arguments: {} },
          { id: "call_3", name: "g", arguments: { a: 1 } }
        ])
      })
    )
  }

  it.effect("calls that share an id and a name are told apart by their index, or where the one before is whole", () =>
    Effect.gen(function* () {
      for (const chunks of [
        [toolCalls(call(0, "x", "f", ""), call(1, "x", "f", "")), more(1, '{"b":2}'), more(0, '{"a":1}')],
        [toolCalls(call(0, "x", "f", '{"a":1}'), call(0, "x", "f", '{"b":2}'))]
      ]) {
        const { toolCalls: calls } = yield* answer(stream(...chunks, chunk({}, "tool_calls")))
        assert.deepStrictEqual(calls, [
          { id: "x", name: "f", arguments: { a: 1 } },
          { id: "call_1", name: "f", arguments: { b: 2 } }
        ])
      }
    })
  )

  it.effect("a call whose pieces all have its id and its name is one, also where the last of them is empty", () =>
    Effect.gen(function* () {
      const pieces = ["", '{"a":', "1}", ""].map((args) => toolCalls(call(0, "x", "f", args)))
      const { toolCalls: calls } = yield* answer(stream(...pieces, chunk({}, "tool_calls")))
      assert.deepStrictEqual(calls, [{ id: "x", name: "f", arguments: { a: 1 } }])
    })
  )

  it.effect(
    "white space after the arguments of a call begins no other, and a call that is told again is not made again",
    () =>
      Effect.gen(function* () {
        const piece = (args: unknown, id: string | undefined = "x") => toolCalls(call(0, id, "f", args))
        for (const pieces of [
          [piece('{"a":'), piece("1}"), piece("\n")],
          [piece('{"a":'), piece("1}"), piece('{"a": 1}')],
          [piece({ a: 1 }), piece({ a: 1 })],
          [toolCalls(call(undefined, "x", "f", { a: 1 })), toolCalls(call(undefined, "x", "f", { a: 1 }))]
        ]) {
          const { toolCalls: calls } = yield* answer(stream(...pieces, chunk({}, "tool_calls")))
          assert.deepStrictEqual(calls, [{ id: "x", name: "f", arguments: { a: 1 } }])
        }
        const nameless = yield* answer(stream(piece('{"a":', ""), piece("1}", ""), piece("\n", ""), chunk({}, "stop")))
        assert.deepStrictEqual(nameless.toolCalls, [{ id: "call_1", name: "f", arguments: { a: 1 } }])
      })
  )

  it.effect("a call that is told again does not follow the end of an answer", () =>
    Effect.gen(function* () {
      const told = toolCalls(call(0, "x", "f", { a: 1 }))
      const again = { choices: [{ delta: { tool_calls: [call(0, "x", "f", { a: 1 })] }, finish_reason: "tool_calls" }] }
      const open = Http.stalled(events(told, again, again), sse)
      assert.strictEqual((yield* inTime(answer(open), "3 seconds")).toolCalls?.length, 1)
    })
  )

  it.effect("equal calls are both made where they have no id, or not the same index", () =>
    Effect.gen(function* () {
      for (const calls of [
        [call(0, undefined, "f", { a: 1 }), call(0, undefined, "f", { a: 1 })],
        [call(0, "x", "f", { a: 1 }), call(1, "x", "f", { a: 1 })]
      ]) {
        assert.strictEqual((yield* answer(stream(toolCalls(...calls), chunk({}, "tool_calls")))).toolCalls?.length, 2)
      }
    })
  )

  it.effect("the names of the tools tell how the names of calls belong together", () =>
    Effect.gen(function* () {
      const a = '{"a":1}'
      for (const [tools, pieces, expected] of [
        [
          ["ping", "pong"],
          [call(0, "c1", "ping", ""), call(0, undefined, "pong", a)],
          ["ping", "pong"]
        ],
        [["get_weather"], [call(0, "c1", "get_", ""), call(0, undefined, "weather", a)], ["get_weather"]],
        [["get_weather", "get"], [call(0, "c1", "get", ""), call(0, undefined, "_weather", a)], ["get_weather"]],
        [["get_weather", "weather"], [call(0, "c1", "get_", ""), call(0, undefined, "weather", a)], ["get_weather"]],
        [["get_weather"], [call(0, "c1", "get", ""), call(0, undefined, "get_weather", a)], ["get_weather"]],
        [
          ["get", "get_weather"],
          [call(0, "c1", "get", ""), call(0, undefined, "get_weather", a)],
          ["get", "get_weather"]
        ],
        [
          ["get_weather"],
          [call(0, "x", "get_", ""), call(0, "x", "weather", '{"a"'), call(0, "x", undefined, ":1}")],
          ["get_weather"]
        ],
        [
          ["get_the_weather"],
          [call(0, "x", "get_", ""), call(0, "x", "the_", ""), call(0, "x", "weather", a)],
          ["get_the_weather"]
        ],
        [
          ["get_weather"],
          [call(undefined, undefined, "get_", ""), call(undefined, undefined, "weather", a)],
          ["get_weather"]
        ],
        [["get_weather"], [call(0, "x", "get", ""), call(0, "x", "get_weather", a)], ["get_weather"]],
        [
          ["ping", "pong"],
          [call(0, "x", "ping", ""), call(0, "x", "pong", a)],
          ["ping", "pong"]
        ],
        [["other"], [call(0, "c1", "get_", ""), call(0, undefined, "weather", a)], ["get_weather"]],
        [["get_weather"], [call(0, "c1", "get_", ""), call(0, "c2", "weather", a)], ["get_", "weather"]]
      ] as const) {
        const input = { tools: tools.map((name) => ({ name })) }
        const { toolCalls: calls } = yield* answer(
          stream(...pieces.map((piece) => toolCalls(piece)), chunk({}, "tool_calls")),
          input
        )
        assert.deepStrictEqual(
          calls?.map(({ name }) => name),
          [...expected]
        )
        assert.deepStrictEqual(calls?.at(-1)?.arguments, { a: 1 })
      }
    })
  )

  it("the conversation is looked through once for the ids in it, and only where there are calls", () => {
    let looks = 0
    const before = Object.defineProperty({ role: "assistant", text: "" }, "toolCalls", {
      enumerable: true,
      get: () => {
        looks++
        return [{ id: "call_1", name: "f", arguments: {} }]
      }
    })
    const ids = callIds([before])
    assert.strictEqual(looks, 0)
    assert.deepStrictEqual([ids([{}]), ids([{}, {}])], [["call_2"], ["call_2", "call_3"]])
    assert.strictEqual(looks, 1)
  })

  it.effect("arguments that are no JSON object stay the text that they are", () =>
    Effect.gen(function* () {
      const { toolCalls: calls } = yield* answer(stream(toolCalls(call(0, "c1", "add", '{"a": ')), chunk({}, "length")))
      assert.strictEqual(calls?.[0]?.arguments, '{"a": ')
    })
  )

  it.effect("a session gives the same wherever its bytes are cut", () =>
    Effect.gen(function* () {
      const piece = (delta: Json) => ({ choices: [{ delta }] })
      const session = new TextEncoder().encode(
        events(
          ": 🙂",
          piece({ reasoning: "naïve" }),
          piece({ content: "Grüße 🙂\n" }),
          piece({ tool_calls: [call(0, "c1", "add", '{"ä":')] }),
          piece({ tool_calls: [{ index: 0, function: { arguments: '"ö"}' } }] }),
          { usage: { prompt_tokens: 1 } },
          done
        )
      )
      const outputsOf = (...parts: ReadonlyArray<Uint8Array>) =>
        over([Http.reply(200, Stream.fromIterable(parts).pipe(Stream.rechunk(1)), sse)]).ask()
      const expected = yield* outputsOf(session)
      assert.strictEqual(expected.length, 5)
      assert.strictEqual(expected.at(-1)?.response, "Grüße 🙂\n")
      for (let at = 1; at < session.length; at++) {
        assert.deepStrictEqual(yield* outputsOf(session.subarray(0, at), session.subarray(at)), expected)
      }
    })
  )

  it.effect(
    "what is no JSON, no chunk or not known does not end the answer, and is in the log where it may be missed",
    () =>
      Effect.gen(function* () {
        const logged: Array<unknown> = []
        const logger = Logger.make(({ message, logLevel }) => void logged.push([logLevel.label, message]))
        const noisy = stream(
          ": ping",
          "event: ping\ndata: {}\n",
          "id: 7",
          "nonsense",
          chunk({ content: "a" }),
          `data: {"choices": [${key}\n`,
          "data: 5\n",
          "data: null\n",
          "data: []\n",
          { object: "something.new", x: 1 },
          { choices: null },
          { choices: [null] },
          { choices: [{ index: 1, delta: { content: "another answer" } }] },
          { choices: [{ delta: null, finish_reason: "" }] },
          chunk({ content: 5, tool_calls: [null, "x"], reasoning: {} }),
          chunk({ content: "b", surprise: true }, "stop")
        )
        const { response } = yield* Effect.provide(answer(noisy), Logger.replace(Logger.defaultLogger, logger))
        assert.strictEqual(response, "ab")
        assert.strictEqual(logged.length, 1)
        assert.include(String(logged[0]), "WARN")
        assert.include(String(logged[0]), '{"choices": [<redacted>')
      })
  )

  it.effect("the mark of the end is the end, even if the connection stays open", () =>
    Effect.gen(function* () {
      const open = Http.stalled(events(chunk({ content: "a" }), done, chunk({ content: "b" })), sse)
      assert.strictEqual((yield* answer(open)).response, "a")
    })
  )

  it.effect("an answer whose end was told is complete, whatever happens to the connection then", () =>
    Effect.gen(function* () {
      const told = events(chunk({ content: "a" }, "stop"))
      for (const script of [Http.reply(200, told, sse), Http.broken(told, sse), Http.stalled(told, sse)]) {
        const output = yield* inTime(answer(script))
        assert.strictEqual(output.response, "a")
        assert.strictEqual(output.usage?.stopReason, "stop")
      }
      const untold = yield* answer(stream(chunk({ content: "a" })))
      assert.deepStrictEqual([untold.response, untold.usage?.stopReason], ["a", ""])
    })
  )

  it.effect("an answer whose end was told is not held up by a server that goes on without a word", () =>
    Effect.gen(function* () {
      const pings = Stream.make(": ping\n\n", events({ choices: [] })).pipe(
        Stream.repeat(Schedule.spaced("1 second")),
        Stream.encodeText
      )
      const usage = { prompt_tokens: 1, completion_tokens: 6 }
      const begun = Stream.concat(
        later(0, chunk({ content: "a" })),
        later("2 seconds", chunk({ content: "b" }, "stop"))
      )
      for (const rest of [Stream.never, pings]) {
        const bare = yield* inTime(answer(Http.reply(200, Stream.concat(begun, rest), sse)), "5 seconds")
        assert.deepStrictEqual([bare.response, bare.usage?.stopReason], ["ab", "stop"])
        const told = Stream.concat(begun, later("1 second", { choices: [], usage }))
        const output = yield* inTime(answer(Http.reply(200, Stream.concat(told, rest), sse)), "5 seconds")
        assert.strictEqual(output.response, "ab")
        assert.strictEqual(output.usage?.completionTokens, 6)
      }
      // The time that was only waited through is none that the model took.
      const told = Stream.concat(begun, later("1 second", { choices: [], usage }))
      const { usage: taken } = yield* inTime(
        answer(Http.reply(200, Stream.concat(told, Stream.never), sse)),
        "5 seconds"
      )
      assert.strictEqual(taken?.tokensPerSecond, 2)
    })
  )

  it.effect("an answer of a server that tells an end with each piece is waited for", () =>
    Effect.gen(function* () {
      const pieces = Stream.concat(
        later("4 seconds", chunk({ content: " not" }, "stop")),
        later("1 minute", chunk({ content: " 42." }, "stop"))
      )
      for (const start of [
        later(0, chunk({ content: "The answer is" }, "stop")),
        later(0, chunk({ role: "assistant", content: "" }, "stop"), chunk({ content: "The answer is" }, "stop")),
        Stream.concat(
          later(0, chunk({ role: "assistant", content: "" }, "stop")),
          later("4 seconds", chunk({ content: "The answer is" }, "stop"))
        )
      ]) {
        const { response } = yield* inTime(answer(Http.reply(200, Stream.concat(start, pieces), sse)))
        assert.strictEqual(response, "The answer is not 42.")
      }
    })
  )

  it.effect(
    "an answer whose end was told with its first words is complete after some silence, which is in the log",
    () =>
      Effect.gen(function* () {
        const open = Http.stalled(events(chunk({ content: "a" }, "stop")), sse)
        const { value, logged } = yield* withLog(inTime(answer(open), "30 seconds"))
        assert.strictEqual(value.response, "a")
        assert.strictEqual(logged.length, 1)
        assert.match(String(logged[0]), /^DEBUG .*taken as the whole reply/)
      })
  )

  it.effect(
    "an answer that went on after its end was told is complete where the server closes or is idle, not where it breaks",
    () =>
      Effect.gen(function* () {
        const text = events(chunk({ content: "a" }, "stop"), chunk({ content: "b" }, "stop"))
        assert.strictEqual((yield* answer(Http.reply(200, text, sse))).response, "ab")
        const { value, logged } = yield* withLog(inTime(answer(Http.stalled(text, sse)), "5 minutes"))
        assert.strictEqual(value.response, "ab")
        assert.match(String(logged[0]), /^DEBUG /)
        assert.include((yield* failure(Http.broken(text, sse))).error.detail, "lost its connection")
      })
  )

  it.effect("only the wait for the server counts against an answer whose end was told, not who takes it", () =>
    Effect.gen(function* () {
      const usage = { prompt_tokens: 1, completion_tokens: 6 }
      const body = Stream.make(events(chunk({ content: "a" }, "stop")), events({ choices: [], usage })).pipe(
        Stream.encodeText,
        Stream.rechunk(1),
        Stream.concat(Stream.never)
      )
      const { model, layer } = over([Http.reply(200, body, sse)])
      const last = BaseApp.start(model).pipe(
        Effect.flatMap((instance) => Stream.runLast(Stream.tap(instance.run({}), () => Effect.sleep("1 minute")))),
        Effect.scoped,
        Effect.provide(layer)
      )
      const output = yield* Effect.flatten(inTime(last))
      assert.strictEqual(output.usage?.completionTokens, 6)
    })
  )

  it.effect("an answer that breaks off is none", () =>
    Effect.gen(function* () {
      const begun = events(chunk({ content: "a" }))
      const half = events(chunk({ content: "a" }, "stop")).slice(0, -20)
      for (const script of [
        cutOff(chunk({ content: "a" })),
        Http.reply(200, begun + half, sse),
        Http.reply(200, "", sse)
      ]) {
        const { error, sent } = yield* failure(script)
        assert.include(error.detail, "the reply ended before the model had finished")
        assert.strictEqual(sent.length, 1)
      }
      const { error: broken } = yield* failure(Http.broken(begun, sse))
      assert.include(broken.detail, "lost its connection")
    })
  )

  it.effect("what came before a failure was seen", () =>
    Effect.gen(function* () {
      const { model, layer } = over([cutOff(chunk({ content: "a" }))])
      const seen: Array<string> = []
      const exit = yield* BaseApp.start(model).pipe(
        Effect.flatMap((instance) =>
          Stream.runForEach(instance.run({}), ({ response }) => Effect.sync(() => seen.push(response)))
        ),
        Effect.scoped,
        Effect.provide(layer),
        Effect.exit
      )
      assert.isTrue(Exit.isFailure(exit))
      assert.deepStrictEqual(seen, ["a"])
    })
  )
})

describe("what Llm.openAi makes of a reply that is no stream", () => {
  it.effect("a plain completion is the same answer", () =>
    Effect.gen(function* () {
      const message = {
        content: "Hello",
        reasoning_content: "hm",
        tool_calls: [call(undefined, "c1", "add", '{"a":1}'), call(undefined, "c2", "add", { b: 2 })]
      }
      const text = JSON.stringify(completion(message, "tool_calls"), null, 2)
      const { ask } = over([
        Http.after(2000, Http.reply(200, text, { "content-type": "application/json; charset=utf-8" }))
      ])
      const all = yield* inTime(ask())
      assert.deepStrictEqual(all, [
        {
          response: "Hello",
          reasoning: "hm",
          toolCalls: [
            { id: "c1", name: "add", arguments: { a: 1 } },
            { id: "c2", name: "add", arguments: { b: 2 } }
          ],
          usage: Llm.Usage.make({
            stopReason: "tool_calls",
            promptTokens: 3,
            completionTokens: 2,
            totalTokens: 5,
            timeToFirstToken: 2
          })
        }
      ])
      assert.strictEqual((yield* answer(Http.json(completion({ content: "", refusal: null })))).response, "")
    })
  )

  it.effect("a completion is found by how it begins, whatever its type", () =>
    Effect.gen(function* () {
      const text = JSON.stringify(completion({ content: "Hello" }))
      for (const type of ["text/plain", "text/event-stream", "application/json"]) {
        for (const parts of [[text], ["\ufeff", " \n", "", text.slice(0, 1), text.slice(1)]]) {
          const body = Stream.fromIterable(parts).pipe(Stream.encodeText, Stream.rechunk(1))
          const output = yield* answer(Http.reply(200, body, { "content-type": type }))
          assert.strictEqual(output.response, "Hello")
        }
      }
      const streamed = Http.reply(200, events(" ", chunk({ content: "a" }, "stop"), done), {
        "content-type": "application/json"
      })
      assert.strictEqual((yield* answer(streamed)).response, "a")
      const bytes = Array.from(new TextEncoder().encode(`\ufeff${events(chunk({ content: "a" }, "stop"))}`))
      const bytewise = Stream.fromIterable(bytes.map((byte) => Uint8Array.of(byte))).pipe(Stream.rechunk(1))
      assert.strictEqual((yield* answer(Http.reply(200, bytewise, sse))).response, "a")
      const failed = Http.reply(200, '{"error": "no credit"}', sse)
      assert.include((yield* failure(failed)).error.detail, "no credit")
    })
  )

  it.effect(
    "a whole completion is taken though the connection stays open or breaks, also where it comes in pieces",
    () =>
      Effect.gen(function* () {
        const text = JSON.stringify(completion({ content: 'Hello {"a": {}}' }))
        const cut = text.indexOf("}") + 1
        const slow = Stream.make(text.slice(0, cut), text.slice(cut, -1), text.slice(-1)).pipe(
          Stream.rechunk(1),
          Stream.mapEffect((part) => Effect.delay(Effect.succeed(part), "10 seconds")),
          Stream.encodeText,
          Stream.concat(Stream.never)
        )
        for (const [script, time, options] of [
          [Http.stalled(text), "3 seconds", {}],
          [Http.stalled(text), "1 second", { idleTimeout: "1 second" }],
          [Http.broken(text), 0, {}],
          [Http.reply(200, slow), "33 seconds", {}]
        ] as const) {
          const output = (yield* inTime(over([script], options).ask(), time)).at(-1)
          assert.strictEqual(output?.response, 'Hello {"a": {}}')
          assert.notStrictEqual(output?.usage?.timeToFirstToken, 33)
        }
        const { error } = yield* failure(Http.stalled('{"error": "no credit"}'))
        assert.include(error.detail, "no credit")
      })
  )

  it.effect("what is no completion is said to be none", () =>
    Effect.gen(function* () {
      for (const script of [
        Http.json({ models: [] }),
        Http.json([]),
        Http.json({ choices: [] }),
        Http.reply(200, '{"choices": [', { "content-type": "application/json" }),
        stream(),
        Http.reply(200, "<html>hello</html>", { "content-type": "text/html" })
      ]) {
        const { error } = yield* failure(script)
        assert.match(
          error.detail,
          /the reply of https:\/\/models\.test\/v1\/chat\/completions \(.*\) is no chat completion/
        )
      }
    })
  )

  it.effect("events without a type of content are read as such", () =>
    Effect.gen(function* () {
      assert.strictEqual((yield* answer(Http.reply(200, events(chunk({ content: "a" }, "stop"))))).response, "a")
    })
  )
})

describe("failures of Llm.openAi", () => {
  it.effect("a refusal has the status and the words of the server", () =>
    Effect.gen(function* () {
      const refusal = (status: number, body: unknown) => failure(Http.json(body, status), { retry: false })
      const { error: unauthorized } = yield* refusal(401, {
        error: { message: "no such key", code: "invalid_api_key" }
      })
      assert.include(unauthorized.detail, "no such key")
      assert.include(unauthorized.detail, "401 invalid_api_key")
      assert.instanceOf(unauthorized.cause, InferenceError.Unauthorized)
      const { error: invalid } = yield* refusal(400, { object: "error", message: "too long", type: "BadRequestError" })
      assert.include(invalid.detail, "too long")
      const { error: missing } = yield* refusal(404, { error: "model 'm1' not found" })
      assert.include(missing.detail, "model 'm1' not found")
      const { error: broken } = yield* failure(Http.reply(500, "<html>oh no</html>"))
      assert.include(broken.detail, "500")
      assert.include(broken.detail, "oh no")
    })
  )

  it.effect("a failure in the middle of an answer has the words of the server", () =>
    Effect.gen(function* () {
      const within = (...data: ReadonlyArray<unknown>) =>
        Effect.map(
          failure(stream(chunk({ content: "a" }), ...data, chunk({ content: "b" }, "stop"))),
          ({ error, sent }) => {
            assert.strictEqual(sent.length, 1)
            return error.detail
          }
        )
      assert.include(yield* within({ error: { message: "out of memory", type: "server_error" } }), "out of memory")
      assert.include(yield* within({ error: "out of memory" }), "out of memory")
      assert.include(yield* within({ object: "error", message: "out of memory", code: 40_003 }), "out of memory")
      assert.include(yield* within('event: error\ndata: {"message": "out of memory"}\n'), "out of memory")
      assert.include(yield* within("event: error\ndata: out of memory\n"), "error: out of memory")
      assert.include(yield* within('event: error\ndata: "out of memory"\n'), "error: out of memory")
      assert.include(yield* within("event: error\ndata:\n"), "error: it gave no reason")
      assert.include((yield* failure(cutOff("event: error\ndata: out of memory"))).error.detail, "out of memory")
      const limited = yield* within({ error: { message: "slow down", code: 429 }, choices: [] })
      assert.include(limited, "slow down")
      assert.include(limited, "429")
      const choice = { index: 0, delta: {}, finish_reason: "error", error: { message: "provider gone", code: 502 } }
      assert.include(yield* within({ choices: [choice] }), "provider gone")
      assert.include((yield* failure(Http.json({ error: { message: "no credit" } }))).error.detail, "no credit")
      assert.strictEqual((yield* answer(stream({ ...chunk({ content: "a" }, "stop"), error: null }))).response, "a")
    })
  )

  it.effect("a server that is busy is asked again when it said, and no sooner", () =>
    Effect.gen(function* () {
      const { ask, sent } = over([
        Http.json({ error: { message: "slow down" } }, 429, { "retry-after": "7" }),
        Http.json({ error: { message: "loading" } }, 503, { "retry-after": "2" }),
        stream(chunk({ content: "ok" }, "stop"))
      ])
      const all = yield* inTime(ask())
      assert.strictEqual(all.at(-1)?.response, "ok")
      assert.deepStrictEqual(
        sent.map(({ at }) => at),
        [0, 7000, 9000]
      )
      // The time that a model takes is counted from the request that it answered.
      assert.strictEqual(all.at(-1)?.usage?.timeToFirstToken, 0)
    })
  )

  it.effect("nothing else is asked again, and a busy server not for ever", () =>
    Effect.gen(function* () {
      const requests = (script: Http.Answer, options?: Partial<Llm.OpenAiOptions>) =>
        Effect.map(failure(script, options), ({ sent }) => sent.length)
      assert.strictEqual(yield* requests(Http.reply(429)), 5)
      assert.strictEqual(yield* requests(Http.reply(503), { retry: { attempts: 3 } }), 3)
      assert.strictEqual(yield* requests(Http.reply(429), { retry: false }), 1)
      assert.strictEqual(yield* requests(Http.reply(429, "", { "retry-after": "3600" })), 1)
      assert.strictEqual(yield* requests(Http.json({ error: { code: "insufficient_quota" } }, 429)), 1)
      for (const status of [400, 401, 404, 408, 409, 500, 502, 504]) {
        assert.strictEqual(yield* requests(Http.reply(status)), 1)
      }
      for (const code of ["ECONNREFUSED", "ECONNRESET"]) assert.strictEqual(yield* requests(Http.fails(code)), 1)
    })
  )

  it.effect("a server that says nothing in time is given up", () =>
    Effect.gen(function* () {
      const { error: silent } = yield* failure(Http.never, { requestTimeout: "20 seconds" })
      assert.include(silent.detail, "requestTimeout")
      const { error: stalled } = yield* failure(Http.stalled(events(chunk({ content: "a" })), sse), {
        idleTimeout: "20 seconds"
      })
      assert.include(stalled.detail, "idleTimeout")
      const { error: plain } = yield* failure(Http.stalled('{"choices": ', { "content-type": "application/json" }))
      assert.include(plain.detail, "idleTimeout")
    })
  )

  it.effect("a server that gives signs of life is waited for", () =>
    Effect.gen(function* () {
      const alive = Stream.fromSchedule(Schedule.spaced("10 seconds")).pipe(
        Stream.take(20),
        Stream.as(": still here\n\n"),
        Stream.concat(Stream.make(events(chunk({ content: "a" }, "stop"), done))),
        Stream.encodeText
      )
      const { ask } = over([Http.reply(200, alive, sse)], { idleTimeout: "15 seconds" })
      assert.strictEqual((yield* inTime(ask())).at(-1)?.response, "a")
    })
  )
})

describe("secrets that a server tells back to Llm.openAi", () => {
  /** All that comes out of a failure: the error, and what is in the log. */
  const heardOf = (script: Http.Answer, options: Partial<Llm.OpenAiOptions>) =>
    Effect.gen(function* () {
      const logged: Array<unknown> = []
      const logger = Logger.make(({ message }) => void logged.push(message))
      const { error } = yield* Effect.provide(
        failure(script, { retry: false, ...options }),
        Logger.replace(Logger.defaultLogger, logger)
      )
      return inspect([error, { ...error }, error.cause, logged], { depth: 12, maxStringLength: null })
    })

  it.effect("are taken out where they came in a header of one's own", () =>
    Effect.gen(function* () {
      const secret = "azur3-5ecr3t"
      const headers = {
        "API-Key": secret,
        authorization: `Token ${key}`,
        "x-quoted": 'a"quoted"5ecr3t',
        "x-app": "chat"
      }
      for (const script of [
        Http.json({ error: { message: `no such key as ${secret} or ${key} in chat`, code: 'a"quoted"5ecr3t' } }, 401),
        Http.reply(500, `<b>${secret}</b> ${key} a"quoted"5ecr3t in chat`),
        stream({ error: `no such key as ${secret} or ${key} or a"quoted"5ecr3t in chat` }),
        cutOff(`data: {"no such key as ${secret} or ${key} or a"quoted"5ecr3t in chat\n`)
      ]) {
        const heard = yield* heardOf(script, { apiKey: undefined, headers })
        for (const each of [secret, key, "quoted"]) assert.notInclude(heard, each)
        assert.include(heard, "in chat")
      }
    })
  )

  it.effect("do not include headers that are no secret", () =>
    Effect.gen(function* () {
      const headers = {
        Accept: "application/json",
        "Content-Type": "application/json",
        "User-Agent": "acme-chat/1.0",
        "HTTP-Referer": "https://acme.test",
        "X-Title": "Acme Chat"
      }
      const said = `${Object.values(headers).join(", ")} is not allowed`
      const { error } = yield* failure(Http.json({ error: { message: said } }, 400), { headers })
      assert.include(error.detail, said)
    })
  )

  it.effect("are taken out also where they are written in JSON with more escapes than it takes", () =>
    Effect.gen(function* () {
      const secret = "abcdef/0123+4567&89=="
      const options = { headers: { "api-key": secret } }
      for (const written of [
        "abcdef\\/0123+4567&89==",
        "abcdef/0123\\u002B4567\\u002689==",
        "abcdef/0123+4567\\u002689=="
      ]) {
        for (const script of [
          Http.reply(401, `{"error": {"message": "no such key as ${written}"}}`),
          Http.reply(200, `{"error": {"message": "no such key as ${written}"}}`),
          cutOff(`data: {"no such key as ${written}\n`),
          cutOff(`data: {"no such key as ${written.slice(0, 12)}`),
          cutOff(`event: error\ndata: {"no such key as ${written}\n`)
        ]) {
          const heard = yield* heardOf(script, options)
          for (const part of ["abcdef", "4567"]) assert.notInclude(heard, part)
          assert.include(heard, "no such key as")
        }
      }
    })
  )

  it.effect("are taken out of what else is told of a reply", () =>
    Effect.gen(function* () {
      for (const script of [
        Http.reply(200, "hello", { "content-type": `text/${key}` }),
        Http.reply(500, "hello", { "x-request-id": key }),
        Http.reply(302, "", { location: `https://other.test/${key}` })
      ]) {
        assert.notInclude(yield* heardOf(script, { apiKey: undefined, headers: { "x-key": key } }), key.slice(0, 8))
      }
    })
  )

  it.effect("are taken out where a text ends or is cut within them, however long they are", () =>
    Effect.gen(function* () {
      const long = `eyJhbGciOi${"0123456789".repeat(90)}`
      const options = { apiKey: Redacted.make(long), headers: { "x-key": key } }
      for (const script of [
        cutOff(`data: {"no such key as ${long}`),
        cutOff(`event: error\ndata: no such key as ${long}`),
        cutOff(`data: {"no such key as ${long.slice(0, 30)}`),
        cutOff(`data: {"no such key as ${key.slice(0, -1)}`),
        Http.reply(500, `no such key as ${long.slice(0, 30)}`)
      ]) {
        const heard = yield* heardOf(script, options)
        for (const each of [long, key]) assert.notInclude(heard, each.slice(0, 8))
        assert.include(heard, "no such key as")
      }
    })
  )
})

describe("a model of Llm.openAi", () => {
  it("does not show the key", () => {
    const { model } = over([])
    for (const text of [inspect(model, { depth: 9, showHidden: true }), JSON.stringify(model), String(model)]) {
      assert.notInclude(text, key)
    }
  })
})

/** Servers that tell the key back, each in its own way. */
const echoes = (other: string): Readonly<Record<string, Bad.Handler>> => {
  const bearer = `Bearer ${key}`
  const headers = { "x-request-id": bearer, "x-echo": bearer }
  const within = (...data: ReadonlyArray<unknown>) => Bad.trickle([events(...data)], "end", { ...sse, ...headers })
  return {
    "a refusal": Bad.json({ error: { message: bearer, code: key } }, 401, headers),
    "a page": Bad.reply(500, `<html>${bearer}</html>`, headers),
    "a redirect": Bad.reply(302, "", { ...headers, location: `${other}/${key}?key=${key}` }),
    "a redirect of the body too": Bad.reply(307, "", { ...headers, location: `${other}/${key}?key=${key}` }),
    "an error in the stream": within({ error: { message: bearer, type: key } }),
    "an error with a status": within({ error: { message: bearer, code: 429 } }),
    "a line that is no JSON": within(`data: {"x": "${bearer}`),
    "a line that is cut within the key": within(`data: ${"x".repeat(490)}${key}`),
    "a broken stream": Bad.trickle([events(chunk({ content: "a" })), `data: ${bearer}`], "reset", sse),
    "a page without an error": Bad.reply(200, bearer, { "content-type": "text/plain" }),
    "a broken connection": Bad.reset
  }
}

for (const [name, transport] of Object.entries(Bad.transports)) {
  const platform = Layer.merge(transport, NodeFileSystem.layer)
  const at = (server: Bad.BadServer, options: Partial<Llm.OpenAiOptions> = {}) =>
    Llm.openAi("acme/llm", {
      model: "m1",
      baseUrl: `${server.origin}/v1`,
      apiKey: Redacted.make(key),
      retry: { baseDelay: 1 },
      ...options
    })
  const ask = (server: Bad.BadServer, options?: Partial<Llm.OpenAiOptions>) =>
    Effect.provide(outputs(at(server, options)), platform)

  describe(`Llm.openAi over ${name}`, () => {
    it.scopedLive("reads an answer that comes byte by byte", () =>
      Effect.gen(function* () {
        const session = Buffer.from(
          events(
            chunk({ content: "Grüße 🙂" }),
            toolCalls(call(0, "c1", "add", '{"a":')),
            toolCalls(call(0, undefined, undefined, "1}")),
            chunk({}, "tool_calls"),
            done
          )
        )
        const server = yield* Bad.make(
          Bad.trickle(
            [...session].map((byte) => Uint8Array.of(byte)),
            "end",
            sse
          )
        )
        const last = (yield* ask(server)).at(-1)
        assert.strictEqual(last?.response, "Grüße 🙂")
        assert.deepStrictEqual(last?.toolCalls, [{ id: "c1", name: "add", arguments: { a: 1 } }])
        assert.strictEqual(server.seen[0]?.url, "/v1/chat/completions")
        assert.strictEqual(JSON.parse(server.seen[0]?.body.toString() ?? "").stream, true)
      })
    )

    it.scopedLive("asks a busy server again, and lets go of the connections that came to nothing", () =>
      Effect.gen(function* () {
        const large = "x".repeat(400_000)
        const server = yield* Bad.make(
          Bad.reply(503, large),
          Bad.reply(429, large),
          Bad.trickle([events(chunk({ content: "ok" }))], "stall", sse)
        )
        const fiber = yield* Effect.fork(ask(server))
        yield* Bad.eventually("the answer has begun", () => server.seen.length === 3)
        yield* Bad.eventually("only the last connection is left", () => server.openSockets() === 1)
        yield* Fiber.interrupt(fiber)
      })
    )

    it.scopedLive("closes the connection when it is interrupted, and when the mark of the end has come", () =>
      Effect.gen(function* () {
        const begun = events(chunk({ content: "a" }))
        const server = yield* Bad.make(
          Bad.trickle([begun], "stall", sse),
          Bad.hang,
          Bad.trickle([begun, events(done)], "stall", sse)
        )
        for (const i of [0, 1]) {
          const fiber = yield* Effect.fork(ask(server))
          yield* Bad.eventually("the request has come", () => server.seen.length === i + 1)
          yield* Fiber.interrupt(fiber)
          yield* Bad.eventually("the connection is closed", () => server.seen[i]?.closed() === true)
        }
        yield* ask(server)
        yield* Bad.eventually("the connection is closed", () => server.seen[2]?.closed() === true)
      })
    )

    it.scopedLive("fails where the connection breaks, before the answer or within it", () =>
      Effect.gen(function* () {
        const begun = events(chunk({ content: "a" }))
        const server = yield* Bad.make(Bad.reset, Bad.trickle([begun], "reset", sse), Bad.trickle([begun], "end", sse))
        for (let i = 0; i < 3; i++) {
          const error = yield* Effect.flip(ask(server))
          assert.instanceOf(error.cause, InferenceError.TransportError)
          assert.include(error.detail, "lost its connection")
        }
        assert.strictEqual(server.seen.length, 3)
      })
    )

    it.scopedLive("sends the key to no other origin, and shows it nowhere", () =>
      Effect.gen(function* () {
        const heard: Array<string> = []
        const say = (value: unknown) => {
          heard.push(String(value), JSON.stringify(value) ?? "", inspect(value, { depth: 12, showHidden: true }))
        }
        const logger = Logger.make((entry) => {
          say(entry.message)
          heard.push(Cause.pretty(entry.cause, { renderErrorCause: true }))
        })
        const tracer = Tracer.make({
          context: (run) => run(),
          span: (name, parent, context, links, startTime, kind) => {
            const attributes = new Map<string, unknown>()
            say(name)
            return {
              _tag: "Span",
              ...{ name, parent, context, links: [...links], kind, attributes },
              status: { _tag: "Started", startTime },
              spanId: "0123456789abcdef",
              traceId: "0123456789abcdef0123456789abcdef",
              sampled: true,
              attribute: (name, value) => say([name, value]),
              event: (name, _, attributes) => say([name, attributes]),
              addLinks: say,
              end: (_, exit) => say(exit)
            }
          }
        })
        const ears = Layer.mergeAll(
          Layer.setTracer(tracer),
          Logger.replace(Logger.defaultLogger, logger),
          Logger.minimumLogLevel(LogLevel.All)
        )
        const other = yield* Bad.make(Bad.reply(200, "stolen"))
        for (const [echo, handler] of Object.entries(echoes(other.origin))) {
          const server = yield* Bad.make(handler)
          const exit = yield* Effect.exit(
            ask(server, { retry: false }).pipe(
              Effect.withSpan(echo),
              Effect.tapErrorCause((cause) => Effect.logError("it failed", cause)),
              Effect.provide(ears)
            )
          )
          if (Exit.isSuccess(exit)) assert.fail(`${echo} did not fail`)
          say(exit)
          for (const error of Cause.failures(exit.cause)) {
            say(error)
            say({ ...error })
            heard.push(error.message, error.detail, error.stack ?? "")
          }
          const { authorization, ...rest } = server.seen[0]?.headers ?? {}
          assert.strictEqual(authorization, `Bearer ${key}`)
          assert.notInclude(JSON.stringify(rest) + server.seen[0]?.body.toString(), key)
        }
        assert.strictEqual(other.seen.length, 0)
        assert.isAbove(heard.length, 100)
        assert.isTrue(heard.some((text) => text.includes("Llm.openAi")))
        assert.isTrue(heard.some((text) => text.includes("<redacted>")))
        for (const text of heard) assert.notInclude(text, key.slice(0, 8))
      })
    )
  })
}

describe("a hosted model behind an API", () => {
  it.scopedLive("is run as any app, with files that its host keeps", () =>
    Effect.gen(function* () {
      const server = yield* Bad.make(Bad.trickle([events(chunk({ content: "A cat." }, "stop"), done)], "end", sse))
      const model = Llm.openAi("acme/llm@v1", { model: "m1", baseUrl: server.origin })
      const task = yield* Tasks.run(Llm.make("acme/llm@v1"), {
        input: {
          text: "what is it?",
          images: [File.fromBytes(png)],
          attachments: [File.fromBytes(new TextEncoder().encode("a,b"), { filename: "table.csv" })]
        }
      }).pipe(Effect.provide(NodeInference.layerLocal({ apps: [model] })))
      assert.strictEqual(task.output.response, "A cat.")
      assert.deepStrictEqual(JSON.parse(server.seen[0]?.body.toString() ?? "").messages[0].content, [
        { type: "text", text: "what is it?" },
        { type: "image_url", image_url: { url: pngUrl } },
        { type: "text", text: '<file name="table.csv">\na,b\n</file>' }
      ])
    })
  )

  it.scopedLive("fails its task in the words of the server, and goes on with the next", () =>
    Effect.gen(function* () {
      const server = yield* Bad.make(
        Bad.json({ error: { message: "the prompt is too long" } }, 400),
        Bad.json(completion({ content: "ok" }))
      )
      const model = Llm.openAi("acme/llm", { model: "m1", baseUrl: server.origin })
      yield* Effect.gen(function* () {
        const error = yield* Effect.flip(Tasks.run(model.app, { input: { text: "hi" } }))
        assert.strictEqual(error._tag, "TaskFailed")
        assert.include(error.message, "the prompt is too long")
        assert.include(error.message, "400")
        const task = yield* Tasks.run(model.app, { input: { text: "hi" } })
        assert.strictEqual(task.output.response, "ok")
      }).pipe(Effect.provide(NodeInference.layerLocal({ apps: [model] })))
    })
  )

  it.scopedLive("closes its connection when the task is cancelled", () =>
    Effect.gen(function* () {
      const server = yield* Bad.make(Bad.trickle([events(chunk({ content: "a" }))], "stall", sse))
      const model = Llm.openAi("acme/llm", { model: "m1", baseUrl: server.origin })
      yield* Effect.gen(function* () {
        const fiber = yield* Effect.fork(Tasks.run(model.app, { input: { text: "hi" } }))
        yield* Bad.eventually("the request has come", () => server.seen.length === 1)
        yield* Fiber.interrupt(fiber)
        yield* Bad.eventually("the connection is closed", () => server.seen[0]?.closed() === true)
      }).pipe(Effect.provide(NodeInference.layerLocal({ apps: [model] })))
    })
  )
})
