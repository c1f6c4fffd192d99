// Run against the packed package: an app of one's own, through the whole of the client, with no network.

import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { App, BaseApp, File, Tasks } from "effect-inferencesh"
import { NodeInference } from "effect-inferencesh/node"

const Length = App.make("smoke/length", { input: { file: File.File }, output: { bytes: Schema.Int } })

const length = BaseApp.make(Length, {
  run: ({ file }) => Effect.map(Effect.orDie(File.bytes(file)), (bytes) => ({ bytes: bytes.length }))
})

const program = Tasks.run(Length, { input: { file: File.fromBytes(new Uint8Array(1000), { filename: "zeros.bin" }) } })

const task = await Effect.runPromise(Effect.provide(program, NodeInference.layerLocal({ apps: [length] })))

if (task.output.bytes !== 1000) throw new Error(`the app counted ${task.output.bytes} bytes`)
