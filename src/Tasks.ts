/**
 * The service that runs apps: submits tasks, follows them, cancels them.
 *
 * `run` and `runStream` own the task that they start: interrupting them cancels it. `stream`, `waitForCompletion` and `events`
 * only observe.
 *
 * @module
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as DateTime from "effect/DateTime"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import * as ApiClient from "./ApiClient.js"
import type * as App from "./App.js"
import * as Files from "./Files.js"
import type {
  ApiFailure,
  FileError,
  SessionLost,
  TaskCancelled,
  TaskFailed,
  TaskInterrupted
} from "./InferenceError.js"
import * as internal from "./internal/tasks.js"
import type * as Task from "./Task.js"

/**
 * What starting a task can fail with. `InvalidRequest` without a status and `FileError` come before anything is started.
 *
 * @since 0.1.0
 * @category errors
 */
export type SubmitError = ApiFailure | FileError | SessionLost

/**
 * What following a task can fail with.
 *
 * @since 0.1.0
 * @category errors
 */
export type WatchError = ApiFailure | TaskFailed | TaskCancelled | TaskInterrupted

/**
 * What running a task can fail with.
 *
 * @since 0.1.0
 * @category errors
 */
export type RunError = SubmitError | WatchError

/**
 * An app: its contract, or its name alone.
 *
 * @since 0.1.0
 * @category types
 */
export type AppOrName = App.Any | string

/**
 * The names of the functions of an app.
 *
 * @since 0.1.0
 * @category types
 */
export type FunctionNameOf<A extends AppOrName> = A extends App.Any ? App.FunctionName<A> : string

/**
 * The function that is meant when none is named.
 *
 * @since 0.1.0
 * @category types
 */
export type DefaultFunctionOf<A extends AppOrName> = A extends App.Any ? App.DefaultFunction<A> : string

/**
 * What a function of an app takes. By name alone: any JSON value, with files.
 *
 * @since 0.1.0
 * @category types
 */
export type InputOf<A extends AppOrName, Name> = A extends App.Any
  ? Name extends App.FunctionName<A>
    ? App.Input<A, Name>
    : never
  : unknown

/**
 * What a function of an app gives. By name alone: `unknown`.
 *
 * @since 0.1.0
 * @category types
 */
export type OutputOf<A extends AppOrName, Name> = A extends App.Any
  ? Name extends App.FunctionName<A>
    ? App.Output<A, Name>
    : never
  : unknown

/**
 * How a task is to be run, for any app.
 *
 * @since 0.1.0
 * @category models
 */
export interface RunOptions {
  /** Whose machines run it. Default `cloud`. */
  readonly infra?: ApiClient.Open<"cloud" | "private" | "private_first"> | undefined
  /** A resource variant of the app's version. */
  readonly variant?: string | undefined
  /** The ids of the workers that may run it, on private machines. */
  readonly workers?: ReadonlyArray<string> | undefined
  /** Called by the service when the task is over. */
  readonly webhook?: string | URL | undefined
  /** `new`, or the id of a session whose worker is to run it. */
  readonly session?: string | undefined
  /** With `session: "new"`: how long the session outlives its last call, 1 second to 1 hour. */
  readonly sessionTimeout?: Duration.DurationInput | undefined
  /** When to start. Default at once. */
  readonly runAt?: DateTime.DateTime | Date | undefined
  /** An action of the service that is to follow the task. */
  readonly metadata?: unknown
  /** What becomes of the task when the effect that owns it is interrupted. Default `cancel`. */
  readonly onInterrupt?: "cancel" | "leave" | undefined
  /** How this task is followed. Default: what the client is configured with. */
  readonly transport?: "stream" | "poll" | undefined
}

/**
 * What to run, and how.
 *
 * @since 0.1.0
 * @category models
 */
export type Params<A extends AppOrName, Name extends FunctionNameOf<A>> = RunOptions & {
  /** Decoded values. Each `File`, `Uint8Array` and `Blob` in it is uploaded, once, and replaced by its URL. */
  readonly input: InputOf<A, Name>
  /** Parameters of the app's setup. Workers that have been set up with equal ones are warm. */
  readonly setup?: (A extends App.Any ? App.Setup<A> : unknown) | undefined
} & FunctionParam<A, Name>

/**
 * The function to call: it must be named for an app whose contract has functions but no `run`.
 *
 * @since 0.1.0
 * @category types
 */
export type FunctionParam<A extends AppOrName, Name> =
  string extends FunctionNameOf<A>
    ? { readonly function?: Name | undefined }
    : "run" extends FunctionNameOf<A>
      ? { readonly function?: Name | undefined }
      : { readonly function: Name }

/**
 * The service that runs apps.
 *
 * @since 0.1.0
 * @category services
 */
export interface Service {
  readonly run: <A extends AppOrName, const Name extends FunctionNameOf<A> = DefaultFunctionOf<A>>(
    app: A,
    params: Params<A, Name>
  ) => Effect.Effect<Task.Completed<OutputOf<A, Name>>, RunError>
  readonly runStream: <A extends AppOrName, const Name extends FunctionNameOf<A> = DefaultFunctionOf<A>>(
    app: A,
    params: Params<A, Name>
  ) => Stream.Stream<Task.Task<OutputOf<A, Name>>, RunError>
  readonly submit: <A extends AppOrName, const Name extends FunctionNameOf<A> = DefaultFunctionOf<A>>(
    app: A,
    params: Params<A, Name>
  ) => Effect.Effect<Task.Task<OutputOf<A, Name>>, SubmitError>
  readonly get: (id: string) => Effect.Effect<Task.Task, ApiFailure>
  readonly status: (id: string) => Effect.Effect<Task.StatusReport, ApiFailure>
  readonly waitForCompletion: (id: string) => Effect.Effect<Task.Completed, WatchError>
  readonly stream: (id: string) => Stream.Stream<Task.Task, WatchError>
  readonly events: (id: string) => Stream.Stream<Task.Event, WatchError>
  readonly cancel: (id: string, options?: CancelOptions) => Effect.Effect<void, ApiFailure>
  readonly remove: (id: string) => Effect.Effect<void, ApiFailure>
  readonly list: (query?: ApiClient.ListQuery) => Stream.Stream<Task.Task, ApiFailure>
  readonly listFeatured: (query?: Pick<ApiClient.ListQuery, "pageSize">) => Stream.Stream<Task.Task, ApiFailure>
  readonly logs: (id: string) => Effect.Effect<Task.Logs, ApiFailure>
  readonly timings: (id: string) => Effect.Effect<Task.Timings, ApiFailure>
  readonly telemetry: (id: string) => Effect.Effect<ReadonlyArray<unknown>, ApiFailure>
  readonly setVisibility: (id: string, visibility: Task.Visibility) => Effect.Effect<Task.Task, ApiFailure>
  readonly setFeatured: (id: string, isFeatured: boolean) => Effect.Effect<Task.Task, ApiFailure>
  readonly estimate: (
    appId: string,
    request: { readonly input: unknown; readonly function?: string }
  ) => Effect.Effect<Task.Estimate, ApiFailure>
}

/**
 * How a task is cancelled.
 *
 * @since 0.1.0
 * @category models
 */
export interface CancelOptions {
  /** Whether to kill the app without waiting for its cancel hook. */
  readonly force?: boolean | undefined
  /** How long the app may take to stop. */
  readonly timeout?: Duration.DurationInput | undefined
}

/**
 * The tag of the service that runs apps.
 *
 * @since 0.1.0
 * @category services
 */
export class Tasks extends Context.Tag("effect-inferencesh/Tasks")<Tasks, Service>() {}

/**
 * Makes the service.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make: Effect.Effect<Service, never, ApiClient.ApiClient | Files.Files> = Effect.gen(function* () {
  return internal.make(yield* ApiClient.ApiClient, yield* Files.Files)
})

/**
 * Provides the service.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<Tasks, never, ApiClient.ApiClient | Files.Files> = Layer.effect(Tasks, make)

/**
 * Runs an app and waits for its output. The effect owns the task: when it is interrupted, by a timeout, a lost race or a closed
 * scope, the task is cancelled, unless `onInterrupt` is `leave`.
 *
 * Fails with {@link RunError}: `InvalidRequest` before anything is sent if the input does not fit the contract, `TaskFailed` and
 * `TaskCancelled` with the task, `DecodeError` if the output does not fit, `StreamInterrupted` if the task could not be followed.
 * It is not cancelled then: attach again with {@link waitForCompletion}.
 *
 * @example
 * ```ts
 * import { Effect, Schema } from "effect"
 * import { App, File, Tasks } from "effect-inferencesh"
 *
 * const Upscale = App.make("acme/upscaler@7k2m9qd4", {
 *   input: { image: File.File, scale: Schema.optionalWith(Schema.Int, { default: () => 2 }) },
 *   output: { image: File.File }
 * })
 *
 * const upscaled = Effect.gen(function* () {
 *   const task = yield* Tasks.run(Upscale, { input: { image: File.fromPath("./cat.png") } })
 *   return task.output.image.uri
 * }).pipe(Effect.timeout("5 minutes"))
 * ```
 * @since 0.1.0
 * @category running
 */
export const run = <A extends AppOrName, const Name extends FunctionNameOf<A> = DefaultFunctionOf<A>>(
  app: A,
  params: Params<A, Name>
): Effect.Effect<Task.Completed<OutputOf<A, Name>>, RunError, Tasks> =>
  Effect.flatMap(Tasks, (tasks) => tasks.run<A, Name>(app, params))

/**
 * Runs an app and gives each state of the task as it comes, the last with the output. Partial outputs are in the states before.
 * The stream owns the task: when it is interrupted or not consumed to its end, the task is cancelled.
 *
 * Fails with {@link RunError}, after the snapshot of the task's last state.
 *
 * @example
 * ```ts
 * import { Console, Stream } from "effect"
 * import { Tasks } from "effect-inferencesh"
 *
 * const statuses = Tasks.runStream("acme/echo", { input: { text: "hi" } }).pipe(
 *   Stream.tap((task) => Console.log(task.status)),
 *   Stream.runDrain
 * )
 * ```
 * @since 0.1.0
 * @category running
 */
export const runStream = <A extends AppOrName, const Name extends FunctionNameOf<A> = DefaultFunctionOf<A>>(
  app: A,
  params: Params<A, Name>
): Stream.Stream<Task.Task<OutputOf<A, Name>>, RunError, Tasks> =>
  Stream.unwrap(Effect.map(Tasks, (tasks) => tasks.runStream<A, Name>(app, params)))

/**
 * Consumes the states of a task and gives the completed one: what {@link run} is to {@link runStream}.
 *
 * Fails with what the stream fails with. Dies if the stream ends before the task is completed, as one that was cut short does.
 *
 * @example
 * ```ts
 * import { Console, Stream } from "effect"
 * import { Tasks } from "effect-inferencesh"
 *
 * const output = Tasks.runStream("acme/echo", { input: { text: "hi" } }).pipe(
 *   Stream.tap((task) => Console.log(task.status)),
 *   Tasks.completed
 * )
 * ```
 * @since 0.1.0
 * @category running
 */
export const completed = <Output, E, R>(
  states: Stream.Stream<Task.Task<Output>, E, R>
): Effect.Effect<Task.Completed<Output>, E, R> => internal.completed(states)

/**
 * Starts a task and returns at once, with its id and status. Nobody owns it. Fails with {@link SubmitError}.
 *
 * @since 0.1.0
 * @category running
 */
export const submit = <A extends AppOrName, const Name extends FunctionNameOf<A> = DefaultFunctionOf<A>>(
  app: A,
  params: Params<A, Name>
): Effect.Effect<Task.Task<OutputOf<A, Name>>, SubmitError, Tasks> =>
  Effect.flatMap(Tasks, (tasks) => tasks.submit<A, Name>(app, params))

/**
 * The task as it is now. `App.decodeOutput` types its output. Fails with `ApiFailure`.
 *
 * @since 0.1.0
 * @category observing
 */
export const get = (id: string): Effect.Effect<Task.Task, ApiFailure, Tasks> =>
  Effect.flatMap(Tasks, (tasks) => tasks.get(id))

/**
 * The status of a task alone: lighter than {@link get}. Fails with `ApiFailure`.
 *
 * @since 0.1.0
 * @category observing
 */
export const status = (id: string): Effect.Effect<Task.StatusReport, ApiFailure, Tasks> =>
  Effect.flatMap(Tasks, (tasks) => tasks.status(id))

/**
 * Waits for a task that was started elsewhere. It observes only: interrupting it leaves the task alone.
 *
 * Fails with {@link WatchError}.
 *
 * @since 0.1.0
 * @category observing
 */
export const waitForCompletion = (id: string): Effect.Effect<Task.Completed, WatchError, Tasks> =>
  Effect.flatMap(Tasks, (tasks) => tasks.waitForCompletion(id))

/**
 * The states of a task that was started elsewhere, from the present one to the last. It observes only.
 *
 * Each state comes at most once and in order, whatever happens to the connection. Fails with {@link WatchError}, after the snapshot of
 * the task's last state.
 *
 * @since 0.1.0
 * @category observing
 */
export const stream = (id: string): Stream.Stream<Task.Task, WatchError, Tasks> =>
  Stream.unwrap(Effect.map(Tasks, (tasks) => tasks.stream(id)))

/**
 * All that the stream of a task carries: its states, pieces of text that is being generated, and events that this version does not
 * know. It observes only.
 *
 * Fails with {@link WatchError}.
 *
 * @since 0.1.0
 * @category observing
 */
export const events = (id: string): Stream.Stream<Task.Event, WatchError, Tasks> =>
  Stream.unwrap(Effect.map(Tasks, (tasks) => tasks.events(id)))

/**
 * Asks the service to cancel a task. It returns when the service has taken note; the task is `cancelled` a little later. Cancelling a
 * task that is over does nothing.
 *
 * Fails with `ApiFailure`.
 *
 * @since 0.1.0
 * @category operations
 */
export const cancel = (id: string, options?: CancelOptions): Effect.Effect<void, ApiFailure, Tasks> =>
  Effect.flatMap(Tasks, (tasks) => tasks.cancel(id, options))

/**
 * Deletes a task. Fails with `ApiFailure`.
 *
 * @since 0.1.0
 * @category operations
 */
export const remove = (id: string): Effect.Effect<void, ApiFailure, Tasks> =>
  Effect.flatMap(Tasks, (tasks) => tasks.remove(id))

/**
 * The tasks of the team. Pages are fetched as the stream is consumed.
 *
 * Fails with `ApiFailure`.
 *
 * @example
 * ```ts
 * import { Stream } from "effect"
 * import { Tasks } from "effect-inferencesh"
 *
 * const lastFailures = Tasks.list({ sort: [{ field: "created_at", dir: "desc" }] }).pipe(
 *   Stream.filter((task) => task.status === "failed"),
 *   Stream.take(10),
 *   Stream.runCollect
 * )
 * ```
 * @since 0.1.0
 * @category observing
 */
export const list = (query?: ApiClient.ListQuery): Stream.Stream<Task.Task, ApiFailure, Tasks> =>
  Stream.unwrap(Effect.map(Tasks, (tasks) => tasks.list(query)))

/**
 * The tasks that their owners show to everyone. Pages are fetched as the stream is consumed.
 *
 * Fails with `ApiFailure`.
 *
 * @since 0.1.0
 * @category observing
 */
export const listFeatured = (
  query?: Pick<ApiClient.ListQuery, "pageSize">
): Stream.Stream<Task.Task, ApiFailure, Tasks> => Stream.unwrap(Effect.map(Tasks, (tasks) => tasks.listFeatured(query)))

/**
 * What the app of a task wrote, and the history of its status.
 *
 * Fails with `ApiFailure`.
 *
 * @since 0.1.0
 * @category observing
 */
export const logs = (id: string): Effect.Effect<Task.Logs, ApiFailure, Tasks> =>
  Effect.flatMap(Tasks, (tasks) => tasks.logs(id))

/**
 * How long a task took, in all and in each status.
 *
 * Fails with `ApiFailure`.
 *
 * @since 0.1.0
 * @category observing
 */
export const timings = (id: string): Effect.Effect<Task.Timings, ApiFailure, Tasks> =>
  Effect.flatMap(Tasks, (tasks) => tasks.timings(id))

/**
 * Measurements of the worker while it ran a task. Their form is not documented: they come as they are.
 *
 * Fails with `ApiFailure`.
 *
 * @since 0.1.0
 * @category observing
 */
export const telemetry = (id: string): Effect.Effect<ReadonlyArray<unknown>, ApiFailure, Tasks> =>
  Effect.flatMap(Tasks, (tasks) => tasks.telemetry(id))

/**
 * Sets who may see a task.
 *
 * Fails with `ApiFailure`.
 *
 * @since 0.1.0
 * @category operations
 */
export const setVisibility = (id: string, visibility: Task.Visibility): Effect.Effect<Task.Task, ApiFailure, Tasks> =>
  Effect.flatMap(Tasks, (tasks) => tasks.setVisibility(id, visibility))

/**
 * Shows a task to everyone as an example of its app, or stops showing it.
 *
 * Fails with `ApiFailure`.
 *
 * @since 0.1.0
 * @category operations
 */
export const setFeatured = (id: string, isFeatured: boolean): Effect.Effect<Task.Task, ApiFailure, Tasks> =>
  Effect.flatMap(Tasks, (tasks) => tasks.setFeatured(id, isFeatured))

/**
 * What a task is expected to cost, before it is run. The app is named by its id here.
 *
 * Fails with `ApiFailure`.
 *
 * @since 0.1.0
 * @category operations
 */
export const estimate = (
  appId: string,
  request: { readonly input: unknown; readonly function?: string }
): Effect.Effect<Task.Estimate, ApiFailure, Tasks> => Effect.flatMap(Tasks, (tasks) => tasks.estimate(appId, request))
