// Run against the packed package: an app on a port, called through the proxy on another, with a file from disk.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { createServer } from "node:http"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as HttpServer from "@effect/platform/HttpServer"
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { App, BaseApp, BrowserInference, File, LocalServer, Proxy, Tasks } from "effect-inferencesh"
import { NodeInference } from "effect-inferencesh/node"

const Length = App.make("smoke/length", { input: { file: File.File }, output: { bytes: Schema.Int } })

const length = BaseApp.make(Length, {
  run: ({ file }) =>
    Stream.concat(
      Stream.make({ bytes: 0 }),
      Stream.fromEffect(Effect.map(Effect.orDie(File.bytes(file)), (bytes) => ({ bytes: bytes.length })))
    )
})

const apiKey = Redacted.make("inf_smoke")

const serve = (app) =>
  Effect.gen(function* () {
    const context = yield* Layer.build(
      Layer.fresh(NodeHttpServer.layer(() => createServer(), { host: "127.0.0.1", port: 0 }))
    )
    yield* Effect.provide(HttpServer.serveEffect(app), context)
    return yield* Effect.provide(HttpServer.addressFormattedWith(Effect.succeed), context)
  })

const directory = mkdtempSync(join(tmpdir(), "effect-inferencesh-smoke-"))
const path = join(directory, "zeros.bin")
writeFileSync(path, new Uint8Array(300_000))

const program = Effect.gen(function* () {
  const baseUrl = yield* serve(yield* LocalServer.make({ apps: [length], apiKey }))
  const proxyUrl = yield* serve(Proxy.httpApp({ apiKey, baseUrl, authorize: () => Effect.succeed(true) }))
  const run = (file) => Effect.map(Tasks.run(Length, { input: { file } }), ({ output }) => output.bytes)
  return [
    yield* Effect.provide(run(File.fromPath(path)), NodeInference.layer({ apiKey, baseUrl })),
    yield* Effect.provide(run(File.fromBlob(new Blob(["abc"]))), BrowserInference.layerProxy({ proxyUrl }))
  ]
}).pipe(Effect.scoped, Effect.provide(NodeInference.layer({ apiKey })), Effect.provide(NodeContext.layer))

const counted = await Effect.runPromise(program)
rmSync(directory, { recursive: true })
if (counted.join() !== "300000,3") throw new Error(`the app counted ${counted.join()} bytes`)
console.log("called with a file from disk, and through the proxy")
