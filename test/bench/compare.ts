import * as Array from "effect/Array"
import * as Console from "effect/Console"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Order from "effect/Order"

const rounds = 7

const median = (values: ReadonlyArray<number>): number =>
  Array.sort(values, Order.number)[Math.floor(values.length / 2)] ?? Number.NaN

/** The time of something against the official SDK, as a ratio. They take turns, so that whatever else the machine does hits both. */
export const compare = <R>(
  what: string,
  ours: Effect.Effect<unknown, unknown, R>,
  theirs: () => Promise<unknown>
): Effect.Effect<void, unknown, R> =>
  Effect.gen(function* () {
    yield* ours
    yield* Effect.promise(theirs)
    const times = yield* Effect.replicateEffect(
      Effect.all([Effect.timed(ours), Effect.timed(Effect.promise(theirs))]),
      rounds
    )
    const our = median(times.map(([[took]]) => Duration.toMillis(took)))
    const their = median(times.map(([, [took]]) => Duration.toMillis(took)))
    yield* Console.log(
      `${what}: ${(our / their).toFixed(2)} of the official SDK (${our.toFixed(0)} ms, ${their.toFixed(0)} ms)`
    )
  })
