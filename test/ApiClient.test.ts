import { assert, describe, it } from "@effect/vitest"
import * as Chunk from "effect/Chunk"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fc from "effect/FastCheck"
import * as Fiber from "effect/Fiber"
import * as HashMap from "effect/HashMap"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as Metric from "effect/Metric"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import * as ApiClient from "../src/ApiClient.js"
import type { ApiFailure } from "../src/InferenceError.js"
import { unwrap } from "../src/internal/envelope.js"
import * as Http from "./support/http.js"

const base = "https://api.inference.sh"

/** The service over a script of answers. */
const over = (script: Parameters<typeof Http.recorder>[0], options: Partial<ApiClient.Options> = {}) => {
  const recorder = Http.recorder(script)
  return Effect.map(
    Effect.provide(ApiClient.make({ apiKey: Redacted.make("inf_key"), ...options }), recorder.layer),
    (api) => ({ api, sent: recorder.sent })
  )
}

const any = { schema: Schema.Unknown }

/** Runs an effect to its end with the test clock moved as far as it takes. */
const inTime = <A, E, R>(effect: Effect.Effect<A, E, R>, time: Duration.DurationInput = "1 hour") =>
  Effect.gen(function* () {
    const fiber = yield* Effect.fork(effect)
    yield* TestClock.adjust(time)
    return yield* Fiber.join(fiber)
  })

/** What one request comes to when every attempt gets the same answer. */
const failure = (answer: Http.Answer, request: Partial<ApiClient.Request<unknown>> = {}) =>
  Effect.gen(function* () {
    const { api, sent } = yield* over(() => answer)
    const error = yield* inTime(Effect.flip(api.request({ path: "/x", ...any, ...request })))
    return { error, sent }
  })

const once = { retry: false } as const

/** The failure, which is to be of the given kind. */
const unique = <Tag extends ApiFailure["_tag"]>(
  error: ApiFailure,
  tag: Tag
): Extract<ApiFailure, { readonly _tag: Tag }> => {
  assert.strictEqual(error._tag, tag)
  return error as Extract<ApiFailure, { readonly _tag: Tag }>
}

describe("ApiClient requests", () => {
  it.effect("a request carries the key, its source and its JSON body, and only those", () =>
    Effect.gen(function* () {
      const { api, sent } = yield* over([Http.data({ ok: 1 })], { headers: { "X-Team-ID": "t1" } })
      const answer = yield* api.request({ method: "POST", path: "/apps/run", body: { a: "ü" }, ...any })
      assert.deepStrictEqual(answer, { ok: 1 })
      const [request] = sent
      assert.strictEqual(request?.method, "POST")
      assert.strictEqual(request?.url, `${base}/apps/run`)
      assert.strictEqual(request?.text, '{"a":"ü"}')
      assert.deepInclude(request?.headers, {
        authorization: "Bearer inf_key",
        "content-type": "application/json",
        "x-team-id": "t1",
        "x-client-source": "effect-inferencesh"
      })
      for (const header of ["traceparent", "b3", "x-b3-traceid"]) assert.notProperty(request?.headers, header)
    })
  )

  it.effect("trace headers are sent when that is asked for", () =>
    Effect.gen(function* () {
      const { api, sent } = yield* over([Http.data(1)], { propagateTraces: true })
      yield* Effect.withSpan(api.request({ path: "/x", ...any }), "outer")
      assert.property(sent[0]?.headers, "traceparent")
    })
  )

  it.effect("a query is escaped, base64 cursors too, and undefined fields are left out", () =>
    Effect.gen(function* () {
      const { api, sent } = yield* over([Http.data(1)])
      yield* api.request({ path: "/x", query: { cursor: "a+b/c==", limit: 5, all: true, not: undefined }, ...any })
      const url = new URL(sent[0]?.url ?? "")
      assert.deepStrictEqual(Object.fromEntries(url.searchParams), { cursor: "a+b/c==", limit: "5", all: "true" })
      assert.include(url.search, "%2B")
    })
  )

  it.effect("slashes at the end of the base URL do not double, and its path is kept", () =>
    Effect.gen(function* () {
      for (const [baseUrl, expected] of [
        ["https://h.test/", "https://h.test/tasks/1"],
        ["https://h.test///", "https://h.test/tasks/1"],
        [" https://h.test\n", "https://h.test/tasks/1"],
        ["https://h.test:8443/api/v1/", "https://h.test:8443/api/v1/tasks/1"]
      ] as const) {
        const { api, sent } = yield* over([Http.data(1)], { baseUrl })
        yield* api.request({ path: "/tasks/1", ...any })
        assert.strictEqual(sent[0]?.url, expected)
      }
    })
  )

  it.effect("a base URL that is no URL is an error that says so, and is not retried", () =>
    Effect.gen(function* () {
      const { api, sent } = yield* over([], { baseUrl: "localhost 80" })
      const error = unique(yield* Effect.flip(api.request({ path: "/x", ...any })), "TransportError")
      assert.strictEqual(error.reason, "InvalidUrl")
      assert.strictEqual(sent.length, 0)
    })
  )

  it.effect("an address on another origin is refused before anything is sent", () =>
    Effect.gen(function* () {
      const { api, sent } = yield* over([])
      for (const path of [
        "https://evil.test/x",
        "http://api.inference.sh/x",
        "https://api.inference.sh:444/x",
        "https://api.inference.sh@evil.test/x",
        "https://api.inference.sh.evil.test/x",
        ".evil.test/x",
        "@evil.test/x"
      ]) {
        const error = unique(yield* Effect.flip(api.request({ path, ...any })), "TransportError")
        assert.strictEqual(error.reason, "ForeignOrigin", path)
        const raw = yield* Effect.flip(api.client.get(path))
        assert.strictEqual(raw._tag, "RequestError", path)
      }
      assert.strictEqual(sent.length, 0)
    })
  )

  it.effect("a path cannot lead to another origin", () =>
    Effect.gen(function* () {
      const { api, sent } = yield* over(() => Http.data(1))
      yield* api.request({ path: "/\\evil.test/x", ...any })
      for (const { url } of sent) assert.strictEqual(new URL(url).origin, base)
      for (const path of ["//evil.test/x", "/../../x", "/https://evil.test/"]) {
        assert.strictEqual((yield* Effect.flip(api.request({ path, ...any })))._tag, "InvalidRequest")
      }
      assert.strictEqual(sent.length, 1)
    })
  )

  it.effect("an absolute address on the base URL's origin is accepted", () =>
    Effect.gen(function* () {
      const { api, sent } = yield* over([Http.data(1)])
      yield* api.request({ path: `${base}/x`, ...any })
      assert.strictEqual(sent[0]?.url, `${base}/x`)
    })
  )

  it.effect("the raw client takes paths and gives replies as they come", () =>
    Effect.gen(function* () {
      const { api, sent } = yield* over([Http.reply(503, "busy")])
      const response = yield* api.client.get("/openapi.json")
      assert.strictEqual(response.status, 503)
      assert.strictEqual(yield* response.text, "busy")
      assert.strictEqual(sent[0]?.headers.authorization, "Bearer inf_key")
    })
  )

  it.effect("a reply that does not fit its schema says where, and what the request was", () =>
    Effect.gen(function* () {
      const { api } = yield* over([Http.data({ a: { b: ["x", 7] } })])
      const schema = Schema.Struct({ a: Schema.Struct({ b: Schema.Array(Schema.String) }) })
      const error = unique(
        yield* Effect.flip(api.request({ path: "/tasks/t1?token=secret", taskId: "t1", schema })),
        "DecodeError"
      )
      assert.deepStrictEqual(error.path, ["a", "b", 1])
      assert.strictEqual(error.url, `${base}/tasks/t1`)
      assert.strictEqual(error.taskId, "t1")
      assert.notInclude(error.message, "secret")
    })
  )
})

const envelope = (answer: Http.Answer) =>
  Effect.gen(function* () {
    const { api } = yield* over([answer], once)
    return yield* api.request({ path: "/x", ...any })
  })

describe("ApiClient envelopes", () => {
  it.effect("the payload is found in each generation of envelopes", () =>
    Effect.gen(function* () {
      const dto = { id: "t1", nested: { data: 1 } }
      for (const body of [
        { success: true, status: 200, data: dto },
        { data: dto },
        { data: dto, messages: null },
        { data: dto, messages: [] },
        { data: dto, status: 200, messages: [] },
        dto
      ]) {
        assert.deepStrictEqual(yield* envelope(Http.json(body)), dto)
      }
      assert.deepStrictEqual(yield* envelope(Http.json([dto])), [dto])
      assert.deepStrictEqual(yield* envelope(Http.json({ data: null, messages: null })), null)
      assert.deepStrictEqual(yield* envelope(Http.json({ success: true, data: [1] })), [1])
    })
  )

  it.effect.prop(
    "any payload survives an envelope, and any object with fields of its own survives without one",
    [
      Fc.jsonValue({ maxDepth: 2 }).map((value): unknown => JSON.parse(JSON.stringify(value))),
      Fc.string({ minLength: 1 })
    ],
    ([value, key]) =>
      Effect.gen(function* () {
        const known = { method: "GET", url: base, status: 200, taskId: undefined }
        const payload = (body: unknown) => Effect.map(unwrap(JSON.stringify(body), known), ({ data }) => data)
        assert.deepStrictEqual(yield* payload({ data: value, messages: [] }), value)
        assert.deepStrictEqual(yield* payload({ success: true, status: 200, data: value }), value)
        const bare = { [`${key}_`]: value, data: value, messages: 1 }
        assert.deepStrictEqual(yield* payload(bare), bare)
      })
  )

  it.effect("a bare payload with a data field of its own is not unwrapped", () =>
    Effect.gen(function* () {
      const dto = { id: "i1", data: { x: 1 }, messages: [{ role: "user" }] }
      assert.deepStrictEqual(yield* envelope(Http.json(dto)), dto)
    })
  )

  it.effect("204 and an empty body are no data", () =>
    Effect.gen(function* () {
      assert.isUndefined(yield* envelope(Http.reply(204)))
      assert.isUndefined(yield* envelope(Http.reply(200)))
      assert.isUndefined(yield* envelope(Http.reply(200, " \n")))
    })
  )

  it.effect("a body that is no JSON is a DecodeError with the start of the text", () =>
    Effect.gen(function* () {
      const error = unique(yield* Effect.flip(envelope(Http.reply(200, `<html>${"x".repeat(5000)}`))), "DecodeError")
      assert.include(error.detail, "<html>xxx")
      assert.isBelow(error.message.length, 900)
      assert.strictEqual(error.status, 200)
    })
  )

  it.effect("success:false is an error even with status 200, by the status inside where there is one", () =>
    Effect.gen(function* () {
      const legacy = { success: false, status: 404, error: { code: "not_found", message: "task not found" } }
      const found = unique(yield* Effect.flip(envelope(Http.json(legacy))), "NotFound")
      assert.strictEqual(found.code, "not_found")
      assert.strictEqual(found.detail, "task not found")
      const vague = unique(yield* Effect.flip(envelope(Http.json({ success: false, error: "nope" }))), "ApiError")
      assert.strictEqual(vague.status, 200)
      assert.strictEqual(vague.detail, "nope")
    })
  )

  it.effect("notices reach the hook and the debug log, and not the payload", () =>
    Effect.gen(function* () {
      const seen: Array<ApiClient.Notice> = []
      const logged: Array<string> = []
      const { api } = yield* over(
        [
          Http.json({
            data: 1,
            messages: [
              { level: "warning", code: "concurrency_queued", message: "Waiting", meta: { n: 1 } },
              null,
              7,
              {}
            ]
          })
        ],
        { onNotice: (notice) => Effect.sync(() => void seen.push(notice)) }
      )
      const logger = Logger.make<unknown, void>(({ annotations, logLevel, message }) => {
        logged.push(`${logLevel.label} ${String(message)} ${HashMap.toEntries(annotations).join(" ")}`)
      })
      const answer = yield* api
        .request({ path: "/x", ...any })
        .pipe(Effect.provide(Logger.replace(Logger.defaultLogger, logger)), Logger.withMinimumLogLevel(LogLevel.All))
      assert.strictEqual(answer, 1)
      assert.deepStrictEqual(seen[0], {
        level: "warning",
        code: "concurrency_queued",
        message: "Waiting",
        meta: { n: 1 }
      })
      assert.strictEqual(seen.length, 2)
      assert.match(logged[0] ?? "", /^DEBUG .*Waiting.*concurrency_queued/)
    })
  )
})

describe("ApiClient errors", () => {
  it.effect("each status is the error that says what to do, with code, detail and request id", () =>
    Effect.gen(function* () {
      const tags: Record<number, ApiFailure["_tag"]> = {
        400: "InvalidRequest",
        401: "Unauthorized",
        402: "ApiError",
        403: "Forbidden",
        404: "NotFound",
        409: "ApiError",
        410: "ApiError",
        422: "InvalidRequest",
        429: "RateLimited",
        500: "ApiError",
        502: "ServiceUnavailable",
        503: "ServiceUnavailable",
        504: "ServiceUnavailable",
        599: "ApiError"
      }
      for (const [status, tag] of Object.entries(tags)) {
        const { error } = yield* failure(
          Http.problem(Number(status), "the_code", "what happened", { "x-request-id": "r-1" }),
          { path: "/x", query: { signature: "hidden" }, taskId: "t9" }
        )
        assert.strictEqual(error._tag, tag)
        assert.deepInclude(error, {
          method: "GET",
          url: `${base}/x`,
          status: Number(status),
          code: "the_code",
          detail: "what happened",
          requestId: "r-1",
          taskId: "t9"
        })
        assert.include(error.message, "what happened")
        assert.include(error.message, "r-1")
        assert.notInclude(error.message, "hidden")
      }
    })
  )

  it.effect("legacy, plain-text and HTML bodies give their text, and no body still gives an error", () =>
    Effect.gen(function* () {
      const cases: ReadonlyArray<readonly [Http.Answer, string | undefined, string | undefined]> = [
        [Http.json({ success: false, error: { code: "c1", message: "m1" } }, 409), "c1", "m1"],
        [Http.json({ error: "m2", code: "c2" }, 409), "c2", "m2"],
        [Http.json({ message: "m3" }, 409), undefined, "m3"],
        [Http.json({ type: "about:blank", title: "Conflict" }, 409), undefined, "Conflict"],
        [Http.json({ detail: "", title: "t", message: "m" }, 409), undefined, "m"],
        [Http.json(null, 409), undefined, "null"],
        [Http.json(["x"], 409), undefined, '["x"]'],
        [Http.reply(409, "no such luck\n"), undefined, "no such luck"],
        [Http.reply(409, "<html><body><h1>409</h1>\n nginx</body></html>"), undefined, "409 nginx"],
        [Http.reply(409), undefined, undefined]
      ]
      for (const [answer, code, detail] of cases) {
        const { error } = yield* failure(answer)
        assert.strictEqual(error._tag, "ApiError")
        assert.strictEqual(error.code, code)
        assert.strictEqual(error.detail, detail)
      }
    })
  )

  it.effect("what was wrong with an input comes as issues with paths", () =>
    Effect.gen(function* () {
      const { error } = yield* failure(
        Http.json(
          { detail: "bad", errors: [{ field: "input.images.0", message: "too big" }, { detail: "d" }, "text"] },
          422
        )
      )
      assert.deepStrictEqual(unique(error, "InvalidRequest").issues, [
        { path: ["input", "images", "0"], message: "too big" },
        { path: [], message: "d" },
        { path: [], message: "text" }
      ])
    })
  )

  it.effect("412 with errors lists the requirements, wherever the envelope puts them", () =>
    Effect.gen(function* () {
      const errors = [
        { type: "secret", key: "OPENAI_API_KEY", message: "not set", action: { type: "add_secret" } },
        { type: "credential", key: "google", message: null, action: null }
      ]
      for (const body of [
        { satisfied: false, errors },
        { data: { satisfied: false, errors } },
        { success: false, status: 412, errors }
      ]) {
        const { error } = yield* failure(Http.json(body, 412), { method: "POST" })
        const { requirements } = unique(error, "RequirementsNotMet")
        assert.deepStrictEqual(
          requirements.map(({ type, key }) => [type, key]),
          [
            ["secret", "OPENAI_API_KEY"],
            ["credential", "google"]
          ]
        )
      }
    })
  )

  it.effect("412 without errors is an ordinary error", () =>
    Effect.gen(function* () {
      const { error } = yield* failure(Http.problem(412, "precondition", "changed"))
      assert.strictEqual(unique(error, "ApiError").status, 412)
    })
  )

  it.effect("a refusal by the plan keeps its details", () =>
    Effect.gen(function* () {
      const { error } = yield* failure(Http.json({ detail: "limit", meta: { resource: "storage_mb", limit: 5 } }, 403))
      assert.deepStrictEqual(unique(error, "Forbidden").meta, { resource: "storage_mb", limit: 5 })
    })
  )

  it.effect("a redirect is an error that names the target without its query", () =>
    Effect.gen(function* () {
      const { error, sent } = yield* failure(Http.reply(302, undefined, { location: "https://evil.test/a?sig=hidden" }))
      assert.include(unique(error, "ApiError").message, "https://evil.test/a")
      assert.notInclude(error.message, "hidden")
      assert.strictEqual(sent.length, 1)
    })
  )

  it.effect("an error page without end is cut off, and one that stalls does not hold the error up for long", () =>
    Effect.gen(function* () {
      let chunks = 0
      const kib = new TextEncoder().encode("x".repeat(1024))
      const endless = Stream.tap(Stream.forever(Stream.make(kib)), () => Effect.sync(() => void chunks++))
      const { error } = yield* failure(Http.reply(404, endless))
      assert.strictEqual(error._tag, "NotFound")
      assert.isBelow(chunks, 200)
      const drip = Stream.repeatEffect(Effect.delay(Effect.succeed(new TextEncoder().encode("x")), "20 seconds"))
      const { api } = yield* over([Http.reply(404, drip)], { idleTimeout: "30 seconds" })
      const slow = yield* Effect.fork(Effect.flip(api.request({ path: "/x", ...any })))
      yield* Effect.repeatN(TestClock.adjust("10 seconds"), 12)
      assert.isTrue(Option.isSome(yield* Fiber.poll(slow)))
    })
  )
})

const reset = Http.fails("ECONNRESET")
const refused = Http.fails("ECONNREFUSED")
const status = (code: number, headers: Readonly<Record<string, string>> = {}) => Http.problem(code, "c", "d", headers)

/** How many times a request was sent before it succeeded, or gave up. */
const attempts = (
  request: Partial<ApiClient.Request<unknown>>,
  answers: ReadonlyArray<Http.Answer>,
  options: Partial<ApiClient.Options> = {}
) =>
  Effect.gen(function* () {
    const { api, sent } = yield* over([...answers, Http.data("done")], options)
    const exit = yield* inTime(Effect.either(api.request({ path: "/x", ...any, ...request })))
    return { exit, count: sent.length, at: sent.map((entry) => entry.at) }
  })

describe("ApiClient retries", () => {
  for (const method of ["GET", "PUT", "DELETE"] as const) {
    it.effect(`${method} is sent again after transport errors, 408, 429 and 5xx`, () =>
      Effect.gen(function* () {
        for (const answer of [reset, refused, Http.never, ...[408, 429, 500, 502, 503, 504].map((s) => status(s))]) {
          const { count, exit } = yield* attempts({ method }, [answer, answer])
          assert.strictEqual(exit._tag, "Right")
          assert.strictEqual(count, 3)
        }
      })
    )
  }

  it.effect("a body that breaks off is read again", () =>
    Effect.gen(function* () {
      const { count, exit } = yield* attempts({}, [Http.broken('{"data":'), Http.stalled('{"data":')])
      assert.deepInclude(exit, { _tag: "Right", right: "done" })
      assert.strictEqual(count, 3)
    })
  )

  it.effect("nothing is sent again after other failures", () =>
    Effect.gen(function* () {
      for (const code of [400, 401, 402, 403, 404, 409, 410, 412, 422, 302]) {
        const { count } = yield* attempts({}, [status(code)])
        assert.strictEqual(count, 1, String(code))
      }
      const { count } = yield* attempts({}, [Http.reply(200, "no json")])
      assert.strictEqual(count, 1)
    })
  )

  for (const method of ["POST", "PATCH"] as const) {
    it.effect(`${method} is never sent twice where the server may have acted`, () =>
      Effect.gen(function* () {
        for (const answer of [
          reset,
          Http.never,
          Http.broken("{"),
          Http.stalled("{"),
          ...[408, 500, 502, 503, 504].map((s) => status(s)),
          status(502, { "retry-after": "1" }),
          status(504, { "retry-after": "1" }),
          Http.fails("EPIPE"),
          Http.fails("UND_ERR_SOCKET")
        ]) {
          const { count, exit } = yield* attempts({ method, body: {} }, [answer])
          assert.strictEqual(exit._tag, "Left")
          assert.strictEqual(count, 1)
        }
      })
    )

    it.effect(`${method} is sent again where the server cannot have acted`, () =>
      Effect.gen(function* () {
        for (const answer of [
          refused,
          Http.fails("ENOTFOUND"),
          status(429),
          status(429, { "retry-after": "3" }),
          status(503, { "retry-after": "3" })
        ]) {
          const { count, exit } = yield* attempts({ method, body: {} }, [answer, answer])
          assert.strictEqual(exit._tag, "Right")
          assert.strictEqual(count, 3)
        }
      })
    )
  }

  it.effect("a POST that is marked as harmless is sent again like a GET", () =>
    Effect.gen(function* () {
      const { count } = yield* attempts({ method: "POST", idempotent: true }, [reset, status(500)])
      assert.strictEqual(count, 3)
      const careful = yield* attempts({ method: "GET", idempotent: false }, [reset])
      assert.strictEqual(careful.count, 1)
    })
  )

  it.effect("Retry-After is kept to the second: not sent again before, and then at once", () =>
    Effect.gen(function* () {
      const { api, sent } = yield* over([status(429, { "retry-after": "2" }), Http.data(1)])
      const fiber = yield* Effect.fork(api.request({ method: "POST", path: "/x", ...any }))
      yield* TestClock.adjust(1999)
      assert.strictEqual(sent.length, 1)
      yield* TestClock.adjust(1)
      assert.strictEqual(sent.length, 2)
      assert.strictEqual(yield* Fiber.join(fiber), 1)
    })
  )

  it.effect("Retry-After as a date and X-RateLimit-Reset are kept to the second too", () =>
    Effect.gen(function* () {
      const now = Date.parse("2026-10-01T10:00:00Z")
      for (const headers of [
        { "retry-after": "Thu, 01 Oct 2026 10:00:07 GMT" },
        { "x-ratelimit-reset": String(now / 1000 + 7) },
        { "retry-after": "7", "x-ratelimit-reset": String(now / 1000 + 90) },
        { "retry-after": "soon", "x-ratelimit-reset": String(now / 1000 + 7) }
      ]) {
        yield* TestClock.setTime(now)
        const { api, sent } = yield* over([status(429, headers), Http.data(1)])
        yield* inTime(api.request({ path: "/x", ...any }), "10 seconds")
        assert.deepStrictEqual(
          sent.map(({ at }) => at - now),
          [0, 7000]
        )
      }
    })
  )

  it.effect("without a word from the server the waits grow, with jitter, up to a cap", () =>
    Effect.gen(function* () {
      const { at, count } = yield* attempts(
        {},
        Array.from({ length: 6 }, () => status(500)),
        {
          retry: { attempts: 7, baseDelay: "1 second", maxDelay: "8 seconds" }
        }
      )
      assert.strictEqual(count, 7)
      const waits = at.slice(1).map((time, i) => time - (at[i] ?? 0))
      for (const [i, most] of [1000, 2000, 4000, 8000, 8000, 8000].entries()) {
        assert.isAtLeast(waits[i] ?? 0, most / 2)
        assert.isAtMost(waits[i] ?? 0, most)
      }
    })
  )

  it.effect("the number of attempts is bounded, and the last failure is what is reported", () =>
    Effect.gen(function* () {
      const { count, exit } = yield* attempts({}, [reset, reset, reset, reset, status(503)])
      assert.strictEqual(count, 5)
      assert.isTrue(exit._tag === "Left" && exit.left._tag === "ServiceUnavailable")
      const two = yield* attempts({}, [reset, reset, reset], { retry: { attempts: 2 } })
      assert.strictEqual(two.count, 2)
      const none = yield* attempts({}, [reset], { retry: { attempts: 0 } })
      assert.strictEqual(none.count, 1)
    })
  )

  it.effect("retry: false sends once, even after a 429", () =>
    Effect.gen(function* () {
      for (const answer of [reset, refused, status(429, { "retry-after": "1" }), status(503)]) {
        const { count } = yield* attempts({}, [answer], once)
        assert.strictEqual(count, 1)
      }
    })
  )

  it.effect("a Retry-After above the maximum fails at once, and tells how long it is", () =>
    Effect.gen(function* () {
      const { api, sent } = yield* over([status(429, { "retry-after": "121" })])
      const error = unique(yield* Effect.flip(api.request({ path: "/x", ...any })), "RateLimited")
      assert.deepStrictEqual(error.retryAfter, Duration.seconds(121))
      assert.strictEqual(sent.length, 1)
      const { count } = yield* attempts({}, [status(429, { "retry-after": "121" })], {
        retry: { maxRetryAfter: "3 minutes" }
      })
      assert.strictEqual(count, 2)
    })
  )

  it.effect("a DELETE that finds nothing on a further attempt has done its work; on the first it has not", () =>
    Effect.gen(function* () {
      const again = yield* attempts({ method: "DELETE" }, [reset, status(404)])
      assert.strictEqual(again.exit._tag, "Right")
      assert.strictEqual(again.count, 2)
      const first = yield* attempts({ method: "DELETE" }, [status(404)])
      assert.strictEqual(first.exit._tag, "Left")
      const get = yield* attempts({}, [reset, status(404)])
      assert.strictEqual(get.exit._tag, "Left")
    })
  )

  it.effect("the request timeout holds until the headers, and each attempt has its own", () =>
    Effect.gen(function* () {
      const { at, exit } = yield* attempts({}, [Http.never, Http.never], { requestTimeout: "10 seconds" })
      assert.strictEqual(exit._tag, "Right")
      assert.isAtLeast((at[1] ?? 0) - (at[0] ?? 0), 10_000)
      const { api } = yield* over([Http.after(9_999, Http.data(1))], { requestTimeout: "10 seconds", ...once })
      assert.strictEqual(yield* inTime(api.request({ path: "/x", ...any })), 1)
      const late = yield* over([Http.after(10_001, Http.data(1))], { requestTimeout: "10 seconds", ...once })
      const error = unique(yield* inTime(Effect.flip(late.api.request({ path: "/x", ...any }))), "TransportError")
      assert.strictEqual(error.reason, "Timeout")
    })
  )

  it.effect("a body that stalls fails after the idle timeout", () =>
    Effect.gen(function* () {
      const { api } = yield* over([Http.stalled("{")], { idleTimeout: "10 seconds", ...once })
      const fiber = yield* Effect.fork(Effect.flip(api.request({ path: "/x", ...any })))
      yield* TestClock.adjust(9_999)
      assert.isTrue(Option.isNone(yield* Fiber.poll(fiber)))
      yield* TestClock.adjust(1)
      assert.strictEqual(unique(yield* Fiber.join(fiber), "TransportError").reason, "Idle")
    })
  )

  it.effect("requests are counted by outcome and timed", () =>
    Effect.gen(function* () {
      const counted = Effect.map(Metric.snapshot, (pairs) =>
        pairs
          .filter(({ metricKey }) => metricKey.name === "inference_requests_total")
          .filter(({ metricKey }) => metricKey.tags.some(({ value }) => value === "NotFound"))
          .reduce((sum, { metricState }) => sum + Number("count" in metricState ? metricState.count : 0), 0)
      )
      const before = yield* counted
      yield* failure(status(404))
      assert.strictEqual(yield* counted, before + 1)
    })
  )
})

const events = (answer: Http.Answer, options: Partial<ApiClient.Options> = {}) =>
  Effect.map(over([answer], options), ({ api, sent }) => ({ stream: api.stream({ path: "/tasks/t1/stream" }), sent }))

describe("ApiClient streams", () => {
  it.effect("a stream asks for NDJSON, uncompressed, and reads what it gets by the content type of the reply", () =>
    Effect.gen(function* () {
      const expected: Array<ApiClient.Frame> = [{ _tag: "Message", event: undefined, data: { id: "t1" } }]
      const lines = yield* events(Http.ndjson({ id: "t1" }))
      assert.deepStrictEqual(Chunk.toReadonlyArray(yield* Stream.runCollect(lines.stream)), expected)
      assert.deepInclude(lines.sent[0]?.headers, {
        accept: "application/x-ndjson",
        "accept-encoding": "identity",
        authorization: "Bearer inf_key"
      })
      const sse = yield* events(Http.reply(200, 'data: {"id":"t1"}\n\n', { "content-type": "text/event-stream" }))
      assert.deepStrictEqual(Chunk.toReadonlyArray(yield* Stream.runCollect(sse.stream)), expected)
    })
  )

  it.effect("an error reply is a typed error, not an event", () =>
    Effect.gen(function* () {
      const { stream, sent } = yield* events(Http.problem(404, "not_found", "no such task"))
      const error = unique(yield* Effect.flip(Stream.runDrain(stream)), "NotFound")
      assert.strictEqual(error.detail, "no such task")
      assert.strictEqual(sent.length, 1)
    })
  )

  it.effect("a connection that breaks gives the events before it and then TransportError", () =>
    Effect.gen(function* () {
      const { stream } = yield* events(Http.broken('{"a":1}\n{"b"'))
      const seen: Array<unknown> = []
      const error = yield* Effect.flip(Stream.runForEach(stream, (frame) => Effect.sync(() => seen.push(frame))))
      assert.strictEqual(unique(error, "TransportError").reason, "Disconnected")
      assert.deepStrictEqual(seen, [{ _tag: "Message", event: undefined, data: { a: 1 } }])
    })
  )

  it.effect("heartbeats keep a stream open, silence does not", () =>
    Effect.gen(function* () {
      const beat = new TextEncoder().encode('{"type":"heartbeat"}\n')
      const beats = Stream.repeatEffect(Effect.delay(Effect.succeed(beat), "10 seconds")).pipe(Stream.take(30))
      const { stream } = yield* events(Http.reply(200, Stream.concat(beats, Stream.never)), {
        idleTimeout: "11 seconds"
      })
      const fiber = yield* Effect.fork(Effect.flip(Stream.runDrain(stream)))
      yield* Effect.repeatN(TestClock.adjust("10 seconds"), 30)
      assert.isTrue(Option.isNone(yield* Fiber.poll(fiber)))
      yield* TestClock.adjust("2 seconds")
      assert.strictEqual(unique(yield* Fiber.join(fiber), "TransportError").reason, "Idle")
    })
  )

  it.effect("an event above the limit is a DecodeError that says how to raise it", () =>
    Effect.gen(function* () {
      const { stream } = yield* events(Http.ndjson("x".repeat(200)), { maxLineBytes: 100 })
      const error = unique(yield* Effect.flip(Stream.runDrain(stream)), "DecodeError")
      assert.include(error.message, "maxLineBytes")
      assert.strictEqual(error.url, `${base}/tasks/t1/stream`)
    })
  )
})
