/**
 * Tasks: one run of an app, its status, and the events of its stream.
 *
 * @module
 * @since 0.1.0
 */
import * as Data from "effect/Data"
import type * as DateTime from "effect/DateTime"
import type * as Duration from "effect/Duration"
import type * as Schema from "effect/Schema"
import type { Open } from "./ApiClient.js"
import * as internal from "./internal/status.js"
import { schemas } from "./internal/taskSchemas.js"

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

/**
 * A task as the service reports it. Only `id` and `status` are always there: a service may leave out or send `null` for
 * any other field. `output` holds the latest partial output while the task runs, and the result when it is completed.
 *
 * @since 0.1.0
 * @category models
 */
export interface Task<Output = unknown> {
  readonly id: string
  readonly shortId?: string | undefined
  readonly status: TaskStatus
  readonly createdAt?: DateTime.Utc | undefined
  readonly updatedAt?: DateTime.Utc | undefined
  readonly deletedAt?: DateTime.Utc | undefined
  readonly userId?: string | undefined
  readonly user?: unknown
  readonly teamId?: string | undefined
  readonly team?: unknown
  readonly orgId?: string | undefined
  readonly visibility?: Visibility | undefined
  readonly isFeatured?: boolean | undefined
  readonly appId?: string | undefined
  readonly appVersionId?: string | undefined
  /** The record of the app, as it comes. */
  readonly app?: unknown
  readonly appVersion?: unknown
  readonly appVariant?: string | undefined
  readonly function?: string | undefined
  readonly infra?: Open<"cloud" | "private" | "private_first"> | undefined
  readonly workers?: ReadonlyArray<string> | undefined
  readonly graphId?: string | undefined
  readonly flowRunId?: string | undefined
  readonly subFlowRunId?: string | undefined
  readonly chatId?: string | undefined
  readonly agentId?: string | undefined
  readonly agentVersionId?: string | undefined
  readonly agent?: unknown
  readonly engineId?: string | undefined
  readonly engine?: unknown
  readonly workerId?: string | undefined
  readonly worker?: unknown
  readonly runAt?: DateTime.Utc | undefined
  readonly webhook?: string | undefined
  readonly setup?: unknown
  /** The input with the URLs of its files. */
  readonly input?: unknown
  readonly output?: Output | undefined
  /** Why the task failed, in the words of the app or the service. */
  readonly error?: string | undefined
  readonly rating?:
    | Open<
        | "safe"
        | "sexual_suggestive"
        | "sexual_explicit"
        | "violence_non_graphic"
        | "violence_graphic"
        | "gore"
        | "unrated"
      >
    | undefined
  readonly events?: ReadonlyArray<StatusEvent> | undefined
  readonly logs?: ReadonlyArray<Log> | undefined
  readonly usageEvents?: ReadonlyArray<unknown> | undefined
  readonly sessionId?: string | undefined
  readonly sessionTimeout?: Duration.Duration | undefined
  readonly socket?: unknown
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
export interface Log {
  readonly id?: string | undefined
  readonly taskId?: string | undefined
  /** The part of the app's life that wrote it. */
  readonly type?: Open<"build" | "run" | "serve" | "setup" | "task"> | undefined
  readonly content: string
  readonly createdAt?: DateTime.Utc | undefined
  readonly updatedAt?: DateTime.Utc | undefined
}

/**
 * A row of a task's history: it entered `status` at `eventTime`.
 *
 * @since 0.1.0
 * @category models
 */
export interface StatusEvent {
  readonly id?: string | undefined
  readonly taskId?: string | undefined
  readonly status?: TaskStatus | undefined
  readonly createdAt?: DateTime.Utc | undefined
  readonly eventTime?: DateTime.Utc | undefined
}

/**
 * What `Tasks.logs` answers: the log rows and the status history of one task.
 *
 * @since 0.1.0
 * @category models
 */
export interface Logs {
  readonly taskId?: string | undefined
  readonly status?: TaskStatus | undefined
  readonly events: ReadonlyArray<StatusEvent>
  readonly logs: ReadonlyArray<Log>
}

/**
 * What `Tasks.timings` answers: how long a task took, in all and in each status.
 *
 * @since 0.1.0
 * @category models
 */
export interface Timings {
  readonly taskId?: string | undefined
  readonly status?: TaskStatus | undefined
  readonly totalDuration?: Duration.Duration | undefined
  readonly groups: ReadonlyArray<{
    readonly label?: string | undefined
    readonly startAt?: DateTime.Utc | undefined
    readonly endAt?: DateTime.Utc | undefined
    readonly duration?: Duration.Duration | undefined
  }>
  readonly events: ReadonlyArray<{
    readonly status?: TaskStatus | undefined
    readonly timestamp?: DateTime.Utc | undefined
    readonly duration?: Duration.Duration | undefined
    readonly nextStatus?: TaskStatus | undefined
  }>
}

/**
 * A light look at a task.
 *
 * @since 0.1.0
 * @category models
 */
export interface StatusReport extends Pick<Task, "id" | "status" | "updatedAt"> {}

/**
 * Who may see a task.
 *
 * @since 0.1.0
 * @category models
 */
export type Visibility = Open<"private" | "team" | "org" | "public" | "unlisted">

/**
 * What a task is expected to cost, in millionths of a US cent: exactly, or between `min` and `max`.
 *
 * @since 0.1.0
 * @category models
 */
export interface Estimate {
  readonly confidence?: Open<"exact" | "range" | "unknown"> | undefined
  readonly microcents?: number | undefined
  readonly min?: number | undefined
  readonly max?: number | undefined
  /** The parts of the input that the price depends on. */
  readonly dependsOn?: ReadonlyArray<string> | undefined
  /** Why there is no estimate. */
  readonly error?: string | undefined
}

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

/**
 * What an app wrote between two states of its task: the rows that are new, and of rows that have grown the new part. Without an
 * earlier state, all of it.
 *
 * @example
 * ```ts
 * import { Console, Effect, Stream } from "effect"
 * import { Task, Tasks } from "effect-inferencesh"
 *
 * const tail = Tasks.stream("7k2m9qd4r8v1x5c3b6n0zthwpa").pipe(
 *   Stream.mapAccum(undefined, (before: Task.Task | undefined, task) => [task, Task.newLogs(task, before)]),
 *   Stream.runForEach((logs) => Effect.forEach(logs, (log) => Console.log(log.content)))
 * )
 * ```
 * @since 0.1.0
 * @category logs
 */
export const newLogs = (task: Task, before?: Task): ReadonlyArray<Log> => {
  const seen = new Map(before?.logs?.map((log) => [log.id, log.content.length]))
  return (task.logs ?? [])
    .map((log) => ({ ...log, content: log.content.slice(seen.get(log.id) ?? 0) }))
    .filter((log) => log.content !== "")
}
