import * as FileSystem from "@effect/platform/FileSystem"
import * as HttpClient from "@effect/platform/HttpClient"
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import * as Agents from "effect-inferencesh/Agents"
import * as ApiClient from "effect-inferencesh/ApiClient"
import * as App from "effect-inferencesh/App"
import * as File from "effect-inferencesh/File"
import * as Files from "effect-inferencesh/Files"
import * as InferenceError from "effect-inferencesh/InferenceError"
import * as InferenceTest from "effect-inferencesh/InferenceTest"
import * as Llm from "effect-inferencesh/Llm"
import * as Sessions from "effect-inferencesh/Sessions"
import * as Tasks from "effect-inferencesh/Tasks"
import * as Tool from "effect-inferencesh/Tool"
import * as T from "./support/tasks.js"
import { traced } from "./support/traces.js"

const Caption = App.make("acme/caption", {
  input: { text: Schema.String, times: Schema.optionalWith(Schema.Int, { default: () => 1 }) },
  output: { caption: Schema.String }
})

const Arithmetic = App.make("acme/arithmetic", {
  functions: {
    add: { input: { a: Schema.Number, b: Schema.Number }, output: { sum: Schema.Number } },
    negate: { input: { a: Schema.Number }, output: { negated: Schema.Number } }
  }
})

const Draw = App.make("acme/draw", { input: { sketch: File.File }, output: { picture: File.File } })

const run = Tasks.run(Caption, { input: { text: "cat" } })

const caption = Effect.map(run, (task) => task.output.caption)

/** What an effect dies with. */
const death = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.flatMap(Effect.exit(effect), (exit) =>
    Exit.isFailure(exit)
      ? Option.match(Cause.dieOption(exit.cause), {
          onSome: (defect) => (defect instanceof InferenceTest.Unmocked ? Effect.succeed(defect) : Effect.die(defect)),
          onNone: () => Effect.dieMessage(Cause.pretty(exit.cause))
        })
      : Effect.dieMessage("it did not die")
  )

describe("a mock that is a function", () => {
  it.effect("gets the decoded input with its defaults, and gives the output", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* caption, "cat, 1")
    }).pipe(
      Effect.provide(
        InferenceTest.layer({
          apps: [InferenceTest.app(Caption, ({ text, times }) => ({ caption: `${text}, ${times}` }))]
        })
      )
    )
  )

  it.effect("may give an Effect, in the time of the test's clock, or a Stream", () =>
    Effect.gen(function* () {
      const fiber = yield* Effect.fork(caption)
      yield* TestClock.adjust("59 seconds")
      assert.isTrue(Option.isNone(yield* Fiber.poll(fiber)))
      yield* TestClock.adjust("2 seconds")
      assert.strictEqual(yield* Fiber.join(fiber), "slow")
    }).pipe(
      Effect.provide(
        InferenceTest.layer({
          apps: [InferenceTest.app(Caption, () => Effect.delay(Effect.succeed({ caption: "slow" }), "1 minute"))]
        })
      )
    )
  )

  it.effect("mocks each function of an app that has several", () =>
    Effect.gen(function* () {
      const { output } = yield* Tasks.run(Arithmetic, { function: "negate", input: { a: 1 } })
      assert.strictEqual(output.negated, -1)
    }).pipe(
      Effect.provide(
        InferenceTest.layer({
          apps: [
            InferenceTest.app(Arithmetic, {
              add: ({ a, b }) => ({ sum: a + b }),
              negate: ({ a }) => Effect.succeed({ negated: -a })
            })
          ]
        })
      )
    )
  )

  it.effect("fails the task with what it fails with or throws, or when its output does not fit", () =>
    Effect.gen(function* () {
      const outcomes = (mock: () => { caption: string } | Effect.Effect<never, string>) =>
        Effect.map(
          Effect.flip(Effect.provide(run, InferenceTest.layer({ apps: [InferenceTest.app(Caption, mock)] }))),
          (error) => (error._tag === "TaskFailed" ? error.task.error : assert.fail(error._tag))
        )
      assert.strictEqual(yield* outcomes(() => Effect.fail("no luck")), "no luck")
      assert.include(
        yield* outcomes(() => {
          throw new Error("a bug")
        }),
        "a bug"
      )
      const wrong: unknown = { caption: 1 }
      assert.include(yield* outcomes(() => wrong as { caption: string }), "caption")
    })
  )
})

describe("two mocks of one app", () => {
  it.effect("are refused, and those of two versions are not", () =>
    Effect.gen(function* () {
      const mockOf = (name: string) => InferenceTest.script(App.make(name, { input: {}, output: {} }), [{ output: {} }])
      const built = (names: ReadonlyArray<string>) =>
        Effect.exit(Effect.scoped(Layer.build(InferenceTest.layer({ apps: names.map(mockOf) }))))
      const twice = yield* built(["acme/caption", "app/acme/caption@latest"])
      assert.isTrue(Exit.isFailure(twice) && Cause.pretty(twice.cause).includes("acme/caption"))
      assert.isTrue(Exit.isSuccess(yield* built(["acme/caption@1", "acme/caption@2"])))
    })
  )
})

describe("a script", () => {
  const moody = InferenceTest.script(Caption, [
    [
      { log: "loading" },
      { after: "2 seconds", output: { caption: "a" } },
      { after: "2 seconds", output: { caption: "a cat" } }
    ],
    { fail: "out of memory" },
    { cancelled: true },
    { error: new InferenceError.RateLimited({ status: 429, retryAfter: Duration.seconds(3) }) },
    { output: { caption: "at last" } }
  ])

  it.effect("plays a run after the other: outputs and logs over time, failures, cancellation, refusals", () =>
    Effect.gen(function* () {
      const first = yield* Effect.fork(T.record(Tasks.runStream(Caption, { input: { text: "cat" } })))
      yield* TestClock.adjust("5 seconds")
      const { items, error } = yield* Fiber.join(first)
      assert.isUndefined(error)
      const outputs = items.flatMap(({ output }) => (output === undefined ? [] : [output.caption]))
      assert.deepStrictEqual([...new Set(outputs)], ["a", "a cat"])
      assert.isTrue(items.at(-1)?.logs?.some(({ content }) => content === "loading"))

      const errors = yield* Effect.all([Effect.flip(run), Effect.flip(run), Effect.flip(run)])
      assert.deepStrictEqual(
        errors.map(({ _tag }) => _tag),
        ["TaskFailed", "TaskCancelled", "RateLimited"]
      )
      assert.strictEqual(errors[0]._tag === "TaskFailed" && errors[0].task.error, "out of memory")
      assert.strictEqual(yield* caption, "at last")
      const beyond = yield* death(run)
      assert.include(beyond.message, "acme/caption")
      assert.include(beyond.message, "5 runs")
    }).pipe(Effect.provide(InferenceTest.layer({ apps: [moody] })))
  )

  it.effect("starts over in each layer", () =>
    Effect.gen(function* () {
      const once = InferenceTest.script(Caption, [{ output: { caption: "one" } }])
      const layer = InferenceTest.layer({ apps: [once] })
      assert.strictEqual(yield* Effect.provide(caption, layer), "one")
      assert.strictEqual(yield* Effect.provide(caption, layer), "one")
    })
  )

  it.effect("makes retries testable", () =>
    Effect.gen(function* () {
      const fiber = yield* caption.pipe(
        Effect.retry({
          while: (error) => InferenceError.isTransient(error),
          schedule: Schedule.spaced("10 seconds"),
          times: 3
        }),
        Effect.fork
      )
      yield* TestClock.adjust("20 seconds")
      assert.strictEqual(yield* Fiber.join(fiber), "third")
      assert.strictEqual((yield* InferenceTest.runsOf(Caption)).length, 3)
    }).pipe(
      Effect.provide(
        InferenceTest.layer({
          apps: [
            InferenceTest.script(Caption, [
              { error: new InferenceError.ServiceUnavailable({ status: 503 }) },
              { error: new InferenceError.RateLimited({ status: 429 }) },
              { output: { caption: "third" } }
            ])
          ]
        })
      )
    )
  )

  it.effect("gives each of several calls at once a run of its own", () =>
    Effect.gen(function* () {
      const results = yield* Effect.forEach([1, 2, 3, 4], () => Effect.either(caption), { concurrency: 4 })
      const texts = results.map((result) => (result._tag === "Right" ? result.right : result.left._tag))
      assert.deepStrictEqual(texts.sort(), ["Forbidden", "a", "b", "c"].sort())
    }).pipe(
      Effect.provide(
        InferenceTest.layer({
          apps: [
            InferenceTest.script(Caption, [
              { output: { caption: "a" } },
              { error: new InferenceError.Forbidden({ status: 403 }) },
              { output: { caption: "b" } },
              { output: { caption: "c" } }
            ])
          ]
        })
      )
    )
  )

  it.effect("keeps a run for the next call where a task was refused", () =>
    Effect.gen(function* () {
      const refused = yield* Effect.flip(Tasks.run("acme/caption", { input: { text: 1 } }))
      assert.strictEqual(refused._tag, "InvalidRequest")
      assert.strictEqual(yield* caption, "still here")
    }).pipe(
      Effect.provide(
        InferenceTest.layer({ apps: [InferenceTest.script(Caption, [{ output: { caption: "still here" } }])] })
      )
    )
  )

  const twice = InferenceTest.layer({
    apps: [InferenceTest.script(Caption, [{ output: { caption: "first" } }, { output: { caption: "second" } }])]
  })

  const later = Effect.flatMap(Clock.currentTimeMillis, (now) =>
    Tasks.submit(Caption, { input: { text: "later" }, runAt: new Date(now + 3_600_000) })
  )

  it.effect("has each call play its own run, whichever begins first", () =>
    Effect.gen(function* () {
      const { id } = yield* later
      assert.strictEqual(yield* caption, "second")
      const delayed = yield* Effect.fork(Tasks.waitForCompletion(id))
      yield* TestClock.adjust("2 hours")
      const { output } = yield* Fiber.join(delayed)
      assert.deepStrictEqual(output, { caption: "first" })
    }).pipe(Effect.provide(twice))
  )

  it.effect("keeps the run of a call that is cancelled before it begins from others", () =>
    Effect.gen(function* () {
      const { id } = yield* later
      yield* Tasks.cancel(id)
      assert.strictEqual(yield* caption, "second")
    }).pipe(Effect.provide(twice))
  )

  it.effect("gives a run that an agent asks for what no client has asked for", () =>
    Effect.gen(function* () {
      yield* later
      const agent = yield* Agents.create({ coreApp: "acme/model", tools: [Tool.app("caption", Caption, {})] })
      yield* agent.sendMessage("hello")
      const outputs = Chunk.map(yield* Stream.runCollect(Tasks.list()), ({ output }) => JSON.stringify(output))
      assert.include(Chunk.toReadonlyArray(outputs), '{"caption":"second"}')
    }).pipe(
      Effect.provide(
        InferenceTest.layer({
          apps: [
            InferenceTest.script(Caption, [{ output: { caption: "first" } }, { output: { caption: "second" } }]),
            Llm.scripted("acme/model", [
              { toolCalls: [{ name: "caption", arguments: { text: "cat" } }] },
              { response: "Done." }
            ])
          ]
        })
      )
    )
  )

  it.effect("has a call fail as it would by the service, also in traces", () =>
    Effect.gen(function* () {
      const layer = InferenceTest.layer({
        apps: [InferenceTest.script(Caption, [{ error: new InferenceError.RateLimited({ status: 429 }) }])]
      })
      const trace = yield* traced(Effect.provide(run, layer))
      const [span] = trace.named("Tasks.run")
      assert.strictEqual(span?.attributes["error.type"], "RateLimited")
    })
  )

  it.effect("plays for a request that waits for its task, too", () =>
    Effect.gen(function* () {
      const task = yield* ApiClient.request({
        method: "POST",
        path: "/apps/run",
        body: { app: "acme/caption", input: { text: "cat" }, wait: true },
        schema: Schema.Struct({ output: Schema.Unknown })
      })
      assert.deepStrictEqual(task.output, { caption: "first" })
    }).pipe(Effect.provide(twice))
  )

  it.effect("can last for ever, and be cancelled", () =>
    Effect.gen(function* () {
      const fiber = yield* Effect.fork(Effect.timeout(run, "50 seconds"))
      yield* TestClock.adjust("1 minute")
      const error = yield* Effect.flip(Fiber.join(fiber))
      assert.strictEqual(error._tag, "TimeoutException")
      const [task] = Chunk.toReadonlyArray(yield* Stream.runCollect(Tasks.list()))
      assert.strictEqual(task?.status, "cancelled")
    }).pipe(
      Effect.provide(
        InferenceTest.layer({
          apps: [InferenceTest.script(Caption, [{ after: Duration.infinity, output: { caption: "" } }])]
        })
      )
    )
  )
})

describe("agents", () => {
  const add = Tool.make("add", {
    description: "Adds",
    params: { a: Schema.Number, b: Schema.Number },
    handler: ({ a, b }) => Effect.succeed(a + b)
  })

  it.effect("are mocked by what their models say", () =>
    Effect.gen(function* () {
      const agent = yield* Agents.create("acme/helper")
      assert.strictEqual((yield* agent.sendMessage("hello")).text, "Hello!")
      const described = yield* Agents.create({ coreApp: "openrouter/claude", tools: [add] })
      assert.strictEqual((yield* described.sendMessage("2 + 3?")).text, "5")
      assert.deepStrictEqual(
        (yield* InferenceTest.calls).map(({ method }) => method),
        ["Agents.create", "Agent.sendMessage", "Agents.create", "Agent.sendMessage"]
      )
    }).pipe(
      Effect.provide(
        InferenceTest.layer({
          apps: [
            Llm.scripted("openrouter/claude", [
              { toolCalls: [{ name: "add", arguments: { a: 2, b: 3 } }] },
              { response: "5" }
            ])
          ],
          agents: { "acme/helper": [{ response: "Hello!" }] }
        })
      )
    )
  )
})

describe("what is not mocked", () => {
  it.effect("makes the code die, and says how to mock it", () =>
    Effect.gen(function* () {
      const deaths = yield* Effect.all([
        death(Effect.catchAll(Tasks.run("acme/nope", { input: {} }), () => Effect.void)),
        death(Effect.flatMap(Agents.create("acme/nobody"), (agent) => agent.sendMessage("hello"))),
        death(Effect.flatMap(Agents.create({ coreApp: "acme/no-model" }), (agent) => agent.sendMessage("hello"))),
        death(Stream.runDrain(Files.download(File.fromUri("https://example.com/cat.png?signature=secret")))),
        death(HttpClient.get("https://example.com/")),
        death(ApiClient.request({ path: "/entitlements/usage", schema: Schema.Unknown })),
        death(Tasks.estimate("app1", { input: {} }))
      ])
      assert.deepStrictEqual(
        deaths.map((defect) => defect.call),
        [
          "the app acme/nope",
          "the agent acme/nobody",
          "the app acme/no-model",
          "GET https://example.com/cat.png",
          "GET https://example.com/",
          "GET /entitlements/usage",
          "POST /store/apps/app1/estimate"
        ]
      )
      for (const defect of deaths) assert.include(defect.message, "InferenceTest.layer({ apps:")
    }).pipe(Effect.provide(InferenceTest.layer({ apps: [] })))
  )

  it.effect("makes the call die in which a tool's handler asks for it, whatever the model is told", () =>
    Effect.gen(function* () {
      const look = Tool.make("look", {
        description: "Looks",
        params: {},
        handler: () => Effect.as(Tasks.run("acme/nope", { input: {} }), "seen")
      })
      const agent = yield* Agents.create({ coreApp: "acme/model", tools: [look] })
      const defect = yield* death(agent.sendMessage("hello"))
      assert.strictEqual(defect.call, "the app acme/nope")
    }).pipe(
      Effect.provide(
        InferenceTest.layer({
          apps: [Llm.scripted("acme/model", [{ toolCalls: [{ name: "look" }] }, { response: "I cannot see it." }])]
        })
      )
    )
  )

  it.effect("makes the call die whose mock asks for it, also as a stream", () =>
    Effect.gen(function* () {
      const run = Tasks.runStream(Draw, { input: { sketch: File.fromUri("https://example.com/a.txt") } })
      const drawn = yield* death(Effect.catchAll(Tasks.completed(run), () => Effect.void))
      assert.strictEqual(drawn.call, "GET https://example.com/a.txt")
      const survived = Stream.runDrain(Stream.catchAll(run, () => Stream.empty))
      assert.strictEqual((yield* death(survived)).call, "GET https://example.com/a.txt")
      assert.strictEqual((yield* Effect.flip(Tasks.get("nope")))._tag, "NotFound")
    }).pipe(
      Effect.provide(
        InferenceTest.layer({
          apps: [
            InferenceTest.app(Draw, ({ sketch }) =>
              Effect.map(File.bytes(sketch), (picture) => ({ picture: File.fromBytes(picture) }))
            )
          ]
        })
      )
    )
  )

  it.effect("is also what a model is asked beyond its script", () =>
    Effect.gen(function* () {
      const twice = (agent: Agents.Agent) => Effect.zipRight(agent.sendMessage("hello"), agent.sendMessage("again"))
      const stored = yield* death(Effect.flatMap(Agents.create("acme/helper"), twice))
      assert.strictEqual(stored.call, "the agent acme/helper")
      assert.include(stored.hint, "1 step")
      const described = yield* death(Effect.flatMap(Agents.create({ coreApp: "acme/model" }), twice))
      assert.strictEqual(described.call, "the app acme/model")
    }).pipe(
      Effect.provide(
        InferenceTest.layer({
          apps: [Llm.scripted("acme/model", [{ response: "Hello!" }])],
          agents: { "acme/helper": [{ response: "Hello!" }] }
        })
      )
    )
  )

  it.effect("can be an endpoint that replies with nothing", () =>
    Effect.gen(function* () {
      assert.isUndefined(yield* ApiClient.request({ method: "POST", path: "/things", schema: Schema.Undefined }))
    }).pipe(Effect.provide(InferenceTest.layer({ apps: [], endpoints: { "POST /things": undefined } })))
  )

  it.effect("is another thing than what is not there: a task that nobody started is NotFound", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(Tasks.get("nope"))
      assert.strictEqual(error._tag, "NotFound")
    }).pipe(Effect.provide(InferenceTest.layer({ apps: [] })))
  )

  it.effect("can be given: endpoints, methods, files at addresses and on the disk", () =>
    Effect.gen(function* () {
      const usage = yield* ApiClient.request({
        path: "/entitlements/usage",
        schema: Schema.Struct({ concurrency: Schema.Number })
      })
      assert.strictEqual(usage.concurrency, 4)
      assert.strictEqual((yield* Tasks.get("abc")).error, "out of memory")
      const text = (file: File.File) => Effect.map(File.bytes(file), (bytes) => new TextDecoder().decode(bytes))
      const { output } = yield* Tasks.run(Draw, { input: { sketch: File.fromPath("/home/me/sketch.txt") } })
      assert.strictEqual(yield* text(output.picture), "sketched, drawn")
      const fetched = yield* Tasks.run(Draw, { input: { sketch: File.fromUri("https://example.com/a.txt") } })
      assert.strictEqual(yield* text(fetched.output.picture), "fetched, drawn")
      const saved = yield* Files.downloadTo(output.picture, "/downloads")
      const fs = yield* FileSystem.FileSystem
      assert.strictEqual(yield* fs.readFileString(saved.path), "sketched, drawn")
    }).pipe(
      Effect.provide(
        InferenceTest.layer({
          apps: [
            InferenceTest.app(Draw, ({ sketch }) =>
              Effect.map(File.bytes(sketch), (bytes) => ({
                picture: File.fromBytes(new TextEncoder().encode(`${new TextDecoder().decode(bytes)}, drawn`), {
                  filename: "picture.txt"
                })
              }))
            )
          ],
          tasks: { get: (id) => Effect.succeed(InferenceTest.task({ id, status: "failed", error: "out of memory" })) },
          endpoints: { "GET /entitlements/usage": { concurrency: 4 } },
          contents: { "/home/me/sketch.txt": "sketched", "https://example.com/a.txt": "fetched" }
        })
      )
    )
  )
})

describe("the disk", () => {
  it.effect("is one for each layer, also where two are built at once", () =>
    Effect.gen(function* () {
      class Other extends Context.Tag("Other")<Other, FileSystem.FileSystem>() {}
      const other = Layer.project(
        InferenceTest.layer({ apps: [], contents: { "/other.txt": "other" } }),
        FileSystem.FileSystem,
        Other,
        (fs) => fs
      )
      const both = Layer.merge(InferenceTest.layer({ apps: [], contents: { "/one.txt": "one" } }), other)
      yield* Effect.gen(function* () {
        const fs = yield* FileSystem.FileSystem
        assert.isTrue(yield* fs.exists("/one.txt"))
        assert.isFalse(yield* fs.exists("/other.txt"))
        assert.isTrue(yield* (yield* Other).exists("/other.txt"))
      }).pipe(Effect.provide(both))
    })
  )
})

describe("files at addresses", () => {
  const textAt = (url: string) =>
    Effect.flatMap(HttpClient.get(url), (response) => response.text).pipe(
      Effect.provide(
        InferenceTest.layer({
          apps: [],
          contents: {
            "https://Example.com": "home",
            "https://example.com/a b?c=d": "d",
            "https://example.com/a b": "any"
          }
        })
      )
    )

  it.effect("are found however the address is written, and with any query where there is none of it", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* textAt("https://example.com/"), "home")
      assert.strictEqual(yield* textAt("https://example.com/a%20b?c=d"), "d")
      assert.strictEqual(yield* textAt("https://example.com/a%20b?c=e"), "any")
    })
  )
})

describe("the recorder", () => {
  it.effect("notes what is asked, when it is asked, with the parameters of each run", () =>
    Effect.gen(function* () {
      const unused = Tasks.get("never run")
      assert.isTrue(Effect.isEffect(unused))
      yield* run
      const { id } = yield* Tasks.submit(Caption, { input: { text: "dog", times: 2 }, infra: "private" })
      yield* Tasks.waitForCompletion(id)
      yield* Stream.runDrain(Tasks.stream(id))
      yield* Effect.scoped(
        Effect.flatMap(Sessions.make(Caption), (session) => session.run({ input: { text: "fish" } }))
      )
      yield* Files.upload(new Uint8Array(3), { filename: "three.bin" })
      const calls = yield* InferenceTest.calls
      assert.deepStrictEqual(
        calls.map(({ method }) => method),
        [
          "Tasks.run",
          "Tasks.submit",
          "Tasks.waitForCompletion",
          "Tasks.stream",
          "Sessions.make",
          "Tasks.runStream",
          "Files.upload"
        ]
      )
      assert.deepStrictEqual(calls[0], { method: "Tasks.run", args: ["acme/caption", { input: { text: "cat" } }] })
      const runs = yield* InferenceTest.runsOf(Caption)
      assert.deepStrictEqual(
        runs.map(({ input }) => input.text),
        ["cat", "dog", "fish"]
      )
      assert.strictEqual(runs[1]?.infra, "private")
      yield* InferenceTest.forget
      assert.deepStrictEqual(yield* InferenceTest.calls, [])
    }).pipe(
      Effect.provide(InferenceTest.layer({ apps: [InferenceTest.app(Caption, ({ text }) => ({ caption: text }))] }))
    )
  )

  it.effect("finds the runs of an app by any of its names", () =>
    Effect.gen(function* () {
      yield* run
      yield* Tasks.run("app/acme/caption@1.2", { input: { text: "dog" } })
      const textsOf = (name: string) =>
        Effect.map(InferenceTest.runsOf(name), (runs) => runs.map(({ input }) => JSON.stringify(input)))
      assert.deepStrictEqual(yield* textsOf("acme/caption@1.2"), ['{"text":"cat"}', '{"text":"dog"}'])
      assert.deepStrictEqual(yield* textsOf("acme/caption@3"), ['{"text":"cat"}'])
      assert.strictEqual((yield* InferenceTest.runsOf(Caption)).length, 2)
      assert.deepStrictEqual(yield* textsOf("acme/other"), [])
    }).pipe(
      Effect.provide(InferenceTest.layer({ apps: [InferenceTest.app(Caption, ({ text }) => ({ caption: text }))] }))
    )
  )

  it.effect("notes requests of endpoints, and members that take no arguments", () =>
    Effect.gen(function* () {
      const request = { path: "/entitlements/usage", schema: Schema.Unknown }
      yield* ApiClient.request(request)
      yield* Tasks.submit(Caption, { input: { text: "cat" } })
      const agent = yield* Agents.create("acme/helper")
      yield* agent.reset
      assert.deepStrictEqual(
        (yield* InferenceTest.calls).map(({ method }) => method),
        ["ApiClient.request", "Tasks.submit", "Agents.create", "Agent.reset"]
      )
      assert.deepStrictEqual((yield* InferenceTest.calls)[0]?.args, [request])
    }).pipe(
      Effect.provide(
        InferenceTest.layer({
          apps: [InferenceTest.app(Caption, ({ text }) => ({ caption: text }))],
          agents: { "acme/helper": [{ response: "Hello!" }] },
          endpoints: { "GET /entitlements/usage": { concurrency: 4 } }
        })
      )
    )
  )
})
