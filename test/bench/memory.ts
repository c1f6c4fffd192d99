/**
 * Uploads and downloads 300 MB and reports how much resident memory this process grew by: `npm run bench -- memory`. It fails
 * above 64 MB. The server runs in a process of its own.
 *
 * What is measured is growth over a process that has transferred 32 MB, with no forced garbage collection: after one, V8 lets
 * about 64 MB of off-heap buffers gather before it collects again, whatever the size of the transfer.
 */
import * as fs from "node:fs/promises"
import * as os from "node:os"
import * as path from "node:path"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import { File, Files } from "effect-inferencesh"
import { NodeInference } from "effect-inferencesh/node"
import { startServer } from "./startServer.js"

const megabyte = 1024 ** 2
const size = 300 * megabyte
const limit = 64 * megabyte

/** The most that resident memory rose above its start while the effect ran. */
const growthOf = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const start = process.memoryUsage.rss()
    let peak = start
    const sample = Effect.sync(() => {
      peak = Math.max(peak, process.memoryUsage.rss())
    })
    const value = yield* Effect.raceFirst(
      effect,
      Effect.repeat(sample, Schedule.spaced("10 millis")).pipe(Effect.zipRight(Effect.never))
    )
    return { value, growth: peak - start }
  })

const makeFile = (file: string, bytes: number) =>
  Effect.promise(async () => {
    const block = crypto.getRandomValues(new Uint8Array(65536))
    const handle = await fs.open(file, "w")
    for (let written = 0; written < bytes; written += block.length) await handle.write(block)
    await handle.close()
  })

export const main = Effect.gen(function* () {
  const directory = yield* Effect.acquireRelease(
    Effect.promise(() => fs.mkdtemp(path.join(os.tmpdir(), "inferencesh-bench-"))),
    (directory) => Effect.promise(() => fs.rm(directory, { recursive: true }))
  )
  const baseUrl = yield* startServer
  const big = path.join(directory, "big.bin")
  const small = path.join(directory, "small.bin")
  yield* makeFile(big, size)
  yield* makeFile(small, 32 * megabyte)

  const transfers = Effect.gen(function* () {
    // Code and buffers that any transfer needs are loaded before the measurement.
    const warm = yield* Files.upload(File.fromPath(small))
    yield* Stream.runDrain(Files.download(warm))

    const up = yield* growthOf(Files.upload(File.fromPath(big)))
    yield* report("upload", up.growth)
    const down = yield* growthOf(Stream.runFold(Files.download(up.value), 0, (sum, bytes) => sum + bytes.length))
    yield* report("download", down.growth)
    const saved = yield* growthOf(Files.downloadTo(up.value, directory))
    yield* report("download to disk", saved.growth)
    const spooled = yield* growthOf(Files.upload(File.stream(File.fromPath(big)).pipe(Stream.provideLayer(platform))))
    yield* report("upload of a stream of unknown size", spooled.growth)
    const complete = down.value === size && saved.value.size === size && spooled.value.size === size
    const worst = Math.max(up.growth, down.growth, saved.growth, spooled.growth)
    if (!complete || worst > limit) {
      return yield* Effect.fail(`expected whole transfers within ${limit / megabyte} MB of memory`)
    }
  })
  const platform = NodeInference.layer({ apiKey: Redacted.make("bench"), baseUrl })
  yield* Effect.provide(transfers, platform)
}).pipe(Effect.scoped)

const report = (what: string, growth: number) =>
  Console.log(`${what} of ${size / megabyte} MB: +${(growth / megabyte).toFixed(1)} MB resident`)
