/**
 * What a program with this package tells of itself: the names of spans, attributes, metrics and logs. They stay the same from
 * version to version.
 *
 * ## Spans
 *
 * Each operation has one span with its own name, such as `Tasks.run` or `Files.upload`. That of a stream lasts as long as the stream, and
 * requests hang under the operation that makes them. There is none for a single event or chunk.
 *
 * | span | when | attributes besides the common ones |
 * |---|---|---|
 * | `Tasks.*` | an operation of `Tasks` | `inference.app`, `inference.function`, `inference.task.id`, `inference.task.status` (as it was seen last), `inference.session.id` |
 * | `Sessions.*` | an operation of `Sessions` | `inference.session.id` |
 * | `Files.*` | an operation of `Files` | `inference.file.id` |
 * | `Agents.*` | an operation of `Agents`, or of an agent | `gen_ai.agent.id` or `gen_ai.agent.name`, `gen_ai.conversation.id` |
 * | `Agents.sendMessage`, `Agents.chat`, `Agents.run` | a turn | also `gen_ai.operation.name` (`invoke_agent`), `gen_ai.provider.name` (`inference.sh`), `gen_ai.request.model` (the app of the model), `inference.run.id`, `inference.run.status` |
 * | `Agents.toolCall` | a client tool's handler | `gen_ai.operation.name` (`execute_tool`), `gen_ai.tool.name`, `gen_ai.tool.call.id`, `gen_ai.tool.type` (`function`), `gen_ai.conversation.id` |
 * | `Llm.openAi` | a request to a model | `gen_ai.operation.name` (`chat`), `gen_ai.provider.name`, `gen_ai.request.model`, `gen_ai.usage.input_tokens`, `gen_ai.usage.output_tokens`, `inference.app` |
 * | `BaseApp.start` | an instance is set up | `inference.app` |
 * | `BaseApp.run` | a handler runs | `inference.app`, `inference.function`, `inference.task.id`, `inference.session.id` |
 * | `LocalServer.task` | the server has a task, from its start to its end | as `BaseApp.run`, and `inference.task.status` |
 * | `LocalServer.turn` | the server takes a turn | `gen_ai.agent.name`, `gen_ai.conversation.id`, `inference.run.id` |
 * | `http.client GET` … | a request, until the headers of its reply; one more for each retry | `http.request.method`, `url.full`, `url.scheme`, `url.path`, `server.address`, `server.port`, `http.response.status_code`, `http.request.resend_count` |
 *
 * Common ones: `error.type`, the tag of the error where it failed (`defect` where it died), and for all but HTTP requests
 * `inference.outcome`: that, or `ok`, or `interrupted`. The status of a span is that of the effect. Addresses come without their
 * query. No attribute holds a key, a header, an input, an output or what is said in a chat. The status of a failed span comes with the
 * message of the error, which may quote the service, the app, or a value of an input that does not fit. Over a server in the same
 * process requests also have `http.route`.
 *
 * The spans of a server go on from those of the request where it runs in the same program, or where the client sends its trace
 * headers (`propagateTraces`). Provide the tracer around the layers of this package, since some fibers begin there.
 *
 * ## Metrics
 *
 * | metric | counts or measures | tags |
 * |---|---|---|
 * | `inference_operations_total`, `inference_operation_milliseconds` | the operations that have spans, of `Tasks` to `Llm` above | `operation` (the name of the span), `outcome` (as on the span) |
 * | `inference_requests_total`, `inference_request_milliseconds` | requests to the service, each with its retries, except those for streams of events | `method`, `outcome` |
 * | `inference_tasks_total`, `inference_task_milliseconds` | tasks that were run and followed | `app`, `outcome`: `completed`, `failed`, `cancelled`, `interrupted`, `refused`, `lost` |
 *
 * ## Logs
 *
 * They have the attributes of spans as annotations: `inference.task.id`, `inference.session.id`, `inference.app`,
 * `gen_ai.conversation.id`, `gen_ai.tool.name`.
 *
 * | level | what |
 * |---|---|
 * | Debug | a notice of the service (with `inference.notice.code` and `inference.notice.level`); a tool's handler failed; a session could not be kept alive; a model's server neither went on nor closed |
 * | Info | what a handler logs by `BaseApp.Context` outside of a server |
 * | Warning | the end of something was not confirmed, so that it may go on; `unload` failed; a tool's handler died; a turn waits for approval and nobody sees its events; something that a model or a file on the disk should not hold was left out |
 * | Error | a request to a `LocalServer`, or a turn in it, failed for no reason that it knows |
 *
 * @module
 * @since 0.1.0
 */
import * as Metric from "effect/Metric"
import * as MetricBoundaries from "effect/MetricBoundaries"

/**
 * The attributes of spans, and the annotations of logs, by which most is looked for.
 *
 * @since 0.1.0
 * @category attributes
 */
export const Attribute = {
  app: "inference.app",
  function: "inference.function",
  taskId: "inference.task.id",
  taskStatus: "inference.task.status",
  sessionId: "inference.session.id",
  fileId: "inference.file.id",
  runId: "inference.run.id",
  runStatus: "inference.run.status",
  outcome: "inference.outcome",
  errorType: "error.type",
  agentId: "gen_ai.agent.id",
  agentName: "gen_ai.agent.name",
  chatId: "gen_ai.conversation.id",
  operation: "gen_ai.operation.name",
  provider: "gen_ai.provider.name",
  model: "gen_ai.request.model",
  toolName: "gen_ai.tool.name",
  toolCallId: "gen_ai.tool.call.id",
  toolType: "gen_ai.tool.type",
  inputTokens: "gen_ai.usage.input_tokens",
  outputTokens: "gen_ai.usage.output_tokens"
} as const

/** From 5 milliseconds to 87 minutes. */
const boundaries = MetricBoundaries.exponential({ start: 5, factor: 2, count: 22 })

const counter = (name: string, what: string): Metric.Metric.Counter<number> =>
  Metric.counter(name, { description: `Number of ${what}`, incremental: true })

const histogram = (name: string, what: string): Metric.Metric.Histogram<number> =>
  Metric.histogram(name, boundaries, `Time of ${what}, in milliseconds`)

/**
 * Counts operations, by `operation` (the name of the span) and `outcome` (`ok`, `interrupted`, `defect` or the tag of the error).
 *
 * @example
 * ```ts
 * import { Metric } from "effect"
 * import { Telemetry } from "effect-inferencesh"
 *
 * const refused = Telemetry.operations.pipe(
 *   Metric.tagged("operation", "Tasks.run"),
 *   Metric.tagged("outcome", "RateLimited"),
 *   Metric.value
 * )
 * ```
 * @since 0.1.0
 * @category metrics
 */
export const operations = counter("inference_operations_total", "operations, their retries included")

/**
 * The time of operations in milliseconds, with the tags of {@link operations}.
 *
 * @since 0.1.0
 * @category metrics
 */
export const operationTime = histogram("inference_operation_milliseconds", "operations, their retries included")

/**
 * Counts requests to the service except those for streams of events, by `method` and `outcome`. A request that is sent again counts once.
 *
 * @since 0.1.0
 * @category metrics
 */
export const requests = counter("inference_requests_total", "requests to the service, their retries included")

/**
 * The time of requests in milliseconds, with the tags of {@link requests}.
 *
 * @since 0.1.0
 * @category metrics
 */
export const requestTime = histogram(
  "inference_request_milliseconds",
  "requests to the service, their retries included"
)

/**
 * Counts tasks that were run and followed (`Tasks.run`, `Tasks.runStream`, sessions), by `app` and `outcome`: `completed`, `failed`,
 * `cancelled`, `interrupted` here, `refused` by the service, or `lost` from sight.
 *
 * @since 0.1.0
 * @category metrics
 */
export const tasks = counter("inference_tasks_total", "tasks that were run, from submission to the end")

/**
 * The time of tasks in milliseconds from submission to the end, with the tags of {@link tasks}.
 *
 * @since 0.1.0
 * @category metrics
 */
export const taskTime = histogram("inference_task_milliseconds", "tasks that were run, from submission to the end")
