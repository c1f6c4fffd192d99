/** Starts tasks and cancels them, for whoever asks: a request to run an app, or a turn of a chat. */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as FiberMap from "effect/FiberMap"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type * as App from "../../App.js"
import { emptySetup } from "../../BaseApp.js"
import * as Task from "../../Task.js"
import type { Json } from "../wire.js"
import { text } from "./fields.js"
import type { Files } from "./files.js"
import { fieldErrors } from "./issues.js"
import * as Pool from "./pool.js"
import { type Hosted, resolve } from "./registry.js"
import { invalid, type Problem } from "./reply.js"
import * as Runner from "./runner.js"
import type { Sessions } from "./sessions.js"
import * as Tasks from "./tasks.js"
import * as Webhooks from "./webhooks.js"

/** Where a task comes from. */
export interface Source {
  /** Where the request reached the server. */
  readonly origin: string
  readonly chatId?: string | undefined
  readonly agentId?: string | undefined
  readonly agentVersionId?: string | undefined
}

export interface Started {
  readonly entry: Tasks.Entry
  /** The task as it was received, however soon the app is done. */
  readonly received: Tasks.State
}

export interface Launcher {
  /** The app and function that a run request means. */
  readonly resolve: (
    body: Json
  ) => Effect.Effect<{ readonly app: Hosted; readonly function: string; readonly signature: App.Signature }, Problem>
  /** Checks a run request, and gives what starts its task: there is none before. */
  readonly prepare: (body: Json, source: Source) => Effect.Effect<Effect.Effect<Started>, Problem>
  /** Cancels a task. Not awaited: the app's finalizers take their time, after which the task is given up. */
  readonly cancel: (entry: Tasks.Entry, timeout: Duration.DurationInput) => Effect.Effect<void>
  /** Cancels the tasks that are not to begin before that time. */
  readonly cancelLater: (than: number) => Effect.Effect<void>
  /** Waits until no task runs or is queued. */
  readonly drain: Effect.Effect<void>
}

/** How long the finalizers of an app may take, where nobody says. */
export const defaultPatience: Duration.DurationInput = "30 seconds"

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
  readonly sessions: Sessions<R>
  readonly store: Tasks.Store
  readonly files: Files
  readonly webhooks: Webhooks.Webhooks
}): Effect.Effect<Launcher, never, R | Scope.Scope> =>
  Effect.gen(function* () {
    const { apps, sessions, store, files, webhooks } = options
    const fibers = yield* FiberMap.make<string, void, never>()
    let closed = false
    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        closed = true
      })
    )
    // Tasks run in the server's own context, whatever that of the request is.
    const fork = yield* FiberMap.runtime(fibers)<R>()

    const tellWebhook = (entry: Tasks.Entry) => {
      const { id, webhook } = entry.state
      if (webhook !== undefined) fork(`webhook ${id}`, webhooks.deliver(entry, webhook))
    }
    store.stopped.forEach(tellWebhook)

    const prepare: Launcher["prepare"] = (body, source) =>
      Effect.gen(function* () {
        const { app, function: name, signature } = yield* resolve(apps, body)
        const contract = app.base.app
        const session = yield* sessions.plan(app, body)
        const given = body.setup ?? session?.setup
        const setup = yield* checked("setup", contract.setup, given ?? emptySetup(contract), app.id)
        yield* checked("input", signature.input, body.input, app.id)
        const at = yield* runAt(body.run_at)
        const webhook = yield* Webhooks.read(body.webhook)
        // With the defaults filled in, the same setup is the same text.
        const setupKey = yield* Schema.encode(contract.setup)(setup).pipe(
          Effect.flatMap((encoded) => Effect.try(() => Pool.canonical(encoded))),
          Effect.orElse(() => Effect.sync(() => Pool.canonical(given)))
        )
        const start = Effect.gen(function* () {
          const call = session && (yield* session.enter)
          const entry = yield* store.create({
            appId: app.id,
            appVersionId: app.versionId,
            function: name,
            input: body.input,
            setup: given,
            infra: text(body.infra) ?? "cloud",
            variant: text(body.variant) ?? "default",
            workers: Array.isArray(body.workers) ? body.workers.map(String) : [],
            webhook,
            runAt: at,
            sessionId: call?.session.id,
            sessionTimeout: call?.session.idleTimeout,
            origin: source.origin,
            chatId: source.chatId,
            agentId: source.agentId,
            agentVersionId: source.agentVersionId
          })
          const received = entry.state
          const parent = Option.getOrUndefined(yield* Effect.option(Effect.currentParentSpan))
          const run = Runner.run({ entry, pool: call?.pool ?? app.pool, setupKey, files, parent })
          if (call !== undefined) yield* call.began(received.id)
          if (closed) yield* Tasks.finish(entry, { status: "cancelled" })
          fork(received.id, call === undefined ? run : Effect.ensuring(run, call.left))
          tellWebhook(entry)
          return { entry, received } satisfies Started
        })
        return Effect.uninterruptible(start)
      })

    const cancel: Launcher["cancel"] = (entry, timeout) =>
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

    const cancelLater: Launcher["cancelLater"] = (than) =>
      Effect.suspend(() => {
        const later = store.all().filter(({ state }) => state.status === "received" && (state.runAt ?? 0) > than)
        return Effect.forEach(later, (entry) => cancel(entry, 0), { discard: true })
      })

    return { resolve: (body) => resolve(apps, body), prepare, cancel, cancelLater, drain: FiberMap.awaitEmpty(fibers) }
  })
