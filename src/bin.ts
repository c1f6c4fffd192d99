#!/usr/bin/env node
/**
 * The command `effect-inferencesh`.
 *
 * @module
 * @since 0.1.0
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Cause from "effect/Cause"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as Args from "./internal/cli/args.js"
import { serve } from "./internal/cli/serve.js"

const program = Effect.flatMap(Args.parse(process.argv.slice(2)), (command) =>
  command._tag === "Help" ? Console.log(Args.usage) : serve(command)
)

/** A failure is told in its sentence. Only what nobody expected comes with a stack trace. */
const report = (cause: Cause.Cause<{ readonly message: string }>) =>
  Cause.isInterruptedOnly(cause)
    ? Effect.void
    : Console.error(
        Either.match(Cause.failureOrCause(cause), {
          onLeft: ({ message }) => message,
          onRight: (defect) => Cause.pretty(defect, { renderErrorCause: true })
        })
      )

NodeRuntime.runMain(Effect.tapErrorCause(program, report), {
  disableErrorReporting: true,
  teardown: (exit, onExit) => onExit(Exit.isSuccess(exit) || Cause.isInterruptedOnly(exit.cause) ? 0 : 1)
})
