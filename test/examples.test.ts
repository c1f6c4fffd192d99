/** What the examples print. They run in this process, one after the other; hosting and tracing run in one of their own. */
import { readdirSync, readFileSync } from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { vi } from "vitest"
import { runExample } from "./support/example.js"

const { programs } = vi.hoisted(() => ({ programs: [] as Effect.Effect<unknown, unknown>[] }))

vi.mock("../examples/support/main.js", () => ({
  run: (program: Effect.Effect<unknown, unknown>) => programs.push(program)
}))

/** What an example prints. */
const output = (name: string) =>
  Effect.gen(function* () {
    yield* Effect.promise(() => import(`../examples/${name}.ts`))
    let printed = ""
    const write = yield* Effect.acquireRelease(
      Effect.sync(() =>
        vi.spyOn(process.stdout, "write").mockImplementation((text, encodingOrDone?: unknown, done?: unknown) => {
          printed += text
          const written = typeof encodingOrDone === "function" ? encodingOrDone : done
          if (typeof written === "function") written()
          return true
        })
      ),
      (spy) => Effect.sync(() => spy.mockRestore())
    )
    yield* programs.pop() ?? Effect.dieMessage(`${name} runs nothing`)
    assert.isAbove(write.mock.calls.length, 0)
    return printed
  }).pipe(Effect.scoped)

const prints = (name: string, expected: string) =>
  Effect.map(output(name), (printed) => assert.strictEqual(printed, expected.replace(/^\n/, "")))

describe("the examples", () => {
  const names = readdirSync(`${import.meta.dirname}/../examples`)
    .filter((name) => /^[^.]+\.ts$/.test(name))
    .map((name) => name.slice(0, -".ts".length))

  it("are each run by a test", () => {
    const texts = readdirSync(import.meta.dirname, { withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map(({ name }) => readFileSync(`${import.meta.dirname}/${name}`, "utf8"))
    const isRun = (name: string) => texts.some((text) => new RegExp(`\\(\\s*"${name}"`).test(text))
    assert.deepStrictEqual(
      names.filter((name) => !isRun(name)),
      []
    )
  })

  it("are each named by the README, and no others", () => {
    const readme = readFileSync(`${import.meta.dirname}/../README.md`, "utf8")
    const named = Array.from(readme.matchAll(/npm run example ([\w-]+)/g), ([, name]) => name)
    assert.deepStrictEqual([...new Set([...named, "quickstart"])].toSorted(), names)
  })
})

describe("the example", { timeout: 60_000 }, () => {
  it.live("typed-app fills in defaults, decodes dates, and refuses what does not fit", () =>
    prints(
      "typed-app",
      `
once:   2027-03-01T09:00:00.000Z
weekly: 2027-03-01 2027-03-08 2027-03-15
wrong:  input.text
`
    )
  )

  it.live("streaming shows a text that grows, and attaches to a task by its id", () =>
    Effect.map(output("streaming"), (printed) => {
      const texts = Array.from(printed.matchAll(/^running {4}(.*)$/gm), ([, text = ""]) => text)
      assert.isNotEmpty(texts)
      for (const [i, text] of texts.entries()) assert.isTrue(text.startsWith(texts[i - 1] ?? "Once"))
      assert.include(printed, "running    Once there was a cat that went to sea.\nlog        38 characters\n")
      assert.include(printed, "submitted\ncompleted  Once there was a dog that went to sea.\n")
    })
  )

  it.live("cancellation cancels what nobody waits for, and leaves what it is told to leave", () =>
    Effect.map(output("cancellation"), (printed) => {
      assert.strictEqual(printed.match(/acme\/slow was told to stop/g)?.length, 2)
      assert.include(printed, "  too late\n")
      assert.include(printed, "  drawn by acme/quick\n")
      assert.match(printed, / {2}left as (received|running)\n {2}completed all the same\n$/)
    })
  )

  it.live("retries runs what failed again, and only that", () =>
    Effect.map(output("retries"), (printed) =>
      assert.strictEqual(
        printed.replace(/[\d.]+ s/, "# s"),
        `a cat
  out of memory in run 1
  out of memory in run 2
  a cat in oil, after # s
nothing
  InvalidRequest
  given up at once
`
      )
    )
  )

  it.live("batch gives all results in their order, also that one failed", () =>
    prints(
      "batch",
      `
cat             3
albatross       9
hippopotamuses  14 letters are too many
ox              2
dog             3
chameleon       9
eel             3
axolotl         7
7 of 8 succeeded
`
    )
  )

  it.live("files uploads once, runs twice, and downloads the results", () =>
    prints(
      "files",
      `
sent      200 kB
uploaded  poem.txt, text/plain
saved     1-poem.txt, 200 kB
saved     3-poem.txt, 600 kB
again     1-poem.txt
inline    HELLO
`
    )
  )

  it.live("structured-output gives a decoded value, after a correction by the model", () =>
    prints(
      "structured-output",
      `
the model is told: {"error":"the arguments do not fit the schema: due is missing"}
Plums and Sons: 42.00 by 2027-05-31
`
    )
  )

  it.live("approvals runs what was approved, and tells the model what was denied", () =>
    Effect.map(output("approvals"), (printed) => {
      for (const line of ["approved  draft.txt", "denied    thesis.txt", "left      notes.txt thesis.txt"])
        assert.include(printed, `${line}\n`)
      assert.match(printed, /^model {5}.*draft\.txt is gone.*thesis\.txt is to be kept/m)
    })
  )

  it.live("node-app hosts its own entry file", () =>
    Effect.map(output("node-app"), (printed) => {
      assert.include(printed, '"text":{"type":"string","description":"A text of any length"}')
      assert.include(printed, 'App RunInput RunOutput\n{"words":3,')
    })
  )

  it.live("requests adds a header to some calls, and asks for what has no function", () =>
    prints(
      "requests",
      `
POST /apps/run  x-team-id: t1
GET  /tasks/{id}/stream  x-team-id: t1
acme/echo: Says what it is told.
acme/nothing: NotFound (404)
`
    )
  )

  it.live("pipeline retries, falls back, and goes on without what cannot be made", () =>
    Effect.map(output("pipeline"), (printed) => {
      const [display = "", results = ""] = printed.split("\n\n")
      assert.match(display, /^a cat {9}describing\n[\s\S]*^a cat {9}done$/m)
      // Painted too slowly, and not at all.
      assert.include(results, "a stormy sea  ★★★    a-stormy-sea-sketch.svg\n")
      assert.include(results, "the moon      ★★★    the-moon-sketch.svg\n")
      assert.include(results, "a secret             no words for a secret\n")
      assert.match(results, /^an owl {8}★+ {2,4}an-owl-(oil|sketch)\.svg$/m)
    })
  )

  it.live("hosting serves, refuses a wrong key, and ends by itself", () =>
    Effect.map(runExample("hosting"), ({ code, stdout, stderr }) => {
      assert.deepStrictEqual({ code, stderr }, { code: 0, stderr: "" })
      assert.match(
        stdout,
        /^serving {3}http:\/\/127\.0\.0\.1:\d+\nrefused {3}with 401\nloaded {4}acme\/greet\nanswered {2}Hello, Ada!\nunloaded {2}acme\/greet\n$/
      )
    })
  )

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
    // In a process of its own, since metrics are those of the process.
    Effect.map(runExample("tracing"), ({ stdout, stderr }) => {
      assert.strictEqual(stderr, "")
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
