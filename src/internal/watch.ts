/** Follows a task to its end, whatever happens to the connections: protocol.md §3.9. */
import * as Chunk from "effect/Chunk"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type * as ApiClient from "../ApiClient.js"
import { type ApiFailure, isTransient, StreamInterrupted, TransportError } from "../InferenceError.js"
import * as Task from "../Task.js"
import { decodeError, fromStatus, readProblem } from "./failure.js"
import * as Retry from "./retry.js"
import * as TaskEvents from "./taskEvents.js"
import { schemas } from "./taskSchemas.js"
import * as TaskState from "./taskState.js"
import { JsonObject } from "./wire.js"

type Events = ReadonlyArray<Task.Event>

/** How long a look at the task may hold up what is known already. */
const glance = "10 seconds"

/** After so long without news on a live connection the task is looked at. A connection that lived for so long counts as good. */
const longTime = Duration.toMillis("30 seconds")

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

    const statusSchema = schemas[settings.statusNumbering].Patch
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
      let openedAt: number | undefined
      let heardAt = 0
      let newsAt = 0
      let broken: ApiFailure | undefined

      /** For what comes while nothing is new. */
      const lookIfDue = (isDue: boolean): Effect.Effect<Events> => {
        if (!isDue && heardAt - newsAt < longTime) return Effect.succeed([])
        newsAt = heardAt
        return lookBriefly
      }

      const handle = (event: TaskEvents.TaskEvent, now: number): Effect.Effect<Events, ApiFailure> => {
        if (openedAt === undefined || event._tag === "State" || event._tag === "Delta") newsAt = now
        openedAt ??= now
        heardAt = now
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
            return Effect.flatMap(Effect.zip(base, merged), ([before, after]) => {
              if (!after.some(isLast)) return Effect.succeed([...before, ...after])
              // The last update may name the status alone: the rest is fetched. Without it the output may be a partial one.
              const isWhole = state.task()?.status !== "completed" || fields.includes("output")
              return Effect.map(isWhole ? lookBriefly : look, current)
            })
          }
          case "Delta": {
            if (!state.isNewDelta(event.seq, event.resourceId)) return Effect.succeed([])
            failures = 0
            return Effect.succeed([Task.Event.Delta(event)])
          }
          case "Heartbeat": {
            const isDue = !isSynced
            isSynced = true
            return lookIfDue(isDue)
          }
          case "Error": {
            const error = failureIn(event.data, id)
            return Effect.flatMap(lookBriefly, (events) => (isOver() ? Effect.succeed(events) : Effect.fail(error)))
          }
          case "Unknown":
            return Effect.map(lookIfDue(false), (events) => [Task.Event.Unknown(event), ...events])
          case "Done":
            return Effect.succeed([])
        }
      }

      const connection = api.stream({ path: `${path}/stream`, taskId: id }).pipe(
        Stream.map((frame) => TaskEvents.read(id, frame)),
        Stream.takeUntil((event) => event._tag === "Done"),
        Stream.mapConcatEffect((event) => Effect.flatMap(Clock.currentTimeMillis, (now) => handle(event, now))),
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
        if (heardAt - (openedAt ?? heardAt) >= longTime) failures = 0
        const found = yield* orInterrupted(look)
        if (isOver()) return Stream.fromIterable(current())
        failures += 1
        const pause = Effect.flatMap(Retry.delay(settings.retry, failures, broken?.retryAfter), Effect.sleep)
        return Stream.concat(Stream.fromIterable(found), giveUp() ?? Stream.execute(pause))
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
      : failWithoutProgress(followed, Duration.decode(progressTimeout), () => interrupted("NoProgress"))
  })

const isProgress = (event: Task.Event): boolean => event._tag !== "Unknown"

/** Counts the time that is spent waiting for the stream, not that which its consumer takes. */
const failWithoutProgress = <E>(
  events: Stream.Stream<Task.Event, E>,
  timeout: Duration.Duration,
  error: () => E
): Stream.Stream<Task.Event, E> =>
  Stream.unwrapScoped(
    Effect.map(Stream.toPull(events), (pull) => {
      let left = timeout
      const next = Effect.gen(function* () {
        const before = yield* Clock.currentTimeMillis
        const chunk = yield* Effect.timeoutFail(pull, { duration: left, onTimeout: () => Option.some(error()) })
        const took = (yield* Clock.currentTimeMillis) - before
        left = Chunk.some(chunk, isProgress) ? timeout : Duration.subtract(left, took)
        return chunk
      })
      return Stream.repeatEffectChunkOption(next)
    })
  )

/** A payload that is no task does not end the stream: it is passed on as it came. */
const asUnknown = (events: Effect.Effect<Events, ApiFailure>, data: unknown): Effect.Effect<Events, ApiFailure> =>
  Effect.catchTag(events, "DecodeError", () => Effect.succeed([Task.Event.Unknown({ event: undefined, data })]))

/** The failure that an `error` event tells of. Without the status of an HTTP error it is one of the connection. */
const failureIn = (data: unknown, taskId: string): ApiFailure => {
  const body = JSON.stringify(data) ?? ""
  const { status, detail, code } = readProblem(body)
  return status === undefined || status < 400
    ? new TransportError({ taskId, reason: "Disconnected", code, detail })
    : fromStatus(status, body, { method: "GET", url: `/tasks/${taskId}/stream` }, { taskId })
}
