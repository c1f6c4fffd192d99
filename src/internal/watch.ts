/** Follows a task to its end: protocol.md §3.9. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Stream from "effect/Stream"
import type * as ApiClient from "../ApiClient.js"
import { type ApiFailure, type StreamInterrupted, type TaskInterrupted, taskInterrupted } from "../InferenceError.js"
import * as Task from "../Task.js"
import { decodeError } from "./failure.js"
import { briefly, failWithoutProgress, follow } from "./follow.js"
import * as TaskEvents from "./taskEvents.js"
import { schemas } from "./taskSchemas.js"
import * as TaskState from "./taskState.js"
import { JsonObject } from "./wire.js"

type Events = ReadonlyArray<Task.Event>

const isLast = (event: Task.Event): boolean => event._tag === "Snapshot" && Task.isTerminal(event.task.status)

const isProgress = (event: Task.Event): boolean => event._tag !== "Unknown"

/** The events of a task, up to and with the snapshot of its terminal status. `seed` is the reply to its submission. */
export const watch = (
  api: ApiClient.Service,
  id: string,
  transport: "stream" | "poll",
  seed?: { readonly [key: string]: unknown }
): Stream.Stream<Task.Event, ApiFailure | TaskInterrupted> =>
  Stream.suspend(() => {
    const { settings } = api
    const path = `/tasks/${encodeURIComponent(id)}`
    const state = TaskState.make(settings.statusNumbering)

    const interrupted = (reason: StreamInterrupted["reason"], detail?: string) =>
      taskInterrupted({ reason, detail, taskId: id, lastSeen: state.task() })

    const isOver = () => {
      const task = state.task()
      return task !== undefined && Task.isTerminal(task.status)
    }

    const current = (): Events => {
      const task = state.task()
      return task === undefined ? [] : [Task.Event.Snapshot({ task })]
    }

    /** The state that an update leads to, where it is news. */
    const news = (outcome: TaskState.Outcome): Effect.Effect<Events, ApiFailure> =>
      Either.match(outcome, {
        onLeft: (error) => Effect.fail(decodeError(`task ${id}`, error, { taskId: id })),
        onRight: (isNew) => Effect.succeed(isNew ? current() : [])
      })

    const look = Effect.flatMap(api.request({ path, taskId: id, schema: JsonObject }), (wire) =>
      news(state.replace(wire))
    )

    const started: Effect.Effect<Events, ApiFailure> =
      seed === undefined
        ? Effect.succeed([])
        : Effect.flatMap(news(state.replace(seed)), (events) =>
            // The reply to a submission is slim: a task that is over already is fetched for its output.
            isOver() ? Effect.map(briefly(look, undefined), current) : Effect.succeed(events)
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

    const followed = Stream.fromIterableEffect(started).pipe(
      Stream.concat(
        follow(api, transport, {
          path,
          taskId: id,
          read: (frame) => TaskEvents.read(id, frame),
          look,
          poll,
          end: () => (isOver() ? current() : undefined),
          unknown: (event) => [Task.Event.Unknown(event)],
          isProgress,
          interrupted,
          update: (update, connection) => {
            if (update._tag === "Delta") {
              return Effect.succeed(state.isNewDelta(update.seq, update.resourceId) ? [Task.Event.Delta(update)] : [])
            }
            const { data, fields } = update
            const wasSynced = connection.isSynced
            connection.isSynced = true
            if (fields === undefined) return asUnknown(news(state.replace(data)), data)
            // An update to something that was not seen: nothing to merge it into.
            const base = wasSynced ? Effect.succeed<Events>([]) : look
            const merged = Effect.suspend(() => asUnknown(news(state.merge(data, fields)), data))
            return Effect.flatMap(Effect.zip(base, merged), ([before, after]) => {
              if (!after.some(isLast)) return Effect.succeed([...before, ...after])
              // The last update may name the status alone: the rest is fetched. Without it the output may be a partial one.
              const isWhole = state.task()?.status !== "completed" || fields.includes("output")
              return Effect.map(isWhole ? briefly(look, undefined) : look, current)
            })
          }
        })
      ),
      Stream.takeUntil(isLast)
    )
    const { progressTimeout } = settings
    return progressTimeout === undefined
      ? followed
      : failWithoutProgress(followed, Duration.decode(progressTimeout), isProgress, () => interrupted("NoProgress"))
  })

/** A payload that is no task does not end the stream: it is passed on as it came. */
const asUnknown = (events: Effect.Effect<Events, ApiFailure>, data: unknown): Effect.Effect<Events, ApiFailure> =>
  Effect.catchTag(events, "DecodeError", () => Effect.succeed([Task.Event.Unknown({ event: undefined, data })]))
