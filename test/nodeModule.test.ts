import { existsSync, readFileSync } from "node:fs"
import { isAbsolute } from "node:path"
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import * as FileSystem from "@effect/platform/FileSystem"
import * as NodeContext from "@effect/platform-node/NodeContext"
import { assert, describe, it } from "@effect/vitest"
import { createFileSchema, isFileSchema, liveFields } from "@inferencesh/app"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as App from "effect-inferencesh/App"
import * as BaseApp from "effect-inferencesh/BaseApp"
import * as File from "effect-inferencesh/File"
import * as InferenceError from "effect-inferencesh/InferenceError"
import { z } from "zod"
import * as Apps from "./support/apps.js"
import { makeKernel, zodToJsonSchema } from "./support/nodeKernel.js"

const promise = <A>(f: () => PromiseLike<A>) => Effect.promise(async () => await f())

const rejection = (f: () => PromiseLike<unknown>) =>
  Effect.flip(Effect.tryPromise({ try: async () => await f(), catch: (error) => error }))

const appFailed = (error: unknown): InferenceError.AppFailed => {
  assert.instanceOf(error, InferenceError.AppFailed)
  return error
}

const echo = BaseApp.toNodeModule(Apps.echo, NodeContext.layer)

/** A layer that tells when it is built and when it goes. */
const journaled = () => {
  const events: Array<string> = []
  const note = (event: string) => Effect.sync(() => void events.push(event))
  const layer = Layer.scoped(
    Apps.Journal,
    Effect.as(
      Effect.acquireRelease(note("built"), () => note("disposed")),
      { note, events: () => [...events] }
    )
  )
  return { events, layer: Layer.merge(layer, NodeContext.layer) }
}

const neverSetUp = Effect.gen(function* () {
  const { events, layer } = journaled()
  const { App: Never } = BaseApp.toNodeModule(Apps.never, layer)
  const app = new Never()
  yield* promise(() => app.setup())
  return { app, events }
})

const Wide = App.make("acme/wide", {
  input: {
    image: File.image.annotations({ description: "The picture" }),
    mask: Schema.optional(File.File),
    steps: Schema.optionalWith(Schema.Int.pipe(Schema.between(1, 50)).annotations({ description: "How many" }), {
      default: () => 20
    }),
    strength: Schema.Number.pipe(Schema.greaterThan(0)),
    mode: Schema.optionalWith(Schema.Literal("fast", "fine"), { default: () => "fast" as const }),
    tags: Schema.Array(Schema.String),
    seed: Schema.NullOr(Schema.Int),
    either: Schema.Union(Schema.String, Schema.Boolean),
    more: Schema.Record({ key: Schema.String, value: Schema.Unknown }),
    nested: Schema.Struct({ x: Schema.Number }),
    any: Schema.Unknown
  },
  output: { ok: Schema.Boolean },
  setup: { model: Schema.optionalWith(Schema.String, { default: () => "small" }) }
})

/** The same, as a Node app of the platform would write it. */
const wideZod = z.object({
  image: createFileSchema(z).describe("The picture"),
  mask: createFileSchema(z).optional(),
  steps: z.number().int().min(1).max(50).describe("How many").default(20),
  strength: z.number().gt(0),
  mode: z.enum(["fast", "fine"]).default("fast"),
  tags: z.array(z.string()),
  seed: z.number().int().nullable(),
  either: z.union([z.string(), z.boolean()]),
  more: z.record(z.string(), z.any()),
  nested: z.object({ x: z.number() }),
  any: z.any()
})

const wide = BaseApp.toNodeModule(BaseApp.make(Wide, { run: () => Effect.succeed({ ok: true }) }), NodeContext.layer)

describe("toNodeModule", () => {
  it("exports what the platform looks for, and no more", () => {
    assert.deepStrictEqual(Object.keys(echo), ["App", "RunInput", "RunOutput"])
    assert.deepStrictEqual(Object.keys(wide), ["App", "AppSetup", "RunInput", "RunOutput"])
    const several = BaseApp.toNodeModule(Apps.arithmetic, NodeContext.layer)
    assert.deepStrictEqual(Object.keys(several), ["App", "AddInput", "AddOutput", "NegateInput", "NegateOutput"])
    assert.deepStrictEqual(Object.keys(makeKernel(several).functions), ["add", "negate"])
    assert.strictEqual(echo.App.name, "App")
    assert.strictEqual(echo.App.prototype.run.length, 1)
    assert.strictEqual(echo.App.prototype.run.name, "run")
  })

  it("names the schemas of functions in PascalCase", () => {
    const Names = App.make("acme/names", {
      functions: { removeBg: { input: {}, output: {} }, add_frame: { input: {}, output: {} } }
    })
    const { RemoveBgInput, AddFrameOutput, ...rest } = BaseApp.toNodeModule(
      BaseApp.make(Names, { run: { removeBg: () => Effect.succeed({}), add_frame: () => Effect.succeed({}) } }),
      NodeContext.layer
    )
    assert.isDefined(RemoveBgInput)
    assert.isDefined(AddFrameOutput)
    assert.deepStrictEqual(Object.keys(makeKernel({ RemoveBgInput, AddFrameOutput, ...rest }).functions), [
      "removeBg",
      "add_frame"
    ])
  })

  it("refuses functions that the platform would not find", () => {
    const of = (functions: App.SignatureInputs) =>
      BaseApp.make(App.make("acme/odd", { functions }), { run: {} as never })
    const one = { input: {}, output: {} }
    assert.throws(() => BaseApp.toNodeModule(of({ setup: one }), NodeContext.layer), /setup/)
    assert.throws(() => BaseApp.toNodeModule(of({ _hidden: one }), NodeContext.layer), /_hidden/)
    assert.throws(() => BaseApp.toNodeModule(of({ removeBg: one, remove_bg: one }), NodeContext.layer), /remove_bg/)
    const when = { input: { when: Schema.DateFromSelf }, output: {} }
    assert.throws(() => BaseApp.toNodeModule(of({ run: when }), NodeContext.layer), /when/)
  })

  it("has schemas that read like those of zod", () => {
    assert.deepStrictEqual(zodToJsonSchema(wide.RunInput), zodToJsonSchema(wideZod))
    // What the platform's own package asks of a schema.
    assert.deepStrictEqual(liveFields(wide.RunInput), {})
    const { shape } = wide.RunInput
    assert.isTrue(typeof shape === "object" && shape !== null && "image" in shape && isFileSchema(shape.image))
  })

  it.effect("has schemas that tell their JSON Schema", () =>
    Effect.gen(function* () {
      const { input, setup } = yield* BaseApp.jsonSchemas(Wide)
      assert.deepStrictEqual(wide.RunInput.toJSONSchema(), input)
      assert.deepStrictEqual(wide.RunInput["~standard"].jsonSchema.input(), input)
      // zod knows its own kind by the class.
      const { $schema: _, ...byZod } = z.toJSONSchema(wide.RunInput as unknown as z.ZodType)
      assert.deepStrictEqual(byZod, input)
      // zod finishes what it is given in place.
      assert.deepStrictEqual(zodToJsonSchema(wide.RunInput), zodToJsonSchema(wide.RunInput))
      assert.deepStrictEqual(wide.RunInput.toJSONSchema(), input)
      assert.notStrictEqual(wide.RunInput.toJSONSchema(), wide.RunInput.toJSONSchema())
      assert.notStrictEqual(wide.RunInput._zod.toJSONSchema(), wide.RunInput._zod.toJSONSchema())
      assert.deepStrictEqual(wide.AppSetup.toJSONSchema(), setup)
    })
  )

  it.effect("has schemas that validate, and fill in what is left out", () =>
    Effect.gen(function* () {
      const { RunInput } = echo
      assert.deepStrictEqual(RunInput.parse({ text: "a" }), { text: "a", times: 1 })
      assert.deepStrictEqual(yield* promise(() => RunInput.parseAsync({ text: "a", more: 1 })), { text: "a", times: 1 })
      const result = RunInput.safeParse({ text: 1, times: "2" })
      assert.isFalse(result.success)
      if (!result.success) {
        assert.deepStrictEqual(
          result.error.issues.map(({ path }) => path),
          [["text"], ["times"]]
        )
      }
      assert.throws(() => RunInput.parse({}), /text/)
      assert.include(String(yield* rejection(() => RunInput.parseAsync({}))), "text")
      const standard = yield* promise(() => RunInput["~standard"].validate({ text: "a" }))
      assert.deepStrictEqual(standard, { value: { text: "a", times: 1 } })
      const files = {
        image: "https://files.test/a.png",
        mask: { path: "/tmp/mask.png", content_type: "image/png", size: 3, filename: "mask.png" }
      }
      const rest = { strength: 1, tags: [], seed: null, either: "x", more: { a: 1 }, nested: { x: 1 }, any: null }
      assert.deepStrictEqual(wide.RunInput.parse({ ...files, ...rest }), { ...files, ...rest, steps: 20, mode: "fast" })
      const data = { ...files, image: "data:text/plain,abc" }
      assert.deepStrictEqual(wide.RunInput.parse({ ...data, ...rest }), { ...data, ...rest, steps: 20, mode: "fast" })
    })
  )

  it.live("runs as the platform runs an app", () =>
    Effect.gen(function* () {
      const kernel = makeKernel(echo)
      yield* promise(() => kernel.setup())
      assert.deepStrictEqual(yield* promise(() => kernel.run("run", { text: "ab", times: 2 })), { text: "abab" })
      assert.include(String(yield* rejection(() => kernel.run("run", {}))), "text")
      yield* promise(() => kernel.unload())
    })
  )

  it.live("can be awaited, and iterated", () =>
    Effect.gen(function* () {
      const module = BaseApp.toNodeModule(Apps.counter, NodeContext.layer)
      const app = new module.App()
      yield* promise(() => app.setup())
      assert.deepStrictEqual(yield* promise(() => app.run({ to: 3, every: 1 })), { count: 3 })
      const kernel = makeKernel(module)
      yield* promise(() => kernel.setup())
      const seen: Array<unknown> = []
      yield* promise(() => kernel.run("run", { to: 3, every: 1 }, (output) => seen.push(output)))
      assert.deepStrictEqual(seen, [{ count: 1 }, { count: 2 }, { count: 3 }])
      // Asked for more than once at a time, as generators may be.
      const run = app.run({ to: 2, every: 1 })
      const results = yield* promise(() => Promise.all([run.next(), run.next(), run.next(), run.next()]))
      assert.deepStrictEqual(
        results.map(({ value, done }) => [value, done]),
        [
          [{ count: 1 }, false],
          [{ count: 2 }, false],
          [undefined, true],
          [undefined, true]
        ]
      )
      yield* promise(() => app.unload())
      yield* promise(() => kernel.unload())
    })
  )

  it.live("has runs with the methods of promises", () =>
    Effect.gen(function* () {
      const { App: Failing } = BaseApp.toNodeModule(Apps.failing, NodeContext.layer)
      const app = new Failing()
      yield* promise(() => app.setup())
      const seen: Array<string> = []
      const message = yield* promise(() =>
        app
          .run({ message: "no luck" })
          .finally(() => seen.push("finally"))
          .catch((error: unknown) => appFailed(error).detail)
      )
      assert.strictEqual(message, "no luck")
      assert.deepStrictEqual(seen, ["finally"])
      yield* promise(() => app.unload())
    })
  )

  it.live("rejects with what went wrong, once", () =>
    Effect.gen(function* () {
      const { App: Failing } = BaseApp.toNodeModule(Apps.failing, NodeContext.layer)
      const app = new Failing()
      const early = appFailed(yield* rejection(() => app.run({ message: "x" })))
      assert.strictEqual(early.phase, "setup")
      assert.include(early.message, "call setup")
      yield* promise(() => app.setup())
      assert.strictEqual(appFailed(yield* rejection(() => app.run({ message: "no luck" }))).detail, "no luck")
      const run = app.run({ message: "again" })
      assert.strictEqual(appFailed(yield* rejection(() => run.next())).detail, "again")
      assert.isTrue((yield* promise(() => run.next())).done)
      yield* promise(() => app.unload())
    })
  )

  it.live("owns its scope and its layer from setup to unload", () =>
    Effect.gen(function* () {
      const { events, layer } = journaled()
      const kernel = makeKernel(BaseApp.toNodeModule(Apps.model, layer))
      yield* promise(() => kernel.setup({ name: "large" }))
      yield* promise(() => kernel.run("run", { prompt: "a" }))
      assert.deepStrictEqual(yield* promise(() => kernel.run("run", { prompt: "b" })), { answer: "large: b", runs: 2 })
      assert.deepStrictEqual(events, ["built", "setup large"])
      yield* promise(() => kernel.setup())
      assert.deepStrictEqual(events.splice(0), [
        "built",
        "setup large",
        "unload large",
        "finalizer large",
        "setup small"
      ])
      yield* promise(() => kernel.unload())
      assert.deepStrictEqual(events.splice(0), ["unload small", "finalizer small", "disposed"])
      yield* promise(() => kernel.unload())
      assert.deepStrictEqual(events, [])
      yield* promise(() => kernel.setup())
      assert.deepStrictEqual(events, ["built", "setup small"])
      yield* promise(() => kernel.unload())
    })
  )

  it.live("leaves nothing behind where setup fails", () =>
    Effect.gen(function* () {
      const { events, layer } = journaled()
      const { App: Model } = BaseApp.toNodeModule(Apps.model, layer)
      const app = new Model()
      const error = appFailed(yield* rejection(() => app.setup({ name: "huge", fail: true })))
      assert.strictEqual(error.phase, "setup")
      assert.strictEqual(error.detail, "no model huge")
      assert.deepStrictEqual(events, ["built", "disposed"])
      const broken = BaseApp.toNodeModule(
        Apps.model,
        Layer.merge(Layer.fail(new Error("no journal")) as Layer.Layer<Apps.Journal, Error>, NodeContext.layer)
      )
      const noLayer = appFailed(yield* rejection(() => new broken.App().setup()))
      assert.strictEqual(noLayer.phase, "setup")
      assert.strictEqual(noLayer.detail, "no journal")
    })
  )

  it.live("takes setups one after the other", () =>
    Effect.gen(function* () {
      const { events, layer } = journaled()
      const { App: Model } = BaseApp.toNodeModule(Apps.model, layer)
      const app = new Model()
      yield* promise(() => Promise.all([app.setup({ name: "a" }), app.setup({ name: "b" }), app.unload()]))
      assert.deepStrictEqual(events, [
        "built",
        "setup a",
        "unload a",
        "finalizer a",
        "setup b",
        "unload b",
        "finalizer b",
        "disposed"
      ])
    })
  )

  it.live("interrupts what runs when it is cancelled", () =>
    Effect.gen(function* () {
      const { events, layer } = journaled()
      const kernel = makeKernel(BaseApp.toNodeModule(Apps.never, layer))
      yield* promise(() => kernel.setup())
      const run = kernel.run("run", {})
      yield* Effect.repeat(Effect.sleep(1), { until: () => events.includes("never started") })
      assert.isTrue(yield* promise(() => kernel.cancel()))
      const error = appFailed(yield* rejection(() => run))
      assert.include(error.message, "cancelled")
      assert.deepStrictEqual(events.slice(-1), ["never released"])
      yield* promise(() => kernel.unload())
    })
  )

  it.live("does not start a run that was cancelled before it was awaited", () =>
    Effect.gen(function* () {
      const { app, events } = yield* neverSetUp
      const run = app.run({})
      yield* promise(() => app.onCancel())
      assert.include(appFailed(yield* rejection(() => run)).message, "cancelled")
      assert.notInclude(events, "never started")
      yield* promise(() => app.unload())
    })
  )

  it.live("tells of an unload that failed when it is set up again", () =>
    Effect.gen(function* () {
      const Broken = App.make("acme/broken", { input: {}, output: {} })
      let times = 0
      const broken = BaseApp.make(Broken, {
        setup: () => Effect.addFinalizer(() => (times++ === 0 ? Effect.die(new Error("stuck")) : Effect.void)),
        run: () => Effect.succeed({})
      })
      const { App: NodeApp } = BaseApp.toNodeModule(broken, NodeContext.layer)
      const app = new NodeApp()
      yield* promise(() => app.setup())
      const error = appFailed(yield* rejection(() => app.setup()))
      assert.deepStrictEqual([error.phase, error.detail], ["unload", "stuck"])
      yield* promise(() => app.setup())
      assert.deepStrictEqual(yield* promise(() => app.run({})), {})
      yield* promise(() => app.unload())
    })
  )

  it.live("interrupts a run whose generator is closed, also while it is at work", () =>
    Effect.gen(function* () {
      const { app, events } = yield* neverSetUp
      const run = app.run({})
      const next = run.next()
      yield* Effect.repeat(Effect.sleep(1), { until: () => events.includes("never started") })
      yield* promise(() => run.return())
      assert.deepStrictEqual(events.slice(-1), ["never released"])
      assert.isTrue((yield* promise(() => next)).done)
      assert.isTrue((yield* promise(() => run.next())).done)
      const unused = app.run({})
      yield* promise(() => unused.return())
      assert.isTrue((yield* promise(() => unused.next())).done)
      assert.strictEqual(events.filter((event) => event === "never started").length, 1)
      yield* promise(() => app.unload())
    })
  )

  it.live("interrupts what runs when it is unloaded", () =>
    Effect.gen(function* () {
      const { app, events } = yield* neverSetUp
      const run = Effect.runFork(rejection(() => app.run({})))
      yield* Effect.repeat(Effect.sleep(1), { until: () => events.includes("never started") })
      yield* promise(() => app.unload())
      appFailed(yield* run)
      assert.deepStrictEqual(events, ["built", "never started", "never released", "disposed"])
    })
  )

  it.live("gives files as paths on this machine, and takes them so", () =>
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const directory = yield* fs.makeTempDirectoryScoped()
      yield* fs.writeFileString(`${directory}/abc.txt`, "abc")
      const Layered = Layer.merge(NodeContext.layer, FetchHttpClient.layer)
      const kernel = makeKernel(BaseApp.toNodeModule(Apps.reverse, Layered))
      yield* promise(() => kernel.setup())
      const output = yield* promise(() => kernel.run("run", { file: { path: `${directory}/abc.txt` } }))
      const file = (output as { readonly file: { readonly path: string } }).file
      assert.isTrue(isAbsolute(file.path))
      assert.strictEqual(readFileSync(file.path, "utf8"), "cba")
      assert.deepStrictEqual(output, {
        file: { path: file.path, content_type: "text/plain", size: 3, filename: "reversed-abc.txt" },
        size: 3
      })
      for (const uri of [`${directory}/abc.txt`, "https://files.test/long-gone.txt"]) {
        const fetched = { uri, path: `${directory}/abc.txt`, filename: "abc.txt" }
        assert.propertyVal(yield* promise(() => kernel.run("run", { file: fetched })), "size", 3)
      }
      const inline = yield* promise(() => kernel.run("run", { file: "data:text/plain,xyz" }))
      assert.strictEqual((inline as { readonly size: number }).size, 3)
      yield* promise(() => kernel.unload())
      assert.isFalse(existsSync(file.path))
    }).pipe(Effect.scoped, Effect.provide(NodeContext.layer))
  )

  it.live("writes a file once, and leaves addresses as they are", () =>
    Effect.gen(function* () {
      const Files = App.make("acme/files", {
        input: {},
        output: { link: File.File, note: File.File, missing: Schema.optional(File.File) }
      })
      const note = File.fromBytes(new TextEncoder().encode("abc"), { filename: "../note.txt" })
      const link = File.fromUri("https://files.test/a.png")
      const app = BaseApp.make(Files, {
        run: () => Stream.make({ link, note }, { link, note }, { link, note, missing: File.fromPath("/no/such/file") })
      })
      const kernel = makeKernel(BaseApp.toNodeModule(app, NodeContext.layer))
      yield* promise(() => kernel.setup())
      const seen: Array<{ readonly link: string; readonly note: { readonly path: string } }> = []
      const error = yield* rejection(() => kernel.run("run", {}, (output) => seen.push(output as never)))
      assert.include(appFailed(error).message, "/no/such/file")
      assert.strictEqual(seen.length, 2)
      assert.strictEqual(seen[0]?.link, "https://files.test/a.png")
      assert.deepStrictEqual(seen[0], seen[1])
      assert.match(seen[0]?.note.path ?? "", /inferencesh-\w+\/[^/]*note\.txt$/)
      yield* promise(() => kernel.unload())
    })
  )

  it.live("keeps the files of a run until others have run after it", () =>
    Effect.gen(function* () {
      const One = App.make("acme/one", { input: {}, output: { note: File.File } })
      const one = BaseApp.make(One, {
        run: () => Effect.succeed({ note: File.fromBytes(new TextEncoder().encode("abc"), { filename: "note.txt" }) })
      })
      const kernel = makeKernel(BaseApp.toNodeModule(one, NodeContext.layer))
      yield* promise(() => kernel.setup())
      const run = Effect.map(
        promise(() => kernel.run("run", {})),
        (output) => (output as { readonly note: { readonly path: string } }).note.path
      )
      const [first, second, third] = [yield* run, yield* run, yield* run]
      assert.deepStrictEqual([first, second, third].map(existsSync), [false, true, true])
      yield* promise(() => kernel.unload())
      assert.deepStrictEqual([second, third].map(existsSync), [false, false])
    })
  )

  it.live("runs with the services of its layer", () =>
    Effect.gen(function* () {
      class Name extends Context.Tag("test/NodeName")<Name, string>() {}
      const Who = App.make("acme/who", { input: {}, output: { name: Schema.String } })
      const who = BaseApp.make(Who, { run: () => Effect.map(Name, (name) => ({ name })) })
      const kernel = makeKernel(BaseApp.toNodeModule(who, Layer.merge(NodeContext.layer, Layer.succeed(Name, "Ada"))))
      yield* promise(() => kernel.setup())
      assert.deepStrictEqual(yield* promise(() => kernel.run("run", {})), { name: "Ada" })
      yield* promise(() => kernel.unload())
    })
  )
})
