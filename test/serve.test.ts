/** The command that serves the apps of a module, as its users see it. */
import { createServer } from "node:http"
import * as os from "node:os"
import * as path from "node:path"
import * as FileSystem from "@effect/platform/FileSystem"
import * as NodeContext from "@effect/platform-node/NodeContext"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { startProcess } from "./support/startProcess.js"

/** Starts the command. It has ended by the end of the scope. */
const start = (args: ReadonlyArray<string>) =>
  startProcess(["src/bin.ts", ...args], { cwd: new URL("..", import.meta.url) })

const run = (...args: ReadonlyArray<string>) => Effect.scoped(Effect.flatMap(start(args), ({ ended }) => ended))

/** A module of its own, in a temporary folder. */
const module = (name: string, text: string) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const directory = yield* fs.makeTempDirectoryScoped({ directory: os.tmpdir(), prefix: "serve-" })
    const file = path.join(directory, name)
    yield* fs.writeFileString(file, text)
    return file
  }).pipe(Effect.provide(NodeContext.layer))

describe("serve", { timeout: 60_000 }, () => {
  it.scopedLive("serves the apps of a TypeScript module, says how to reach them, and logs requests", () =>
    Effect.gen(function* () {
      const { child, ended, printed } = yield* start(["serve", "examples/session/stock.ts", "--port", "0"])
      const [, url = ""] = yield* printed(/Serving one app at (http:\S+)\n\n {2}acme\/stock \(put, take, list\)\n/)
      const [, body = ""] = yield* printed(/curl \S+\/apps\/run .* -d '(.*)'\n/)
      assert.deepStrictEqual(JSON.parse(body), {
        app: "acme/stock",
        function: "put",
        input: { item: "text", count: 1 },
        wait: true
      })
      const headers = { authorization: "Bearer any-key", "content-type": "application/json" }
      const answered = yield* Effect.promise(async () => {
        const response = await fetch(`${url}/apps/run?secret=1`, { method: "POST", headers, body })
        return response.json()
      })
      assert.deepStrictEqual(answered.data.output, { left: 1 })
      yield* printed(/\n\d\d:\d\d:\d\d POST \/apps\/run 200 \d+ ms\n/)
      child.kill("SIGINT")
      const { code, stderr } = yield* ended
      assert.deepStrictEqual({ code, stderr }, { code: 0, stderr: "" })
    })
  )

  it.scopedLive("serves a Node app, and the files that it makes", () =>
    Effect.gen(function* () {
      const { printed } = yield* start(["serve", "test/support/nodeApp/inference.js", "--port", "0"])
      const [, url = ""] = yield* printed(/at (http:\S+)\n\n {2}local\/nodeApp /)
      const headers = { authorization: "Bearer any-key", "content-type": "application/json" }
      const input = { to: 2, file: true }
      const body = JSON.stringify({ app: "local/nodeApp", function: "count", input, wait: true })
      const { count, picture } = yield* Effect.promise(async () => {
        const response = await fetch(`${url}/apps/run`, { method: "POST", headers, body })
        const { data } = await response.json()
        return data.output
      })
      assert.strictEqual(count, 2)
      assert.isTrue(picture.startsWith(url), picture)
      assert.strictEqual(yield* Effect.promise(async () => (await fetch(picture)).text()), "abc")
    })
  )

  it.scopedLive("serves the files that a Node app puts into the directories that are named", () =>
    Effect.gen(function* () {
      const file = yield* module(
        "made.mjs",
        `const schema = { safeParseAsync: async (data) => ({ success: true, data }) }
        export const RunInput = schema, RunOutput = schema
        export class App { async run({ path }) { return { file: { path: "/" + path } } } }`
      )
      const { printed } = yield* start(["serve", file, "--port", "0", "--output-dir", "/opt", "--output-dir", "/etc"])
      const [, url = "", app = ""] = yield* printed(/at (http:\S+)\n\n {2}(local\/\S+)\n/)
      const headers = { authorization: "Bearer any-key", "content-type": "application/json" }
      const run = (path: string) =>
        Effect.promise(async () => {
          const body = JSON.stringify({ app, input: { path }, wait: true })
          const response = await fetch(`${url}/apps/run`, { method: "POST", headers, body })
          return (await response.json()).data.output.file
        })
      assert.match(yield* run("etc/hostname"), /^http.*hostname$/)
      assert.deepStrictEqual(yield* run("proc/version"), { path: "/proc/version" })
    })
  )

  it.scopedLive("wants the key that it was given, and does not print it", () =>
    Effect.gen(function* () {
      const { child, ended, printed } = yield* start([
        "serve",
        "examples/session/stock.ts",
        "--port=0",
        "--api-key=s3cret"
      ])
      const [, url = ""] = yield* printed(/at (http:\S+)\n/)
      const status = (key: string) =>
        Effect.promise(() => fetch(`${url}/sessions`, { headers: { authorization: `Bearer ${key}` } })).pipe(
          Effect.map((response) => response.status)
        )
      assert.deepStrictEqual([yield* status("any-key"), yield* status("s3cret")], [401, 200])
      child.kill("SIGTERM")
      assert.notInclude((yield* ended).stdout, "s3cret")
    })
  )

  it.scopedLive("says in a sentence what is wrong with a module", () =>
    Effect.gen(function* () {
      const throwing = yield* module("throwing.mjs", 'throw new Error("no database")')
      const broken = yield* module("broken.mjs", "export const = 1")
      const field = yield* module("field.mjs", "export class App { run = async () => ({}) }")
      const empty = yield* module("empty.mjs", "export const answer = 42")
      for (const [file, message] of [
        ["nowhere.ts", /^There is no file .*nowhere\.ts\.\n$/],
        ["examples", /^.*examples is no file: name the module in it\.\n$/],
        [throwing, /^.*throwing\.mjs does not load: no database\n$/],
        [broken, /^.*broken\.mjs does not load: .*\n$/],
        [
          field,
          /^.*field\.mjs cannot be served: it exports no class App with a function, .* fields of the class, .*\n$/
        ],
        [empty, /^.*empty\.mjs exports no app: .* It exports answer\.\n$/]
      ] as const) {
        const { code, stdout, stderr } = yield* run("serve", file, "--port", "0")
        assert.deepStrictEqual([code, stdout], [1, ""])
        assert.match(stderr, message)
      }
    })
  )

  it.scopedLive("says that its port is in use", () =>
    Effect.gen(function* () {
      const taken = yield* Effect.acquireRelease(
        Effect.async<ReturnType<typeof createServer>>((resume) => {
          const server = createServer().listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
        }),
        (server) => Effect.sync(() => server.close())
      )
      const address = taken.address()
      const port = typeof address === "object" && address !== null ? address.port : 0
      const { code, stderr } = yield* run("serve", "examples/session/stock.ts", "--port", String(port))
      assert.strictEqual(code, 1)
      assert.strictEqual(
        stderr,
        `Port ${port} of 127.0.0.1 is in use: stop what listens there, or name another with --port.\n`
      )
    })
  )

  it.live("explains itself", () =>
    Effect.gen(function* () {
      assert.match((yield* run("--help")).stdout, /^Usage: effect-inferencesh serve/)
      for (const [args, message] of [
        [["serve"], "Name the module"],
        [["serve", "a.ts", "b.ts"], "One module"],
        [["serve", "a.ts", "--port", "x"], '--port is a number from 0 to 65535, and not "x".'],
        [["serve", "a.ts", "--prot", "1"], "Unknown option '--prot'."],
        [["serve", "a.ts", "--api-key="], "--api-key is empty."],
        [["deploy"], 'There is no command "deploy".']
      ] as const) {
        const { code, stdout, stderr } = yield* run(...args)
        assert.deepStrictEqual([code, stdout], [1, ""])
        assert.isTrue(stderr.startsWith(message), stderr)
        assert.include(stderr, "Usage: ")
      }
    })
  )
})
