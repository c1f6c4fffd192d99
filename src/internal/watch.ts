/** Follows a task to its end, whatever happens to the connections: protocol.md §3.9. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Stream from "effect/Stream"
import type * as ApiClient from "../ApiClient.js"
import { type ApiFailure, isTransient, StreamInterrupted, TransportError } from "../InferenceError.js"
import * as Task from "../Task.js"
import { decodeError, fromStatus, readProblem } from "./failure.js"
import * as Retry from "./retry.js"
import * as TaskEvents from "./taskEvents.js"
import * as TaskState from "./taskState.js"
import { JsonObject } from "./wire.js"

type Events = ReadonlyArray<Task.Event>

/** How long a look at the task may hold up what is known already. */
const glance = "10 seconds"

/** After so many heartbeats without news (they come every 10 seconds) the task is looked at, and the connection counts as good. */
const manyHeartbeats = 3

const isLast = (event: Task.Event): boolean => event._tag === "Snapshot" && Task.isTerminal(event.task.status)

/**
 * The events of a task, up to and with the snapshot of its terminal status. `seed` is the reply to its submission.
 *
 * When a connection breaks off, stalls or ends early, the task is looked at, and then a new connection is opened. The retry policy
 * says how often, counted from the last news.
 */
export const watch = (
  api: ApiClient.Service,
  id: string,
  transport: "stream" | "poll",
  seed?: { readonly [key: string]: unknown }
): Stream.Stream<Task.Event, ApiFailure | StreamInterrupted> =>
  Stream.suspend(() => {
    const { settings } = api
    const path = `/tasks/${encodeURIComponent(id)}`
    const state = TaskState.make(settings.statusNumbering)
    let failures = 0

    const interrupted = (reason: StreamInterrupted["reason"], detail?: string) =>
      new StreamInterrupted({ taskId: id, reason, detail, lastSeen: state.task() })

    const isOver = () => {
      const task = state.task()
      return task !== undefined && Task.isTerminal(task.status)
    }

    const current = (): Events => {
      const task = state.task()
      failures = 0
      return task === undefined ? [] : [Task.Event.Snapshot({ task })]
    }

    /** The state that an update leads to, where it is news. */
    const news = (outcome: TaskState.Outcome): Effect.Effect<Events, ApiFailure> =>
      Either.match(outcome, {
        onLeft: (error) => Effect.fail(decodeError(`task ${id}`, error, { taskId: id })),
        onRight: (isNew) => Effect.sync(() => (isNew ? current() : []))
      })

    const look = Effect.flatMap(api.request({ path, taskId: id, schema: JsonObject }), (wire) =>
      news(state.replace(wire))
    )

    const lookBriefly = look.pipe(
      Effect.timeout(glance),
      Effect.orElseSucceed((): Events => [])
    )

    const orInterrupted = Effect.mapError((error: ApiFailure) =>
      isTransient(error) ? interrupted("Disconnected", error.message) : error
    )

    const started: Effect.Effect<Events, ApiFailure> =
      seed === undefined
        ? Effect.succeed([])
        : Effect.flatMap(news(state.replace(seed)), (events) =>
            // The reply to a submission is slim: a task that is over already is fetched for its output.
            isOver() ? Effect.map(lookBriefly, current) : Effect.succeed(events)
          )

    const statusSchema = Task.schemas[settings.statusNumbering].Patch
    let polled: typeof statusSchema.Type | undefined

    const poll = Effect.gen(function* () {
      const before = polled
      polled = yield* api.request({ path: `${path}/status`, taskId: id, schema: statusSchema })
      const isSame =
        before?.status === polled.status &&
        String(before?.updatedAt) === String(polled.updatedAt) &&
        polled.status === state.task()?.status
      return isSame ? [] : yield* look
    })

    const polling = Stream.fromIterableEffect(orInterrupted(poll)).pipe(
      Stream.concat(Stream.execute(Effect.sleep(settings.pollInterval))),
      Stream.forever
    )

    const streaming = Stream.suspend(() => {
      let isSynced = false
      let heartbeats = 0
      let quiet = 0
      let broken: ApiFailure | undefined

      const handle = (event: TaskEvents.TaskEvent): Effect.Effect<Events, ApiFailure> => {
        if (event._tag !== "Heartbeat") quiet = 0
        switch (event._tag) {
          case "State": {
            const { data, fields } = event
            if (fields === undefined) {
              isSynced = true
              return asUnknown(news(state.replace(data)), data)
            }
            // An update to something that was not seen: nothing to merge it into.
            const base = isSynced ? Effect.succeed<Events>([]) : look
            isSynced = true
            const merged = Effect.suspend(() => asUnknown(news(state.merge(data, fields)), data))
            return Effect.flatMap(Effect.zip(base, merged), ([before, after]) =>
              // The last update may name the status alone: the rest of what changed is fetched.
              after.some(isLast) ? Effect.map(lookBriefly, current) : Effect.succeed([...before, ...after])
            )
          }
          case "Delta": {
            if (!state.isNewDelta(event.seq, event.resourceId)) return Effect.succeed([])
            failures = 0
            return Effect.succeed([Task.Event.Delta(event)])
          }
          case "Heartbeat": {
            heartbeats += 1
            quiet += 1
            if (isSynced && quiet < manyHeartbeats) return Effect.succeed([])
            quiet = 0
            isSynced = true
            return lookBriefly
          }
          case "Error": {
            const error = failureIn(event.data, id)
            return Effect.flatMap(lookBriefly, (events) => (isOver() ? Effect.succeed(events) : Effect.fail(error)))
          }
          case "Unknown":
            return Effect.succeed([Task.Event.Unknown(event)])
          case "Done":
            return Effect.succeed([])
        }
      }

      const connection = api.stream({ path: `${path}/stream`, taskId: id }).pipe(
        Stream.map((frame) => TaskEvents.read(id, frame)),
        Stream.takeUntil((event) => event._tag === "Done"),
        Stream.mapConcatEffect(handle),
        Stream.catchAll((error) => {
          broken = error
          return isTransient(error) ? Stream.empty : Stream.fail(error)
        })
      )

      const giveUp = (): Stream.Stream<never, ApiFailure | StreamInterrupted> | undefined => {
        const wait = broken?.retryAfter
        if (broken !== undefined && wait !== undefined && Duration.greaterThan(wait, settings.retry.maxRetryAfter)) {
          return Stream.fail(broken)
        }
        return failures < settings.retry.attempts
          ? undefined
          : Stream.fail(interrupted("Disconnected", broken?.message ?? "it ended before the task did"))
      }

      const reconnect = Effect.gen(function* () {
        if (heartbeats >= manyHeartbeats) failures = 0
        const found = Stream.fromIterable(yield* orInterrupted(look))
        if (isOver()) return found
        failures += 1
        const pause = Effect.flatMap(Retry.delay(settings.retry, failures, broken?.retryAfter), Effect.sleep)
        return Stream.concat(found, giveUp() ?? Stream.execute(pause))
      })

      return Stream.concat(connection, Stream.unwrap(reconnect))
    }).pipe(Stream.forever)

    const followed = Stream.fromIterableEffect(started).pipe(
      Stream.concat(transport === "poll" ? polling : streaming),
      Stream.takeUntil(isLast)
    )
    const { progressTimeout } = settings
    return progressTimeout === undefined
      ? followed
      : followed.pipe(
          // Heartbeats leave empty chunks behind, which would count as progress.
          Stream.rechunk(1),
          Stream.timeoutFail(() => interrupted("NoProgress"), progressTimeout)
        )
  })

/** A payload that is no task does not end the stream: it is passed on as it came. */
const asUnknown = (events: Effect.Effect<Events, ApiFailure>, data: unknown): Effect.Effect<Events, ApiFailure> =>
  Effect.catchTag(events, "DecodeError", () => Effect.succeed([Task.Event.Unknown({ event: undefined, data })]))

/** The failure that an `error` event tells of. Without a status it is one of the connection. */
const failureIn = (data: unknown, taskId: string): ApiFailure => {
  const body = JSON.stringify(data) ?? ""
  const { status, detail, code } = readProblem(body)
  return status === undefined
    ? new TransportError({ taskId, reason: "Disconnected", code, detail })
    : fromStatus(status, body, { method: "GET", url: `/tasks/${taskId}/stream` }, { taskId })
}
