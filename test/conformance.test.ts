import { assert, describe, it, layer } from "@effect/vitest"
import * as Chunk from "effect/Chunk"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as App from "effect-inferencesh/App"
import * as BaseApp from "effect-inferencesh/BaseApp"
import * as File from "effect-inferencesh/File"
import * as Files from "effect-inferencesh/Files"
import type * as Inference from "effect-inferencesh/Inference"
import * as NodeInference from "effect-inferencesh/NodeInference"
import * as Sessions from "effect-inferencesh/Sessions"
import * as Task from "effect-inferencesh/Task"
import * as Tasks from "effect-inferencesh/Tasks"
import * as Apps from "./support/apps.js"
import * as Bad from "./support/badServer.js"
import { everywhere, quiet, type Refusal } from "./support/hosts.js"
import * as T from "./support/tasks.js"

/** Shows a first output, and the last once its gate is opened. */
const Gated = App.make("acme/gated", { input: { gate: Schema.String }, output: { n: Schema.Int } })

const gates = new Map<string, Deferred.Deferred<void>>()

const gated = BaseApp.make(Gated, {
  concurrency: 100,
  run: ({ gate }) =>
    Stream.concat(
      Stream.make({ n: 1 }),
      Stream.fromEffect(
        Effect.as(
          Effect.suspend(() => Deferred.await(gates.get(gate) ?? never)),
          { n: 2 }
        )
      )
    )
})

const never = Effect.runSync(Deferred.make<void>())

const makeGate = Effect.gen(function* () {
  const name = `gate ${gates.size}`
  const gate = yield* Deferred.make<void>()
  gates.set(name, gate)
  return { name, open: Deferred.succeed(gate, undefined) }
})

const apps = [...Apps.all, gated] as const

const assertOrdered = (tasks: ReadonlyArray<Task.Task>) => {
  const states = tasks.map((task) => JSON.stringify(task))
  assert.strictEqual(new Set(states).size, states.length, "a state came twice")
  const times = tasks.map((task) => task.updatedAt?.epochMillis ?? 0)
  assert.deepStrictEqual(
    times,
    [...times].sort((a, b) => a - b)
  )
  assert.deepStrictEqual(
    tasks.map(({ status }) => Task.isTerminal(status)),
    tasks.map((_, i) => i === tasks.length - 1)
  )
}

const timeline: ReadonlyArray<Task.TaskStatus> = [
  "received",
  "queued",
  "scheduled",
  "preparing",
  "serving",
  "setting_up",
  "running",
  "uploading",
  "completed"
]

const conformance = (
  name: string,
  services: Layer.Layer<Inference.Services | Apps.Journal, unknown>,
  isRefused: Refusal
) =>
  layer(services, { excludeTestServices: true })(name, (it) => {
    it.effect("runs an app and gives its typed output", () =>
      Effect.gen(function* () {
        const task = yield* Tasks.run(Apps.Echo, { input: { text: "hi", times: 2 } })
        assert.strictEqual(task.output.text, "hihi")
        assert.strictEqual(task.status, "completed")
        assert.deepStrictEqual(task.input, { text: "hi", times: 2 })
        assert.deepStrictEqual((yield* Tasks.run(Apps.Echo, { input: { text: "hi" } })).output, { text: "hi" })
      })
    )

    it.effect("keeps what an app has in memory for the runs of a session", () =>
      Effect.gen(function* () {
        const runs = yield* Effect.scoped(
          Effect.gen(function* () {
            const session = yield* Sessions.make(Apps.Model, { timeout: "1 minute", setup: { name: "kept" } })
            const first = yield* session.run({ input: { prompt: "a" } })
            const more = yield* Effect.all(
              [session.run({ input: { prompt: "b" } }), session.run({ input: { prompt: "c" } })],
              {
                concurrency: "unbounded"
              }
            )
            const id = Option.getOrThrow(yield* session.id)
            assert.deepInclude(yield* Sessions.get(id), { id, status: "active", callCount: 3 })
            assert.include(
              Chunk.toReadonlyArray(yield* Stream.runCollect(Stream.map(Sessions.list(), ({ id }) => id))),
              id
            )
            return { id, outputs: [first, ...more].map(({ output }) => output) }
          })
        )
        assert.deepStrictEqual(runs.outputs.map(({ runs }) => runs).sort(), [1, 2, 3])
        const { events } = yield* Apps.Journal
        assert.strictEqual(events().filter((event) => event.endsWith("kept")).length, 3)
        const lost = yield* Effect.flip(Tasks.run(Apps.Model, { input: { prompt: "d" }, session: runs.id }))
        assert.deepInclude(lost, { _tag: "SessionLost", reason: "Ended", sessionId: runs.id })
      })
    )

    it.effect("gives the states in order, each once, and the terminal one last", () =>
      Effect.gen(function* () {
        const tasks = Chunk.toReadonlyArray(
          yield* Stream.runCollect(Tasks.runStream(Apps.Model, { input: { prompt: "a" } }))
        )
        assertOrdered(tasks)
        const statuses = T.statuses(tasks).filter((status, i, all) => status !== all[i - 1])
        assert.deepStrictEqual(
          statuses,
          timeline.filter((status) => statuses.includes(status))
        )
        assert.deepStrictEqual(tasks.at(-1)?.output, { answer: "small: a", runs: tasks.at(-1)?.output?.runs ?? 0 })
      })
    )

    it.effect("shows partial outputs before the last", () =>
      Effect.gen(function* () {
        const gate = yield* makeGate
        const { items, error } = yield* T.record(
          Stream.tap(Tasks.runStream(Gated, { input: { gate: gate.name } }), (task) =>
            task.status === "running" && task.output?.n === 1 ? gate.open : Effect.void
          )
        )
        assert.isUndefined(error)
        assertOrdered(items)
        const outputs = items.flatMap((task) => (task.output === undefined ? [] : [task.output.n]))
        assert.strictEqual(outputs[0], 1)
        assert.deepStrictEqual(outputs, [...outputs].sort())
        assert.deepStrictEqual(items.at(-1)?.output, { n: 2 })
      })
    )

    it.effect("submits, waits and types the output of a task that is got by its id", () =>
      Effect.gen(function* () {
        const submitted = yield* Tasks.submit(Apps.Echo, { input: { text: "hi" } })
        const completed = yield* Tasks.waitForCompletion(submitted.id)
        assert.deepStrictEqual(completed.output, { text: "hi" })
        const task = yield* Tasks.get(submitted.id)
        const typed = yield* App.decodeOutput(Apps.Echo, task)
        assert.strictEqual(typed.output.text, "hi")
        const { id, status } = yield* Tasks.status(submitted.id)
        assert.deepStrictEqual({ id, status }, { id: submitted.id, status: "completed" })
        // It is over: to follow it again ends with the same state.
        const again = yield* T.record(Tasks.stream(submitted.id))
        assert.isUndefined(again.error)
        assert.deepStrictEqual(again.items, [task])
      })
    )

    it.effect("lets a task be observed without taking it over", () =>
      Effect.gen(function* () {
        const gate = yield* makeGate
        const { id } = yield* Tasks.submit(Gated, { input: { gate: gate.name } })
        yield* Stream.runDrain(Stream.take(Tasks.stream(id), 1))
        yield* Stream.runDrain(Stream.take(Tasks.events(id), 1))
        const waiting = yield* Effect.fork(Tasks.waitForCompletion(id))
        yield* Stream.runDrain(Stream.takeUntil(Tasks.stream(id), (task) => task.output !== undefined))
        yield* Fiber.interrupt(waiting)
        yield* gate.open
        const task = yield* Tasks.waitForCompletion(id)
        assert.deepStrictEqual(task.output, { n: 2 })
      })
    )

    it.effect("gives the same states to all who observe", () =>
      Effect.gen(function* () {
        const { id } = yield* Tasks.submit(Apps.Counter, { input: { to: 3, every: 20 } })
        const [a, b, events] = yield* Effect.all(
          [T.record(Tasks.stream(id)), T.record(Tasks.stream(id)), T.record(Tasks.events(id))],
          { concurrency: 3 }
        )
        for (const tasks of [a.items, b.items, events.items.flatMap((e) => (e._tag === "Snapshot" ? [e.task] : []))]) {
          assertOrdered(tasks)
          assert.deepStrictEqual(tasks.at(-1), a.items.at(-1))
          assert.deepStrictEqual(tasks.at(-1)?.output, { count: 3 })
        }
      })
    )

    it.effect("fails with TaskFailed and the task when the app fails", () =>
      Effect.gen(function* () {
        for (const failing of [
          Tasks.run(Apps.Failing, { input: { message: "no luck" } }),
          Effect.flatMap(Tasks.submit(Apps.Failing, { input: { message: "no luck" } }), ({ id }) =>
            Tasks.waitForCompletion(id)
          ),
          Stream.runDrain(Tasks.runStream(Apps.Failing, { input: { message: "no luck" } }))
        ]) {
          const error = yield* Effect.flip<unknown, Tasks.RunError, Tasks.Tasks>(failing)
          if (error._tag !== "TaskFailed") return assert.fail(error._tag)
          assert.strictEqual(error.task.status, "failed")
          assert.strictEqual(error.task.error, "no luck")
          assert.include(error.message, "no luck")
          assert.isTrue(error.task.logs?.some((log) => log.content.includes("about to fail")))
        }
      })
    )

    it.effect("fails with TaskFailed when the app dies, or its setup or output is wrong", () =>
      Effect.gen(function* () {
        const errors = yield* Effect.all([
          Effect.flip(Tasks.run(Apps.Dying, { input: {} })),
          Effect.flip(Tasks.run(Apps.Liar, { input: {} })),
          Effect.flip(Tasks.run(Apps.Model, { input: { prompt: "a" }, setup: { name: "huge", fail: true } }))
        ])
        assert.deepStrictEqual(
          errors.map(({ _tag }) => _tag),
          ["TaskFailed", "TaskFailed", "TaskFailed"]
        )
      })
    )

    it.effect("fails with TaskCancelled when the task is cancelled", () =>
      Effect.gen(function* () {
        const { id } = yield* Tasks.submit(Apps.Never, { input: {} })
        yield* Stream.runDrain(Stream.takeUntil(Tasks.stream(id), ({ status }) => status === "running"))
        const waiting = yield* Effect.fork(Effect.flip(Tasks.waitForCompletion(id)))
        yield* Tasks.cancel(id)
        const error = yield* Fiber.join(waiting)
        if (error._tag !== "TaskCancelled") return assert.fail(error._tag)
        assert.strictEqual(error.task.status, "cancelled")
        assert.strictEqual(error.task.id, id)
        // Once more does nothing.
        yield* Tasks.cancel(id, { force: true, timeout: "1 second" })
        assert.strictEqual((yield* Tasks.get(id)).status, "cancelled")
      })
    )

    it.effect("cancels a task whose owner is interrupted, down to the app's own finalizers", () =>
      Effect.gen(function* () {
        const journal = yield* Apps.Journal
        const releases = () => journal.events().filter((event) => event === "never released").length
        const before = releases()
        const id = yield* Tasks.runStream(Apps.Never, { input: {} }).pipe(
          Stream.takeUntil(({ status }) => status === "running"),
          Stream.runFold("", (_, task) => task.id)
        )
        yield* Bad.eventually("the app is released", () => releases() === before + 1)
        const error = yield* Effect.flip(Tasks.waitForCompletion(id))
        assert.strictEqual(error._tag, "TaskCancelled")
      })
    )

    it.effect("takes files in and gives files out", () =>
      Effect.gen(function* () {
        const file = File.fromBytes(new TextEncoder().encode("abc"), { filename: "abc.txt" })
        const { output } = yield* Tasks.run(Apps.Reverse, { input: { file } })
        assert.strictEqual(output.size, 3)
        assert.match(output.file.uri ?? "", /^http.*reversed-abc\.txt$/)
        const text = yield* Stream.mkString(Stream.decodeText(Files.download(output.file)))
        assert.strictEqual(text, "cba")
        // The file of one task is the input of the next.
        const again = yield* Tasks.run("acme/reverse", { input: { file: output.file } })
        assert.propertyVal(again.output, "size", 3)
      })
    )

    it.effect("calls the functions of an app by their names", () =>
      Effect.gen(function* () {
        const sum = yield* Tasks.run(Apps.Arithmetic, { function: "add", input: { a: 1, b: 2 } })
        assert.strictEqual(sum.output.sum, 3)
        assert.strictEqual(sum.function, "add")
        const negated = yield* Tasks.run(Apps.Arithmetic, { function: "negate", input: { a: 1 } })
        assert.strictEqual(negated.output.negated, -1)
        const task = yield* Tasks.get(negated.id)
        const typed = yield* App.decodeOutput(Apps.Arithmetic, task, { function: "negate" })
        assert.strictEqual(typed.output.negated, -1)
      })
    )

    it.effect("sets an app up as asked, and keeps what is set up for equal setups", () =>
      Effect.gen(function* () {
        const journal = yield* Apps.Journal
        const first = yield* Tasks.run(Apps.Model, { input: { prompt: "a" }, setup: { name: "large" } })
        const second = yield* Tasks.run(Apps.Model, { input: { prompt: "b" }, setup: { name: "large" } })
        assert.strictEqual(first.output.answer, "large: a")
        assert.deepStrictEqual(second.output, { answer: "large: b", runs: first.output.runs + 1 })
        assert.deepStrictEqual(first.setup, { name: "large" })
        assert.strictEqual(journal.events().filter((event) => event === "setup large").length, 1)
      })
    )

    it.effect("keeps the logs and the timings of a task", () =>
      Effect.gen(function* () {
        const { id } = yield* Tasks.run(Apps.Model, { input: { prompt: "note this" } })
        const { logs, events } = yield* Tasks.logs(id)
        assert.isTrue(logs.some(({ content, type }) => content === "prompt: note this" && type === "run"))
        const statuses = events.map(({ status }) => status)
        assert.strictEqual(statuses[0], "received")
        assert.strictEqual(statuses.at(-1), "completed")
        const timings = yield* Tasks.timings(id)
        assert.strictEqual(timings.status, "completed")
        assert.deepStrictEqual(
          timings.events.map(({ status }) => status),
          statuses
        )
        const sum = timings.groups.reduce((sum, { duration }) => sum + Duration.toMillis(duration ?? 0), 0)
        assert.strictEqual(sum, Duration.toMillis(timings.totalDuration ?? -1))
        assert.deepStrictEqual(yield* Tasks.telemetry(id), [])
      })
    )

    it.effect("lists tasks page by page, the newest first, and forgets those that are removed", () =>
      Effect.gen(function* () {
        const submitted = yield* Effect.forEach([1, 2, 3, 4, 5], () =>
          Tasks.run(Apps.Arithmetic, { function: "negate", input: { a: 1 } })
        )
        const ids = submitted.map(({ id }) => id).reverse()
        const filters = [{ field: "app", operator: "eq", value: "acme/arithmetic" }]
        const newest = (pageSize: number) =>
          Effect.map(Stream.runCollect(Stream.take(Tasks.list({ pageSize, filters }), 5)), (tasks) =>
            Chunk.toReadonlyArray(Chunk.map(tasks, ({ id }) => id))
          )
        assert.deepStrictEqual(yield* newest(2), ids)
        assert.deepStrictEqual(yield* newest(100), ids)
        const all = Chunk.toReadonlyArray(yield* Stream.runCollect(Tasks.list({ pageSize: 2, filters })))
        assert.strictEqual(new Set(all.map(({ id }) => id)).size, all.length)
        for (const id of ids) yield* Tasks.remove(id)
        const left = Chunk.toReadonlyArray(yield* Stream.runCollect(Tasks.list({ pageSize: 2, filters })))
        assert.strictEqual(left.length, all.length - 5)
        const error = yield* Effect.flip(Tasks.get(ids[0] ?? ""))
        assert.strictEqual(error._tag, "NotFound")
        assert.strictEqual(error.taskId, ids[0])
      })
    )

    it.effect("fails with NotFound for an unknown app or task", () =>
      Effect.gen(function* () {
        yield* isRefused(Tasks.run("acme/nope", { input: {} }), "NotFound")
        const errors = yield* Effect.all([
          Effect.flip(Tasks.get("nope")),
          Effect.flip(Tasks.waitForCompletion("nope")),
          Effect.flip(Stream.runDrain(Tasks.events("nope"))),
          Effect.flip(Tasks.cancel("nope")),
          Effect.flip(Tasks.logs("nope"))
        ])
        for (const error of errors) assert.strictEqual(error._tag, "NotFound")
      })
    )

    it.effect("refuses an input that does not fit: by the contract before anything is sent, else by the service", () =>
      Effect.gen(function* () {
        const params: unknown = { input: { text: 1 } }
        const here = yield* Effect.flip(Tasks.run(Apps.Echo, params as Tasks.Params<typeof Apps.Echo, "run">))
        const there = yield* Effect.flip(Tasks.run("acme/echo", { input: { text: 1 } }))
        for (const error of [here, there]) {
          if (error._tag !== "InvalidRequest") return assert.fail(error._tag)
          assert.deepStrictEqual(error.issues[0]?.path, ["input", "text"])
        }
        assert.notProperty(here, "status")
        assert.propertyVal(there, "status", 400)
      })
    )

    it.effect("runs an app by its name alone, with an output of unknown type", () =>
      Effect.gen(function* () {
        const task = yield* Tasks.run("acme/echo", { input: { text: "hi" } })
        assert.deepStrictEqual(task.output, { text: "hi" })
      })
    )

    it.effect("follows a task by the transport that is asked for", () =>
      Effect.gen(function* () {
        for (const transport of ["stream", "poll"] as const) {
          const task = yield* Tasks.run(Apps.Echo, { input: { text: transport }, transport })
          assert.strictEqual(task.output.text, transport)
        }
      })
    )

    it.effect("starts a task when it is due", () =>
      Effect.gen(function* () {
        const past = yield* Tasks.run(Apps.Echo, { input: { text: "hi" }, runAt: new Date(0) })
        assert.strictEqual(past.runAt?.epochMillis, 0)
        const future = yield* Tasks.submit(Apps.Echo, {
          input: { text: "hi" },
          runAt: new Date(Date.now() + 3_600_000)
        })
        assert.strictEqual((yield* Tasks.get(future.id)).status, "received")
        yield* Tasks.cancel(future.id)
        const error = yield* Effect.flip(Tasks.waitForCompletion(future.id))
        assert.strictEqual(error._tag, "TaskCancelled")
      })
    )

    it.effect("sets who may see a task", () =>
      Effect.gen(function* () {
        const { id } = yield* Tasks.run(Apps.Echo, { input: { text: "hi" } })
        assert.strictEqual((yield* Tasks.setVisibility(id, "team")).visibility, "team")
        assert.strictEqual((yield* Tasks.get(id)).visibility, "team")
      })
    )
  })

describe("a client and a server that follow the protocol", () => {
  for (const place of everywhere({ apps })) conformance(...place)

  /** The parts of a task that are the same each time. */
  const essence = ({ id: _, shortId: __, createdAt, updatedAt, events, logs, ...rest }: Task.Task) => ({
    ...rest,
    isTimed: createdAt !== undefined && updatedAt !== undefined,
    events: events?.map(({ status }) => status),
    logs: logs?.map(({ content, type }) => ({ content: content.replace(/\s.*/s, ""), type }))
  })

  it.live("the last states and the errors of both transports are equal", () =>
    Effect.gen(function* () {
      const outcomes = (transport: "stream" | "poll") =>
        Effect.gen(function* () {
          const { id } = yield* Tasks.submit(Apps.Never, { input: {} })
          yield* Tasks.cancel(id)
          const last = <Out>({
            items,
            error
          }: {
            readonly items: ReadonlyArray<Task.Task<Out>>
            readonly error: Tasks.RunError | undefined
          }) => {
            const task = items.at(-1)
            const inError = error !== undefined && "task" in error ? essence(error.task) : undefined
            return { task: task && essence(task), tag: error?._tag, inError }
          }
          return [
            last(yield* T.record(Tasks.runStream(Apps.Echo, { input: { text: "a" } }))),
            last(yield* T.record(Tasks.runStream(Apps.Counter, { input: { to: 3, every: 1 } }))),
            last(yield* T.record(Tasks.runStream(Apps.Failing, { input: { message: "b" } }))),
            last(yield* T.record(Tasks.runStream("acme/nope", { input: {} }))),
            last(yield* T.record(Tasks.stream(id))),
            last(yield* T.record(Tasks.stream("nope")))
          ]
        }).pipe(
          Effect.provide(
            NodeInference.layerLocal({ apps, transport, pollInterval: "10 millis" }).pipe(
              Layer.provideMerge(Apps.layerJournal),
              quiet
            )
          )
        )
      const streamed = yield* outcomes("stream")
      const polled = yield* outcomes("poll")
      assert.deepStrictEqual(
        streamed.map(({ task, tag }) => tag ?? task?.status),
        ["completed", "completed", "TaskFailed", "NotFound", "TaskCancelled", "NotFound"]
      )
      // How far a task came before it was cancelled is chance.
      const strip = (all: typeof streamed) => all.map((one, i) => (i === 4 ? one.tag : one))
      assert.deepStrictEqual(strip(polled), strip(streamed))
    })
  )
})
