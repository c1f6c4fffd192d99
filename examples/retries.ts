/** The client repeats what is safe to repeat; whether a failed task is run again is decided here. */
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Ref from "effect/Ref"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import { App, BaseApp, InferenceError, Tasks } from "effect-inferencesh"
import { NodeInference } from "effect-inferencesh/node"
import * as Main from "./support/main.js"
import { print } from "./support/terminal.js"

class OutOfMemory extends Data.TaggedError("OutOfMemory")<{ readonly message: string }> {}

const Draw = App.make("acme/draw", { input: { prompt: Schema.NonEmptyString }, output: { picture: Schema.String } })

/** An app that fails twice before it works. */
const draw = BaseApp.make(Draw, {
  setup: () => Ref.make(0),
  run: ({ prompt }, runs) =>
    Effect.flatMap(
      Ref.updateAndGet(runs, (n) => n + 1),
      (n) =>
        n < 3
          ? Effect.fail(new OutOfMemory({ message: `out of memory in run ${n}` }))
          : Effect.succeed({ picture: `${prompt} in oil` })
    )
})

/** A failed task is worth another try, and so is what cannot have begun one. Anything else would fail again, or run twice. */
const isWorthAnother = (error: Tasks.RunError) => error._tag === "TaskFailed" || InferenceError.wasNotCarriedOut(error)

const stubborn = (prompt: string) =>
  Tasks.run(Draw, { input: { prompt } }).pipe(
    Effect.tapError((error) => print(`  ${error._tag === "TaskFailed" ? error.task.error : error._tag}`)),
    Effect.retry({ while: isWorthAnother, schedule: Schedule.jittered(Schedule.exponential("50 millis")), times: 4 })
  )

const program = Effect.gen(function* () {
  yield* print("a cat")
  const [took, { output }] = yield* Effect.timed(stubborn("a cat"))
  yield* print(`  ${output.picture}, after ${Math.round(Duration.toSeconds(took) * 100) / 100} s`)

  yield* print("nothing")
  yield* stubborn("").pipe(Effect.catchTag("InvalidRequest", () => print("  given up at once")))
})

Main.run(Effect.provide(program, NodeInference.layerLocal({ apps: [draw] })))
