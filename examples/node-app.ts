/** An app for the platform's Node runtime: its schemas, its entry file, and hosting such a file. */
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { App, BaseApp, OutputMeta, Tasks } from "effect-inferencesh"
import { NodeInference } from "effect-inferencesh/node"
import * as Main from "./support/main.js"
import { bold, print } from "./support/terminal.js"

const Count = App.make("acme/count", {
  input: { text: Schema.String.annotations({ description: "A text of any length" }) },
  output: { words: Schema.Int, outputMeta: OutputMeta.field }
})

const count = BaseApp.make(Count, {
  run: ({ text }) => {
    const words = text.split(/\s+/).length
    return Effect.succeed({ words, outputMeta: OutputMeta.make({ inputs: [OutputMeta.text({ tokens: words })] }) })
  }
})

/** What `inference.js` exports: `export const { App, RunInput, RunOutput } = …`. */
const entry = BaseApp.toNodeModule(count, NodeContext.layer)

const program = Effect.gen(function* () {
  yield* print(bold("What it is published with"))
  const { input } = yield* BaseApp.jsonSchemas(count)
  yield* print(JSON.stringify(input))

  yield* print(`\n${bold("Its entry file, hosted like one that was written with zod")}`)
  yield* print(Object.keys(entry).join(" "))
  const { output } = yield* Tasks.run("acme/hosted", { input: { text: "so it goes" } }).pipe(
    Effect.provide(NodeInference.layerLocal({ apps: [BaseApp.fromNodeModule("acme/hosted", entry)] }))
  )
  yield* print(JSON.stringify(output))
})

Main.run(program)
