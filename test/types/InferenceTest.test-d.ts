import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as App from "effect-inferencesh/App"
import * as BaseApp from "effect-inferencesh/BaseApp"
import * as InferenceTest from "effect-inferencesh/InferenceTest"
import * as Llm from "effect-inferencesh/Llm"
import type * as Task from "effect-inferencesh/Task"
import { describe, expectTypeOf, it } from "vitest"

class Facts extends Context.Tag("test/Facts")<Facts, { readonly about: (text: string) => Effect.Effect<string> }>() {}

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

describe("InferenceTest.app", () => {
  it("types the decoded input, and takes a value, an Effect or a Stream of the output", () => {
    InferenceTest.app(Caption, (input) => {
      expectTypeOf(input).toEqualTypeOf<{ readonly text: string; readonly times: number }>()
      return { caption: input.text }
    })
    InferenceTest.app(Caption, ({ text }) => Effect.succeed({ caption: text }))
    InferenceTest.app(Caption, ({ text }) => Stream.make({ caption: text }))
    InferenceTest.app(Arithmetic, { add: ({ a, b }) => ({ sum: a + b }), negate: ({ a }) => ({ negated: -a }) })
    // @ts-expect-error the output has a caption
    InferenceTest.app(Caption, () => ({ text: "cat" }))
    const Anything = App.make("acme/anything", { input: {}, output: Schema.Unknown })
    InferenceTest.app(Anything, () => ({ n: 1 }))
    // @ts-expect-error a promise is no output
    InferenceTest.app(Anything, async () => ({ n: 1 }))
    // @ts-expect-error a function is missing
    InferenceTest.app(Arithmetic, { add: ({ a, b }) => ({ sum: a + b }) })
  })
})

describe("InferenceTest.script", () => {
  it("takes outputs that fit the contract", () => {
    InferenceTest.script(Caption, [{ fail: "no luck" }, [{ after: "1 second", output: { caption: "a cat" } }]])
    // @ts-expect-error the output has a caption
    InferenceTest.script(Caption, [{ output: { text: "a cat" } }])
  })
})

describe("InferenceTest.layer", () => {
  it("needs what its mocks need, and nothing else", () => {
    const plain = InferenceTest.layer({
      apps: [
        InferenceTest.app(Caption, ({ text }) => ({ caption: text })),
        InferenceTest.script(Caption, [{ fail: "no luck" }]),
        Llm.scripted("acme/model", [{ response: "Hello!" }]),
        Llm.scripted("acme/parrot", ({ text }) => ({ response: text }))
      ],
      agents: { "acme/helper": [{ response: "Hello!" }], "acme/parrot": { coreApp: "acme/parrot" } }
    })
    expectTypeOf(plain).toEqualTypeOf<Layer.Layer<InferenceTest.Services>>()

    const demanding = InferenceTest.layer({
      apps: [
        BaseApp.make(Caption, { run: ({ text }) => Effect.as(Facts, { caption: text }) }),
        Llm.scripted("acme/model", ({ text }) =>
          Effect.flatMap(Facts, (facts) => Effect.map(facts.about(text), (response) => ({ response })))
        )
      ]
    })
    expectTypeOf(demanding).toEqualTypeOf<Layer.Layer<InferenceTest.Services, never, Facts>>()
  })
})

describe("InferenceTest.AnyApp", () => {
  it("types helpers that make layers of mocks which need nothing", () => {
    const layerOf = (apps: ReadonlyArray<InferenceTest.AnyApp<never>>) => InferenceTest.layer({ apps })
    expectTypeOf(layerOf).returns.toEqualTypeOf<Layer.Layer<InferenceTest.Services>>()
    layerOf([
      InferenceTest.app(Caption, ({ text }) => ({ caption: text })),
      InferenceTest.script(Caption, [{ fail: "no luck" }]),
      Llm.scripted("acme/model", [{ response: "Hello!" }])
    ])
    // @ts-expect-error it needs something
    layerOf([BaseApp.make(Caption, { run: ({ text }) => Effect.as(Facts, { caption: text }) })])
  })
})

describe("InferenceTest.task", () => {
  it("is completed where nothing else is said", () => {
    expectTypeOf(InferenceTest.task()).toEqualTypeOf<Task.Completed>()
    expectTypeOf(InferenceTest.task({ id: "a", output: { n: 1 } })).toEqualTypeOf<Task.Completed<{ n: number }>>()
    expectTypeOf(InferenceTest.task({ status: "completed" })).toEqualTypeOf<Task.Completed>()
    expectTypeOf(InferenceTest.task({ status: "failed" })).toEqualTypeOf<Task.Task>()
    InferenceTest.layer({
      apps: [],
      tasks: { waitForCompletion: (id) => Effect.succeed(InferenceTest.task({ id, output: { caption: "a cat" } })) }
    })
  })
})

describe("InferenceTest.runsOf", () => {
  it("types the parameters by the contract", () => {
    const inputs = Effect.map(InferenceTest.runsOf(Caption), (runs) => runs.map(({ input }) => input))
    expectTypeOf<Effect.Effect.Success<typeof inputs>>().toEqualTypeOf<
      Array<{ readonly text: string; readonly times?: number }>
    >()
  })
})
