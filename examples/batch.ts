/** Many runs, a few at a time, with a progress display. One that fails does not stop the others. */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Ref from "effect/Ref"
import * as Schema from "effect/Schema"
import { App, BaseApp, Tasks } from "effect-inferencesh"
import { NodeInference } from "effect-inferencesh/node"
import * as Main from "./support/main.js"
import * as Terminal from "./support/terminal.js"

class TooLong extends Data.TaggedError("TooLong")<{ readonly message: string }> {}

const Count = App.make("acme/count", { input: { text: Schema.String }, output: { letters: Schema.Int } })

const count = BaseApp.make(Count, {
  concurrency: 3,
  run: ({ text }) =>
    text.length > 12
      ? Effect.fail(new TooLong({ message: `${text.length} letters are too many` }))
      : Effect.delay(Effect.succeed({ letters: text.length }), 20 * text.length)
})

const words = ["cat", "albatross", "hippopotamuses", "ox", "dog", "chameleon", "eel", "axolotl"]

const program = Effect.gen(function* () {
  const done = yield* Ref.make(0)
  const progress = Effect.map(Ref.get(done), (n) => `${Terminal.bar(n / words.length)}  ${n} of ${words.length} words`)
  yield* Terminal.animate(progress)

  const results = yield* Effect.forEach(
    words,
    (text) =>
      Tasks.run(Count, { input: { text } }).pipe(Effect.either, Effect.ensuring(Ref.update(done, (n) => n + 1))),
    { concurrency: 3 } // three tasks at a time: the rest is not even submitted
  )
  for (const [i, result] of results.entries()) {
    yield* Terminal.print(
      Either.match(result, {
        onRight: ({ output }) => `${words[i]?.padEnd(14)}  ${output.letters}`,
        onLeft: (error) => `${words[i]?.padEnd(14)}  ${error._tag === "TaskFailed" ? error.task.error : error.message}`
      })
    )
  }
  yield* Terminal.print(`${results.filter(Either.isRight).length} of ${words.length} succeeded`)
}).pipe(Effect.scoped)

Main.run(Effect.provide(program, NodeInference.layerLocal({ apps: [count] })))
