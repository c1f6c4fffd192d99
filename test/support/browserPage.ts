/** The program of a page: it runs in a browser, and reports what came of it to the server that the page is from. */
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { Agents, BrowserInference, File, Files, Tasks, Tool } from "effect-inferencesh"

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes)

const asFile = (value: unknown) => (typeof value === "string" ? File.fromUri(value) : File.fromBytes(new Uint8Array()))

const reverse = (file: Blob | Uint8Array) =>
  Effect.flatMap(Tasks.run("acme/reverse", { input: { file } }), ({ output }) => {
    const { file } = Object(output)
    return Effect.map(File.bytes(asFile(file)), text)
  })

const time = Tool.make("time", {
  description: "",
  params: {},
  handler: () => Effect.succeed(`read in ${typeof document}`)
})

const failure = <A, E extends { readonly _tag: string; readonly message: string }, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.map(Effect.flip(effect), ({ _tag, message }) => ({ _tag, message }))

const program = Effect.gen(function* () {
  const agent = yield* Agents.create("acme/helper", { tools: [time] })
  const events = yield* Stream.runCollect(agent.chat("what time is it?"))
  return {
    blob: yield* reverse(new Blob(["abc"], { type: "text/plain" })),
    file: yield* reverse(new globalThis.File(["def"], "b.txt")),
    bytes: yield* reverse(new TextEncoder().encode("ghi")),
    counts: yield* Tasks.runStream("acme/counter", { input: { to: 3, every: 100 } }).pipe(
      Stream.map(({ output }): unknown => Object(output).count),
      Stream.filter((count) => count !== undefined),
      Stream.changes,
      Stream.runCollect,
      Effect.map(Chunk.toReadonlyArray)
    ),
    polled: (yield* Tasks.run("acme/echo", { input: { text: "hi" }, transport: "poll" })).output,
    events: Array.from(events, ({ _tag }) => _tag),
    reply: (yield* agent.sendMessage("and now?")).text,
    failed: yield* failure(Tasks.run("acme/failing", { input: { message: "no luck" } })),
    refused: yield* failure(Tasks.run("other/secret", { input: {} })),
    path: yield* failure(Files.upload(File.fromPath("./cat.png"))),
    left: yield* Effect.raceFirst(
      Tasks.run("acme/never", { input: {} }),
      Effect.promise(() => fetch("/started").then((response) => response.text()))
    )
  }
}).pipe(Effect.provide(BrowserInference.layerProxy({ proxyUrl: "/api/inference/proxy", pollInterval: "10 millis" })))

const report = (body: unknown) => fetch("/report", { method: "POST", body: JSON.stringify(body) })

Effect.runPromise(program).then(report, (error) => report({ error: String(error) }))
