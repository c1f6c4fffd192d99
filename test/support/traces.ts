/** Collects what programs tell OpenTelemetry of themselves. */
import * as NodeSdk from "@effect/opentelemetry/NodeSdk"
import { InMemorySpanExporter, type ReadableSpan, SimpleSpanProcessor } from "@opentelemetry/sdk-trace-base"
import * as Effect from "effect/Effect"

export interface Trace {
  readonly spans: ReadonlyArray<ReadableSpan>
  /** The spans with that name, in the order in which they began. */
  readonly named: (name: string) => ReadonlyArray<ReadableSpan>
  /** The names of the spans around one, from the outside. */
  readonly pathOf: (span: ReadableSpan | undefined) => ReadonlyArray<string>
  /** All that is in it, as text. */
  readonly text: string
}

const traceOf = (finished: ReadonlyArray<ReadableSpan>): Trace => {
  const spans = [...finished].sort(({ startTime: [a, m] }, { startTime: [b, n] }) => a - b || m - n)
  const pathOf = (span: ReadableSpan | undefined): ReadonlyArray<string> =>
    span === undefined
      ? []
      : [...pathOf(spans.find((other) => other.spanContext().spanId === span.parentSpanContext?.spanId)), span.name]
  return {
    spans,
    named: (name) => spans.filter((span) => span.name === name),
    pathOf,
    text: JSON.stringify(
      spans.map(({ name, attributes, events, links, status }) => ({ name, attributes, events, links, status }))
    )
  }
}

/** Runs a program with a tracer around it, and gives its trace. */
export const traced = <A, E, R>(program: Effect.Effect<A, E, R>): Effect.Effect<Trace, never, R> =>
  Effect.suspend(() => {
    const exporter = new InMemorySpanExporter()
    const kept: Array<ReadableSpan> = []
    const keep = Effect.sync(() => kept.push(...exporter.getFinishedSpans()))
    const layer = NodeSdk.layer(() => ({
      resource: { serviceName: "test" },
      spanProcessor: new SimpleSpanProcessor(exporter)
    }))
    return Effect.exit(program).pipe(
      Effect.zipRight(keep),
      Effect.provide(layer),
      Effect.map(() => traceOf(kept))
    )
  })
