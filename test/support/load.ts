/** Many short tasks through one server, which remembers few of them. */
import * as Effect from "effect/Effect"
import { serveApps } from "./startServer.js"
import { type Json, runTask } from "./wire.js"

/** Runs so many tasks, 64 at a time, and gives what became of them. */
export const load = (count: number) =>
  Effect.gen(function* () {
    const server = yield* serveApps({ maxTasks: 50 })
    const run = (from: number, tasks: number) =>
      Effect.forEach(
        Array.from({ length: tasks }, (_, i) => from + i),
        (n) => Effect.map(runTask("test/echo", { n }), ({ output }: Json): boolean => output?.n === n),
        { concurrency: 64 }
      )
    const gauge = Effect.map(runTask("test/gauge", {}), ({ output }: Json) => output)
    return yield* Effect.gen(function* () {
      // Code is compiled and connections are opened before the measurement.
      yield* run(-250, 250)
      const before = yield* gauge
      const completed = yield* run(0, count)
      const after = yield* gauge
      return {
        completed: completed.filter(Boolean).length,
        /** How many of them have run, and how often. */
        inputs: after.inputs - before.inputs,
        runs: after.runs - before.runs,
        /** In bytes, without garbage. */
        growth: after.bytes - before.bytes
      }
    }).pipe(Effect.provide(server.client))
  }).pipe(Effect.scoped)

/** How far memory may be from where it was. */
export const limit = 32 * 1024 ** 2
