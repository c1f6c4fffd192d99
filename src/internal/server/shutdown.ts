/** The end of a server: it takes no more work, and has some time for what it has. */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { Problem } from "./reply.js"

export interface Shutdown {
  /** Refuses to start something once the server is being stopped. */
  readonly admit: Effect.Effect<void, Problem>
  /** Done once nothing is under way, or the time is over. `finish` waits for what is under way, and is told until when. */
  readonly drain: (finish: (until: number) => Effect.Effect<void>) => Effect.Effect<void>
}

export const make = (timeout: Duration.Duration): Shutdown => {
  let endsAt: number | undefined
  return {
    admit: Effect.flatMap(Clock.currentTimeMillis, (now) => {
      if (endsAt === undefined) return Effect.void
      const seconds = Math.max(1, Math.ceil((endsAt - now) / 1000))
      return new Problem({
        status: 503,
        code: "service_unavailable",
        detail: "the server is being stopped: try again once it is back",
        headers: { "retry-after": String(seconds) }
      })
    }),
    drain: (finish) =>
      Effect.flatMap(Clock.currentTimeMillis, (now) => {
        endsAt = now + Duration.toMillis(timeout)
        if (Duration.equals(timeout, Duration.zero)) return Effect.void
        // Finalizers cannot be interrupted, and a time limit on what cannot be does not limit it.
        return finish(endsAt).pipe(Effect.interruptible, Effect.timeoutOption(timeout), Effect.asVoid)
      })
  }
}
