/**
 * Tasks: one run of an app, its status, and the events of its stream.
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"
import * as Schema from "effect/Schema"
import * as internal from "./internal/status.js"
import { DurationFromMillis, DurationFromSeconds, field, JsonObject, openEnum, timestamp } from "./internal/wire.js"

/**
 * Names for the statuses, for those who prefer constants to literals.
 *
 * @example
 * ```ts
 * import { Task } from "effect-inferencesh"
 *
 * const isDone = (task: Task.Task) => task.status === Task.TaskStatus.COMPLETED
 * ```
 * @since 0.1.0
 * @category status
 */
export const TaskStatus = {
  UNKNOWN: "unknown",
  RECEIVED: "received",
  QUEUED: "queued",
  SCHEDULED: "scheduled",
  PREPARING: "preparing",
  SERVING: "serving",
  SETTING_UP: "setting_up",
  RUNNING: "running",
  CANCELLING: "cancelling",
  UPLOADING: "uploading",
  COMPLETED: "completed",
  FAILED: "failed",
  CANCELLED: "cancelled"
} as const

/**
 * Where a task is in its life. `completed`, `failed` and `cancelled` are terminal. A status that this version does not
 * know is `unknown`, and is not terminal.
 *
 * @since 0.1.0
 * @category status
 */
export type TaskStatus = (typeof TaskStatus)[keyof typeof TaskStatus]

/**
 * Which integers stand for the statuses on the wire: `current` is what the live service has sent since 2026-01,
 * `documented` is the table of the original README, without `cancelling`.
 *
 * @since 0.1.0
 * @category status
 */
export type StatusNumbering = "current" | "documented"

/**
 * Whether a task with this status will not change any more.
 *
 * @since 0.1.0
 * @category status
 */
export const isTerminal = (status: TaskStatus): status is "completed" | "failed" | "cancelled" =>
  status === "completed" || status === "failed" || status === "cancelled"

/**
 * The integer that stands for a status. The `documented` table has none for `cancelling`: such a task still counts as
 * running there, 7.
 *
 * @since 0.1.0
 * @category status
 */
export const statusCode = (status: TaskStatus, numbering: StatusNumbering = "current"): number =>
  internal.statusCode(status, numbering)

/**
 * The status that an integer stands for, `unknown` for one that is in no table.
 *
 * @since 0.1.0
 * @category status
 */
export const statusFromCode = (code: number, numbering: StatusNumbering = "current"): TaskStatus =>
  internal.statusFromCode(code, numbering)

const makeSchemas = (numbering: StatusNumbering) => {
  const Status = Schema.transform(Schema.Union(Schema.Number, Schema.String), Schema.Literal(...internal.names), {
    strict: true,
    decode: (wire) =>
      typeof wire === "number"
        ? internal.statusFromCode(wire, numbering)
        : (internal.statusFromName(wire) ?? "unknown"),
    encode: (status) => internal.statusCode(status, numbering)
  })

  const StatusEvent = Schema.Struct({
    id: field("id", Schema.String),
    taskId: field("task_id", Schema.String),
    status: field("status", Status),
    createdAt: timestamp("created_at"),
    eventTime: timestamp("event_time")
  })

  const Log = Schema.Struct({
    id: field("id", Schema.String),
    taskId: field("task_id", Schema.String),
    type: field("log_type", LogTypeFromWire),
    content: Schema.optionalWith(Schema.String, { default: () => "", nullable: true }),
    createdAt: timestamp("created_at"),
    updatedAt: timestamp("updated_at")
  })

  const fields = {
    shortId: field("short_id", Schema.String),
    createdAt: timestamp("created_at"),
    updatedAt: timestamp("updated_at"),
    deletedAt: timestamp("deleted_at"),
    userId: field("user_id", Schema.String),
    user: field("user", Schema.Unknown),
    teamId: field("team_id", Schema.String),
    team: field("team", Schema.Unknown),
    orgId: field("org_id", Schema.String),
    visibility: field("visibility", openEnum("private", "team", "org", "public", "unlisted")),
    isFeatured: field("is_featured", Schema.Boolean),
    appId: field("app_id", Schema.String),
    appVersionId: field("app_version_id", Schema.String),
    app: field("app", Schema.Unknown),
    appVersion: field("app_version", Schema.Unknown),
    appVariant: field("app_variant", Schema.String),
    function: field("function", Schema.String),
    infra: field("infra", openEnum("cloud", "private", "private_first")),
    workers: field("workers", Schema.Array(Schema.String)),
    graphId: field("graph_id", Schema.String),
    flowRunId: field("flow_run_id", Schema.String),
    subFlowRunId: field("sub_flow_run_id", Schema.String),
    chatId: field("chat_id", Schema.String),
    agentId: field("agent_id", Schema.String),
    agentVersionId: field("agent_version_id", Schema.String),
    agent: field("agent", Schema.Unknown),
    engineId: field("engine_id", Schema.String),
    engine: field("engine", Schema.Unknown),
    workerId: field("worker_id", Schema.String),
    worker: field("worker", Schema.Unknown),
    runAt: timestamp("run_at"),
    webhook: field("webhook", Schema.String),
    setup: field("setup", Schema.Unknown),
    input: field("input", Schema.Unknown),
    output: field("output", Schema.Unknown),
    error: field("error", Schema.String),
    rating: field(
      "rating",
      openEnum(
        "safe",
        "sexual_suggestive",
        "sexual_explicit",
        "violence_non_graphic",
        "violence_graphic",
        "gore",
        "unrated"
      )
    ),
    events: field("events", Schema.Array(StatusEvent)),
    logs: field("logs", Schema.Array(Log)),
    usageEvents: field("usage_events", Schema.Array(Schema.Unknown)),
    sessionId: field("session_id", Schema.String),
    sessionTimeout: field("session_timeout", DurationFromSeconds),
    socket: field("socket", Schema.Unknown)
  }

  return {
    StatusEvent,
    Log,
    Task: Schema.compose(
      StatusTextDecides,
      Schema.Struct({
        id: Schema.String,
        status: Schema.optionalWith(Status, { default: () => "unknown", nullable: true }),
        ...fields
      }),
      { strict: false }
    ),
    Patch: Schema.compose(
      StatusTextDecides,
      Schema.Struct({ id: field("id", Schema.String), status: field("status", Status), ...fields }),
      { strict: false }
    ),
    Logs: Schema.Struct({
      taskId: field("task_id", Schema.String),
      status: field("status", Status),
      events: Schema.optionalWith(Schema.Array(StatusEvent), { default: () => [], nullable: true }),
      logs: Schema.optionalWith(Schema.Array(Log), { default: () => [], nullable: true })
    }),
    Timings: Schema.Struct({
      taskId: field("task_id", Schema.String),
      status: field("status", Status),
      totalDuration: field("total_duration_ms", DurationFromMillis),
      groups: Schema.optionalWith(Schema.Array(TimingGroup), { default: () => [], nullable: true }),
      events: Schema.optionalWith(
        Schema.Array(
          Schema.Struct({
            status: field("status", Status),
            timestamp: timestamp("timestamp"),
            duration: field("duration_ms", DurationFromMillis),
            nextStatus: field("next_status", Status)
          })
        ),
        { default: () => [], nullable: true }
      )
    })
  }
}

// `status_text` is the same in both numberings, so where it is sent it wins over the integer.
const StatusTextDecides = Schema.transform(JsonObject, JsonObject, {
  strict: true,
  decode: (wire) => {
    const name = typeof wire.status_text === "string" ? internal.statusFromName(wire.status_text) : undefined
    return name === undefined ? wire : { ...wire, status: name }
  },
  encode: (wire) => wire
})

const logTypes: ReadonlyArray<string> = ["build", "run", "serve", "setup", "task"]

const LogTypeFromWire = Schema.transform(Schema.Union(Schema.Number, Schema.String), openEnum("build", "run", "serve", "setup", "task"), {
  strict: true,
  decode: (wire) => (typeof wire === "number" ? (logTypes[wire] ?? String(wire)) : wire),
  encode: (type) => {
    const code = logTypes.indexOf(type)
    return code === -1 ? type : code
  }
})

const TimingGroup = Schema.Struct({
  label: field("label", Schema.String),
  startAt: timestamp("start_at"),
  endAt: timestamp("end_at"),
  duration: field("duration_ms", DurationFromMillis)
})

/** @internal */
export const schemas = { current: makeSchemas("current"), documented: makeSchemas("documented") }

/**
 * A task as the service reports it. Only `id` and `status` are always there: a service may leave out or send `null` for
 * any other field. `output` holds the latest partial output while the task runs, and the result when it is completed.
 *
 * @since 0.1.0
 * @category models
 */
export interface Task<Output = unknown> extends Omit<(typeof schemas.current.Task)["Type"], "output"> {
  readonly output?: Output | undefined
}

/**
 * The schema of a {@link Task}: decodes the wire form, snake_case with the `current` status numbering.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Task: Schema.Schema<Task, { readonly [key: string]: unknown }> = schemas.current.Task

/**
 * A task that completed: its output is there, and has the type that the app's contract says.
 *
 * @since 0.1.0
 * @category models
 */
export interface Completed<Output = unknown> extends Task<Output> {
  readonly status: "completed"
  readonly output: Output
}

/**
 * One line, or several, of what an app wrote while it ran.
 *
 * @since 0.1.0
 * @category models
 */
export interface Log extends Schema.Schema.Type<typeof schemas.current.Log> {}

/**
 * A row of a task's history: it entered `status` at `eventTime`.
 *
 * @since 0.1.0
 * @category models
 */
export interface StatusEvent extends Schema.Schema.Type<typeof schemas.current.StatusEvent> {}

/**
 * What `Tasks.logs` answers: the log rows and the status history of one task.
 *
 * @since 0.1.0
 * @category models
 */
export interface Logs extends Schema.Schema.Type<typeof schemas.current.Logs> {}

/**
 * What `Tasks.timings` answers: how long a task took, in all and in each status.
 *
 * @since 0.1.0
 * @category models
 */
export interface Timings extends Schema.Schema.Type<typeof schemas.current.Timings> {}

/**
 * What the stream of a task carries. `Snapshot` is the whole task after the event. `Delta` is a piece of a text that is being
 * generated: the whole text also arrives in a later snapshot. `Unknown` is anything else, as it came.
 *
 * @since 0.1.0
 * @category models
 */
export type Event = Data.TaggedEnum<{
  Snapshot: { readonly task: Task }
  Delta: { readonly delta: unknown; readonly seq: number; readonly resourceId: string | undefined }
  Unknown: { readonly event: string | undefined; readonly data: unknown }
}>

/**
 * Constructors and matchers for {@link Event}.
 *
 * @example
 * ```ts
 * import { Task } from "effect-inferencesh"
 *
 * const describe = Task.Event.$match({
 *   Snapshot: ({ task }) => task.status,
 *   Delta: ({ seq }) => `delta ${seq}`,
 *   Unknown: ({ event }) => event ?? "unnamed event"
 * })
 * ```
 * @since 0.1.0
 * @category models
 */
export const Event = Data.taggedEnum<Event>()

/**
 * Whether a task completed and carries its output.
 *
 * @since 0.1.0
 * @category status
 */
export const isCompleted = <Output>(task: Task<Output>): task is Completed<Output> => task.status === "completed"
