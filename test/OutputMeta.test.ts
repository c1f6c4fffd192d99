import * as NodeContext from "@effect/platform-node/NodeContext"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as App from "effect-inferencesh/App"
import * as BaseApp from "effect-inferencesh/BaseApp"
import * as Inference from "effect-inferencesh/Inference"
import * as LocalServer from "effect-inferencesh/LocalServer"
import * as OutputMeta from "effect-inferencesh/OutputMeta"
import * as Tasks from "effect-inferencesh/Tasks"
import { toJsonSchema } from "../src/internal/jsonSchema.js"

const Draw = App.make("acme/draw", {
  input: { prompt: Schema.String },
  output: { seed: Schema.Int, outputMeta: OutputMeta.field }
})

const meta = OutputMeta.make({
  inputs: [OutputMeta.text({ tokens: 120 })],
  outputs: [
    OutputMeta.image({ width: 1024, height: 1024, resolutionMp: 1.05, steps: 20, count: 1, extra: { lora: 1 } }),
    OutputMeta.video({ resolution: "1080p", resolutionMp: 2.07, seconds: 10.5, fps: 30 }),
    OutputMeta.audio({ seconds: 3, sampleRate: 44_100 }),
    OutputMeta.raw({ cost: 0.5 })
  ]
})

const onTheWire = {
  inputs: [{ type: "text", tokens: 120 }],
  outputs: [
    { type: "image", width: 1024, height: 1024, resolution_mp: 1.05, steps: 20, count: 1, extra: { lora: 1 } },
    { type: "video", resolution: "1080p", resolution_mp: 2.07, seconds: 10.5, fps: 30 },
    { type: "audio", seconds: 3, sample_rate: 44_100 },
    { type: "raw", cost: 0.5 }
  ]
}

const draw = BaseApp.make(Draw, { run: () => Effect.succeed({ seed: 7, outputMeta: meta }) })

const decode = Schema.decodeUnknownSync(OutputMeta.OutputMeta)

describe("OutputMeta", () => {
  it("is snake_case on the wire, and says only what is known", () => {
    const output = Draw.functions.run.output
    assert.deepStrictEqual(Schema.encodeSync(output)({ seed: 7, outputMeta: meta }), {
      seed: 7,
      output_meta: onTheWire
    })
    assert.deepStrictEqual(Schema.decodeUnknownSync(output)({ seed: 7, output_meta: onTheWire }).outputMeta, meta)
    for (const absent of [{ seed: 7 }, { seed: 7, output_meta: null }]) {
      assert.deepStrictEqual(Schema.decodeUnknownSync(output)(absent), { seed: 7 })
    }
  })

  it("takes a list that is missing, or null, for an empty one", () => {
    assert.deepStrictEqual(decode({}), { inputs: [], outputs: [] })
    assert.deepStrictEqual(decode({ inputs: null, outputs: [] }), { inputs: [], outputs: [] })
    assert.deepStrictEqual(OutputMeta.make({ outputs: [OutputMeta.text()] }), {
      inputs: [],
      outputs: [{ type: "text" }]
    })
  })

  it("reads what other SDKs fill in", () => {
    const python = {
      type: "video",
      width: 0,
      height: 0,
      resolution_mp: 0,
      resolution: null,
      seconds: 0,
      fps: 0,
      extra: null
    }
    assert.deepStrictEqual(decode({ outputs: [python] }).outputs, [
      { type: "video", width: 0, height: 0, resolutionMp: 0, seconds: 0, fps: 0 }
    ])
  })

  it("keeps items that it does not know", () => {
    const odd = {
      inputs: [{ type: "hologram", photons: 1 }, { tokens: 1 }, { type: "text", tokens: "many" }],
      outputs: []
    }
    const decoded = decode(odd)
    assert.deepStrictEqual(decoded.inputs[0], { type: "unknown", item: { type: "hologram", photons: 1 } })
    assert.deepStrictEqual(
      decoded.inputs.map((item) => item.type),
      ["unknown", "unknown", "unknown"]
    )
    assert.deepStrictEqual(Schema.encodeSync(OutputMeta.OutputMeta)(decoded), odd)
  })

  it("tells its fields in a JSON Schema, and is not required", () => {
    const json = Either.getOrThrow(toJsonSchema(Draw.functions.run.output))
    assert.deepStrictEqual(json.required, ["seed"])
    const text = JSON.stringify(json.properties)
    for (const name of ["output_meta", "resolution_mp", "sample_rate", "Token count", "Cost in dollar cents"]) {
      assert.include(text, `"${name}"`)
    }
  })

  it.effect("comes to the caller of an app", () =>
    Effect.gen(function* () {
      const { output } = yield* Tasks.run(Draw, { input: { prompt: "a cat" } })
      assert.deepStrictEqual(output, { seed: 7, outputMeta: meta })
    }).pipe(
      Effect.provide(
        Inference.layer({ apiKey: Redacted.make("key") }).pipe(
          Layer.provide(LocalServer.layerHttpClient({ apps: [draw] })),
          Layer.provide(NodeContext.layer)
        )
      )
    )
  )
})
