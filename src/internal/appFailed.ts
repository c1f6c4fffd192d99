/** How an app fails: in which phase, and why. */
import * as Cause from "effect/Cause"
import type * as ParseResult from "effect/ParseResult"
import type * as App from "../App.js"
import { AppFailed } from "../InferenceError.js"
import { messageOf } from "./failure.js"
import { formatIssues } from "./server/issues.js"

/** From what its code failed with. */
export const failed = (app: App.Any, phase: AppFailed["phase"]) => (cause: Cause.Cause<unknown>) => {
  const error = Cause.squash(cause)
  return error instanceof AppFailed
    ? error
    : new AppFailed({
        app: app.name,
        phase,
        detail: Cause.isInterruptedOnly(cause) ? "it was interrupted from within" : messageOf(error),
        cause: error
      })
}

/** From a value that does not fit its schema. */
export const misfit = (app: App.Any, phase: AppFailed["phase"]) => (error: ParseResult.ParseError) =>
  new AppFailed({ app: app.name, phase, detail: formatIssues(error) })
