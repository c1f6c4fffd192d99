import * as Effect from "effect/Effect"

/** How long the end of a fiber may be held up by word to the service. */
const patience = "5 seconds"

/**
 * For finalizers: does its best within a bound, and never fails; `otherwise` is logged where it did not get through. Finalizers
 * cannot be interrupted, so without `Effect.interruptible` the bound would not hold and a server that hangs would hang the program.
 */
export const lastly =
  (otherwise: string, about: () => Readonly<Record<string, unknown>> = () => ({})) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<void, never, R> =>
    effect.pipe(
      Effect.interruptible,
      Effect.timeout(patience),
      Effect.catchAllCause((cause) => Effect.annotateLogs(Effect.logWarning(otherwise, cause), about())),
      Effect.asVoid
    )
