/** A proxy on a port, before a server on another. */
import { createServer } from "node:http"
import type * as HttpApp from "@effect/platform/HttpApp"
import * as HttpServer from "@effect/platform/HttpServer"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import type * as BaseApp from "effect-inferencesh/BaseApp"
import * as LocalServer from "effect-inferencesh/LocalServer"
import * as Proxy from "effect-inferencesh/Proxy"

/** Serves on a port, as long as the scope is open, and gives the origin. */
export const serve = <E, R>(app: HttpApp.Default<E, R>) =>
  Effect.gen(function* () {
    const context = yield* Layer.build(
      Layer.fresh(NodeHttpServer.layer(() => createServer(), { host: "127.0.0.1", port: 0 }))
    )
    yield* Effect.provide(HttpServer.serveEffect(app), context)
    return yield* Effect.provide(HttpServer.addressFormattedWith(Effect.succeed), context)
  }).pipe(Effect.orDie)

const key = Redacted.make("inf_of_the_server")

/** Each endpoint that there is. */
const endpoints = (["GET", "POST", "PUT", "PATCH", "DELETE"] as const).flatMap((method) =>
  ["/:a", "/:a/:b", "/:a/:b/:c", "/:a/:b/:c/:d", "/:a/:b/:c/:d/:e"].map(
    (path): Proxy.Endpoint => `${method} /${path.slice(1)}`
  )
)

/** Where the proxy is, and where the server is that it is before. */
export const make = <const Apps extends ReadonlyArray<BaseApp.Any>>(
  local: Omit<LocalServer.Options<Apps>, "apiKey">,
  options: Partial<Proxy.Options> = {}
) =>
  Effect.gen(function* () {
    const api = yield* serve(yield* LocalServer.make({ ...local, apiKey: key }))
    const authorize = () => Effect.succeed(true)
    const proxy = yield* serve(Proxy.httpApp({ apiKey: key, authorize, baseUrl: api, endpoints, ...options }))
    return { api, proxyUrl: `${proxy}/api/inference/proxy` }
  })
