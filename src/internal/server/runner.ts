/** What happens to a task between its creation and its end. */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Inspectable from "effect/Inspectable"
import * as Logger from "effect/Logger"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type * as Tracer from "effect/Tracer"
import * as File from "../../File.js"
import type { FileError } from "../../InferenceError.js"
import { AppFailed } from "../../InferenceError.js"
import { Attribute } from "../../Telemetry.js"
import { outputJson } from "../outputJson.js"
import * as Telemetry from "../telemetry.js"
import type { Files } from "./files.js"
import type { Pool } from "./pool.js"
import * as Tasks from "./tasks.js"

const taskLogger = (entry: Tasks.Entry) =>
  Logger.make<unknown, void>(({ message, logLevel, cause, date }) => {
    const parts = (Array.isArray(message) ? message : [message]).map((part) => Inspectable.toStringUnknown(part, 0))
    if (!Cause.isEmpty(cause)) parts.push(Cause.pretty(cause))
    const level = logLevel._tag === "Info" ? "" : `${logLevel.label} `
    Tasks.unsafeLog(entry, logType(entry), level + parts.join(" "), date.getTime())
  })

const logType = (entry: Tasks.Entry) => (entry.state.status === "setting_up" ? Tasks.LogType.setup : Tasks.LogType.run)

/** Runs a task to its end. Never fails: what goes wrong is the end of the task. */
export const run = <R>(options: {
  readonly entry: Tasks.Entry
  readonly pool: Pool<R>
  readonly setupKey: string
  readonly files: Files
  /** The span of the request that started it. */
  readonly parent: Tracer.AnySpan | undefined
}): Effect.Effect<void, never, Exclude<R, Scope.Scope>> => {
  const { entry, pool, setupKey, files, parent } = options
  const { state } = entry

  const process = Effect.gen(function* () {
    // It was recorded first, and may have been cancelled meanwhile.
    if (entry.state.status === "cancelling" || Tasks.isOver(entry)) return yield* Effect.interrupt
    const now = yield* Clock.currentTimeMillis
    if (state.runAt !== undefined && state.runAt > now) yield* Effect.sleep(state.runAt - now)
    yield* Tasks.setStatus(entry, "queued")
    const instance = yield* pool.use(setupKey, state.setup, {
      granted: Effect.zipRight(Tasks.setStatus(entry, "scheduled"), Tasks.setStatus(entry, "preparing")),
      cold: Effect.zipRight(Tasks.setStatus(entry, "serving"), Tasks.setStatus(entry, "setting_up"))
    })
    yield* Tasks.setStatus(entry, "running")

    // A file that stays the same in each partial output is stored once.
    const published = new WeakMap<File.File, { readonly uri: string; readonly version: string }>()
    let holdsFiles = false
    const store = (file: File.File): Effect.Effect<string, FileError> =>
      Effect.gen(function* () {
        holdsFiles = true
        const version = yield* files.versionOf(file)
        const known = published.get(file)
        if (known?.version === version) return known.uri
        const uri = yield* files.publish(file, state.origin)
        published.set(file, { uri, version })
        return uri
      })

    const parts = instance.runParts(state.input, {
      function: state.function,
      taskId: state.id,
      sessionId: state.sessionId,
      log: (line) => Tasks.appendLog(entry, Tasks.LogType.run, line),
      metadata: {
        app_id: state.appId,
        app_version_id: state.appVersionId,
        app_variant: state.variant,
        function: state.function
      },
      resolveFile: files.resolve
    })
    // The bytes are read before the app goes on: they may be gone afterwards.
    const last = yield* Stream.runFoldEffect(
      parts,
      { output: undefined as unknown, final: false },
      (_, { value, last }) =>
        Effect.gen(function* () {
          const output = yield* outputJson(state.appId, value, (file) =>
            File.isRemote(file)
              ? Effect.succeed(file.uri)
              : last
                ? Effect.zipRight(Tasks.setStatus(entry, "uploading"), store(file))
                : store(file)
          )
          if (!last) yield* Tasks.setOutput(entry, output)
          return { output, final: last }
        })
    )
    if (!last.final && holdsFiles) yield* Tasks.setStatus(entry, "uploading")
    return last.output
  })

  return process.pipe(
    Effect.scoped,
    Effect.provide(Logger.add(taskLogger(entry))),
    Effect.annotateLogs({ [Attribute.app]: state.appId, [Attribute.taskId]: state.id }),
    Effect.onExit(
      Exit.match({
        onSuccess: (output) => Tasks.finish(entry, { status: "completed", output }),
        onFailure: (cause) =>
          entry.state.status === "cancelling" || Cause.isInterruptedOnly(cause)
            ? Tasks.finish(entry, { status: "cancelled" })
            : Effect.zipRight(
                Tasks.appendLog(entry, Tasks.LogType.task, Cause.pretty(cause, { renderErrorCause: true })),
                Tasks.finish(entry, { status: "failed", error: reason(Cause.squash(cause)) })
              )
      })
    ),
    Effect.onExit(() => Telemetry.annotate({ [Attribute.taskStatus]: entry.state.status })),
    Telemetry.span(
      "LocalServer.task",
      {
        [Attribute.app]: state.appId,
        [Attribute.function]: state.function,
        [Attribute.taskId]: state.id,
        [Attribute.sessionId]: state.sessionId
      },
      parent && { parent }
    ),
    Effect.exit,
    Effect.asVoid
  )
}

/** Callers see the app's own words, as they would from the live service. */
const reason = (error: unknown): string =>
  error instanceof AppFailed
    ? error.phase === "run"
      ? error.detail
      : `${error.phase}: ${error.detail}`
    : error instanceof Error
      ? error.message
      : String(error)
