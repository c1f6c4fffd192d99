import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { limit, load } from "./support/load.js"

// The benchmark `load` does the same with 10,000 tasks.
it.live("ends each of many short tasks, runs each once, and keeps no memory of them", () =>
  Effect.gen(function* () {
    const { growth, ...counts } = yield* load(1000)
    assert.deepStrictEqual(counts, { completed: 1000, inputs: 1000, runs: 1000 })
    assert.isBelow(Math.abs(growth), limit)
  })
)
