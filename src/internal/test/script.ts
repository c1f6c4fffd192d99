/** Apps that play a script, one run after the other. */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type * as App from "../../App.js"
import * as BaseApp from "../../BaseApp.js"
import { type ApiFailure, AppFailed } from "../../InferenceError.js"
import type * as InferenceTest from "../../InferenceTest.js"
import { isJsonObject } from "../wire.js"
import { type Raised, raise, Unmocked } from "./unmocked.js"

export type Run = InferenceTest.Run<unknown>

/** A script that is being played. */
export interface Player {
  readonly base: BaseApp.BaseApp<App.Any, never>
  /**
   * Has the task that a client's request starts play the next run, or fails with its error. The request gives the task as it goes over
   * the wire.
   */
  readonly next: <E>(request: Effect.Effect<unknown, E>) => Effect.Effect<unknown, E | ApiFailure>
}

const isList = (run: Run): run is ReadonlyArray<InferenceTest.Step<unknown>> => Array.isArray(run)

/** The error that the call itself fails with, if that is all there is to the run. */
const errorOf = (run: Run) => (!isList(run) && "error" in run ? run.error : undefined)

const stepsOf = (run: Run): ReadonlyArray<InferenceTest.Step<unknown>> =>
  isList(run) ? run : "error" in run ? [{ fail: run.error.message }] : [run]

/** What is said of a call beyond the end of the script. */
const ended = ({ app, runs }: InferenceTest.Script) =>
  new Unmocked({
    call: `the app ${app.name}`,
    hint: `the script of ${app.name} has ${runs.length} ${runs.length === 1 ? "run" : "runs"}, and this is one more`
  })

export const play = (
  script: InferenceTest.Script,
  options: { readonly cancel: (taskId: string) => Effect.Effect<unknown>; readonly raised: Raised }
): Player => {
  const { cancel, raised } = options
  const left = [...script.runs]
  /** By the id of the task. */
  const assigned = new Map<string, Run>()
  /** The requests whose tasks are not known yet. */
  const pending = new Set<Deferred.Deferred<void>>()
  const failed = (detail: string) => new AppFailed({ app: script.app.name, phase: "run", detail })

  const playStep = (step: InferenceTest.Step<unknown>): Stream.Stream<unknown, AppFailed, BaseApp.Context> =>
    Stream.unwrapScoped(
      Effect.gen(function* () {
        const context = yield* BaseApp.Context
        if (step.after !== undefined) yield* Effect.sleep(step.after)
        if (step.log !== undefined) yield* context.log(step.log)
        if (step.fail !== undefined) return Stream.fail(failed(step.fail))
        if (step.cancelled !== true) return step.output === undefined ? Stream.empty : Stream.make(step.output)
        // What it asks for interrupts it, so it does not wait for the answer.
        yield* Effect.forkScoped(cancel(context.taskId))
        return Stream.never
      })
    )

  /** The run that a task is to play: that of the request that started it, and the next one where no client did. */
  const runOf = (taskId: string): Effect.Effect<Run | undefined> =>
    Effect.suspend(() => {
      const run = assigned.get(taskId)
      if (run !== undefined) return Effect.succeed(run)
      const [request] = pending
      return request === undefined
        ? Effect.succeed(left.shift())
        : Effect.zipRight(Deferred.await(request), runOf(taskId))
    })

  const run = () =>
    Stream.unwrap(
      Effect.gen(function* () {
        const { taskId } = yield* BaseApp.Context
        const next = yield* runOf(taskId)
        if (next === undefined) return yield* raise(raised, ended(script))
        return Stream.flatMap(Stream.fromIterable(stepsOf(next)), playStep)
      })
    )

  const next: Player["next"] = (request) =>
    Effect.gen(function* () {
      const known = yield* Deferred.make<void>()
      const run = left.shift()
      if (run === undefined) return yield* raise(raised, ended(script))
      const error = errorOf(run)
      if (error !== undefined) return yield* Effect.fail(error)
      const takeBack = Effect.sync(() => {
        left.push(run)
        left.sort((one, other) => script.runs.indexOf(one) - script.runs.indexOf(other))
      })
      pending.add(known)
      return yield* request.pipe(
        Effect.tap((task) =>
          isJsonObject(task) && typeof task.id === "string"
            ? Effect.sync(() => assigned.set(String(task.id), run))
            : takeBack
        ),
        Effect.onError(() => takeBack),
        Effect.ensuring(
          Effect.zipRight(
            Effect.sync(() => pending.delete(known)),
            Deferred.succeed(known, undefined)
          )
        )
      )
    })

  return {
    base: BaseApp.make(script.app, {
      concurrency: Number.MAX_SAFE_INTEGER,
      run: Object.fromEntries(Object.keys(script.app.functions).map((name) => [name, run]))
    }),
    next
  }
}
