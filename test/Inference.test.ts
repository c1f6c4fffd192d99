import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as NodePath from "@effect/platform-node/NodePath"
import { assert, describe, it } from "@effect/vitest"
import * as Config from "effect/Config"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import { ApiClient, Files, Inference, Tasks } from "../src/index.js"
import { NodeInference } from "../src/node.js"
import * as Http from "./support/http.js"

const base = "https://api.inference.sh"

const ask = ApiClient.request({ path: "/x", schema: Schema.Unknown })

const platform = (recorder: Http.Recorder) => Layer.mergeAll(recorder.layer, NodeFileSystem.layer, NodePath.layer)

/** A program over the configured layer, with the given environment. */
const configured = <A, E>(
  program: Effect.Effect<A, E, Inference.Services>,
  environment: Readonly<Record<string, string>>,
  options?: Inference.ConfigOptions
) => {
  const recorder = Http.recorder(() => Http.data("ok"))
  const live = Layer.provide(Inference.layerConfig(options), platform(recorder)).pipe(
    Layer.provide(Layer.setConfigProvider(ConfigProvider.fromMap(new Map(Object.entries(environment)))))
  )
  return Effect.map(Effect.either(Effect.provide(program, live)), (result) => ({ result, sent: recorder.sent }))
}

const complaint = (environment: Readonly<Record<string, string>>, options?: Inference.ConfigOptions) =>
  Effect.map(configured(ask, environment, options), ({ result, sent }) => {
    assert.strictEqual(sent.length, 0)
    assert.strictEqual(result._tag, "Left")
    return result._tag === "Left" ? result.left.toString() : ""
  })

describe("Inference.layerConfig", () => {
  it.effect("reads the key and the base URL from the environment", () =>
    Effect.gen(function* () {
      const { sent } = yield* configured(ask, {
        INFERENCE_API_KEY: " inf_1\n",
        INFERENCE_BASE_URL: "http://127.0.0.1:8788/"
      })
      assert.strictEqual(sent[0]?.url, "http://127.0.0.1:8788/x")
      assert.strictEqual(sent[0]?.headers.authorization, "Bearer inf_1")
    })
  )

  it.effect("uses the public service where no base URL is set, or an empty one", () =>
    Effect.gen(function* () {
      for (const more of [{}, { INFERENCE_BASE_URL: "" }, { INFERENCE_BASE_URL: " " }]) {
        const { sent } = yield* configured(ask, { INFERENCE_API_KEY: "inf_1", ...more })
        assert.strictEqual(sent[0]?.url, `${base}/x`)
      }
    })
  )

  it.effect("a missing key is an error that names the variable and where to get one", () =>
    Effect.gen(function* () {
      const text = yield* complaint({})
      assert.include(text, "INFERENCE_API_KEY")
      assert.include(text, "https://app.inference.sh/settings/keys")
    })
  )

  it.effect("an empty or blank key is as good as none", () =>
    Effect.gen(function* () {
      for (const INFERENCE_API_KEY of ["", "  ", "\n"]) {
        const text = yield* complaint({ INFERENCE_API_KEY })
        assert.include(text, "INFERENCE_API_KEY")
        assert.include(text, "https://app.inference.sh/settings/keys")
      }
    })
  )

  it.effect("a key under another name is used, and that name is in the error where it is missing", () =>
    Effect.gen(function* () {
      const options = { apiKey: Config.redacted("ACME_KEY") }
      const { sent } = yield* configured(ask, { ACME_KEY: "inf_2", INFERENCE_API_KEY: "inf_1" }, options)
      assert.strictEqual(sent[0]?.headers.authorization, "Bearer inf_2")
      assert.include(yield* complaint({ INFERENCE_API_KEY: "inf_1" }, options), "ACME_KEY")
    })
  )

  it.effect("values and Configs mix, and a value wins over the environment", () =>
    Effect.gen(function* () {
      const program = Effect.zipRight(
        ask,
        Effect.map(ApiClient.ApiClient, ({ settings }) => settings)
      )
      const { result, sent } = yield* configured(
        program,
        { INFERENCE_API_KEY: "inf_1", INFERENCE_BASE_URL: "https://ignored.test", POLL: "5 seconds", TEAM: "t1" },
        {
          baseUrl: "https://value.test/v1",
          pollInterval: Config.duration("POLL"),
          headers: Config.map(Config.string("TEAM"), (team) => ({ "x-team-id": team })),
          transport: "poll",
          retry: false
        }
      )
      assert.strictEqual(sent[0]?.url, "https://value.test/v1/x")
      assert.strictEqual(sent[0]?.headers["x-team-id"], "t1")
      assert.isTrue(result._tag === "Right")
      if (result._tag === "Right") {
        assert.strictEqual(result.right.transport, "poll")
        assert.deepStrictEqual(Duration.decode(result.right.pollInterval), Duration.seconds(5))
        assert.strictEqual(result.right.retry.attempts, 1)
      }
    })
  )

  it.effect("a Config of another option that is missing fails too, without advice about the key", () =>
    Effect.gen(function* () {
      const text = yield* complaint({ INFERENCE_API_KEY: "inf_1" }, { pollInterval: Config.duration("POLL") })
      assert.include(text, "POLL")
      assert.notInclude(text, "settings/keys")
    })
  )

  it.effect("NodeInference.layerConfig says the same of a missing key", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(
        Layer.build(NodeInference.layerConfig()).pipe(
          Effect.scoped,
          Effect.withConfigProvider(ConfigProvider.fromMap(new Map()))
        )
      )
      assert.include(error.toString(), "INFERENCE_API_KEY")
    })
  )
})

/** A program over the services, with the answers of a script. */
const over = <A, E>(script: Parameters<typeof Http.recorder>[0], program: Effect.Effect<A, E, Inference.Services>) => {
  const recorder = Http.recorder(script)
  const live = Layer.provide(Inference.layer({ apiKey: Redacted.make("inf_key"), retry: false }), platform(recorder))
  return Effect.map(Effect.either(Effect.provide(program, live)), (result) => ({ result, sent: recorder.sent }))
}

const addHeader = (name: string, value: string) => HttpClient.mapRequest(HttpClientRequest.setHeader(name, value))

describe("Inference.layer", () => {
  it.effect("provides all services over the HttpClient of the context", () =>
    Effect.gen(function* () {
      const { result } = yield* over(
        () => Http.data("ok"),
        Effect.all([Tasks.Tasks, Files.Files, ApiClient.ApiClient, ask])
      )
      assert.strictEqual(result._tag, "Right")
    })
  )
})

describe("two layers in one program", () => {
  it.effect("each talk with their own service, with their own key", () =>
    Effect.gen(function* () {
      const recorder = Http.recorder(() => Http.data({ id: "t1", status: 10 }))
      const of = (apiKey: string, baseUrl: string) =>
        Layer.effect(Tasks.Tasks, Tasks.Tasks).pipe(
          Layer.provide(Inference.layer({ apiKey: Redacted.make(apiKey), baseUrl })),
          Layer.provide(platform(recorder))
        )
      class A extends Context.Tag("test/A")<A, Tasks.Service>() {}
      class B extends Context.Tag("test/B")<B, Tasks.Service>() {}
      const renamed = <I>(tag: Context.Tag<I, Tasks.Service>, layer: ReturnType<typeof of>) =>
        Layer.provide(Layer.effect(tag, Tasks.Tasks), layer)
      yield* Effect.gen(function* () {
        yield* (yield* A).get("t1")
        yield* (yield* B).get("t1")
      }).pipe(
        Effect.provide(
          Layer.merge(renamed(A, of("key-a", "https://a.test")), renamed(B, of("key-b", "https://b.test")))
        )
      )
      assert.deepStrictEqual(
        recorder.sent.map(({ url, headers }) => [new URL(url).origin, headers.authorization]),
        [
          ["https://a.test", "Bearer key-a"],
          ["https://b.test", "Bearer key-b"]
        ]
      )
    })
  )

  it.effect("share what is one layer", () =>
    Effect.gen(function* () {
      const seen: Array<Tasks.Service> = []
      const live = Layer.provide(Inference.layer({ apiKey: Redacted.make("key") }), platform(Http.recorder([])))
      const note = Layer.fresh(Layer.effectDiscard(Effect.map(Tasks.Tasks, (tasks) => void seen.push(tasks))))
      yield* Effect.provide(Effect.void, Layer.merge(Layer.provide(note, live), Layer.provide(note, live)))
      assert.strictEqual(seen.length, 2)
      assert.strictEqual(seen[0], seen[1])
    })
  )
})

describe("Inference.withClientTransform", () => {
  it.effect("changes the calls inside, and none outside", () =>
    Effect.gen(function* () {
      const { sent } = yield* over(
        () => Http.data("ok"),
        Effect.all([ask, ask.pipe(Inference.withClientTransform(addHeader("x-team-id", "t1"))), ask])
      )
      assert.deepStrictEqual(
        sent.map(({ headers }) => headers["x-team-id"]),
        [undefined, "t1", undefined]
      )
    })
  )

  it.effect("nests: both changes hold, and both see the client of the call", () =>
    Effect.gen(function* () {
      const { sent } = yield* over(
        () => Http.data("ok"),
        ask.pipe(
          Inference.withClientTransform(addHeader("x-inner", "1")),
          Inference.withClientTransform(addHeader("x-outer", "1")),
          Effect.zip(
            Inference.withClientTransform(
              Inference.withClientTransform(ask, addHeader("x-both", "inner")),
              addHeader("x-both", "outer")
            )
          )
        )
      )
      assert.deepInclude(sent[0]?.headers, { "x-inner": "1", "x-outer": "1" })
      assert.strictEqual(sent[1]?.headers["x-both"], "inner")
    })
  )

  it.effect("sees what a call sends, and not the key", () =>
    Effect.gen(function* () {
      const seen: Array<HttpClientRequest.HttpClientRequest> = []
      const look = (request: HttpClientRequest.HttpClientRequest) => Effect.sync(() => void seen.push(request))
      const wrapped = (client: HttpClient.HttpClient) =>
        HttpClient.make((request) => Effect.zipRight(look(request), client.execute(request)))
      const { sent } = yield* over(
        () => Http.data("ok"),
        Effect.all([
          Inference.withClientTransform(ask, HttpClient.tapRequest(look)),
          Inference.withClientTransform(ask, wrapped)
        ])
      )
      assert.strictEqual(seen.length, 2)
      for (const request of seen) {
        assert.strictEqual(new URL(request.url, base).pathname, "/x")
        assert.notProperty(request.headers, "authorization")
      }
      assert.strictEqual(sent.length, 2)
      for (const { headers } of sent) assert.strictEqual(headers.authorization, "Bearer inf_key")
    })
  )

  it.effect("cannot change the key, nor send it to another origin", () =>
    Effect.gen(function* () {
      const evil = HttpClientRequest.setUrl("https://evil.test/x")
      const redirected = (client: HttpClient.HttpClient) => HttpClient.make((request) => client.execute(evil(request)))
      for (const transform of [
        HttpClient.mapRequest(evil),
        HttpClient.mapRequest(HttpClientRequest.prependUrl("https://evil.test")),
        HttpClient.mapRequestInput(evil),
        redirected
      ]) {
        const { result, sent } = yield* over([], Inference.withClientTransform(ask, transform))
        assert.isTrue(result._tag === "Left" && result.left._tag === "TransportError", String(result))
        assert.isTrue(result._tag === "Left" && "reason" in result.left && result.left.reason === "ForeignOrigin")
        assert.strictEqual(sent.length, 0)
      }
      const { sent } = yield* over([Http.data(1)], Inference.withClientTransform(ask, addHeader("authorization", "x")))
      assert.strictEqual(sent[0]?.headers.authorization, "Bearer inf_key")
    })
  )

  it.effect("may follow redirects on the base URL's origin, and no further", () =>
    Effect.gen(function* () {
      const follow = Inference.withClientTransform(ask, HttpClient.followRedirects(5))
      const near = yield* over([Http.reply(302, undefined, { location: `${base}/y` }), Http.data("ok")], follow)
      assert.strictEqual(near.result._tag, "Right")
      assert.strictEqual(near.sent[1]?.url, `${base}/y`)
      const far = yield* over([Http.reply(302, undefined, { location: "https://evil.test/y" })], follow)
      assert.strictEqual(far.result._tag, "Left")
      assert.strictEqual(far.sent.length, 1)
    })
  )

  it.effect("its client's failures are those of the call", () =>
    Effect.gen(function* () {
      const { result, sent } = yield* over(
        () => Http.never,
        Inference.withClientTransform(
          ask,
          HttpClient.transformResponse((send) => Effect.zipRight(Effect.die("not reached"), send))
        ).pipe(Effect.catchAllDefect(() => Effect.succeed("defect")))
      )
      assert.deepInclude(result, { _tag: "Right", right: "defect" })
      assert.strictEqual(sent.length, 0)
    })
  )
})

const headers = {
  "x-request-id": "r1",
  "x-ratelimit-limit": "100",
  "x-ratelimit-remaining": "41",
  "x-ratelimit-reset": "60"
}

const askFor = (path: string) => ApiClient.request({ path, query: { cursor: "c" }, schema: Schema.Unknown })

describe("Inference.withReply", () => {
  it.effect("gives what the headers of the reply say", () =>
    Effect.gen(function* () {
      const { result } = yield* over(() => Http.json({ data: 1 }, 200, headers), Inference.withReply(askFor("/x")))
      const [value, reply] = Either.getOrThrow(result)
      assert.strictEqual(value, 1)
      assert.deepStrictEqual(
        reply,
        Option.some({
          method: "GET",
          url: `${base}/x`,
          taskId: undefined,
          status: 200,
          requestId: "r1",
          rateLimit: { limit: 100, remaining: 41, reset: DateTime.unsafeMake(60_000) },
          retryAfter: undefined
        })
      )
    })
  )

  it.effect("reads the headers of the drafts as well, and leaves out what cannot be read", () =>
    Effect.gen(function* () {
      yield* TestClock.setTime(1_000_000)
      const replyTo = (headers: Readonly<Record<string, string>>) =>
        Effect.map(
          over(() => Http.json({ data: 1 }, 200, headers), Inference.withReply(askFor("/x"))),
          ({ result }) => Option.getOrThrow(Either.getOrThrow(result)[1])
        )
      const drafts = yield* replyTo({
        "ratelimit-limit": "100, 100;w=60",
        "ratelimit-remaining": "0",
        "ratelimit-reset": "30",
        "retry-after": "7"
      })
      assert.deepStrictEqual(drafts.rateLimit, { limit: 100, remaining: 0, reset: DateTime.unsafeMake(1_030_000) })
      assert.deepStrictEqual(drafts.retryAfter, Duration.seconds(7))
      const odd = yield* replyTo({
        "x-ratelimit-limit": "many",
        "x-ratelimit-remaining": "-1",
        "x-ratelimit-reset": "1e300",
        "retry-after": "soon"
      })
      assert.isUndefined(odd.rateLimit)
      assert.isUndefined(odd.retryAfter)
      const one = yield* replyTo({ "x-ratelimit-limit": "", "x-ratelimit-remaining": "3" })
      assert.deepStrictEqual(one.rateLimit, { limit: undefined, remaining: 3, reset: undefined })
    })
  )

  it.effect("gives the last of several, and none where nothing was sent", () =>
    Effect.gen(function* () {
      let count = 0
      const { result } = yield* over(
        () => Http.json({ data: 1 }, 200, { "x-request-id": `r${++count}` }),
        Effect.all([Inference.withReply(Effect.zip(ask, ask)), Inference.withReply(Effect.succeed("nothing"))])
      )
      const [[, last], [, none]] = Either.getOrThrow(result)
      assert.strictEqual(Option.getOrThrow(last).requestId, "r2")
      assert.isTrue(Option.isNone(none))
    })
  )

  it.effect("does not mix up the replies of calls beside each other", () =>
    Effect.gen(function* () {
      const { result } = yield* over(
        () => (request, sent) =>
          Http.after(Number(sent.path.slice(2)), Http.json({ data: 1 }, 200, { "x-request-id": sent.path }))(
            request,
            sent
          ),
        Effect.forEach(
          [30, 10, 20],
          (wait) =>
            Effect.map(
              Inference.withReply(ApiClient.request({ path: `/${wait}`, schema: Schema.Unknown })),
              ([, reply]) => Option.getOrThrow(reply).requestId
            ),
          { concurrency: "unbounded" }
        ).pipe(Effect.zipLeft(TestClock.adjust(30), { concurrent: true }))
      )
      assert.deepStrictEqual(Either.getOrThrow(result), ["/30", "/10", "/20"])
    })
  )

  it("can be written as JSON", () => {
    const reply = { method: "GET", url: base, status: 200, rateLimit: { reset: DateTime.unsafeMake(0) } }
    const json = JSON.parse(JSON.stringify(Schema.encodeSync(ApiClient.ReplyInfo)(reply)))
    assert.deepStrictEqual(Schema.decodeUnknownSync(ApiClient.ReplyInfo)(json), reply)
  })
})

describe("Inference.onReply", () => {
  const heard = () => {
    const replies: Array<ApiClient.ReplyInfo> = []
    return { replies, hear: (reply: ApiClient.ReplyInfo) => Effect.sync(() => void replies.push(reply)) }
  }

  it.effect("is told of each reply: also of one before a retry, and of the one that an effect fails with", () =>
    Effect.gen(function* () {
      const { replies, hear } = heard()
      const recorder = Http.recorder([
        Http.problem(503, "busy", "busy", { "x-request-id": "r1", "retry-after": "0" }),
        Http.problem(404, "none", "none", { "x-request-id": "r2" })
      ])
      const live = Layer.provide(
        Inference.layer({ apiKey: Redacted.make("inf_key"), retry: { baseDelay: 0 } }),
        platform(recorder)
      )
      const error = yield* Effect.flip(Tasks.get("t1")).pipe(
        Inference.onReply(hear),
        Effect.provide(live),
        Effect.zipLeft(TestClock.adjust("1 second"), { concurrent: true })
      )
      assert.deepStrictEqual(
        replies.map(({ status, requestId, taskId }) => [status, requestId, taskId]),
        [
          [503, "r1", "t1"],
          [404, "r2", "t1"]
        ]
      )
      assert.strictEqual(error.requestId, "r2")
    })
  )

  it.effect("nests, outermost first, needs what it needs from outside, and is not told of its own requests", () =>
    Effect.gen(function* () {
      const order: Array<string> = []
      const note = (name: string) => () =>
        Effect.flatMap(Effect.zipRight(Effect.orDie(ask), Label), (label) =>
          Effect.sync(() => void order.push(`${name} ${label}`))
        )
      const { sent } = yield* over(
        () => Http.data("ok"),
        ask.pipe(
          Inference.onReply(note("inner")),
          Effect.provideService(Label, "in"),
          Inference.onReply(() => Effect.sync(() => void order.push("outer")))
        )
      )
      assert.deepStrictEqual(order, ["outer", "outer", "inner in"])
      assert.strictEqual(sent.length, 2)
    })
  )

  it.effect("is not told any more of what goes on after the effect has ended", () =>
    Effect.gen(function* () {
      const { replies, hear } = heard()
      yield* over(
        () => Http.data("ok"),
        Effect.scoped(
          Effect.gen(function* () {
            yield* Inference.onReply(Effect.zipRight(ask, Effect.forkScoped(Effect.delay(ask, "1 second"))), hear)
            yield* TestClock.adjust("2 seconds")
          })
        )
      )
      assert.strictEqual(replies.length, 1)
    })
  )

  it.effect("does not show the key where the service tells it back", () =>
    Effect.gen(function* () {
      const { replies, hear } = heard()
      yield* over(() => Http.json({ data: 1 }, 200, { "x-request-id": "Bearer inf_key" }), Inference.onReply(ask, hear))
      assert.deepStrictEqual(
        replies.map(({ requestId }) => requestId),
        ["Bearer <redacted>"]
      )
    })
  )

  it.effect("hears of the pages of a list, and of the connections of a stream", () =>
    Effect.gen(function* () {
      const { replies, hear } = heard()
      const page = (next: string) =>
        Http.json(
          { data: { items: [{ id: "t1", status: 10 }], next_cursor: next, has_next: next !== "" } },
          200,
          headers
        )
      yield* over(
        [page("c2"), page(""), Http.ndjson({ id: "t1" })],
        Effect.zip(
          Tasks.list().pipe(Inference.onReplyStream(hear), Stream.runDrain),
          Stream.runDrain(Inference.onReplyStream(ApiClient.stream({ path: "/tasks/t1/stream" }), hear))
        )
      )
      assert.deepStrictEqual(
        replies.map(({ method, url }) => `${method} ${url.replace(base, "")}`),
        ["POST /tasks/list", "POST /tasks/list", "GET /tasks/t1/stream"]
      )
    })
  )
})

class Label extends Context.Tag("test/Label")<Label, string>() {}
