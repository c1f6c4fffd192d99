/**
 * Serves apps in a process of its own, and prints its address. The argument holds options of the server, as JSON. With `--expose-gc`
 * the app `test/gauge` measures the process.
 */
import { createServer } from "node:http"
import * as HttpServer from "@effect/platform/HttpServer"
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { App, BaseApp, LocalServer } from "effect-inferencesh"

const runs = new Map<number, number>()

/** Counts how often it ran with each input. */
const echo = BaseApp.make(App.make("test/echo", { input: { n: Schema.Int }, output: { n: Schema.Int } }), {
  concurrency: 1000,
  run: ({ n }) =>
    Effect.sync(() => {
      runs.set(n, (runs.get(n) ?? 0) + 1)
      return { n }
    })
})

const never = BaseApp.make(App.make("test/never", { input: {}, output: {} }), {
  concurrency: 1000,
  run: () => Effect.never
})

const gauge = BaseApp.make(
  App.make("test/gauge", { input: {}, output: { bytes: Schema.Int, inputs: Schema.Int, runs: Schema.Int } }),
  {
    run: () =>
      Effect.sync(() => {
        global.gc?.()
        const { heapUsed, external } = process.memoryUsage()
        return {
          bytes: heapUsed + external,
          inputs: runs.size,
          runs: Array.from(runs.values()).reduce((sum, times) => sum + times, 0)
        }
      })
  }
)

const options: Omit<LocalServer.Options, "apps"> = JSON.parse(process.argv[2] ?? "{}")

Layer.scopedDiscard(HttpServer.addressFormattedWith((address) => Console.log(address))).pipe(
  Layer.provideMerge(LocalServer.layer({ ...options, apps: [echo, never, gauge] })),
  Layer.provide(NodeHttpServer.layer(createServer, { host: "127.0.0.1", port: 0 })),
  Layer.provide(NodeContext.layer),
  Layer.launch,
  NodeRuntime.runMain
)
