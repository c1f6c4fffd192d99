/**
 * Every ```ts block of the README runs as it is written: what it defines is run over stand-ins for the apps that it names, programs
 * are started, and tests are tests.
 */

import { readFileSync } from "node:fs"
import { createServer } from "node:http"
import { fileURLToPath } from "node:url"
import * as FileSystem from "@effect/platform/FileSystem"
import * as HttpServer from "@effect/platform/HttpServer"
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { assert, describe, layer } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import { InferenceError, LocalServer } from "effect-inferencesh"
import { run } from "./readme/run.js"
import { type Snippet, snippetsOf } from "./readme/snippets.js"
import * as StandIns from "./readme/standIns.js"

const snippetsIn = (path: string) => snippetsOf(fileURLToPath(new URL(path, import.meta.url)))

/** A server with the stand-ins on a free port, the variables that lead there, and a working directory with the files of the README. */
class Surroundings extends Context.Tag("test/Surroundings")<Surroundings, Readonly<Record<string, string>>>() {
  static readonly layer = Layer.scoped(
    Surroundings,
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const directory = yield* fs.makeTempDirectoryScoped({ prefix: "readme-" })
      yield* fs.writeFileString(`${directory}/cat.png`, "a cat")
      yield* fs.writeFileString(`${directory}/film.mp4`, "a film")
      const before = process.cwd()
      yield* Effect.acquireRelease(
        Effect.sync(() => process.chdir(directory)),
        () => Effect.sync(() => process.chdir(before))
      )
      const address = yield* HttpServer.addressFormattedWith(Effect.succeed)
      return {
        INFERENCE_API_KEY: "inf_test",
        INFERENCE_BASE_URL: address,
        OPENAI_API_KEY: "sk-test",
        OPENAI_BASE_URL: `${address}/openai`,
        PORT: "0"
      }
    })
  ).pipe(
    Layer.provide(
      LocalServer.layer({
        apps: StandIns.apps,
        agents: StandIns.agents,
        apiKey: Redacted.make("inf_test"),
        middleware: StandIns.withOpenAi
      })
    ),
    Layer.provide(NodeHttpServer.layer(createServer, { host: "127.0.0.1", port: 0 })),
    Layer.provide(NodeContext.layer)
  )
}

// Before the next suite: `layer` takes the clock of tests from the `it` of all that comes after.
describe("the README", () => {
  for (const snippet of snippetsIn("../README.md").filter(({ kind }) => kind === "tests")) {
    describe(`has tests on line ${snippet.line} that pass`, () => import(/* @vite-ignore */ snippet.id))
  }
})

layer(Surroundings.layer, { excludeTestServices: true })("the README", (it) => {
  const runs = (snippet: Snippet) => Effect.flatMap(Surroundings, (env) => run(snippet, env))

  for (const snippet of snippetsIn("../README.md").filter(({ kind }) => kind !== "tests")) {
    it.effect(`has a snippet on line ${snippet.line} that runs`, () => runs(snippet))
  }

  const text = readFileSync(new URL("../README.md", import.meta.url), "utf8")
  const found = (pattern: RegExp) => Array.from(text.matchAll(pattern), ([, group = ""]) => group)

  it.effect("links to headings that there are", () =>
    Effect.sync(() => {
      const slugs = found(/^#+ (.*)$/gm).map((title) => title.toLowerCase().replace(/[^\w -]/g, ""))
      for (const link of found(/\]\(#([^)]+)\)/g)) assert.include(slugs, link.replaceAll("-", " "))
    })
  )

  it.effect("lists each error", () =>
    Effect.sync(() => {
      const isError = (value: unknown) => typeof value === "function" && value.prototype instanceof Error
      const names = Object.entries(InferenceError).flatMap(([name, value]) => (isError(value) ? [name] : []))
      // The tables to move by have names in their first column, too.
      const listed = found(/^\| `([A-Z]\w+)` \|/gm).filter((name) => name !== "AppSetup")
      assert.sameMembers(listed, names)
    })
  )

  const refusals = [
    "broken when it is loaded",
    "broken when it is run",
    "broken on the way",
    "it defines nothing that can be run",
    "acme/unheard-of",
    "it ended with 1",
    "broken as a tool"
  ]
  for (const [index, snippet] of snippetsIn("readme/broken.md").entries()) {
    it.effect(`would not get away with the snippet on line ${snippet.line} of broken.md`, () =>
      Effect.map(Effect.flip(Effect.sandbox(runs(snippet))), (cause) =>
        assert.include(Cause.pretty(cause), refusals[index] ?? "what it is refused for")
      )
    )
  }
})
