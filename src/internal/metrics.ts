import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import * as MetricBoundaries from "effect/MetricBoundaries"
import type { TaskStatus } from "../Task.js"

const boundaries = MetricBoundaries.exponential({ start: 5, factor: 2, count: 16 })

const requests = Metric.counter("inference_requests_total", {
  description: "Requests to the service",
  incremental: true
})

const requestTime = Metric.histogram(
  "inference_request_milliseconds",
  boundaries,
  "Time of a request, its retries included"
)

const tasks = Metric.counter("inference_tasks_total", {
  description: "Tasks that were followed to an end",
  incremental: true
})

const taskTime = Metric.histogram(
  "inference_task_milliseconds",
  boundaries,
  "Time from submission to the end of a task"
)

/** Counts a request by method and outcome, and measures its time. */
export const request =
  (method: string) =>
  <A, E extends { readonly _tag: string }, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.timed(effect).pipe(
      Effect.tapBoth({
        onFailure: (error) => Metric.increment(tagged(requests, { method, outcome: error._tag })),
        onSuccess: ([took]) =>
          Effect.zipRight(
            Metric.increment(tagged(requests, { method, outcome: "ok" })),
            Metric.update(tagged(requestTime, { method }), Duration.toMillis(took))
          )
      }),
      Effect.map(([, value]) => value)
    )

/** Counts a task that ended, and measures how long it took. */
export const taskEnded = (app: string, status: TaskStatus, took: Duration.Duration) =>
  Effect.zipRight(
    Metric.increment(tagged(tasks, { app, status })),
    Metric.update(tagged(taskTime, { app, status }), Duration.toMillis(took))
  )

const tagged = <Type, In, Out>(
  metric: Metric.Metric<Type, In, Out>,
  tags: Readonly<Record<string, string>>
): Metric.Metric<Type, In, Out> =>
  Object.entries(tags).reduce((tagged, [key, value]) => Metric.tagged(tagged, key, value), metric)
