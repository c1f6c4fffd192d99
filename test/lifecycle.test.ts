/** What becomes of the instances of an app, and of its runs, in whatever order tasks come, are cancelled and end with their server. */
import * as NodeContext from "@effect/platform-node/NodeContext"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Arbitrary from "effect/FastCheck"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import * as TestServices from "effect/TestServices"
import * as App from "effect-inferencesh/App"
import * as BaseApp from "effect-inferencesh/BaseApp"
import * as File from "effect-inferencesh/File"
import * as LocalServer from "effect-inferencesh/LocalServer"
import { quiet } from "./support/hosts.js"
import { del, type Json, post, runTask, submit, task } from "./support/wire.js"

const outcomes = ["ends", "fails", "dies", "interrupts itself", "streams", "uploads"] as const

const Living = App.make("acme/living", {
  input: { outcome: Schema.Literal(...outcomes), millis: Schema.Int },
  output: { n: Schema.optional(Schema.Int), file: Schema.optional(File.File) },
  setup: { name: Schema.String, outcome: Schema.Literal("ends", "fails", "dies"), millis: Schema.Int }
})

/** What an app did: lives of instances from setup to unload, and runs, each from its beginning to its end. */
const makeApp = (concurrency = 2) => {
  const lives: Array<{ readonly name: string; setUp: boolean; unloaded: number; released: number; runs: number }> = []
  const runs: Array<{ released: number }> = []
  const end = (outcome: (typeof outcomes)[number]) =>
    outcome === "fails"
      ? Effect.fail("no luck")
      : outcome === "dies"
        ? Effect.die(new Error("a defect"))
        : outcome === "interrupts itself"
          ? Effect.interrupt
          : Effect.void
  const app = BaseApp.make(Living, {
    concurrency,
    setup: ({ name, outcome, millis }) =>
      Effect.gen(function* () {
        const life = { name, setUp: false, unloaded: 0, released: 0, runs: 0 }
        lives.push(life)
        yield* Effect.addFinalizer(() => Effect.sync(() => life.released++))
        yield* Effect.sleep(millis)
        yield* end(outcome)
        life.setUp = true
        return life
      }),
    run: ({ outcome, millis }, life) => {
      const run = Effect.acquireRelease(
        Effect.sync(() => {
          assert.isTrue(life.setUp)
          assert.strictEqual(life.unloaded + life.released, 0)
          assert.isBelow(life.runs, concurrency)
          const run = { released: 0 }
          runs.push(run)
          life.runs++
          return run
        }),
        (run) =>
          Effect.sync(() => {
            run.released++
            life.runs--
          })
      )
      const numbers = Stream.range(1, 5).pipe(
        Stream.rechunk(1),
        Stream.mapEffect((n) => Effect.as(Effect.sleep(millis / 5), { n }))
      )
      const bytes = Stream.fromEffect(Effect.delay(Effect.succeed(new Uint8Array(3)), Math.max(1, millis)))
      const output = outcome === "uploads" ? { file: File.fromStream(bytes) } : {}
      return outcome === "streams"
        ? Stream.unwrapScoped(Effect.as(run, numbers))
        : run.pipe(Effect.zipRight(Effect.sleep(millis)), Effect.zipRight(end(outcome)), Effect.as(output))
    },
    unload: (life) => Effect.sync(() => void life.unloaded++)
  })
  return { app, lives, runs }
}

const serve = (app: ReturnType<typeof makeApp>["app"]) =>
  LocalServer.layerHttpClient({ apps: [app], maxInstances: 2 }).pipe(Layer.provide(NodeContext.layer), quiet)

const step = Arbitrary.oneof(
  {
    weight: 4,
    arbitrary: Arbitrary.record({
      type: Arbitrary.constant("run" as const),
      name: Arbitrary.constantFrom("a", "b", "c"),
      setup: Arbitrary.constantFrom(
        "ends" as const,
        "ends" as const,
        "ends" as const,
        "fails" as const,
        "dies" as const
      ),
      loading: Arbitrary.nat(30),
      outcome: Arbitrary.constantFrom(...outcomes),
      millis: Arbitrary.nat(100),
      session: Arbitrary.constantFrom(undefined, undefined, "new" as const, "last" as const)
    })
  },
  { weight: 3, arbitrary: Arbitrary.record({ type: Arbitrary.constant("cancel" as const), which: Arbitrary.nat() }) },
  { weight: 1, arbitrary: Arbitrary.record({ type: Arbitrary.constant("end session" as const) }) },
  { weight: 3, arbitrary: Arbitrary.record({ type: Arbitrary.constant("wait" as const), millis: Arbitrary.nat(80) }) }
)

describe("an app", () => {
  it.effect("is unloaded once for each time that it was set up, and every run is let go of once", () =>
    Effect.gen(function* () {
      let [setUps, cancelled, finished] = [0, 0, 0]
      for (const [i, steps] of Arbitrary.sample(Arbitrary.array(step, { minLength: 10, maxLength: 30 }), {
        numRuns: 40,
        seed: 11
      }).entries()) {
        const { app, lives, runs } = makeApp()
        const ids: Array<string> = []
        let session: string | undefined
        const seen = Effect.gen(function* () {
          for (const current of steps) {
            if (current.type === "wait") yield* TestClock.adjust(current.millis)
            if (current.type === "cancel") yield* post(`/tasks/${ids[current.which % Math.max(1, ids.length)]}/cancel`)
            if (current.type === "end session" && session !== undefined) {
              // It waits for the unload, which may wait for a run.
              yield* Effect.fork(del(`/sessions/${session}`))
              session = undefined
            }
            if (current.type !== "run") continue
            const { name, setup: outcome, loading, outcome: end, millis } = current
            const asked = current.session === "last" ? session : current.session
            const { data } = yield* post("/apps/run", {
              app: "acme/living",
              input: { outcome: end, millis },
              setup: { name, outcome, millis: loading },
              ...(asked !== undefined && { session: asked })
            })
            if (data === undefined) continue
            ids.push(data.id)
            session = data.session_id ?? session
          }
          return yield* Effect.forEach(ids, task)
        })
        // The server goes with whatever is still under way.
        const tasks: ReadonlyArray<Json> = yield* Effect.provide(seen, Layer.fresh(serve(app)))
        for (const life of lives) {
          assert.deepInclude(life, { released: 1, unloaded: life.setUp ? 1 : 0, runs: 0 }, `story ${i}`)
          if (life.setUp) setUps++
        }
        assert.isTrue(
          runs.every(({ released }) => released === 1),
          `story ${i}`
        )
        cancelled += tasks.filter(({ status_text }) => status_text === "cancelled").length
        finished += tasks.filter(({ status_text }) => status_text === "completed").length
      }
      // What was shown is not about nothing.
      assert.isAbove(Math.min(setUps, cancelled, finished), 20, `${setUps} ${cancelled} ${finished}`)
    })
  )

  it.effect("has one instance for each setup at a time", () => {
    const { app, lives } = makeApp(100)
    return Effect.gen(function* () {
      const run = (name: string) =>
        runTask("acme/living", { outcome: "ends", millis: 50 }, { setup: { name, outcome: "ends", millis: 20 } })
      const all = yield* Effect.fork(
        Effect.forEach(
          Array.from({ length: 40 }, (_, i) => (i % 2 === 0 ? "a" : "b")),
          run,
          { concurrency: "unbounded" }
        )
      )
      yield* TestClock.adjust("1 second")
      assert.isTrue((yield* Fiber.join(all)).every(({ status_text }: Json) => status_text === "completed"))
      assert.deepStrictEqual(lives.map(({ name }) => name).sort(), ["a", "b"])
    }).pipe(Effect.provide(serve(app)))
  })
})

describe("a task that is cancelled", () => {
  const setup = (millis: number) => ({ setup: { name: "a", outcome: "ends", millis } })
  for (const [when, outcome, at, status] of [
    ["during setup", "ends", 50, "setting_up"],
    ["during its run", "ends", 150, "running"],
    ["while it streams", "streams", 150, "running"],
    ["while its file is stored", "uploads", 350, "uploading"]
  ] as const) {
    it.effect(`${when} lets go of everything, and the next one runs`, () => {
      const { app, lives, runs } = makeApp()
      return Effect.gen(function* () {
        const id = yield* submit("acme/living", { outcome, millis: 200 }, setup(100))
        yield* TestClock.adjust(at)
        assert.strictEqual((yield* task(id)).status_text, status)
        yield* post(`/tasks/${id}/cancel`)
        yield* TestClock.adjust(1)
        // The disk has a time of its own.
        const ended = yield* Effect.repeat(TestServices.provideLive(Effect.delay(task(id), "5 millis")), {
          until: ({ status_text }) => status_text !== "cancelling"
        })
        assert.strictEqual(ended.status_text, "cancelled")
        assert.isTrue(runs.every(({ released }) => released === 1))
        assert.deepStrictEqual(
          lives.map(({ released }) => released),
          [status === "setting_up" ? 1 : 0]
        )
        const next = yield* Effect.fork(runTask("acme/living", { outcome: "ends", millis: 1 }, setup(100)))
        yield* TestClock.adjust("1 second")
        assert.strictEqual((yield* Fiber.join(next)).status_text, "completed")
      }).pipe(Effect.provide(serve(app)))
    })
  }
})
