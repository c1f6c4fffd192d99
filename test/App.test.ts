import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as App from "effect-inferencesh/App"
import * as File from "effect-inferencesh/File"
import type * as Task from "effect-inferencesh/Task"

const Upscale = App.make("acme/upscaler@7k2m9qd4", {
  description: "Makes pictures larger",
  input: { image: File.File, scale: Schema.optionalWith(Schema.Int, { default: () => 2 }) },
  output: Schema.Struct({ image: File.File }),
  setup: { model: Schema.Literal("x2", "x4") },
  functions: { describe: { input: { image: File.File }, output: { text: Schema.String } } }
})

const completed = (output: unknown, more: Partial<Task.Task> = {}): Task.Task => ({
  id: "t1",
  status: "completed",
  output,
  ...more
})

describe("App", () => {
  it("is a description: names and schemas", () => {
    assert.isTrue(App.isApp(Upscale))
    assert.isFalse(App.isApp({ name: "acme/upscaler", functions: {} }))
    assert.isFalse(App.isApp(null))
    assert.strictEqual(Upscale.name, "acme/upscaler@7k2m9qd4")
    assert.strictEqual(Upscale.description, "Makes pictures larger")
    assert.deepStrictEqual(Object.keys(Upscale.functions), ["run", "describe"])
    for (const { input, output } of Object.values(Upscale.functions)) {
      assert.isTrue(Schema.isSchema(input) && Schema.isSchema(output))
    }
    assert.isTrue(Schema.is(Upscale.setup)({ model: "x2" }))
    assert.isFalse(Schema.is(Upscale.setup)({ model: "x8" }))
  })

  it("has a default function: run, or else the first", () => {
    const input = { a: Schema.Number }
    const Several = App.make("acme/several", {
      functions: { first: { input, output: {} }, second: { input, output: {} } }
    })
    assert.strictEqual(App.defaultFunction(Upscale), "run")
    assert.strictEqual(App.defaultFunction(Several), "first")
    assert.strictEqual(App.defaultFunction(App.make("acme/none", { functions: {} })), "run")
  })

  it("takes any setup where it names none", () => {
    const Plain = App.make("acme/plain", { input: {}, output: {} })
    assert.isTrue(Schema.is(Plain.setup)({ anything: 1 }))
    assert.isUndefined(Plain.description)
  })

  describe("decodeOutput", () => {
    it.effect("types the output of a task", () =>
      Effect.gen(function* () {
        const task = yield* App.decodeOutput(
          Upscale,
          completed({ image: "https://example.com/cat.png" }, { appId: "a1" })
        )
        assert.isTrue(File.isFile(task.output.image))
        assert.strictEqual(task.output.image.filename, "cat.png")
        assert.strictEqual(task.appId, "a1")
        const object = yield* App.decodeOutput(
          Upscale,
          completed({ image: { uri: "https://example.com/dog.png", size: 3 } })
        )
        assert.strictEqual(object.output.image.size, 3)
      })
    )

    it.effect("takes the function that the task says, or the one that is named", () =>
      Effect.gen(function* () {
        const output = { text: "a cat" }
        const named = yield* App.decodeOutput(Upscale, completed(output), { function: "describe" })
        assert.strictEqual(named.output.text, "a cat")
        const said = yield* App.decodeOutput(Upscale, completed(output, { function: "describe" }))
        assert.deepStrictEqual<unknown>(said.output, output)
        const empty = yield* Effect.flip(App.decodeOutput(Upscale, completed(output, { function: "" })))
        assert.deepStrictEqual(empty.path, ["image"])
      })
    )

    it.effect("fails with where the output does not fit, and the task", () =>
      Effect.gen(function* () {
        const error = yield* Effect.flip(App.decodeOutput(Upscale, completed({ text: 1 }), { function: "describe" }))
        assert.strictEqual(error._tag, "DecodeError")
        assert.deepStrictEqual(error.path, ["text"])
        assert.strictEqual(error.taskId, "t1")
        assert.include(error.message, "acme/upscaler")
        assert.include(error.message, 'Tasks.get("t1")')
      })
    )

    it.effect("fails for a task that has not completed, or ran a function that the contract does not have", () =>
      Effect.gen(function* () {
        const running = yield* Effect.flip(App.decodeOutput(Upscale, { id: "t1", status: "running" }))
        assert.include(running.message, "running")
        for (const name of ["nope", "constructor"]) {
          const error = yield* Effect.flip(App.decodeOutput(Upscale, completed({}, { function: name })))
          assert.include(error.message, name)
        }
      })
    )

    it.effect("takes the one function of a contract, whatever the app calls it", () =>
      Effect.gen(function* () {
        const Echo = App.make("acme/echo", { input: {}, output: { text: Schema.String } })
        const task = yield* App.decodeOutput(Echo, completed({ text: "hi" }, { function: "generate" }))
        assert.strictEqual(task.output.text, "hi")
      })
    )
  })
})
