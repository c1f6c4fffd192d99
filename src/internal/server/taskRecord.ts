/** Tasks as they are on the disk. */
import * as Schema from "effect/Schema"
import * as Task from "../../Task.js"
import type { State } from "./tasks.js"

const Status = Schema.Literal(...Object.values(Task.TaskStatus))

const StatusRow = Schema.Struct({ id: Schema.String, status: Status, at: Schema.Number })

const LogRow = Schema.Struct({ id: Schema.String, type: Schema.Number, content: Schema.String, at: Schema.Number })

export const TaskRecord = Schema.Struct({
  ordinal: Schema.Int,
  id: Schema.String,
  createdAt: Schema.Number,
  updatedAt: Schema.Number,
  status: Status,
  appId: Schema.String,
  appVersionId: Schema.String,
  function: Schema.String,
  input: Schema.Unknown,
  setup: Schema.Unknown,
  infra: Schema.String,
  variant: Schema.String,
  workers: Schema.Array(Schema.String),
  webhook: Schema.UndefinedOr(Schema.String),
  runAt: Schema.UndefinedOr(Schema.Number),
  sessionId: Schema.UndefinedOr(Schema.String),
  sessionTimeout: Schema.UndefinedOr(Schema.Number),
  origin: Schema.String,
  chatId: Schema.UndefinedOr(Schema.String),
  agentId: Schema.UndefinedOr(Schema.String),
  agentVersionId: Schema.UndefinedOr(Schema.String),
  output: Schema.Unknown,
  error: Schema.UndefinedOr(Schema.String),
  visibility: Schema.String,
  events: Schema.Array(StatusRow),
  logs: Schema.Array(LogRow)
})

export const encode = (ordinal: number, { logs, ...state }: State): typeof TaskRecord.Type => ({
  ...state,
  ordinal,
  logs: logs.rows.slice(0, logs.length)
})

export const decode = ({ ordinal: _, logs, ...state }: typeof TaskRecord.Type): State => ({
  ...state,
  logs: {
    rows: [...logs],
    length: logs.length,
    size: logs.reduce((size, { content }) => size + content.length, 0),
    full: false
  }
})
