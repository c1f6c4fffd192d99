import * as NodeContext from "@effect/platform-node/NodeContext"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as AppContract from "effect-inferencesh/App"
import * as BaseApp from "effect-inferencesh/BaseApp"
import type * as NodeModule from "effect-inferencesh/NodeModule"
import * as OutputMeta from "effect-inferencesh/OutputMeta"
import { describe, expectTypeOf, it } from "vitest"

class Gpu extends Context.Tag("test/Gpu")<Gpu, { readonly name: string }>() {}

const Several = AppContract.make("acme/several", {
  input: { prompt: Schema.String, times: Schema.optionalWith(Schema.Int, { default: () => 1 }) },
  output: { answer: Schema.String, outputMeta: OutputMeta.field },
  functions: { removeBg: { input: {}, output: {} }, add_frame: { input: {}, output: {} } },
  setup: { size: Schema.optionalWith(Schema.Int, { default: () => 7 }) }
})

const several = BaseApp.make(Several, {
  run: {
    run: ({ prompt }) => Effect.map(Gpu, ({ name }) => ({ answer: `${name}: ${prompt}` })),
    removeBg: () => Effect.succeed({}),
    add_frame: () => Effect.succeed({})
  }
})

const layer = Layer.merge(Layer.succeed(Gpu, { name: "gpu" }), NodeContext.layer)

describe("BaseApp.toNodeModule", () => {
  it("has the names that the platform looks for, and no others", () => {
    const module = BaseApp.toNodeModule(several, layer)
    expectTypeOf<keyof typeof module>().toEqualTypeOf<
      | "App"
      | "AppSetup"
      | "RunInput"
      | "RunOutput"
      | "RemoveBgInput"
      | "RemoveBgOutput"
      | "AddFrameInput"
      | "AddFrameOutput"
    >()
    const { App, RunInput, AddFrameOutput } = module
    expectTypeOf(RunInput.parse({})).toEqualTypeOf<{
      readonly prompt: string
      readonly times?: number | undefined
    }>()
    expectTypeOf(AddFrameOutput).toExtend<NodeModule.NodeSchema<object>>()
    const app = new App()
    expectTypeOf(app.setup).parameter(0).toEqualTypeOf<{ readonly size?: number | undefined } | undefined>()
    const run = app.run({ prompt: "a" })
    expectTypeOf<Awaited<typeof run>>().toExtend<{ readonly answer: string; readonly output_meta?: unknown }>()
    // @ts-expect-error the app has no such function
    app.nope({})
  })

  it("has no AppSetup where the app has no setup", () => {
    const One = AppContract.make("acme/one", { input: {}, output: {} })
    const module = BaseApp.toNodeModule(BaseApp.make(One, { run: Effect.succeed }), NodeContext.layer)
    expectTypeOf<keyof typeof module>().toEqualTypeOf<"App" | "RunInput" | "RunOutput">()
  })

  it("takes a layer of all that the app needs", () => {
    // @ts-expect-error there is no Gpu
    BaseApp.toNodeModule(several, NodeContext.layer)
    // @ts-expect-error there is no file system
    BaseApp.toNodeModule(several, Layer.succeed(Gpu, { name: "gpu" }))
  })
})
