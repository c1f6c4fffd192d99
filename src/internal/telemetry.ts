/** The spans and metrics of operations. What there is of both is listed in `Telemetry`. */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Metric from "effect/Metric"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Stream from "effect/Stream"
import type * as Tracer from "effect/Tracer"
import * as Telemetry from "../Telemetry.js"

type Tags = Readonly<Record<string, string>>

/** Those without a value are left out. */
export type Attributes = Readonly<Record<string, string | undefined>>

type SpanOptions = Pick<Tracer.SpanOptions, "kind" | "parent">

const pair =
  (total: Metric.Metric.Counter<number>, time: Metric.Metric.Histogram<number>) => (tags: Tags, millis: number) => {
    const tagged = <Type, In, Out>(metric: Metric.Metric<Type, In, Out>) =>
      Object.entries(tags).reduce((metric, [key, value]) => Metric.tagged(metric, key, value), metric)
    return Effect.zipRight(Metric.increment(tagged(total)), Metric.update(tagged(time), millis))
  }

const operations = pair(Telemetry.operations, Telemetry.operationTime)
const requests = pair(Telemetry.requests, Telemetry.requestTime)
const tasks = pair(Telemetry.tasks, Telemetry.taskTime)

/** The tag of an error, or `defect`; nothing for a success and for an interruption. */
export const errorTypeOf = (exit: Exit.Exit<unknown, unknown>): string | undefined =>
  Exit.isSuccess(exit)
    ? undefined
    : Option.match(Cause.failureOption(exit.cause), {
        onSome: (error) => (Predicate.hasProperty(error, "_tag") ? String(error._tag) : "failure"),
        onNone: () => (Cause.isInterruptedOnly(exit.cause) ? undefined : "defect")
      })

const outcomeOf = (exit: Exit.Exit<unknown, unknown>): string =>
  errorTypeOf(exit) ?? (Exit.isSuccess(exit) ? "ok" : "interrupted")

const defined = (attributes: Attributes): Tags =>
  Object.fromEntries(Object.entries(attributes).flatMap(([key, value]) => (value === undefined ? [] : [[key, value]])))

/** Says on the span how it ended. */
const noteEnd = (span: Tracer.Span, exit: Exit.Exit<unknown, unknown>) => {
  const errorType = errorTypeOf(exit)
  if (errorType !== undefined) span.attribute(Telemetry.Attribute.errorType, errorType)
  span.attribute(Telemetry.Attribute.outcome, outcomeOf(exit))
}

/** Sets attributes of the span that is open, if there is one. */
export const annotate = (attributes: Attributes) => Effect.annotateCurrentSpan(defined(attributes))

/** A span that says how it ended. Its stack trace would show this package alone. */
export const span =
  (name: string, attributes: Attributes = {}, options: SpanOptions = {}) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, Exclude<R, Tracer.ParentSpan>> =>
    Effect.useSpan(name, { ...options, attributes: defined(attributes), captureStackTrace: false }, (span) =>
      Effect.onExit(Effect.withParentSpan(effect, span), (exit) => Effect.sync(() => noteEnd(span, exit)))
    )

/** The same for a stream, as long as it lasts. */
export const streamSpan =
  (name: string, attributes: Attributes = {}, options: SpanOptions = {}) =>
  <A, E, R>(stream: Stream.Stream<A, E, R>): Stream.Stream<A, E, Exclude<R, Tracer.ParentSpan>> =>
    Stream.unwrap(
      Effect.map(Effect.option(Effect.currentSpan), (span) =>
        Stream.ensuringWith(stream, (exit) =>
          Effect.sync(() => {
            if (Option.isSome(span)) noteEnd(span.value, exit)
          })
        )
      )
    ).pipe(Stream.withSpan(name, { ...options, attributes: defined(attributes), captureStackTrace: false }))

const measured =
  (record: (tags: Tags, millis: number) => Effect.Effect<unknown>, tags: Tags) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.flatMap(Clock.currentTimeMillis, (startedAt) =>
      Effect.onExit(effect, (exit) =>
        Effect.flatMap(Clock.currentTimeMillis, (now) => record({ ...tags, outcome: outcomeOf(exit) }, now - startedAt))
      )
    )

const measuredStream =
  (record: (tags: Tags, millis: number) => Effect.Effect<unknown>, tags: Tags) =>
  <A, E, R>(stream: Stream.Stream<A, E, R>): Stream.Stream<A, E, R> =>
    Stream.unwrap(
      Effect.map(Clock.currentTimeMillis, (startedAt) =>
        Stream.ensuringWith(stream, (exit) =>
          Effect.flatMap(Clock.currentTimeMillis, (now) =>
            record({ ...tags, outcome: outcomeOf(exit) }, now - startedAt)
          )
        )
      )
    )

/** Counts a request by its method and outcome, and measures its time. */
export const request = (method: string) => measured(requests, { method })

/** Counts a task by its app and the way it ended, and measures how long it took. */
export const taskEnded = (app: string, outcome: string, millis: number) => tasks({ app, outcome }, millis)

/** An operation of the package: with a span, and counted and measured however it ends. */
export const operation =
  (name: string, attributes?: Attributes, options?: SpanOptions) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>) =>
    effect.pipe(measured(operations, { operation: name }), span(name, attributes, options))

/** The same for an operation that is a stream. */
export const streamOperation =
  (name: string, attributes?: Attributes, options?: SpanOptions) =>
  <A, E, R>(stream: Stream.Stream<A, E, R>) =>
    stream.pipe(measuredStream(operations, { operation: name }), streamSpan(name, attributes, options))
