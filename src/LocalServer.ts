/**
 * A server for your own apps that speaks the wire protocol of inference.sh: for development, tests, demos and hosting
 * them yourself. It runs on a port, or in process behind an `HttpClient`.
 *
 * @module
 * @since 0.1.0
 */
import * as FileSystem from "@effect/platform/FileSystem"
import type * as HttpApp from "@effect/platform/HttpApp"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpMiddleware from "@effect/platform/HttpMiddleware"
import * as HttpServer from "@effect/platform/HttpServer"
import type * as Path from "@effect/platform/Path"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import type * as AgentConfig from "./AgentConfig.js"
import type * as BaseApp from "./BaseApp.js"
import { type FileError, InvalidRequest } from "./InferenceError.js"
import { encode as encodeAgent } from "./internal/agents/config.js"
import { fromPlatformError } from "./internal/failure.js"
import { ServerDirectory, serverPrefix } from "./internal/outputDirectories.js"
import { withFilesUploaded } from "./internal/payload.js"
import * as Server from "./internal/server/httpApp.js"
import * as InProcess from "./internal/server/inProcess.js"
import { isJsonObject } from "./internal/wire.js"
import type * as Task from "./Task.js"

/**
 * What to serve, and how.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options<Apps extends ReadonlyArray<BaseApp.Any> = ReadonlyArray<BaseApp.Any>> {
  /** The apps. Of several with the same name the last answers references without a version. */
  readonly apps: Apps
  /**
   * Agents that callers may name, by their references `namespace/name` or `namespace/name@version`. Their models are among the apps. The
   * handlers of client tools run where the callers are, and not here.
   */
  readonly agents?: { readonly [ref: string]: AgentConfig.Any } | undefined
  /** The key that clients must send. Without it any key will do. */
  readonly apiKey?: Redacted.Redacted<string> | undefined
  /**
   * Where files, tasks and chats are kept, so that they are there after a restart. What ran when the process was killed has failed
   * then, and says so. Agents that clients have stored are not kept, nor are uploads that were not complete. Only one server at a
   * time may have the directory: two of them would overwrite what the other knows. Without one nothing is kept, and files are in a
   * temporary directory that goes with the server.
   */
  readonly dataDirectory?: string | undefined
  /** The integers that stand for statuses. Default `current`. */
  readonly statusNumbering?: Task.StatusNumbering | undefined
  /** The address that clients reach the server at, for the URLs of files. Default: the one that each request came to. */
  readonly baseUrl?: string | undefined
  /** How many instances of one app may be loaded at a time, one for each setup. Default 4. */
  readonly maxInstances?: number | undefined
  /** How many sessions of one app there may be at a time, each with an instance of its own. Default 100. */
  readonly maxSessions?: number | undefined
  /** How long an instance stays loaded while no task uses it. Default 10 minutes. */
  readonly instanceIdleTimeout?: Duration.DurationInput | undefined
  /** How many tasks are remembered: beyond it, those that ended are forgotten, the oldest first. Default 10 000. */
  readonly maxTasks?: number | undefined
  /**
   * How many chats are remembered: beyond it, those in which nothing happens are forgotten, the ones of agents that are tools first,
   * then the ones that have rested for longest. Default 1000.
   */
  readonly maxChats?: number | undefined
  /** The largest JSON body, in bytes. Default 16 MiB. */
  readonly maxBodySize?: number | undefined
  /** The largest file, in bytes. Default 5 GiB. */
  readonly maxFileSize?: number | undefined
  /** How long an upload URL is valid. Default 15 minutes. */
  readonly uploadExpiry?: Duration.DurationInput | undefined
  /** How long a task's stream may be silent before a heartbeat. Default 10 seconds. */
  readonly heartbeatInterval?: Duration.DurationInput | undefined
  /**
   * How long what is under way may take to finish once the server's scope closes: tasks, also queued ones, and turns of chats. It is
   * cancelled afterwards, and instances are unloaded. Meanwhile requests for more are answered with 503 and `Retry-After`, and all
   * others as before. It closes as soon as all is finished, so clients that ask now and then may come too late for the end of their
   * task; those that follow it by its stream hear of it. Default 0: all is cancelled at once.
   */
  readonly shutdownTimeout?: Duration.DurationInput | undefined
  /**
   * The hosts other than this machine, such as `example.com` or `example.com:8080`, whose addresses a request may name as its
   * `webhook`. When the task has ended it is POSTed there, in the background and five times at most, with the `HttpClient` from the
   * context. Where there is none, the host is no such one or nobody answers, the task's log says so. What is not delivered when the server ends is
   * given up. Default none.
   */
  readonly webhookHosts?: ReadonlyArray<string> | undefined
  /** Put around the server, such as `HttpMiddleware.logger`. */
  readonly middleware?: ((app: HttpApp.Default) => HttpApp.Default) | undefined
  /** The generation of the protocol's reply envelopes, for testing clients. Default `v3`. */
  readonly envelope?: "v1" | "v2" | "v3" | undefined
}

/**
 * What a server with these apps needs: the disk, and whatever the apps need.
 *
 * @since 0.1.0
 * @category types
 */
export type Requirements<Apps extends ReadonlyArray<BaseApp.Any>> =
  | FileSystem.FileSystem
  | Path.Path
  | BaseApp.Requirements<Apps[number]>

/**
 * The server as an `HttpApp`, to mount in a server of your own. It lives in the surrounding scope: closing that lets the running
 * tasks finish within the `shutdownTimeout`, cancels the rest, unloads the apps and removes the temporary directory. For clients to
 * see that, the server that it is mounted in must be closed after it.
 *
 * Fails with `FileError` where the directory for files cannot be made.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = <const Apps extends ReadonlyArray<BaseApp.Any>>(
  options: Options<Apps>
): Effect.Effect<HttpApp.Default, FileError, Requirements<Apps> | Scope.Scope> =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const { dataDirectory } = options
    const directory = yield* Effect.mapError(
      dataDirectory === undefined
        ? fs.makeTempDirectoryScoped({ prefix: serverPrefix })
        : Effect.as(fs.makeDirectory(dataDirectory, { recursive: true }), dataDirectory),
      (error) => fromPlatformError(error, dataDirectory ?? "the temporary directory", "Write")
    )
    const app = yield* Server.make<BaseApp.Requirements<Apps[number]>>({
      apps: typed(options.apps),
      templates: yield* Effect.orDie(Effect.forEach(Object.entries(options.agents ?? {}), template)),
      directory,
      isPersistent: dataDirectory !== undefined,
      numbering: options.statusNumbering ?? "current",
      instances: {
        maxInstances: Math.max(1, options.maxInstances ?? 4),
        idleTimeout: Duration.decode(options.instanceIdleTimeout ?? "10 minutes")
      },
      maxSessions: Math.max(0, options.maxSessions ?? 100),
      maxTasks: Math.max(1, options.maxTasks ?? 10_000),
      maxChats: Math.max(1, options.maxChats ?? 1000),
      shutdownTimeout: Duration.decode(options.shutdownTimeout ?? 0),
      webhookHosts: options.webhookHosts ?? [],
      settings: {
        apiKey: options.apiKey,
        baseUrl: options.baseUrl,
        envelope: options.envelope ?? "v3",
        heartbeatInterval: options.heartbeatInterval ?? "10 seconds",
        maxBodySize: options.maxBodySize ?? 16 * 1024 ** 2,
        maxFileSize: options.maxFileSize ?? 5 * 1024 ** 3,
        uploadExpiry: Duration.decode(options.uploadExpiry ?? "15 minutes")
      }
    }).pipe(Effect.provideService(ServerDirectory, directory))
    return options.middleware === undefined ? app : options.middleware(app)
  })

/** An agent that cannot be served is a mistake in the program, as an app without a handler is. */
const template = ([ref, config]: readonly [string, AgentConfig.Any]) =>
  Effect.gen(function* () {
    const encoded = yield* encodeAgent(config)
    const json = yield* withFilesUploaded(ref, encoded, () =>
      Effect.fail(new InvalidRequest({ issues: [{ path: ["agents", ref], message: "its files must be at URLs" }] }))
    )
    return { ref, config: isJsonObject(json) ? json : {} }
  })

// Each app needs no more than all of them together, which TypeScript does not see through the conditional type.
const typed = <Apps extends ReadonlyArray<BaseApp.Any>>(apps: Apps) =>
  apps as ReadonlyArray<BaseApp.BaseApp<BaseApp.Any["app"], BaseApp.Requirements<Apps[number]>>>

/**
 * Serves on the `HttpServer` from the context.
 *
 * Fails with `FileError` where the directory for files cannot be made.
 *
 * @example
 * ```ts
 * import { createServer } from "node:http"
 * import * as NodeContext from "@effect/platform-node/NodeContext"
 * import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
 * import { Effect, Layer, Schema } from "effect"
 * import { App, BaseApp, LocalServer } from "effect-inferencesh"
 *
 * const Echo = App.make("acme/echo", { input: { text: Schema.String }, output: { text: Schema.String } })
 * const echo = BaseApp.make(Echo, { run: ({ text }) => Effect.succeed({ text }) })
 *
 * const server = LocalServer.layer({ apps: [echo] }).pipe(
 *   Layer.provide(NodeHttpServer.layer(createServer, { host: "127.0.0.1", port: 8400 })),
 *   Layer.provide(NodeContext.layer)
 * )
 * // NodeRuntime.runMain(Layer.launch(server))
 * ```
 * @since 0.1.0
 * @category layers
 */
export const layer = <const Apps extends ReadonlyArray<BaseApp.Any>>(
  options: Options<Apps>
): Layer.Layer<never, FileError, HttpServer.HttpServer | Requirements<Apps>> =>
  Layer.scopedDiscard(
    Effect.gen(function* () {
      const server = yield* HttpServer.HttpServer
      const ready = yield* Deferred.make<HttpApp.Default>()
      // Served before it is made, and so until after it has come to its end.
      // The HTTP server's own spans show the whole address.
      yield* server
        .serve(Effect.flatten(Deferred.await(ready)))
        .pipe(Effect.locally(HttpMiddleware.currentTracerDisabledWhen, ({ url }) => Server.isSecret(url)))
      yield* Deferred.succeed(ready, yield* make(options))
    })
  )

/**
 * The same server without a port: an `HttpClient` whose requests, to whatever origin, it answers in process.
 *
 * Fails with `FileError` where the directory for files cannot be made.
 *
 * @example
 * ```ts
 * import { HttpClient } from "@effect/platform"
 * import * as NodeContext from "@effect/platform-node/NodeContext"
 * import { Effect, Layer, Schema } from "effect"
 * import { App, BaseApp, LocalServer } from "effect-inferencesh"
 *
 * const Echo = App.make("acme/echo", { input: { text: Schema.String }, output: { text: Schema.String } })
 * const echo = BaseApp.make(Echo, { run: ({ text }) => Effect.succeed({ text }) })
 *
 * const program = HttpClient.get("https://api.inference.sh/tasks/unknown", { headers: { authorization: "Bearer key" } })
 *
 * const answered = program.pipe(
 *   Effect.provide(LocalServer.layerHttpClient({ apps: [echo] }).pipe(Layer.provide(NodeContext.layer)))
 * )
 * ```
 * @since 0.1.0
 * @category layers
 */
export const layerHttpClient = <const Apps extends ReadonlyArray<BaseApp.Any>>(
  options: Options<Apps>
): Layer.Layer<HttpClient.HttpClient, FileError, Requirements<Apps>> =>
  Layer.scoped(HttpClient.HttpClient, Effect.map(make(options), InProcess.make))
