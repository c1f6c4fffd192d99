import * as FileSystem from "@effect/platform/FileSystem"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { type Options, runExample } from "./support/example.js"

const quickstart = (args: ReadonlyArray<string>, until?: Options["until"]) =>
  runExample("quickstart", args, until && { until })

const scoped = <A, E>(
  use: (directory: string, fs: FileSystem.FileSystem) => Effect.Effect<A, E>
): Effect.Effect<A, unknown> =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    return yield* use(yield* fs.makeTempDirectoryScoped({ prefix: "quickstart-" }), fs)
  }).pipe(Effect.scoped, Effect.provide(NodeFileSystem.layer))

const oneLine = (text: string) => assert.match(text, /^[^\n]+\n$/)

describe("quickstart", { timeout: 60_000 }, () => {
  it.live("processes a picture, and tells of it in plain lines", () =>
    scoped((directory, fs) =>
      Effect.gen(function* () {
        const { code, stdout, stderr } = yield* quickstart(["--width", "100", "--out", directory])
        assert.deepStrictEqual({ code, stderr }, { code: 0, stderr: "" })
        // biome-ignore lint/suspicious/noControlCharactersInRegex: the escape codes of terminals
        assert.notMatch(stdout, /[\u001b\r]/)
        const told = [
          "uploaded landscape.jpg",
          "running",
          "is a JPEG of 1600×1067 pixels",
          "completed",
          "100×67",
          "took"
        ]
        for (const text of told) assert.include(stdout, text)
        const saved = /^✓ (.*)$/m.exec(stdout)?.[1] ?? ""
        assert.isTrue(saved.startsWith(directory))
        assert.deepStrictEqual(Array.from((yield* fs.readFile(saved)).slice(0, 3)), [0xff, 0xd8, 0xff])
      })
    )
  )

  it.live("says in a sentence that there is no such file", () =>
    Effect.gen(function* () {
      const { code, stderr } = yield* quickstart(["no/such/photo.jpg"])
      assert.strictEqual(code, 1)
      oneLine(stderr)
      assert.include(stderr, "There is no file no/such/photo.jpg.")
    })
  )

  it.live("says in a sentence that a file is no picture", () =>
    Effect.gen(function* () {
      const { code, stdout, stderr } = yield* quickstart(["package.json"])
      assert.strictEqual(code, 1)
      oneLine(stderr)
      assert.include(stderr, "package.json is not a picture that can be read")
      assert.notInclude(stdout, "    at ")
    })
  )

  it.live("cancels the task on Ctrl-C, and says so", () =>
    scoped((directory, fs) =>
      Effect.gen(function* () {
        const args = ["--slow", "--out", directory]
        const { code, stdout, stderr } = yield* quickstart(args, { text: "is a JPEG", signal: "SIGINT" })
        assert.deepStrictEqual({ code, stderr }, { code: 130, stderr: "Interrupted: the task was cancelled.\n" })
        assert.notInclude(stdout, "completed")
        assert.deepStrictEqual(yield* fs.readDirectory(directory), [])
      })
    )
  )

  it.live("explains options that it does not know", () =>
    Effect.gen(function* () {
      const { code, stderr } = yield* quickstart(["--colour"])
      assert.strictEqual(code, 1)
      assert.match(stderr, /^Unknown option '--colour'\.\n\nUsage: /)
    })
  )

  it.live("says where to get a key for the live service", () =>
    Effect.gen(function* () {
      const { code, stderr } = yield* quickstart(["--app", "acme/echo"])
      assert.strictEqual(code, 1)
      oneLine(stderr)
      assert.match(stderr, /INFERENCE_API_KEY.*https:\/\/app\.inference\.sh\/settings\/keys/)
    })
  )
})
