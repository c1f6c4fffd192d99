/** An upload with its progress, one upload for two runs, a file as output, and downloads. */
import * as FileSystem from "@effect/platform/FileSystem"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { App, BaseApp, File, Files, Tasks } from "effect-inferencesh"
import { NodeInference } from "effect-inferencesh/node"
import * as Main from "./support/main.js"
import { bytes, print } from "./support/terminal.js"

const Shout = App.make("acme/shout", {
  input: { text: File.File, times: Schema.Int },
  output: { text: File.File }
})

/** The file of the input is read as a stream, and that of the output is written as one. */
const shout = BaseApp.make(Shout, {
  run: ({ text, times }) =>
    Effect.map(Stream.mkString(Stream.decodeText(File.stream(text))), (read) => ({
      text: File.fromStream(Stream.encodeText(Stream.repeatValue(read.toUpperCase()).pipe(Stream.take(times))), {
        filename: `${times}-${text.filename}`
      })
    }))
})

const program = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  const directory = yield* fs.makeTempDirectoryScoped()
  yield* fs.writeFileString(`${directory}/poem.txt`, "the cat went to sea\n".repeat(10_000))

  const poem = yield* Files.uploadStream(File.fromPath(`${directory}/poem.txt`)).pipe(
    Stream.tap((event) =>
      event._tag === "Progress" && event.sent === event.total ? print(`sent      ${bytes(event.sent)}`) : Effect.void
    ),
    Files.uploaded
  )
  yield* print(`uploaded  ${poem.filename}, ${poem.contentType}`)

  // It is at the service now: both runs are given its URL.
  const tasks = yield* Effect.forEach([1, 3], (times) => Tasks.run(Shout, { input: { text: poem, times } }))
  for (const { output } of tasks) {
    const saved = yield* Files.downloadTo(output.text, `${directory}/results`)
    yield* print(`saved     ${saved.filename}, ${bytes(saved.size)}`)
  }

  // What has been downloaded once is there.
  const [first] = tasks
  const again = first && (yield* Files.downloadTo(first.output.text, `${directory}/results`))
  yield* print(`again     ${again?.filename}`)

  // A text in an input is a text, whatever it looks like: only files are uploaded.
  const greeting = File.fromBytes(new TextEncoder().encode("hello\n"), { filename: "hello.txt" })
  const { output } = yield* Tasks.run(Shout, { input: { text: greeting, times: 1 } })
  yield* print(`inline    ${new TextDecoder().decode(yield* File.bytes(output.text)).trim()}`)
}).pipe(Effect.scoped)

Main.run(Effect.provide(program, NodeInference.layerLocal({ apps: [shout] })))
