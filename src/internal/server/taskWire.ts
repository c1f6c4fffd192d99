/** Tasks as they go over the wire. */
import * as Task from "../../Task.js"
import type { Json } from "../wire.js"
import type { Entry, LogRow, Patch, Signal, State, StatusRow } from "./tasks.js"

export const iso = (millis: number): string => new Date(millis).toISOString()

const goDuration = (millis: number) => `${millis / 1000}s`

export const make = (numbering: Task.StatusNumbering) => {
  const code = (status: Task.TaskStatus) => Task.statusCode(status, numbering)

  const event = (taskId: string) => (row: StatusRow) => ({
    id: row.id,
    created_at: iso(row.at),
    event_time: iso(row.at),
    task_id: taskId,
    status: code(row.status)
  })

  const log = (taskId: string) => (row: LogRow) => ({
    id: row.id,
    created_at: iso(row.at),
    updated_at: iso(row.at),
    task_id: taskId,
    log_type: row.type,
    content: row.content
  })

  const fields: Record<string, (state: State) => unknown> = {
    id: (state) => state.id,
    short_id: (state) => state.id.slice(0, 8),
    created_at: (state) => iso(state.createdAt),
    updated_at: (state) => iso(state.updatedAt),
    deleted_at: () => null,
    user_id: () => "local",
    user: () => null,
    team_id: () => "local",
    team: () => null,
    org_id: () => null,
    visibility: (state) => state.visibility,
    graph_id: () => null,
    is_featured: () => false,
    status: (state) => code(state.status),
    // Says the status in either numbering.
    status_text: (state) => state.status,
    app_id: (state) => state.appId,
    app: () => null,
    app_version_id: (state) => state.appVersionId,
    app_version: () => null,
    app_variant: (state) => state.variant,
    function: (state) => state.function,
    infra: (state) => state.infra,
    workers: (state) => state.workers,
    chat_id: (state) => state.chatId ?? null,
    agent_id: (state) => state.agentId ?? null,
    agent_version_id: (state) => state.agentVersionId ?? null,
    run_at: (state) => (state.runAt === undefined ? null : iso(state.runAt)),
    webhook: (state) => state.webhook ?? null,
    setup: (state) => state.setup ?? null,
    input: (state) => state.input,
    output: (state) => state.output,
    error: (state) => state.error ?? null,
    rating: () => "unrated",
    events: (state) => state.events.map(event(state.id)),
    logs: (state) => state.logs.rows.slice(0, state.logs.length).map(log(state.id)),
    usage_events: () => [],
    session_id: (state) => state.sessionId ?? null,
    session_timeout: (state) => state.sessionTimeout ?? null
  }

  const pick = (state: State, names: ReadonlyArray<string>): Json =>
    Object.fromEntries(names.map((name) => [name, fields[name]?.(state)]))

  const slimNames = ["id", "short_id", "status", "status_text", "output", "error", "session_id", "created_at"]

  const full = (state: State): Json => pick(state, Object.keys(fields))
  const patch = ({ fields, state }: Patch): Json => ({ data: pick(state, ["id", ...fields]), fields })

  return {
    code,
    full,
    field: (state: State, name: string): unknown => (Object.hasOwn(fields, name) ? fields[name]?.(state) : undefined),
    /** `TaskResultDTO`, the answer to a run. */
    slim: (state: State): Json => pick(state, [...slimNames, "updated_at", "run_at"]),
    signal: (signal: Signal): Json | undefined =>
      signal._tag === "Full" ? full(signal.state) : signal._tag === "Patch" ? patch(signal.patch) : undefined,
    status: (state: State): Json => pick(state, ["id", "status", "status_text", "updated_at"]),
    logs: (state: State): Json => ({
      task_id: state.id,
      ...pick(state, ["status", "status_text", "events", "logs"])
    }),
    timings: ({ state }: Entry, now: number): Json => {
      const last = Task.isTerminal(state.status) ? state.updatedAt : now
      const total = last - state.createdAt
      const rows = state.events.map((row, i) => {
        const next = state.events[i + 1]
        const duration = (next?.at ?? (Task.isTerminal(row.status) ? row.at : last)) - row.at
        return { row, next, duration }
      })
      return {
        task_id: state.id,
        status: code(state.status),
        total_duration: goDuration(total),
        total_duration_ms: total,
        groups: rows
          .filter(({ row }) => !Task.isTerminal(row.status))
          .map(({ row, next, duration }) => ({
            label: row.status,
            start_at: iso(row.at),
            ...(next && { end_at: iso(next.at) }),
            duration: goDuration(duration),
            duration_ms: duration
          })),
        events: rows.map(({ row, next, duration }) => ({
          status: row.status,
          timestamp: iso(row.at),
          duration: goDuration(duration),
          duration_ms: duration,
          ...(next && { next_status: next.status })
        }))
      }
    }
  }
}

export interface Wire extends ReturnType<typeof make> {}
