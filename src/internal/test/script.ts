/** Apps that play a script, one run after the other. */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type * as App from "../../App.js"
import * as BaseApp from "../../BaseApp.js"
import { AppFailed } from "../../InferenceError.js"
import type * as InferenceTest from "../../InferenceTest.js"

export type Run = InferenceTest.Run<unknown>

/** A script that is being played. */
export interface Player {
  readonly base: BaseApp.BaseApp<App.Any, never>
  /** What a client's call is to get: nobody else gets it. Undefined once the script has ended. */
  readonly take: () => Run | undefined
  /** Has the next task play this run. Gives what takes that back, where there will be no such task. */
  readonly assign: (run: Run) => () => void
}

const isList = (run: Run): run is ReadonlyArray<InferenceTest.Step<unknown>> => Array.isArray(run)

/** The error that the call itself fails with, if that is all there is to the run. */
export const errorOf = (run: Run) => (!isList(run) && "error" in run ? run.error : undefined)

const stepsOf = (run: Run): ReadonlyArray<InferenceTest.Step<unknown>> =>
  isList(run) ? run : "error" in run ? [{ fail: run.error.message }] : [run]

/** What is said of a call beyond the end of the script. */
export const ended = ({ app, runs }: InferenceTest.Script): string =>
  `the script of ${app.name} has ${runs.length} ${runs.length === 1 ? "run" : "runs"}, and this is one more`

export const play = (script: InferenceTest.Script, cancel: (taskId: string) => Effect.Effect<unknown>): Player => {
  const left = [...script.runs]
  const assigned: Array<Run> = []
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

  const run = () =>
    Stream.suspend(() => {
      const next = assigned.shift() ?? left.shift()
      return next === undefined
        ? Stream.fail(failed(ended(script)))
        : Stream.flatMap(Stream.fromIterable(stepsOf(next)), playStep)
    })

  return {
    base: BaseApp.make(script.app, {
      concurrency: Number.MAX_SAFE_INTEGER,
      run: Object.fromEntries(Object.keys(script.app.functions).map((name) => [name, run]))
    }),
    take: () => left.shift(),
    assign: (run) => {
      assigned.push(run)
      return () => {
        const at = assigned.indexOf(run)
        if (at === -1) return
        assigned.splice(at, 1)
        left.unshift(run)
      }
    }
  }
}
