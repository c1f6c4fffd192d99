import * as NodeContext from "@effect/platform-node/NodeContext"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import type * as ApiClient from "effect-inferencesh/ApiClient"
import * as File from "effect-inferencesh/File"
import * as Inference from "effect-inferencesh/Inference"
import * as InferenceError from "effect-inferencesh/InferenceError"
import * as Tasks from "effect-inferencesh/Tasks"
import * as Bad from "./support/badServer.js"
import * as T from "./support/tasks.js"

const post = "POST /apps/run"
const streamOf = "GET /tasks/t1/stream"
const get = "GET /tasks/t1"
const cancel = "POST /tasks/t1/cancel"

const submitted = T.data({ id: "t1", status: 1, status_text: "received", output: null })

/** A task that runs for ever. */
const endless: T.Script = {
  [post]: submitted,
  [streamOf]: T.ndjson(T.task(), T.heartbeats()),
  [get]: T.data(T.task()),
  [cancel]: T.data(null)
}

const run = Tasks.run("acme/app", { input: {} })
const runStream = Tasks.runStream("acme/app", { input: {} })

/** How long, by the clock of the test, it takes until something is over. */
const timed = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.flatMap(Effect.fork(Effect.timed(effect)), (fiber) =>
    Effect.zipRight(
      TestClock.adjust("10 minutes"),
      Effect.map(Fiber.join(fiber), ([duration]) => duration)
    )
  )

describe("a task that is owned", () => {
  const ways: Record<string, Effect.Effect<unknown, unknown, Tasks.Tasks>> = {
    "a timeout": Effect.timeout(run, "1 minute"),
    "a lost race": Effect.race(run, Effect.sleep("1 minute")),
    "the interruption of its fiber": Effect.gen(function* () {
      const fiber = yield* Effect.fork(run)
      yield* Effect.sleep("1 minute")
      yield* Fiber.interrupt(fiber)
    }),
    "the end of the scope that it was forked in": Effect.scoped(
      Effect.zipRight(Effect.forkScoped(run), Effect.sleep("1 minute"))
    ),
    "the failure of what runs beside it": Effect.all([run, Effect.delay(Effect.fail("other"), "1 minute")], {
      concurrency: 2
    }),
    "a stream that is not consumed to its end": Stream.runDrain(Stream.take(runStream, 2)),
    "a stream whose scope is closed": Effect.gen(function* () {
      const scope = yield* Scope.make()
      const pull = yield* Scope.extend(Stream.toPull(runStream), scope)
      yield* pull
      yield* pull
      yield* Scope.close(scope, Exit.void)
    }),
    "a stream whose consumer fails": Stream.runForEach(runStream, () => Effect.fail("mine")),
    "a stream whose consumer dies": Stream.runForEach(runStream, () => Effect.dieMessage("mine")),
    "a stream that is interrupted from the side": Stream.runDrain(Stream.interruptAfter(runStream, "1 minute")),
    "a stream that times out": Stream.runDrain(Stream.timeout(runStream, "30 minutes")).pipe(
      Effect.timeout("1 minute")
    ),
    "a buffered stream that is left": Stream.runDrain(Stream.take(Stream.buffer(runStream, { capacity: 2 }), 1)),
    "a merged stream that is left": Stream.runDrain(Stream.take(Stream.merge(runStream, Stream.never), 1))
  }

  for (const [name, way] of Object.entries(ways)) {
    it.effect(`is cancelled once by ${name}`, () =>
      Effect.gen(function* () {
        const service = T.service(endless)
        yield* Effect.provide(timed(Effect.exit(way)), service.layer)
        assert.strictEqual(service.count(post), 1)
        assert.strictEqual(service.count(cancel), 1)
        assert.strictEqual(service.open(), 0)
        yield* TestClock.adjust("1 hour")
        assert.strictEqual(service.sent.at(-1)?.route, cancel)
      })
    )
  }

  const listeners: Readonly<Record<string, (reply: ApiClient.ReplyInfo) => Effect.Effect<void>>> = {
    "takes too long": ({ method }) => (method === "POST" ? Effect.sleep("1 hour") : Effect.void),
    dies: ({ method }) => (method === "POST" ? Effect.dieMessage("mine") : Effect.void)
  }

  for (const [name, listener] of Object.entries(listeners)) {
    it.effect(`is cancelled where what listens to replies ${name} at its start`, () =>
      Effect.gen(function* () {
        const service = T.service(endless)
        const listened = Effect.timeout(Inference.onReply(run, listener), "1 minute")
        yield* Effect.provide(timed(Effect.exit(listened)), service.layer)
        assert.strictEqual(service.count(post), 1)
        assert.strictEqual(service.count(cancel), 1)
      })
    )
  }

  it.effect("is not taken for one that never began when the service is too busy to tell of it", () =>
    Effect.gen(function* () {
      for (const transport of ["stream", "poll"] as const) {
        const busy = T.problem(429, "too_many_requests", { "retry-after": "1" })
        const service = T.service(
          { ...endless, [streamOf]: busy, [get]: busy, "GET /tasks/t1/status": busy },
          { transport }
        )
        const stubborn = Effect.retry(run, { while: InferenceError.wasNotCarriedOut, times: 3 })
        const fiber = yield* Effect.fork(Effect.flip(Effect.provide(stubborn, service.layer)))
        yield* TestClock.adjust("1 hour")
        assert.strictEqual((yield* Fiber.join(fiber))._tag, "StreamInterrupted")
        assert.strictEqual(service.count(post), 1)
      }
    })
  )

  it.effect("is cancelled by the poll transport as well", () =>
    Effect.gen(function* () {
      const service = T.service(
        { ...endless, "GET /tasks/t1/status": T.data({ id: "t1", status: 7 }) },
        { transport: "poll" }
      )
      yield* Effect.provide(timed(Effect.exit(Effect.timeout(run, "1 minute"))), service.layer)
      assert.strictEqual(service.count(cancel), 1)
      assert.strictEqual(service.sent.at(-1)?.route, cancel)
    })
  )

  it.effect("is cancelled while it waits for the next connection", () =>
    Effect.gen(function* () {
      const service = T.service(
        { ...endless, [streamOf]: T.ndjson(T.task(), T.broken) },
        { retry: { baseDelay: "10 minutes", maxDelay: "10 minutes" } }
      )
      yield* Effect.provide(timed(Effect.exit(Effect.timeout(run, "1 minute"))), service.layer)
      assert.strictEqual(service.count(cancel), 1)
    })
  )

  it.effect("stays interrupted: it is no success and no failure", () =>
    Effect.gen(function* () {
      const service = T.service(endless)
      const exit = yield* Effect.gen(function* () {
        const fiber = yield* Effect.fork(run)
        yield* TestClock.adjust("1 minute")
        return yield* Fiber.interrupt(fiber)
      }).pipe(Effect.provide(service.layer))
      assert.isTrue(Exit.isInterrupted(exit))
    })
  )

  it.effect("does not hold up the program when the service hangs on the cancellation", () =>
    Effect.gen(function* () {
      const service = T.service({ ...endless, [cancel]: Effect.never })
      const took = yield* Effect.provide(timed(Effect.exit(Effect.timeout(run, "1 minute"))), service.layer)
      assert.strictEqual(service.count(cancel), 1)
      assert.strictEqual(Duration.toSeconds(took), 65)
    })
  )

  it.effect("does not hold up the program when the cancellation keeps failing", () =>
    Effect.gen(function* () {
      const service = T.service({ ...endless, [cancel]: T.problem(503, "unavailable", { "retry-after": "60" }) })
      const took = yield* Effect.provide(timed(Effect.exit(Effect.timeout(run, "1 minute"))), service.layer)
      assert.strictEqual(Duration.toSeconds(took), 65)
    })
  )

  it.effect("is cancelled again if the first word of it got lost", () =>
    Effect.gen(function* () {
      const service = T.service({ ...endless, [cancel]: [T.problem(502, "bad_gateway"), T.data(null)] })
      yield* Effect.provide(timed(Effect.exit(Effect.timeout(run, "1 minute"))), service.layer)
      assert.strictEqual(service.count(cancel), 2)
    })
  )

  it.effect("is cancelled when the interruption comes before the reply to its submission", () =>
    Effect.gen(function* () {
      const service = T.service(
        { ...endless, [post]: Effect.delay(submitted, "62 seconds") },
        { requestTimeout: "1 hour" }
      )
      const took = yield* Effect.provide(timed(Effect.exit(Effect.timeout(run, "1 minute"))), service.layer)
      assert.deepStrictEqual(
        service.sent.map(({ route }) => route),
        [post, cancel]
      )
      assert.strictEqual(Duration.toSeconds(took), 62)
    })
  )

  it.effect("does not hold up the program when its submission is never replied to", () =>
    Effect.gen(function* () {
      const service = T.service({ ...endless, [post]: Effect.never }, { requestTimeout: "1 hour" })
      const took = yield* Effect.provide(timed(Effect.exit(Effect.timeout(run, "1 minute"))), service.layer)
      assert.deepStrictEqual(
        service.sent.map(({ route }) => route),
        [post]
      )
      assert.strictEqual(Duration.toSeconds(took), 65)
    })
  )

  it.effect("needs no cancellation when its submission fails after the interruption", () =>
    Effect.gen(function* () {
      const service = T.service(
        { ...endless, [post]: Effect.delay(T.problem(500, "internal_error"), "61 seconds") },
        { requestTimeout: "1 hour" }
      )
      yield* Effect.provide(timed(Effect.exit(Effect.timeout(run, "1 minute"))), service.layer)
      assert.strictEqual(service.sent.length, 1)
    })
  )

  it.effect("is not started any more when the interruption comes before a refused submission is sent again", () =>
    Effect.gen(function* () {
      const service = T.service({
        ...endless,
        [post]: [T.problem(429, "rate_limited", { "retry-after": "62" }), submitted]
      })
      const took = yield* Effect.provide(timed(Effect.exit(Effect.timeout(run, "1 minute"))), service.layer)
      assert.strictEqual(Duration.toSeconds(took), 60)
      assert.deepStrictEqual(
        service.sent.map(({ route }) => route),
        [post]
      )
    })
  )

  it.effect("is cancelled when the interruption comes while a submission that was refused at first is under way", () =>
    Effect.gen(function* () {
      const service = T.service({
        ...endless,
        [post]: [T.problem(429, "rate_limited", { "retry-after": "50" }), Effect.delay(submitted, "12 seconds")]
      })
      const took = yield* Effect.provide(timed(Effect.exit(Effect.timeout(run, "1 minute"))), service.layer)
      assert.strictEqual(Duration.toSeconds(took), 62)
      assert.deepStrictEqual(
        service.sent.map(({ route }) => route),
        [post, post, cancel]
      )
    })
  )

  it.effect("is not started when the interruption comes while its files are uploaded", () =>
    Effect.gen(function* () {
      const service = T.service({ ...endless, "POST /files": Effect.never })
      const withFile = Tasks.run("acme/app", { input: { file: File.fromBytes(new Uint8Array([1])) } })
      yield* Effect.provide(timed(Effect.exit(Effect.timeout(withFile, "10 seconds"))), service.layer)
      assert.deepStrictEqual(
        service.sent.map(({ route }) => route),
        ["POST /files"]
      )
    })
  )

  it.effect("is left alone if so asked", () =>
    Effect.gen(function* () {
      for (const script of [endless, { ...endless, [post]: Effect.delay(submitted, "62 seconds") }]) {
        const service = T.service(script, { requestTimeout: "1 hour" })
        const left = Tasks.run("acme/app", { input: {}, onInterrupt: "leave" })
        const leftStream = Stream.runDrain(
          Stream.take(Tasks.runStream("acme/app", { input: {}, onInterrupt: "leave" }), 1)
        )
        yield* Effect.provide(timed(Effect.exit(Effect.timeout(left, "1 minute"))), service.layer)
        yield* Effect.provide(timed(Effect.exit(Effect.timeout(leftStream, "1 minute"))), service.layer)
        assert.strictEqual(service.count(post), 2)
        assert.strictEqual(service.count(cancel), 0)
        assert.strictEqual(service.open(), 0)
      }
    })
  )

  const ends: Record<string, readonly [T.Script, expected: string]> = {
    "it completed": [{ [streamOf]: T.ndjson(T.completed) }, "Success"],
    "it failed": [{ [streamOf]: T.ndjson(T.task({ status: 11 })) }, "TaskFailed"],
    "it was cancelled by someone else": [{ [streamOf]: T.ndjson(T.task({ status: 12 })) }, "TaskCancelled"],
    "it was lost from sight": [
      { [streamOf]: T.problem(503, "unavailable"), [get]: T.problem(503, "unavailable") },
      "StreamInterrupted"
    ],
    "it was refused": [{ [post]: T.problem(403, "forbidden") }, "Forbidden"]
  }
  for (const [name, [script, expected]] of Object.entries(ends)) {
    it.effect(`is not cancelled when ${name}`, () =>
      Effect.gen(function* () {
        const service = T.service({ ...endless, ...script })
        const result = run.pipe(
          Effect.as("Success"),
          Effect.catchAll((error) => Effect.succeed(error._tag))
        )
        const tag = yield* Effect.provide(T.within("1 hour", result), service.layer)
        assert.strictEqual(tag, expected)
        const states = yield* Effect.provide(T.within("1 hour", T.record(runStream)), service.layer)
        assert.strictEqual(states.error?._tag ?? "Success", expected)
        yield* TestClock.adjust("1 hour")
        assert.strictEqual(service.count(post), 2)
        assert.strictEqual(service.count(cancel), 0)
      })
    )
  }

  it.effect("is not cancelled when what comes after its last state is interrupted", () =>
    Effect.gen(function* () {
      const service = T.service({ ...endless, [streamOf]: T.ndjson(T.completed) })
      const after = Stream.runForEach(runStream, (task) => (task.status === "completed" ? Effect.never : Effect.void))
      yield* Effect.provide(timed(Effect.exit(Effect.timeout(after, "1 minute"))), service.layer)
      assert.strictEqual(service.count(cancel), 0)
    })
  )
})

describe("a task that is observed", () => {
  it.effect("is not cancelled when whoever observes it stops", () =>
    Effect.gen(function* () {
      const service = T.service(endless)
      const observers: ReadonlyArray<Effect.Effect<unknown, unknown, Tasks.Tasks>> = [
        Tasks.waitForCompletion("t1"),
        Stream.runDrain(Tasks.stream("t1")),
        Stream.runDrain(Tasks.events("t1")),
        Stream.runDrain(Stream.take(Tasks.stream("t1"), 1))
      ]
      for (const observer of observers) {
        yield* Effect.provide(timed(Effect.exit(Effect.timeout(observer, "1 minute"))), service.layer)
      }
      assert.strictEqual(service.count(streamOf), 4)
      assert.strictEqual(service.count(cancel), 0)
      assert.strictEqual(service.open(), 0)
    })
  )
})

describe("over real connections", () => {
  const wire = (value: unknown) => `${JSON.stringify(value)}\n`
  const lines = { "content-type": "application/x-ndjson" }
  const live = (origin: string, options: Partial<Inference.Options> = {}) =>
    Inference.layer({ apiKey: Redacted.make("inf_secret"), baseUrl: origin, ...options }).pipe(
      Layer.provide([NodeHttpClient.layerUndici, NodeContext.layer])
    )
  const endlessly = {
    "/apps/run": Bad.data({ id: "t1", status: 1 }),
    "/tasks/t1/stream": Bad.trickle([wire(T.task())], "stall", lines),
    "/tasks/t1/cancel": Bad.data(null)
  }
  const sent = (server: Bad.BadServer, url: string) => server.seen.filter((request) => request.url === url).length

  it.scopedLive("a task that times out is cancelled, and no stream stays open", () =>
    Effect.gen(function* () {
      let streams = 0
      const server = yield* Bad.make(
        Bad.routes({
          ...endlessly,
          "/tasks/t1/stream": (request, response, seen) => {
            streams++
            response.on("close", () => streams--)
            endlessly["/tasks/t1/stream"](request, response, seen)
          }
        })
      )
      const seen = yield* Effect.provide(
        Stream.runForEach(runStream, (task) => (task.status === "running" ? Effect.fail("enough") : Effect.void)),
        live(server.origin)
      ).pipe(Effect.flip)
      assert.strictEqual(seen, "enough")
      assert.strictEqual(sent(server, "/tasks/t1/cancel"), 1)
      yield* Bad.eventually("the stream is closed", () => streams === 0)
    })
  )

  it.scopedLive("a server that hangs on the cancellation does not hang the program", () =>
    Effect.gen(function* () {
      const server = yield* Bad.make(Bad.routes({ ...endlessly, "/tasks/t1/cancel": Bad.hang }))
      // It ends at all: without a bound it would take until the test times out.
      yield* Effect.provide(Stream.runDrain(Stream.take(runStream, 2)), live(server.origin))
      assert.strictEqual(sent(server, "/tasks/t1/cancel"), 1)
      yield* Bad.eventually("all requests are given up", () => server.openSockets() === 0)
    })
  )

  it.scopedLive("a reply to the submission that comes after the interruption still leads to the cancellation", () =>
    Effect.gen(function* () {
      let reply = () => {}
      const server = yield* Bad.make(
        Bad.routes({
          ...endlessly,
          "/apps/run": (request, response, seen) => {
            reply = () => endlessly["/apps/run"](request, response, seen)
          }
        })
      )
      yield* Effect.gen(function* () {
        const fiber = yield* Effect.fork(run)
        yield* Bad.eventually("the submission arrives", () => sent(server, "/apps/run") === 1)
        const interrupting = yield* Effect.fork(Fiber.interrupt(fiber))
        yield* Effect.sleep("50 millis")
        assert.isTrue(Option.isNone(yield* Fiber.poll(interrupting)))
        reply()
        yield* Fiber.join(interrupting)
        assert.strictEqual(sent(server, "/tasks/t1/cancel"), 1)
      }).pipe(Effect.provide(live(server.origin)))
    })
  )
})
