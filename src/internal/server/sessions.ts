/** Sessions: an instance of an app that is kept for those who name it, until nobody has for some time. */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as ExecutionStrategy from "effect/ExecutionStrategy"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberMap from "effect/FiberMap"
import * as Scope from "effect/Scope"
import { AppFailed } from "../../InferenceError.js"
import type { Json } from "../wire.js"
import { text } from "./fields.js"
import { randomId } from "./ids.js"
import * as Pool from "./pool.js"
import type { Hosted } from "./registry.js"
import { invalid, Problem } from "./reply.js"

/** What is known of a session. */
export interface State {
  readonly id: string
  readonly workerId: string
  readonly appId: string
  readonly appVersionId: string
  readonly status: "active" | "ended" | "expired"
  readonly createdAt: number
  readonly updatedAt: number
  readonly expiresAt: number
  readonly endedAt: number | undefined
  /** The last task that was started, while any is under way. */
  readonly taskId: string | undefined
  readonly callCount: number
  readonly lastCallAt: number | undefined
  /** In seconds. */
  readonly idleTimeout: number
}

/** A session, as one mutable cell. Only this module writes to it. */
interface Entry<R> {
  state: State
  /** The calls under way. */
  calls: number
  /** The setup of the call that began it, for those that have none of their own. */
  readonly setup: unknown
  readonly pool: Pool.Pool<R>
  readonly scope: Scope.CloseableScope
}

/** One call of a session, which keeps it from expiring until it has left. */
export interface Call<R> {
  readonly session: State
  readonly pool: Pool.Pool<R>
  readonly began: (taskId: string) => Effect.Effect<void>
  readonly left: Effect.Effect<void>
}

/** What a run request says of sessions, checked. Nothing is begun before `enter`. */
export interface Plan<R> {
  /** For a request that has none. */
  readonly setup: unknown
  readonly enter: Effect.Effect<Call<R>>
}

export interface Sessions<R> {
  readonly plan: (app: Hosted<R>, body: Json) => Effect.Effect<Plan<R> | undefined, Problem>
  readonly get: (id: string) => Effect.Effect<State, Problem>
  readonly keepalive: (id: string) => Effect.Effect<State, Problem>
  readonly end: (id: string) => Effect.Effect<void, Problem>
  /** The newest first. */
  readonly all: () => ReadonlyArray<State>
}

const defaultTimeout = 60
const longestTimeout = 3600
/** How many are remembered that are over. */
const maxOver = 100

const problem = (status: number, code: string, detail: string) => new Problem({ status, code, detail })

const timeoutOf = (u: unknown): Effect.Effect<number, Problem> =>
  u == null
    ? Effect.succeed(defaultTimeout)
    : typeof u === "number" && u >= 1 && u <= longestTimeout
      ? Effect.succeed(u)
      : Effect.fail(
          invalid("this is no timeout of a session", [
            { field: "session_timeout", message: `expected a number of seconds from 1 to ${longestTimeout}` }
          ])
        )

const isActive = ({ state }: { readonly state: State }): boolean => state.status === "active"

/** Keeps sessions until the scope closes: of one app no more than `limit` at a time. */
export const make = <R>(limit: number): Effect.Effect<Sessions<R>, never, Scope.Scope> =>
  Effect.gen(function* () {
    const entries = new Map<string, Entry<R>>()
    // Of its own, so that the instances go when this does, and not before the tasks that use them: those are made later.
    const scope = yield* Scope.fork(yield* Effect.scope, ExecutionStrategy.sequential)
    const fibers = yield* FiberMap.make<string, void>()
    const fork = yield* FiberMap.runtime(fibers)<never>()

    const find = (id: string) =>
      Effect.suspend(() => {
        const entry = entries.get(id)
        return entry === undefined
          ? Effect.fail(problem(404, "SESSION_NOT_FOUND", `session ${id} not found`))
          : Effect.succeed(entry)
      })

    const findActive = (id: string) =>
      Effect.filterOrFail(find(id), isActive, ({ state }) =>
        state.status === "expired"
          ? problem(410, "SESSION_EXPIRED", `session ${id} has expired`)
          : problem(410, "SESSION_ENDED", `session ${id} was ended`)
      )

    const change = (entry: Entry<R>, f: (now: number) => Partial<State>) =>
      Effect.map(Clock.currentTimeMillis, (now) => {
        entry.state = { ...entry.state, ...f(now), updatedAt: now }
        return entry.state
      })

    const putOff = (entry: Entry<R>, fields: (now: number) => Partial<State> = () => ({})) =>
      change(entry, (now) => ({ ...fields(now), expiresAt: now + entry.state.idleTimeout * 1000 }))

    /** Unloads the instance once it is neither kept nor used. */
    const letGo = (entry: Entry<R>) =>
      Effect.suspend(() =>
        isActive(entry) || entry.calls > 0 ? Effect.void : Effect.uninterruptible(Scope.close(entry.scope, Exit.void))
      )

    const finish = (entry: Entry<R>, status: "ended" | "expired") =>
      Effect.gen(function* () {
        yield* change(entry, (now) => ({ status, endedAt: now }))
        const over = Array.from(entries.values()).filter((entry) => !isActive(entry))
        for (const { state } of over.slice(0, -maxOver)) entries.delete(state.id)
        yield* letGo(entry)
      })

    /** Ends a session when its time has come. While a call is under way, that is after the call. */
    const watch = (entry: Entry<R>): Effect.Effect<void> =>
      Effect.flatMap(Clock.currentTimeMillis, (now) => {
        const { expiresAt, idleTimeout } = entry.state
        if (!isActive(entry)) return Effect.void
        if (entry.calls === 0 && expiresAt <= now) return finish(entry, "expired")
        return Effect.zipRight(Effect.sleep(entry.calls > 0 ? idleTimeout * 1000 : expiresAt - now), watch(entry))
      })

    const open = (app: Hosted<R>, setup: unknown, idleTimeout: number): Effect.Effect<Entry<R>> =>
      Effect.gen(function* () {
        const own = yield* Scope.fork(scope, ExecutionStrategy.sequential)
        const pool = yield* Scope.extend(Pool.make(app.base, { maxInstances: 1, idleTimeout: Duration.infinity }), own)
        const [id, workerId, now] = yield* Effect.all([randomId, randomId, Clock.currentTimeMillis])
        const state: State = {
          id,
          workerId,
          appId: app.id,
          appVersionId: app.versionId,
          status: "active",
          createdAt: now,
          updatedAt: now,
          expiresAt: now + idleTimeout * 1000,
          endedAt: undefined,
          taskId: undefined,
          callCount: 0,
          lastCallAt: undefined,
          idleTimeout
        }
        const entry: Entry<R> = { state, calls: 0, setup, pool, scope: own }
        entries.set(id, entry)
        fork(id, watch(entry))
        return entry
      })

    const gone = ({ appId, id }: State): Pool.Pool<R> => ({
      use: () =>
        Effect.fail(new AppFailed({ app: appId, phase: "setup", detail: `session ${id} ended before the task began` }))
    })

    const enter = (entry: Entry<R>): Effect.Effect<Call<R>> =>
      Effect.sync(() => {
        entry.calls++
        return {
          session: entry.state,
          pool: isActive(entry) ? entry.pool : gone(entry.state),
          began: (taskId) =>
            putOff(entry, (now) => ({ taskId, lastCallAt: now, callCount: entry.state.callCount + 1 })),
          left: Effect.suspend(() => {
            entry.calls--
            const fields = () => (entry.calls > 0 ? {} : { taskId: undefined })
            return Effect.zipRight(isActive(entry) ? putOff(entry, fields) : change(entry, fields), letGo(entry))
          })
        }
      })

    const plan: Sessions<R>["plan"] = (app, body) =>
      Effect.gen(function* () {
        if (body.session != null && typeof body.session !== "string") {
          return yield* invalid("this is no session", [{ field: "session", message: 'expected "new" or an id' }])
        }
        const named = text(body.session)
        if (named === undefined) return undefined
        if (named === "new") {
          const timeout = yield* timeoutOf(body.session_timeout)
          const held = Array.from(entries.values()).filter(
            (entry) => isActive(entry) && entry.state.appVersionId === app.versionId
          )
          if (held.length >= limit) {
            return yield* problem(409, "WORKER_LEASED", `all ${limit} workers of ${app.id} are held by sessions`)
          }
          return { setup: body.setup, enter: Effect.flatMap(open(app, body.setup, timeout), enter) }
        }
        const entry = yield* findActive(named)
        const { appId, appVersionId } = entry.state
        if (appId !== app.id) {
          return yield* problem(400, "APP_MISMATCH", `session ${named} is one of ${appId}, and not of ${app.id}`)
        }
        if (appVersionId !== app.versionId) {
          const detail = `session ${named} is one of ${appVersionId}, and not of ${app.versionId}`
          return yield* problem(400, "VERSION_MISMATCH", detail)
        }
        return { setup: entry.setup, enter: enter(entry) }
      })

    return {
      plan,
      get: (id) => Effect.map(find(id), ({ state }) => state),
      keepalive: (id) => Effect.flatMap(findActive(id), (entry) => putOff(entry)),
      // Whoever ends it waits for its unload, which goes on without them.
      end: (id) =>
        Effect.flatMap(findActive(id), (entry) => Effect.suspend(() => Fiber.join(fork(id, finish(entry, "ended"))))),
      all: () => Array.from(entries.values(), ({ state }) => state).reverse()
    }
  })
