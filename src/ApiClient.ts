/**
 * The authenticated HTTP service under all others: envelopes, errors, retries and event streams. Use it directly for endpoints
 * that have no function of their own here.
 *
 * @module
 * @since 0.1.0
 */
import * as Headers from "@effect/platform/Headers"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientError from "@effect/platform/HttpClientError"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import type * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as HttpTraceContext from "@effect/platform/HttpTraceContext"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { identity } from "effect/Function"
import { NodeInspectSymbol } from "effect/Inspectable"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { ApiFailure } from "./InferenceError.js"
import { DecodeError, InvalidRequest, isTransient, TransportError, wasNotCarriedOut } from "./InferenceError.js"
import * as ApiKey from "./internal/apiKey.js"
import { readText } from "./internal/bytes.js"
import { ClientTransform } from "./internal/clientTransform.js"
import { type Notice, unwrap } from "./internal/envelope.js"
import * as Failure from "./internal/failure.js"
import * as Framing from "./internal/framing.js"
import * as HttpSpan from "./internal/httpSpan.js"
import * as Reply from "./internal/reply.js"
import * as Retry from "./internal/retry.js"
import * as Telemetry from "./internal/telemetry.js"
import { viaProxy } from "./internal/viaProxy.js"
import type * as Task from "./Task.js"

export type {
  /**
   * A notice that came with a successful reply.
   *
   * @since 0.1.0
   * @category models
   */
  Notice
} from "./internal/envelope.js"
export type {
  /**
   * One event of a stream.
   *
   * @since 0.1.0
   * @category models
   */
  Frame
} from "./internal/framing.js"
export type {
  /**
   * How often and how patiently to try again.
   *
   * @since 0.1.0
   * @category models
   */
  RetryPolicy
} from "./internal/retry.js"

/**
 * A string from the service that has known values, which editors complete. Others, which later versions of the service may
 * send, are kept as they are.
 *
 * @since 0.1.0
 * @category types
 */
export type Open<Known extends string> = Known | (string & {})

/**
 * What to list, and how: of every function that lists.
 *
 * @since 0.1.0
 * @category models
 */
export interface ListQuery {
  /** Rows that are fetched at a time. */
  readonly pageSize?: number | undefined
  /** Text to look for. */
  readonly search?: string | undefined
  /** What rows must hold. `field` is the wire name of one. */
  readonly filters?:
    | ReadonlyArray<{ readonly field: string; readonly operator: string; readonly value?: unknown }>
    | undefined
  /** By the wire names of fields, the first one first. */
  readonly sort?: ReadonlyArray<{ readonly field: string; readonly dir: "asc" | "desc" }> | undefined
}

/**
 * How to reach the service, and how patient to be.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** The API key. It is sent to the origin of `baseUrl` and nowhere else. */
  readonly apiKey: Redacted.Redacted<string>
  /** Default `https://api.inference.sh`. */
  readonly baseUrl?: string | undefined
  /** Headers for every request to the service, such as `X-Team-ID`. */
  readonly headers?: Headers.Input | undefined
  /** Which integers the service uses for statuses. Default `current`. */
  readonly statusNumbering?: Task.StatusNumbering | undefined
  /** How tasks are followed. Default `stream`. */
  readonly transport?: "stream" | "poll" | undefined
  /** Time between two looks at a task when polling. Default 2 seconds. */
  readonly pollInterval?: Duration.DurationInput | undefined
  /** Time until the headers of a reply. Default 60 seconds. */
  readonly requestTimeout?: Duration.DurationInput | undefined
  /** Time without a byte on an open stream or download. Heartbeats are bytes. Default 35 seconds. */
  readonly idleTimeout?: Duration.DurationInput | undefined
  /** Time in which a task that is followed must show something new. Heartbeats do not count. Default none. */
  readonly progressTimeout?: Duration.DurationInput | undefined
  /** When to try again. `false` turns retries and reconnections off. */
  readonly retry?: Retry.RetryPolicy | false | undefined
  /** The longest event accepted on a stream, in bytes. Default 16 MiB. */
  readonly maxLineBytes?: number | undefined
  /** Whether to send trace headers to the service. Default `false`. */
  readonly propagateTraces?: boolean | undefined
  /** Called for each notice that comes with a successful reply, such as a task waiting for a free slot. */
  readonly onNotice?: ((notice: Notice) => Effect.Effect<void>) | undefined
}

/**
 * How to reach the service through a proxy that has the key, such as `Proxy.httpApp`, and how patient to be.
 *
 * @since 0.1.0
 * @category models
 */
export interface ProxyOptions extends Omit<Options, "apiKey"> {
  /**
   * Where the proxy is. In a browser it may be relative to the page, such as `/api/inference/proxy`. Its cookies are sent with each
   * request. Other proofs of who the user is go into `headers`.
   */
  readonly proxyUrl: string
}

/**
 * The options with their defaults filled in, without the key.
 *
 * @since 0.1.0
 * @category models
 */
export interface Settings {
  readonly baseUrl: string
  readonly statusNumbering: Task.StatusNumbering
  readonly transport: "stream" | "poll"
  readonly pollInterval: Duration.DurationInput
  readonly requestTimeout: Duration.DurationInput
  readonly idleTimeout: Duration.DurationInput
  readonly progressTimeout: Duration.DurationInput | undefined
  /** One attempt where retries are off. */
  readonly retry: {
    readonly attempts: number
    readonly baseDelay: Duration.Duration
    readonly maxDelay: Duration.Duration
    readonly maxRetryAfter: Duration.Duration
  }
  readonly maxLineBytes: number
}

/**
 * What the headers of a reply say, whether it is a success or a failure. Headers that are missing or cannot be read are left out.
 *
 * @since 0.1.0
 * @category models
 */
export const ReplyInfo = Reply.ReplyInfo

/**
 * What the headers of a reply say.
 *
 * @since 0.1.0
 * @category models
 */
export interface ReplyInfo extends Schema.Schema.Type<typeof ReplyInfo> {}

/**
 * A request to the service.
 *
 * @since 0.1.0
 * @category models
 */
export interface Request<A, I = unknown> {
  /** Default `GET`. */
  readonly method?: "GET" | "POST" | "PUT" | "PATCH" | "DELETE" | undefined
  /** The path below the base URL, such as `/tasks/7k2m9qd4`. Write ids with `encodeURIComponent`. */
  readonly path: string
  readonly query?: { readonly [name: string]: string | number | boolean | undefined } | undefined
  /** Sent as JSON. */
  readonly body?: unknown
  /** Decodes the payload. `Schema.Unknown` gives it as it comes, `undefined` where there is none. */
  readonly schema: Schema.Schema<A, I>
  /**
   * Whether the request may be sent again after a failure that leaves open if it was carried out. Default: `GET`, `PUT` and
   * `DELETE` may, `POST` and `PATCH` may not.
   */
  readonly idempotent?: boolean | undefined
  /** The task that the request is about, for its errors. */
  readonly taskId?: string | undefined
}

/**
 * The authenticated HTTP service.
 *
 * @since 0.1.0
 * @category services
 */
export interface Service {
  readonly settings: Settings
  /**
   * The HTTP client with the key: takes paths below the base URL, and refuses addresses on other origins. Replies come as they
   * are, without the retries and the errors of {@link Service.request}.
   */
  readonly client: HttpClient.HttpClient
  /** Sends a request, unwraps the envelope of the reply and decodes its payload. */
  readonly request: <A, I>(request: Request<A, I>) => Effect.Effect<A, ApiFailure>
  /**
   * Opens a stream of events, NDJSON or SSE, whichever the service answers with. It is not opened again when it breaks off: it
   * fails with `TransportError`, or ends.
   */
  readonly stream: (request: StreamRequest) => Stream.Stream<Framing.Frame, ApiFailure>
  /** The same, where it matters when the service has agreed to send events: the connection is open, and belongs to the scope. */
  readonly openStream: (
    request: StreamRequest
  ) => Effect.Effect<Stream.Stream<Framing.Frame, ApiFailure>, ApiFailure, Scope.Scope>
}

/**
 * A request for a stream of events.
 *
 * @since 0.1.0
 * @category models
 */
export interface StreamRequest {
  /** The path below the base URL, such as `/tasks/7k2m9qd4/stream`. */
  readonly path: string
  /** The task that the stream is about, for its errors. */
  readonly taskId?: string
}

/**
 * The tag of the authenticated HTTP service.
 *
 * @since 0.1.0
 * @category services
 */
export class ApiClient extends Context.Tag("effect-inferencesh/ApiClient")<ApiClient, Service>() {}

type Unanswered = Omit<Request<unknown>, "schema">

/** What is known of a request, for its errors. */
interface About {
  readonly method: string
  readonly url: string
  readonly taskId: string | undefined
}

const defaultBaseUrl = "https://api.inference.sh"

const maxErrorBytes = 64 * 1024

const resolve = (options: Omit<Options, "apiKey">): Settings => ({
  baseUrl: (options.baseUrl ?? defaultBaseUrl).trim().replace(/\/+$/, ""),
  statusNumbering: options.statusNumbering ?? "current",
  transport: options.transport ?? "stream",
  pollInterval: options.pollInterval ?? "2 seconds",
  requestTimeout: options.requestTimeout ?? "60 seconds",
  idleTimeout: options.idleTimeout ?? "35 seconds",
  progressTimeout: options.progressTimeout,
  retry: Retry.resolve(options.retry),
  maxLineBytes: options.maxLineBytes ?? Framing.defaultMaxLineBytes
})

const originOf = (url: string): string | undefined => (URL.canParse(url) ? new URL(url).origin : undefined)

/**
 * Makes the service over the `HttpClient` of the context: with the API key, or through a proxy that has it.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: Options | ProxyOptions): Effect.Effect<Service, never, HttpClient.HttpClient> =>
  Effect.gen(function* () {
    const plain = yield* HttpClient.HttpClient
    const settings = resolve(options)
    const origin = originOf(settings.baseUrl)

    const proxyUrl = "proxyUrl" in options ? options.proxyUrl : undefined
    const apiKey = "proxyUrl" in options ? Redacted.make("") : ApiKey.trimmed(options.apiKey)
    const scrub = ApiKey.scrub(apiKey)

    const addressOf = (path: string): string => (path.startsWith("/") ? settings.baseUrl + path : path)

    const authorise = (request: HttpClientRequest.HttpClientRequest) =>
      Effect.gen(function* () {
        if (origin === undefined || originOf(request.url) !== origin) {
          return yield* new HttpClientError.RequestError({
            request,
            reason: "InvalidUrl",
            ...(origin !== undefined && { cause: new Failure.ForeignOrigin() })
          })
        }
        const span = options.propagateTraces ? yield* Effect.option(Effect.currentSpan) : Option.none()
        const made = request.pipe(
          HttpClientRequest.setHeaders({ "x-client-source": "effect-inferencesh", ...options.headers }),
          Option.isSome(span) ? HttpClientRequest.setHeaders(HttpTraceContext.toHeaders(span.value)) : identity
        )
        return hide(yield* proxyUrl === undefined ? ApiKey.bearer(made, apiKey) : viaProxy(made, proxyUrl))
      })

    const authorised = ApiKey.discreet(plain, proxyUrl === undefined ? {} : { credentials: "include" }).pipe(
      HttpClient.mapRequestEffect(authorise)
    )

    // The user's change of the client wraps the authorised one from outside: it neither sees the key nor directs it.
    const send = (
      request: HttpClientRequest.HttpClientRequest,
      through: HttpClient.HttpClient["execute"]
    ): Effect.Effect<HttpClientResponse.HttpClientResponse, HttpClientError.HttpClientError> =>
      Effect.flatMap(ClientTransform, (transform) =>
        transform(opaque((request) => HttpSpan.withSpan(request, through(request)))).execute(
          HttpClientRequest.setUrl(request, addressOf(request.url))
        )
      )

    const client = opaque((request) => send(request, authorised.execute))

    const requestOf = (request: Unanswered): Effect.Effect<HttpClientRequest.HttpClientRequest, InvalidRequest> =>
      Effect.gen(function* () {
        const made = HttpClientRequest.make(request.method ?? "GET")(yield* checkedPath(request.path)).pipe(
          HttpClientRequest.setUrlParams(request.query ?? {})
        )
        return request.body === undefined
          ? made
          : yield* Effect.mapError(
              HttpClientRequest.bodyJson(made, request.body),
              () => new InvalidRequest({ issues: [{ path: ["body"], message: "it cannot be sent as JSON" }] })
            )
      })

    const aboutOf = (request: Pick<Unanswered, "method" | "path" | "taskId">): About => ({
      method: request.method ?? "GET",
      url: Failure.withoutQuery(addressOf(request.path)),
      taskId: request.taskId
    })

    /** Sends a request and waits for the headers of the reply. The connection belongs to the scope. */
    const open = (
      made: HttpClientRequest.HttpClientRequest,
      about: About
    ): Effect.Effect<HttpClientResponse.HttpClientResponse, ApiFailure, Scope.Scope> =>
      Effect.gen(function* () {
        const scope = yield* Effect.scope
        const response = yield* send(made, (request) =>
          Scope.extend(HttpClient.withScope(authorised).execute(request), scope)
        ).pipe(
          Effect.mapError((error) => {
            const failure = Failure.fromHttpClientError(error)
            return new TransportError({ ...failure, ...about, detail: failure.detail && scrub(failure.detail) })
          }),
          Effect.timeoutFail({
            duration: settings.requestTimeout,
            onTimeout: () => new TransportError({ ...about, reason: "Timeout" })
          })
        )
        const requestIdHeader = response.headers["x-request-id"]
        const requestId = requestIdHeader && scrub(requestIdHeader)
        const reply = yield* Reply.read(response, about, requestId)
        yield* Effect.flatMap(Reply.OnReply, (onReply) => onReply(reply))
        if (response.status >= 200 && response.status < 300) return response
        const body = yield* Effect.orElseSucceed(
          readText(Stream.interruptAfter(bytesOf(response, about), settings.idleTimeout), maxErrorBytes),
          () => ""
        )
        const { location } = response.headers
        return yield* Effect.fail(
          Failure.fromStatus(
            response.status,
            scrub(body),
            {
              ...about,
              requestId,
              retryAfter: reply.retryAfter,
              location: location && scrub(location)
            },
            about
          )
        )
      })

    const bytesOf = (
      response: HttpClientResponse.HttpClientResponse,
      about: About
    ): Stream.Stream<Uint8Array, TransportError> =>
      response.stream.pipe(
        Stream.catchAll((error) => {
          if (error.reason === "EmptyBody") return Stream.empty
          const failure = Failure.fromHttpClientError(error)
          const detail = failure.detail && scrub(failure.detail)
          return Stream.fail(new TransportError({ ...failure, ...about, detail, reason: "Disconnected" }))
        }),
        Stream.timeoutFail(() => new TransportError({ ...about, reason: "Idle" }), settings.idleTimeout)
      )

    const notify = (notice: Notice) =>
      Effect.zipRight(
        Effect.logDebug(scrub(`inference.sh: ${notice.message}`)).pipe(
          Effect.annotateLogs({
            "inference.notice.code": scrub(notice.code),
            "inference.notice.level": scrub(notice.level)
          })
        ),
        options.onNotice?.(notice) ?? Effect.void
      )

    const attempt = (request: Unanswered): Effect.Effect<unknown, ApiFailure> =>
      Effect.scoped(
        Effect.gen(function* () {
          const about = aboutOf(request)
          const response = yield* open(yield* requestOf(request), about)
          const body = response.status === 204 ? "" : yield* readText(bytesOf(response, about))
          const reply = { ...about, status: response.status }
          const { data, notices } = yield* Effect.orElse(unwrap(body, reply), () => unwrap(scrub(body), reply))
          yield* Effect.forEach(notices, notify, { discard: true })
          return data
        })
      )

    const request: Service["request"] = (request) => {
      const method = request.method ?? "GET"
      const repeatable = request.idempotent ?? (method !== "POST" && method !== "PATCH")
      return Retry.retrying<ApiFailure>(
        settings.retry,
        repeatable ? isTransient : wasNotCarriedOut
      )((failures) =>
        // A delete whose first reply got lost has done its work.
        method === "DELETE" && failures > 0
          ? Effect.catchTag(attempt(request), "NotFound", () => Effect.void)
          : attempt(request)
      ).pipe(
        Effect.flatMap((data) =>
          Effect.mapError(Schema.decodeUnknown(request.schema)(data), (error) => {
            const about = aboutOf(request)
            return Failure.decodeError(`reply to ${method} ${about.url}`, error, about)
          })
        ),
        Telemetry.request(method)
      )
    }

    const openStream: Service["openStream"] = (request) =>
      Effect.gen(function* () {
        const made = HttpClientRequest.get(yield* checkedPath(request.path), {
          headers: { accept: "application/x-ndjson", "cache-control": "no-cache", "accept-encoding": "identity" }
        })
        const about = aboutOf(request)
        const response = yield* open(made, about)
        return bytesOf(response, about).pipe(
          Framing.frames(Framing.formatOf(response.headers["content-type"]), settings.maxLineBytes),
          Stream.mapError((error) => (error._tag === "DecodeError" ? new DecodeError({ ...error, ...about }) : error))
        )
      })

    return { settings, client, request, openStream, stream: (request) => Stream.unwrapScoped(openStream(request)) }
  })

/** An id that is empty or `..` would lead to another endpoint. */
const checkedPath = (path: string): Effect.Effect<string, InvalidRequest> => {
  const [pathname = ""] = path.split(/[?#]/)
  const message = "it has a part that is empty or made of dots: is an id missing?"
  return pathname.startsWith("/") &&
    pathname !== "/" &&
    pathname
      .slice(1)
      .split("/")
      .some((part) => /^\.{0,2}$/.test(part))
    ? new InvalidRequest({ issues: [{ path: ["path"], message: `${path}: ${message}` }] })
    : Effect.succeed(path)
}

/** A client whose work cannot be taken apart by a change of the client. */
const opaque = (execute: HttpClient.HttpClient["execute"]): HttpClient.HttpClient =>
  HttpClient.makeWith<never, never, HttpClientError.HttpClientError, never>(Effect.flatMap(execute), Effect.succeed)

const shownAs = (value: () => unknown): PropertyDescriptorMap => ({
  toJSON: { value, configurable: true },
  [NodeInspectSymbol]: { value, configurable: true }
})

/** Replies and failures of the HTTP client hold the whole request: neither its headers nor its body must be printed with them. */
const hide = (request: HttpClientRequest.HttpClientRequest): HttpClientRequest.HttpClientRequest => {
  const { body, headers } = request
  const names = shownAs(() => Headers.redact(headers, /./))
  // On the prototype: fetch does not take headers with symbols of their own.
  Object.setPrototypeOf(headers, Object.create(Object.getPrototypeOf(headers), names))
  if (body._tag === "Uint8Array" || body._tag === "Raw") {
    const { _tag, contentLength, contentType } = body
    Object.defineProperties(
      body,
      shownAs(() => ({ _tag, contentType, contentLength }))
    )
  }
  return request
}

/**
 * Provides the service, over the `HttpClient` of the context: with the API key, or through a proxy that has it.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (options: Options | ProxyOptions): Layer.Layer<ApiClient, never, HttpClient.HttpClient> =>
  Layer.effect(ApiClient, make(options))

/**
 * Sends a request, unwraps the envelope of the reply and decodes its payload. For endpoints that have no function of their own.
 *
 * Fails with {@link ApiFailure}.
 *
 * @example
 * ```ts
 * import { Schema } from "effect"
 * import { ApiClient } from "effect-inferencesh"
 *
 * const usage = ApiClient.request({
 *   path: "/entitlements/usage",
 *   schema: Schema.Struct({ concurrency: Schema.Number })
 * })
 * ```
 * @since 0.1.0
 * @category requests
 */
export const request = <A, I>(request: Request<A, I>): Effect.Effect<A, ApiFailure, ApiClient> =>
  Effect.flatMap(ApiClient, (api) => api.request(request))

/**
 * Opens a stream of events, NDJSON or SSE. It is not opened again when it breaks off.
 *
 * Fails with {@link ApiFailure}; `TransportError` where the connection breaks, `DecodeError` for an event above the size limit.
 *
 * @since 0.1.0
 * @category requests
 */
export const stream = (request: StreamRequest): Stream.Stream<Framing.Frame, ApiFailure, ApiClient> =>
  Stream.unwrap(Effect.map(ApiClient, (api) => api.stream(request)))
