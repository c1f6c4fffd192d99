/**
 * The server's side of proxy mode: what runs in browsers talks to the service through your own server, which has the API key.
 *
 * @module
 * @since 0.1.0
 */
import type * as HttpApp from "@effect/platform/HttpApp"
import * as HttpBody from "@effect/platform/HttpBody"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import type * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Effect from "effect/Effect"
import * as Record from "effect/Record"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as ApiKey from "./internal/apiKey.js"
import { readText } from "./internal/bytes.js"
import { fromHttpClientError } from "./internal/failure.js"
import * as HttpSpan from "./internal/httpSpan.js"
import { guard } from "./internal/proxyGuard.js"
import { isOf, pathOf, targetOf } from "./internal/proxyTarget.js"
import { failure, Problem, readBytes } from "./internal/server/reply.js"

/**
 * An endpoint of the service, such as `GET /tasks/:id`: a method, and a path below the base URL in which `:name` stands for one part.
 *
 * @since 0.1.0
 * @category models
 */
export type Endpoint = `${"GET" | "POST" | "PUT" | "PATCH" | "DELETE"} /${string}`

/**
 * What a request asks of the service.
 *
 * @since 0.1.0
 * @category models
 */
export interface Target {
  readonly method: string
  /** The path below the base URL, such as `/tasks/7k2m9qd4/stream`. */
  readonly path: string
}

/**
 * Whose key is used for what.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options<E = never, R = never, KeyE = never, KeyR = never> {
  /**
   * The API key, or what finds the one for a request: it may ask for the `HttpServerRequest`. It is sent to the origin of `baseUrl` and
   * nowhere else. An empty key is answered with 401.
   */
  readonly apiKey: Redacted.Redacted<string> | Effect.Effect<Redacted.Redacted<string>, KeyE, KeyR>
  /**
   * Whether who sends a request may use the key: `false` is answered with 401. There is no default, since whoever reaches the
   * proxy could spend your money. It is asked before anything is looked up or sent. Whoever may use the key can read each task and each
   * chat of the key's team whose id they know: look at the target where that is too much.
   */
  readonly authorize: (request: HttpServerRequest.HttpServerRequest, target: Target) => Effect.Effect<boolean, E, R>
  /** Where the service is: the only place that requests go to, whatever host their targets name. Default `https://api.inference.sh`. */
  readonly baseUrl?: string | undefined
  /** What may be asked of the service. All else is answered with 403. Default {@link defaultEndpoints}. */
  readonly endpoints?: ReadonlyArray<Endpoint> | undefined
  /**
   * The apps and agents that may be run, as globs of their references, such as `acme/*` or `acme/helper@7k2m9qd4`. All else is answered
   * with 403, as are requests that name them otherwise: by an id, or an agent by its configuration. Default: all that the key may run.
   */
  readonly apps?: ReadonlyArray<string> | undefined
  /** The largest body of a request, in bytes. Files do not come through the proxy. Default 4 MiB. */
  readonly maxBodySize?: number | undefined
}

/**
 * What it takes to run apps, to follow and cancel their tasks, to upload files for them, and to chat with agents.
 *
 * @since 0.1.0
 * @category endpoints
 */
export const defaultEndpoints: ReadonlyArray<Endpoint> = [
  "POST /apps/run",
  "GET /tasks/:id",
  "GET /tasks/:id/status",
  "GET /tasks/:id/stream",
  "POST /tasks/:id/cancel",
  "POST /files",
  "POST /agents/run",
  "GET /agents/:namespace/:name",
  "POST /chats",
  "GET /chats/:id",
  "GET /chats/:id/status",
  "GET /chats/:id/messages",
  "GET /chats/:id/stream",
  "POST /chats/:id/messages",
  "POST /chats/:id/agent",
  "POST /chats/:id/stop",
  "POST /chats/:id/settings",
  "POST /chats/messages/:id/cancel",
  "POST /tools/:id",
  "POST /tools/:id/invoke",
  "POST /tools/:id/reject",
  "GET /chats/:id/tools/:tool/always-allow/options",
  "POST /chats/:id/tools/:tool/always-allow",
  "POST /chats/:id/tools/:tool/explain",
  "GET /agent-runs/:id/interrupts",
  "POST /interrupts/:id/resolve"
]

/**
 * What it takes to look after sessions. Tasks run in sessions without it.
 *
 * @since 0.1.0
 * @category endpoints
 */
export const sessionEndpoints: ReadonlyArray<Endpoint> = [
  "GET /sessions",
  "GET /sessions/:id",
  "POST /sessions/:id/keepalive",
  "DELETE /sessions/:id"
]

/**
 * What else there is to read of tasks and files whose ids are known.
 *
 * @since 0.1.0
 * @category endpoints
 */
export const readEndpoints: ReadonlyArray<Endpoint> = [
  "GET /tasks/:id/logs",
  "GET /tasks/:id/timings",
  "GET /tasks/:id/telemetry",
  "GET /files/:id"
]

const name = "effect-inferencesh"

/** Of what the browser sends. Neither its cookies nor its own proof of who it is are for the service. */
const requestHeaders = /^(accept|content-type|user-agent|x-client-source|x-api-version|x-inf-(?!target-url$|proxy$).+)$/

/** Of what the service answers: nothing that is about its host or the connection, nor about how the bytes were packed. */
const responseHeaders = /^(content-type|retry-after|deprecation|sunset|x-request-id|x-ratelimit-.+|x-inf-.+)$/

const only = (headers: Readonly<Record<string, string>>, names: RegExp): Record<string, string> =>
  Object.fromEntries(Object.entries(headers).filter(([name]) => names.test(name)))

const maxErrorBytes = 64 * 1024

/**
 * The proxy as an `HttpApp`, for one route of your own server. It answers what `BrowserInference.layerProxy` and the official SDKs in
 * their proxy mode ask: the address that is meant is in the header `x-inf-target-url`, or for `GET` in the parameter `__inf_target`.
 *
 * What it refuses it answers with a problem (RFC 9457) that says why: 400 without a usable target, 401 for who is not authorized, 403 for
 * what is not allowed, 413 for too large a body, 502 where the service cannot be reached. Replies of the service, streams among them, are
 * sent on as they come. A client that goes away takes its request to the service with it.
 *
 * Fails with what `authorize` and `apiKey` fail with.
 *
 * For any framework that has web requests and responses, `HttpApp.toWebHandler` makes a handler of it. A route of Next.js, in
 * `app/api/inference/proxy/route.ts`:
 *
 * @example
 * ```ts
 * import { FetchHttpClient, HttpApp } from "@effect/platform"
 * import { Effect, Redacted } from "effect"
 * import { Proxy } from "effect-inferencesh"
 *
 * declare const isLoggedIn: (cookie: string | undefined) => Promise<boolean>
 *
 * const handler = Proxy.httpApp({
 *   apiKey: Redacted.make(process.env.INFERENCE_API_KEY ?? ""),
 *   authorize: (request) => Effect.promise(() => isLoggedIn(request.cookies.session)),
 *   apps: ["acme/*"]
 * }).pipe(Effect.provide(FetchHttpClient.layer), HttpApp.toWebHandler)
 *
 * export const GET = (request: Request) => handler(request)
 * export const POST = GET
 * export const DELETE = GET
 * ```
 *
 * @example
 * ```ts
 * import { createServer } from "node:http"
 * import { HttpRouter, HttpServer } from "@effect/platform"
 * import { NodeHttpClient, NodeHttpServer } from "@effect/platform-node"
 * import { Config, Effect, Layer } from "effect"
 * import { Proxy } from "effect-inferencesh"
 *
 * const proxy = Proxy.httpApp({
 *   apiKey: Config.redacted("INFERENCE_API_KEY"),
 *   authorize: () => Effect.succeed(true),
 *   endpoints: [...Proxy.defaultEndpoints, ...Proxy.sessionEndpoints]
 * })
 *
 * const server = HttpRouter.empty.pipe(
 *   HttpRouter.all("/api/inference/proxy", proxy),
 *   HttpServer.serve(),
 *   Layer.provide([NodeHttpServer.layer(createServer, { port: 3000 }), NodeHttpClient.layerUndici])
 * )
 * // NodeRuntime.runMain(Layer.launch(server))
 * ```
 * @since 0.1.0
 * @category constructors
 */
export const httpApp = <E = never, R = never, KeyE = never, KeyR = never>(
  options: Options<E, R, KeyE, KeyR>
): HttpApp.Default<E | KeyE, R | KeyR | HttpClient.HttpClient | Scope.Scope> => {
  const baseUrl = options.baseUrl ?? "https://api.inference.sh"
  const endpoints = options.endpoints ?? defaultEndpoints
  const maxBodySize = options.maxBodySize ?? 4 * 1024 ** 2

  return Effect.gen(function* () {
    const request = yield* HttpServerRequest.HttpServerRequest
    if (!URL.canParse(baseUrl)) {
      return yield* new Problem({
        status: 500,
        code: "internal_error",
        detail: "the baseUrl of the proxy is no URL: correct it on the server"
      })
    }
    const base = new URL(baseUrl)
    const target = yield* targetOf(request, base)
    const { method } = target
    const path = pathOf(target)
    if (!(yield* options.authorize(request, { method, path }))) {
      return yield* unauthorized("the proxy does not know who this is: log in, or send what its `authorize` looks for")
    }
    if (!endpoints.some(isOf(target))) {
      return yield* new Problem({
        status: 403,
        code: "forbidden",
        detail: `the proxy does not allow ${method} ${path}: it must be among the \`endpoints\` of Proxy.httpApp`
      })
    }
    const bytes = method === "GET" ? new Uint8Array() : yield* readBytes(request, maxBodySize)
    const { body, search } = yield* guard(target, bytes, options.apps)
    const apiKey = ApiKey.trimmed(Redacted.isRedacted(options.apiKey) ? options.apiKey : yield* options.apiKey)
    if (Redacted.value(apiKey) === "") {
      return yield* unauthorized("the proxy has no API key for this request: give it one as its `apiKey`")
    }
    const url = base.origin + base.pathname.replace(/\/+$/, "") + path + search
    return yield* send(url, request, body, apiKey)
  }).pipe(
    // The problems of this module alone: the caller's failures are the caller's.
    Effect.catchIf(
      (error): error is Problem => error instanceof Problem,
      (problem) => Effect.succeed(failure("v3", problem))
    ),
    // Servers run their apps uninterruptibly, unless told otherwise: who goes away while it waits could not be seen.
    Effect.interruptible
  )
}

const unauthorized = (detail: string) => new Problem({ status: 401, code: "unauthorized", detail })

/** Sends a request on. The connection belongs to the scope of the request, so that it ends with the last byte of the reply. */
const send = (
  url: string,
  request: HttpServerRequest.HttpServerRequest,
  body: Uint8Array<ArrayBuffer>,
  apiKey: Redacted.Redacted<string>
): Effect.Effect<HttpServerResponse.HttpServerResponse, Problem, HttpClient.HttpClient | Scope.Scope> =>
  Effect.gen(function* () {
    const client = HttpClient.withScope(ApiKey.discreet(yield* HttpClient.HttpClient))
    const scrub = ApiKey.scrub(apiKey)
    const { "content-type": contentType = "application/json", ...headers } = only(request.headers, requestHeaders)
    const asked = HttpClientRequest.make(request.method)(url, {
      headers: {
        accept: "application/json",
        "user-agent": name,
        ...headers,
        // What was packed on the way here could not be sent on as it comes.
        "accept-encoding": "identity",
        "x-inf-proxy": name
      },
      ...(body.length > 0 && { body: HttpBody.uint8Array(body, contentType) })
    })
    const response = yield* Effect.flatMap(ApiKey.bearer(asked, apiKey), (request) =>
      HttpSpan.withSpan(request, client.execute(request))
    ).pipe(
      Effect.mapError((error) => {
        const { detail, reason } = fromHttpClientError(error)
        return badGateway(`could not be reached: ${scrub(detail ?? reason)}`)
      })
    )
    const { status } = response
    if (status < 200 || (status >= 300 && status < 400)) {
      return yield* badGateway("redirects, and the API key is not sent on: correct the `baseUrl` of Proxy.httpApp")
    }
    const replied = {
      ...only(response.headers, responseHeaders),
      // Nothing in between may hold back or keep what comes, nor take it for a page of this host.
      "cache-control": "no-store, no-transform",
      "x-accel-buffering": "no",
      "x-content-type-options": "nosniff",
      "content-security-policy": "sandbox"
    }
    if (status === 204 || status === 205) return HttpServerResponse.empty({ status, headers: replied })
    if (status < 400) return HttpServerResponse.stream(bytesOf(response), { status, headers: replied })
    const text = yield* Effect.orElseSucceed(readText(bytesOf(response), maxErrorBytes), () => "")
    return HttpServerResponse.text(scrub(text), {
      status,
      headers: Record.map(replied, scrub),
      contentType: response.headers["content-type"] ?? "text/plain"
    })
  })

const badGateway = (what: string) =>
  new Problem({ status: 502, code: "bad_gateway", detail: `the service behind the proxy ${what}` })

const bytesOf = (response: HttpClientResponse.HttpClientResponse) =>
  Stream.catchAll(response.stream, (error) => (error.reason === "EmptyBody" ? Stream.empty : Stream.fail(error)))
