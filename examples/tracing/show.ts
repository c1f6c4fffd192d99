/** Traces and metrics of OpenTelemetry as text. */
import type { ResourceMetrics } from "@opentelemetry/sdk-metrics"
import type { ReadableSpan } from "@opentelemetry/sdk-trace-base"
import { bold, dim, red } from "../support/terminal.js"

const millis = ([seconds, nanos]: ReadableSpan["startTime"]): number => seconds * 1000 + nanos / 1_000_000

const nameOf = ({ name, attributes }: ReadableSpan): string =>
  [name, attributes["url.path"] ?? attributes["inference.app"] ?? attributes["gen_ai.tool.name"]]
    .filter(Boolean)
    .join(" ")

/** How it ended, where there is more to say than that it went well. */
const endOf = ({ attributes }: ReadableSpan): string => {
  const status = attributes["http.response.status_code"] ?? attributes["inference.task.status"]
  const error = attributes["error.type"]
  const isInterrupted = attributes["inference.outcome"] === "interrupted"
  return [
    dim(status === undefined ? "" : String(status)),
    error === undefined ? "" : red(String(error)),
    isInterrupted ? red("interrupted") : ""
  ]
    .filter(Boolean)
    .join(" ")
}

/** Each trace as a tree, a line for each span. */
export const tree = (spans: ReadonlyArray<ReadableSpan>): ReadonlyArray<string> => {
  const ids = new Set(spans.map((span) => span.spanContext().spanId))
  const sorted = [...spans].sort((a, b) => millis(a.startTime) - millis(b.startTime))
  const below = (parent: string | undefined, indent: string): ReadonlyArray<string> => {
    const children = sorted.filter(({ parentSpanContext: of }) =>
      parent === undefined ? !ids.has(of?.spanId ?? "") : of?.spanId === parent
    )
    return children.flatMap((span, i) => {
      const isLast = i === children.length - 1
      const mark = parent === undefined ? "" : isLast ? "└ " : "├ "
      const time = `${millis(span.duration).toFixed(0)} ms`.padStart(8)
      const title = parent === undefined ? bold(nameOf(span)) : nameOf(span)
      return [
        `${dim(time)}  ${indent}${mark}${title} ${endOf(span)}`.trimEnd(),
        ...below(span.spanContext().spanId, parent === undefined ? "" : `${indent}${isLast ? "  " : "│ "}`)
      ]
    })
  }
  return below(undefined, "")
}

/** The counters, a line for each combination of tags. */
export const counters = ({ scopeMetrics }: ResourceMetrics): ReadonlyArray<string> =>
  scopeMetrics
    .flatMap(({ metrics }) => metrics)
    .filter(({ descriptor }) => /^inference_.*_total$/.test(descriptor.name))
    .flatMap(({ descriptor, dataPoints }) =>
      dataPoints.map(({ attributes, value }) => {
        const tags = Object.entries(attributes).filter(([key]) => !["unit", "time_unit"].includes(key))
        return `${String(value).padStart(8)}  ${descriptor.name} ${dim(tags.map(([key, value]) => `${key}=${value}`).join(" "))}`
      })
    )
    .sort((a, b) => a.slice(10).localeCompare(b.slice(10)))
