import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Stream from "effect/Stream"
import * as App from "effect-inferencesh/App"
import * as File from "effect-inferencesh/File"
import type * as InferenceError from "effect-inferencesh/InferenceError"
import type * as Task from "effect-inferencesh/Task"
import * as Tasks from "effect-inferencesh/Tasks"
import { describe, expectTypeOf, it } from "vitest"

const image = File.fromPath("cat.png")

const Upscale = App.make("acme/upscaler", {
  input: {
    image: File.File,
    scale: Schema.optionalWith(Schema.Int, { default: () => 2 }),
    when: Schema.optional(Schema.DateTimeUtc)
  },
  output: {
    image: File.File,
    finishedAt: Schema.DateTimeUtc.pipe(Schema.propertySignature, Schema.fromKey("finished_at"))
  },
  setup: { model: Schema.Literal("x2", "x4"), warm: Schema.optionalWith(Schema.Boolean, { default: () => true }) }
})

const Several = App.make("acme/several", {
  functions: {
    add: { input: { a: Schema.Number, b: Schema.Number }, output: { sum: Schema.Number } },
    shout: { input: Schema.Struct({ text: Schema.String }), output: Schema.String }
  }
})

const Both = App.make("acme/both", {
  input: { text: Schema.String },
  output: { text: Schema.String },
  functions: { count: { input: { text: Schema.String }, output: { count: Schema.Int } } }
})

describe("Tasks.run", () => {
  it("infers input, setup and output from the contract", () => {
    const run = Tasks.run(Upscale, {
      input: { image, scale: 4, when: DateTime.unsafeNow() },
      setup: { model: "x4", warm: false }
    })
    type Output = { readonly image: File.File; readonly finishedAt: DateTime.Utc }
    expectTypeOf(run).toEqualTypeOf<Effect.Effect<Task.Completed<Output>, Tasks.RunError, Tasks.Tasks>>()
    expectTypeOf<Effect.Effect.Success<typeof run>["output"]>().toEqualTypeOf<Output>()
    expectTypeOf<Effect.Effect.Success<typeof run>["status"]>().toEqualTypeOf<"completed">()
  })

  it("lets what has a default be left out", () => {
    Tasks.run(Upscale, { input: { image } })
    Tasks.run(Upscale, { input: { image }, setup: { model: "x2" } })
    // @ts-expect-error what has none may not
    Tasks.run(Upscale, { input: { scale: 2 } })
    // @ts-expect-error nor may the input
    Tasks.run(Upscale, {})
    // @ts-expect-error nor may the rest of a setup
    Tasks.run(Upscale, { input: { image }, setup: {} })
  })

  it("takes decoded values, and no others", () => {
    // @ts-expect-error a path is no file
    Tasks.run(Upscale, { input: { image: "cat.png" } })
    // @ts-expect-error a text is no number
    Tasks.run(Upscale, { input: { image, scale: "4" } })
    // @ts-expect-error a text is no time
    Tasks.run(Upscale, { input: { image, when: "2026-10-01" } })
    // @ts-expect-error there is no such field
    Tasks.run(Upscale, { input: { image, sacle: 4 } })
    // @ts-expect-error there is no such model
    Tasks.run(Upscale, { input: { image }, setup: { model: "x8" } })
    // @ts-expect-error there is no such option
    Tasks.run(Upscale, { input: { image }, timeout: 4 })
    // @ts-expect-error there is no such way
    Tasks.run(Upscale, { input: { image }, onInterrupt: "ignore" })
  })

  it("infers the functions of an app from their names", () => {
    const sum = Tasks.run(Several, { function: "add", input: { a: 1, b: 2 } })
    expectTypeOf<Effect.Effect.Success<typeof sum>["output"]>().toEqualTypeOf<{ readonly sum: number }>()
    const shouted = Tasks.run(Several, { function: "shout", input: { text: "hi" } })
    expectTypeOf<Effect.Effect.Success<typeof shouted>["output"]>().toEqualTypeOf<string>()
    // @ts-expect-error the input of the other function
    Tasks.run(Several, { function: "add", input: { text: "hi" } })
    // @ts-expect-error there is no such function
    Tasks.run(Several, { function: "subtract", input: { a: 1, b: 2 } })

    const plain = Tasks.run(Both, { input: { text: "hi" } })
    expectTypeOf<Effect.Effect.Success<typeof plain>["output"]>().toEqualTypeOf<{ readonly text: string }>()
    const counted = Tasks.run(Both, { input: { text: "hi" }, function: "count" })
    expectTypeOf<Effect.Effect.Success<typeof counted>["output"]>().toEqualTypeOf<{ readonly count: number }>()
  })

  it("takes anything for an app that is only named, and gives unknown", () => {
    const run = Tasks.run("acme/echo", { input: { anything: [1, image, new Uint8Array()] }, setup: 1, function: "go" })
    expectTypeOf(run).toEqualTypeOf<Effect.Effect<Task.Completed<unknown>, Tasks.RunError, Tasks.Tasks>>()
    expectTypeOf<Effect.Effect.Success<typeof run>["output"]>().toBeUnknown()
    // @ts-expect-error an input there must be
    Tasks.run("acme/echo", {})
  })

  it("takes any contract for what works with all", () => {
    const patient = <A extends Tasks.AppOrName>(app: A, params: Tasks.Params<A, Tasks.DefaultFunctionOf<A>>) =>
      Effect.timeout(Tasks.run(app, params), "1 hour")
    const run = patient(Both, { input: { text: "hi" } })
    expectTypeOf<Effect.Effect.Success<typeof run>["output"]>().toEqualTypeOf<{ readonly text: string }>()
    // @ts-expect-error a number is no text
    patient(Both, { input: { text: 1 } })
  })
})

describe("the other ways to run", () => {
  type Output = { readonly text: string }

  it("have the same input, and an output that may be missing", () => {
    expectTypeOf(Tasks.runStream(Both, { input: { text: "hi" } })).toEqualTypeOf<
      Stream.Stream<Task.Task<Output>, Tasks.RunError, Tasks.Tasks>
    >()
    expectTypeOf(Tasks.submit(Both, { input: { text: "hi" } })).toEqualTypeOf<
      Effect.Effect<Task.Task<Output>, Tasks.SubmitError, Tasks.Tasks>
    >()
    expectTypeOf<Task.Task<Output>["output"]>().toEqualTypeOf<Output | undefined>()
    // @ts-expect-error a number is no text
    Tasks.runStream(Both, { input: { text: 1 } })
    // @ts-expect-error a number is no text
    Tasks.submit(Both, { input: { text: 1 } })
  })

  it("by id give an unknown output, which the contract types", () => {
    expectTypeOf(Tasks.waitForCompletion("t1")).toEqualTypeOf<
      Effect.Effect<Task.Completed<unknown>, Tasks.WatchError, Tasks.Tasks>
    >()
    expectTypeOf(Tasks.stream("t1")).toEqualTypeOf<Stream.Stream<Task.Task<unknown>, Tasks.WatchError, Tasks.Tasks>>()
    expectTypeOf(Tasks.events("t1")).toEqualTypeOf<Stream.Stream<Task.Event, Tasks.WatchError, Tasks.Tasks>>()
    expectTypeOf(Tasks.get("t1")).toEqualTypeOf<
      Effect.Effect<Task.Task<unknown>, InferenceError.ApiFailure, Tasks.Tasks>
    >()
    const task = {} as Task.Task
    expectTypeOf(App.decodeOutput(Both, task)).toEqualTypeOf<
      Effect.Effect<Task.Completed<Output>, InferenceError.DecodeError>
    >()
    expectTypeOf(App.decodeOutput(Both, task, { function: "count" })).toEqualTypeOf<
      Effect.Effect<Task.Completed<{ readonly count: number }>, InferenceError.DecodeError>
    >()
  })
})

describe("what can go wrong", () => {
  type Tag<E> = E extends { readonly _tag: infer T } ? T : never
  type Api =
    | "Unauthorized"
    | "Forbidden"
    | "NotFound"
    | "InvalidRequest"
    | "RequirementsNotMet"
    | "RateLimited"
    | "ServiceUnavailable"
    | "ApiError"
    | "TransportError"
    | "DecodeError"

  it("is listed, each by its name", () => {
    expectTypeOf<Tag<InferenceError.ApiFailure>>().toEqualTypeOf<Api>()
    expectTypeOf<Tag<Tasks.SubmitError>>().toEqualTypeOf<Api | "FileError" | "SessionLost">()
    expectTypeOf<Tag<Tasks.WatchError>>().toEqualTypeOf<Api | "TaskFailed" | "TaskCancelled" | "StreamInterrupted">()
    expectTypeOf<Tag<Tasks.RunError>>().toEqualTypeOf<Tag<Tasks.SubmitError> | Tag<Tasks.WatchError>>()
  })
})

describe("App.make", () => {
  it("takes schemas or fields", () => {
    expectTypeOf<App.Input<typeof Upscale>>().toEqualTypeOf<{
      readonly image: File.File
      readonly scale?: number
      readonly when?: DateTime.Utc | undefined
    }>()
    expectTypeOf<App.DecodedInput<typeof Upscale>["scale"]>().toEqualTypeOf<number>()
    expectTypeOf<App.Output<typeof Several, "shout">>().toEqualTypeOf<string>()
    expectTypeOf<App.FunctionName<typeof Several>>().toEqualTypeOf<"add" | "shout">()
    expectTypeOf<App.DefaultFunction<typeof Both>>().toEqualTypeOf<"run">()
    // @ts-expect-error an app has an input
    App.make("acme/none", { output: {} })
    // @ts-expect-error of schemas
    App.make("acme/none", { input: { a: 1 }, output: {} })
  })
})

describe("contracts", () => {
  it("an app without a setup takes no particular one, and is not typed as anything goes", () => {
    const Plain = App.make("acme/plain", { input: {}, output: {} })
    expectTypeOf<App.Setup<typeof Plain>>().toBeUnknown()
  })

  it("an app with functions but no run has the function named", () => {
    Tasks.run(Several, { function: "add", input: { a: 1, b: 2 } })
    // @ts-expect-error which one?
    Tasks.run(Several, { input: { a: 1, b: 2 } })
    // @ts-expect-error the input is that of the function
    Tasks.run(Several, { function: "shout", input: { a: 1, b: 2 } })
  })

  it("fields with a default may be left out behind a filter, and records keep their rest", () => {
    const fields = { a: Schema.Number, b: Schema.optionalWith(Schema.Number, { default: () => 1 }) }
    const Filtered = App.make("acme/filtered", {
      input: Schema.Struct(fields).pipe(Schema.filter(({ a, b }) => a > b)),
      output: {}
    })
    const Open = App.make("acme/open", {
      input: Schema.Struct({ a: Schema.Number }, { key: Schema.String, value: Schema.Unknown }),
      output: {}
    })
    Tasks.run(Filtered, { input: { a: 2 } })
    Tasks.run(Open, { input: { a: 2, more: "of it" } })
  })

  it("what is optional may be undefined", () => {
    const maybe: string | undefined = undefined
    Tasks.run("acme/echo", { input: {}, webhook: maybe, session: maybe, function: maybe })
    Tasks.list({ search: maybe })
  })
})
