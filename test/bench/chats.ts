/**
 * The time of turns of agents against the official JavaScript SDK, over the same server in the same run, as ratios:
 * `npm run bench -- chats`. Below 1, this package is the faster one.
 */
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as Array from "effect/Array"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { Agents, Tool } from "effect-inferencesh"
import { NodeInference } from "effect-inferencesh/node"
import * as Sdk from "../support/officialSdk.js"
import { compare } from "./compare.js"
import { startServer } from "./startServer.js"

const add = Tool.make("add", {
  description: "Adds two numbers",
  params: { a: Schema.Number, b: Schema.Number },
  handler: ({ a, b }) => Effect.succeed(String(a + b))
})

const ours = { coreApp: "bench/model", tools: [add] } as const

const theirs = {
  core_app: { ref: "bench/model" },
  tools: [
    {
      name: "add",
      description: "Adds two numbers",
      type: "client",
      client: {
        input_schema: {
          type: "object",
          properties: { a: { type: "number" }, b: { type: "number" } },
          required: ["a", "b"]
        }
      }
    }
  ]
}

export const main = Effect.gen(function* () {
  const baseUrl = yield* startServer
  const { inference } = yield* Sdk.load
  const client = inference({ apiKey: "bench", baseUrl })
  const range = Array.range(1, 20)

  const our = (text: string) => Effect.flatMap(Agents.create(ours), (agent) => agent.sendMessage(text))
  const their = async (text: string) => {
    const agent = client.agents.create(theirs)
    await agent.sendMessage(text, {
      onMessage: () => {},
      onDelta: () => {},
      onToolCall: ({ id, args }) => void agent.submitToolResult(id, String(args.a + args.b))
    })
    agent.disconnect()
  }

  yield* Effect.provide(
    Effect.gen(function* () {
      yield* compare(
        "20 conversations of 10 words, one after the other",
        Effect.replicateEffect(our("say 10"), 20, { discard: true }),
        async () => {
          for (let i = 0; i < 20; i++) await their("say 10")
        }
      )
      yield* compare(
        "20 conversations with a call of a tool, at once",
        Effect.forEach(range, () => our("call 10"), { concurrency: "unbounded" }),
        () => Promise.all(range.map(() => their("call 10")))
      )
      yield* compare("a reply of 2,000 words", our("say 2000"), () => their("say 2000"))
    }),
    NodeInference.layer({ apiKey: Redacted.make("bench"), baseUrl })
  )
}).pipe(Effect.scoped, Effect.provide(NodeContext.layer))
