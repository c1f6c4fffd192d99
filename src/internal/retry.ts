/** The one retry policy: of requests, downloads, uploads and reconnections. */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"

/**
 * How often and how patiently to try again. `false` in its place turns retries off.
 *
 * @since 0.1.0
 * @category models
 */
export interface RetryPolicy {
  /** How often to try in all, the first time included. Default 5. */
  readonly attempts?: number | undefined
  /** The wait after the first failure, doubled after each further one and shortened at random by up to half. Default 500 ms. */
  readonly baseDelay?: Duration.DurationInput | undefined
  /** No such wait is longer than this. Default 30 seconds. */
  readonly maxDelay?: Duration.DurationInput | undefined
  /** A wait that the service asks for (`Retry-After`) is kept to the second up to this; one longer fails at once. Default 2 minutes. */
  readonly maxRetryAfter?: Duration.DurationInput | undefined
}

export interface Resolved {
  readonly attempts: number
  readonly baseDelay: Duration.Duration
  readonly maxDelay: Duration.Duration
  readonly maxRetryAfter: Duration.Duration
}

export const resolve = (policy: RetryPolicy | false = {}): Resolved => {
  const given: RetryPolicy = policy === false ? { attempts: 1 } : policy
  return {
    attempts: Math.max(1, Math.floor(given.attempts ?? 5)),
    baseDelay: Duration.decode(given.baseDelay ?? "500 millis"),
    maxDelay: Duration.decode(given.maxDelay ?? "30 seconds"),
    maxRetryAfter: Duration.decode(given.maxRetryAfter ?? "2 minutes")
  }
}

/** How long to wait after the given number of failures: whole milliseconds, since the `TestClock` breaks on others. */
export const delay = (policy: Resolved, failures: number, retryAfter?: Duration.Duration) =>
  Effect.map(Random.nextRange(0.5, 1), (jitter) => {
    const backoff = Duration.min(policy.maxDelay, Duration.times(policy.baseDelay, 2 ** (failures - 1)))
    return Duration.millis(Math.ceil(Duration.toMillis(retryAfter ?? Duration.times(backoff, jitter))))
  })

/** How often what is under way was tried before. */
export class Resends extends Context.Reference<Resends>()("effect-inferencesh/Resends", { defaultValue: () => 0 }) {}

/** Runs an effect until it succeeds, fails with an error that is not to be retried, or has no attempts left. */
export const retrying =
  <E extends { readonly retryAfter?: Duration.Duration | undefined }>(
    policy: Resolved,
    worthIt: (error: E) => boolean
  ) =>
  <A, R>(attempt: (failures: number) => Effect.Effect<A, E, R>): Effect.Effect<A, E, R> => {
    const go = (failures: number): Effect.Effect<A, E, R> =>
      Effect.catchAll(
        Effect.provideService(
          Effect.suspend(() => attempt(failures)),
          Resends,
          failures
        ),
        (error) =>
          failures + 1 < policy.attempts &&
          worthIt(error) &&
          !(error.retryAfter && Duration.greaterThan(error.retryAfter, policy.maxRetryAfter))
            ? Effect.zipRight(
                Effect.flatMap(delay(policy, failures + 1, error.retryAfter), Effect.sleep),
                go(failures + 1)
              )
            : Effect.fail(error)
      )
    return go(0)
  }
