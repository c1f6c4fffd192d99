import * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import type * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type * as Tracer from "effect/Tracer"
import type * as ApiClient from "../ApiClient.js"
import * as App from "../App.js"
import type * as Files from "../Files.js"
import {
  type ApiFailure,
  type DecodeError,
  InvalidRequest,
  type Issue,
  TaskCancelled,
  TaskFailed,
  type TaskInterrupted
} from "../InferenceError.js"
import * as Task from "../Task.js"
import type * as Tasks from "../Tasks.js"
import { Attribute } from "../Telemetry.js"
import { decodeError, sessionLost } from "./failure.js"
import { startOwned } from "./owned.js"
import { list } from "./pagination.js"
import * as Payload from "./payload.js"
import * as TaskSchemas from "./taskSchemas.js"
import * as Telemetry from "./telemetry.js"
import { watch } from "./watch.js"
import { field, isJsonObject, JsonObject, openEnum } from "./wire.js"

/** What a task is expected to cost, protocol.md §3.6. */
const Estimate = Schema.Struct({
  confidence: field("confidence", openEnum("exact", "range", "unknown")),
  microcents: field("microcents", Schema.Number),
  min: field("min", Schema.Number),
  max: field("max", Schema.Number),
  dependsOn: field("depends_on", Schema.Array(Schema.String)),
  error: field("estimate_error", Schema.String)
})

type AnyParams = Tasks.RunOptions & {
  readonly input: unknown
  readonly setup?: unknown
  readonly function?: string | undefined
}

export const nameOf = (app: Tasks.AppOrName): string => (typeof app === "string" ? app : app.name)

/** A service that takes any JSON says so with the schema that takes anything. */
const signatureOf = (app: Tasks.AppOrName, name: string | undefined): App.Signature | undefined => {
  if (typeof app === "string") return { input: Schema.Unknown, output: Schema.Unknown }
  const isClear = name !== undefined || "run" in app.functions || Object.keys(app.functions).length === 1
  return isClear ? App.signature(app, name ?? App.defaultFunction(app)) : undefined
}

const toIso = (time: DateTime.DateTime | Date): string =>
  DateTime.isDateTime(time) ? DateTime.formatIso(time) : time.toISOString()

const isWebUrl = (text: string): boolean => URL.canParse(text) && /^https?:$/.test(new URL(text).protocol)

const checkOptions = (app: string, params: AnyParams): ReadonlyArray<Issue> => {
  const issues: Array<Issue> = []
  const check = (isFine: boolean, path: string, message: string) => {
    if (!isFine) issues.push({ path: [path], message })
  }
  check(app.trim() !== "", "app", "the name of the app is empty")
  if (params.sessionTimeout !== undefined) {
    const seconds = Option.map(Duration.decodeUnknown(params.sessionTimeout), Duration.toSeconds)
    const isFine = Option.exists(seconds, (seconds) => seconds >= 1 && seconds <= 3600)
    check(isFine, "sessionTimeout", "it must be between 1 second and 1 hour")
    check(params.session === "new", "sessionTimeout", 'it can be set only with session: "new"')
  }
  if (params.webhook !== undefined) check(isWebUrl(String(params.webhook)), "webhook", "it is no http(s) URL")
  if (params.runAt instanceof Date) check(!Number.isNaN(params.runAt.getTime()), "runAt", "it is no valid date")
  return issues
}

const aboutTask = (id: string) => ({ [Attribute.taskId]: id })

const withCurrentSpan = <A, E, R>(f: (span: Tracer.Span | undefined) => Stream.Stream<A, E, R>) =>
  Stream.unwrap(Effect.map(Effect.option(Effect.currentSpan), (span) => f(Option.getOrUndefined(span))))

export const make = (api: ApiClient.Service, files: Files.Service): Tasks.Service => {
  const { settings } = api
  const schemas = TaskSchemas.schemas[settings.statusNumbering]
  const pathOf = (id: string) => `/tasks/${encodeURIComponent(id)}`

  /** The body of the request that starts a task. Everything that can be wrong with it is found before anything is sent. */
  const prepare = Effect.fnUntraced(function* (app: Tasks.AppOrName, params: AnyParams) {
    const name = nameOf(app)
    const signature = signatureOf(app, params.function)
    const issues = checkOptions(name, params)
    if (signature === undefined) {
      const message =
        params.function === undefined
          ? "the contract has several functions and no `run`: name the one to call"
          : `the contract has no function "${params.function}"`
      return yield* new InvalidRequest({ app: name, issues: [...issues, { path: ["function"], message }] })
    }
    if (issues.length > 0) return yield* new InvalidRequest({ app: name, issues })
    const setupSchema = typeof app === "string" ? Schema.Unknown : app.setup
    const encoded = {
      input: yield* Payload.encode(name, "input", signature.input, params.input),
      setup: params.setup === undefined ? undefined : yield* Payload.encode(name, "setup", setupSchema, params.setup),
      metadata: params.metadata
    }
    const payload = yield* Payload.withFilesUploaded(name, encoded, files.upload)
    return {
      ...(isJsonObject(payload) ? payload : {}),
      app: name,
      // The service's own default may be another one than that of a contract without `run`.
      function:
        params.function ?? (typeof app === "string" || "run" in app.functions ? undefined : App.defaultFunction(app)),
      infra: params.infra,
      variant: params.variant,
      workers: params.workers,
      webhook: params.webhook?.toString(),
      session: params.session,
      session_timeout:
        params.sessionTimeout === undefined ? undefined : Math.round(Duration.toSeconds(params.sessionTimeout)),
      run_at: params.runAt === undefined ? undefined : toIso(params.runAt)
    }
  })

  const post = (body: unknown, params: AnyParams) =>
    api.request({ method: "POST", path: "/apps/run", body, schema: JsonObject }).pipe(
      Effect.mapError((error) => (params.session === undefined ? error : sessionLost(params.session)(error))),
      Effect.flatMap((wire) =>
        Effect.mapBoth(Schema.decodeUnknown(schemas.Task)(wire), {
          onSuccess: (task) => ({ task, wire }),
          onFailure: (error) => decodeError("reply to POST /apps/run", error)
        })
      )
    )

  const cancel: Tasks.Service["cancel"] = (id, options = {}) =>
    api
      .request({
        method: "POST",
        path: `${pathOf(id)}/cancel`,
        body:
          options.force === undefined && options.timeout === undefined
            ? undefined
            : {
                force: options.force,
                timeout: options.timeout === undefined ? undefined : Math.round(Duration.toSeconds(options.timeout))
              },
        idempotent: true,
        taskId: id,
        schema: Schema.Unknown
      })
      .pipe(
        // The task was over already.
        Effect.catchIf(
          (error) => error._tag === "ApiError" && error.status === 409,
          () => Effect.void
        ),
        Effect.asVoid
      )

  const startOwnedTask = (body: unknown, params: AnyParams, isSettled: () => boolean) =>
    startOwned({
      start: post(body, params),
      isSettled: () => params.onInterrupt === "leave" || isSettled(),
      undo: ({ task }) => cancel(task.id).pipe(Telemetry.operation("Tasks.cancel", aboutTask(task.id))),
      about: ({ task }) => aboutTask(task.id),
      otherwise: "The task of an interrupted run may go on: the service did not confirm its cancellation"
    })

  /** The states that events tell of, and then the error that the last of them stands for. */
  const snapshots = <E>(
    events: Stream.Stream<Task.Event, E>
  ): Stream.Stream<Task.Task, E | TaskFailed | TaskCancelled> =>
    withOutcome(events).pipe(
      Stream.filterMap((event) => (event._tag === "Snapshot" ? Option.some(event.task) : Option.none()))
    )

  const withOutcome = <E>(
    events: Stream.Stream<Task.Event, E>
  ): Stream.Stream<Task.Event, E | TaskFailed | TaskCancelled> =>
    withCurrentSpan((span) => {
      let last: Task.Task | undefined
      const note = (task: Task.Task) => {
        if (task.status !== last?.status) span?.attribute(Attribute.taskStatus, task.status)
        if (task.sessionId !== last?.sessionId) span?.attribute(Attribute.sessionId, task.sessionId)
        last = task
      }
      const outcome = Stream.suspend(
        (): Stream.Stream<never, TaskFailed | TaskCancelled> =>
          last?.status === "failed"
            ? Stream.fail(new TaskFailed({ task: last }))
            : last?.status === "cancelled"
              ? Stream.fail(new TaskCancelled({ task: last }))
              : Stream.empty
      )
      return events.pipe(
        Stream.map((event) => {
          if (event._tag === "Snapshot") note(event.task)
          return event
        }),
        Stream.concat(outcome)
      )
    })

  const typed = <A extends Tasks.AppOrName, Name extends Tasks.FunctionNameOf<A>>(app: A, name: Name | undefined) => {
    const decodeOutput = Schema.decodeUnknown(signatureOf(app, name)?.output ?? Schema.Unknown)
    // States that do not change the output share it: it is decoded once.
    let last:
      | { readonly output: unknown; readonly exit: Exit.Exit<Tasks.OutputOf<A, Name>, ParseResult.ParseError> }
      | undefined
    const decode = (output: unknown) =>
      Effect.suspend(() => {
        if (last !== undefined && last.output === output) return last.exit
        return Effect.flatMap(Effect.exit(decodeOutput(output)), (exit) => {
          last = { output, exit }
          return exit
        })
      })
    return (task: Task.Task): Effect.Effect<Task.Task<Tasks.OutputOf<A, Name>>, DecodeError> => {
      if (task.status === "completed") {
        return Effect.mapBoth(decode(task.output), {
          onSuccess: (output) => ({ ...task, output }),
          onFailure: (error) => decodeError(`output of ${nameOf(app)}`, error, { taskId: task.id })
        })
      }
      // While it runs, the service may show an empty or a half-made output: it is shown where it fits.
      const { output, ...rest } = task
      return output === undefined
        ? Effect.succeed(rest)
        : Effect.map(
            Effect.option(decode(output)),
            Option.match({ onNone: () => rest, onSome: (output) => ({ ...rest, output }) })
          )
    }
  }

  const observe = (id: string) => watch(api, id, settings.transport)

  const runStream: Tasks.Service["runStream"] = (app, params) =>
    Stream.unwrapScoped(
      Effect.gen(function* () {
        const name = nameOf(app)
        const body = yield* prepare(app, params)
        const startedAt = yield* Clock.currentTimeMillis
        // How the task ended, as seen from here.
        let outcome: string | undefined
        yield* Effect.addFinalizer(() =>
          Effect.flatMap(Clock.currentTimeMillis, (now) =>
            Telemetry.taskEnded(name, outcome ?? "interrupted", now - startedAt)
          )
        )
        const { task, wire } = yield* startOwnedTask(body, params, () => outcome !== undefined).pipe(
          Effect.tapError(() =>
            Effect.sync(() => {
              outcome = "refused"
            })
          )
        )
        yield* Telemetry.annotate(aboutTask(task.id))
        const followed: Stream.Stream<Task.Event, ApiFailure | TaskInterrupted> = watch(
          api,
          task.id,
          params.transport ?? settings.transport,
          wire
        )
        return snapshots(followed).pipe(
          Stream.map((task) => {
            if (Task.isTerminal(task.status)) outcome = task.status
            return task
          }),
          // Lost from sight, or over: not to be cancelled.
          Stream.tapErrorCause(() =>
            Effect.sync(() => {
              outcome ??= "lost"
            })
          ),
          Stream.mapEffect(typed(app, params.function))
        )
      })
    )

  const aboutRun = (app: Tasks.AppOrName, params: AnyParams) => ({
    [Attribute.app]: nameOf(app),
    [Attribute.function]: params.function,
    [Attribute.sessionId]: params.session === "new" ? undefined : params.session
  })

  const ask = <A, I>(name: string, id: string, request: Omit<ApiClient.Request<A, I>, "taskId">) =>
    api.request({ ...request, taskId: id }).pipe(Telemetry.operation(name, aboutTask(id)))

  return {
    run: (app, params) =>
      completed(runStream(app, params)).pipe(Telemetry.operation("Tasks.run", aboutRun(app, params))),

    runStream: (app, params) =>
      runStream(app, params).pipe(Telemetry.streamOperation("Tasks.runStream", aboutRun(app, params))),

    submit: (app, params) =>
      prepare(app, params).pipe(
        Effect.flatMap((body) => post(body, params)),
        Effect.tap(({ task }) => Telemetry.annotate({ ...aboutTask(task.id), [Attribute.taskStatus]: task.status })),
        Effect.flatMap(({ task }) => typed(app, params.function)(task)),
        Telemetry.operation("Tasks.submit", aboutRun(app, params))
      ),

    get: (id) => ask("Tasks.get", id, { path: pathOf(id), schema: schemas.Task }),

    status: (id) =>
      Effect.map(ask("Tasks.status", id, { path: `${pathOf(id)}/status`, schema: schemas.Patch }), (found) => ({
        id,
        status: found.status ?? "unknown",
        updatedAt: found.updatedAt
      })),

    waitForCompletion: (id) =>
      completed(snapshots(observe(id))).pipe(Telemetry.operation("Tasks.waitForCompletion", aboutTask(id))),

    stream: (id) => snapshots(observe(id)).pipe(Telemetry.streamOperation("Tasks.stream", aboutTask(id))),

    events: (id) => withOutcome(observe(id)).pipe(Telemetry.streamOperation("Tasks.events", aboutTask(id))),

    cancel: (id, options) => cancel(id, options).pipe(Telemetry.operation("Tasks.cancel", aboutTask(id))),

    remove: (id) =>
      Effect.asVoid(ask("Tasks.remove", id, { method: "DELETE", path: pathOf(id), schema: Schema.Unknown })),

    list: (query) =>
      list(api, { method: "POST", path: "/tasks/list" }, schemas.Task, query).pipe(
        Telemetry.streamOperation("Tasks.list")
      ),

    listFeatured: (query) =>
      list(api, { method: "GET", path: "/tasks/featured" }, schemas.Task, query).pipe(
        Telemetry.streamOperation("Tasks.listFeatured")
      ),

    logs: (id) => ask("Tasks.logs", id, { path: `${pathOf(id)}/logs`, schema: schemas.Logs }),

    timings: (id) => ask("Tasks.timings", id, { path: `${pathOf(id)}/timings`, schema: schemas.Timings }),

    telemetry: (id) =>
      Effect.map(
        ask("Tasks.telemetry", id, {
          path: `${pathOf(id)}/telemetry`,
          schema: Schema.NullishOr(Schema.Array(Schema.Unknown))
        }),
        (rows) => rows ?? []
      ),

    setVisibility: (id, visibility) =>
      ask("Tasks.setVisibility", id, {
        method: "POST",
        path: `${pathOf(id)}/visibility`,
        body: { visibility },
        idempotent: true,
        schema: schemas.Task
      }),

    setFeatured: (id, isFeatured) =>
      ask("Tasks.setFeatured", id, {
        method: "POST",
        path: `${pathOf(id)}/featured`,
        body: { is_featured: isFeatured },
        idempotent: true,
        schema: schemas.Task
      }),

    estimate: (appId, request) =>
      api
        .request({
          method: "POST",
          path: `/store/apps/${encodeURIComponent(appId)}/estimate`,
          body: request,
          idempotent: true,
          schema: Estimate
        })
        .pipe(Telemetry.operation("Tasks.estimate"))
  }
}

/** The last of the states, where it is the completed one: streams of states fail where a task ends otherwise. */
export const completed = <Output, E, R>(
  states: Stream.Stream<Task.Task<Output>, E, R>
): Effect.Effect<Task.Completed<Output>, E, R> =>
  Effect.flatMap(Stream.runLast(states), (last) =>
    Option.match(Option.filter(last, Task.isCompleted), {
      onSome: Effect.succeed,
      onNone: () => Effect.dieMessage("the stream of states ended before the task was completed")
    })
  )
