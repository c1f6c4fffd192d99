/** The instances of one app: which are loaded, and who may use them. */
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as FiberSet from "effect/FiberSet"
import * as Scope from "effect/Scope"
import type * as App from "../../App.js"
import * as BaseApp from "../../BaseApp.js"
import type { AppFailed } from "../../InferenceError.js"
import { Attribute } from "../../Telemetry.js"

interface Slot<R> {
  readonly key: string
  /** Done once setup has ended; `undefined` where it did not get through. */
  readonly ready: Deferred.Deferred<BaseApp.Instance | undefined>
  /** The instance that had to make room for this one. */
  readonly evicted: Slot<R> | undefined
  /** Whether a task has taken it on to load it. */
  loading: boolean
  /** There once setup begins. */
  scope: Scope.CloseableScope | undefined
  /** There once setup has got through. */
  instance: BaseApp.Instance | undefined
  busy: number
  /** Its place in the order in which instances became idle, and the time of that. */
  idleSince: number
  idleAt: number
  /** What unloads it once it was idle for long enough. */
  reaper: Fiber.RuntimeFiber<void> | undefined
}

interface Waiter<R> {
  readonly key: string
  readonly granted: Deferred.Deferred<Slot<R>>
  slot: Slot<R> | undefined
}

export interface Pool<R> {
  /**
   * An instance with this setup, for as long as the scope is open. Waits its turn while all are in use. There is one
   * instance per `key`, which takes as many runs at a time as the app allows.
   */
  readonly use: (
    key: string,
    setup: unknown,
    on: { readonly granted: Effect.Effect<void>; readonly cold: Effect.Effect<void> }
  ) => Effect.Effect<BaseApp.Instance, AppFailed, R | Scope.Scope>
}

export interface Limits {
  /** How many instances may be loaded at a time. */
  readonly maxInstances: number
  /** How long one that is not used stays loaded. */
  readonly idleTimeout: Duration.Duration
}

/** A pool within these limits, whose instances are unloaded when the scope closes. */
export const make = <R>(
  base: BaseApp.BaseApp<App.Any, R>,
  { maxInstances, idleTimeout }: Limits
): Effect.Effect<Pool<R>, never, Scope.Scope> =>
  Effect.gen(function* () {
    const slots = new Map<string, Slot<R>>()
    const waiters: Array<Waiter<R>> = []
    let clock = 0

    const unload = (slot: Slot<R> | undefined) =>
      slot?.scope === undefined
        ? Effect.void
        : Effect.zipRight(
            slot.reaper === undefined ? Effect.void : Fiber.interruptFork(slot.reaper),
            Effect.catchAllCause(Scope.close(slot.scope, Exit.void), (cause) =>
              Effect.annotateLogs(
                Effect.logWarning(`${base.app.name} did not unload cleanly`, cause),
                Attribute.app,
                base.app.name
              )
            )
          )

    yield* Effect.addFinalizer(() => Effect.forEach(slots.values(), unload, { discard: true }))
    const fork = yield* FiberSet.makeRuntime<never, void, never>()

    /** Unloads an instance. Until it is unloaded, no other takes its place. */
    const remove = (slot: Slot<R>): Effect.Effect<void> =>
      Effect.suspend(() => {
        slot.busy = Number.POSITIVE_INFINITY
        return Effect.map(unload(slot), () => {
          slots.delete(slot.key)
          admit()
        })
      })

    /** Unloads an instance once it was idle for long enough. */
    const reap = (slot: Slot<R>): Effect.Effect<void> =>
      Effect.uninterruptibleMask((restore) => {
        const look: Effect.Effect<void> = Effect.flatMap(Clock.currentTimeMillis, (now) => {
          if (slots.get(slot.key) !== slot) return Effect.void
          const idle = Duration.toMillis(idleTimeout)
          const wait = slot.busy > 0 ? idle : slot.idleAt + idle - now
          if (wait > 0) return Effect.zipRight(restore(Effect.sleep(wait)), look)
          return remove(slot)
        })
        return look
      })

    const take = (key: string): Slot<R> | undefined => {
      const slot = slots.get(key)
      if (slot !== undefined) {
        if (slot.busy >= base.concurrency) return undefined
        slot.busy++
        return slot
      }
      const idle =
        slots.size < maxInstances
          ? undefined
          : Array.from(slots.values())
              .filter((other) => other.busy === 0)
              .sort((a, b) => a.idleSince - b.idleSince)[0]
      if (slots.size >= maxInstances && idle === undefined) return undefined
      if (idle !== undefined) slots.delete(idle.key)
      const fresh: Slot<R> = {
        key,
        ready: Deferred.unsafeMake(FiberId.none),
        evicted: idle,
        loading: false,
        scope: undefined,
        instance: undefined,
        busy: 1,
        idleSince: 0,
        idleAt: 0,
        reaper: undefined
      }
      slots.set(key, fresh)
      return fresh
    }

    const leastBusy = () => Array.from(slots.values()).sort((a, b) => a.busy - b.busy || a.idleSince - b.idleSince)[0]

    // In the order of arrival: a task for a setup that is not loaded gets the next instance that is idle. For the oldest
    // such task one instance takes no more runs until it is, or those that keep coming for it would never let it be.
    const admit = () => {
      let clearing: Slot<R> | undefined
      for (const waiter of [...waiters]) {
        if (clearing !== undefined && slots.get(waiter.key) === clearing) continue
        const slot = take(waiter.key)
        if (slot === undefined) {
          if (!slots.has(waiter.key)) clearing ??= leastBusy()
          continue
        }
        waiters.splice(waiters.indexOf(waiter), 1)
        waiter.slot = slot
        Deferred.unsafeDone(waiter.granted, Effect.succeed(slot))
      }
    }

    const release = (slot: Slot<R>) =>
      Effect.flatMap(Clock.currentTimeMillis, (now) => {
        slot.busy--
        slot.idleSince = ++clock
        slot.idleAt = now
        // It takes no more runs: what it still does is not meant to go on beside them.
        if (slot.busy === 0 && slot.instance?.isStuck() === true && slots.get(slot.key) === slot) {
          return Effect.sync(() => void fork(Effect.uninterruptible(remove(slot))))
        }
        const unused = slot.busy === 0 && !slot.loading && slots.get(slot.key) === slot
        if (unused) slots.delete(slot.key)
        return Effect.zipRight(unused ? unload(slot.evicted) : Effect.void, Effect.sync(admit))
      })

    const acquire = (key: string): Effect.Effect<Slot<R>, never, Scope.Scope> =>
      Effect.uninterruptibleMask((restore) =>
        Effect.suspend(() => {
          const waiter: Waiter<R> = { key, granted: Deferred.unsafeMake(FiberId.none), slot: undefined }
          waiters.push(waiter)
          admit()
          return restore(Deferred.await(waiter.granted)).pipe(
            Effect.onInterrupt(() => {
              if (waiter.slot !== undefined) return release(waiter.slot)
              waiters.splice(waiters.indexOf(waiter), 1)
              return Effect.sync(admit)
            }),
            Effect.tap((slot) => Effect.addFinalizer(() => release(slot)))
          )
        })
      )

    /** Loads the instance, or waits for whoever does: `undefined` where that one fails or is cancelled. */
    const loaded = (slot: Slot<R>, setup: unknown, cold: Effect.Effect<void>) =>
      Effect.uninterruptibleMask((restore) =>
        Effect.gen(function* () {
          if (slot.loading) return yield* restore(Deferred.await(slot.ready))
          slot.loading = true
          const scope = yield* Scope.make()
          slot.scope = scope
          yield* unload(slot.evicted)
          return yield* restore(Effect.zipRight(cold, Scope.extend(BaseApp.startEncoded(base, setup), scope))).pipe(
            Effect.onExit((exit) => {
              if (Exit.isSuccess(exit)) {
                slot.instance = exit.value
                // The pool of a session is made where nothing can be interrupted, which what it forks would inherit.
                slot.reaper = fork(Effect.interruptible(reap(slot)))
                return Deferred.succeed(slot.ready, exit.value)
              }
              if (slots.get(slot.key) === slot) slots.delete(slot.key)
              return Effect.zipRight(unload(slot), Deferred.succeed(slot.ready, undefined))
            })
          )
        })
      )

    const use: Pool<R>["use"] = (key, setup, on) =>
      Effect.gen(function* () {
        const slot = yield* acquire(key)
        yield* on.granted
        const instance = yield* loaded(slot, setup, on.cold)
        return instance ?? (yield* use(key, setup, on))
      })

    return { use }
  })

/** The same text for equal JSON values, whatever the order of their keys. */
export const canonical = (value: unknown): string =>
  JSON.stringify(value, (_, item: unknown) =>
    typeof item === "object" && item !== null && !Array.isArray(item)
      ? Object.fromEntries(Object.entries(item).sort(([a], [b]) => (a < b ? -1 : 1)))
      : item
  ) ?? "null"
