/**
 * How to test code that uses this package: mocks of its apps, a script of failures, the clock of the test, and what was asked.
 *
 * npx vitest run --config test/vitest.config.ts examples/testing.test.ts
 */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as TestClock from "effect/TestClock"
import { Agents, App, File, InferenceError, InferenceTest, Llm, Tasks, Tool } from "effect-inferencesh"

// ---- The code under test -------------------------------------------------------------------------------------------------

const Caption = App.make("acme/caption", {
  input: { image: File.File, words: Schema.optionalWith(Schema.Int, { default: () => 5 }) },
  output: { caption: Schema.String }
})

/** Captions a picture. Tries again where that can help, and gives up after a minute. */
const captionOf = (path: string) =>
  Tasks.run(Caption, { input: { image: File.fromPath(path) } }).pipe(
    Effect.retry({
      while: (error) => error._tag === "TaskFailed" || InferenceError.wasNotCarriedOut(error),
      schedule: Schedule.spaced("5 seconds"),
      times: 2
    }),
    Effect.map((task) => task.output.caption),
    Effect.timeoutTo({ duration: "1 minute", onSuccess: (caption) => caption, onTimeout: () => "a picture" })
  )

const stock = new Map([["pears", 3]])

const inStock = Tool.make("in_stock", {
  description: "How many there are of a fruit",
  params: { fruit: Schema.String },
  handler: ({ fruit }) => Effect.succeed(stock.get(fruit) ?? 0)
})

const answer = (question: string) =>
  Effect.gen(function* () {
    const agent = yield* Agents.create({ coreApp: "openrouter/claude-sonnet-5", tools: [inStock] })
    const reply = yield* agent.sendMessage(question)
    return reply.text
  })

// ---- Its tests -----------------------------------------------------------------------------------------------------------

/** Where the pictures of these tests are: a disk in memory. */
const contents = { "/cat.png": new Uint8Array([137, 80, 78, 71]) }

describe("captionOf", () => {
  it.effect("gives the caption of a picture", () =>
    Effect.gen(function* () {
      expect(yield* captionOf("/cat.png")).toBe("5 words on image/png")
      const [run] = yield* InferenceTest.runsOf(Caption)
      expect(run?.input.image.path).toBe("/cat.png")
    }).pipe(
      Effect.provide(
        InferenceTest.layer({
          apps: [
            InferenceTest.app(Caption, ({ image, words }) => ({ caption: `${words} words on ${image.contentType}` }))
          ],
          contents
        })
      )
    )
  )

  it.effect("tries again when the service is busy, and when the app fails", () =>
    Effect.gen(function* () {
      const fiber = yield* Effect.fork(captionOf("/cat.png"))
      yield* TestClock.adjust("20 seconds") // no test waits
      expect(yield* Fiber.join(fiber)).toBe("a cat")
      expect(yield* InferenceTest.runsOf(Caption)).toHaveLength(3)
    }).pipe(
      Effect.provide(
        InferenceTest.layer({
          apps: [
            InferenceTest.script(Caption, [
              { error: new InferenceError.RateLimited({ status: 429 }) },
              [{ log: "loading" }, { after: "1 second", fail: "out of memory" }],
              { after: "1 second", output: { caption: "a cat" } }
            ])
          ],
          contents
        })
      )
    )
  )

  it.effect("gives up after a minute, and cancels the task", () =>
    Effect.gen(function* () {
      const fiber = yield* Effect.fork(captionOf("/cat.png"))
      yield* TestClock.adjust("61 seconds")
      expect(yield* Fiber.join(fiber)).toBe("a picture")
    }).pipe(Effect.provide(InferenceTest.layer({ apps: [InferenceTest.app(Caption, () => Effect.never)], contents })))
  )
})

describe("answer", () => {
  it.effect("looks into the stock", () =>
    Effect.gen(function* () {
      expect(yield* answer("Are there pears?")).toBe("There are 3.")
    }).pipe(
      Effect.provide(
        InferenceTest.layer({
          apps: [
            Llm.scripted("openrouter/claude-sonnet-5", [
              { toolCalls: [{ name: "in_stock", arguments: { fruit: "pears" } }] },
              { response: "There are 3." }
            ])
          ]
        })
      )
    )
  )
})
