import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Metric from "effect/Metric"
import * as MetricBoundaries from "effect/MetricBoundaries"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Stream from "effect/Stream"

type Tags = Readonly<Record<string, string>>

const boundaries = MetricBoundaries.exponential({ start: 5, factor: 2, count: 16 })

const tagged = <Type, In, Out>(metric: Metric.Metric<Type, In, Out>, tags: Tags): Metric.Metric<Type, In, Out> =>
  Object.entries(tags).reduce((tagged, [key, value]) => Metric.tagged(tagged, key, value), metric)

/** How often something ended in which way, and how long it took. */
const makePair = (name: string, what: string) => {
  const total = Metric.counter(`inference_${name}s_total`, { description: `Number of ${what}`, incremental: true })
  const time = Metric.histogram(`inference_${name}_milliseconds`, boundaries, `Time of ${what}`)
  return (tags: Tags, millis: number) =>
    Effect.zipRight(Metric.increment(tagged(total, tags)), Metric.update(tagged(time, tags), millis))
}

const operations = makePair("operation", "operations, their retries included")
const requests = makePair("request", "requests to the service, their retries included")
const tasks = makePair("task", "tasks that were run, from submission to the end")

/** `ok`, `interrupted`, `defect`, or the tag of the error. */
const outcomeOf = (exit: Exit.Exit<unknown, unknown>): string =>
  Exit.match(exit, {
    onSuccess: () => "ok",
    onFailure: (cause) =>
      Option.match(Cause.failureOption(cause), {
        onSome: (error) => (Predicate.hasProperty(error, "_tag") ? String(error._tag) : "failure"),
        onNone: () => (Cause.isInterruptedOnly(cause) ? "interrupted" : "defect")
      })
  })

const measured =
  (record: (tags: Tags, millis: number) => Effect.Effect<unknown>, tags: Tags) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.flatMap(Clock.currentTimeMillis, (startedAt) =>
      Effect.onExit(effect, (exit) =>
        Effect.flatMap(Clock.currentTimeMillis, (now) => record({ ...tags, outcome: outcomeOf(exit) }, now - startedAt))
      )
    )

/** Counts a request by its method and outcome, and measures its time. */
export const request = (method: string) => measured(requests, { method })

/** Counts a task by its app and the way it ended, and measures how long it took. */
export const taskEnded = (app: string, outcome: string, millis: number) => tasks({ app, outcome }, millis)

/** An operation of the package: with a span, and counted and measured however it ends. */
export const operation =
  (name: string, attributes: Tags = {}) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>) =>
    effect.pipe(measured(operations, { operation: name }), Effect.withSpan(name, { attributes }))

/** The same for an operation that is a stream. */
export const streamOperation =
  (name: string, attributes: Tags = {}) =>
  <A, E, R>(stream: Stream.Stream<A, E, R>) =>
    Stream.unwrap(
      Effect.map(Clock.currentTimeMillis, (startedAt) =>
        Stream.ensuringWith(stream, (exit) =>
          Effect.flatMap(Clock.currentTimeMillis, (now) =>
            operations({ operation: name, outcome: outcomeOf(exit) }, now - startedAt)
          )
        )
      )
    ).pipe(Stream.withSpan(name, { attributes }))
