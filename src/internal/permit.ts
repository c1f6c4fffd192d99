import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

/** Waits for a permit, and keeps it until the scope closes. */
export const scopedPermit = (semaphore: Effect.Semaphore): Effect.Effect<void, never, Scope.Scope> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.zipRight(
      restore(semaphore.take(1)),
      Effect.addFinalizer(() => semaphore.release(1))
    )
  )

/**
 * A place that one at a time has until its scope closes, in the order in which they asked for it. A semaphore would let one that has just
 * released it take it again before those that wait.
 */
export const makeLine: Effect.Effect<Effect.Effect<void, never, Scope.Scope>> = Effect.sync(() => {
  const waiting: Array<Deferred.Deferred<void>> = []
  let isTaken = false

  const release = Effect.suspend(() => {
    const next = waiting.shift()
    if (next !== undefined) return Effect.asVoid(Deferred.succeed(next, undefined))
    isTaken = false
    return Effect.void
  })

  const leave = (place: Deferred.Deferred<void>) =>
    Effect.suspend(() => {
      const at = waiting.indexOf(place)
      if (at === -1) return release
      waiting.splice(at, 1)
      return Effect.void
    })

  const take = Effect.flatMap(Deferred.make<void>(), (place) => {
    if (isTaken) {
      waiting.push(place)
      return Effect.onInterrupt(Effect.interruptible(Deferred.await(place)), () => leave(place))
    }
    isTaken = true
    return Effect.void
  })

  return Effect.acquireRelease(take, () => release)
})
