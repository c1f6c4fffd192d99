/** The tasks that the server knows, and how those who follow one hear of its changes. */
import * as Chunk from "effect/Chunk"
import * as Clock from "effect/Clock"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as Task from "../../Task.js"
import * as Feed from "./feed.js"
import { randomId } from "./ids.js"

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

/** Moves a task on. A terminal task stays as it is, and one that is being cancelled only moves to its end. */
export const setStatus = (entry: Entry, status: Task.TaskStatus) =>
  Effect.suspend(() => {
    const { status: current } = entry.state
    return Task.isTerminal(current) || current === status || current === "cancelling"
      ? Effect.void
      : change(entry, statusFields, (state, now) => entered(state, status, now))
  })

/** Ends a task. The first end counts. */
export const finish = (
  entry: Entry,
  end:
    | { readonly status: "completed"; readonly output: unknown }
    | { readonly status: "failed"; readonly error: string }
    | { readonly status: "cancelled" }
) =>
  Effect.suspend(() =>
    Task.isTerminal(entry.state.status)
      ? Effect.void
      : change(entry, [...statusFields, "output", "error"], (state, now) => ({
          ...entered(state, end.status, now),
          ...(end.status === "completed" && { output: end.output }),
          ...(end.status === "failed" && { error: end.error })
        }))
  )

export const setOutput = (entry: Entry, output: unknown) =>
  Effect.suspend(() =>
    Task.isTerminal(entry.state.status) ? Effect.void : change(entry, ["output"], (state) => ({ ...state, output }))
  )

export const setVisibility = (entry: Entry, visibility: string) =>
  change(entry, ["visibility"], (state) => ({ ...state, visibility }))

/** Adds to a task's log, up to a limit: an app that never stops writing must not fill the memory. */
export const unsafeLog = (entry: Entry, type: number, content: string, now: number) => {
  const { logs, status, id } = entry.state
  if (Task.isTerminal(status) || logs.full) return
  const line = content.length > maxLine ? `${content.slice(0, maxLine)}… (${content.length - maxLine} more)` : content
  const size = logs.size + Math.min(content.length, maxLine)
  const full = logs.length >= maxLogs || size > maxLogSize
  const length = logs.length + 1
  logs.rows.push({ id: `${id}-l${length}`, type, content: full ? "further lines are not kept" : line, at: now })
  unsafeChange(entry, ["logs"], now, { ...entry.state, logs: { rows: logs.rows, length, size, full } })
}

export const appendLog = (entry: Entry, type: number, content: string) =>
  Effect.map(Clock.currentTimeMillis, (now) => unsafeLog(entry, type, content, now))

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
  readonly create: (request: Request) => Effect.Effect<Entry>
  readonly find: (id: string) => Entry | undefined
  readonly remove: (id: string) => void
  /** The newest first. */
  readonly all: () => ReadonlyArray<Entry>
}

/** Keeps tasks in memory, the last `limit` of those that ended. */
export const makeStore = (limit: number): Store => {
  const entries = new Map<string, Entry>()
  let ordinal = 0
  return {
    create: (request) =>
      Effect.zipWith(randomId, Clock.currentTimeMillis, (id, now) => {
        const entry: Entry = {
          ordinal: ++ordinal,
          state: entered(
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
          ),
          feed: Feed.make(maxRecent)
        }
        entries.set(id, entry)
        if (entries.size > limit) {
          for (const [old, { state }] of entries) {
            if (!Task.isTerminal(state.status)) continue
            entries.delete(old)
            break
          }
        }
        return entry
      }),
    find: (id) => entries.get(id),
    remove: (id) => {
      entries.delete(id)
    },
    all: () => Array.from(entries.values()).reverse()
  }
}
