/** Serves apps in a process of its own, with the data directory that it is given, and prints its address. */
import { createServer } from "node:http"
import * as HttpServer from "@effect/platform/HttpServer"
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { App, BaseApp, LocalServer } from "effect-inferencesh"

const echo = BaseApp.make(App.make("test/echo", { input: { n: Schema.Int }, output: { n: Schema.Int } }), {
  run: ({ n }) => Effect.succeed({ n })
})

const never = BaseApp.make(App.make("test/never", { input: {}, output: {} }), {
  concurrency: 1000,
  run: () => Effect.never
})

Layer.scopedDiscard(HttpServer.addressFormattedWith((address) => Console.log(address))).pipe(
  Layer.provideMerge(LocalServer.layer({ apps: [echo, never], dataDirectory: process.argv[2] })),
  Layer.provide(NodeHttpServer.layer(createServer, { host: "127.0.0.1", port: 0 })),
  Layer.provide(NodeContext.layer),
  Layer.launch,
  NodeRuntime.runMain
)
