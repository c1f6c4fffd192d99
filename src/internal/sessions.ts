import type * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type * as ApiClient from "../ApiClient.js"
import { type ApiFailure, DecodeError } from "../InferenceError.js"
import type * as Sessions from "../Sessions.js"
import type * as Task from "../Task.js"
import type * as Tasks from "../Tasks.js"
import { Attribute } from "../Telemetry.js"
import { sessionLost } from "./failure.js"
import { lastly } from "./lastly.js"
import { makeLine } from "./permit.js"
import { completed, nameOf } from "./tasks.js"
import * as Telemetry from "./telemetry.js"
import { DurationFromSeconds, field, openEnum, timestamp } from "./wire.js"

/** A session on the wire, protocol.md §9. */
const SessionInfo = Schema.Struct({
  id: Schema.String,
  status: Schema.optionalWith(openEnum("active", "ended", "expired"), { default: () => "active", nullable: true }),
  workerId: field("worker_id", Schema.String),
  appId: field("app_id", Schema.String),
  appVersionId: field("app_version_id", Schema.String),
  expiresAt: timestamp("expires_at"),
  endedAt: timestamp("ended_at"),
  taskId: field("task_id", Schema.String),
  callCount: field("call_count", Schema.Number),
  lastCallAt: timestamp("last_call_at"),
  idleTimeout: field("idle_timeout", DurationFromSeconds),
  createdAt: timestamp("created_at"),
  updatedAt: timestamp("updated_at")
})

/** The timeout that the service has where none is asked for. */
const defaultTimeout = Duration.minutes(1)

const aboutSession = (id: string) => ({ [Attribute.sessionId]: id })

export const make = (api: ApiClient.Service, tasks: Tasks.Service): Sessions.Service => {
  const ask =
    (name: string, id: string) =>
    <A, I>(
      request: Pick<ApiClient.Request<A, I>, "method" | "schema"> & { readonly action?: string }
    ): Effect.Effect<A, Sessions.SessionError> => {
      const { action = "", ...rest } = request
      return api
        .request({ ...rest, path: `/sessions/${encodeURIComponent(id)}${action}`, idempotent: true })
        .pipe(Effect.mapError(sessionLost(id, "only")), Telemetry.operation(name, aboutSession(id)))
    }

  const keepalive: Sessions.Service["keepalive"] = (id) =>
    ask("Sessions.keepalive", id)({ method: "POST", action: "/keepalive", schema: SessionInfo })

  const end: Sessions.Service["end"] = (id) =>
    ask(
      "Sessions.end",
      id
    )({ method: "DELETE", schema: Schema.Unknown }).pipe(
      Effect.catchTag("SessionLost", () => Effect.void),
      Effect.asVoid
    )

  /** Gives signs of life until the session is lost. */
  const keepAlive = (id: string, timeout: Duration.Duration) => {
    const interval = Duration.millis(Math.floor(Duration.toMillis(timeout) / 3))
    return keepalive(id).pipe(
      Effect.timeout(interval),
      Effect.catchIf(
        (error): error is ApiFailure | Cause.TimeoutException => error._tag !== "SessionLost",
        (error) => Effect.logDebug(`session ${id} could not be kept alive: it is tried again`, error)
      ),
      Effect.delay(interval),
      Effect.forever,
      Effect.catchTag("SessionLost", (error) => Effect.logDebug(error.message)),
      Effect.annotateLogs(aboutSession(id))
    )
  }

  const session = <A extends Tasks.AppOrName>(app: A, options: Sessions.Options<A> = {}) =>
    Effect.gen(function* () {
      const line = yield* makeLine
      const started = yield* Deferred.make<string>()
      let id: string | undefined
      yield* Effect.addFinalizer(() =>
        id === undefined
          ? Effect.void
          : end(id).pipe(
              lastly(`Session ${id} may go on until it times out: the service did not confirm its end`),
              Effect.annotateLogs(aboutSession(id))
            )
      )
      const timeout = options.timeout === undefined ? defaultTimeout : Duration.decode(options.timeout)
      // Also where the session is made in a region that cannot be interrupted, such as an acquisition.
      yield* Deferred.await(started).pipe(
        Effect.flatMap((id) => keepAlive(id, timeout)),
        Effect.interruptible,
        Effect.forkScoped
      )

      const runStream: Sessions.Session<A>["runStream"] = <Name extends Tasks.FunctionNameOf<A>>(
        params: Sessions.Params<A, Name>
      ) => {
        const setUp = { setup: options.setup, ...params }
        const goOn = (session: string) => tasks.runStream<A, Name>(app, { ...setUp, session })
        const first = (started: (task: Task.Task) => Effect.Effect<unknown>) =>
          tasks
            .runStream<A, Name>(app, { ...setUp, session: "new", sessionTimeout: options.timeout })
            .pipe(
              Stream.tap(started),
              Stream.concat(Stream.suspend(() => (id === undefined ? Stream.fail(noId(app)) : Stream.empty)))
            )
        return Stream.unwrapScoped(
          Effect.gen(function* () {
            if (id !== undefined) return goOn(id)
            const place = yield* Effect.acquireRelease(Scope.make(), Scope.close)
            yield* Scope.extend(line, place)
            const leave = Scope.close(place, Exit.void)
            if (id !== undefined) return Stream.unwrap(Effect.as(leave, goOn(id)))
            return first(({ sessionId }) => {
              if (id !== undefined || sessionId === undefined) return Effect.void
              id = sessionId
              return Effect.zipRight(Deferred.succeed(started, sessionId), leave)
            })
          })
        )
      }

      return {
        id: Effect.sync(() => Option.fromNullable(id)),
        runStream,
        run: (params) => completed(runStream(params))
      } satisfies Sessions.Session<A>
    })

  return {
    make: session,
    get: (id) => ask("Sessions.get", id)({ schema: SessionInfo }),
    list: () =>
      Stream.fromIterableEffect(
        api.request({ path: "/sessions", schema: Schema.NullishOr(Schema.Array(SessionInfo)) }).pipe(
          Effect.map((found) => found ?? []),
          Telemetry.operation("Sessions.list")
        )
      ),
    keepalive,
    end
  }
}

/** Without the id a further run would find nothing of what this one has left. */
const noId = (app: Tasks.AppOrName) =>
  new DecodeError({
    subject: `session with ${nameOf(app)}`,
    path: ["session_id"],
    detail: "the service did not tell the id of the session"
  })
