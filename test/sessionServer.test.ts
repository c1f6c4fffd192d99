/** The sessions of a server, as any client sees them. */
import * as NodeContext from "@effect/platform-node/NodeContext"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as TestClock from "effect/TestClock"
import * as App from "effect-inferencesh/App"
import * as BaseApp from "effect-inferencesh/BaseApp"
import * as LocalServer from "effect-inferencesh/LocalServer"
import * as Apps from "./support/apps.js"
import { quiet } from "./support/hosts.js"
import { del, get, type Json, post, runTask, submit, task } from "./support/wire.js"

const newer = BaseApp.make(App.make("acme/echo@newer", { input: {}, output: {} }), { run: () => Effect.succeed({}) })

const serve = LocalServer.layerHttpClient({
  apps: [newer, Apps.echo, Apps.model, Apps.counter, Apps.never],
  maxInstances: 1,
  maxSessions: 2
}).pipe(Layer.provideMerge(Layer.merge(Apps.layerJournal, NodeContext.layer)), quiet)

const ask = (more: Json = {}) => runTask("acme/model", { prompt: "a" }, more)

const start = (more: Json = {}) => Effect.map(ask({ session: "new", ...more }), (state) => state.session_id as string)

const seconds = (text: string) => Date.parse(text) / 1000

const refusal = ({ status, json }: { readonly status: number; readonly json: Json }) => [
  status,
  json.type.split("/").at(-1)
]

const events = Effect.map(Apps.Journal, (journal) => journal.events())

describe("the tasks of a session", () => {
  it.effect("run on one instance, which nobody else uses", () =>
    Effect.gen(function* () {
      const runs = (more: Json = {}) => Effect.map(ask(more), ({ output }) => output.runs)
      const [one, two] = [yield* start(), yield* start()]
      assert.notStrictEqual(one, two)
      assert.strictEqual(yield* runs({ session: one }), 2)
      assert.strictEqual(yield* runs(), 1)
      assert.strictEqual(yield* runs({ session: one }), 3)
      assert.strictEqual(yield* runs({ session: two }), 2)
      assert.strictEqual(yield* runs(), 2)
      assert.deepStrictEqual(yield* events, ["setup small", "setup small", "setup small"])
    }).pipe(Effect.provide(serve))
  )

  it.effect("have its setup, unless they bring another", () =>
    Effect.gen(function* () {
      const session = yield* start({ setup: { name: "big" } })
      const again = yield* ask({ session })
      assert.deepStrictEqual(again.output, { answer: "big: a", runs: 2 })
      assert.deepStrictEqual((yield* task(again.id)).setup, { name: "big" })
      const other = yield* ask({ session, setup: { name: "huge" } })
      assert.deepStrictEqual(other.output, { answer: "huge: a", runs: 1 })
      assert.deepStrictEqual(yield* events, ["setup big", "unload big", "finalizer big", "setup huge"])
    }).pipe(Effect.provide(serve))
  )

  it.effect("say which it is", () =>
    Effect.gen(function* () {
      const { data } = yield* post("/apps/run", {
        app: "acme/model",
        input: { prompt: "a" },
        session: "new",
        session_timeout: 90
      })
      const state = yield* task(data.id)
      assert.deepStrictEqual([state.session_id, state.session_timeout], [data.session_id, 90])
      assert.strictEqual((yield* ask()).session_id, null)
    }).pipe(Effect.provide(serve))
  )

  it.effect("wait for one another as runs of one instance do", () =>
    Effect.gen(function* () {
      const id = yield* submit("acme/never", {}, { session: "new" })
      const session = (yield* task(id)).session_id
      const waiting = yield* submit("acme/never", {}, { session })
      assert.strictEqual((yield* task(waiting)).status_text, "queued")
      yield* post(`/tasks/${id}/cancel`)
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* task(waiting)).status_text, "running")
    }).pipe(Effect.provide(serve))
  )
})

describe("a session", () => {
  it.effect("is told of", () =>
    Effect.gen(function* () {
      const id = yield* submit("acme/never", {}, { session: "new", session_timeout: 120 })
      const session = (yield* task(id)).session_id
      yield* TestClock.adjust("10 seconds")
      const { data } = yield* get(`/sessions/${session}`)
      assert.deepInclude(data, {
        id: session,
        app_id: "acme/never",
        app_version_id: "acme/never@latest",
        status: "active",
        task_id: id,
        call_count: 1,
        idle_timeout: 120,
        ended_at: null,
        visibility: "private",
        created_at: "1970-01-01T00:00:00.000Z",
        last_call_at: "1970-01-01T00:00:00.000Z"
      })
      assert.strictEqual(seconds(data.expires_at), 120)
      const other = yield* start()
      assert.deepStrictEqual(
        (yield* get("/sessions")).data.map(({ id }: Json) => id),
        [other, session]
      )
    }).pipe(Effect.provide(serve))
  )

  it.effect("expires when nobody has called it for its timeout, and is unloaded then", () =>
    Effect.gen(function* () {
      const session = yield* start({ session_timeout: 30 })
      yield* TestClock.adjust("29 seconds")
      yield* ask({ session })
      yield* TestClock.adjust("29 seconds")
      assert.strictEqual(seconds((yield* post(`/sessions/${session}/keepalive`)).data.expires_at), 88)
      yield* TestClock.adjust("29 seconds")
      assert.deepStrictEqual(yield* events, ["setup small"])
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(yield* events, ["setup small", "unload small", "finalizer small"])
      const { data } = yield* get(`/sessions/${session}`)
      assert.deepStrictEqual([data.status, data.call_count, seconds(data.ended_at)], ["expired", 2, 88])
      assert.deepStrictEqual(refusal(yield* post(`/sessions/${session}/keepalive`)), [410, "SESSION_EXPIRED"])
      const body = { app: "acme/model", input: { prompt: "a" }, session }
      assert.deepStrictEqual(refusal(yield* post("/apps/run", body)), [410, "SESSION_EXPIRED"])
    }).pipe(Effect.provide(serve))
  )

  it.effect("does not expire while a call takes longer than its timeout, and lives on after that", () =>
    Effect.gen(function* () {
      const id = yield* submit("acme/counter", { to: 10, every: 10_000 }, { session: "new", session_timeout: 7 })
      const session = (yield* task(id)).session_id
      yield* TestClock.adjust("99 seconds")
      assert.strictEqual((yield* get(`/sessions/${session}`)).data.status, "active")
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* task(id)).status_text, "completed")
      const { data } = yield* get(`/sessions/${session}`)
      assert.deepStrictEqual([data.status, data.task_id, seconds(data.expires_at)], ["active", null, 107])
      yield* TestClock.adjust("7 seconds")
      assert.strictEqual((yield* get(`/sessions/${session}`)).data.status, "expired")
    }).pipe(Effect.provide(serve))
  )

  it.effect("is unloaded when it is ended, and once", () =>
    Effect.gen(function* () {
      const session = yield* start()
      assert.strictEqual((yield* del(`/sessions/${session}`)).status, 204)
      assert.deepStrictEqual(yield* events, ["setup small", "unload small", "finalizer small"])
      assert.deepStrictEqual(refusal(yield* del(`/sessions/${session}`)), [410, "SESSION_ENDED"])
      assert.deepStrictEqual(refusal(yield* post(`/sessions/${session}/keepalive`)), [410, "SESSION_ENDED"])
      assert.strictEqual((yield* get(`/sessions/${session}`)).data.status, "ended")
      yield* TestClock.adjust("10 minutes")
      assert.strictEqual((yield* get(`/sessions/${session}`)).data.status, "ended")
      assert.lengthOf(yield* events, 3)
    }).pipe(Effect.provide(serve))
  )

  it.effect("that is ended amid a call takes no further ones, and lets that one come to its end", () =>
    Effect.gen(function* () {
      const id = yield* submit("acme/counter", { to: 2, every: 1000 }, { session: "new" })
      const session = (yield* task(id)).session_id
      assert.strictEqual((yield* del(`/sessions/${session}`)).status, 204)
      const body = { app: "acme/counter", input: { to: 1 }, session }
      assert.deepStrictEqual(refusal(yield* post("/apps/run", body)), [410, "SESSION_ENDED"])
      yield* TestClock.adjust("2 seconds")
      assert.strictEqual((yield* task(id)).status_text, "completed")
    }).pipe(Effect.provide(serve))
  )

  it.effect("outlives a call that is cancelled, and one whose setup fails", () =>
    Effect.gen(function* () {
      const id = yield* submit("acme/never", {}, { session: "new" })
      const session = (yield* task(id)).session_id
      yield* post(`/tasks/${id}/cancel`)
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* task(id)).status_text, "cancelled")
      assert.strictEqual((yield* get(`/sessions/${session}`)).data.status, "active")
      const failed = yield* ask({ session: "new", setup: { fail: true } })
      assert.strictEqual(failed.status_text, "failed")
      const again = yield* ask({ session: failed.session_id, setup: { name: "small" } })
      assert.strictEqual(again.status_text, "completed")
    }).pipe(Effect.provide(serve))
  )

  it.effect("goes with its server", () =>
    Effect.gen(function* () {
      yield* Effect.provide(start(), Layer.fresh(serveWithJournal))
      assert.deepStrictEqual(yield* events, ["setup small", "unload small", "finalizer small"])
    }).pipe(Effect.provide(Apps.layerJournal))
  )

  it.effect("cannot be had without end, nor for an app or version that it is not of", () =>
    Effect.gen(function* () {
      const run = (body: Json) => Effect.map(post("/apps/run", { input: { prompt: "a" }, ...body }), refusal)
      const session = yield* start()
      yield* start()
      assert.deepStrictEqual(yield* run({ app: "acme/model", session: "new" }), [409, "WORKER_LEASED"])
      assert.deepStrictEqual(yield* run({ app: "acme/model", session: "unknown" }), [404, "SESSION_NOT_FOUND"])
      assert.deepStrictEqual(yield* run({ app: "acme/never", session }), [400, "APP_MISMATCH"])
      const { data } = yield* post("/apps/run", { app: "acme/echo@newer", input: {}, session: "new" })
      const other = { app: "acme/echo@7k2m9qd4", session: data.session_id, input: { text: "a" } }
      assert.deepStrictEqual(yield* run(other), [400, "VERSION_MISMATCH"])
      assert.deepStrictEqual(yield* run({ app: "acme/echo", session: 5 }), [400, "invalid_request"])
      for (const session_timeout of [0, 3601, "60"]) {
        const refused = yield* post("/apps/run", {
          app: "acme/echo",
          input: { text: "a" },
          session: "new",
          session_timeout
        })
        assert.deepStrictEqual([refused.status, refused.json.errors[0].field], [400, "session_timeout"])
      }
      yield* del(`/sessions/${session}`)
      assert.strictEqual((yield* ask({ session: "new" })).status_text, "completed")
      assert.deepStrictEqual(refusal(yield* get("/sessions/unknown")), [404, "SESSION_NOT_FOUND"])
      assert.deepStrictEqual(refusal(yield* del("/sessions/unknown")), [404, "SESSION_NOT_FOUND"])
    }).pipe(Effect.provide(serve))
  )

  it.effect("is not begun by a request that is refused", () =>
    Effect.gen(function* () {
      yield* post("/apps/run", { app: "acme/model", input: {}, session: "new" })
      assert.deepStrictEqual((yield* get("/sessions")).data, [])
      const fiber = yield* Effect.fork(post("/apps/run", { app: "acme/never", input: {}, session: "new", wait: true }))
      yield* TestClock.adjust("1 second")
      yield* Fiber.interrupt(fiber)
      assert.lengthOf((yield* get("/sessions")).data, 1)
    }).pipe(Effect.provide(serve))
  )
})

const serveWithJournal = LocalServer.layerHttpClient({ apps: [Apps.model] }).pipe(
  Layer.provide(NodeContext.layer),
  quiet
)
