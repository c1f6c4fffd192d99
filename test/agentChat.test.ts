import { createServer } from "node:http"
import * as HttpServer from "@effect/platform/HttpServer"
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as LocalServer from "effect-inferencesh/LocalServer"
import { model } from "../examples/agent-chat/script.js"
import { runExample } from "./support/example.js"

const conversation = [
  '> When could I have lunch with Ada on Friday?\nLet me look at your Friday.\n  → list_appointments {"day":"Friday"}\n  ← [{',
  "\nYou are in Planning until 12:00 and at the dentist at 14:30.",
  "✓ allowed: add_appointment\n  ← added\nDone: lunch with Ada",
  "  12:30–14:00  Lunch with Ada\n"
]

describe("the example agent-chat", { timeout: 60_000 }, () => {
  it.live("talks, calls tools and asks for approval, with no account", () =>
    Effect.gen(function* () {
      const { code, stdout, stderr } = yield* runExample("agent-chat")
      assert.deepStrictEqual({ code, stderr }, { code: 0, stderr: "" })
      for (const part of conversation) assert.include(stdout, part)
    })
  )

  it.scopedLive("is the same with a key and an address, over the network", () =>
    Effect.gen(function* () {
      const address = yield* HttpServer.addressFormattedWith(Effect.succeed)
      const env = { INFERENCE_API_KEY: "inf_test", INFERENCE_BASE_URL: address, INFERENCE_MODEL: "demo/assistant" }
      const { code, stdout, stderr } = yield* runExample("agent-chat", [], { env })
      assert.deepStrictEqual({ code, stderr }, { code: 0, stderr: "" })
      assert.include(stdout, "on the live service, with the model demo/assistant")
      for (const part of conversation) assert.include(stdout, part)
    }).pipe(
      Effect.provide(
        LocalServer.layer({ apps: [model], apiKey: Redacted.make("inf_test") }).pipe(
          Layer.provideMerge(NodeHttpServer.layer(createServer, { host: "127.0.0.1", port: 0 })),
          Layer.provide(NodeContext.layer)
        )
      )
    )
  )

  it.live("stops its turn on Ctrl-C, and says so", () =>
    Effect.gen(function* () {
      const { code, stderr } = yield* runExample("agent-chat", [], {
        until: { text: "Let me look", signal: "SIGINT" }
      })
      assert.strictEqual(code, 130)
      assert.include(stderr, "Interrupted: the turn was stopped.")
    })
  )
})
