/** The HTTP client changed for some calls, and endpoints that have no function of their own. */
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { ApiClient, App, BaseApp, Inference, Tasks } from "effect-inferencesh"
import { NodeInference } from "effect-inferencesh/node"
import * as Main from "./support/main.js"
import { print } from "./support/terminal.js"

const Echo = App.make("acme/echo", {
  description: "Says what it is told.",
  input: { text: Schema.String },
  output: { text: Schema.String }
})

const echo = BaseApp.make(Echo, { run: ({ text }) => Effect.succeed({ text }) })

/** Sees each request of the calls that it is given, and adds a header to it. */
const watched = Inference.withClientTransform((client) =>
  client.pipe(
    HttpClient.mapRequest(HttpClientRequest.setHeader("x-team-id", "t1")),
    HttpClient.tapRequest(({ method, url, headers }) =>
      print(
        `${method.padEnd(4)} ${new URL(url).pathname.replace(/\w{26}/, "{id}")}  x-team-id: ${headers["x-team-id"]}`
      )
    )
  )
)

const program = Effect.gen(function* () {
  yield* Tasks.run(Echo, { input: { text: "hi" } }).pipe(watched)

  // The key, the errors, the retries and the decoding are those of the services.
  const { description } = yield* ApiClient.request({
    path: "/apps/acme/echo",
    schema: Schema.Struct({ description: Schema.String })
  })
  yield* print(`acme/echo: ${description}`)
  yield* ApiClient.request({ path: "/apps/acme/nothing", schema: Schema.Unknown }).pipe(
    Effect.catchTag("NotFound", ({ _tag, status }) => print(`acme/nothing: ${_tag} (${status})`))
  )
})

Main.run(Effect.provide(program, NodeInference.layerLocal({ apps: [echo] })))
