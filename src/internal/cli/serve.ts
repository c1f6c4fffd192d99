/** The command `serve`: apps of a module on a port, with words on how to reach them and a line for each request. */
import { createServer } from "node:http"
import type * as HttpApp from "@effect/platform/HttpApp"
import * as HttpServer from "@effect/platform/HttpServer"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as Clock from "effect/Clock"
import * as Config from "effect/Config"
import * as Console from "effect/Console"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as App from "../../App.js"
import * as LocalServer from "../../LocalServer.js"
import { messageOf } from "../failure.js"
import { toJsonSchema } from "../jsonSchema.js"
import { isJsonObject } from "../wire.js"
import { keyName, type Serve } from "./args.js"
import { type Loaded, loadModule } from "./loadModule.js"
import { sample } from "./sample.js"

/** Why the server does not start, in a sentence. */
export class CannotServe extends Data.TaggedError("CannotServe")<{ readonly message: string }> {}

/** A line for each request, once its answer begins. Queries are left out: they hold signatures. */
const withLog = (app: HttpApp.Default): HttpApp.Default =>
  Effect.gen(function* () {
    const request = yield* HttpServerRequest.HttpServerRequest
    const start = yield* Clock.currentTimeMillis
    const path = request.originalUrl.replace(/\?.*/s, "")
    return yield* Effect.tap(app, ({ status }) =>
      Effect.flatMap(Clock.currentTimeMillis, (now) =>
        Console.log(`${new Date(now).toTimeString().slice(0, 8)} ${request.method} ${path} ${status} ${now - start} ms`)
      )
    )
  })

const call = (app: App.Any) => {
  const name = App.defaultFunction(app)
  const schema = app.functions[name]?.input
  return {
    app: app.name,
    ...(name === "run" ? {} : { function: name }),
    input: schema === undefined ? {} : sample(Either.getOrElse(toJsonSchema(schema), () => ({})))
  }
}

/** A text as one word of a shell. */
const quoted = (text: string): string => `'${text.replace(/'/g, `'\\''`)}'`

const welcome = ({ apps }: Loaded, url: string, key: string): string => {
  const list = apps.map(({ app }) => {
    const functions = Object.keys(app.functions)
    return `  ${app.name}${functions.length > 1 ? ` (${functions.join(", ")})` : ""}`
  })
  const first = apps[0]
  const body = JSON.stringify({ ...(first && call(first.app)), wait: true })
  return [
    `Serving ${apps.length === 1 ? "one app" : `${apps.length} apps`} at ${url}`,
    "",
    ...list,
    "",
    "From a shell:",
    `  curl ${url}/apps/run -H "authorization: Bearer ${key}" -H 'content-type: application/json' -d ${quoted(body)}`,
    "From Effect:",
    `  NodeInference.layer({ apiKey: Redacted.make(${key.startsWith("$") ? "…" : JSON.stringify(key)}), baseUrl: ${JSON.stringify(url)} })`,
    "",
    "Ctrl-C stops it.",
    ""
  ].join("\n")
}

const urlOf = ({ host }: Serve, address: HttpServer.Address): string => {
  const port = address._tag === "TcpAddress" ? address.port : 0
  const name = host === "0.0.0.0" || host === "::" ? "localhost" : host.includes(":") ? `[${host}]` : host
  return `http://${name}:${port}`
}

const isLoopback = (host: string): boolean => /^(localhost|127\.\d+\.\d+\.\d+|::1)$/.test(host)

/** Serves until it is interrupted. */
export const serve = (command: Serve) =>
  Effect.gen(function* () {
    const loaded = yield* loadModule(command.module, command.outputDirectories)
    const { apps, agents } = loaded
    const inherited = yield* Config.option(Config.nonEmptyString(keyName))
    const apiKey = command.apiKey ?? Option.getOrUndefined(Option.map(inherited, Redacted.make))
    const announced = Layer.effectDiscard(
      Effect.gen(function* () {
        const { address } = yield* HttpServer.HttpServer
        // A key that was given is not printed.
        const key = apiKey === undefined ? "any-key" : `$${keyName}`
        yield* Console.log(welcome(loaded, urlOf(command, address), key))
        if (apiKey === undefined && !isLoopback(command.host)) {
          yield* Console.warn(`Whoever reaches ${command.host} can run these apps: set an API key to change that.\n`)
        }
      })
    )
    const server = LocalServer.layer({
      apps,
      agents,
      apiKey,
      dataDirectory: command.data,
      shutdownTimeout: "10 seconds",
      middleware: withLog
    })
    const http = NodeHttpServer.layer(createServer, { host: command.host, port: command.port })
    return yield* Layer.launch(
      Layer.provideMerge(announced, server).pipe(
        Layer.provide(http),
        Layer.provide(loaded.layer),
        Layer.provide(surroundings)
      )
    ).pipe(Effect.catchAll((error) => new CannotServe({ message: reason(command, error) })))
  }).pipe(Effect.provide(surroundings))

const surroundings = Layer.merge(NodeContext.layer, NodeHttpClient.layerUndici)

const reason = ({ host, port }: Serve, error: unknown): string => {
  const message = messageOf(error)
  return isJsonObject(error) && isJsonObject(error.cause) && error.cause.code === "EADDRINUSE"
    ? `Port ${port} of ${host} is in use: stop what listens there, or name another with --port.`
    : `The server does not start: ${message}`
}
