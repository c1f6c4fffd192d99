/**
 * The layers of this package for browsers, where no API key must be: all that needs it goes through a proxy on your server.
 *
 * @module
 * @since 0.1.0
 */
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import * as FileSystem from "@effect/platform/FileSystem"
import type * as HttpClient from "@effect/platform/HttpClient"
import * as Path from "@effect/platform/Path"
import * as Layer from "effect/Layer"
import * as Inference from "./Inference.js"
import { noFileSystem } from "./internal/noFileSystem.js"

/**
 * Everything that the layers of this module provide: the services, and what File.bytes and the like need. The `FileSystem` has no
 * files: `File.fromPath`, streams as uploads and `Files.downloadTo` fail with a `FileError` of the reason `Unsupported`.
 *
 * @since 0.1.0
 * @category services
 */
export type Services = Inference.Services | FileSystem.FileSystem | Path.Path | HttpClient.HttpClient

const platform = Layer.mergeAll(FetchHttpClient.layer, Path.layer, Layer.succeed(FileSystem.FileSystem, noFileSystem))

/**
 * Provides everything, with nothing left to provide: the requests go to a proxy that has the API key, such as `Proxy.httpApp`, by fetch
 * and with the page's cookies. Files go to their storage directly, which must allow that to pages of other origins (CORS).
 *
 * Inputs hold files as a `Blob`, a `File` of the page or a `Uint8Array`.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import { BrowserInference, Tasks } from "effect-inferencesh"
 *
 * const upscale = (photo: Blob) =>
 *   Tasks.run("acme/upscaler", { input: { image: photo, scale: 2 } }).pipe(
 *     Effect.provide(BrowserInference.layerProxy({ proxyUrl: "/api/inference/proxy" }))
 *   )
 * ```
 * @since 0.1.0
 * @category layers
 */
export const layerProxy = (options: Inference.ProxyOptions): Layer.Layer<Services> =>
  Layer.provideMerge(Inference.layerProxy(options), platform)
