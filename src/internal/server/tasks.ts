/** The tasks that the server knows, and how those who follow one hear of its changes. */
import * as Chunk from "effect/Chunk"
import * as Clock from "effect/Clock"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { FileError } from "../../InferenceError.js"
import * as Task from "../../Task.js"
import * as Feed from "./feed.js"
import { randomId } from "./ids.js"
import type * as Records from "./records.js"
import * as TaskRecord from "./taskRecord.js"

export interface StatusRow {
  readonly id: string
  readonly status: Task.TaskStatus
  readonly at: number
}

export const LogType = { run: 1, setup: 3, task: 4 } as const

export interface LogRow {
  readonly id: string
  readonly type: number
  readonly content: string
  readonly at: number
}

/** What was asked for, which does not change. */
export interface Request {
  readonly appId: string
  readonly appVersionId: string
  readonly function: string
  readonly input: unknown
  readonly setup: unknown
  readonly infra: string
  readonly variant: string
  readonly workers: ReadonlyArray<string>
  readonly webhook: string | undefined
  readonly runAt: number | undefined
  readonly sessionId: string | undefined
  readonly sessionTimeout: number | undefined
  /** Where the request reached the server, for the URLs of its output files. */
  readonly origin: string
  /** The chat that started the task, and the agent it runs on. */
  readonly chatId: string | undefined
  readonly agentId: string | undefined
  readonly agentVersionId: string | undefined
}

export interface State extends Request {
  readonly id: string
  readonly createdAt: number
  readonly updatedAt: number
  readonly status: Task.TaskStatus
  readonly output: unknown
  readonly error: string | undefined
  readonly visibility: string
  readonly events: ReadonlyArray<StatusRow>
  readonly logs: Logs
}

/** The first `length` of the rows: later states share the array, and append to it. */
export interface Logs {
  readonly rows: Array<LogRow>
  readonly length: number
  /** The characters in them. */
  readonly size: number
  readonly full: boolean
}

/** A change: the wire names of the fields that it touched, and the state after it. */
export interface Patch {
  readonly fields: ReadonlyArray<string>
  readonly state: State
}

/** A task, as one mutable cell. Only the functions of this module write to it. */
export interface Entry {
  /** Grows with each task, for paging. */
  readonly ordinal: number
  state: State
  /** What ends the task, from the moment that this is being recorded: nobody is told before. */
  ending: ((state: State) => State) | undefined
  /** Records the task as it is, and as it ends. */
  readonly save: Effect.Effect<void>
  readonly feed: Feed.Feed<Patch>
}

const maxRecent = 64
const maxLogs = 5000
const maxLine = 64 * 1024
const maxLogSize = 64 * maxLine
/** How often a follower hears of new lines alone, in milliseconds: each time it gets all of them. */
const logInterval = 100

const unsafeChange = (entry: Entry, fields: ReadonlyArray<string>, now: number, state: State) => {
  const next: State = { ...state, updatedAt: now }
  entry.state = next
  Feed.unsafePublish(
    entry.feed,
    () => ({ fields: [...fields, "updated_at"], state: next }),
    // Each log patch carries all lines: of several in a row the last says it all.
    (last, patch) => isLog(last) && isLog(patch)
  )
}

const change = (entry: Entry, fields: ReadonlyArray<string>, f: (state: State, now: number) => State) =>
  Effect.map(Clock.currentTimeMillis, (now) => unsafeChange(entry, fields, now, f(entry.state, now)))

const statusFields = ["status", "status_text", "events"]

const entered = (state: State, status: Task.TaskStatus, at: number): State => ({
  ...state,
  status,
  events: [...state.events, { id: `${state.id}-e${state.events.length + 1}`, status, at }]
})

/** Whether a task has ended, also if nobody is told of it yet. */
export const isOver = ({ ending, state }: Entry) => ending !== undefined || Task.isTerminal(state.status)

/** Moves a task on. A terminal task stays as it is, and one that is being cancelled only moves to its end. */
export const setStatus = (entry: Entry, status: Task.TaskStatus) =>
  Effect.suspend(() => {
    const { status: current } = entry.state
    return isOver(entry) || current === status || current === "cancelling"
      ? Effect.void
      : change(entry, statusFields, (state, now) => entered(state, status, now))
  })

/** Ends a task. The first end counts. It is recorded before anybody is told. */
export const finish = (
  entry: Entry,
  end:
    | { readonly status: "completed"; readonly output: unknown }
    | { readonly status: "failed"; readonly error: string }
    | { readonly status: "cancelled" }
) =>
  Effect.flatMap(Clock.currentTimeMillis, (now) => {
    if (isOver(entry)) return Effect.void
    const ending = (state: State): State => ({
      ...entered(state, end.status, now),
      updatedAt: now,
      ...(end.status === "completed" && { output: end.output }),
      ...(end.status === "failed" && { error: end.error })
    })
    entry.ending = ending
    return Effect.map(entry.save, () => {
      entry.ending = undefined
      unsafeChange(entry, [...statusFields, "output", "error"], now, ending(entry.state))
    })
  }).pipe(Effect.uninterruptible)

export const setOutput = (entry: Entry, output: unknown) =>
  Effect.suspend(() => (isOver(entry) ? Effect.void : change(entry, ["output"], (state) => ({ ...state, output }))))

export const setVisibility = (entry: Entry, visibility: string) =>
  Effect.zipRight(
    change(entry, ["visibility"], (state) => ({ ...state, visibility })),
    entry.save
  )

/** Adds to a task's log, up to a limit: an app that never stops writing must not fill the memory. */
export const unsafeLog = (entry: Entry, type: number, content: string, now: number) => {
  if (!isOver(entry)) unsafeAppend(entry, type, content, now)
}

const unsafeAppend = (entry: Entry, type: number, content: string, now: number) => {
  const { logs, id } = entry.state
  if (logs.full) return
  const line = content.length > maxLine ? `${content.slice(0, maxLine)}… (${content.length - maxLine} more)` : content
  const size = logs.size + Math.min(content.length, maxLine)
  const full = logs.length >= maxLogs || size > maxLogSize
  const length = logs.length + 1
  logs.rows.push({ id: `${id}-l${length}`, type, content: full ? "further lines are not kept" : line, at: now })
  unsafeChange(entry, ["logs"], now, { ...entry.state, logs: { rows: logs.rows, length, size, full } })
}

export const appendLog = (entry: Entry, type: number, content: string) =>
  Effect.map(Clock.currentTimeMillis, (now) => unsafeLog(entry, type, content, now))

/** Says in the log of a task what became of it after its end. */
export const note = (entry: Entry, content: string) =>
  Effect.flatMap(Clock.currentTimeMillis, (now) => {
    unsafeAppend(entry, LogType.task, content, now)
    return entry.save
  })

/** Waits until a task is terminal. */
export const ended = (entry: Entry): Effect.Effect<State> =>
  Effect.suspend(() =>
    Task.isTerminal(entry.state.status)
      ? Effect.succeed(entry.state)
      : Effect.zipRight(Feed.changed(entry.feed), ended(entry))
  )

export type Signal =
  | { readonly _tag: "Full"; readonly state: State }
  | { readonly _tag: "Patch"; readonly patch: Patch }
  | { readonly _tag: "Heartbeat" }

/** How far a follower is: what it has seen, and when it was last sent new lines alone. */
interface Position {
  readonly version: number
  readonly loggedAt: number
}

/**
 * Follows a task: the whole state first, then each change, up to the terminal one. A follower that is too slow for the
 * kept changes gets the whole state instead of those it missed. New lines of the log wait until the next other change, or
 * until the last ones are some time ago.
 */
export const follow = (entry: Entry, heartbeat: Duration.DurationInput): Stream.Stream<Signal> => {
  const next = (at: Position): Effect.Effect<readonly [Chunk.Chunk<Signal>, Option.Option<Position>]> =>
    Effect.flatMap(Clock.currentTimeMillis, (now) => {
      const send = (signals: ReadonlyArray<Signal>, loggedAt: number) =>
        Effect.succeed([Chunk.fromIterable(signals), goOn(entry, loggedAt)] as const)
      const patches = Feed.since(entry.feed, at.version)
      if (patches === undefined) return send([full(entry)], at.loggedAt)
      const wait = at.loggedAt + logInterval - now
      // A wait of more than the interval means that the clock was set back.
      const due = patches.length > 0 && (wait <= 0 || wait > logInterval)
      if (due || !patches.every(isLog)) {
        return send(
          patches.map((patch): Signal => ({ _tag: "Patch", patch })),
          isLog(patches.at(-1)) ? now : at.loggedAt
        )
      }
      const changed = Feed.changed(entry.feed)
      return patches.length > 0
        ? Effect.zipRight(Effect.timeoutOption(changed, wait), next(at))
        : Effect.flatMap(
            Effect.timeoutOption(changed, heartbeat),
            Option.match({
              onNone: () => Effect.succeed([Chunk.of<Signal>({ _tag: "Heartbeat" }), Option.some(at)] as const),
              onSome: () => next(at)
            })
          )
    })

  return Feed.following(entry.feed, () =>
    Stream.concat(
      Stream.make(full(entry)),
      Option.match(goOn(entry, Number.NEGATIVE_INFINITY), {
        onNone: () => Stream.empty,
        onSome: (start) => Stream.paginateChunkEffect(start, next)
      })
    )
  )
}

const full = (entry: Entry): Signal => ({ _tag: "Full", state: entry.state })

const goOn = (entry: Entry, loggedAt: number): Option.Option<Position> =>
  Task.isTerminal(entry.state.status) ? Option.none() : Option.some({ version: entry.feed.version, loggedAt })

const isLog = (patch: Patch | undefined): boolean => patch?.fields[0] === "logs"

export interface Store {
  /** Done once the task is recorded. */
  readonly create: (request: Request) => Effect.Effect<Entry>
  readonly find: (id: string) => Entry | undefined
  readonly remove: (id: string) => Effect.Effect<void>
  /** Those that failed when the server began: the one before was stopped before they had ended. */
  readonly stopped: ReadonlyArray<Entry>
  /** The newest first. */
  readonly all: () => ReadonlyArray<Entry>
}

/** Keeps tasks in memory, the last `limit` of those that ended, and a record of each. */
export const makeStore = (limit: number, records: Records.Records): Effect.Effect<Store, FileError> =>
  Effect.gen(function* () {
    const entries = new Map<string, Entry>()

    const recordOf = ({ ordinal, state, ending = (state) => state }: Entry) => TaskRecord.encode(ordinal, ending(state))

    const add = (ordinal: number, state: State): Entry => {
      const { id } = state
      const entry: Entry = {
        ordinal,
        state,
        ending: undefined,
        save: records.save(id, () => (entries.get(id) === entry ? recordOf(entry) : undefined)),
        feed: Feed.make(maxRecent)
      }
      entries.set(id, entry)
      return entry
    }

    const remove = (entry: Entry) =>
      Effect.suspend(() => {
        entries.delete(entry.state.id)
        return entry.save
      })

    /** Makes room by forgetting tasks that ended, the oldest first. */
    const trim = Effect.suspend(() => {
      const excess: Array<Entry> = []
      for (const entry of entries.values()) {
        if (entries.size - excess.length <= limit) break
        if (Task.isTerminal(entry.state.status)) excess.push(entry)
      }
      return Effect.forEach(excess, remove, { discard: true })
    })

    const stored = yield* records.read(TaskRecord.TaskRecord)
    for (const record of stored) add(record.ordinal, TaskRecord.decode(record))
    let ordinal = stored.at(-1)?.ordinal ?? 0
    yield* trim
    const stopped = Array.from(entries.values()).filter(({ state }) => !Task.isTerminal(state.status))
    yield* Effect.forEach(stopped, (entry) => finish(entry, { status: "failed", error: stoppedError }), {
      concurrency: 16,
      discard: true
    })

    return {
      create: (request) =>
        Effect.zipWith(randomId, Clock.currentTimeMillis, (id, now) =>
          add(
            ++ordinal,
            entered(
              {
                ...request,
                id,
                createdAt: now,
                updatedAt: now,
                status: "received",
                output: null,
                error: undefined,
                visibility: "private",
                events: [],
                logs: { rows: [], length: 0, size: 0, full: false }
              },
              "received",
              now
            )
          )
        ).pipe(
          Effect.tap((entry) => entry.save),
          Effect.tap(() => trim)
        ),
      find: (id) => entries.get(id),
      remove: (id) =>
        Effect.suspend(() => {
          const entry = entries.get(id)
          return entry === undefined ? Effect.void : remove(entry)
        }),
      stopped,
      all: () => Array.from(entries.values()).reverse()
    }
  })

/** What is said of tasks that a server did not see the end of. */
const stoppedError = "the server was stopped before the task had ended: run it again"
