import * as HttpRouter from "@effect/platform/HttpRouter"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as EventStream from "./eventStream.js"
import * as Launcher from "./launcher.js"
import { page } from "./listing.js"
import { parseRef } from "./registry.js"
import { notFound, Problem, readBody, readObject, success } from "./reply.js"
import { originOf, type Settings } from "./settings.js"
import * as Tasks from "./tasks.js"
import type { Wire } from "./taskWire.js"
import { readVisibility } from "./visibility.js"

export const make = (options: {
  readonly launcher: Launcher.Launcher
  readonly store: Tasks.Store
  readonly wire: Wire
  /** Whether tasks may be started. */
  readonly admit: Effect.Effect<void, Problem>
  readonly settings: Settings
}) => {
  const { launcher, store, wire, admit, settings } = options
  const ok = (data: unknown) => success(settings.envelope, data)

  const entry = Effect.flatMap(HttpRouter.params, ({ id = "" }) => {
    const found = store.find(id)
    return found === undefined ? Effect.fail(notFound(`task ${id}`)) : Effect.succeed(found)
  })
  const bodyOf = readBody(settings.maxBodySize)

  const runTask = Effect.gen(function* () {
    const request = yield* HttpServerRequest.HttpServerRequest
    const body = yield* readObject(request, settings.maxBodySize)
    // After the body, which may take its time to come.
    yield* admit
    const origin = originOf(settings, request)
    const { entry, received } = yield* Effect.flatten(launcher.prepare(body, { origin }))
    if (body.wait !== true) return ok(wire.slim(received))
    const state = yield* Tasks.ended(entry)
    if (state.status === "completed") return ok(wire.slim(state))
    return yield* new Problem({
      status: 422,
      code: `task_${state.status}`,
      detail: state.error ?? `the task was ${state.status}`,
      members: { task: wire.full(state) }
    })
  })

  const cancelTask = Effect.gen(function* () {
    const found = yield* entry
    const body = yield* bodyOf
    const asked =
      typeof body.timeout === "number" && body.timeout >= 0 ? Duration.seconds(body.timeout) : Launcher.defaultPatience
    yield* launcher.cancel(found, body.force === true ? 0 : asked)
    return ok(null)
  })

  const streamTask = Effect.gen(function* () {
    const found = yield* entry
    const request = yield* HttpServerRequest.HttpServerRequest
    const events = Stream.map(Tasks.follow(found, settings.heartbeatInterval), (signal) => {
      const data = wire.signal(signal)
      return data === undefined ? EventStream.heartbeat : { _tag: "Data" as const, data }
    })
    return EventStream.respond(request, events, { done: true })
  })

  const filterValue = ({ state }: Tasks.Entry, field: string): unknown => {
    switch (field) {
      case "status":
      case "status_text":
        return [wire.code(state.status), String(wire.code(state.status)), state.status]
      case "app":
      case "app_id":
        return [state.appId, state.appVersionId]
      default:
        return wire.field(state, field)
    }
  }

  // A ref names the same app with its type and version or without.
  const appFilter = (filter: unknown): unknown => {
    if (typeof filter !== "object" || filter === null || !("field" in filter) || !("value" in filter)) return filter
    if (filter.field !== "app" && filter.field !== "app_id") return filter
    if ("operator" in filter && /contains$/.test(String(filter.operator))) return filter
    const values: ReadonlyArray<unknown> = Array.isArray(filter.value) ? filter.value : [filter.value]
    return {
      ...filter,
      value: values.map((value) => {
        const ref = typeof value === "string" ? parseRef(value) : undefined
        return ref === undefined ? value : `${ref.namespace}/${ref.name}${ref.version ? `@${ref.version}` : ""}`
      })
    }
  }

  const list = Effect.gen(function* () {
    const body = yield* bodyOf
    const query = { ...body, filters: Array.isArray(body.filters) ? body.filters.map(appFilter) : [] }
    return ok(
      yield* page(store.all(), query, {
        wire: ({ state }) => wire.full(state),
        texts: ["id", "app_id", "function"],
        valueAt: filterValue
      })
    )
  })

  const remove = Effect.gen(function* () {
    const found = yield* entry
    yield* launcher.cancel(found, 0)
    yield* store.remove(found.state.id)
    return HttpServerResponse.empty({ status: 204 })
  })

  const visibility = Effect.gen(function* () {
    const found = yield* entry
    const body = yield* bodyOf
    yield* Tasks.setVisibility(found, yield* readVisibility(body.visibility))
    return ok(wire.full(found.state))
  })

  return HttpRouter.empty.pipe(
    HttpRouter.post("/apps/run", runTask),
    HttpRouter.post("/run", runTask),
    HttpRouter.post("/tasks/list", list),
    HttpRouter.get(
      "/tasks/:id",
      Effect.map(entry, ({ state }) => ok(wire.full(state)))
    ),
    HttpRouter.get(
      "/tasks/:id/status",
      Effect.map(entry, ({ state }) => ok(wire.status(state)))
    ),
    HttpRouter.get("/tasks/:id/stream", streamTask),
    HttpRouter.post("/tasks/:id/cancel", cancelTask),
    HttpRouter.del("/tasks/:id", remove),
    HttpRouter.get(
      "/tasks/:id/logs",
      Effect.map(entry, ({ state }) => ok(wire.logs(state)))
    ),
    HttpRouter.get(
      "/tasks/:id/timings",
      Effect.zipWith(entry, Clock.currentTimeMillis, (found, now) => ok(wire.timings(found, now)))
    ),
    HttpRouter.get(
      "/tasks/:id/telemetry",
      Effect.map(entry, () => ok([]))
    ),
    HttpRouter.post("/tasks/:id/visibility", visibility)
  )
}
