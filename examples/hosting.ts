/** Serves an app on a port, calls it with a key and without one, and shuts down in good order. */
import { createServer } from "node:http"
import * as HttpServer from "@effect/platform/HttpServer"
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { App, BaseApp, LocalServer, Tasks } from "effect-inferencesh"
import { NodeInference } from "effect-inferencesh/node"
import * as Main from "./support/main.js"
import { print } from "./support/terminal.js"

const Greet = App.make("acme/greet", { input: { name: Schema.String }, output: { greeting: Schema.String } })

const greet = BaseApp.make(Greet, {
  setup: () =>
    Effect.acquireRelease(print("loaded    acme/greet"), () => print("unloaded  acme/greet")).pipe(
      Effect.as({ word: "Hello" })
    ),
  run: ({ name }, { word }) => Effect.succeed({ greeting: `${word}, ${name}!` })
})

const apiKey = Redacted.make("secret")

/** The port is one that is free: what it is stands in the address of the server. */
const server = LocalServer.layer({ apps: [greet], apiKey, shutdownTimeout: "5 seconds" }).pipe(
  Layer.provideMerge(NodeHttpServer.layer(createServer, { host: "127.0.0.1", port: 0 })),
  Layer.provide(NodeContext.layer)
)

/** Any client will do, such as curl or the official SDKs. */
const call = (baseUrl: string, key: Redacted.Redacted<string>) =>
  Tasks.run(Greet, { input: { name: "Ada" } }).pipe(Effect.provide(NodeInference.layer({ baseUrl, apiKey: key })))

const program = HttpServer.addressFormattedWith((baseUrl) =>
  Effect.gen(function* () {
    yield* print(`serving   ${baseUrl}`)
    yield* call(baseUrl, Redacted.make("guess")).pipe(
      Effect.catchTag("Unauthorized", ({ status }) => print(`refused   with ${status}`))
    )
    const { output } = yield* call(baseUrl, apiKey)
    yield* print(`answered  ${output.greeting}`)
  })
).pipe(Effect.provide(server))

Main.run(program)
