import { assert, describe, it } from "@effect/vitest"
import * as Chunk from "effect/Chunk"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import * as Sessions from "effect-inferencesh/Sessions"
import * as T from "./support/tasks.js"

const run = "POST /apps/run"
const keepalive = "POST /sessions/s1/keepalive"
const end = "DELETE /sessions/s1"

const info = { id: "s1", status: "active", call_count: 1 }

const completed = (fields: T.Json = {}) => T.data({ ...T.completed, session_id: "s1", ...fields })

/** The sessions that runs were sent with, in order. */
const sessionsOf = (service: T.Service) =>
  service.sent.filter(({ route }) => route === run).map((sent) => T.jsonOf(sent).session)

/** A service whose runs are over at once. */
const prompt = (script: T.Script = {}) =>
  T.service({
    [run]: completed(),
    [keepalive]: T.data(info),
    [end]: T.data(null),
    ...Object.fromEntries(ids.map((id) => [`GET /tasks/${id}`, completed({ id })])),
    ...script
  })

const ids = ["t0", "t1", "t2", "t3", "t4"]

const input = { input: {} }

describe("a session", () => {
  it.effect("is started by its first run, and the others name it", () => {
    const service = prompt()
    return Effect.gen(function* () {
      const session = yield* Sessions.make("acme/app", { timeout: "2 minutes", setup: { size: 1 } })
      assert.deepStrictEqual(yield* session.id, Option.none())
      assert.strictEqual((yield* session.run(input)).status, "completed")
      assert.deepStrictEqual(yield* session.id, Option.some("s1"))
      yield* session.run({ ...input, setup: { size: 2 } })
      const [first, second] = service.sent.filter(({ route }) => route === run).map(T.jsonOf)
      assert.deepInclude(first, { app: "acme/app", session: "new", session_timeout: 120, setup: { size: 1 } })
      assert.deepInclude(second, { app: "acme/app", session: "s1", setup: { size: 2 } })
      assert.notProperty(second, "session_timeout")
    }).pipe(Effect.scoped, Effect.provide(service.layer))
  })

  it.effect("is one session for runs that begin at once", () => {
    let answered = 0
    const service = prompt({
      [run]: () => Effect.delay(completed({ id: `t${answered++}` }), "1 second")
    })
    return Effect.gen(function* () {
      const session = yield* Sessions.make("acme/app")
      const tasks = yield* T.within(
        "2 seconds",
        Effect.all(
          Array.from({ length: 5 }, () => session.run(input)),
          { concurrency: "unbounded" }
        )
      )
      assert.strictEqual(new Set(tasks.map(({ id }) => id)).size, 5)
      assert.deepStrictEqual(sessionsOf(service), ["new", "s1", "s1", "s1", "s1"])
      assert.deepStrictEqual(
        service.sent.filter(({ route }) => route === run).map(({ at }) => at),
        [0, 1000, 1000, 1000, 1000]
      )
    }).pipe(Effect.scoped, Effect.provide(service.layer))
  })

  it.effect("lets others go on as soon as it is known, while its first run still runs", () => {
    const service = prompt({
      [run]: [T.data(T.task({ session_id: "s1" })), completed({ id: "t2" })],
      "GET /tasks/t1/stream": T.ndjson(T.heartbeats())
    })
    return Effect.gen(function* () {
      const session = yield* Sessions.make("acme/app")
      const long = yield* Effect.fork(session.run({ ...input, onInterrupt: "leave" }))
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* session.run(input)).id, "t2")
      yield* Fiber.interrupt(long)
    }).pipe(Effect.scoped, Effect.provide(service.layer))
  })

  it.effect("is started by the next run where the first is refused or given up", () => {
    const service = prompt({
      [run]: [T.problem(403, "forbidden"), Effect.never, completed()],
      "POST /tasks/t1/cancel": T.data(null)
    })
    return Effect.gen(function* () {
      const session = yield* Sessions.make("acme/app")
      assert.strictEqual((yield* Effect.flip(session.run(input)))._tag, "Forbidden")
      const slow = yield* Effect.fork(session.run(input))
      const next = yield* Effect.fork(session.run(input))
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(sessionsOf(service), ["new", "new"])
      yield* Fiber.interruptFork(slow)
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual((yield* Fiber.join(next)).status, "completed")
      assert.deepStrictEqual(sessionsOf(service), ["new", "new", "new"])
    }).pipe(Effect.scoped, Effect.provide(service.layer))
  })

  it.effect("is kept alive while its scope is open, and ended once when that closes", () => {
    const service = prompt({ [keepalive]: [T.data(info), T.problem(400, "no"), T.data(info)] })
    return Effect.gen(function* () {
      const scope = yield* Scope.make()
      const session = yield* Scope.extend(Sessions.make("acme/app", { timeout: "90 seconds" }), scope)
      yield* TestClock.adjust("1 hour")
      assert.strictEqual(service.sent.length, 0)
      yield* session.run(input)
      yield* TestClock.adjust("2 minutes")
      const hour = 3_600_000
      assert.deepStrictEqual(
        service.sent.filter(({ route }) => route === keepalive).map(({ at }) => at),
        [30_000, 60_000, 90_000, 120_000].map((at) => hour + at)
      )
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual(service.count(end), 1)
      yield* TestClock.adjust("1 hour")
      assert.strictEqual(service.count(keepalive), 4)
      assert.strictEqual(service.count(end), 1)
    }).pipe(Effect.provide(service.layer))
  })

  it.effect("does not hold its scope up where it was acquired in a region that cannot be interrupted", () => {
    const service = prompt()
    return Effect.gen(function* () {
      yield* T.within("1 second", Effect.scoped(Effect.acquireRelease(Sessions.make("acme/app"), () => Effect.void)))
      yield* T.within(
        "1 second",
        Effect.scoped(
          Effect.flatMap(Effect.uninterruptible(Sessions.make("acme/app")), (session) => session.run(input))
        )
      )
      assert.strictEqual(service.count(end), 1)
    }).pipe(Effect.provide(service.layer))
  })

  it.effect("that nothing was run in has no end", () => {
    const service = prompt()
    return Effect.gen(function* () {
      yield* Effect.scoped(Sessions.make("acme/app"))
      assert.strictEqual(service.sent.length, 0)
    }).pipe(Effect.provide(service.layer))
  })

  it.effect("that is lost stays lost, and gets no more signs of life", () => {
    const service = prompt({
      [run]: [completed(), T.problem(410, "SESSION_EXPIRED")],
      [keepalive]: T.problem(410, "SESSION_EXPIRED"),
      [end]: T.problem(410, "SESSION_EXPIRED")
    })
    return Effect.gen(function* () {
      const session = yield* Sessions.make("acme/app")
      yield* session.run(input)
      yield* TestClock.adjust("10 minutes")
      assert.strictEqual(service.count(keepalive), 1)
      for (let i = 0; i < 2; i++) {
        const error = yield* Effect.flip(session.run(input))
        if (error._tag !== "SessionLost") return assert.fail(error._tag)
        assert.deepStrictEqual([error.reason, error.sessionId], ["Expired", "s1"])
      }
      assert.deepStrictEqual(sessionsOf(service), ["new", "s1", "s1"])
    }).pipe(Effect.scoped, Effect.provide(service.layer))
  })

  it.effect("does not hold its scope up where its end gets no answer", () => {
    const service = prompt({ [end]: Effect.never })
    return Effect.gen(function* () {
      yield* T.within(
        "6 seconds",
        Effect.scoped(Effect.flatMap(Sessions.make("acme/app"), (session) => session.run(input)))
      )
      assert.strictEqual(service.count(end), 1)
    }).pipe(Effect.provide(service.layer))
  })

  it.effect("whose id the service does not tell is an error, and not one session for each run", () => {
    const service = prompt({ [run]: T.data(T.completed), "GET /tasks/t1": T.data(T.completed) })
    return Effect.gen(function* () {
      const session = yield* Sessions.make("acme/app")
      const error = yield* Effect.flip(session.run(input))
      if (error._tag !== "DecodeError") return assert.fail(error._tag)
      assert.deepStrictEqual(error.path, ["session_id"])
      assert.include(error.message, "acme/app")
    }).pipe(Effect.scoped, Effect.provide(service.layer))
  })

  it.effect("with a timeout that no session can have is refused before anything is sent", () => {
    const service = prompt()
    return Effect.gen(function* () {
      const session = yield* Sessions.make("acme/app", { timeout: "2 hours" })
      assert.strictEqual((yield* Effect.flip(session.run(input)))._tag, "InvalidRequest")
      assert.strictEqual(service.sent.length, 0)
    }).pipe(Effect.scoped, Effect.provide(service.layer))
  })
})

describe("sessions", () => {
  const row = {
    ...info,
    worker_id: "w1",
    app_id: "a1",
    app_version_id: "v1",
    expires_at: "2026-01-02T03:04:05Z",
    ended_at: null,
    task_id: "t1",
    last_call_at: "2026-01-02T03:03:05Z",
    idle_timeout: 60,
    short_id: "s",
    unheard_of: true
  }

  it.effect("are told of", () => {
    const service = T.service({
      "GET /sessions/s1": T.data(row),
      [keepalive]: T.data({ ...row, status: "dozing" }),
      "GET /sessions": [T.data([row, { id: "s2" }]), T.data(null)]
    })
    return Effect.gen(function* () {
      const found = yield* Sessions.get("s1")
      assert.deepInclude(found, { id: "s1", status: "active", workerId: "w1", taskId: "t1", callCount: 1 })
      assert.deepStrictEqual(found.idleTimeout, Duration.minutes(1))
      assert.strictEqual(found.expiresAt && DateTime.formatIso(found.expiresAt), "2026-01-02T03:04:05.000Z")
      assert.isUndefined(found.endedAt)
      assert.strictEqual((yield* Sessions.keepalive("s1")).status, "dozing")
      const ids = Stream.runCollect(Stream.map(Sessions.list(), ({ id }) => id))
      assert.deepStrictEqual(Chunk.toReadonlyArray(yield* ids), ["s1", "s2"])
      assert.deepStrictEqual(Chunk.toReadonlyArray(yield* ids), [])
    }).pipe(Effect.provide(service.layer))
  })

  it.effect("that are gone are lost to those who ask, and ended to those who end them", () => {
    const service = T.service({
      "GET /sessions/a%2Fb": T.problem(404, "not_found"),
      "POST /sessions/a%2Fb/keepalive": T.problem(410, "SESSION_ENDED"),
      "DELETE /sessions/a%2Fb": [T.problem(404, "not_found"), T.problem(410, "gone"), T.problem(403, "forbidden")]
    })
    return Effect.gen(function* () {
      const lost = yield* Effect.flip(Sessions.get("a/b"))
      if (lost._tag !== "SessionLost") return assert.fail(lost._tag)
      assert.deepStrictEqual([lost.reason, lost.sessionId, lost.status], ["NotFound", "a/b", 404])
      const ended = yield* Effect.flip(Sessions.keepalive("a/b"))
      assert.deepInclude(ended, { _tag: "SessionLost", reason: "Ended" })
      yield* Sessions.end("a/b")
      yield* Sessions.end("a/b")
      assert.strictEqual((yield* Effect.flip(Sessions.end("a/b")))._tag, "Forbidden")
    }).pipe(Effect.provide(service.layer))
  })
})
