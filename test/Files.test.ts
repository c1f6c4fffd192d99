import { createHash } from "node:crypto"
import * as NodeFs from "node:fs"
import * as Os from "node:os"
import * as NodePathModule from "node:path"
import * as FileSystem from "@effect/platform/FileSystem"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as NodePath from "@effect/platform-node/NodePath"
import { afterAll, assert, describe, it } from "@effect/vitest"
import * as Chunk from "effect/Chunk"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fc from "effect/FastCheck"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import type { FileError } from "../src/InferenceError.js"
import { type ApiClient, File, Files, Inference } from "../src/index.js"
import { safeName } from "../src/internal/downloadTo.js"
import * as Bad from "./support/badServer.js"
import * as Http from "./support/http.js"

const bytes = (text: string) => new TextEncoder().encode(text)
const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes)

const options: ApiClient.Options = {
  apiKey: Redacted.make("inf_key"),
  retry: { attempts: 3, baseDelay: "1 second" }
}

/** The services over a script of answers. */
const over = (script: Parameters<typeof Http.recorder>[0], more: Partial<ApiClient.Options> = {}) => {
  const recorder = Http.recorder(script)
  const live = Inference.layer({ ...options, ...more }).pipe(
    Layer.provideMerge(Layer.mergeAll(recorder.layer, NodeFileSystem.layer, NodePath.layer))
  )
  return { live, sent: recorder.sent }
}

/** The service and its storage: the given answers are those of the storage, one by one. */
const storing = (...puts: ReadonlyArray<Http.Answer>) => {
  let put = 0
  return over((sent) => {
    if (sent.method === "POST") {
      const [{ filename, content_type, size }] = JSON.parse(sent.text).files
      return Http.data([
        {
          id: "f1",
          uri: "https://cloud.test/f1",
          upload_url: "https://storage.test/put?sig=a%2Fb",
          filename,
          content_type,
          size
        }
      ])
    }
    if (sent.method === "DELETE") return Http.data(null)
    put += 1
    return puts[put - 1] ?? Http.reply(200)
  })
}

const inTime = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const fiber = yield* Effect.fork(effect)
    // Files are read by the real file system, which the clock of the test does not wait for.
    yield* Effect.repeat(
      Effect.zipRight(
        TestClock.adjust("1 second"),
        Effect.promise(() => new Promise((done) => setTimeout(done, 1)))
      ),
      { until: () => Effect.map(Fiber.poll(fiber), (exit) => exit._tag === "Some"), times: 2000 }
    )
    return yield* Fiber.join(fiber)
  })

const directory = Effect.flatMap(FileSystem.FileSystem, (fs) =>
  fs.makeTempDirectoryScoped({ prefix: "files-test-" })
).pipe(Effect.provide(NodeFileSystem.layer))

/** All files below a directory. */
const filesIn = (directory: string) =>
  NodeFs.readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => NodePathModule.relative(directory, NodePathModule.join(entry.parentPath, entry.name)))
    .sort()

/** A directory for temporary files of this file's own: other tests leave theirs in the usual one while they run. */
const temporary = NodeFs.mkdtempSync(NodePathModule.join(Os.tmpdir(), "files-test-"))
process.env.TMPDIR = temporary
afterAll(() => NodeFs.rmSync(temporary, { recursive: true }))

const spooled = () => NodeFs.readdirSync(temporary).filter((name) => name.startsWith("inferencesh-"))

const wire = (sent: ReadonlyArray<Http.Sent>) => sent.map(({ method, url }) => `${method} ${url}`)

const happyPath = ["POST https://api.inference.sh/files", "PUT https://storage.test/put?sig=a%2Fb"]

describe("Files.upload", () => {
  it.scoped("stores files of every kind: a record, and then the bytes with the type and length of the record", () =>
    Effect.gen(function* () {
      const dir = yield* directory
      NodeFs.writeFileSync(`${dir}/cat.png`, "meow")
      const browserFile = new globalThis.File(["meow"], "cat.png", { type: "image/png" })
      const sources: ReadonlyArray<readonly [Files.UploadSource, Files.UploadOptions]> = [
        [File.fromPath(`${dir}/cat.png`), {}],
        [File.fromBytes(bytes("meow"), { filename: "cat.png" }), {}],
        [bytes("meow"), { filename: "cat.png" }],
        [browserFile, {}],
        [new Blob(["meow"]), { filename: "cat.png" }],
        [Stream.make(bytes("me"), bytes("ow")), { filename: "cat.png" }],
        [File.fromStream(Stream.make(bytes("meow")), { filename: "cat.png" }), {}],
        [File.fromUri("data:image/png;base64,bWVvdw=="), { filename: "cat.png" }]
      ]
      for (const [source, options] of sources) {
        const { live, sent } = storing()
        const file = yield* Effect.provide(Files.upload(source, options), live)
        assert.deepStrictEqual(wire(sent), happyPath)
        assert.deepInclude(JSON.parse(sent[0]?.text ?? "").files[0], {
          uri: "",
          filename: "cat.png",
          content_type: "image/png",
          size: 4
        })
        assert.strictEqual(text(sent[1]?.body ?? bytes("")), "meow")
        assert.strictEqual(sent[1]?.headers["content-type"], "image/png")
        assert.notProperty(sent[1]?.headers, "authorization")
        assert.deepStrictEqual(JSON.parse(JSON.stringify(file)), {
          id: "f1",
          uri: "https://cloud.test/f1",
          contentType: "image/png",
          size: 4,
          filename: "cat.png"
        })
      }
    })
  )

  it.effect("a file at an address is fetched first, without the key", () =>
    Effect.gen(function* () {
      const { live, sent } = over((request) =>
        request.method === "GET"
          ? Http.reply(200, "meow")
          : request.method === "POST"
            ? Http.data([{ id: "f1", uri: "u", upload_url: "https://storage.test/put" }])
            : Http.reply(200)
      )
      yield* Effect.provide(Files.upload(File.fromUri("https://elsewhere.test/a/cat.png?sig=1")), live)
      assert.deepStrictEqual(wire(sent), [
        "GET https://elsewhere.test/a/cat.png?sig=1",
        "POST https://api.inference.sh/files",
        "PUT https://storage.test/put"
      ])
      assert.notProperty(sent[0]?.headers, "authorization")
      assert.strictEqual(JSON.parse(sent[1]?.text ?? "").files[0].size, 4)
      assert.strictEqual(text(sent[2]?.body ?? bytes("")), "meow")
    })
  )

  it.effect("name, type, folder and visibility can be chosen, and a type alone gives a name", () =>
    Effect.gen(function* () {
      const record = (source: Files.UploadSource, options?: Files.UploadOptions) => {
        const { live, sent } = storing()
        return Effect.map(
          Effect.provide(Files.upload(source, options), live),
          () => JSON.parse(sent[0]?.text ?? "").files[0]
        )
      }
      assert.deepStrictEqual(
        yield* record(File.fromBytes(bytes("x"), { filename: "a.txt" }), {
          filename: "b.bin",
          contentType: "image/gif",
          path: "/folder",
          public: true
        }),
        { uri: "", filename: "b.bin", content_type: "image/gif", size: 1, path: "/folder", public: true }
      )
      assert.deepInclude(yield* record(bytes("x")), { filename: "file.bin", content_type: "application/octet-stream" })
      assert.deepInclude(yield* record(bytes("x"), { contentType: "image/png" }), { filename: "file.png" })
      assert.deepInclude(yield* record(bytes("x"), { contentType: "no/such" }), { filename: "file" })
      assert.deepInclude(yield* record(bytes("")), { size: 0 })
    })
  )

  it.effect("the bytes are sent with the type that the service wrote down, since its signature may cover that", () =>
    Effect.gen(function* () {
      const { live, sent } = over([
        Http.data([{ id: "f", uri: "u", upload_url: "https://s.test/put", content_type: "image/x-png" }]),
        Http.reply(200)
      ])
      const file = yield* Effect.provide(Files.upload(bytes("x"), { contentType: "image/png" }), live)
      assert.strictEqual(sent[1]?.headers["content-type"], "image/x-png")
      assert.strictEqual(file.contentType, "image/x-png")
    })
  )

  it.scoped("a failed PUT is repeated with the same bytes, for every kind of file", () =>
    Effect.gen(function* () {
      const dir = yield* directory
      NodeFs.writeFileSync(`${dir}/a`, "same bytes")
      let runs = 0
      const counted = Stream.suspend(() => {
        runs += 1
        return Stream.make(bytes("same"), bytes(" bytes"))
      })
      for (const source of [bytes("same bytes"), new Blob(["same bytes"]), File.fromPath(`${dir}/a`), counted]) {
        for (const answer of [Http.reply(503, "busy"), Http.fails("ECONNRESET"), Http.never, Http.reply(429)]) {
          const { live, sent } = storing(answer, answer)
          yield* inTime(Effect.provide(Files.upload(source), live))
          const puts = sent.filter(({ method }) => method === "PUT")
          assert.strictEqual(puts.length, 3)
          for (const put of puts) assert.strictEqual(text(put.body), "same bytes")
          assert.strictEqual(sent.filter(({ method }) => method === "DELETE").length, 0)
        }
      }
      assert.strictEqual(runs, 4)
    })
  )

  it.effect("a PUT that is refused is not repeated, says what the storage said, and the record is removed", () =>
    Effect.gen(function* () {
      for (const status of [400, 403, 411]) {
        const { live, sent } = storing(Http.reply(status, "<Error><Code>SignatureDoesNotMatch</Code></Error>"))
        const error = yield* Effect.flip(Effect.provide(Files.upload(bytes("x"), { filename: "a.txt" }), live))
        assert.deepInclude(error, { _tag: "FileError", reason: "Upload", status })
        assert.include(error.message, "SignatureDoesNotMatch")
        assert.include(error.message, "a.txt")
        assert.notInclude(error.message, "sig=")
        assert.deepStrictEqual(wire(sent), [...happyPath, "DELETE https://api.inference.sh/files/f1"])
      }
    })
  )

  it.effect("the record is removed after the last failure and after an interruption", () =>
    Effect.gen(function* () {
      const busy = Http.reply(503)
      const failing = storing(busy, busy, busy)
      const error = yield* inTime(Effect.flip(Effect.provide(Files.upload(bytes("x")), failing.live)))
      assert.deepInclude(error, { reason: "Upload", status: 503 })
      assert.strictEqual(failing.sent.at(-1)?.method, "DELETE")
      const hanging = storing(Http.never)
      const fiber = yield* Effect.fork(Effect.provide(Files.upload(bytes("x")), hanging.live))
      yield* Effect.repeat(
        Effect.promise(() => new Promise((done) => setTimeout(done, 1))),
        { until: () => hanging.sent.length === 2 }
      )
      yield* Fiber.interrupt(fiber)
      assert.strictEqual(hanging.sent.at(-1)?.method, "DELETE")
    })
  )

  it.effect("a service that hangs does not hold up an upload that failed", () =>
    Effect.gen(function* () {
      const { live } = over((sent) =>
        sent.method === "POST"
          ? Http.data([{ id: "f1", uri: "u", upload_url: "https://storage.test/put" }])
          : sent.method === "PUT"
            ? Http.reply(403)
            : Http.never
      )
      const error = yield* inTime(Effect.flip(Effect.provide(Files.upload(bytes("x")), live)))
      assert.deepInclude(error, { reason: "Upload", status: 403 })
    })
  )

  it.effect("a service that gives no upload address is an error", () =>
    Effect.gen(function* () {
      for (const records of [
        [],
        [{ id: "f1", uri: "u", upload_url: "" }],
        [{ id: "f1", uri: "u", upload_url: null }]
      ]) {
        const { live, sent } = over((sent) => (sent.method === "POST" ? Http.data(records) : Http.data(null)))
        const error = yield* Effect.flip(Effect.provide(Files.upload(bytes("x")), live))
        assert.deepInclude(error, { _tag: "FileError", reason: "Upload" })
        assert.strictEqual(sent.filter(({ method }) => method === "PUT").length, 0)
      }
    })
  )

  it.scoped("what cannot be read is found out before anything is sent", () =>
    Effect.gen(function* () {
      const dir = yield* directory
      const cases: ReadonlyArray<readonly [Files.UploadSource, FileError["reason"]]> = [
        [File.fromPath(`${dir}/none`), "NotFound"],
        [File.fromPath(dir), "NotAFile"],
        [File.fromUri("data:;base64,%%%"), "InvalidUri"],
        [File.fromUri("inf://x"), "InvalidUri"],
        [Stream.fail("boom"), "Read"],
        [Stream.concat(Stream.make(bytes("x")), Stream.fail(new Error("boom"))), "Read"]
      ]
      for (const [source, reason] of cases) {
        const { live, sent } = over([])
        const error = yield* Effect.flip(Effect.provide(Files.upload(source), live))
        assert.deepInclude(error, { _tag: "FileError", reason })
        assert.strictEqual(sent.length, 0)
      }
      assert.deepStrictEqual(spooled(), [])
    })
  )

  it.scoped.skipIf(process.getuid?.() === 0)("a file without permission is found out before anything is sent", () =>
    Effect.gen(function* () {
      const dir = yield* directory
      NodeFs.writeFileSync(`${dir}/a`, "x", { mode: 0 })
      const { live, sent } = over([])
      const error = yield* Effect.flip(Effect.provide(Files.upload(File.fromPath(`${dir}/a`)), live))
      assert.deepInclude(error, { reason: "PermissionDenied" })
      assert.strictEqual(sent.length, 0)
    })
  )

  it.effect("nothing is left of a stream on disk: neither after success, failure nor interruption", () =>
    Effect.gen(function* () {
      const source = Stream.make(bytes("hello"))
      yield* Effect.provide(Files.upload(source), storing().live)
      assert.deepStrictEqual(spooled(), [])
      yield* Effect.flip(Effect.provide(Files.upload(source), storing(Http.reply(403)).live))
      assert.deepStrictEqual(spooled(), [])
      const reached = yield* Deferred.make<void>()
      const endless = Stream.concat(
        source,
        Stream.fromEffect(Effect.zipRight(Deferred.succeed(reached, undefined), Effect.never))
      )
      const fiber = yield* Effect.fork(Effect.provide(Files.upload(endless), storing().live))
      yield* Deferred.await(reached)
      assert.strictEqual(spooled().length, 1)
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual(spooled(), [])
    })
  )
})

describe("Files.uploadStream", () => {
  it.scoped("tells each progress once, up to the total, and then gives the file", () =>
    Effect.gen(function* () {
      const dir = yield* directory
      NodeFs.writeFileSync(`${dir}/a`, Buffer.alloc(300_000))
      for (const source of [File.fromPath(`${dir}/a`), new Uint8Array(300_000), Stream.make(new Uint8Array(300_000))]) {
        const { live } = storing()
        const events = [...(yield* Effect.provide(Stream.runCollect(Files.uploadStream(source)), live))]
        const progress = events.filter((event) => event._tag === "Progress").map(({ sent, total }) => [sent, total])
        assert.deepStrictEqual(progress.at(-1), [300_000, 300_000])
        const sent = progress.map(([sent = 0]) => sent)
        assert.deepStrictEqual(
          sent,
          Array.from(new Set(sent)).toSorted((a, b) => a - b)
        )
        assert.strictEqual(events.at(-1)?._tag, "Done")
        assert.strictEqual(events.filter((event) => event._tag === "Done").length, 1)
      }
    })
  )

  it.effect("starts over after a failed attempt, and fails as upload does", () =>
    Effect.gen(function* () {
      const again = storing(Http.reply(503))
      const events = yield* inTime(Effect.provide(Stream.runCollect(Files.uploadStream(bytes("four"))), again.live))
      assert.deepStrictEqual(
        Chunk.toReadonlyArray(events).map((event) => (event._tag === "Progress" ? event.sent : "done")),
        [0, 0, 4, "done"]
      )
      const refused = storing(Http.reply(403))
      const error = yield* Effect.flip(Effect.provide(Stream.runDrain(Files.uploadStream(bytes("four"))), refused.live))
      assert.deepInclude(error, { reason: "Upload", status: 403 })
    })
  )

  it.effect("stops the upload where the consumer stops, and the record is removed", () =>
    Effect.gen(function* () {
      const { live, sent } = storing(Http.never)
      yield* Effect.provide(Stream.runDrain(Stream.take(Files.uploadStream(bytes("four")), 1)), live)
      assert.strictEqual(sent.filter(({ method }) => method === "DELETE").length, 1)
    })
  )
})

describe("file records", () => {
  it.effect("get, list and remove talk to the service", () =>
    Effect.gen(function* () {
      const page = (ids: ReadonlyArray<string>, next: string, has_next = next !== "") =>
        Http.data({ items: ids.map((id) => ({ id, uri: `inf://${id}` })), next_cursor: next, has_next })
      const { live, sent } = over([
        Http.data({ id: "a/b", uri: "https://c.test/cat.png", size: 4, filename: null }),
        page(["1", "2"], "c+/="),
        page(["3"], "c2"),
        page([], ""),
        Http.reply(204)
      ])
      const file = yield* Effect.provide(Files.get("a/b"), live)
      assert.deepInclude(file, { id: "a/b", size: 4, filename: "cat.png", contentType: "image/png" })
      const all = yield* Effect.provide(Stream.runCollect(Files.list({ pageSize: 2, search: "cat" })), live)
      assert.deepStrictEqual(
        Chunk.toReadonlyArray(all).map(({ id }) => id),
        ["1", "2", "3"]
      )
      yield* Effect.provide(Files.remove("x y"), live)
      assert.deepStrictEqual(
        sent.map(({ method, path }) => `${method} ${path}`),
        ["GET /files/a%2Fb", "POST /files/list", "POST /files/list", "POST /files/list", "DELETE /files/x%20y"]
      )
      assert.deepStrictEqual(
        sent.slice(1, 4).map(({ text }) => JSON.parse(text)),
        ["", "c+/=", "c2"].map((cursor) => ({ cursor, limit: 2, search: { term: "cat", exact: false } }))
      )
    })
  )

  it.effect("a list fetches pages as they are needed, and a cursor that does not move on ends it", () =>
    Effect.gen(function* () {
      const page = Http.data({ items: [{ id: "1", uri: "u" }], next_cursor: "c", has_next: true })
      const lazy = over(() => page)
      yield* Effect.provide(Stream.runDrain(Stream.take(Files.list(), 1)), lazy.live)
      assert.strictEqual(lazy.sent.length, 1)
      const stuck = over(() => page)
      const all = yield* Effect.provide(Stream.runCollect(Files.list()), stuck.live)
      assert.strictEqual(all.length, 2)
      const none = over([Http.data({ items: null, next_cursor: null })])
      assert.strictEqual((yield* Effect.provide(Stream.runCollect(Files.list()), none.live)).length, 0)
    })
  )
})

const cat = File.fromUri("https://cloud.test/t/cat.png?sig=1")

const collect = (file: File.File) =>
  Effect.map(Stream.runCollect(Files.download(file)), (chunks) => Buffer.concat([...chunks]).toString())

describe("Files.download", () => {
  it.effect("gives the bytes behind an address, without the key and uncompressed", () =>
    Effect.gen(function* () {
      const { live, sent } = over([Http.reply(200, "meow")])
      assert.strictEqual(yield* Effect.provide(collect(cat), live), "meow")
      assert.strictEqual(sent[0]?.url, "https://cloud.test/t/cat.png?sig=1")
      assert.notProperty(sent[0]?.headers, "authorization")
      assert.strictEqual(sent[0]?.headers["accept-encoding"], "identity")
    })
  )

  it.effect("opens again after a 503, and not after a 403 or 404", () =>
    Effect.gen(function* () {
      const again = over([Http.reply(503), Http.fails("ECONNRESET"), Http.reply(200, "meow")])
      assert.strictEqual(yield* inTime(Effect.provide(collect(cat), again.live)), "meow")
      const missing = yield* Effect.flip(Effect.provide(collect(cat), over([Http.reply(404)]).live))
      assert.deepInclude(missing, { reason: "NotFound", file: "https://cloud.test/t/cat.png" })
      const refused = yield* Effect.flip(Effect.provide(collect(cat), over([Http.reply(403)]).live))
      assert.deepInclude(refused, { reason: "Download", status: 403 })
    })
  )

  it.effect("fails where there are fewer or more bytes than announced", () =>
    Effect.gen(function* () {
      for (const [body, received] of [
        ["meo", 3],
        ["meows", 5]
      ] as const) {
        const { live } = over([Http.reply(200, body, { "content-length": "4" })])
        const error = yield* Effect.flip(Effect.provide(collect(cat), live))
        assert.deepInclude(error, { reason: "SizeMismatch", detail: `${received} of 4 bytes` })
      }
    })
  )

  it.effect("follows redirects, relative ones too, and keeps the text of a signed query as it is", () =>
    Effect.gen(function* () {
      const { live, sent } = over([
        Http.reply(302, undefined, { location: "../u/cat.png" }),
        Http.reply(307, undefined, { location: "//other.test/cat?sig=a%2Fb%20c+d&e" }),
        Http.reply(200, "meow")
      ])
      assert.strictEqual(yield* Effect.provide(collect(cat), live), "meow")
      assert.deepStrictEqual(
        sent.map(({ url }) => url),
        [
          "https://cloud.test/t/cat.png?sig=1",
          "https://cloud.test/u/cat.png",
          "https://other.test/cat?sig=a%2Fb%20c+d&e"
        ]
      )
      for (const { headers } of sent) assert.notProperty(headers, "authorization")
    })
  )

  it.effect("gives up on redirects that go in circles, lead to other schemes or make no sense", () =>
    Effect.gen(function* () {
      const circle = over(() => Http.reply(302, undefined, { location: "/again" }))
      assert.include((yield* inTime(Effect.flip(Effect.provide(collect(cat), circle.live)))).message, "redirects")
      for (const location of ["file:///etc/passwd", "ftp://x.test/", "http://", "https://[bad"]) {
        const { live, sent } = over([Http.reply(302, undefined, { location })])
        const error = yield* Effect.flip(Effect.provide(collect(cat), live))
        assert.deepInclude(error, { _tag: "FileError", reason: "InvalidUri" }, location)
        assert.strictEqual(sent.length, 1)
      }
    })
  )

  it.effect("a body that stalls fails after the idle timeout", () =>
    Effect.gen(function* () {
      const { live } = over([Http.stalled("me")])
      const error = yield* inTime(Effect.flip(Effect.provide(collect(cat), live)))
      assert.deepInclude(error, { reason: "Download", detail: "no byte in time" })
    })
  )

  it.effect("a file that is here needs no network", () =>
    Effect.gen(function* () {
      const { live } = over([])
      assert.strictEqual(yield* Effect.provide(collect(File.fromBytes(bytes("meow"))), live), "meow")
      assert.strictEqual(yield* Effect.provide(collect(File.fromUri("data:,meow")), live), "meow")
    })
  )
})

const sha = (text: string) => createHash("sha256").update(text).digest("hex")

describe("Files.downloadTo", () => {
  it.scoped("puts a file where official tools do: by host, path and query, without scheme and fragment", () =>
    Effect.gen(function* () {
      const dir = yield* directory
      const { live } = over(() => Http.reply(200, "meow"))
      const places: Record<string, string> = {
        "https://h.test/a/cat.png": `${sha("h.test/a/cat.png").slice(0, 12)}/cat.png`,
        "http://h.test:8080/a/cat.png?x=1#frag": `${sha("h.test:8080/a/cat.png?x=1").slice(0, 12)}/cat.png`,
        "https://h.test/": `${sha("h.test/").slice(0, 12)}/download`,
        "https://h.test/my%20cat.png": `${sha("h.test/my%20cat.png").slice(0, 12)}/my%20cat.png`
      }
      for (const [uri, place] of Object.entries(places)) {
        const file = yield* Effect.provide(Files.downloadTo(File.fromUri(uri), dir), live)
        assert.strictEqual(file.path, NodePathModule.join(dir, place))
        assert.strictEqual(file.size, 4)
        assert.strictEqual(NodeFs.readFileSync(file.path ?? "", "utf8"), "meow")
      }
      const data = "data:image/png;base64,bWVvdw=="
      const file = yield* Effect.provide(Files.downloadTo(File.fromUri(data), dir), live)
      assert.strictEqual(file.path, NodePathModule.join(dir, "data_uri", sha(data).slice(0, 16), "file.png"))
      assert.strictEqual(filesIn(dir).length, 5)
    })
  )

  it.scoped("is not fetched again once it is there, and other queries are other files", () =>
    Effect.gen(function* () {
      const dir = yield* directory
      const { live, sent } = over([Http.reply(200, "one"), Http.reply(200, "two")])
      const save = (uri: string) => Effect.provide(Files.downloadTo(File.fromUri(uri), dir), live)
      const first = yield* save("https://h.test/cat.png?v=1")
      const second = yield* save("https://h.test/cat.png?v=2")
      const third = yield* save("https://h.test/cat.png?v=1#same")
      assert.strictEqual(sent.length, 2)
      assert.strictEqual(first.path, third.path)
      assert.strictEqual(NodeFs.readFileSync(first.path ?? "", "utf8"), "one")
      assert.strictEqual(NodeFs.readFileSync(second.path ?? "", "utf8"), "two")
    })
  )

  it.scoped("a truncated or broken body is fetched again, and leaves nothing if it stays so", () =>
    Effect.gen(function* () {
      const dir = yield* directory
      const short = Http.reply(200, "me", { "content-length": "4" })
      const healed = over([short, Http.broken("me"), Http.reply(200, "meow", { "content-length": "4" })])
      const file = yield* inTime(Effect.provide(Files.downloadTo(cat, dir), healed.live))
      assert.strictEqual(NodeFs.readFileSync(file.path ?? "", "utf8"), "meow")
      assert.strictEqual(filesIn(dir).length, 1)
      const other = yield* directory
      const { live, sent } = over(() => short)
      const error = yield* inTime(Effect.flip(Effect.provide(Files.downloadTo(cat, other), live)))
      assert.deepInclude(error, { reason: "SizeMismatch" })
      assert.strictEqual(sent.length, 3)
      assert.deepStrictEqual(filesIn(other), [])
    })
  )

  it.scoped("leaves nothing where it fails or is interrupted", () =>
    Effect.gen(function* () {
      const dir = yield* directory
      const error = yield* Effect.flip(Effect.provide(Files.downloadTo(cat, dir), over([Http.reply(404)]).live))
      assert.deepInclude(error, { reason: "NotFound" })
      assert.deepStrictEqual(filesIn(dir), [])
      const { live } = over(() => Http.stalled("x".repeat(100_000)))
      const fiber = yield* Effect.fork(Effect.provide(Files.downloadTo(cat, dir), live))
      yield* Effect.repeat(
        Effect.promise(() => new Promise((done) => setTimeout(done, 1))),
        { until: () => filesIn(dir).length === 1 }
      )
      assert.match(filesIn(dir)[0] ?? "", /\.tmp$/)
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual(filesIn(dir), [])
    })
  )

  it.scoped("twenty at a time of one address ask the server once", () =>
    Effect.gen(function* () {
      const dir = yield* directory
      const { live, sent } = over(() => Http.after(1000, Http.reply(200, "meow")))
      const all = Effect.forEach(Array.from({ length: 20 }), () => Files.downloadTo(cat, dir), { concurrency: 20 })
      const files = yield* inTime(Effect.provide(all, live))
      assert.strictEqual(sent.length, 1)
      assert.strictEqual(new Set(files.map(({ path }) => path)).size, 1)
      assert.strictEqual(filesIn(dir).length, 1)
    })
  )

  it.scoped("one that is interrupted or fails does not take the others along", () =>
    Effect.gen(function* () {
      const dir = yield* directory
      const { live, sent } = over((_, before) => (before === 0 ? Http.stalled("me") : Http.reply(200, "meow")))
      const program = Effect.gen(function* () {
        const first = yield* Effect.fork(Files.downloadTo(cat, dir))
        yield* Effect.repeat(
          Effect.promise(() => new Promise((done) => setTimeout(done, 1))),
          { until: () => sent.length === 1 }
        )
        const others = yield* Effect.fork(
          Effect.forEach(Array.from({ length: 5 }), () => Files.downloadTo(cat, dir), { concurrency: 5 })
        )
        yield* Effect.promise(() => new Promise((done) => setTimeout(done, 20)))
        assert.strictEqual(sent.length, 1)
        yield* Fiber.interrupt(first)
        return yield* Fiber.join(others)
      })
      const files = yield* Effect.provide(program, live)
      assert.strictEqual(sent.length, 2)
      for (const { path } of files) assert.strictEqual(NodeFs.readFileSync(path ?? "", "utf8"), "meow")
    })
  )

  it.scoped("names that would leave the directory stay in it", () =>
    Effect.gen(function* () {
      const dir = yield* directory
      const { live } = over(() => Http.reply(200, "meow"))
      const names = [
        "../../evil",
        "/etc/passwd",
        "..",
        ".",
        "",
        "a/../../b",
        "..\\..\\evil",
        "a\u0000b",
        "x".repeat(5000),
        "é".repeat(300),
        "🙂".repeat(100)
      ]
      for (const filename of names) {
        const file = yield* Effect.provide(Files.downloadTo(File.fromBytes(bytes("meow"), { filename }), dir), live)
        assert.strictEqual(NodePathModule.dirname(file.path ?? ""), dir, filename)
      }
      for (const uri of [
        "https://h.test/..%2f..%2fevil",
        "https://h.test/%2e%2e",
        `https://h.test/${"x".repeat(5000)}.png`,
        "https://h.test/a%00b"
      ]) {
        const file = yield* Effect.provide(Files.downloadTo(File.fromUri(uri), dir), live)
        assert.strictEqual(NodePathModule.dirname(NodePathModule.dirname(file.path ?? "")), dir, uri)
      }
    })
  )

  it.prop(
    "a safe name is one part of a path, of a length that file systems take",
    [
      Fc.oneof(
        Fc.string({ unit: "binary", maxLength: 20 }),
        Fc.string({ unit: "binary", minLength: 190, maxLength: 230 })
      )
    ],
    ([name]) => {
      for (const safe of [safeName(name), safeName(`${name}.png`), safeName(`../${name}`)]) {
        assert.strictEqual(NodePathModule.posix.basename(safe), safe)
        assert.strictEqual(NodePathModule.posix.dirname(NodePathModule.posix.join("/dir", safe)), "/dir")
        assert.notInclude(safe, "\\")
        assert.isAtMost(Buffer.byteLength(safe), 200)
        assert.notInclude(["", ".", ".."], safe)
      }
    }
  )

  it("a safe name keeps an ordinary name, and the extension of a long one", () => {
    for (const name of ["cat.png", ".hidden", "my cat (1).tar.gz", "grüße 🙂.txt", "..a"]) {
      assert.strictEqual(safeName(name), name)
    }
    assert.match(safeName(`${"é".repeat(300)}.png`), /é\.png$/)
  })
})

for (const [name, transport] of Object.entries(Bad.transports)) {
  const live = (baseUrl: string) =>
    Inference.layer({ ...options, baseUrl, retry: { attempts: 3, baseDelay: 1 }, idleTimeout: "2 seconds" }).pipe(
      Layer.provide(Layer.mergeAll(transport, NodeFileSystem.layer, NodePath.layer))
    )

  /** Storage as S3 has it: it wants a length, the type of the record, and no other credentials. */
  const strict: Bad.Handler = Bad.reading((_, response, { headers, body }) => {
    const refusal =
      headers["transfer-encoding"] !== undefined || headers["content-length"] !== String(body.length)
        ? 411
        : headers["content-type"] !== "image/png" || headers.authorization !== undefined
          ? 403
          : 200
    response.writeHead(refusal).end()
  })

  describe(`files over ${name}`, () => {
    it.scopedLive("a storage that wants the length, the type and no credentials takes uploads", () =>
      Effect.gen(function* () {
        const dir = yield* directory
        const content = Buffer.alloc(300_000, "grüße")
        NodeFs.writeFileSync(`${dir}/a.png`, content)
        const storage = yield* Bad.make(strict)
        const server = yield* Bad.make(Bad.data([{ id: "f1", uri: "u", upload_url: `${storage.origin}/put?sig=1` }]))
        const inMemory = [content, new Blob([content])]
        // fetch sends streams without their length: FetchHttpClient is for browsers, which have no paths.
        const onDisk = name === "fetch" ? [] : [File.fromPath(`${dir}/a.png`), Stream.fromIterable([content])]
        for (const source of [...inMemory, ...onDisk]) {
          yield* Effect.provide(Files.upload(source, { contentType: "image/png" }), live(server.origin))
          assert.isTrue(storage.seen.at(-1)?.body.equals(content))
        }
        assert.strictEqual(storage.seen.length, inMemory.length + onDisk.length)
      })
    )

    it.scopedLive(
      "a download that is cut off is fetched again, and a redirect to another host followed without the key",
      () =>
        Effect.gen(function* () {
          const dir = yield* directory
          const content = Buffer.alloc(500_000, "x")
          const cut = Bad.trickle([content.subarray(0, 1000)], "reset", { "content-length": content.length })
          const other = yield* Bad.make(cut, Bad.reply(200, content))
          const cloud = yield* Bad.make(Bad.redirect(`${other.origin}/there?sig=1`))
          const file = yield* Effect.provide(
            Files.downloadTo(File.fromUri(`${cloud.origin}/here`), dir),
            live("http://127.0.0.1:9")
          )
          assert.isTrue(NodeFs.readFileSync(file.path ?? "").equals(content))
          assert.strictEqual(other.seen.length, 2)
          assert.strictEqual(filesIn(dir).length, 1)
          for (const { headers } of [...cloud.seen, ...other.seen]) assert.notProperty(headers, "authorization")
        })
    )

    it.scopedLive.skipIf(name === "node-http")("a blob too big for memory is handed over as it is", () =>
      Effect.gen(function* () {
        const content = Buffer.alloc(17 * 1024 * 1024, "grüße")
        const storage = yield* Bad.make(strict)
        const server = yield* Bad.make(Bad.data([{ id: "f1", uri: "u", upload_url: `${storage.origin}/put` }]))
        const blob = new Blob([content], { type: "image/png" })
        yield* Effect.provide(Files.upload(blob), live(server.origin))
        assert.isTrue(storage.seen[0]?.body.equals(content))
      })
    )

    it.scopedLive("a download that is stopped early closes its connection", () =>
      Effect.gen(function* () {
        const server = yield* Bad.make(Bad.trickle([Buffer.alloc(100_000)], "stall"))
        const download = Files.download(File.fromUri(`${server.origin}/a`))
        yield* Effect.provide(Stream.runDrain(Stream.take(download, 1)), live(server.origin))
        yield* Bad.eventually("it is closed", () => server.seen[0]?.closed() === true)
      })
    )
  })
}
