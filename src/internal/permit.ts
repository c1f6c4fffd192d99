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
