import * as Effect from "effect/Effect"
import type * as File from "../File.js"
import { AppFailed, type FileError } from "../InferenceError.js"
import { withFilesReplaced } from "./payload.js"
import { isTooDeep, maxDepth } from "./server/depth.js"
import { dotted } from "./server/issues.js"

/**
 * The JSON of an app's output, with its files replaced. What is no JSON must fail here: whoever writes it later is not to
 * blame, and cannot go on.
 */
export const outputJson = <R>(
  app: string,
  output: unknown,
  replace: (file: File.File) => Effect.Effect<unknown, FileError, R>
): Effect.Effect<unknown, AppFailed | FileError, R> => {
  const failed = (detail: string) => new AppFailed({ app, phase: "output", detail })
  return withFilesReplaced(app, output, replace).pipe(
    Effect.catchTag("InvalidRequest", ({ issues }) => Effect.fail(failed(dotted(issues)))),
    // What the output's own `toJSON` throws, and the overflow of the stack.
    Effect.catchAllDefect((defect) => Effect.fail(failed(defect instanceof Error ? defect.message : String(defect)))),
    Effect.filterOrFail(
      (json) => !isTooDeep(json),
      () => failed(`it nests deeper than ${maxDepth} levels`)
    )
  )
}
