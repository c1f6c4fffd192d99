/** Follows a run: outputs as they are written, the log, and another task by its id. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { App, BaseApp, Task, Tasks } from "effect-inferencesh"
import { NodeInference } from "effect-inferencesh/node"
import * as Main from "./support/main.js"
import { bold, dim, print } from "./support/terminal.js"

const Story = App.make("acme/story", { input: { about: Schema.String }, output: { text: Schema.String } })

/** An app that writes word by word: each value of its stream is the output so far. */
const story = BaseApp.make(Story, {
  run: ({ about }) =>
    Stream.fromIterable(`Once there was ${about} that went to sea.`.split(/(?<= )/)).pipe(
      Stream.scan("", (text, word) => text + word),
      Stream.drop(1),
      Stream.map((text) => ({ text })),
      Stream.tap(({ text }) =>
        Effect.flatMap(BaseApp.Context, ({ log }) => log(`${text.length} characters`)).pipe(
          Effect.when(() => text.endsWith("."))
        )
      ),
      Stream.tap(() => Effect.sleep("20 millis"))
    )
})

const program = Effect.gen(function* () {
  yield* print(bold("A task, from its start to its end"))
  const task = yield* Tasks.runStream(Story, { input: { about: "a cat" } }).pipe(
    // Every state comes once, in order. Snapshots accumulate: `output` is all that was written so far.
    Stream.zipWithPrevious,
    Stream.tap(([before, { status, output }]) =>
      before._tag === "Some" && before.value.output?.text === output?.text
        ? Effect.void
        : print(`${status.padEnd(9)}  ${output?.text ?? ""}`.trimEnd())
    ),
    Stream.map(([, task]) => task),
    Tasks.completed
  )
  for (const { content } of Task.newLogs(task)) yield* print(dim(`log        ${content}`))

  yield* print(`\n${bold("Another, that nobody waits for")}`)
  const { id } = yield* Tasks.submit(Story, { input: { about: "a dog" } })
  yield* print("submitted")
  // Any program that knows the id can attach to it, and only observes.
  const completed = yield* Effect.flatMap(Tasks.waitForCompletion(id), (task) => App.decodeOutput(Story, task))
  yield* print(`completed  ${completed.output.text}`)
})

Main.run(Effect.provide(program, NodeInference.layerLocal({ apps: [story] })))
