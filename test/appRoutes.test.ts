/** What a server tells of the apps that it serves. */
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import * as NodeContext from "@effect/platform-node/NodeContext"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as App from "effect-inferencesh/App"
import * as BaseApp from "effect-inferencesh/BaseApp"
import * as LocalServer from "effect-inferencesh/LocalServer"
import * as Apps from "./support/apps.js"
import { get, type Json, post } from "./support/wire.js"

/** Its input has no JSON Schema. */
const opaque = BaseApp.make(
  App.make("acme/opaque", {
    description: "Takes anything",
    input: { callback: Schema.declare((u): u is () => void => typeof u === "function") },
    output: {}
  }),
  { run: () => Effect.succeed({}) }
)

const newer = BaseApp.make(App.make("acme/echo@newer", { input: {}, output: {} }), { run: () => Effect.succeed({}) })

const serve = LocalServer.layerHttpClient({ apps: [...Apps.all, opaque, newer] }).pipe(
  Layer.provide(Layer.mergeAll(FetchHttpClient.layer, Apps.layerJournal, NodeContext.layer))
)

describe("apps", () => {
  it.effect("are described with the schemas of their functions", () =>
    Effect.gen(function* () {
      const { data } = yield* get("/apps/acme/echo@7k2m9qd4")
      assert.deepStrictEqual(
        [data.id, data.namespace, data.name, data.version_id, data.status],
        ["acme/echo", "acme", "echo", "acme/echo@7k2m9qd4", "active"]
      )
      const { input_schema, output_schema, setup_schema, functions, default_function } = data.version
      assert.deepStrictEqual(input_schema, {
        type: "object",
        properties: { text: { type: "string" }, times: { type: "integer", default: 1 } },
        required: ["text"]
      })
      assert.deepStrictEqual(functions.run.input_schema, input_schema)
      assert.deepStrictEqual(functions.run.output_schema, output_schema)
      assert.deepStrictEqual(Object.keys(output_schema.properties), ["text"])
      assert.strictEqual(default_function, "run")
      assert.deepStrictEqual(setup_schema, {})
      const { setup_schema: ofModel } = (yield* get("/apps/acme/model")).data.version
      assert.deepStrictEqual(Object.keys(ofModel.properties), ["name", "fail"])
      const several = (yield* get("/apps/acme/arithmetic")).data.version
      assert.deepStrictEqual(Object.keys(several.functions), ["add", "negate"])
      assert.deepStrictEqual(several.functions.negate.input_schema.required, ["a"])
      assert.deepStrictEqual(several.input_schema, several.functions[several.default_function].input_schema)
    }).pipe(Effect.provide(serve))
  )

  it.effect("are known with a version and without, as requests to run them name them", () =>
    Effect.gen(function* () {
      assert.strictEqual((yield* get("/apps/acme/echo")).data.version_id, "acme/echo@newer")
      assert.strictEqual((yield* get("/apps/acme/echo%407k2m9qd4")).data.version_id, "acme/echo@7k2m9qd4")
      assert.strictEqual((yield* get("/apps/acme/echo@gone")).status, 404)
      assert.strictEqual((yield* get("/apps/acme/unknown")).status, 404)
    }).pipe(Effect.provide(serve))
  )

  it.effect("have no schema where what they take is no JSON", () =>
    Effect.gen(function* () {
      const { description, version } = (yield* get("/apps/acme/opaque")).data
      assert.strictEqual(description, "Takes anything")
      assert.isNull(version.input_schema)
      assert.strictEqual(version.output_schema.type, "object")
    }).pipe(Effect.provide(serve))
  )

  it.effect("are listed in pages", () =>
    Effect.gen(function* () {
      const first = (yield* post("/apps/list", { limit: 2 })).data
      const second = (yield* post("/apps/list", { limit: 100, cursor: first.next_cursor })).data
      const ids = [...first.items, ...second.items].map(({ version_id }: Json) => version_id)
      assert.deepStrictEqual(ids.slice(0, 2), ["acme/echo@newer", "acme/opaque@latest"])
      assert.strictEqual(ids.length, Apps.all.length + 2)
      const named = yield* post("/apps/list", { filters: [{ field: "name", operator: "eq", value: "model" }] })
      assert.deepStrictEqual(
        named.data.items.map(({ id }: Json) => id),
        ["acme/model"]
      )
    }).pipe(Effect.provide(serve))
  )
})
