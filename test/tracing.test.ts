/** Whether the traces of programs are those that `Telemetry` lists. */
import { createServer } from "node:http"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpServer from "@effect/platform/HttpServer"
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { assert, describe, it } from "@effect/vitest"
import { SpanKind, SpanStatusCode } from "@opentelemetry/api"
import type { ReadableSpan } from "@opentelemetry/sdk-trace-base"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as HashMap from "effect/HashMap"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { Agents, ApiClient, App, BaseApp, Files, Inference, Llm, LocalServer, Tasks, Tool } from "../src/index.js"
import { NodeInference } from "../src/node.js"
import * as Bad from "./support/badServer.js"
import * as T from "./support/tasks.js"
import { type Trace, traced } from "./support/traces.js"

const key = "inf_5ecr3tK3y"

const prompt = "the quick brown fox"

const Echo = App.make("acme/echo", { input: { text: Schema.String }, output: { text: Schema.String } })

const echo = BaseApp.make(Echo, {
  concurrency: 8,
  setup: () => Effect.withSpan(Effect.void, "inSetup"),
  run: ({ text }) =>
    Effect.withSpan(
      text === "fail" ? Effect.fail(new Error("it broke")) : text === "hang" ? Effect.never : Effect.succeed({ text }),
      "inRun"
    )
})

class NoSuchCity extends Data.TaggedError("NoSuchCity")<{ readonly city: string }> {}

const weather = Tool.make("get_weather", {
  description: "Tells the weather",
  params: { city: Schema.String },
  handler: ({ city }) =>
    city === "Atlantis"
      ? Effect.zipRight(Effect.logDebug("looking"), new NoSuchCity({ city }))
      : Effect.withSpan(Effect.succeed("sunny"), "inTool")
})

const model = Llm.scripted("acme/model", [
  { toolCalls: [{ name: "get_weather", arguments: { city: "Lisbon" } }] },
  { toolCalls: [{ name: "get_weather", arguments: { city: "Atlantis" } }] },
  { response: "Take an umbrella." }
])

const local = NodeInference.layerLocal({ apps: [echo, model], apiKey: Redacted.make(key) })

const run = (text: string) => Tasks.run(Echo, { input: { text } })

const one = (trace: Trace, name: string): ReadableSpan => {
  const [span, ...more] = trace.named(name)
  if (span === undefined || more.length > 0) throw new Error(`${1 + more.length} spans named ${name}: ${trace.text}`)
  return span
}

/** All logs, with their annotations as fields. */
const logged = () => {
  const logs: Array<Readonly<Record<string, unknown>>> = []
  const logger = Logger.make(({ message, annotations, logLevel }) => {
    logs.push({
      message: String(message),
      level: logLevel.label,
      ...Object.fromEntries(HashMap.toEntries(annotations))
    })
  })
  const layer = Layer.merge(Logger.replace(Logger.defaultLogger, logger), Logger.minimumLogLevel(LogLevel.Debug))
  return { logs, layer }
}

const assertSilent = ({ text }: Trace) => {
  for (const secret of [key, prompt, "Lisbon", "Atlantis", "umbrella"]) assert.notInclude(text, secret)
}

describe("the trace of a task", () => {
  it.live("has the run, its requests, and what the server does of it, each below what led to it", () =>
    Effect.gen(function* () {
      const trace = yield* traced(run(prompt).pipe(Effect.withSpan("mine"), Effect.provide(local)))
      const span = one(trace, "Tasks.run")
      assert.deepStrictEqual(trace.pathOf(span), ["mine", "Tasks.run"])
      assert.deepInclude(span.attributes, {
        "inference.app": "acme/echo",
        "inference.task.status": "completed",
        "inference.outcome": "ok"
      })
      assert.notProperty(span.attributes, "error.type")
      assert.strictEqual(span.status.code, SpanStatusCode.OK)
      const id = span.attributes["inference.task.id"]

      const [post, follow] = [one(trace, "http.client POST"), trace.named("http.client GET")[0]]
      assert.deepStrictEqual(trace.pathOf(post), ["mine", "Tasks.run", "http.client POST"])
      assert.deepStrictEqual(trace.pathOf(follow), ["mine", "Tasks.run", "http.client GET"])
      assert.strictEqual(post.kind, SpanKind.CLIENT)
      assert.deepInclude(post.attributes, {
        "http.request.method": "POST",
        "http.response.status_code": 200,
        "server.address": "inference.localhost",
        "url.full": "http://inference.localhost/apps/run",
        "url.path": "/apps/run",
        "url.scheme": "http"
      })
      assert.strictEqual(follow?.attributes["url.path"], `/tasks/${id}/stream`)

      const inServer = ["mine", "Tasks.run", "http.client POST", "LocalServer.task"]
      assert.deepStrictEqual(trace.pathOf(one(trace, "BaseApp.start")), [...inServer, "BaseApp.start"])
      assert.deepStrictEqual(trace.pathOf(one(trace, "inSetup")), [...inServer, "BaseApp.start", "inSetup"])
      assert.deepStrictEqual(trace.pathOf(one(trace, "inRun")), [...inServer, "BaseApp.run", "inRun"])
      assert.deepInclude(one(trace, "LocalServer.task").attributes, {
        "inference.app": "acme/echo",
        "inference.function": "run",
        "inference.task.id": id,
        "inference.task.status": "completed",
        "inference.outcome": "ok"
      })
      assertSilent(trace)
    })
  )

  it.live("of a stream lasts as long as the stream, with its requests below it", () =>
    Effect.gen(function* () {
      const stream = Tasks.runStream(Echo, { input: { text: prompt } }).pipe(
        Stream.tap(() => Effect.withSpan(Effect.void, "consumed"))
      )
      const trace = yield* traced(Effect.provide(Stream.runDrain(stream), local))
      const span = one(trace, "Tasks.runStream")
      assert.deepInclude(span.attributes, { "inference.task.status": "completed", "inference.outcome": "ok" })
      for (const name of ["http.client POST", "http.client GET"]) {
        for (const request of trace.named(name)) {
          assert.deepStrictEqual(trace.pathOf(request), ["Tasks.runStream", name])
        }
      }
      // What its consumer does is not part of it.
      assert.deepStrictEqual(trace.pathOf(trace.named("consumed")[0]), ["consumed"])
    })
  )

  it.live("says that it failed, by the tag of the error", () =>
    Effect.gen(function* () {
      const trace = yield* traced(Effect.provide(run("fail"), local))
      const span = one(trace, "Tasks.run")
      assert.strictEqual(span.status.code, SpanStatusCode.ERROR)
      assert.deepInclude(span.attributes, {
        "inference.task.status": "failed",
        "inference.outcome": "TaskFailed",
        "error.type": "TaskFailed"
      })
      for (const name of ["LocalServer.task", "BaseApp.run"]) {
        assert.strictEqual(one(trace, name).status.code, SpanStatusCode.ERROR)
        assert.propertyVal(one(trace, name).attributes, "error.type", "AppFailed")
      }
      // The requests went well.
      assert.strictEqual(one(trace, "http.client POST").status.code, SpanStatusCode.OK)
    })
  )

  it.live("of a stream says that it was interrupted, or had enough", () =>
    Effect.gen(function* () {
      const stream = Tasks.runStream(Echo, { input: { text: "hang" } })
      const interrupted = one(
        yield* traced(Effect.provide(Effect.timeout(Stream.runDrain(stream), "300 millis"), local)),
        "Tasks.runStream"
      )
      assert.propertyVal(interrupted.attributes, "inference.outcome", "interrupted")
      const trace = yield* traced(Effect.provide(Stream.runDrain(Stream.take(stream, 1)), local))
      assert.propertyVal(one(trace, "Tasks.runStream").attributes, "inference.outcome", "ok")
      assert.deepStrictEqual(trace.pathOf(one(trace, "Tasks.cancel")), ["Tasks.runStream", "Tasks.cancel"])
    })
  )

  it.live("says that it was interrupted here, and cancelled there", () =>
    Effect.gen(function* () {
      const trace = yield* traced(Effect.provide(Effect.timeout(run("hang"), "300 millis"), local))
      const span = one(trace, "Tasks.run")
      assert.deepInclude(span.attributes, { "inference.outcome": "interrupted", "inference.task.status": "running" })
      assert.notProperty(span.attributes, "error.type")
      assert.deepStrictEqual(trace.pathOf(one(trace, "Tasks.cancel")), ["Tasks.run", "Tasks.cancel"])
      const id = span.attributes["inference.task.id"]
      assert.propertyVal(one(trace, "Tasks.cancel").attributes, "inference.task.id", id)
      assert.deepInclude(one(trace, "LocalServer.task").attributes, {
        "inference.outcome": "interrupted",
        "inference.task.status": "cancelled"
      })
    })
  )

  it.live("that somebody else cancels says so too", () =>
    Effect.gen(function* () {
      const program = Effect.gen(function* () {
        const { id } = yield* Tasks.submit(Echo, { input: { text: "hang" } })
        yield* Effect.all([Effect.exit(Tasks.waitForCompletion(id)), Effect.delay(Tasks.cancel(id), "50 millis")], {
          concurrency: 2
        })
      })
      const trace = yield* traced(Effect.provide(program, local))
      const span = one(trace, "Tasks.waitForCompletion")
      assert.strictEqual(span.status.code, SpanStatusCode.ERROR)
      assert.deepInclude(span.attributes, { "inference.task.status": "cancelled", "error.type": "TaskCancelled" })
    })
  )

  it.live("has one span for each upload of an input, whose address shows without its signature", () =>
    Effect.gen(function* () {
      const trace = yield* traced(Effect.provide(Files.upload(new TextEncoder().encode(prompt)), local))
      const put = one(trace, "http.client PUT")
      assert.deepStrictEqual(trace.pathOf(put), ["Files.upload", "http.client PUT"])
      assert.match(String(put.attributes["url.full"]), /^http:\/\/inference\.localhost\/uploads\/\w+$/)
      assert.notInclude(trace.text, "?")
      assertSilent(trace)
    })
  )
})

describe("the logs of a task", () => {
  it.live("say which task it is that may go on", () =>
    Effect.gen(function* () {
      const { logs, layer: logging } = logged()
      const { layer } = T.service({
        "POST /apps/run": T.data(T.task()),
        "GET /tasks/t1/stream": T.ndjson(T.task(), T.silence),
        "POST /tasks/t1/cancel": T.problem(500, "no")
      })
      const stopped = Effect.timeoutOption(Tasks.run("acme/app", { input: {} }), "100 millis")
      yield* stopped.pipe(Effect.provide(layer), Effect.provide(logging))
      const [warning, ...more] = logs.filter(({ level }) => level === "WARN")
      assert.strictEqual(more.length, 0)
      assert.propertyVal(warning, "inference.task.id", "t1")
    })
  )
})

describe("the trace of a turn", () => {
  const turn = Effect.gen(function* () {
    const agent = yield* Agents.create({ coreApp: "acme/model", name: "forecaster", tools: [weather] })
    return yield* agent.sendMessage(prompt)
  })

  it.live("has the turn by the conventions for agents, and the calls of its tools", () =>
    Effect.gen(function* () {
      const trace = yield* traced(Effect.provide(turn, local))
      const span = one(trace, "Agents.sendMessage")
      assert.strictEqual(span.kind, SpanKind.CLIENT)
      assert.strictEqual(span.status.code, SpanStatusCode.OK)
      assert.deepInclude(span.attributes, {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.provider.name": "inference.sh",
        "gen_ai.agent.name": "forecaster",
        "gen_ai.request.model": "acme/model",
        "inference.run.status": "completed",
        "inference.outcome": "ok"
      })
      assert.isString(span.attributes["inference.run.id"])
      const chat = { "gen_ai.conversation.id": span.attributes["gen_ai.conversation.id"] }
      assert.isString(chat["gen_ai.conversation.id"])

      const [good, bad] = trace.named("Agents.toolCall")
      for (const call of [good, bad]) {
        assert.deepStrictEqual(trace.pathOf(call), ["Agents.sendMessage", "Agents.toolCall"])
        assert.deepInclude(call?.attributes, {
          "gen_ai.operation.name": "execute_tool",
          "gen_ai.tool.name": "get_weather",
          "gen_ai.tool.type": "function",
          ...chat
        })
        assert.isString(call?.attributes["gen_ai.tool.call.id"])
      }
      assert.strictEqual(good?.status.code, SpanStatusCode.OK)
      assert.strictEqual(bad?.status.code, SpanStatusCode.ERROR)
      assert.propertyVal(bad?.attributes, "error.type", "NoSuchCity")
      assert.deepStrictEqual(trace.pathOf(one(trace, "inTool")), ["Agents.sendMessage", "Agents.toolCall", "inTool"])

      const inServer = ["Agents.sendMessage", "http.client POST", "LocalServer.turn"]
      assert.deepStrictEqual(trace.pathOf(one(trace, "LocalServer.turn")), inServer)
      assert.deepInclude(one(trace, "LocalServer.turn").attributes, { "gen_ai.agent.name": "forecaster", ...chat })
      const asked = trace.named("BaseApp.run")
      assert.strictEqual(asked.length, 3)
      for (const span of asked) {
        assert.deepStrictEqual(trace.pathOf(span), [...inServer, "LocalServer.task", "BaseApp.run"])
      }
      assertSilent(trace)
    })
  )

  it.live("has logs with what they are about", () =>
    Effect.gen(function* () {
      const { logs, layer: logging } = logged()
      yield* turn.pipe(Effect.provide(local), Effect.provide(logging))
      const about = logs.filter((log) => log["gen_ai.tool.name"] === "get_weather" && "gen_ai.tool.call.id" in log)
      assert.deepStrictEqual(
        about.map(({ message }) => String(message).split(" ")[0]),
        ["looking", "The"]
      )
      for (const log of about) assert.property(log, "gen_ai.conversation.id")
    })
  )

  it.live("that is a stream has the same", () =>
    Effect.gen(function* () {
      const trace = yield* traced(
        Effect.provide(
          Effect.flatMap(Agents.create({ coreApp: "acme/model", tools: [weather] }), (agent) =>
            Stream.runDrain(Stream.take(agent.chat(prompt), 2))
          ),
          local
        )
      )
      const span = one(trace, "Agents.chat")
      assert.isString(span.attributes["gen_ai.conversation.id"])
      assert.notProperty(span.attributes, "gen_ai.agent.name")
      for (const request of trace.named("http.client GET")) {
        assert.deepStrictEqual(trace.pathOf(request), ["Agents.chat", "http.client GET"])
      }
      assertSilent(trace)
    })
  )
})

describe("the trace of a request to a model", () => {
  it.scopedLive("has the request by the conventions for models, with the tokens that it took", () =>
    Effect.gen(function* () {
      const server = yield* Bad.make(
        Bad.json({
          object: "chat.completion",
          choices: [{ index: 0, message: { role: "assistant", content: "Hi." }, finish_reason: "stop" }],
          usage: { prompt_tokens: 7, completion_tokens: 2, total_tokens: 9 }
        })
      )
      const hosted = Llm.openAi("acme/llm", {
        model: "m1",
        baseUrl: `${server.origin}/v1?api-version=${key}`,
        apiKey: Redacted.make(key)
      })
      const ask = Effect.flatMap(BaseApp.start(hosted), (instance) => Stream.runDrain(instance.run({ text: prompt })))
      const trace = yield* traced(
        ask.pipe(Effect.scoped, Effect.provide(Layer.merge(NodeHttpClient.layerUndici, NodeContext.layer)))
      )
      const span = one(trace, "Llm.openAi")
      assert.deepInclude(span.attributes, {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "m1",
        "gen_ai.usage.input_tokens": 7,
        "gen_ai.usage.output_tokens": 2,
        "inference.app": "acme/llm"
      })
      const post = one(trace, "http.client POST")
      assert.deepStrictEqual(trace.pathOf(post), ["BaseApp.run", "Llm.openAi", "http.client POST"])
      assert.propertyVal(post.attributes, "url.full", `${server.origin}/v1/chat/completions`)
      assert.propertyVal(post.attributes, "server.address", "127.0.0.1")
      assert.propertyVal(post.attributes, "server.port", Number(new URL(server.origin).port))
      assertSilent(trace)
    })
  )
})

describe("the span of an HTTP request", () => {
  const get = ApiClient.request({ path: "/x", query: { cursor: "secret" }, schema: Schema.Unknown })

  it.live("is one for each attempt, marked where the service refuses or is out of reach", () =>
    Effect.gen(function* () {
      const { layer } = T.service(
        { "GET /x?cursor=secret": [T.problem(503, "busy"), T.problem(404, "none")] },
        { retry: { baseDelay: 1 } }
      )
      const trace = yield* traced(Effect.provide(get, layer))
      const [first, second, ...more] = trace.named("http.client GET")
      assert.strictEqual(more.length, 0)
      assert.deepInclude(first?.attributes, {
        "http.response.status_code": 503,
        "error.type": "ServiceUnavailable",
        "url.full": "http://service.test/x"
      })
      assert.notProperty(first?.attributes, "http.request.resend_count")
      assert.deepInclude(second?.attributes, {
        "http.response.status_code": 404,
        "error.type": "NotFound",
        "http.request.resend_count": 1
      })
      assert.strictEqual(second?.status.code, SpanStatusCode.ERROR)
      assert.notInclude(trace.text, "secret")

      const nowhere = NodeInference.layer({ apiKey: Redacted.make(key), baseUrl: "http://127.0.0.1:1", retry: false })
      const refused = one(yield* traced(Effect.provide(get, nowhere)), "http.client GET")
      assert.propertyVal(refused.attributes, "error.type", "TransportError")
      assert.notInclude(JSON.stringify([refused.attributes, refused.status, refused.events]), "secret")
    })
  )

  it.live("has no headers, and can be named or left out as others are", () =>
    Effect.gen(function* () {
      const { layer } = T.service({ "GET /x?cursor=secret": T.data(1) })
      const trace = yield* traced(
        Effect.all([
          get,
          Inference.withClientTransform(
            get,
            HttpClient.withSpanNameGenerator(({ method }) => `my ${method}`)
          ),
          Inference.withClientTransform(
            get,
            HttpClient.withTracerDisabledWhen(() => true)
          )
        ]).pipe(Effect.provide(layer))
      )
      assert.deepStrictEqual(
        trace.spans.map(({ name }) => name),
        ["http.client GET", "my GET"]
      )
      assert.notInclude(trace.text, "header")
    })
  )
})

describe("the trace of a server on a port", () => {
  it.live("goes on from that of the client where it sends its trace headers, and shows no signed address", () =>
    Effect.gen(function* () {
      const client = Layer.unwrapEffect(
        Effect.map(HttpServer.addressFormattedWith(Effect.succeed), (baseUrl) =>
          NodeInference.layer({ apiKey: Redacted.make(key), baseUrl, propagateTraces: true })
        )
      )
      const services = client.pipe(
        Layer.provideMerge(LocalServer.layer({ apps: [echo], apiKey: Redacted.make(key) })),
        Layer.provide(NodeHttpServer.layer(createServer, { host: "127.0.0.1", port: 0 })),
        Layer.provide(NodeContext.layer)
      )
      const program = Effect.all([run(prompt), Files.upload(new TextEncoder().encode(prompt))])
      const trace = yield* traced(Effect.provide(program, services))
      const path = trace.pathOf(one(trace, "BaseApp.run"))
      assert.deepStrictEqual(path, [
        "Tasks.run",
        "http.client POST",
        "http.server POST",
        "LocalServer.task",
        "BaseApp.run"
      ])
      assert.isTrue(trace.named("http.client PUT").length === 1)
      assert.strictEqual(trace.named("http.server PUT").length, 0)
      assert.notInclude(trace.text, "signature")
      assertSilent(trace)
    })
  )
})
