/** The schemas of tasks on the wire, for each of the two numberings of their statuses: protocol.md §2, §3.5, §3.6. */
import * as Schema from "effect/Schema"
import * as Status from "./status.js"
import { DurationFromMillis, DurationFromSeconds, field, JsonObject, openEnum, timestamp } from "./wire.js"

type Numbering = Parameters<typeof Status.statusCode>[1]

const makeSchemas = (numbering: Numbering) => {
  const StatusFromWire = Schema.transform(Schema.Union(Schema.Number, Schema.String), Schema.Literal(...Status.names), {
    strict: true,
    decode: (wire) =>
      typeof wire === "number" ? Status.statusFromCode(wire, numbering) : (Status.statusFromName(wire) ?? "unknown"),
    encode: (status) => Status.statusCode(status, numbering)
  })

  const StatusEvent = Schema.Struct({
    id: field("id", Schema.String),
    taskId: field("task_id", Schema.String),
    status: field("status", StatusFromWire),
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
        status: Schema.optionalWith(StatusFromWire, { default: () => "unknown", nullable: true }),
        ...fields
      }),
      { strict: false }
    ),
    Patch: Schema.compose(
      StatusTextDecides,
      Schema.Struct({ id: field("id", Schema.String), status: field("status", StatusFromWire), ...fields }),
      { strict: false }
    ),
    Logs: Schema.Struct({
      taskId: field("task_id", Schema.String),
      status: field("status", StatusFromWire),
      events: Schema.optionalWith(Schema.Array(StatusEvent), { default: () => [], nullable: true }),
      logs: Schema.optionalWith(Schema.Array(Log), { default: () => [], nullable: true })
    }),
    Timings: Schema.Struct({
      taskId: field("task_id", Schema.String),
      status: field("status", StatusFromWire),
      totalDuration: field("total_duration_ms", DurationFromMillis),
      groups: Schema.optionalWith(Schema.Array(TimingGroup), { default: () => [], nullable: true }),
      events: Schema.optionalWith(
        Schema.Array(
          Schema.Struct({
            status: field("status", StatusFromWire),
            timestamp: timestamp("timestamp"),
            duration: field("duration_ms", DurationFromMillis),
            nextStatus: field("next_status", StatusFromWire)
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
    const name = typeof wire.status_text === "string" ? Status.statusFromName(wire.status_text) : undefined
    return name === undefined ? wire : { ...wire, status: name }
  },
  encode: (wire) => wire
})

const logTypes: ReadonlyArray<string> = ["build", "run", "serve", "setup", "task"]

const LogTypeFromWire = Schema.transform(
  Schema.Union(Schema.Number, Schema.String),
  openEnum("build", "run", "serve", "setup", "task"),
  {
    strict: true,
    decode: (wire) => (typeof wire === "number" ? (logTypes[wire] ?? String(wire)) : wire),
    encode: (type) => {
      const code = logTypes.indexOf(type)
      return code === -1 ? type : code
    }
  }
)

const TimingGroup = Schema.Struct({
  label: field("label", Schema.String),
  startAt: timestamp("start_at"),
  endAt: timestamp("end_at"),
  duration: field("duration_ms", DurationFromMillis)
})

export const schemas = { current: makeSchemas("current"), documented: makeSchemas("documented") }
