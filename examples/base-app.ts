/** An app of our own, called by its contract: by itself, then on a server inside of this program. */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { BaseApp, File, Tasks } from "effect-inferencesh"
import { NodeInference } from "effect-inferencesh/node"
import { Summary, summary } from "./base-app/summary.js"
import * as Main from "./support/main.js"
import { bold, dim, print } from "./support/terminal.js"

const letter = `The river was high that spring. Every morning the ferryman looked at the river and shook his head.
His mother had kept the ferry before him. A ferry that does not cross the river is only a boat, she used to say.
On the ninth day he crossed.`

/** A file of a text, as a stream: it is read piece by piece. */
const text = File.fromStream(Stream.encodeText(Stream.fromIterable(letter.split(/(?<=\n)/)).pipe(Stream.rechunk(1))), {
  filename: "ferry.txt"
})

const program = Effect.gen(function* () {
  yield* print(bold("By itself"))
  yield* BaseApp.start(summary).pipe(
    Effect.flatMap((instance) =>
      instance.run({ text, sentences: 1 }, { log: (line) => print(dim(`  log: ${line}`)) }).pipe(
        Stream.tap(({ summary }) => print(`  ${summary.join(" ")}`)),
        Stream.runDrain
      )
    ),
    Effect.scoped
  )

  yield* print(`\n${bold("As a task")}`)
  const { id, output } = yield* Tasks.run(Summary, { input: { text }, setup: { ignore: "the a of that is" } })
  for (const sentence of output.summary) yield* print(`  ${sentence}`)
  const { logs } = yield* Tasks.logs(id)
  for (const { content } of logs) yield* print(dim(`  log: ${content}`))
})

Main.run(Effect.provide(program, NodeInference.layerLocal({ apps: [summary] })))
