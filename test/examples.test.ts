import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { runExample } from "./support/example.js"

const output = (name: string) =>
  Effect.map(runExample(name), ({ code, stdout, stderr }) => {
    assert.deepStrictEqual({ code, stderr }, { code: 0, stderr: "" })
    return stdout
  })

describe("the example", { timeout: 60_000 }, () => {
  it.live("base-app runs an app by itself, and as a task", () =>
    Effect.map(output("base-app"), (stdout) => {
      const [alone = "", asTask = ""] = stdout.split("As a task\n")
      assert.deepStrictEqual(alone.match(/log: read \d+/g), ["log: read 2", "log: read 4", "log: read 5"])
      assert.match(asTask, /^ {2}The river was high that spring\.\n {2}Every morning .*\n {2}log: read 5 sentences\n$/)
    })
  )

  it.live("session keeps a stock for as long as its scope is open", () =>
    Effect.map(output("session"), (stdout) => {
      assert.include(stdout, "pears left: 3\n20 plums:   there are only 12 plums\n")
      assert.include(stdout, 'in store:   {"pears":3,"plums":12}\nafter it: ended, 5 calls\n')
      assert.include(stdout, "Another\nin store:   {}\n")
      assert.match(stdout, /is gone \(Ended\)/)
    })
  )

  it.live("tracing prints a tree of spans and the counters, and nothing of what was said", () =>
    Effect.map(output("tracing"), (stdout) => {
      const [trace = "", metrics = ""] = stdout.split("Metrics\n")
      assert.match(trace, / {2}├ Tasks\.run demo\/caption completed\n/)
      assert.match(trace, / {2}├ Tasks\.run demo\/caption failed TaskFailed\n/)
      assert.match(trace, / {2}├ Tasks\.run demo\/caption (\w+ )?interrupted\n/)
      assert.match(trace, / {2}└ Agents\.sendMessage\n.* {4}├ http\.client POST \/agents\/run 200\n/)
      assert.match(trace, /LocalServer\.task demo\/caption completed\n.*BaseApp\.start demo\/caption\n/)
      assert.include(trace, "Agents.toolCall get_weather\n")
      assert.include(metrics, "1  inference_tasks_total app=demo/caption outcome=completed\n")
      assert.include(metrics, "1  inference_operations_total operation=Agents.toolCall outcome=ok\n")
      for (const said of ["ferryman", "umbrella", "Lisbon"]) assert.notInclude(stdout, said)
    })
  )
})
