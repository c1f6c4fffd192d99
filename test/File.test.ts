import { inspect } from "node:util"
import * as FileSystem from "@effect/platform/FileSystem"
import type * as HttpClient from "@effect/platform/HttpClient"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fc from "effect/FastCheck"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as File from "../src/File.js"
import { FileError } from "../src/InferenceError.js"
import { parseDataUri } from "../src/internal/dataUri.js"
import * as Mime from "../src/internal/mime.js"
import * as MimeBrowser from "../src/internal/mimeBrowser.js"
import * as Http from "./support/http.js"

const bytes = (text: string) => new TextEncoder().encode(text)
const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes)

/** Files over a real directory and a script of answers. */
const over = <A, E>(
  effect: (directory: string) => Effect.Effect<A, E, FileSystem.FileSystem | HttpClient.HttpClient>,
  script: Parameters<typeof Http.recorder>[0] = []
) => {
  const recorder = Http.recorder(script)
  return Effect.flatMap(FileSystem.FileSystem, (fs) => Effect.flatMap(fs.makeTempDirectoryScoped(), effect)).pipe(
    Effect.scoped,
    Effect.provide(Layer.merge(recorder.layer, NodeFileSystem.layer))
  )
}

const metadata = (file: File.File): unknown => JSON.parse(JSON.stringify(file))

describe("File constructors", () => {
  it("fromPath takes name and type from the path, and what is given wins", () => {
    assert.deepStrictEqual(metadata(File.fromPath("/a/b/Cat.PNG")), {
      path: "/a/b/Cat.PNG",
      contentType: "image/png",
      filename: "Cat.PNG"
    })
    assert.strictEqual(File.fromPath("c:\\pics\\cat.jpg").filename, "cat.jpg")
    assert.deepStrictEqual(metadata(File.fromPath("a.bin", { filename: "b.txt", contentType: "x/y", size: 3 })), {
      path: "a.bin",
      contentType: "x/y",
      size: 3,
      filename: "b.txt"
    })
    assert.isUndefined(File.fromPath("/a/Makefile").contentType)
  })

  it("a name without a dot has no type, even where it is the name of one", () => {
    for (const name of ["png", "json", "text", "mp4"]) {
      assert.isUndefined(File.fromPath(`/a/${name}`).contentType)
      assert.isUndefined(MimeBrowser.contentTypeOf(name))
    }
    assert.strictEqual(Mime.contentTypeOf("a.tar.gz"), "application/gzip")
    assert.strictEqual(MimeBrowser.contentTypeOf("a.tar.gz"), "application/gzip")
  })

  it("the table for browsers agrees with the full one in both directions", () => {
    for (const name of "a.jpg a.JPEG a.png a.webp a.mp4 a.mov a.mp3 a.pdf a.json a.txt a.csv a.zip a.svg".split(" ")) {
      assert.strictEqual(MimeBrowser.contentTypeOf(name), Mime.contentTypeOf(name), name)
    }
    for (const type of ["image/png", "text/plain; charset=utf-8", "application/json", "video/mp4", "no/such"]) {
      assert.strictEqual(MimeBrowser.extensionOf(type), Mime.extensionOf(type), type)
    }
  })

  it("fromUri takes name and type from the path of the address, decoded, without its query", () => {
    const file = File.fromUri("https://h.test/files/my%20cat.png?sig=a/b.txt#c")
    assert.strictEqual(file.filename, "my cat.png")
    assert.strictEqual(file.contentType, "image/png")
    assert.strictEqual(File.fromUri("inf://files/abc").filename, "abc")
    assert.isUndefined(File.fromUri("https://h.test").filename)
    assert.isUndefined(File.fromUri("https://h.test/").filename)
    assert.strictEqual(File.fromUri("https://h.test/100%.txt").filename, "100%.txt")
  })

  it("fromUri reads type and size out of a data: URI", () => {
    const file = File.fromUri("data:image/png;base64,aGVsbG8=")
    assert.strictEqual(file.contentType, "image/png")
    assert.strictEqual(file.size, 5)
    assert.isUndefined(file.filename)
    assert.strictEqual(File.fromUri("data:,x").contentType, "text/plain")
  })

  it("fromBytes and fromBlob know their size, type and name", () => {
    assert.deepStrictEqual(metadata(File.fromBytes(bytes("hello"), { filename: "a.txt" })), {
      contentType: "text/plain",
      size: 5,
      filename: "a.txt"
    })
    const blob = new Blob(["grüße"], { type: "text/markdown" })
    assert.deepStrictEqual(metadata(File.fromBlob(blob)), { contentType: "text/markdown", size: 7 })
    const named = new globalThis.File(["x"], "cat.png")
    assert.deepStrictEqual(metadata(File.fromBlob(named)), { contentType: "image/png", size: 1, filename: "cat.png" })
    assert.strictEqual(File.fromBlob(named, { filename: "dog.gif" }).filename, "dog.gif")
  })

  it.effect("fromStream runs once per use, and its failure is a FileError", () =>
    over(() =>
      Effect.gen(function* () {
        let runs = 0
        const file = File.fromStream(
          Stream.suspend(() => {
            runs += 1
            return Stream.make(bytes("a"), bytes("b"))
          }),
          { filename: "ab.txt" }
        )
        assert.isUndefined(file.size)
        assert.strictEqual(text(yield* File.bytes(file)), "ab")
        assert.strictEqual(text(yield* File.bytes(file)), "ab")
        assert.strictEqual(runs, 2)
        const error = yield* Effect.flip(File.bytes(File.fromStream(Stream.fail(new Error("boom")))))
        assert.instanceOf(error, FileError)
        assert.deepInclude(error, { reason: "Read", detail: "boom" })
        const own = new FileError({ file: "x", reason: "NotFound" })
        assert.strictEqual(yield* Effect.flip(File.bytes(File.fromStream(Stream.fail(own)))), own)
      })
    )
  )

  it("isFile knows files from what looks like one", () => {
    assert.isTrue(File.isFile(File.fromUri("https://h.test/a")))
    for (const not of [
      null,
      undefined,
      "https://h.test/a",
      { uri: "https://h.test/a" },
      new Blob([]),
      new Uint8Array()
    ]) {
      assert.isFalse(File.isFile(not))
    }
  })
})

describe("File printing", () => {
  it("shows what a file is, not what it holds", () => {
    const secret = "hushhushhush"
    const held = [
      File.fromBytes(bytes(secret)),
      File.fromBlob(new Blob([secret])),
      File.fromStream(Stream.make(bytes(secret))),
      File.fromUri(`data:text/plain;charset=utf-8,${secret.repeat(20)}`),
      File.fromUri(`data:text/plain;charset=utf-8;base64,${btoa(secret.repeat(20))}`)
    ]
    for (const file of held) {
      for (const printed of [JSON.stringify({ file }), inspect({ file }, { depth: 10 }), String(file)]) {
        assert.isBelow(printed.length, 400)
        for (const form of [secret, btoa(secret), bytes(secret).join(","), bytes(secret).join(", ")]) {
          assert.notInclude(printed, form)
        }
      }
    }
  })

  it("shows path, address, type, size and name, and the address keeps working", () => {
    const uri = "https://h.test/cat.png?sig=1"
    assert.deepStrictEqual(metadata(File.fromUri(uri, { size: 3, id: "f1" })), {
      id: "f1",
      uri,
      contentType: "image/png",
      size: 3,
      filename: "cat.png"
    })
  })
})

describe("File reading", () => {
  it.effect("each kind of file gives its bytes", () =>
    over(
      (directory) =>
        Effect.gen(function* () {
          const fs = yield* FileSystem.FileSystem
          yield* fs.writeFileString(`${directory}/a.txt`, "grüße")
          for (const file of [
            File.fromPath(`${directory}/a.txt`),
            File.fromBytes(bytes("grüße")),
            File.fromBlob(new Blob(["grüße"])),
            File.fromStream(Stream.make(bytes("grü"), bytes("ße"))),
            File.fromUri(`data:,${encodeURIComponent("grüße")}`),
            File.fromUri("https://h.test/a.txt")
          ]) {
            assert.strictEqual(text(yield* File.bytes(file)), "grüße")
          }
        }),
      [Http.reply(200, "grüße")]
    )
  )

  it.effect("an empty file is empty, wherever it is", () =>
    over(
      (directory) =>
        Effect.gen(function* () {
          const fs = yield* FileSystem.FileSystem
          yield* fs.writeFileString(`${directory}/a.txt`, "")
          for (const file of [
            File.fromPath(`${directory}/a.txt`),
            File.fromBytes(bytes("")),
            File.fromBlob(new Blob([])),
            File.fromStream(Stream.empty),
            File.fromUri("data:,"),
            File.fromUri("https://h.test/a.txt"),
            File.fromUri("https://h.test/b.txt")
          ]) {
            assert.strictEqual((yield* File.bytes(file)).length, 0)
          }
        }),
      [Http.reply(200, undefined, { "content-length": "0" }), Http.reply(200, "")]
    )
  )

  it.effect("what cannot be read says why", () =>
    over(
      (directory) =>
        Effect.gen(function* () {
          const reason = (file: File.File) => Effect.map(Effect.flip(File.bytes(file)), (error) => error.reason)
          assert.strictEqual(yield* reason(File.fromPath(`${directory}/none`)), "NotFound")
          assert.strictEqual(yield* reason(File.fromPath(directory)), "NotAFile")
          assert.strictEqual(yield* reason(File.fromUri("data:text/plain;base64,%%%")), "InvalidUri")
          assert.strictEqual(yield* reason(File.fromUri("data:no comma")), "InvalidUri")
          assert.strictEqual(yield* reason(File.fromUri("inf://files/abc")), "InvalidUri")
          assert.strictEqual(yield* reason(File.fromUri("file:///etc/passwd")), "InvalidUri")
          assert.strictEqual(yield* reason(File.fromUri("https://h.test/a?sig=1")), "NotFound")
        }),
      [Http.reply(404)]
    )
  )

  it.effect("exists looks on disk or asks the server, and says so where it cannot find out", () =>
    over(
      (directory) =>
        Effect.gen(function* () {
          const fs = yield* FileSystem.FileSystem
          yield* fs.writeFileString(`${directory}/a`, "")
          assert.isTrue(yield* File.exists(File.fromPath(`${directory}/a`)))
          assert.isFalse(yield* File.exists(File.fromPath(`${directory}/b`)))
          assert.isTrue(yield* File.exists(File.fromBytes(bytes(""))))
          assert.isTrue(yield* File.exists(File.fromUri("data:,x")))
          assert.isTrue(yield* File.exists(File.fromUri("https://h.test/a")))
          assert.isFalse(yield* File.exists(File.fromUri("https://h.test/a")))
          assert.isFalse(yield* File.exists(File.fromUri("https://h.test/a")))
          assert.strictEqual((yield* Effect.flip(File.exists(File.fromUri("https://h.test/a")))).status, 403)
        }),
      [Http.stalled("never read"), Http.reply(404), Http.reply(410), Http.reply(403)]
    )
  )

  it.effect("refreshMetadata reads the size again, keeps what was given, and leaves other files as they are", () =>
    over((directory) =>
      Effect.gen(function* () {
        const fs = yield* FileSystem.FileSystem
        const path = `${directory}/a.txt`
        yield* fs.writeFileString(path, "12345")
        const file = yield* File.refreshMetadata(File.fromPath(path, { size: 1, contentType: "x/y" }))
        assert.deepStrictEqual(metadata(file), { path, contentType: "x/y", size: 5, filename: "a.txt" })
        const memory = File.fromBytes(bytes("x"))
        assert.strictEqual(yield* File.refreshMetadata(memory), memory)
        const none = yield* Effect.flip(File.refreshMetadata(File.fromPath(`${directory}/none`)))
        assert.strictEqual(none.reason, "NotFound")
        const folder = yield* Effect.flip(File.refreshMetadata(File.fromPath(directory)))
        assert.strictEqual(folder.reason, "NotAFile")
      })
    )
  )
})

describe("the File schema", () => {
  const decode = Schema.decodeUnknownOption(File.File)

  it("decodes an address, an object with one, and a File", () => {
    assert.strictEqual(Option.getOrThrow(decode("https://h.test/cat.png")).contentType, "image/png")
    const file = Option.getOrThrow(
      decode({ uri: "https://h.test/x", content_type: "a/b", size: 7, filename: "y", id: null, path: null, more: 1 })
    )
    assert.deepStrictEqual(metadata(file), { uri: "https://h.test/x", contentType: "a/b", size: 7, filename: "y" })
    const same = File.fromBytes(bytes("x"))
    assert.strictEqual(Option.getOrThrow(decode(same)), same)
  })

  it("rejects what stands for no file", () => {
    for (const not of [null, undefined, "", {}, { uri: "" }, { uri: null }, { path: "" }, 7, [], ["https://h.test"]]) {
      assert.isTrue(Option.isNone(decode(not)), JSON.stringify(not))
    }
  })

  it("encodes to the address, and leaves what has none yet as a File", () => {
    const encode = Schema.encodeSync(File.File)
    assert.strictEqual(encode(File.fromUri("https://h.test/a")), "https://h.test/a")
    assert.strictEqual(encode(File.fromUri("inf://f/a", { size: 1 })), "inf://f/a")
    for (const local of [File.fromBytes(bytes("x")), File.fromPath("/a"), File.fromUri("data:,x")]) {
      assert.strictEqual(encode(local), local)
    }
  })
})

describe("data: URIs", () => {
  const parse = (uri: string) => Option.getOrUndefined(parseDataUri(uri))
  const octets = Fc.uint8Array({ maxLength: 200 })
  const type = Fc.constantFrom("image/png", "text/plain;charset=utf-8", "application/vnd.x+json")

  it.prop(
    "any bytes survive base64, in either alphabet and with or without padding",
    [octets, type],
    ([data, type]) => {
      const base64 = Buffer.from(data).toString("base64")
      for (const payload of [
        base64,
        base64.replace(/=+$/, ""),
        Buffer.from(data).toString("base64url"),
        encodeURIComponent(base64),
        base64.replace(/(.{20})/g, "$1\n")
      ]) {
        assert.deepStrictEqual(parse(`data:${type};base64,${payload}`), { contentType: type, bytes: data })
      }
    }
  )

  it.prop("any bytes survive percent escapes", [octets, type], ([data, type]) => {
    const escaped = Array.from(data, (byte) => `%${byte.toString(16).padStart(2, "0")}`).join("")
    assert.deepStrictEqual(parse(`data:${type},${escaped}`), { contentType: type, bytes: data })
  })

  it.prop("any text survives encodeURIComponent", [Fc.string({ unit: "grapheme" })], ([string]) => {
    const escaped = `data:,${encodeURIComponent(string)}`
    assert.deepStrictEqual(parse(escaped), { contentType: "text/plain", bytes: bytes(string) })
  })

  it.prop("no text makes the parser throw", [Fc.string({ unit: "binary" })], ([string]) => {
    assert.isTrue(Option.isOption(parseDataUri(string)))
    assert.isTrue(Option.isOption(parseDataUri(`data:${string}`)))
    assert.isTrue(Option.isOption(parseDataUri(`data:;base64,${string}`)))
  })

  it("reads types, parameters and their defaults", () => {
    const types: Record<string, string> = {
      "data:,": "text/plain",
      "data:;charset=latin1,x": "text/plain;charset=latin1",
      "data:;base64,": "text/plain",
      "data:text/html;charset=utf-8;base64,": "text/html;charset=utf-8",
      "DATA:Image/PNG;BASE64,": "Image/PNG",
      "data:text/plain; base64,": "text/plain"
    }
    for (const [uri, type] of Object.entries(types)) assert.strictEqual(parse(uri)?.contentType, type, uri)
    for (const not of ["data:", "data:text/plain", "http://x/,", "data:;base64,*", ""])
      assert.isUndefined(parse(not), not)
  })
})
