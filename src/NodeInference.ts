/**
 * The layers of this package with Node's HTTP client, file system and path provided.
 *
 * @module
 * @since 0.1.0
 */
import type * as FileSystem from "@effect/platform/FileSystem"
import * as HttpClient from "@effect/platform/HttpClient"
import type * as HttpClientError from "@effect/platform/HttpClientError"
import type * as Path from "@effect/platform/Path"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as NodePath from "@effect/platform-node/NodePath"
import type * as ConfigError from "effect/ConfigError"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import type * as BaseApp from "./BaseApp.js"
import * as Inference from "./Inference.js"
import type { FileError } from "./InferenceError.js"
import * as InProcess from "./internal/server/inProcess.js"
import * as LocalServer from "./LocalServer.js"

/**
 * Everything that the layers of this module provide: the services, and what File.bytes and the like need. The `HttpClient` is a
 * plain one, without the API key.
 *
 * @since 0.1.0
 * @category services
 */
export type Services = Inference.Services | FileSystem.FileSystem | Path.Path | HttpClient.HttpClient

/**
 * Not fetch: undici and node:http send the length of streamed uploads, and have no time limit of their own on streams. What Bun has
 * under the name of undici cannot be closed.
 */
const httpClient = "Bun" in globalThis ? NodeHttpClient.layer : NodeHttpClient.layerUndici

const platform = Layer.mergeAll(httpClient, NodeFileSystem.layer, NodePath.layer)

/**
 * Provides everything, with nothing left to provide.
 *
 * @example
 * ```ts
 * import { Effect, Redacted } from "effect"
 * import { Tasks } from "effect-inferencesh"
 * import { NodeInference } from "effect-inferencesh/node"
 *
 * const program = Tasks.run("acme/echo", { input: { text: "hi" } }).pipe(
 *   Effect.provide(NodeInference.layer({ apiKey: Redacted.make("inf_…") }))
 * )
 * ```
 * @since 0.1.0
 * @category layers
 */
export const layer = (options: Inference.Options): Layer.Layer<Services> =>
  Layer.provideMerge(Inference.layer(options), platform)

/**
 * Provides everything, with options from the configuration: by default the key is `INFERENCE_API_KEY`, and the base URL
 * `INFERENCE_BASE_URL` where that is set.
 *
 * Fails with `ConfigError` if the key is missing or empty.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import { Tasks } from "effect-inferencesh"
 * import { NodeInference } from "effect-inferencesh/node"
 *
 * const program = Tasks.run("acme/echo", { input: { text: "hi" } }).pipe(Effect.provide(NodeInference.layerConfig()))
 * ```
 * @since 0.1.0
 * @category layers
 */
export const layerConfig = (options?: Inference.ConfigOptions): Layer.Layer<Services, ConfigError.ConfigError> =>
  Layer.provideMerge(Inference.layerConfig(options), platform)

/** A name that no real host can have. */
const localOrigin = "http://inference.localhost"

/**
 * What to serve in process, and how the client talks to it.
 *
 * @since 0.1.0
 * @category models
 */
export interface LocalOptions<Apps extends ReadonlyArray<BaseApp.Any>>
  extends Omit<LocalServer.Options<Apps>, "baseUrl">,
    Omit<Inference.Options, "apiKey" | "baseUrl" | "statusNumbering"> {}

/**
 * The same over a server for your own apps in this process: no account, no port, no network. Other addresses, such as those of
 * input files, are still reached over the network.
 *
 * Fails with `FileError` where the directory for files cannot be made.
 *
 * @example
 * ```ts
 * import { Effect, Schema } from "effect"
 * import { App, BaseApp, Tasks } from "effect-inferencesh"
 * import { NodeInference } from "effect-inferencesh/node"
 *
 * const Shout = App.make("acme/shout", { input: { text: Schema.String }, output: { text: Schema.String } })
 * const shout = BaseApp.make(Shout, { run: ({ text }) => Effect.succeed({ text: text.toUpperCase() }) })
 *
 * const program = Tasks.run(Shout, { input: { text: "hi" } }).pipe(
 *   Effect.map((task) => task.output.text),
 *   Effect.provide(NodeInference.layerLocal({ apps: [shout] }))
 * )
 * ```
 * @since 0.1.0
 * @category layers
 */
export const layerLocal = <const Apps extends ReadonlyArray<BaseApp.Any>>(
  options: LocalOptions<Apps>
): Layer.Layer<
  Services,
  FileError,
  Exclude<LocalServer.Requirements<Apps>, FileSystem.FileSystem | Path.Path | HttpClient.HttpClient>
> => {
  const inProcess = Layer.scoped(
    HttpClient.HttpClient,
    Effect.gen(function* () {
      const network = yield* HttpClient.HttpClient
      const local = InProcess.make(yield* LocalServer.make(options))
      return HttpClient.makeWith<never, never, HttpClientError.HttpClientError, never>(
        Effect.flatMap((request) => (request.url.startsWith(`${localOrigin}/`) ? local : network).execute(request)),
        Effect.succeed
      )
    })
  )
  return Inference.layer({ ...options, apiKey: options.apiKey ?? Redacted.make("local"), baseUrl: localOrigin }).pipe(
    Layer.provideMerge(inProcess),
    Layer.provideMerge(platform)
  )
}
