/** Timeouts and races: whoever owns a task and goes away cancels it, unless told to leave it. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { App, BaseApp, Tasks } from "effect-inferencesh"
import { NodeInference } from "effect-inferencesh/node"
import * as Main from "./support/main.js"
import { print } from "./support/terminal.js"

const slow = App.make("acme/slow", { input: { millis: Schema.Int }, output: { text: Schema.String } })
const quick = App.make("acme/quick", { input: { millis: Schema.Int }, output: { text: Schema.String } })

/** Being cancelled is being interrupted: what an app has open is closed, in the usual way. */
const drawIn = (app: typeof slow | typeof quick) =>
  BaseApp.make(app, {
    run: ({ millis }) =>
      Effect.sleep(millis).pipe(
        Effect.as({ text: `drawn by ${app.name}` }),
        Effect.onInterrupt(() => print(`  ${app.name} was told to stop`))
      )
  })

const program = Effect.gen(function* () {
  yield* print("A timeout of 100 milliseconds")
  const late = yield* Tasks.run(slow, { input: { millis: 60_000 } }).pipe(Effect.timeoutOption("100 millis"))
  yield* print(`  ${Option.isNone(late) ? "too late" : "in time"}`)

  yield* print("A race of two apps")
  const winner = yield* Effect.race(
    Tasks.run(slow, { input: { millis: 60_000 } }),
    Tasks.run(quick, { input: { millis: 50 } })
  )
  yield* print(`  ${winner.output.text}`)

  yield* print("A timeout that leaves the task alone")
  const id = yield* Tasks.runStream(slow, { input: { millis: 400 }, onInterrupt: "leave" }).pipe(
    Stream.runHead,
    Effect.map((task) => Option.getOrThrow(task).id)
  )
  yield* print(`  left as ${(yield* Tasks.get(id)).status}`)
  const { status } = yield* Tasks.waitForCompletion(id)
  yield* print(`  ${status} all the same`)
})

Main.run(Effect.provide(program, NodeInference.layerLocal({ apps: [drawIn(slow), drawIn(quick)] })))
