import * as HttpRouter from "@effect/platform/HttpRouter"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as FiberMap from "effect/FiberMap"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { emptySetup } from "../../BaseApp.js"
import * as Task from "../../Task.js"
import type { Files } from "./files.js"
import { fieldErrors } from "./issues.js"
import { page } from "./listing.js"
import * as Pool from "./pool.js"
import { type Hosted, parseRef, resolve } from "./registry.js"
import { invalid, notFound, Problem, readObject, success } from "./reply.js"
import * as Runner from "./runner.js"
import { originOf, type Settings } from "./settings.js"
import * as Tasks from "./tasks.js"
import type { Wire } from "./taskWire.js"

const encoder = new TextEncoder()

const ndjson = (event: unknown) => encoder.encode(`${JSON.stringify(event ?? { type: "heartbeat" })}\n`)
const sse = (event: unknown) =>
  encoder.encode(event === undefined ? ": heartbeat\n\n" : `data: ${JSON.stringify(event)}\n\n`)
const sseDone = encoder.encode("event: done\ndata: {}\n\n")

const text = (u: unknown): string | undefined => (typeof u === "string" && u !== "" ? u : undefined)

const runAt = (u: unknown) => {
  if (u == null || u === "") return Effect.succeed(undefined)
  const millis = typeof u === "string" ? Date.parse(u) : Number.NaN
  return Number.isNaN(millis)
    ? Effect.fail(invalid("run_at is no time", [{ field: "run_at", message: "expected an RFC 3339 time" }]))
    : Effect.succeed(millis)
}

/** Decodes by a schema, and says in which field it does not fit. */
const checked = (field: string, schema: Schema.Schema.AnyNoContext, value: unknown, app: string) =>
  Effect.mapError(Schema.decodeUnknown(schema, { errors: "all" })(value), (error) =>
    invalid(`the ${field} does not fit ${app}`, fieldErrors(field, error))
  )

export const make = <R>(options: {
  readonly apps: ReadonlyArray<Hosted<R> & { readonly pool: Pool.Pool<R> }>
  readonly store: Tasks.Store
  readonly wire: Wire
  readonly files: Files
  readonly settings: Settings
}) =>
  Effect.gen(function* () {
    const { apps, store, wire, files, settings } = options
    const fibers = yield* FiberMap.make<string, void>()
    // Tasks run in the server's own context, whatever that of the request is.
    const fork = yield* FiberMap.runtime(fibers)<R>()
    const ok = (data: unknown) => success(settings.envelope, data)

    const entry = Effect.flatMap(HttpRouter.params, ({ id = "" }) => {
      const found = store.find(id)
      return found === undefined ? Effect.fail(notFound(`task ${id}`)) : Effect.succeed(found)
    })
    const bodyOf = Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) =>
      readObject(request, settings.maxBodySize)
    )

    const submit = (request: HttpServerRequest.HttpServerRequest, body: { readonly [key: string]: unknown }) =>
      Effect.gen(function* () {
        const { app, function: name, signature } = yield* resolve(apps, body)
        const contract = app.base.app
        if (text(body.session) !== undefined) {
          return yield* invalid("this server has no sessions", [{ field: "session", message: "is not supported" }])
        }
        const setup = yield* checked("setup", contract.setup, body.setup ?? emptySetup(contract), app.id)
        yield* checked("input", signature.input, body.input, app.id)
        const at = yield* runAt(body.run_at)
        // With the defaults filled in, the same setup is the same text.
        const setupKey = yield* Schema.encode(contract.setup)(setup).pipe(
          Effect.flatMap((encoded) => Effect.try(() => Pool.canonical(encoded))),
          Effect.orElse(() => Effect.sync(() => Pool.canonical(body.setup)))
        )
        const start = Effect.map(
          store.create({
            appId: app.id,
            appVersionId: app.versionId,
            function: name,
            input: body.input,
            setup: body.setup,
            infra: text(body.infra) ?? "cloud",
            variant: text(body.variant) ?? "default",
            workers: Array.isArray(body.workers) ? body.workers.map(String) : [],
            webhook: text(body.webhook),
            runAt: at,
            sessionId: undefined,
            sessionTimeout: undefined,
            origin: originOf(settings, request)
          }),
          (entry) => {
            // The answer tells of the task as it was received, however soon the app is done.
            const received = entry.state
            fork(received.id, Runner.run({ entry, pool: app.pool, setupKey, files }))
            return { entry, received }
          }
        )
        return yield* Effect.uninterruptible(start)
      })

    const runTask = Effect.gen(function* () {
      const request = yield* HttpServerRequest.HttpServerRequest
      const body = yield* readObject(request, settings.maxBodySize)
      const { entry, received } = yield* submit(request, body)
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

    /** Not awaited: the app's finalizers take their time, after which the task is given up. */
    const cancel = (entry: Tasks.Entry, timeout: Duration.DurationInput) =>
      Effect.gen(function* () {
        const { id, status } = entry.state
        if (Task.isTerminal(status)) return
        if (status !== "cancelling") {
          yield* Tasks.setStatus(entry, "cancelling")
          const fiber = yield* Effect.option(FiberMap.get(fibers, id))
          if (Option.isSome(fiber)) yield* Fiber.interruptAsFork(fiber.value, yield* Effect.fiberId)
        }
        const givenUp = Effect.timeoutTo(Tasks.ended(entry), {
          duration: timeout,
          onSuccess: () => Effect.void,
          onTimeout: () => Tasks.finish(entry, { status: "cancelled" })
        })
        fork(`cancel ${id}`, Effect.flatten(givenUp))
      }).pipe(Effect.uninterruptible)

    const cancelTask = Effect.gen(function* () {
      const found = yield* entry
      const body = yield* bodyOf
      const asked = typeof body.timeout === "number" && body.timeout >= 0 ? body.timeout : 30
      yield* cancel(found, Duration.seconds(body.force === true ? 0 : asked))
      return ok(null)
    })

    const streamTask = Effect.gen(function* () {
      const found = yield* entry
      const request = yield* HttpServerRequest.HttpServerRequest
      const accept = request.headers.accept ?? ""
      const lines = /application\/(x-ndjson|jsonl)/i.test(accept)
      const events = Stream.map(Tasks.follow(found, settings.heartbeatInterval), wire.signal)
      return HttpServerResponse.stream(
        lines ? Stream.map(events, ndjson) : Stream.concat(Stream.map(events, sse), Stream.make(sseDone)),
        {
          contentType: lines ? "application/x-ndjson" : "text/event-stream",
          headers: { "cache-control": "no-cache", "x-accel-buffering": "no" }
        }
      )
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
      return ok(yield* page(store.all(), query, filterValue, ({ state }) => wire.full(state)))
    })

    const remove = Effect.gen(function* () {
      const found = yield* entry
      yield* cancel(found, 0)
      store.remove(found.state.id)
      return HttpServerResponse.empty({ status: 204 })
    })

    const visibility = Effect.gen(function* () {
      const found = yield* entry
      const body = yield* bodyOf
      if (typeof body.visibility !== "string" || !visibilities.has(body.visibility)) {
        const message = `expected one of: ${Array.from(visibilities).join(", ")}`
        return yield* invalid("this is no visibility", [{ field: "visibility", message }])
      }
      yield* Tasks.setVisibility(found, body.visibility)
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
  })

const visibilities = new Set(["private", "team", "org", "public", "unlisted"])
