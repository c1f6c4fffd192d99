import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as App from "effect-inferencesh/App"
import * as BaseApp from "effect-inferencesh/BaseApp"
import type * as Inference from "effect-inferencesh/Inference"
import type { AppFailed, FileError } from "effect-inferencesh/InferenceError"
import * as NodeInference from "effect-inferencesh/NodeInference"
import { describe, expectTypeOf, it } from "vitest"

class Gpu extends Context.Tag("test/Gpu")<Gpu, { readonly name: string }>() {}
class Cache extends Context.Tag("test/Cache")<Cache, { readonly get: (key: string) => Effect.Effect<string> }>() {}
class Boom extends Data.TaggedError("Boom") {}

const Model = App.make("acme/model", {
  input: { prompt: Schema.String, times: Schema.optionalWith(Schema.Int, { default: () => 1 }) },
  output: { answer: Schema.String },
  setup: { size: Schema.optionalWith(Schema.Int, { default: () => 7 }) }
})

const Several = App.make("acme/several", {
  functions: {
    add: { input: { a: Schema.Number, b: Schema.Number }, output: { sum: Schema.Number } },
    shout: { input: { text: Schema.String }, output: { text: Schema.String } }
  }
})

describe("BaseApp.make", () => {
  it("infers the setup, the state and the input, and what all of it needs", () => {
    const model = BaseApp.make(Model, {
      setup: (config) =>
        Effect.gen(function* () {
          expectTypeOf(config).toEqualTypeOf<{ readonly size: number }>()
          const gpu = yield* Gpu
          yield* Effect.addFinalizer(() => Effect.void)
          return { weights: config.size, gpu: gpu.name }
        }),
      run: (input, state) =>
        Effect.gen(function* () {
          expectTypeOf(input).toEqualTypeOf<{ readonly prompt: string; readonly times: number }>()
          expectTypeOf(state).toEqualTypeOf<{ weights: number; gpu: string }>()
          const { taskId } = yield* BaseApp.Context
          expectTypeOf(taskId).toEqualTypeOf<string>()
          const cache = yield* Cache
          if (input.times > 1) return yield* new Boom()
          return { answer: yield* cache.get(input.prompt) }
        }),
      unload: (state) => Effect.sync(() => expectTypeOf(state).toEqualTypeOf<{ weights: number; gpu: string }>())
    })
    expectTypeOf<BaseApp.Requirements<typeof model>>().toEqualTypeOf<Gpu | Cache>()
    expectTypeOf(BaseApp.start(model, {})).toExtend<
      Effect.Effect<BaseApp.Instance<typeof Model>, AppFailed, Gpu | Cache | Scope.Scope>
    >()
    // What the apps need is needed to serve them.
    const local = NodeInference.layerLocal({ apps: [model] })
    expectTypeOf<Layer.Layer.Context<typeof local>>().toEqualTypeOf<Gpu | Cache>()
    expectTypeOf<Layer.Layer.Error<typeof local>>().toEqualTypeOf<FileError>()
    expectTypeOf<Inference.Services>().toExtend<Layer.Layer.Success<typeof local>>()
  })

  it("takes a stream of outputs, of which the last counts", () => {
    BaseApp.make(Model, { run: ({ prompt }) => Stream.make({ answer: prompt }) })
    // @ts-expect-error a stream of something else
    BaseApp.make(Model, { run: ({ prompt }) => Stream.make(prompt) })
  })

  it("takes a handler for each function, and for no others", () => {
    const several = BaseApp.make(Several, {
      run: {
        add: ({ a, b }) => Effect.succeed({ sum: a + b }),
        shout: ({ text }) => Stream.make({ text: text.toUpperCase() })
      }
    })
    expectTypeOf<BaseApp.Requirements<typeof several>>().toEqualTypeOf<never>()
    // @ts-expect-error one is missing
    BaseApp.make(Several, { run: { add: ({ a, b }) => Effect.succeed({ sum: a + b }) } })
    BaseApp.make(Several, {
      run: {
        // @ts-expect-error the output of another function
        add: () => Effect.succeed({ text: "" }),
        shout: ({ text }) => Effect.succeed({ text })
      }
    })
  })

  it("does not take an output that does not fit", () => {
    // @ts-expect-error a number is no text
    BaseApp.make(Model, { run: () => Effect.succeed({ answer: 1 }) })
    // @ts-expect-error something is missing
    BaseApp.make(Model, { run: () => Effect.succeed({}) })
    // @ts-expect-error an app does something
    BaseApp.make(Model, {})
  })
})
