/** The client against a real server that misbehaves, over each of the HTTP clients that users run on. */
import * as HttpClient from "@effect/platform/HttpClient"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as ApiClient from "../src/ApiClient.js"
import { withClientTransform } from "../src/Inference.js"
import * as Bad from "./support/badServer.js"

const key = "inf_wire_key"

const quick = { attempts: 3, baseDelay: "1 millis" } as const

const connect = (server: Bad.BadServer, options: Partial<ApiClient.Options> = {}) =>
  ApiClient.make({ apiKey: Redacted.make(key), baseUrl: server.origin, retry: quick, ...options })

const x = { path: "/x", schema: Schema.Unknown }

const lines = { "content-type": "application/x-ndjson" }

/** A server that nothing should reach: it remembers what did. */
const bystander = Bad.make(Bad.json({ data: "stolen" }))

const big = Buffer.alloc(400_000, "e").toString()

for (const [name, transport] of Object.entries(Bad.transports)) {
  describe(`over ${name}`, () => {
    const test = <E>(title: string, body: Effect.Effect<void, E, HttpClient.HttpClient | Scope.Scope>) =>
      it.scopedLive(title, () => Effect.provide(body, transport))

    test(
      "a request and its reply go through",
      Effect.gen(function* () {
        const server = yield* Bad.make(Bad.data({ text: "grüße 🙂" }))
        const api = yield* connect(server)
        const reply = yield* api.request({ ...x, method: "POST", body: { text: "ü" } })
        assert.deepStrictEqual(reply, { text: "grüße 🙂" })
        assert.strictEqual(server.seen[0]?.headers.authorization, `Bearer ${key}`)
        assert.strictEqual(server.seen[0]?.body.toString(), '{"text":"ü"}')
        assert.isUndefined(server.seen[0]?.headers.traceparent)
      })
    )

    for (const status of [301, 302, 303, 307, 308]) {
      test(
        `a ${status} to another origin is not followed, and the key does not leave`,
        Effect.gen(function* () {
          const other = yield* bystander
          const server = yield* Bad.make(Bad.redirect(`${other.origin}/steal`, status))
          const api = yield* connect(server)
          const error = yield* Effect.flip(api.request(x))
          assert.strictEqual(error._tag, "ApiError")
          assert.strictEqual(error.status, status)
          const streamed = yield* Effect.flip(Stream.runDrain(api.stream({ path: "/s" })))
          assert.strictEqual(streamed._tag, "ApiError")
          assert.strictEqual((yield* api.client.get("/raw")).status, status)
          assert.strictEqual(other.seen.length, 0)
          assert.strictEqual(server.seen.length, 3)
        })
      )
    }

    test(
      "the authorised client refuses another origin, also where the user's client follows redirects",
      Effect.gen(function* () {
        const other = yield* bystander
        const server = yield* Bad.make(Bad.redirect(`${other.origin}/steal`))
        const api = yield* connect(server)
        yield* Effect.flip(api.client.get(`${other.origin}/direct`))
        yield* Effect.flip(HttpClient.followRedirects(api.client).get("/x"))
        yield* Effect.flip(withClientTransform(api.request(x), HttpClient.followRedirects(3)))
        assert.strictEqual(other.seen.length, 0)
      })
    )

    test(
      "twenty failed replies with big bodies do not keep twenty sockets",
      Effect.gen(function* () {
        const failing = Array.from({ length: 20 }, () => Bad.reply(503, big))
        const server = yield* Bad.make(Bad.reply(503, big), ...failing, Bad.data("done"))
        const api = yield* connect(server, { retry: { attempts: 30, baseDelay: "1 millis", maxDelay: "2 millis" } })
        assert.strictEqual(yield* api.request(x), "done")
        assert.strictEqual(server.seen.length, 22)
        yield* Bad.eventually("sockets are closed", () => server.openSockets() <= 2)
      })
    )

    test(
      "a POST is sent once where the connection breaks, and again where it is refused",
      Effect.gen(function* () {
        const server = yield* Bad.make(Bad.reset, Bad.data("second"))
        const api = yield* connect(server)
        const post = { ...x, method: "POST", body: { pay: 1 } } as const
        const error = yield* Effect.flip(api.request(post))
        assert.strictEqual(error._tag, "TransportError")
        assert.strictEqual("reason" in error && error.reason, "Disconnected")
        assert.strictEqual(server.seen.length, 1)
        assert.strictEqual(yield* api.request(x), "second")
        const closed = yield* Effect.scoped(Bad.make(Bad.hang))
        const away = yield* connect(closed)
        const refused = yield* Effect.flip(away.request(post))
        assert.strictEqual("reason" in refused && refused.reason, "Connect")
      })
    )

    test(
      "a reply whose body breaks off is asked for again",
      Effect.gen(function* () {
        const half = { "content-length": 100 }
        const server = yield* Bad.make(
          Bad.trickle(['{"data":'], "reset", half),
          Bad.trickle(['{"data":'], "reset"),
          Bad.data("whole")
        )
        const api = yield* connect(server)
        assert.strictEqual(yield* api.request(x), "whole")
      })
    )

    test(
      "no reply fails after the request timeout and a stalled body after the idle timeout, and both close their socket",
      Effect.gen(function* () {
        const server = yield* Bad.make(Bad.hang, Bad.trickle(['{"da'], "stall"))
        const api = yield* connect(server, { requestTimeout: 50, idleTimeout: 80, retry: false })
        const mute = yield* Effect.flip(api.request(x))
        assert.strictEqual("reason" in mute && mute.reason, "Timeout")
        const stalled = yield* Effect.flip(api.request(x))
        assert.strictEqual("reason" in stalled && stalled.reason, "Idle")
        yield* Bad.eventually("sockets are closed", () => server.seen.every(({ closed }) => closed()))
      })
    )

    test(
      "an event stream survives characters that are cut apart",
      Effect.gen(function* () {
        const text = '{"text":"grüße 🙂"}\n{"type":"heartbeat"}\n{"n":1}'
        const bytes = Array.from(new TextEncoder().encode(text), (byte) => Uint8Array.of(byte))
        const server = yield* Bad.make(Bad.trickle(bytes, "end", lines))
        const api = yield* connect(server)
        const found = [...(yield* Stream.runCollect(api.stream({ path: "/s" })))]
        assert.deepStrictEqual(found, [
          { _tag: "Message", event: undefined, data: { text: "grüße 🙂" } },
          { _tag: "Heartbeat" },
          { _tag: "Message", event: undefined, data: { n: 1 } }
        ])
      })
    )

    test(
      "a stream that breaks or falls silent fails after the events it gave",
      Effect.gen(function* () {
        const server = yield* Bad.make(Bad.trickle(["1\n2\n"], "reset", lines), Bad.trickle(["1\n2\n"], "stall", lines))
        const api = yield* connect(server, { idleTimeout: 100 })
        for (const reason of ["Disconnected", "Idle"] as const) {
          let count = 0
          const error = yield* Effect.flip(
            Stream.runForEach(api.stream({ path: "/s" }), () => Effect.sync(() => count++))
          )
          assert.strictEqual("reason" in error && error.reason, reason)
          assert.strictEqual(count, 2)
        }
        yield* Bad.eventually("sockets are closed", () => server.seen.every(({ closed }) => closed()))
      })
    )

    test(
      "stopping early and interruption close the socket of a stream",
      Effect.gen(function* () {
        const server = yield* Bad.make(Bad.trickle(["1\n2\n"], "stall", lines))
        const api = yield* connect(server)
        assert.strictEqual((yield* Stream.runCollect(Stream.take(api.stream({ path: "/s" }), 1))).length, 1)
        yield* Bad.eventually("the first is closed", () => server.seen[0]?.closed() === true)
        const fiber = yield* Effect.fork(Stream.runDrain(api.stream({ path: "/s" })))
        yield* Bad.eventually("the second is open", () => server.seen[1]?.closed() === false)
        yield* Fiber.interrupt(fiber)
        yield* Bad.eventually("the second is closed", () => server.seen[1]?.closed() === true)
      })
    )

    test(
      "an interrupted request closes its socket",
      Effect.gen(function* () {
        const server = yield* Bad.make(Bad.hang)
        const api = yield* connect(server)
        const fiber = yield* Effect.fork(api.request(x))
        yield* Bad.eventually("it was sent", () => server.seen.length === 1)
        yield* Fiber.interrupt(fiber)
        yield* Bad.eventually("it is closed", () => server.seen[0]?.closed() === true)
      })
    )

    test(
      "a client that reads slowly is not taken for a stream that stalls",
      Effect.gen(function* () {
        const server = yield* Bad.make(Bad.trickle(["1\n", "2\n", "3\n"], "end", lines))
        const api = yield* connect(server, { idleTimeout: 60 })
        let count = 0
        yield* Stream.runForEach(api.stream({ path: "/s" }), () =>
          Effect.delay(
            Effect.sync(() => count++),
            100
          )
        )
        assert.strictEqual(count, 3)
      })
    )
  })
}
