/** The tasks that the server knows, and how those who follow one hear of its changes. */
import * as Chunk from "effect/Chunk"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FiberId from "effect/FiberId"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as Task from "../../Task.js"
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
  readonly logs: ReadonlyArray<LogRow>
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
  /** The number of changes so far. */
  version: number
  /** The last changes, kept only while someone follows the task. */
  readonly recent: Array<Patch>
  followers: number
  /** Done at the next change, and then replaced. */
  changed: Deferred.Deferred<void>
}

const maxRecent = 64
const maxLogs = 5000

const unsafeChange = (entry: Entry, fields: ReadonlyArray<string>, now: number, state: State) => {
  entry.state = { ...state, updatedAt: now }
  entry.version++
  if (entry.followers > 0) {
    entry.recent.push({ fields: [...fields, "updated_at"], state: entry.state })
    if (entry.recent.length > maxRecent) entry.recent.shift()
  }
  const changed = entry.changed
  entry.changed = Deferred.unsafeMake(FiberId.none)
  Deferred.unsafeDone(changed, Effect.void)
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
  if (Task.isTerminal(status) || logs.length > maxLogs) return
  const text = logs.length === maxLogs ? "further lines are not kept" : content
  const row = { id: `${id}-l${logs.length + 1}`, type, content: text, at: now }
  unsafeChange(entry, ["logs"], now, { ...entry.state, logs: [...logs, row] })
}

export const appendLog = (entry: Entry, type: number, content: string) =>
  Effect.map(Clock.currentTimeMillis, (now) => unsafeLog(entry, type, content, now))

/** Waits until a task is terminal. */
export const ended = (entry: Entry): Effect.Effect<State> =>
  Effect.suspend(() =>
    Task.isTerminal(entry.state.status)
      ? Effect.succeed(entry.state)
      : Effect.zipRight(Deferred.await(entry.changed), ended(entry))
  )

export type Signal =
  | { readonly _tag: "Full"; readonly state: State }
  | { readonly _tag: "Patch"; readonly patch: Patch }
  | { readonly _tag: "Heartbeat" }

/**
 * Follows a task: the whole state first, then each change, up to the terminal one. A follower that is too slow for the
 * kept changes gets the whole state instead of those it missed.
 */
export const follow = (entry: Entry, heartbeat: Duration.DurationInput): Stream.Stream<Signal> => {
  const next = (seen: number): Effect.Effect<readonly [Chunk.Chunk<Signal>, Option.Option<number>]> =>
    Effect.suspend(() => {
      const missed = entry.version - seen
      if (missed > 0) {
        const signals = missed > entry.recent.length ? [full(entry)] : patches(entry.recent.slice(-missed))
        return Effect.succeed([Chunk.fromIterable(signals), goOn(entry)] as const)
      }
      return Effect.flatMap(
        Effect.timeoutOption(Deferred.await(entry.changed), heartbeat),
        Option.match({
          onNone: () => Effect.succeed([Chunk.of<Signal>({ _tag: "Heartbeat" }), Option.some(seen)] as const),
          onSome: () => next(seen)
        })
      )
    })

  const subscribe = Effect.acquireRelease(
    Effect.sync(() => {
      entry.followers++
    }),
    () =>
      Effect.sync(() => {
        entry.followers--
        if (entry.followers === 0) entry.recent.length = 0
      })
  )
  return Stream.unwrapScoped(
    Effect.map(subscribe, () =>
      Stream.suspend(() =>
        Stream.concat(
          Stream.make(full(entry)),
          Option.match(goOn(entry), {
            onNone: () => Stream.empty,
            onSome: (version) => Stream.paginateChunkEffect(version, next)
          })
        )
      )
    )
  )
}

const full = (entry: Entry): Signal => ({ _tag: "Full", state: entry.state })

const goOn = (entry: Entry): Option.Option<number> =>
  Task.isTerminal(entry.state.status) ? Option.none() : Option.some(entry.version)

const onlyLogs = (patch: Patch | undefined) => patch?.fields[0] === "logs"

// Each log patch carries all lines: of several in a row the last says it all.
const patches = (recent: ReadonlyArray<Patch>): ReadonlyArray<Signal> =>
  recent
    .filter((patch, i) => !(onlyLogs(patch) && onlyLogs(recent[i + 1])))
    .map((patch): Signal => ({ _tag: "Patch", patch }))

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
              logs: []
            },
            "received",
            now
          ),
          version: 0,
          recent: [],
          followers: 0,
          changed: Deferred.unsafeMake(FiberId.none)
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
