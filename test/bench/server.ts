/** Serves the apps of the benchmarks in a process of its own, and prints its address. */
import { createServer } from "node:http"
import * as HttpServer from "@effect/platform/HttpServer"
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Array from "effect/Array"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { App, BaseApp, Llm, LocalServer } from "effect-inferencesh"

export const Echo = App.make("bench/echo", { input: { text: Schema.String }, output: { text: Schema.String } })

export const Count = App.make("bench/count", { input: { to: Schema.Int }, output: { text: Schema.String } })

const echo = BaseApp.make(Echo, { run: ({ text }) => Effect.succeed({ text }), concurrency: 64 })

/** A text that grows word by word, as a language model's does. */
const count = BaseApp.make(Count, {
  concurrency: 64,
  run: ({ to }) =>
    Stream.range(1, to).pipe(
      Stream.mapAccum("", (text, n) => [`${text} ${n}`, { text: `${text} ${n}` }]),
      Stream.tap(() => Effect.yieldNow())
    )
})

/** Says as many words as it is told to, at once or after a call of a tool. */
const model = Llm.scripted("bench/model", ({ role, text, context }) => {
  if (text.startsWith("call") && role === "user") return { toolCalls: [{ name: "add", arguments: { a: 1, b: 2 } }] }
  const said = role === "user" ? text : (context.findLast((message) => message.role === "user")?.text ?? "")
  return { response: Array.makeBy(Number(/\d+/.exec(said)?.[0] ?? 1), (n) => `word${n}`).join(" ") }
})

const main = Layer.scopedDiscard(HttpServer.addressFormattedWith((address) => Console.log(address))).pipe(
  Layer.provideMerge(LocalServer.layer({ apps: [echo, count, model] })),
  Layer.provide(NodeHttpServer.layer(createServer, { host: "127.0.0.1", port: 0 })),
  Layer.provide(NodeContext.layer)
)

if (process.argv[1]?.endsWith("server.ts")) NodeRuntime.runMain(Layer.launch(main))
