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
import { z } from "zod"

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

describe("BaseApp.fromNodeModule", () => {
  class App {
    async setup(_config: unknown) {}
    async run(input: { readonly text: string; readonly times: number }) {
      return { text: input.text.repeat(input.times) }
    }
    async *removeBg() {
      yield { count: 1 }
    }
    async internal() {}
  }
  const RunInput = z.object({ text: z.string(), times: z.number().default(2) })
  const RunOutput = z.object({ text: z.string(), file: z.any() })
  const RemoveBgInput = z.object({})
  const RemoveBgOutput = z.object({ count: z.number() })
  const AppSetup = z.object({ model: z.string().default("small") })

  it("types the functions for which there are schemas, as callers see them", () => {
    const { app } = BaseApp.fromNodeModule("acme/a", {
      App,
      RunInput,
      RunOutput,
      RemoveBgInput,
      RemoveBgOutput,
      AppSetup
    })
    expectTypeOf<AppContract.FunctionName<typeof app>>().toEqualTypeOf<"run" | "removeBg">()
    expectTypeOf<AppContract.Input<typeof app>>().toEqualTypeOf<{ text: string; times?: number | undefined }>()
    expectTypeOf<AppContract.Output<typeof app, "removeBg">>().toEqualTypeOf<{ count: number }>()
    expectTypeOf<AppContract.Setup<typeof app>>().toEqualTypeOf<{ model?: string | undefined }>()
  })

  it("types only what are functions", () => {
    class App {
      readonly context = { cancelRequested: false }
      readonly model = "small"
      async run(_input: object) {
        return {}
      }
      async talk(_input: object, _socket: object) {
        return {}
      }
      async maybeTalk(_input: object, _socket?: object) {
        return {}
      }
      async then() {}
      async onCancel() {}
      async _hidden() {}
      async half() {}
    }
    const schema = z.object({})
    const { app } = BaseApp.fromNodeModule("acme/a", {
      App,
      RunInput: schema,
      RunOutput: schema,
      TalkInput: schema,
      TalkOutput: schema,
      MaybeTalkInput: schema,
      MaybeTalkOutput: schema,
      ContextInput: schema,
      ContextOutput: schema,
      ModelInput: schema,
      ModelOutput: schema,
      ThenInput: schema,
      ThenOutput: schema,
      OnCancelInput: schema,
      OnCancelOutput: schema,
      HalfInput: schema
    })
    expectTypeOf<AppContract.FunctionName<typeof app>>().toEqualTypeOf<"run">()
  })

  it("types outputs as they are, before zod would parse them", () => {
    const { app } = BaseApp.fromNodeModule("acme/a", {
      App,
      RunInput,
      RunOutput: z.object({ length: z.string().transform((text) => text.length), times: z.number().default(1) })
    })
    expectTypeOf<AppContract.Output<typeof app>>().toEqualTypeOf<{ length: string; times?: number | undefined }>()
  })

  it("allows anything of a module of which nothing is known", () => {
    const module: NodeModule.Any = { App }
    const hosted = BaseApp.fromNodeModule("acme/a", module)
    expectTypeOf<AppContract.FunctionName<typeof hosted.app>>().toEqualTypeOf<string>()
    expectTypeOf<AppContract.Input<typeof hosted.app, "whatever">>().toEqualTypeOf<unknown>()
    expectTypeOf<BaseApp.Requirements<typeof hosted>>().toEqualTypeOf<never>()
    // As JavaScript that is imported.
    const { app } = BaseApp.fromNodeModule("acme/a", JSON.parse("{}"))
    expectTypeOf<AppContract.Input<typeof app, "whatever">>().toEqualTypeOf<unknown>()
    expectTypeOf<AppContract.Output<typeof app, "whatever">>().toEqualTypeOf<unknown>()
  })

  it("takes what toNodeModule gives", () => {
    const { app } = BaseApp.fromNodeModule("acme/several", BaseApp.toNodeModule(several, layer))
    expectTypeOf<AppContract.FunctionName<typeof app>>().toEqualTypeOf<"run" | "removeBg" | "add_frame">()
    expectTypeOf<AppContract.Input<typeof app>>().toEqualTypeOf<{
      readonly prompt: string
      readonly times?: number | undefined
    }>()
  })
})
