/**
 * Sessions: tasks that run one after the other on the same warm worker, and find there what the ones before have left in its
 * memory. A {@link Session} belongs to a scope: it is kept alive while that is open, and ended when it closes.
 *
 * @module
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as DateTime from "effect/DateTime"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as ApiClient from "./ApiClient.js"
import type * as App from "./App.js"
import type { ApiFailure, SessionLost } from "./InferenceError.js"
import * as internal from "./internal/sessions.js"
import type * as Task from "./Task.js"
import * as Tasks from "./Tasks.js"

/**
 * What the service knows of a session.
 *
 * @since 0.1.0
 * @category models
 */
export interface SessionInfo {
  readonly id: string
  readonly status: ApiClient.Open<"active" | "ended" | "expired">
  readonly workerId?: string | undefined
  readonly appId?: string | undefined
  readonly appVersionId?: string | undefined
  /** When it expires, unless there is a call or a keepalive before. */
  readonly expiresAt?: DateTime.Utc | undefined
  readonly endedAt?: DateTime.Utc | undefined
  /** The task that runs now. */
  readonly taskId?: string | undefined
  readonly callCount?: number | undefined
  readonly lastCallAt?: DateTime.Utc | undefined
  /** How long it outlives its last call. */
  readonly idleTimeout?: Duration.Duration | undefined
  readonly createdAt?: DateTime.Utc | undefined
  readonly updatedAt?: DateTime.Utc | undefined
}

/**
 * What asking about a session can fail with.
 *
 * @since 0.1.0
 * @category errors
 */
export type SessionError = ApiFailure | SessionLost

/**
 * What a session is made with.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options<A extends Tasks.AppOrName = Tasks.AppOrName> {
  /**
   * How long the worker is kept after the last sign of life from here: 1 second to 1 hour. While the scope is open there is one every third of
   * it. Default: what the service has, which is a minute.
   */
  readonly timeout?: Duration.DurationInput | undefined
  /** The setup of the worker, for each run that has none of its own. */
  readonly setup?: (A extends App.Any ? App.Setup<A> : unknown) | undefined
}

/**
 * What to run in a session, and how: as any task, except that the session is given.
 *
 * @since 0.1.0
 * @category models
 */
export type Params<A extends Tasks.AppOrName, Name extends Tasks.FunctionNameOf<A>> = Tasks.Params<A, Name> & {
  readonly session?: never
  readonly sessionTimeout?: never
}

/**
 * A session with one app. The first run starts it; others that come before the service has answered that one wait until then.
 *
 * @since 0.1.0
 * @category models
 */
export interface Session<A extends Tasks.AppOrName = Tasks.AppOrName> {
  /** The id, once the first run has started the session. */
  readonly id: Effect.Effect<Option.Option<string>>
  /** As `Tasks.run`, on the session's worker. Fails with `SessionLost` once that is gone. */
  readonly run: <const Name extends Tasks.FunctionNameOf<A> = Tasks.DefaultFunctionOf<A>>(
    params: Params<A, Name>
  ) => Effect.Effect<Task.Completed<Tasks.OutputOf<A, Name>>, Tasks.RunError>
  /** As `Tasks.runStream`, on the session's worker. Fails with `SessionLost` once that is gone. */
  readonly runStream: <const Name extends Tasks.FunctionNameOf<A> = Tasks.DefaultFunctionOf<A>>(
    params: Params<A, Name>
  ) => Stream.Stream<Task.Task<Tasks.OutputOf<A, Name>>, Tasks.RunError>
}

/**
 * The service that keeps sessions.
 *
 * @since 0.1.0
 * @category services
 */
export interface Service {
  readonly make: <const A extends Tasks.AppOrName>(
    app: A,
    options?: Options<A>
  ) => Effect.Effect<Session<A>, never, Scope.Scope>
  readonly get: (id: string) => Effect.Effect<SessionInfo, SessionError>
  readonly list: () => Stream.Stream<SessionInfo, ApiFailure>
  readonly keepalive: (id: string) => Effect.Effect<SessionInfo, SessionError>
  readonly end: (id: string) => Effect.Effect<void, ApiFailure>
}

/**
 * The tag of the service that keeps sessions.
 *
 * @since 0.1.0
 * @category services
 */
export class Sessions extends Context.Tag("effect-inferencesh/Sessions")<Sessions, Service>() {}

/**
 * Makes the service. ({@link make} makes a session.)
 *
 * @since 0.1.0
 * @category constructors
 */
export const makeService: Effect.Effect<Service, never, ApiClient.ApiClient | Tasks.Tasks> = Effect.gen(function* () {
  return internal.make(yield* ApiClient.ApiClient, yield* Tasks.Tasks)
})

/**
 * Provides the service.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<Sessions, never, ApiClient.ApiClient | Tasks.Tasks> = Layer.effect(
  Sessions,
  makeService
)

/**
 * A session whose runs share one warm worker. The first run starts it. While the scope is open it is kept alive, and when that
 * closes it is ended, which lets the worker go.
 *
 * A run that is interrupted is cancelled, and the session goes on. (Only where that happens before the service has answered the very
 * first run, the next run starts another one, and the first ends by its timeout.) A session that is lost stays lost, with whatever its worker held: each
 * further run fails with `SessionLost`.
 *
 * @example
 * ```ts
 * import { Effect, Schema } from "effect"
 * import { App, Sessions } from "effect-inferencesh"
 *
 * const Browser = App.make("acme/browser@7k2m9qd4", {
 *   functions: {
 *     open: { input: { url: Schema.String }, output: { title: Schema.String } },
 *     click: { input: { selector: Schema.String }, output: { title: Schema.String } }
 *   }
 * })
 *
 * const title = Effect.gen(function* () {
 *   const session = yield* Sessions.make(Browser, { timeout: "5 minutes" })
 *   yield* session.run({ function: "open", input: { url: "https://example.com" } })
 *   const task = yield* session.run({ function: "click", input: { selector: "a" } })
 *   return task.output.title
 * }).pipe(Effect.scoped)
 * ```
 * @since 0.1.0
 * @category constructors
 */
export const make = <const A extends Tasks.AppOrName>(
  app: A,
  options?: Options<A>
): Effect.Effect<Session<A>, never, Sessions | Scope.Scope> =>
  Effect.flatMap(Sessions, (sessions) => sessions.make(app, options))

/**
 * What the service knows of a session. Fails with {@link SessionError}: `SessionLost` where there is none.
 *
 * @since 0.1.0
 * @category operations
 */
export const get = (id: string): Effect.Effect<SessionInfo, SessionError, Sessions> =>
  Effect.flatMap(Sessions, (sessions) => sessions.get(id))

/**
 * The sessions. Fails with `ApiFailure`.
 *
 * @since 0.1.0
 * @category operations
 */
export const list = (): Stream.Stream<SessionInfo, ApiFailure, Sessions> =>
  Stream.unwrap(Effect.map(Sessions, (sessions) => sessions.list()))

/**
 * Puts off the end of a session by its timeout, as each call does. Fails with {@link SessionError}: `SessionLost` where it is over.
 *
 * @since 0.1.0
 * @category operations
 */
export const keepalive = (id: string): Effect.Effect<SessionInfo, SessionError, Sessions> =>
  Effect.flatMap(Sessions, (sessions) => sessions.keepalive(id))

/**
 * Ends a session, and lets its worker go. One that is over already is fine. Fails with `ApiFailure`.
 *
 * @since 0.1.0
 * @category operations
 */
export const end = (id: string): Effect.Effect<void, ApiFailure, Sessions> =>
  Effect.flatMap(Sessions, (sessions) => sessions.end(id))
