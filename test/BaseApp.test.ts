import { assert, describe, it } from "@effect/vitest"
import * as Chunk from "effect/Chunk"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import * as App from "effect-inferencesh/App"
import * as BaseApp from "effect-inferencesh/BaseApp"
import * as InferenceError from "effect-inferencesh/InferenceError"
import * as Apps from "./support/apps.js"

const last = <A, E>(stream: Stream.Stream<A, E>) => Effect.map(Stream.runLast(stream), Option.getOrThrow)

const failure = (error: unknown) => {
  assert.instanceOf(error, InferenceError.AppFailed)
  return error
}

describe("BaseApp", () => {
  it.scoped("runs on decoded input, with defaults filled in", () =>
    Effect.gen(function* () {
      const echo = yield* BaseApp.start(Apps.echo)
      assert.deepStrictEqual(yield* last(echo.run({ text: "ab" })), { text: "ab" })
      assert.deepStrictEqual(yield* last(echo.run({ text: "ab", times: 2 })), { text: "abab" })
      assert.deepStrictEqual(yield* last(echo.runEncoded({ text: "ab", times: 3 })), { text: "ababab" })
    })
  )

  it.scoped("emits each value of a stream", () =>
    Effect.gen(function* () {
      const counter = yield* BaseApp.start(Apps.counter)
      const fiber = yield* Effect.fork(Stream.runCollect(counter.run({ to: 3 })))
      yield* TestClock.adjust("3 seconds")
      assert.deepStrictEqual(Chunk.toReadonlyArray(yield* Fiber.join(fiber)), [
        { count: 1 },
        { count: 2 },
        { count: 3 }
      ])
    })
  )

  it.scoped("runs the named function", () =>
    Effect.gen(function* () {
      const arithmetic = yield* BaseApp.start(Apps.arithmetic)
      assert.deepStrictEqual(yield* last(arithmetic.run<"add">({ a: 1, b: 2 }, { function: "add" })), { sum: 3 })
      assert.deepStrictEqual(yield* last(arithmetic.run<"negate">({ a: 1 }, { function: "negate" })), { negated: -1 })
      const error = failure(yield* Effect.flip(last(arithmetic.runEncoded({}, { function: "nope" }))))
      assert.strictEqual(error.phase, "input")
    })
  )

  it.scoped("names the field of an input or output that does not fit", () =>
    Effect.gen(function* () {
      const echo = yield* BaseApp.start(Apps.echo)
      const input = failure(yield* Effect.flip(last(echo.runEncoded({ text: 1 }))))
      assert.strictEqual(input.phase, "input")
      assert.include(input.detail, "text")
      const liar = yield* BaseApp.start(Apps.liar)
      const output = failure(yield* Effect.flip(last(liar.run({}))))
      assert.strictEqual(output.phase, "output")
      assert.include(output.detail, "even")
    })
  )

  it.scoped("turns failures and defects of a handler into AppFailed", () =>
    Effect.gen(function* () {
      const failing = yield* BaseApp.start(Apps.failing)
      const failed = failure(yield* Effect.flip(last(failing.run({ message: "no luck" }))))
      assert.strictEqual(failed.phase, "run")
      assert.strictEqual(failed.detail, "no luck")
      const dying = yield* BaseApp.start(Apps.dying)
      const died = failure(yield* Effect.flip(last(dying.run({}))))
      assert.strictEqual(died.phase, "run")
      assert.strictEqual(died.detail, "a defect")
    })
  )

  it.scoped("says when a handler interrupts itself, or gives nothing", () =>
    Effect.gen(function* () {
      const Odd = App.make("acme/odd", { input: { how: Schema.String }, output: {} })
      const odd = yield* BaseApp.start(
        BaseApp.make(Odd, { run: ({ how }) => (how === "interrupt" ? Effect.interrupt : Stream.empty) })
      )
      const interrupted = failure(yield* Effect.flip(last(odd.run({ how: "interrupt" }))))
      assert.strictEqual(interrupted.phase, "run")
      const empty = failure(yield* Effect.flip(last(odd.run({ how: "empty" }))))
      assert.strictEqual(empty.phase, "output")
    })
  )

  it.effect("sets up once, and unloads before the finalizers of setup", () =>
    Effect.gen(function* () {
      const journal = yield* Apps.Journal
      yield* Effect.scoped(
        Effect.gen(function* () {
          const model = yield* BaseApp.start(Apps.model, { name: "large" })
          assert.strictEqual((yield* last(model.run({ prompt: "a" }))).runs, 1)
          assert.strictEqual((yield* last(model.run({ prompt: "b" }))).runs, 2)
          assert.deepStrictEqual(journal.events(), ["setup large"])
        })
      )
      assert.deepStrictEqual(journal.events(), ["setup large", "unload large", "finalizer large"])
    }).pipe(Effect.provide(Apps.layerJournal))
  )

  it.scoped("fails in the phase setup", () =>
    Effect.gen(function* () {
      const error = failure(yield* Effect.flip(BaseApp.start(Apps.model, { name: "huge", fail: true })))
      assert.strictEqual(error.phase, "setup")
      assert.strictEqual(error.detail, "no model huge")
    }).pipe(Effect.provide(Apps.layerJournal))
  )

  it.scoped("takes as many runs at a time as its concurrency says", () =>
    Effect.gen(function* () {
      const One = App.make("acme/one", { input: {}, output: {} })
      const most = (concurrency?: number) =>
        Effect.gen(function* () {
          let now = 0
          let most = 0
          const app = BaseApp.make(One, {
            ...(concurrency && { concurrency }),
            run: () =>
              Effect.acquireUseRelease(
                Effect.sync(() => {
                  most = Math.max(most, ++now)
                }),
                () => Effect.as(Effect.sleep("1 second"), {}),
                () => Effect.sync(() => now--)
              )
          })
          const instance = yield* BaseApp.start(app)
          const fiber = yield* Effect.fork(
            Effect.forEach([1, 2, 3, 4], () => last(instance.run({})), { concurrency: "unbounded" })
          )
          yield* TestClock.adjust("4 seconds")
          yield* Fiber.join(fiber)
          return most
        })
      assert.strictEqual(yield* most(), 1)
      assert.strictEqual(yield* most(3), 3)
    })
  )

  it.scoped("is cancelled by interruption, and gives its place to the next", () =>
    Effect.gen(function* () {
      const journal = yield* Apps.Journal
      const never = yield* BaseApp.start(Apps.never)
      const first = yield* Effect.fork(last(never.run({})))
      const second = yield* Effect.fork(last(never.run({})))
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(journal.events(), ["never started"])
      yield* Fiber.interrupt(first)
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(journal.events(), ["never started", "never released", "never started"])
      yield* Fiber.interrupt(second)
    }).pipe(Effect.provide(Apps.layerJournal))
  )

  it.scoped("runs with the services of where it was started", () =>
    Effect.gen(function* () {
      class Name extends Context.Tag("test/Name")<Name, string>() {}
      const Who = App.make("acme/who", { input: {}, output: { name: Schema.String, task: Schema.String } })
      const who = BaseApp.make(Who, {
        run: () =>
          Effect.gen(function* () {
            const context = yield* BaseApp.Context
            return { name: yield* Name, task: context.taskId }
          })
      })
      const scope = yield* Scope.make()
      const instance = yield* BaseApp.start(who).pipe(Effect.provideService(Name, "Ada"), Scope.extend(scope))
      assert.deepStrictEqual(yield* last(instance.run({}, { taskId: "t1" })), { name: "Ada", task: "t1" })
      yield* Scope.close(scope, Exit.void)
    })
  )

  it.scoped("keeps the scope of a handler open until its output is taken", () =>
    Effect.gen(function* () {
      const closed = yield* Deferred.make<void>()
      const Temp = App.make("acme/temp", { input: {}, output: {} })
      const temp = yield* BaseApp.start(
        BaseApp.make(Temp, {
          run: () =>
            Effect.as(
              Effect.addFinalizer(() => Deferred.succeed(closed, undefined)),
              {}
            )
        })
      )
      yield* Stream.runForEach(temp.run({}), () => Effect.map(Deferred.isDone(closed), (done) => assert.isFalse(done)))
      assert.isTrue(yield* Deferred.isDone(closed))
    })
  )
})
