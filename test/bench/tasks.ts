/**
 * The time of tasks against the official JavaScript SDK, over the same server in the same run, as ratios: `npm run bench -- tasks`.
 * Below 1, this package is the faster one.
 */
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as Array from "effect/Array"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { App, Tasks } from "effect-inferencesh"
import { NodeInference } from "effect-inferencesh/node"
import * as Sdk from "../support/officialSdk.js"
import { compare } from "./compare.js"
import { startServer } from "./startServer.js"

const Echo = App.make("bench/echo", { input: { text: Schema.String }, output: { text: Schema.String } })
const Count = App.make("bench/count", { input: { to: Schema.Int }, output: { text: Schema.String } })

export const main = Effect.gen(function* () {
  const baseUrl = yield* startServer
  const { inference } = yield* Sdk.load
  const client = inference({ apiKey: "bench", baseUrl })
  const range = Array.range(1, 200)
  const run = Tasks.run(Echo, { input: { text: "hi" } })
  const theirRun = () => client.run({ app: "bench/echo", input: { text: "hi" } })

  yield* Effect.provide(
    Effect.gen(function* () {
      yield* compare("50 tasks, one after the other", Effect.replicateEffect(run, 50, { discard: true }), async () => {
        for (let i = 0; i < 50; i++) await theirRun()
      })
      yield* compare(
        "200 tasks at once",
        Effect.forEach(range, () => run, { concurrency: "unbounded" }),
        () => Promise.all(range.map(theirRun))
      )
      yield* compare(
        "a task with 2,000 partial outputs",
        Stream.runDrain(Tasks.runStream(Count, { input: { to: 2000 } })),
        () => client.run({ app: "bench/count", input: { to: 2000 } }, { onUpdate: () => {} })
      )
    }),
    NodeInference.layer({ apiKey: Redacted.make("bench"), baseUrl })
  )
}).pipe(Effect.scoped, Effect.provide(NodeContext.layer))
