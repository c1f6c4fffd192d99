/** Runs the benchmarks: `npm run bench`, or one of them by name. */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Effect from "effect/Effect"
import * as Chats from "./chats.js"
import * as Load from "./load.js"
import * as Memory from "./memory.js"
import * as Tasks from "./tasks.js"

const benchmarks: Record<string, Effect.Effect<void, unknown>> = {
  memory: Memory.main,
  tasks: Tasks.main,
  chats: Chats.main,
  load: Load.main
}

const wanted = process.argv.slice(2)

NodeRuntime.runMain(
  Effect.forEach(
    Object.entries(benchmarks).filter(([name]) => wanted.length === 0 || wanted.includes(name)),
    ([name, main]) => Effect.zipRight(Effect.logInfo(name), main),
    { discard: true }
  )
)
