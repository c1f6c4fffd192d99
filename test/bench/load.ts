/**
 * Runs 10,000 short tasks through a server in a process of its own, 64 at a time: `npm run bench -- load`. It fails where one of them
 * is lost or runs twice, or where the server's memory is not back within 32 MB of where it was.
 */
import * as Console from "effect/Console"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { limit, load } from "../support/load.js"

const count = 10_000

export const main = Effect.gen(function* () {
  const [time, { completed, inputs, runs, growth }] = yield* Effect.timed(load(count))
  const perSecond = Math.round(count / Duration.toSeconds(time))
  yield* Console.log(`${completed} of ${count} tasks completed, ${perSecond}/s, ${runs} runs of ${inputs} inputs`)
  yield* Console.log(`memory of the server afterwards: ${(growth / 1024 ** 2).toFixed(1)} MB more than before`)
  if (completed !== count || inputs !== count || runs !== count || Math.abs(growth) > limit) {
    return yield* Effect.fail("expected each task to run once, and no memory to be kept")
  }
})
