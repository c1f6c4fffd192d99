/** Runs an example as a program: one sentence for what went wrong, an exit code, and Ctrl-C as interruption. */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import { InferenceError } from "effect-inferencesh"
import * as Terminal from "./terminal.js"

const sentence = (error: { readonly message: string }): string =>
  error instanceof InferenceError.TaskFailed
    ? `The task failed: ${error.task.error || "the app gave no reason"}`.replace(/\.?$/, ".")
    : error.message

/** A failure is told in a sentence. Only what nobody expected comes with a stack trace. */
const report = (cause: Cause.Cause<{ readonly message: string }>): Effect.Effect<void> =>
  Cause.isInterruptedOnly(cause)
    ? Effect.void
    : Either.match(Cause.failureOrCause(cause), {
        onLeft: (error) => Terminal.printError(sentence(error)),
        onRight: (defect) => Terminal.printError(Cause.pretty(defect, { renderErrorCause: true }))
      })

export const run = <A>(program: Effect.Effect<A, { readonly message: string }>): void =>
  NodeRuntime.runMain(Effect.tapErrorCause(program, report), {
    disableErrorReporting: true,
    teardown: (exit, onExit) => onExit(Exit.isSuccess(exit) ? 0 : Cause.isInterruptedOnly(exit.cause) ? 130 : 1)
  })
