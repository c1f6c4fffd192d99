/** What one app, task or caller must not do to the others of a server. */
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as NodeContext from "@effect/platform-node/NodeContext"
import { assert, describe, it } from "@effect/vitest"
import * as Chunk from "effect/Chunk"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import * as App from "effect-inferencesh/App"
import * as BaseApp from "effect-inferencesh/BaseApp"
import * as File from "effect-inferencesh/File"
import * as LocalServer from "effect-inferencesh/LocalServer"
import * as Pool from "../src/internal/server/pool.js"
import * as Apps from "./support/apps.js"
import { events, get, type Json, lines, merge, post, request, runTask, send, submit, task } from "./support/wire.js"

const nested = (levels: number): unknown => {
  let value: unknown = 1
  for (let i = 0; i < levels; i++) value = [value]
  return value
}

const cycle: { self?: unknown } = {}
cycle.self = cycle

const values: { readonly [name: string]: unknown } = {
  bigint: 1n,
  cycle,
  function: () => 1,
  notANumber: Number.NaN,
  nested: nested(501),
  deeplyNested: nested(50_000),
  throwing: {
    toJSON: () => {
      throw new Error("not today")
    }
  },
  fine: { date: new Date(0), list: [1, null], file: File.fromBytes(new TextEncoder().encode("abc")) }
}

const odd = BaseApp.make(
  App.make("acme/odd", { input: { what: Schema.String }, output: { it: Schema.Array(Schema.Unknown) } }),
  { run: ({ what }) => Effect.succeed({ it: [values[what]] }) }
)

/** Emits what no JSON can hold, and goes on. */
const partial = BaseApp.make(App.make("acme/partial", { input: {}, output: { count: Schema.BigIntFromSelf } }), {
  run: () => Stream.concat(Stream.make({ count: 1n }), Stream.never)
})

const any = BaseApp.make(App.make("acme/any", { input: Schema.Unknown, output: {} }), {
  run: () => Effect.succeed({})
})

/** Its setup encodes to what is no JSON. */
const setupOdd = BaseApp.make(
  App.make("acme/setup", {
    input: {},
    output: {},
    setup: {
      size: Schema.transform(Schema.Unknown, Schema.Unknown, { strict: true, decode: (size) => size, encode: () => 1n })
    }
  }),
  { run: () => Effect.succeed({}) }
)

/** Logs so many lines at once, then one each 10 milliseconds. */
const chatty = BaseApp.make(
  App.make("acme/chatty", {
    input: {
      before: Schema.Int,
      after: Schema.Int,
      line: Schema.optionalWith(Schema.String, { default: () => "line" })
    },
    output: { done: Schema.Boolean }
  }),
  {
    run: ({ before, after, line }) =>
      Effect.gen(function* () {
        const { log } = yield* BaseApp.Context
        for (let i = 0; i < before; i++) yield* log(line)
        yield* Effect.sleep("1 second")
        for (let i = 0; i < after; i++) yield* Effect.zipRight(log(line), Effect.sleep("10 millis"))
        yield* log("last")
        return { done: true }
      })
  }
)

const serve = LocalServer.layerHttpClient({ apps: [odd, partial, any, setupOdd, chatty] }).pipe(
  Layer.provide(NodeContext.layer)
)

const serveJournal = LocalServer.layerHttpClient({ apps: [Apps.model, Apps.never], maxInstances: 2 }).pipe(
  Layer.provideMerge(Layer.merge(Apps.layerJournal, NodeContext.layer))
)

describe("an output that is no JSON", () => {
  for (const [what, reason] of [
    ["bigint", /^output: it\.0: a bigint/],
    ["cycle", /^output: it\.0\.self: the value contains itself/],
    ["function", /^output: it\.0: a function/],
    ["notANumber", /^output: it\.0: NaN/],
    ["nested", /^output: .*levels/],
    ["deeplyNested", /^output: ./],
    ["throwing", /^output: not today/]
  ] as const) {
    it.effect(`fails its task and nothing else: ${what}`, () =>
      Effect.gen(function* () {
        const failed = yield* post("/apps/run", { app: "acme/odd", input: { what }, wait: true })
        assert.strictEqual(failed.status, 422)
        assert.match(failed.json.task.error, reason)
        assert.strictEqual(merge(yield* Stream.runCollect(events(failed.json.task.id))).status_text, "failed")
        assert.strictEqual((yield* post("/tasks/list")).data.items[0].status_text, "failed")
      }).pipe(Effect.provide(serve))
    )
  }

  it.effect("ends a stream of outputs", () =>
    Effect.gen(function* () {
      const id = yield* submit("acme/partial", {})
      const state = merge(yield* Stream.runCollect(events(id)))
      assert.strictEqual(state.status_text, "failed")
      assert.match(state.error, /^output: count: a bigint/)
      assert.include(Chunk.toReadonlyArray(yield* Stream.runCollect(lines(`/tasks/${id}/stream`, "*/*"))), "data: {}")
    }).pipe(Effect.provide(serve))
  )

  it.effect("leaves alone what is", () =>
    Effect.gen(function* () {
      const [value] = (yield* runTask("acme/odd", { what: "fine" })).output.it
      assert.strictEqual(value.date, "1970-01-01T00:00:00.000Z")
      assert.deepStrictEqual(value.list, [1, null])
      assert.strictEqual((yield* send(HttpClientRequest.get(value.file))).text, "abc")
    }).pipe(Effect.provide(serve))
  )
})

describe("a request", () => {
  it.effect("does not nest deeper than the server can write", () =>
    Effect.gen(function* () {
      const body = (levels: number) => `{"app":"acme/any","input":${"[".repeat(levels)}${"]".repeat(levels)}}`
      const run = (levels: number) =>
        send(request("POST", "/apps/run").pipe(HttpClientRequest.bodyText(body(levels), "application/json")))
      const refused = yield* run(20_000)
      assert.strictEqual(refused.status, 400)
      assert.strictEqual(refused.json.type, "https://api.inference.sh/errors/invalid_request")
      assert.strictEqual((yield* run(500)).status, 400)
      assert.strictEqual((yield* post("/tasks/list")).data.total_items, 0)
      assert.strictEqual((yield* run(499)).status, 200)
      assert.strictEqual((yield* post("/tasks/list")).status, 200)
    }).pipe(Effect.provide(serve))
  )

  it.effect("runs with a setup that does not encode to JSON", () =>
    Effect.gen(function* () {
      assert.strictEqual((yield* runTask("acme/setup", {}, { setup: { size: 1 } })).status_text, "completed")
    }).pipe(Effect.provide(serve))
  )

  it.effect("has no more filters than the server will look at, and none breaks it", () =>
    Effect.gen(function* () {
      yield* runTask("acme/any", { toString: 1 })
      const filter = (field: string, value: unknown) => ({ field, operator: "eq", value })
      const list = (filters: ReadonlyArray<Json>) => post("/tasks/list", { filters })
      assert.strictEqual((yield* list(Array(51).fill(filter("id", "x")))).status, 400)
      assert.strictEqual((yield* list([filter("id", Array(1001).fill("x"))])).status, 400)
      assert.strictEqual((yield* list(Array(50).fill(filter("infra", "cloud")))).data.total_items, 1)
      assert.strictEqual((yield* list([filter("input", "x")])).data.total_items, 0)
      assert.strictEqual((yield* list([filter("input", { toString: 1 })])).data.total_items, 0)
      assert.strictEqual((yield* list([filter("constructor", "x")])).data.total_items, 0)
    }).pipe(Effect.provide(serve))
  )

  it.effect("is told which methods a path has", () =>
    Effect.gen(function* () {
      const wrong = yield* send(request("PUT", "/apps/run"))
      assert.strictEqual(wrong.status, 405)
      assert.strictEqual(wrong.headers.allow, "POST")
      assert.strictEqual((yield* send(request("PUT", "/tasks/x"))).headers.allow, "DELETE, GET, HEAD")
      assert.strictEqual((yield* send(request("PUT", "/nowhere"))).status, 404)
    }).pipe(Effect.provide(serve))
  )
})

describe("logs", () => {
  const logged = (all: ReadonlyArray<Json>) => all.filter((event) => event.fields?.[0] === "logs")

  it.effect("are sent together, and before whatever comes next", () =>
    Effect.gen(function* () {
      const id = yield* submit("acme/chatty", { before: 3, after: 100 })
      const fiber = yield* Effect.fork(Stream.runCollect(events(id)))
      for (let i = 0; i < 210; i++) yield* TestClock.adjust("10 millis")
      const all = Chunk.toReadonlyArray(yield* Fiber.join(fiber))
      const patches = logged(all)
      assert.isAtLeast(patches.length, 10)
      assert.isAtMost(patches.length, 14)
      assert.strictEqual(patches.at(-1).data.logs.length, 104)
      assert.strictEqual(patches.at(-1).data.logs.at(-1).content, "last")
      assert.strictEqual(all.at(-2), patches.at(-1))
      assert.strictEqual(all.at(-1).data.status_text, "completed")
      for (const [i, { data }] of patches.entries()) {
        assert.isAbove(data.logs.length, patches[i - 1]?.data.logs.length ?? 0)
        assert.strictEqual(new Set(data.logs.map((row: Json) => row.id)).size, data.logs.length)
      }
    }).pipe(Effect.provide(serve))
  )

  it.effect("do not wait longer than the interval", () =>
    Effect.gen(function* () {
      const id = yield* submit("acme/chatty", { before: 1, after: 2 })
      const seen: Array<Json> = []
      const fiber = yield* Effect.fork(Stream.runForEach(events(id), (event) => Effect.sync(() => seen.push(event))))
      yield* TestClock.adjust("1 second")
      const first = logged(seen).length
      yield* TestClock.adjust("10 millis")
      assert.strictEqual(logged(seen).length, first)
      yield* TestClock.adjust("10 millis")
      yield* Fiber.join(fiber)
      assert.strictEqual(logged(seen).at(-1).data.logs.length, 4)
    }).pipe(Effect.provide(serve))
  )

  it.effect("have a limit for each line, for all lines, and for their number", () =>
    Effect.gen(function* () {
      const logs = (input: Json) =>
        Effect.gen(function* () {
          const id = yield* submit("acme/chatty", input)
          yield* TestClock.adjust("2 seconds")
          const done = yield* task(id)
          assert.strictEqual(done.status_text, "completed")
          return done.logs
        })
      const [cut] = yield* logs({ before: 1, after: 0, line: "x".repeat(100_000) })
      assert.strictEqual(cut.content, `${"x".repeat(65_536)}… (34464 more)`)
      const large = yield* logs({ before: 100, after: 0, line: "x".repeat(65_536) })
      assert.strictEqual(large.length, 65)
      assert.strictEqual(large.at(-1).content, "further lines are not kept")
      const many = yield* logs({ before: 6000, after: 0 })
      assert.strictEqual(many.length, 5001)
      assert.strictEqual(many.at(-1).content, "further lines are not kept")
      assert.strictEqual((yield* get("/tasks/none/logs")).status, 404)
    }).pipe(Effect.provide(serve))
  )
})

describe("a pool", () => {
  const Sleeper = App.make("acme/sleeper", { input: {}, output: {}, setup: { name: Schema.String } })

  const pooled = (loaded: Array<string>) =>
    BaseApp.make(Sleeper, {
      concurrency: 2,
      setup: ({ name }) =>
        Effect.acquireRelease(
          Effect.sync(() => void loaded.push(`+${name}`)),
          () => Effect.sync(() => void loaded.push(`-${name}`))
        ),
      run: () => Effect.as(Effect.sleep("2 seconds"), {})
    })

  it.effect("reuses an instance while its setup matches, and unloads it to make room", () =>
    Effect.gen(function* () {
      const journal = yield* Apps.Journal
      const run = (setup?: Json) =>
        Effect.map(runTask("acme/model", { prompt: "x" }, { setup }), ({ output }) => [output.answer, output.runs])
      assert.deepStrictEqual(yield* run(), ["small: x", 1])
      assert.deepStrictEqual(yield* run({}), ["small: x", 2])
      assert.deepStrictEqual(yield* run({ name: "small" }), ["small: x", 3])
      assert.deepStrictEqual(yield* run({ name: "large" }), ["large: x", 1])
      assert.deepStrictEqual(yield* run({ name: "huge" }), ["huge: x", 1])
      assert.deepStrictEqual(journal.events(), [
        "setup small",
        "setup large",
        "unload small",
        "finalizer small",
        "setup huge"
      ])
      const { logs } = yield* task((yield* runTask("acme/model", { prompt: "y" }, { setup: { name: "huge" } })).id)
      assert.strictEqual(logs[0].content, "prompt: y")
    }).pipe(Effect.provide(serveJournal))
  )

  it.effect("queues what an instance cannot take, in order", () =>
    Effect.gen(function* () {
      const first = yield* submit("acme/never", {})
      const second = yield* submit("acme/never", {})
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* task(second)).status_text, "queued")
      yield* post(`/tasks/${first}/cancel`)
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* task(second)).status_text, "running")
      const third = yield* submit("acme/never", {})
      yield* post(`/tasks/${third}/cancel`)
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* task(third)).status_text, "cancelled")
    }).pipe(Effect.provide(serveJournal))
  )

  it.effect("does not let tasks of another app wait, however many wait for it", () =>
    Effect.gen(function* () {
      const flood = yield* Effect.forEach(Array.from({ length: 500 }), () => submit("acme/never", {}))
      const { status_text } = yield* runTask("acme/model", { prompt: "x" })
      assert.strictEqual(status_text, "completed")
      assert.strictEqual((yield* task(flood.at(-1) ?? "")).status_text, "queued")
    }).pipe(Effect.provide(serveJournal))
  )

  it.effect("lets a task with another setup have its turn", () =>
    Effect.gen(function* () {
      const run = (name: string) => submit("acme/sleeper", {}, { setup: { name } })
      yield* run("a")
      yield* TestClock.adjust("1 second")
      yield* run("a")
      const other = yield* run("b")
      for (let i = 0; i < 5; i++) {
        yield* run("a")
        yield* TestClock.adjust("1 second")
      }
      assert.strictEqual((yield* task(other)).status_text, "completed")
    }).pipe(
      Effect.provide(
        LocalServer.layerHttpClient({ apps: [pooled([])], maxInstances: 1 }).pipe(Layer.provide(NodeContext.layer))
      )
    )
  )

  it.effect("gives back what it held for a task that does not wait any more", () =>
    Effect.gen(function* () {
      const run = (name: string) => submit("acme/sleeper", {}, { setup: { name } })
      yield* run("a")
      const other = yield* run("b")
      const held = yield* run("a")
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* task(held)).status_text, "queued")
      yield* post(`/tasks/${other}/cancel`)
      yield* TestClock.adjust("0 seconds")
      assert.strictEqual((yield* task(held)).status_text, "running")
    }).pipe(
      Effect.provide(
        LocalServer.layerHttpClient({ apps: [pooled([])], maxInstances: 1 }).pipe(Layer.provide(NodeContext.layer))
      )
    )
  )

  it.effect("unloads an instance that is not used for a while", () =>
    Effect.gen(function* () {
      const journal = yield* Apps.Journal
      const run = (name: string) => runTask("acme/model", { prompt: "x" }, { setup: { name } })
      yield* run("a")
      yield* TestClock.adjust("50 seconds")
      yield* run("a")
      yield* run("b")
      yield* TestClock.adjust("59 seconds")
      assert.deepStrictEqual(journal.events(), ["setup a", "setup b"])
      yield* run("b")
      yield* TestClock.adjust("1 seconds")
      assert.deepStrictEqual(journal.events().slice(2), ["unload a", "finalizer a"])
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(journal.events().slice(4), ["unload b", "finalizer b"])
      assert.strictEqual((yield* run("a")).output.runs, 1)
    }).pipe(
      Effect.provide(
        LocalServer.layerHttpClient({ apps: [Apps.model], instanceIdleTimeout: "1 minute" }).pipe(
          Layer.provideMerge(Layer.merge(Apps.layerJournal, NodeContext.layer))
        )
      )
    )
  )

  it.effect("keeps an instance that is in use, and loads none beside one that is being unloaded", () =>
    Effect.gen(function* () {
      const loaded: Array<string> = []
      const unloaded = yield* Deferred.make<void>()
      const slow = BaseApp.make(App.make("acme/slow", { input: {}, output: {} }), {
        setup: () =>
          Effect.acquireRelease(
            Effect.sync(() => void loaded.push("+")),
            () => Effect.map(Deferred.await(unloaded), () => void loaded.push("-"))
          ),
        run: () => Effect.as(Effect.sleep("1 hour"), {})
      })
      yield* Effect.gen(function* () {
        const first = yield* submit("acme/slow", {})
        yield* TestClock.adjust("1 hour")
        assert.strictEqual((yield* task(first)).status_text, "completed")
        yield* TestClock.adjust("59 seconds")
        assert.strictEqual((yield* task(yield* submit("acme/slow", {}))).status_text, "running")
        yield* TestClock.adjust("2 hours")
        const next = yield* submit("acme/slow", {})
        assert.strictEqual((yield* task(next)).status_text, "queued")
        assert.deepStrictEqual(loaded, ["+"])
        yield* Deferred.succeed(unloaded, undefined)
        yield* TestClock.adjust("0 seconds")
        assert.strictEqual((yield* task(next)).status_text, "running")
        assert.deepStrictEqual(loaded, ["+", "-", "+"])
      }).pipe(
        Effect.provide(
          LocalServer.layerHttpClient({ apps: [slow], instanceIdleTimeout: "1 minute" }).pipe(
            Layer.provide(NodeContext.layer)
          )
        )
      )
    })
  )

  it.effect("loads an instance once, however its users take turns", () => {
    const turns = (steps: number) =>
      Effect.gen(function* () {
        const loaded: Array<string> = []
        const users = Effect.gen(function* () {
          const pool = yield* Pool.make(pooled(loaded), { maxInstances: 1, idleTimeout: Duration.minutes(1) })
          const use = pool.use("a", { name: "a" }, { granted: Effect.void, cold: Effect.void })
          const [one, other] = yield* Effect.all([use, use], { concurrency: 2 })
          assert.strictEqual(one, other)
        })
        yield* Effect.withMaxOpsBeforeYield(Effect.scoped(users), steps)
        assert.deepStrictEqual(loaded, ["+a", "-a"])
      })
    // Fibers that take turns after so many steps: with some of these both users begin before either has loaded it.
    return Effect.forEach(
      Array.from({ length: 20 }, (_, i) => i + 10),
      turns
    )
  })
})
