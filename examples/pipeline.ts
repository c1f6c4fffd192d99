/** Several apps in a row, with retries, timeouts, a fallback app, bounded concurrency and progress. */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Schedule from "effect/Schedule"
import { InferenceError, Tasks } from "effect-inferencesh"
import { NodeInference } from "effect-inferencesh/node"
import * as Apps from "./pipeline/apps.js"
import * as Board from "./pipeline/board.js"
import * as Main from "./support/main.js"
import { bold, print } from "./support/terminal.js"

/** The prompt, by a model that is busy now and then. */
const describe = (subject: string) =>
  Tasks.run(Apps.Describe, { input: { subject } }).pipe(
    Effect.retry({
      while: (error) => error._tag === "TaskFailed" || InferenceError.wasNotCarriedOut(error),
      schedule: Schedule.exponential("20 millis"),
      times: 3
    }),
    Effect.map(({ output }) => output.prompt)
  )

/** The picture: by the good painter within its time, else by the fast one. A painter that is too late is cancelled. */
const paint = (prompt: string) =>
  Tasks.run(Apps.Painter, { input: { prompt } }).pipe(
    Effect.timeout("2 seconds"),
    Effect.catchTags({
      TimeoutException: () => Tasks.run(Apps.Sketcher, { input: { prompt } }),
      TaskFailed: () => Tasks.run(Apps.Sketcher, { input: { prompt } })
    }),
    Effect.map(({ output }) => output.image)
  )

const rate = (image: typeof Apps.Image.Type) =>
  Effect.map(Tasks.run(Apps.Rate, { input: { image } }), ({ output }) => output.stars)

/** One item, from its subject to a rated picture. What it is at shows on the board. */
const makePicture = (subject: string) =>
  Effect.gen(function* () {
    yield* Board.at(subject, "describing")
    const prompt = yield* describe(subject)
    yield* Board.at(subject, "painting")
    const image = yield* paint(prompt)
    yield* Board.at(subject, "rating")
    const stars = yield* rate(image)
    yield* Board.at(subject, "done")
    return { image, stars }
  }).pipe(Effect.tapError(() => Board.at(subject, "failed")))

const subjects = ["a cat", "a stormy sea", "the moon", "a fish", "a secret", "an owl"]

const program = Effect.gen(function* () {
  yield* print(bold(`${subjects.length} pictures, three at a time`))
  const pictures = yield* Effect.forEach(subjects, (subject) => Effect.either(makePicture(subject)), {
    concurrency: 3
  }).pipe(Effect.provide(Board.layer(subjects)))

  yield* print()
  for (const [i, picture] of pictures.entries()) {
    const result = Either.match(picture, {
      onRight: ({ image, stars }) => `${"★".repeat(stars).padEnd(5)}  ${image.filename}`,
      onLeft: (error) => `       ${error._tag === "TaskFailed" ? error.task.error : error.message}`
    })
    yield* print(`${subjects[i]?.padEnd(12)}  ${result}`)
  }
})

Main.run(Effect.provide(program, NodeInference.layerLocal({ apps: Apps.all })))
