import * as os from "node:os"
import * as path from "node:path"
import { pathToFileURL } from "node:url"
import * as FileSystem from "@effect/platform/FileSystem"
import * as Effect from "effect/Effect"
import { build } from "esbuild"

/** As much of the official client as the benchmarks use. */
interface Client {
  readonly run: (
    params: { readonly app: string; readonly input: unknown },
    options?: { readonly onUpdate?: (task: { readonly output?: unknown }) => void }
  ) => Promise<{ readonly output: unknown }>
}

interface Module {
  readonly inference: (options: { readonly apiKey: string; readonly baseUrl: string }) => Client
}

/** The official JavaScript SDK. Its published ESM does not load on Node: a bundle of it does. */
export const load = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  const directory = yield* fs.makeTempDirectoryScoped({ directory: os.tmpdir(), prefix: "inferencesh-sdk-" })
  const outfile = path.join(directory, "sdk.mjs")
  const entry = "@inferencesh/sdk"
  yield* Effect.promise(() =>
    build({ entryPoints: [entry], outfile, bundle: true, format: "esm", platform: "node", logLevel: "error" })
  )
  return yield* Effect.promise((): Promise<Module> => import(pathToFileURL(outfile).href))
})
