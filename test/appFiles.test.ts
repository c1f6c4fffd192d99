/** The files that an app is given, and those that it gives. */
import * as os from "node:os"
import * as FileSystem from "@effect/platform/FileSystem"
import * as NodeContext from "@effect/platform-node/NodeContext"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as App from "effect-inferencesh/App"
import * as BaseApp from "effect-inferencesh/BaseApp"
import * as File from "effect-inferencesh/File"
import * as LocalServer from "effect-inferencesh/LocalServer"
import * as Http from "./support/http.js"
import { type Json, runTask } from "./support/wire.js"

const Reader = App.make("acme/reader", {
  input: { files: Schema.Array(File.File), how: Schema.Literal("not", "streams", "paths", "echo") },
  output: { texts: Schema.Array(Schema.String), file: Schema.optional(File.File) }
})

const paths: Array<string> = []

const reader = BaseApp.make(Reader, {
  run: ({ files, how }) =>
    Effect.gen(function* () {
      const { localFile } = yield* BaseApp.Context
      const fs = yield* FileSystem.FileSystem
      const read = (file: File.File) =>
        how === "not"
          ? Effect.succeed("")
          : how === "paths"
            ? Effect.flatMap(localFile(file), ({ path, size }) => {
                paths.push(path)
                return Effect.map(fs.readFileString(path), (text) => `${text} (${size})`)
              })
            : Effect.map(File.bytes(file), (bytes) => new TextDecoder().decode(bytes))
      const texts = yield* Effect.forEach([...files, ...files], read)
      const [file] = files
      return { texts, ...(how === "echo" && file && { file }) }
    })
})

const address = "https://files.test/a.txt?signature=1"

const setUp = (texts: ReadonlyArray<string> = ["hello"]) => {
  const server = Http.recorder(texts.map((text) => Http.reply(200, text)))
  const services = Layer.merge(NodeContext.layer, server.layer)
  const hosted = LocalServer.layerHttpClient({ apps: [reader] }).pipe(Layer.provide(services))
  return { server, services, hosted }
}

const last = <A, E, R>(stream: Stream.Stream<A, E, R>) => Effect.map(Stream.runLast(stream), Option.getOrThrow)

describe("a file at an address", () => {
  it.effect("is fetched when it is read, and once", () => {
    const { server, hosted } = setUp()
    return Effect.gen(function* () {
      const run = (how: string) =>
        Effect.map(runTask("acme/reader", { files: [address], how }), ({ output }: Json) => output)
      assert.deepStrictEqual((yield* run("not")).texts, ["", ""])
      assert.strictEqual(server.sent.length, 0)
      assert.deepStrictEqual((yield* run("streams")).texts, ["hello", "hello"])
      assert.strictEqual(server.sent.length, 1)
    }).pipe(Effect.provide(hosted))
  })

  it.effect("has a path while the run goes on", () => {
    const { server, hosted } = setUp()
    return Effect.gen(function* () {
      paths.length = 0
      const { output } = yield* runTask("acme/reader", { files: [address, address], how: "paths" })
      assert.deepStrictEqual(output.texts, Array(4).fill("hello (5)"))
      assert.strictEqual(server.sent.length, 1)
      assert.strictEqual(new Set(paths).size, 1)
      const fs = yield* FileSystem.FileSystem
      assert.isFalse(yield* fs.exists(paths[0] ?? ""))
    }).pipe(Effect.provide(Layer.merge(hosted, NodeContext.layer)))
  })

  it.effect("stays at its address where the app gives it back", () => {
    const { hosted } = setUp()
    return Effect.gen(function* () {
      const { output } = yield* runTask("acme/reader", { files: [address], how: "echo" })
      assert.deepStrictEqual(output, { texts: ["hello", "hello"], file: address })
    }).pipe(Effect.provide(hosted))
  })

  it.effect("that cannot be fetched fails the run, and says which", () => {
    const server = Http.recorder([Http.reply(404, "no")])
    const hosted = LocalServer.layerHttpClient({ apps: [reader] }).pipe(
      Layer.provide(Layer.merge(NodeContext.layer, server.layer))
    )
    return Effect.gen(function* () {
      const { error } = yield* runTask("acme/reader", { files: [address], how: "streams" })
      assert.include(error, "https://files.test/a.txt")
      assert.notInclude(error, "signature")
    }).pipe(Effect.provide(hosted))
  })
})

describe("a file that is kept beyond its run", () => {
  const Keeper = App.make("acme/keeper", {
    input: { file: Schema.optional(File.File), read: Schema.Boolean },
    output: { text: Schema.optional(Schema.String) }
  })
  const keeper = BaseApp.make(Keeper, {
    setup: () => Effect.sync((): { kept: File.File | undefined } => ({ kept: undefined })),
    run: ({ file, read }, state) =>
      Effect.gen(function* () {
        state.kept ??= file
        if (!read || state.kept === undefined) return {}
        return { text: new TextDecoder().decode(yield* File.bytes(state.kept)) }
      })
  })

  for (const readAtFirst of [true, false]) {
    it.scoped(`is fetched again, and leaves nothing behind, ${readAtFirst ? "also" : "if not"} read before`, () => {
      const { services } = setUp(["one", "two"])
      return Effect.gen(function* () {
        const fs = yield* FileSystem.FileSystem
        const left = Effect.map(fs.readDirectory(os.tmpdir()), (names) =>
          names.filter((name) => name.startsWith("inferencesh-run-"))
        )
        const before = new Set(yield* left)
        const instance = yield* BaseApp.start(keeper)
        const file = File.fromUri(address)
        yield* last(instance.run({ file, read: readAtFirst }))
        const { text } = yield* last(instance.run({ read: true }))
        assert.strictEqual(text, readAtFirst ? "two" : "one")
        assert.deepStrictEqual(
          (yield* left).filter((name) => !before.has(name)),
          []
        )
      }).pipe(Effect.provide(services))
    })
  }
})

describe("localFile", () => {
  it.scoped("writes what is in memory, and leaves alone what is on the disk", () => {
    const { services } = setUp([])
    return Effect.gen(function* () {
      paths.length = 0
      const fs = yield* FileSystem.FileSystem
      const path = yield* fs.makeTempFileScoped()
      yield* fs.writeFileString(path, "there")
      const instance = yield* BaseApp.start(reader)
      const bytes = (text: string) => File.fromBytes(new TextEncoder().encode(text), { filename: "a.txt" })
      const files = [bytes("one"), bytes("two"), File.fromPath(path)]
      const { texts } = yield* last(instance.run({ files, how: "paths" }))
      const expected = ["one (3)", "two (3)", "there (5)"]
      assert.deepStrictEqual(texts, [...expected, ...expected])
      assert.deepStrictEqual(paths.slice(0, 3), paths.slice(3))
      assert.strictEqual(paths[2], path)
      assert.deepStrictEqual(yield* Effect.forEach(paths.slice(0, 3), fs.exists), [false, false, true])
    }).pipe(Effect.provide(services))
  })

  it.scoped("copies what the host holds, for the run to do with it what it likes", () => {
    const { services } = setUp([])
    return Effect.gen(function* () {
      paths.length = 0
      const fs = yield* FileSystem.FileSystem
      const path = yield* fs.makeTempFileScoped()
      yield* fs.writeFileString(path, "held")
      const instance = yield* BaseApp.start(reader)
      const options = { resolveFile: (file: File.File) => (file.uri === "inf://a" ? File.fromPath(path) : file) }
      const { texts } = yield* last(instance.run({ files: [File.fromUri("inf://a")], how: "paths" }, options))
      assert.deepStrictEqual(texts, ["held (4)", "held (4)"])
      assert.notInclude(paths, path)
      assert.deepStrictEqual(yield* Effect.forEach([...paths, path], fs.exists), [false, false, true])
    }).pipe(Effect.provide(services))
  })

  it.scoped("says what it needs where it is missing", () => {
    const { services } = setUp([])
    const plain = BaseApp.make(App.make("acme/plain", { input: { file: File.File }, output: {} }), {
      run: ({ file }) => Effect.flatMap(BaseApp.Context, ({ localFile }) => Effect.as(localFile(file), {}))
    })
    return Effect.gen(function* () {
      const instance = yield* BaseApp.start(plain)
      const error = yield* Effect.flip(last(instance.run({ file: File.fromBytes(new Uint8Array(1)) })))
      assert.include(error.message, "FileSystem")
      const other = yield* Effect.provide(BaseApp.start(plain), services)
      yield* last(other.run({ file: File.fromBytes(new Uint8Array(1)) }))
    })
  })
})
