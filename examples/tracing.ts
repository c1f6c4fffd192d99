/** Spans and metrics by OpenTelemetry: what a few tasks and a turn of an agent tell of themselves, as a tree. */
import * as NodeSdk from "@effect/opentelemetry/NodeSdk"
import {
  AggregationTemporality,
  InMemoryMetricExporter,
  PeriodicExportingMetricReader
} from "@opentelemetry/sdk-metrics"
import { InMemorySpanExporter, SimpleSpanProcessor } from "@opentelemetry/sdk-trace-base"
import * as Effect from "effect/Effect"
import * as Main from "./support/main.js"
import { bold, print } from "./support/terminal.js"
import * as Show from "./tracing/show.js"
import { layer, work } from "./tracing/work.js"

// In place of these two: the exporters of @opentelemetry/exporter-trace-otlp-http and @opentelemetry/exporter-metrics-otlp-http.
const spans = new InMemorySpanExporter()
const metrics = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE)

const reader = new PeriodicExportingMetricReader({ exporter: metrics })

const openTelemetry = NodeSdk.layer(() => ({
  resource: { serviceName: "tracing-example" },
  spanProcessor: new SimpleSpanProcessor(spans),
  metricReader: reader
}))

const program = Effect.gen(function* () {
  // The layers are built, and the server in them ends, with the tracer around them.
  yield* Effect.provide(work, layer)
  yield* print(bold("Trace\n"))
  for (const line of Show.tree(spans.getFinishedSpans())) yield* print(line)

  yield* print(bold("\nMetrics\n"))
  const { resourceMetrics } = yield* Effect.promise(() => reader.collect())
  for (const line of Show.counters(resourceMetrics)) yield* print(line)
})

Main.run(Effect.provide(program, openTelemetry))
