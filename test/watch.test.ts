import { assert, describe, it } from "@effect/vitest"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FC from "effect/FastCheck"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import type * as Inference from "effect-inferencesh/Inference"
import type * as InferenceError from "effect-inferencesh/InferenceError"
import * as Task from "effect-inferencesh/Task"
import * as Tasks from "effect-inferencesh/Tasks"
import type { Json, Script } from "./support/tasks.js"
import * as T from "./support/tasks.js"

const streamOf = "GET /tasks/t1/stream"
const get = "GET /tasks/t1"
const statusOf = "GET /tasks/t1/status"
const run = "POST /apps/run"

const submitted = T.data({ id: "t1", status: 1, status_text: "received", output: null })

/** What `Tasks.events` gives of a task that is served by a script. */
const watching = (
  script: Script,
  options: Partial<Inference.Options> = {},
  time: Duration.DurationInput = "1 hour"
) => {
  const service = T.service(script, options)
  return Effect.map(Effect.provide(T.within(time, recorded), service.layer), report(service))
}

/** The same in real time, where the pauses between connections take none. Many runs are faster than with the clock of a test. */
const watchingLive = (script: Script) => {
  const service = T.service(script, { retry: { attempts: 20, baseDelay: 0 } })
  return Effect.map(Effect.provide(recorded, service.layer), report(service))
}

const recorded = T.record(Tasks.events("t1"))

const report =
  (service: T.Service) =>
  <E>({ items, error }: { readonly items: ReadonlyArray<Task.Event>; readonly error: E | undefined }) => ({
    service,
    items,
    error,
    tasks: items.flatMap((event) => (event._tag === "Snapshot" ? [event.task] : [])),
    unknown: items.flatMap((event) => (event._tag === "Unknown" ? [event.data] : []))
  })

const statusesOf = (script: Script, options?: Partial<Inference.Options>) =>
  Effect.map(watching(script, options), ({ tasks, error }) => {
    assert.isUndefined(error)
    return T.statuses(tasks)
  })

const running = T.task()
const { completed } = T

const interrupted = (error: unknown): InferenceError.StreamInterrupted => {
  assert.propertyVal(error, "_tag", "StreamInterrupted")
  return error as InferenceError.StreamInterrupted
}

describe("following a task", () => {
  describe("when connections fail", () => {
    it.effect("a stream that ends before the task does is opened again", () =>
      Effect.gen(function* () {
        const { tasks, service, error } = yield* watching({
          [streamOf]: [T.ndjson(T.task({ status: 2 })), T.ndjson(running, completed)],
          [get]: T.data(T.task({ status: 2 }))
        })
        assert.isUndefined(error)
        assert.deepStrictEqual(T.statuses(tasks), ["queued", "running", "completed"])
        assert.strictEqual(service.count(streamOf), 2)
        assert.strictEqual(service.count(get), 1)
      })
    )

    it.effect("a task that ended while the connection was down is found by looking at it", () =>
      Effect.gen(function* () {
        const { tasks, service, error } = yield* watching({
          [streamOf]: T.ndjson(running, T.broken),
          [get]: T.data(completed)
        })
        assert.isUndefined(error)
        assert.deepStrictEqual(T.statuses(tasks), ["running", "completed"])
        assert.strictEqual(service.count(streamOf), 1)
      })
    )

    it.effect("silence past the idle timeout counts as a broken connection", () =>
      Effect.gen(function* () {
        const { tasks, service } = yield* watching(
          {
            [streamOf]: [T.ndjson(running, T.silence), T.ndjson(T.pause("5 seconds"), completed)],
            [get]: T.data(running)
          },
          { idleTimeout: "35 seconds" },
          "45 seconds"
        )
        assert.deepStrictEqual(T.statuses(tasks), ["running", "completed"])
        assert.strictEqual(service.sent.find(({ route }) => route === get)?.at, 35_000)
        assert.strictEqual(service.open(), 0)
      })
    )

    it.effect("heartbeats keep a connection alive", () =>
      Effect.gen(function* () {
        const { service, tasks } = yield* watching({
          [streamOf]: T.ndjson(running, T.pause("30 seconds"), T.heartbeat, T.pause("30 seconds"), completed),
          [get]: T.data(running)
        })
        assert.deepStrictEqual(T.statuses(tasks), ["running", "completed"])
        assert.strictEqual(service.count(streamOf), 1)
      })
    )

    it.effect("connections that only ever fail end in StreamInterrupted with the task as it was seen last", () =>
      Effect.gen(function* () {
        const { error, service, tasks } = yield* watching(
          { [streamOf]: [T.ndjson(running), T.ndjson()], [get]: T.data(running) },
          { retry: { attempts: 4, baseDelay: "1 second" } }
        )
        assert.deepStrictEqual(T.statuses(tasks), ["running"])
        const { reason, lastSeen, taskId } = interrupted(error)
        assert.strictEqual(reason, "Disconnected")
        assert.strictEqual(taskId, "t1")
        assert.strictEqual(lastSeen?.status, "running")
        assert.strictEqual(service.count(streamOf), 4)
      })
    )

    it.effect("with retries turned off the first failure is the last", () =>
      Effect.gen(function* () {
        const { error, service } = yield* watching(
          { [streamOf]: T.ndjson(running), [get]: T.data(running) },
          { retry: false }
        )
        assert.strictEqual(interrupted(error).lastSeen?.status, "running")
        assert.strictEqual(service.count(streamOf), 1)
      })
    )

    it.effect("a service that is down altogether ends in StreamInterrupted as well", () =>
      Effect.gen(function* () {
        const { error } = yield* watching({
          [streamOf]: T.problem(503, "unavailable"),
          [get]: T.problem(503, "unavailable")
        })
        assert.include(interrupted(error).detail, "because of unavailable")
      })
    )

    it.effect("news on a connection refills the budget of failures", () =>
      Effect.gen(function* () {
        let n = 0
        const next = () => T.ndjson(T.task({ status: 7, output: { n: n++ } }))
        const { error, service } = yield* watching(
          {
            [streamOf]: (_, before) => (before < 20 ? Effect.suspend(next) : T.ndjson(completed)),
            [get]: T.data(running)
          },
          { retry: { attempts: 2 } }
        )
        assert.isUndefined(error)
        assert.strictEqual(service.count(streamOf), 21)
      })
    )

    it.effect(
      "a connection that lived for a while counts as good: a task may wait for long behind one that is cut now and then",
      () =>
        Effect.gen(function* () {
          const minute = [
            T.pause("20 seconds"),
            T.heartbeat,
            T.pause("20 seconds"),
            T.heartbeat,
            T.pause("20 seconds"),
            T.heartbeat
          ]
          const { error, tasks, service } = yield* watching(
            {
              [streamOf]: (_, before) => (before < 10 ? T.ndjson(running, ...minute, T.broken) : T.ndjson(completed)),
              [get]: T.data(running)
            },
            { retry: { attempts: 2 } }
          )
          assert.isUndefined(error)
          assert.deepStrictEqual(T.statuses(tasks), ["running", "completed"])
          assert.strictEqual(service.count(streamOf), 11)
        })
    )

    it.effect("the pauses between connections grow", () =>
      Effect.gen(function* () {
        const { service } = yield* watching(
          { [streamOf]: T.ndjson(), [get]: T.data(running) },
          { retry: { attempts: 5, baseDelay: "1 second", maxDelay: "10 seconds" } }
        )
        const at = service.sent.filter(({ route }) => route === streamOf).map((sent) => sent.at)
        const pauses = at.slice(1).map((time, i) => time - (at[i] ?? 0))
        assert.strictEqual(pauses.length, 4)
        pauses.forEach((pause, i) => {
          assert.isAtLeast(pause, 500 * 2 ** i)
          assert.isAtMost(pause, 1000 * 2 ** i)
        })
      })
    )

    it.effect("a refused key on the stream is Unauthorized at once", () =>
      Effect.gen(function* () {
        const { error, service } = yield* watching({ [streamOf]: T.problem(401, "unauthorized") })
        assert.propertyVal(error, "_tag", "Unauthorized")
        assert.propertyVal(error, "taskId", "t1")
        assert.strictEqual(service.sent.length, 1)
      })
    )

    it.effect("an error reply to the stream is a typed error, not an event", () =>
      Effect.gen(function* () {
        const { error, items, service } = yield* watching({ [streamOf]: T.problem(404, "not_found") })
        assert.propertyVal(error, "_tag", "NotFound")
        assert.propertyVal(error, "code", "not_found")
        assert.deepStrictEqual(items, [])
        assert.strictEqual(service.sent.length, 1)
      })
    )

    it.effect("a busy service is given the time that it asks for before the stream is opened again", () =>
      Effect.gen(function* () {
        const { service, tasks } = yield* watching({
          [streamOf]: [T.problem(429, "rate_limited", { "retry-after": "7" }), T.ndjson(completed)],
          [get]: T.data(running)
        })
        const [first, second] = service.sent.filter(({ route }) => route === streamOf)
        assert.strictEqual((second?.at ?? 0) - (first?.at ?? 0), 7000)
        assert.deepStrictEqual(T.statuses(tasks), ["running", "completed"])
      })
    )

    it.effect("a service that asks for more time than the policy allows is an error", () =>
      Effect.gen(function* () {
        const { error } = yield* watching({
          [streamOf]: T.problem(429, "rate_limited", { "retry-after": "86400" }),
          [get]: T.data(running)
        })
        assert.propertyVal(error, "_tag", "RateLimited")
      })
    )
  })

  describe("when nothing happens", () => {
    it.effect("a terminal state that only a look at the task shows ends a stream of heartbeats", () =>
      Effect.gen(function* () {
        const { tasks, service, error } = yield* watching({
          [streamOf]: T.ndjson(running, T.heartbeats()),
          [get]: [T.data(running), T.data(completed)]
        })
        assert.isUndefined(error)
        assert.deepStrictEqual(T.statuses(tasks), ["running", "completed"])
        assert.strictEqual(service.count(streamOf), 1)
        assert.strictEqual(service.open(), 0)
      })
    )

    it.effect("a stream that starts with a heartbeat instead of the task makes it be looked at", () =>
      Effect.gen(function* () {
        const { tasks } = yield* watching(
          {
            [streamOf]: T.ndjson(T.heartbeats("1 second")),
            [get]: T.data(completed)
          },
          {},
          "1 second"
        )
        assert.deepStrictEqual(T.statuses(tasks), ["completed"])
      })
    )

    it.effect("events of unknown kinds do not keep the task from being looked at", () =>
      Effect.gen(function* () {
        const ping = Stream.forever(
          Stream.concat(T.pause("10 seconds"), Stream.make(new TextEncoder().encode('{"event":"ping","data":{}}\n')))
        )
        const { tasks } = yield* watching({
          [streamOf]: T.ndjson(running, ping),
          [get]: [T.data(running), T.data(completed)]
        })
        assert.deepStrictEqual(T.statuses(tasks), ["running", "completed"])
      })
    )

    it.effect("a look that hangs does not hold up what the stream says", () =>
      Effect.gen(function* () {
        const { tasks } = yield* watching(
          { [streamOf]: T.ndjson(T.heartbeat, completed), [get]: Effect.never },
          {},
          "10 seconds"
        )
        assert.deepStrictEqual(T.statuses(tasks), ["completed"])
      })
    )

    it.effect("heartbeats alone do not put off the progress timeout", () =>
      Effect.gen(function* () {
        const { error, service } = yield* watching(
          { [streamOf]: T.ndjson(running, T.heartbeats()), [get]: T.data(running) },
          { progressTimeout: "2 minutes" },
          "2 minutes"
        )
        const { reason, lastSeen } = interrupted(error)
        assert.strictEqual(reason, "NoProgress")
        assert.strictEqual(lastSeen?.status, "running")
        assert.strictEqual(service.open(), 0)
      })
    )

    it.effect("repeated states do not put off the progress timeout", () =>
      Effect.gen(function* () {
        const again = Stream.forever(
          Stream.concat(T.pause("10 seconds"), Stream.make(new TextEncoder().encode(`${JSON.stringify(running)}\n`)))
        )
        const { error } = yield* watching(
          { [streamOf]: T.ndjson(running, again), [get]: T.data(running) },
          { progressTimeout: "1 minute" },
          "1 minute"
        )
        assert.strictEqual(interrupted(error).reason, "NoProgress")
      })
    )

    it.effect("events of unknown kinds do not put off the progress timeout", () =>
      Effect.gen(function* () {
        const ping = Stream.forever(
          Stream.concat(T.pause("10 seconds"), Stream.make(new TextEncoder().encode('{"event":"ping","data":{}}\n')))
        )
        const { error } = yield* watching(
          { [streamOf]: T.ndjson(running, ping), [get]: T.data(running) },
          { progressTimeout: "1 minute" },
          "1 minute"
        )
        assert.strictEqual(interrupted(error).reason, "NoProgress")
      })
    )

    it.effect("a new state puts off the progress timeout", () =>
      Effect.gen(function* () {
        const { tasks, error } = yield* watching(
          {
            [streamOf]: T.ndjson(
              running,
              T.pause("50 seconds"),
              T.patch({ output: { n: 1 } }),
              T.pause("50 seconds"),
              completed
            )
          },
          { progressTimeout: "1 minute", idleTimeout: "10 minutes" }
        )
        assert.isUndefined(error)
        assert.strictEqual(tasks.length, 3)
      })
    )

    it.effect("the progress timeout also ends polling", () =>
      Effect.gen(function* () {
        const { error } = yield* watching(
          { [statusOf]: T.data({ id: "t1", status: 7 }), [get]: T.data(running) },
          { progressTimeout: "1 minute", transport: "poll" },
          "1 minute"
        )
        assert.strictEqual(interrupted(error).reason, "NoProgress")
      })
    )

    it.effect("a slow consumer trips neither the idle nor the progress timeout", () =>
      Effect.gen(function* () {
        const service = T.service(
          { [streamOf]: T.ndjson(T.task({ status: 2 }), running, completed) },
          { idleTimeout: "1 second", progressTimeout: "1 second" }
        )
        const seen: Array<Task.TaskStatus> = []
        const slowly = Stream.runForEach(Tasks.stream("t1"), (task) =>
          Effect.zipRight(
            Effect.sleep("1 minute"),
            Effect.sync(() => seen.push(task.status))
          )
        )
        yield* Effect.provide(T.within("1 hour", slowly), service.layer)
        assert.deepStrictEqual(seen, ["queued", "running", "completed"])
        assert.strictEqual(service.count(streamOf), 1)
      })
    )
  })

  describe("what the lines of a stream mean", () => {
    it.effect("partial updates merge into the task, and a field that is not named keeps its value", () =>
      Effect.gen(function* () {
        const { tasks } = yield* watching({
          [streamOf]: T.ndjson(
            T.task({ status: 2, input: { prompt: "hi" }, app_id: "a1" }),
            T.patch({ status: 7, updated_at: "2026-10-01T10:00:01Z" }),
            T.patch({ output: { text: "h" } }),
            T.patch({ status: 10, output: { text: "hi" } })
          ),
          [get]: T.data(T.task({ status: 10, output: { text: "hi" }, input: { prompt: "hi" }, app_id: "a1" }))
        })
        assert.deepStrictEqual(T.statuses(tasks), ["queued", "running", "running", "completed"])
        assert.deepStrictEqual(
          tasks.map((task) => task.output),
          [undefined, undefined, { text: "h" }, { text: "hi" }]
        )
        tasks.forEach((task) => {
          assert.deepStrictEqual(task.input, { prompt: "hi" })
          assert.strictEqual(task.appId, "a1")
        })
      })
    )

    it.effect("a zero value of a field that is not named overwrites nothing", () =>
      Effect.gen(function* () {
        const { tasks } = yield* watching({
          [streamOf]: T.ndjson(
            T.task({ input: { prompt: "hi" }, app_variant: "large", is_featured: true }),
            {
              data: { id: "t1", status: 7, output: { n: 1 }, input: null, app_variant: "", is_featured: false },
              fields: ["output"]
            },
            T.broken
          ),
          [get]: T.problem(404, "not_found")
        })
        const task = tasks[1]
        assert.deepStrictEqual(task?.output, { n: 1 })
        assert.deepStrictEqual(task?.input, { prompt: "hi" })
        assert.strictEqual(task?.appVariant, "large")
        assert.isTrue(task?.isFeatured)
      })
    )

    it.effect("a field that is named and missing, or null, is cleared", () =>
      Effect.gen(function* () {
        const { tasks } = yield* watching({
          [streamOf]: T.ndjson(
            T.task({ output: { n: 1 }, error: "a hiccup", app_variant: "large" }),
            { data: { id: "t1", error: null }, fields: ["output", "error"] },
            T.broken
          ),
          [get]: T.problem(404, "not_found")
        })
        const task = tasks[1]
        assert.isUndefined(task?.output)
        assert.isUndefined(task?.error)
        assert.strictEqual(task?.appVariant, "large")
        assert.strictEqual(task?.status, "running")
      })
    )

    it.effect("an update cannot change which task it is, or take away its status", () =>
      Effect.gen(function* () {
        const { tasks } = yield* watching({
          [streamOf]: T.ndjson(running, { data: { output: 1 }, fields: ["id", "status", "output"] }, completed)
        })
        assert.deepStrictEqual(
          tasks.map(({ id, status }) => `${id} ${status}`),
          ["t1 running", "t1 running", "t1 completed"]
        )
      })
    )

    it.effect("snapshots come bare, wrapped or under the task's own event names", () =>
      Effect.gen(function* () {
        const { tasks, unknown } = yield* watching({
          [streamOf]: T.ndjson(
            T.task({ status: 1 }),
            { data: T.task({ status: 2 }) },
            { event: "tasks", data: T.task({ status: 5 }) },
            { event: "update", data: { id: "t1", status: 7 }, fields: ["status"] },
            completed
          )
        })
        assert.deepStrictEqual(unknown, [])
        assert.deepStrictEqual(T.statuses(tasks), ["received", "queued", "serving", "running", "completed"])
      })
    )

    it.effect("deltas, done, errors and unknown events never end up in the task", () =>
      Effect.gen(function* () {
        const { items, tasks } = yield* watching({
          [streamOf]: [
            T.ndjson(
              running,
              { event: "delta", data: { delta: { response: "h" }, seq: 1, resource_id: "r", status: 9 } },
              { delta: { response: "i" }, seq: 2, output: "wrong" },
              { event: "usage", data: { id: "t1", status: 9, output: "wrong" } },
              { event: "chat_messages", data: { id: "t1", status: "failed" }, fields: ["status"] },
              { id: "t2", status: 10, output: "of another task" },
              { data: { id: "t2", status: 10 }, fields: ["status"] },
              { event: "done", data: { status: 10, output: "wrong" } }
            ),
            T.ndjson(running, { event: "error", data: { status: 11, error: "wrong" } }),
            T.ndjson(completed)
          ],
          [get]: T.data(running)
        })
        assert.deepStrictEqual(T.statuses(tasks), ["running", "completed"])
        assert.deepStrictEqual(
          items.map(({ _tag }) => _tag),
          ["Snapshot", "Delta", "Delta", "Unknown", "Unknown", "Unknown", "Unknown", "Snapshot"]
        )
        assert.deepInclude(items[1], { delta: { response: "h" }, seq: 1, resourceId: "r" })
        assert.deepInclude(items[3], { event: "usage", data: { id: "t1", status: 9, output: "wrong" } })
      })
    )

    it.effect("done does not stand for success: what became of the task is looked up", () =>
      Effect.gen(function* () {
        const { error, service } = yield* watching({
          [streamOf]: T.ndjson(running, { event: "done", data: {} }, T.silence),
          [get]: T.data(T.task({ status: 11, error: "boom" }))
        })
        assert.propertyVal(error, "_tag", "TaskFailed")
        assert.strictEqual(service.open(), 0)
      })
    )

    it.effect("an error event with a status is that error, unless the task has ended", () =>
      Effect.gen(function* () {
        const line = { event: "error", data: { status: 403, detail: "not yours" } }
        const refused = yield* watching({ [streamOf]: T.ndjson(running, line), [get]: T.data(running) })
        assert.propertyVal(refused.error, "_tag", "Forbidden")
        assert.propertyVal(refused.error, "detail", "not yours")
        const ended = yield* watching({ [streamOf]: T.ndjson(running, line), [get]: T.data(completed) })
        assert.isUndefined(ended.error)
        assert.deepStrictEqual(T.statuses(ended.tasks), ["running", "completed"])
      })
    )

    it.effect("lines that are no JSON, null or no object are survived and passed on", () =>
      Effect.gen(function* () {
        const { tasks, unknown, service } = yield* watching({
          [streamOf]: T.ndjson(running, "{broken", "null", "42", '"text"', "[1]", "", { data: null }, completed)
        })
        assert.deepStrictEqual(T.statuses(tasks), ["running", "completed"])
        assert.deepStrictEqual(unknown, ["{broken", null, 42, "text", [1], null])
        assert.strictEqual(service.sent.length, 1)
      })
    )

    it.effect("a snapshot that is no task is passed on and does not end the stream", () =>
      Effect.gen(function* () {
        const wrong = { id: "t1", status: { a: 1 } }
        const { tasks, unknown } = yield* watching({ [streamOf]: T.ndjson(running, wrong, completed) })
        assert.deepStrictEqual(T.statuses(tasks), ["running", "completed"])
        assert.deepStrictEqual(unknown, [wrong])
      })
    )

    it.effect("problems that come as a line are no state of the task", () =>
      Effect.gen(function* () {
        const line = { type: "https://api.inference.sh/errors/internal_error", status: 500, detail: "oops" }
        const { tasks, unknown } = yield* watching({ [streamOf]: T.ndjson(running, line, completed) })
        assert.deepStrictEqual(T.statuses(tasks), ["running", "completed"])
        assert.deepStrictEqual(unknown, [line])
      })
    )

    it.effect("Server-Sent Events mean the same, under any of their names", () =>
      Effect.gen(function* () {
        const { tasks, items } = yield* watching({
          [streamOf]: T.sse(
            `: heartbeat\n\n`,
            `data: ${JSON.stringify(T.task({ status: 2 }))}\n\n`,
            `event: update\ndata: ${JSON.stringify(T.patch({ status: 7 }))}\n\n`,
            `event: message\r\ndata: ${JSON.stringify(T.patch({ output: { n: 1 } }))}\r\n\r\n`,
            `event: delta\ndata: {"delta":{"response":"h"},"seq":1}\n\n`,
            `event: usage\ndata: {"id":"t1","status":11}\n\n`,
            `data: ${JSON.stringify(completed)}\n\n`,
            "event: done\ndata: {}\n\n"
          ),
          [get]: T.data(T.task({ status: 2 }))
        })
        assert.deepStrictEqual(T.statuses(tasks), ["queued", "running", "running", "completed"])
        assert.deepStrictEqual(
          items.map(({ _tag }) => _tag),
          ["Snapshot", "Snapshot", "Snapshot", "Delta", "Unknown", "Snapshot"]
        )
      })
    )

    it.effect("deltas that are repeated or out of order are dropped, for each resource on its own", () =>
      Effect.gen(function* () {
        const delta = (seq: number, resource_id?: string) => ({ event: "delta", data: { delta: {}, seq, resource_id } })
        const { items } = yield* watching({
          [streamOf]: [
            T.ndjson(running, delta(1), delta(1), delta(3), delta(2), delta(1, "a"), delta(4)),
            T.ndjson(running, delta(3), delta(4), delta(5), delta(1, "a"), delta(2, "a"), completed)
          ],
          [get]: T.data(running)
        })
        const seqs = items.flatMap((event) => (event._tag === "Delta" ? [`${event.resourceId ?? ""}${event.seq}`] : []))
        assert.deepStrictEqual(seqs, ["1", "3", "a1", "4", "5", "a2"])
      })
    )

    it.effect("statuses are understood as integers of either numbering and as names", () =>
      Effect.gen(function* () {
        const names = [
          { status: 3 },
          { status: "dispatched" },
          { status: "RUNNING" },
          { status: "weird" },
          { status: 99 }
        ]
        const end = { status: "completed" }
        const script = { [streamOf]: T.ndjson(...[...names, end].map((fields) => T.task(fields))) }
        assert.deepStrictEqual(yield* statusesOf(script), ["scheduled", "running", "unknown", "completed"])

        const byNumber = {
          [streamOf]: T.ndjson(...[7, 8, 9].map((status) => T.task({ status }))),
          [get]: T.data(running)
        }
        assert.deepStrictEqual(yield* statusesOf(byNumber, { statusNumbering: "documented" }), [
          "running",
          "uploading",
          "completed"
        ])
        const current = { [streamOf]: T.ndjson(...[7, 8, 9, 10].map((status) => T.task({ status }))) }
        assert.deepStrictEqual(yield* statusesOf(current), ["running", "cancelling", "uploading", "completed"])
      })
    )

    it.effect("status_text decides, whatever the number says, in both numberings", () =>
      Effect.gen(function* () {
        for (const statusNumbering of ["current", "documented"] as const) {
          const { tasks, error } = yield* watching(
            {
              [streamOf]: T.ndjson(
                T.task({ status: 9, status_text: "uploading" }),
                T.patch({ status: 8, status_text: "running" }),
                // Not named, and still about the status.
                { data: { id: "t1", status: 11, status_text: "canceled" }, fields: ["status"] }
              ),
              [get]: T.data(T.task({ status: 11, status_text: "cancelled" }))
            },
            { statusNumbering }
          )
          assert.deepStrictEqual(T.statuses(tasks), ["uploading", "running", "cancelled"])
          assert.propertyVal(error, "_tag", "TaskCancelled")
        }
      })
    )

    it.effect("null for every optional field is the same as no field", () =>
      Effect.gen(function* () {
        const names = [
          ..."short_id created_at updated_at deleted_at user_id user team_id team org_id visibility is_featured app_id".split(
            " "
          ),
          ..."app_version_id app app_version app_variant function infra workers graph_id flow_run_id chat_id".split(
            " "
          ),
          ..."agent_id engine_id engine worker_id worker run_at webhook setup input output error rating events".split(
            " "
          ),
          ..."logs usage_events session_id session_timeout socket status_text".split(" ")
        ]
        const nulls = Object.fromEntries(names.map((name) => [name, null]))
        const { tasks, error } = yield* watching({
          [streamOf]: T.ndjson({ ...nulls, id: "t1", status: 7 }, { ...nulls, id: "t1", status: 10 })
        })
        assert.isUndefined(error)
        assert.deepStrictEqual(
          tasks.map((task) => ({ ...task })),
          [
            { id: "t1", status: "running" },
            { id: "t1", status: "completed" }
          ]
        )
      })
    )
  })

  describe("each state comes once and in order", () => {
    const at = (second: number, fields: Json) => T.task({ updated_at: `2026-10-01T10:00:0${second}Z`, ...fields })

    it.effect("a state that is told again, in whatever form, is not given again", () =>
      Effect.gen(function* () {
        const first = T.task({ status: 7, output: { n: 1 }, error: null })
        const { tasks } = yield* watching({
          [streamOf]: [
            T.ndjson(first, first, { data: first }, T.patch({ status: 7 }), T.patch({ output: { n: 1 } }), {
              data: { id: "t1" },
              fields: ["error"]
            }),
            T.ndjson(
              // The same in other words.
              { id: "t1", status: "running", status_text: "running", output: { n: 1 }, something_new: 1 },
              T.patch({ something_new: 2 }),
              completed
            )
          ],
          [get]: T.data({ id: "t1", status: 7, status_text: "running", output: { n: 1 } })
        })
        assert.deepStrictEqual(T.statuses(tasks), ["running", "completed"])
      })
    )

    it.effect("a stale snapshot after a reconnection does not go back", () =>
      Effect.gen(function* () {
        const { tasks } = yield* watching({
          [streamOf]: [
            T.ndjson(at(1, { status: 2 }), at(3, { status: 7 })),
            T.ndjson(at(1, { status: 2 }), at(2, { status: 5 }), at(3, { status: 7 }), at(4, { status: 10 }))
          ],
          [get]: T.data(at(2, { status: 5 }))
        })
        assert.deepStrictEqual(T.statuses(tasks), ["queued", "running", "completed"])
      })
    )

    it.effect("a stale update after a look at the task does not go back", () =>
      Effect.gen(function* () {
        const stale = { data: { id: "t1", status: 2, updated_at: "2026-10-01T10:00:01Z" }, fields: ["status"] }
        const { tasks } = yield* watching({
          [streamOf]: T.ndjson(stale, at(4, { status: 10 })),
          [get]: T.data(at(3, { status: 7 }))
        })
        assert.deepStrictEqual(T.statuses(tasks), ["running", "completed"])
      })
    )

    it.effect("the terminal state comes once, however often it is told", () =>
      Effect.gen(function* () {
        const { tasks, error, service } = yield* watching({
          [streamOf]: T.ndjson(running, completed, completed, T.task({ status: 11 }), { event: "done", data: {} })
        })
        assert.isUndefined(error)
        assert.deepStrictEqual(T.statuses(tasks), ["running", "completed"])
        assert.strictEqual(service.sent.length, 1)
      })
    )

    it.effect("a terminal update is completed by a look at the task", () =>
      Effect.gen(function* () {
        const full = T.task({ status: 11, error: "boom", output: { n: 1 }, input: { a: 1 } })
        const { error } = yield* watching({
          [streamOf]: T.ndjson(running, T.patch({ status: 11 })),
          [get]: T.data(full)
        })
        assert.propertyVal(error, "_tag", "TaskFailed")
        const { task } = error as InferenceError.TaskFailed
        assert.strictEqual(task.error, "boom")
        assert.deepStrictEqual(task.output, { n: 1 })
        assert.deepStrictEqual(task.input, { a: 1 })
      })
    )

    it.effect("a terminal update with the output stands, if the task cannot be looked at", () =>
      Effect.gen(function* () {
        const { tasks, error } = yield* watching({
          [streamOf]: T.ndjson(T.task({ input: { a: 1 } }), T.patch({ status: 10, output: { n: 2 } })),
          [get]: T.problem(500, "internal_error")
        })
        assert.isUndefined(error)
        assert.deepStrictEqual(tasks.at(-1)?.output, { n: 2 })
        assert.deepStrictEqual(tasks.at(-1)?.input, { a: 1 })
      })
    )

    it.effect("a partial output is never taken for the result", () =>
      Effect.gen(function* () {
        const partial = T.task({ output: { n: 1 } })
        const lost = yield* watching({
          [streamOf]: T.ndjson(partial, T.patch({ status: 10 })),
          [get]: T.problem(500, "internal_error")
        })
        assert.strictEqual(interrupted(lost.error).reason, "Disconnected")
        assert.deepStrictEqual(T.statuses(lost.tasks), ["running"])
        const found = yield* watching(
          {
            [streamOf]: T.ndjson(partial, T.patch({ status: 10 })),
            [get]: [...Array.from({ length: 5 }, () => T.problem(500, "internal_error")), T.data(completed)]
          },
          { retry: { attempts: 5 } }
        )
        assert.deepStrictEqual(found.tasks.at(-1)?.output, { text: "done" })
        const none = yield* watching({
          [streamOf]: T.ndjson(running, T.patch({ status: 10 })),
          [get]: [...Array.from({ length: 5 }, () => T.problem(500, "internal_error")), T.data(T.task({ status: 10 }))]
        })
        assert.isUndefined(none.error)
        assert.deepStrictEqual(T.statuses(none.tasks), ["running", "completed"])
      })
    )
  })

  describe("whatever the connection does", () => {
    const session: ReadonlyArray<Json> = [
      T.task({ status: 2, input: "👋", updated_at: "2026-10-01T10:00:01Z" }),
      T.patch({ status: 7, updated_at: "2026-10-01T10:00:02Z" }),
      T.heartbeat,
      { event: "delta", data: { delta: { response: "ü" }, seq: 1 } },
      T.patch({ output: "Grü", updated_at: "2026-10-01T10:00:03Z" }),
      { event: "gpu", data: { id: "g1", status: 10 } },
      T.task({ status: 10, input: "👋", output: "Grüße", updated_at: "2026-10-01T10:00:04Z" })
    ]

    const ndjson = session.map((line) => `${JSON.stringify(line)}\n`)
    const sse = session.map((line) =>
      line === T.heartbeat
        ? ": heartbeat\n\n"
        : typeof line.event === "string"
          ? `event: ${line.event}\ndata: ${JSON.stringify(line.data)}\n\n`
          : `event: update\nid: 1\ndata: ${JSON.stringify(line)}\n\n`
    )

    /** The whole task after each line, as the server knows it. */
    const states: Array<Json> = []
    for (const line of session) {
      const before = states.at(-1) ?? {}
      const { data, fields } = line as { readonly data?: Json; readonly fields?: ReadonlyArray<string> }
      states.push(fields ? { ...before, ...data } : line.id === "t1" ? line : before)
    }

    const encode = (text: string) => new TextEncoder().encode(text)
    const concat = (parts: ReadonlyArray<Uint8Array>) => new Uint8Array(Buffer.concat(parts))

    for (const [format, lines, contentType] of [
      ["NDJSON", ndjson, "application/x-ndjson"],
      ["SSE", sse, "text/event-stream"]
    ] as const) {
      const encoded = lines.map(encode)
      const bytes = concat(encoded)
      const connection = (...chunks: ReadonlyArray<Uint8Array>) => T.body(Stream.fromIterable(chunks), contentType)

      const outcome = (script: Script) =>
        Effect.map(watchingLive(script), ({ tasks, error, service }) => {
          assert.isUndefined(error)
          assert.strictEqual(service.open(), 0)
          return tasks
        })

      const atEachByte = (check: (cut: number) => Effect.Effect<void>) =>
        Effect.forEach(bytes.keys(), check, { concurrency: 16, discard: true })

      it.live(
        `a ${format} session that is cut at any byte gives the same states`,
        () =>
          Effect.gen(function* () {
            const expected = yield* outcome({ [streamOf]: connection(bytes) })
            assert.deepStrictEqual(T.statuses(expected), ["queued", "running", "running", "completed"])
            const ends = encoded.map((_, i) => concat(encoded.slice(0, i + 1)).length)
            yield* atEachByte((cut) =>
              Effect.gen(function* () {
                const whole = ends.filter((end) => end <= cut).length
                const known = states[Math.max(0, whole - 1)] ?? {}
                const snapshot = encode(
                  format === "SSE" ? `data: ${JSON.stringify(known)}\n\n` : `${JSON.stringify(known)}\n`
                )
                // The next connection starts with the whole task as it is, or just goes on with the updates that were missed.
                const again = cut % 2 === 0 ? [snapshot] : []
                const tasks = yield* outcome({
                  [streamOf]: [connection(bytes.slice(0, cut)), connection(...again, ...encoded.slice(whole))],
                  [get]: T.data(known)
                })
                assert.deepStrictEqual(tasks, expected, `cut at ${cut}`)
              })
            )
          }),
        120_000
      )

      it.live(
        `a ${format} session that comes in two pieces gives the same states wherever it is split`,
        () =>
          Effect.gen(function* () {
            const expected = yield* outcome({ [streamOf]: connection(bytes) })
            yield* atEachByte((cut) =>
              Effect.map(outcome({ [streamOf]: connection(bytes.slice(0, cut), bytes.slice(cut)) }), (tasks) =>
                assert.deepStrictEqual(tasks, expected, `split at ${cut}`)
              )
            )
          }),
        120_000
      )
    }

    it.live(
      "a session that breaks off any number of times never repeats a state or goes back",
      () =>
        Effect.promise(() =>
          FC.assert(
            FC.asyncProperty(FC.array(FC.nat(session.length - 1), { maxLength: 6 }), (cuts) =>
              Effect.gen(function* () {
                const order = [...cuts].sort((a, b) => a - b)
                const { tasks, error } = yield* watchingLive({
                  [streamOf]: [
                    ...order.map((cut) => T.ndjson(...session.slice(0, cut), T.broken)),
                    T.ndjson(...session)
                  ],
                  [get]: (_, before) => T.data(states[Math.max(0, (order[before] ?? 0) - 1)])
                })
                assert.isUndefined(error)
                const times = tasks.map((task) => task.updatedAt?.epochMillis ?? 0)
                assert.deepStrictEqual(times, Array.from(new Set(times)).sort())
                assert.strictEqual(tasks.at(-1)?.status, "completed")
              }).pipe(Effect.runPromise)
            )
          )
        ),
      120_000
    )
  })

  describe("a task that has ended already", () => {
    for (const transport of ["stream", "poll"] as const) {
      it.effect(`ends at once when its submission says so: ${transport}`, () =>
        Effect.gen(function* () {
          const service = T.service(
            {
              [run]: T.data({ id: "t1", status: 10, output: { text: "done" } }),
              [get]: T.data(T.task({ status: 10, output: { text: "done" }, input: { a: 1 } }))
            },
            { transport }
          )
          const task = yield* Effect.provide(T.within(0, Tasks.run("acme/app", { input: {} })), service.layer)
          assert.deepStrictEqual(task.output, { text: "done" })
          assert.deepStrictEqual(task.input, { a: 1 })
          assert.deepStrictEqual(
            service.sent.map(({ route }) => route),
            [run, get]
          )
        })
      )

      it.effect(`ends at once when it is watched: ${transport}`, () =>
        Effect.gen(function* () {
          const { tasks, error } = yield* watching(
            {
              [streamOf]: T.ndjson(completed),
              [statusOf]: T.data({ id: "t1", status: 10 }),
              [get]: T.data(completed)
            },
            { transport },
            0
          )
          assert.isUndefined(error)
          assert.deepStrictEqual(T.statuses(tasks), ["completed"])
        })
      )
    }
  })

  describe("polling", () => {
    const status = (code: number, updated_at?: string) => T.data({ id: "t1", status: code, updated_at })

    it.effect("looks at the task only when its status or time changes", () =>
      Effect.gen(function* () {
        const { tasks, service } = yield* watching(
          {
            [statusOf]: [
              status(2),
              status(2),
              status(7, "2026-10-01T10:00:01Z"),
              status(7, "2026-10-01T10:00:02Z"),
              status(10)
            ],
            [get]: [
              T.data(T.task({ status: 2 })),
              T.data(running),
              T.data(T.task({ output: { n: 1 } })),
              T.data(completed)
            ]
          },
          { transport: "poll", pollInterval: "2 seconds" },
          "8 seconds"
        )
        assert.deepStrictEqual(T.statuses(tasks), ["queued", "running", "running", "completed"])
        assert.strictEqual(service.count(get), 4)
        const at = service.sent.filter(({ route }) => route === statusOf).map((sent) => sent.at)
        assert.deepStrictEqual(at, [0, 2000, 4000, 6000, 8000])
      })
    )

    it.effect("looks again when the task lags behind its status", () =>
      Effect.gen(function* () {
        const { tasks } = yield* watching(
          { [statusOf]: [status(7), status(10)], [get]: [T.data(running), T.data(running), T.data(completed)] },
          { transport: "poll" }
        )
        assert.deepStrictEqual(T.statuses(tasks), ["running", "completed"])
      })
    )

    it.effect("survives failures that pass", () =>
      Effect.gen(function* () {
        const { tasks, error } = yield* watching(
          {
            [statusOf]: [T.problem(502, "bad_gateway"), status(7), T.problem(500, "internal_error"), status(10)],
            [get]: [T.problem(503, "unavailable"), T.data(running), T.data(completed)]
          },
          { transport: "poll" }
        )
        assert.isUndefined(error)
        assert.deepStrictEqual(T.statuses(tasks), ["running", "completed"])
      })
    )

    it.effect("ends in StreamInterrupted when failures do not pass, and at once for one that cannot", () =>
      Effect.gen(function* () {
        const gone = yield* watching(
          { [statusOf]: [status(7), T.problem(503, "unavailable")], [get]: T.data(running) },
          { transport: "poll" }
        )
        assert.strictEqual(interrupted(gone.error).lastSeen?.status, "running")
        const refused = yield* watching({ [statusOf]: T.problem(401, "unauthorized") }, { transport: "poll" })
        assert.propertyVal(refused.error, "_tag", "Unauthorized")
      })
    )
  })

  describe("whoever consumes it", () => {
    it.effect("has errors of its own, which are not taken for those of the stream", () =>
      Effect.gen(function* () {
        const service = T.service({ [streamOf]: T.ndjson(running, T.silence) })
        const mine = Tasks.stream("t1").pipe(
          Stream.mapEffect(() => Effect.fail({ _tag: "TransportError" as const, isTransient: true, mine: true })),
          Stream.runDrain,
          Effect.flip
        )
        const error = yield* Effect.provide(T.within(0, mine), service.layer)
        assert.propertyVal(error, "mine", true)
        assert.strictEqual(service.count(streamOf), 1)
        assert.strictEqual(service.sent.length, 1)
        assert.strictEqual(service.open(), 0)

        const defect = Tasks.stream("t1").pipe(
          Stream.tap(() => Effect.dieMessage("mine")),
          Stream.runDrain,
          Effect.exit
        )
        const exit = yield* Effect.provide(T.within(0, defect), service.layer)
        assert.strictEqual(exit._tag, "Failure")
        assert.strictEqual(service.count(streamOf), 2)
        assert.strictEqual(service.open(), 0)
      })
    )

    it.effect("stops the connection when it stops early", () =>
      Effect.gen(function* () {
        const service = T.service({ [streamOf]: T.ndjson(running, T.silence) })
        yield* Effect.gen(function* () {
          yield* T.within(0, Stream.runDrain(Stream.take(Tasks.stream("t1"), 1)))
          assert.strictEqual(service.open(), 0)
          const fiber = yield* Effect.fork(Stream.runDrain(Tasks.stream("t1")))
          yield* TestClock.adjust("1 second")
          assert.strictEqual(service.open(), 1)
          yield* Fiber.interrupt(fiber)
          assert.strictEqual(service.open(), 0)
        }).pipe(Effect.provide(service.layer))
        assert.strictEqual(service.count(streamOf), 2)
      })
    )

    it.effect("sees each of several concurrent streams of a task in full", () =>
      Effect.gen(function* () {
        const service = T.service({ [streamOf]: T.ndjson(T.task({ status: 2 }), running, completed) })
        const stream = Stream.map(Tasks.stream("t1"), (task) => task.status)
        const all = yield* T.within(
          0,
          Effect.all([Stream.runCollect(stream), Stream.runCollect(stream)], { concurrency: 2 })
        ).pipe(Effect.provide(service.layer))
        for (const statuses of all) assert.deepStrictEqual([...statuses], ["queued", "running", "completed"])
      })
    )

    it.effect("can run the same stream again from the start", () =>
      Effect.gen(function* () {
        const service = T.service({ [streamOf]: T.ndjson(running, completed) })
        yield* Effect.gen(function* () {
          const stream = yield* Effect.map(Tasks.Tasks, (tasks) => tasks.stream("t1"))
          assert.strictEqual(yield* T.within(0, Stream.runCount(stream)), 2)
          assert.strictEqual(yield* T.within(0, Stream.runCount(stream)), 2)
        }).pipe(Effect.provide(service.layer))
      })
    )

    it.effect("is given the states before the error that the last of them stands for", () =>
      Effect.gen(function* () {
        const service = T.service({
          [run]: submitted,
          [streamOf]: T.ndjson(running, T.task({ status: 11, error: "boom" }))
        })
        const { items, error } = yield* Effect.provide(
          T.within(0, T.record(Tasks.runStream("acme/app", { input: {} }))),
          service.layer
        )
        assert.deepStrictEqual(T.statuses(items), ["received", "running", "failed"])
        assert.propertyVal(error, "_tag", "TaskFailed")
      })
    )
  })

  it.live("costs no more for a long task than for its updates", () =>
    Effect.gen(function* () {
      // What is not named is not copied: the logs of all states are the same array.
      const n = 2000
      const logs = Array.from({ length: 1000 }, (_, i) => ({ id: `l${i}`, log_type: 1, content: "x" }))
      const updates = Array.from({ length: n }, (_, i) => T.patch({ output: { i } }))
      const lines = [T.task({ logs }), ...updates, T.task({ status: 10, output: { i: n } })]
      const { tasks } = yield* watchingLive({
        [streamOf]: T.ndjson(lines.map((line) => JSON.stringify(line)).join("\n"))
      })
      assert.strictEqual(tasks.length, n + 2)
      assert.isDefined(tasks[0]?.logs)
      for (const task of tasks.slice(0, -1)) assert.strictEqual(task.logs, tasks[0]?.logs)
    })
  )

  it("knows which events there are", () => {
    const describe = Task.Event.$match({
      Snapshot: ({ task }) => task.status,
      Delta: ({ seq }) => `delta ${seq}`,
      Unknown: ({ event }) => event ?? "unnamed"
    })
    assert.strictEqual(describe(Task.Event.Delta({ delta: {}, seq: 3, resourceId: undefined })), "delta 3")
    assert.strictEqual(describe(Task.Event.Unknown({ event: "gpu", data: 1 })), "gpu")
    assert.strictEqual(describe(Task.Event.Snapshot({ task: { id: "t1", status: "running" } })), "running")
  })
})
