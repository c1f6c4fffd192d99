/**
 * Configuration, and the layers that give a program everything at once.
 *
 * @module
 * @since 0.1.0
 */
import type * as FileSystem from "@effect/platform/FileSystem"
import type * as HttpClient from "@effect/platform/HttpClient"
import type * as Path from "@effect/platform/Path"
import * as Config from "effect/Config"
import * as ConfigError from "effect/ConfigError"
import * as Effect from "effect/Effect"
import { dual } from "effect/Function"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import * as Agents from "./Agents.js"
import * as ApiClient from "./ApiClient.js"
import * as Files from "./Files.js"
import { ClientTransform } from "./internal/clientTransform.js"
import { OnReply } from "./internal/reply.js"
import * as Sessions from "./Sessions.js"
import * as Tasks from "./Tasks.js"

/**
 * How to reach the service, and how patient to be.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options extends ApiClient.Options {}

/**
 * Everything that the layers of this module provide.
 *
 * @since 0.1.0
 * @category services
 */
export type Services = Tasks.Tasks | Files.Files | Agents.Agents | Sessions.Sessions | ApiClient.ApiClient

/**
 * How to reach the service through a proxy that has the key, and how patient to be.
 *
 * @since 0.1.0
 * @category models
 */
export interface ProxyOptions extends ApiClient.ProxyOptions {}

/**
 * Provides the services.
 *
 * @example
 * ```ts
 * import { FetchHttpClient } from "@effect/platform"
 * import { NodeFileSystem, NodePath } from "@effect/platform-node"
 * import { Layer, Redacted } from "effect"
 * import { Inference } from "effect-inferencesh"
 *
 * const live = Inference.layer({ apiKey: Redacted.make("inf_…") }).pipe(
 *   Layer.provide([FetchHttpClient.layer, NodeFileSystem.layer, NodePath.layer])
 * )
 * ```
 * @since 0.1.0
 * @category layers
 */
export const layer = (
  options: Options
): Layer.Layer<Services, never, HttpClient.HttpClient | FileSystem.FileSystem | Path.Path> => services(options)

/** Services of their own, which layers with another key in the same program do not share. */
const services = (options: Options | ProxyOptions) =>
  Layer.suspend(() =>
    Layer.fresh(
      Layer.merge(Sessions.layer, Agents.layer).pipe(
        Layer.provideMerge(Tasks.layer),
        Layer.provideMerge(Files.layer),
        Layer.provideMerge(ApiClient.layer(options))
      )
    )
  )

/**
 * Provides the services without an API key: every request to the service goes to a proxy that has it, such as `Proxy.httpApp`. Bytes of
 * files go to and from their storage directly. In browsers use `BrowserInference.layerProxy`, which needs nothing more.
 *
 * @example
 * ```ts
 * import { FetchHttpClient } from "@effect/platform"
 * import { NodeFileSystem, NodePath } from "@effect/platform-node"
 * import { Layer } from "effect"
 * import { Inference } from "effect-inferencesh"
 *
 * const live = Inference.layerProxy({ proxyUrl: "https://example.com/api/inference/proxy" }).pipe(
 *   Layer.provide([FetchHttpClient.layer, NodeFileSystem.layer, NodePath.layer])
 * )
 * ```
 * @since 0.1.0
 * @category layers
 */
export const layerProxy = (
  options: ProxyOptions
): Layer.Layer<Services, never, HttpClient.HttpClient | FileSystem.FileSystem | Path.Path> => services(options)

/**
 * The options where each may come from the configuration: a value, or a `Config`.
 *
 * @since 0.1.0
 * @category models
 */
export type ConfigOptions = {
  readonly [Key in keyof Options]?: Options[Key] | Config.Config<NonNullable<Options[Key]>>
}

/**
 * Provides the services, with options from the configuration. Without options the key is `INFERENCE_API_KEY`, and the base URL
 * `INFERENCE_BASE_URL` where that is set.
 *
 * Fails with `ConfigError` if the key is missing or empty.
 *
 * @example
 * ```ts
 * import { Config } from "effect"
 * import { Inference } from "effect-inferencesh"
 *
 * const fromEnvironment = Inference.layerConfig()
 *
 * const custom = Inference.layerConfig({
 *   apiKey: Config.redacted("ACME_INFERENCE_KEY"),
 *   transport: "poll"
 * })
 * ```
 * @since 0.1.0
 * @category layers
 */
export const layerConfig = (
  options: ConfigOptions = {}
): Layer.Layer<Services, ConfigError.ConfigError, HttpClient.HttpClient | FileSystem.FileSystem | Path.Path> =>
  Layer.unwrapEffect(Effect.map(fromConfig(options), layer))

const keyName = "INFERENCE_API_KEY"

const whereToGetOne = "Create an API key at https://app.inference.sh/settings/keys"

/** An empty variable reads as an empty secret: it is as good as missing. */
const checkKey =
  (path: ReadonlyArray<string>) =>
  (key: Redacted.Redacted<string>): Effect.Effect<Redacted.Redacted<string>, ConfigError.ConfigError> =>
    Redacted.value(key).trim() === ""
      ? Effect.fail(
          ConfigError.InvalidData([...path], `the API key is empty (default variable: ${keyName}). ${whereToGetOne}.`)
        )
      : Effect.succeed(key)

const sayWhereToGetKey = (error: ConfigError.ConfigError): ConfigError.ConfigError =>
  error._op === "MissingData" ? ConfigError.MissingData([...error.path], `no API key is set. ${whereToGetOne}.`) : error

const fromConfig = (options: ConfigOptions): Effect.Effect<Options, ConfigError.ConfigError> =>
  Effect.gen(function* () {
    const apiKey = options.apiKey ?? Config.redacted(keyName)
    const baseUrl = options.baseUrl ?? Config.withDefault(Config.string("INFERENCE_BASE_URL"), "")
    return {
      apiKey: yield* Effect.flatMap(
        Effect.mapError(from(apiKey), sayWhereToGetKey),
        checkKey(options.apiKey === undefined ? [keyName] : [])
      ),
      baseUrl: (yield* from(baseUrl))?.trim() || undefined,
      headers: yield* from(options.headers),
      statusNumbering: yield* from(options.statusNumbering),
      transport: yield* from(options.transport),
      pollInterval: yield* from(options.pollInterval),
      requestTimeout: yield* from(options.requestTimeout),
      idleTimeout: yield* from(options.idleTimeout),
      progressTimeout: yield* from(options.progressTimeout),
      retry: yield* from(options.retry),
      maxLineBytes: yield* from(options.maxLineBytes),
      propagateTraces: yield* from(options.propagateTraces),
      onNotice: yield* from(options.onNotice)
    }
  })

const from = <A>(value: A | Config.Config<NonNullable<A>>): Effect.Effect<A, ConfigError.ConfigError> =>
  Config.isConfig(value) ? value : Effect.succeed(value)

/**
 * Changes the HTTP client of the calls inside an effect: headers, timeouts, tracing. The change neither sees the key nor can
 * send it elsewhere. Uploads and downloads of bytes do not go through it.
 *
 * @example
 * ```ts
 * import { HttpClient, HttpClientRequest } from "@effect/platform"
 * import { Inference, Tasks } from "effect-inferencesh"
 *
 * const forTeam = Tasks.get("7k2m9qd4r8v1x5c3b6n0zthwpa").pipe(
 *   Inference.withClientTransform(HttpClient.mapRequest(HttpClientRequest.setHeader("x-team-id", "t1")))
 * )
 * ```
 * @since 0.1.0
 * @category configuration
 */
export const withClientTransform: {
  (
    f: (client: HttpClient.HttpClient) => HttpClient.HttpClient
  ): <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  <A, E, R>(
    effect: Effect.Effect<A, E, R>,
    f: (client: HttpClient.HttpClient) => HttpClient.HttpClient
  ): Effect.Effect<A, E, R>
} = dual(
  2,
  <A, E, R>(
    effect: Effect.Effect<A, E, R>,
    f: (client: HttpClient.HttpClient) => HttpClient.HttpClient
  ): Effect.Effect<A, E, R> =>
    Effect.flatMap(ClientTransform, (outer) =>
      Effect.provideService(effect, ClientTransform, (client) => f(outer(client)))
    )
)

/**
 * Tells of each reply of the service to the requests inside an effect, as its headers come: also those that fail, and those before
 * a retry. So the last one told of belongs to the value or the error that follows. Only that effect's own replies are told of,
 * whatever else goes on beside it.
 *
 * Uploads and downloads of bytes are no replies of the service.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import { Inference, Tasks } from "effect-inferencesh"
 *
 * const task = Tasks.get("7k2m9qd4r8v1x5c3b6n0zthwpa").pipe(
 *   Inference.onReply(({ status, requestId, rateLimit }) =>
 *     Effect.logDebug(`${status}, ${rateLimit?.remaining ?? "any number of"} requests left (request ${requestId})`)
 *   )
 * )
 * ```
 * @since 0.1.0
 * @category replies
 */
export const onReply: {
  <R2>(
    f: (reply: ApiClient.ReplyInfo) => Effect.Effect<void, never, R2>
  ): <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R | R2>
  <A, E, R, R2>(
    effect: Effect.Effect<A, E, R>,
    f: (reply: ApiClient.ReplyInfo) => Effect.Effect<void, never, R2>
  ): Effect.Effect<A, E, R | R2>
} = dual(
  2,
  <A, E, R, R2>(
    effect: Effect.Effect<A, E, R>,
    f: (reply: ApiClient.ReplyInfo) => Effect.Effect<void, never, R2>
  ): Effect.Effect<A, E, R | R2> =>
    Effect.flatMap(alsoTelling(f), ({ tell, stop }) =>
      Effect.ensuring(Effect.provideService(effect, OnReply, tell), stop)
    )
)

/**
 * Tells of each reply of the service to the requests of a stream, as {@link onReply} does for an effect: those of its pages, and of
 * the connections that it is read from.
 *
 * @example
 * ```ts
 * import { Effect, Ref, Stream } from "effect"
 * import { Inference, Tasks } from "effect-inferencesh"
 *
 * const program = Effect.gen(function* () {
 *   const left = yield* Ref.make(Number.POSITIVE_INFINITY)
 *   yield* Tasks.list().pipe(
 *     Inference.onReplyStream(({ rateLimit }) => Ref.update(left, (left) => rateLimit?.remaining ?? left)),
 *     Stream.takeUntilEffect(() => Effect.map(Ref.get(left), (left) => left < 10)),
 *     Stream.runForEach((task) => Effect.log(task.id))
 *   )
 * })
 * ```
 * @since 0.1.0
 * @category replies
 */
export const onReplyStream: {
  <R2>(
    f: (reply: ApiClient.ReplyInfo) => Effect.Effect<void, never, R2>
  ): <A, E, R>(stream: Stream.Stream<A, E, R>) => Stream.Stream<A, E, R | R2>
  <A, E, R, R2>(
    stream: Stream.Stream<A, E, R>,
    f: (reply: ApiClient.ReplyInfo) => Effect.Effect<void, never, R2>
  ): Stream.Stream<A, E, R | R2>
} = dual(
  2,
  <A, E, R, R2>(
    stream: Stream.Stream<A, E, R>,
    f: (reply: ApiClient.ReplyInfo) => Effect.Effect<void, never, R2>
  ): Stream.Stream<A, E, R | R2> =>
    Stream.unwrap(
      Effect.map(alsoTelling(f), ({ tell, stop }) =>
        Stream.ensuring(Stream.provideService(stream, OnReply, tell), stop)
      )
    )
)

/** Whoever asked to be told from outside is told first. After `stop` only they are, of what goes on in the background. */
const alsoTelling = <R>(f: (reply: ApiClient.ReplyInfo) => Effect.Effect<void, never, R>) =>
  Effect.zipWith(OnReply, Effect.context<R>(), (outer, context) => {
    let isOver = false
    return {
      tell: (reply: ApiClient.ReplyInfo) =>
        Effect.zipRight(
          outer(reply),
          // Requests that it makes itself are not told to it again.
          Effect.suspend(() =>
            isOver ? Effect.void : Effect.provideService(Effect.provide(f(reply), context), OnReply, outer)
          )
        ),
      stop: Effect.sync(() => {
        isOver = true
      })
    }
  })

/**
 * Gives the value of an effect with the last reply of the service that led to it; none where nothing was sent. Where the effect
 * fails, its error has the `requestId`, the `status` and the `retryAfter` of the reply, and {@link onReply} tells of it.
 *
 * @example
 * ```ts
 * import { Effect, Option } from "effect"
 * import { Inference, Tasks } from "effect-inferencesh"
 *
 * const program = Effect.gen(function* () {
 *   const [task, reply] = yield* Inference.withReply(Tasks.get("7k2m9qd4r8v1x5c3b6n0zthwpa"))
 *   yield* Effect.log(task.status, Option.map(reply, ({ requestId }) => requestId))
 * })
 * ```
 * @since 0.1.0
 * @category replies
 */
export const withReply = <A, E, R>(
  effect: Effect.Effect<A, E, R>
): Effect.Effect<readonly [value: A, reply: Option.Option<ApiClient.ReplyInfo>], E, R> =>
  Effect.suspend(() => {
    let last = Option.none<ApiClient.ReplyInfo>()
    const keep = (reply: ApiClient.ReplyInfo) =>
      Effect.sync(() => {
        last = Option.some(reply)
      })
    return Effect.map(onReply(effect, keep), (value) => [value, last] as const)
  })
