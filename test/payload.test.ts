import { existsSync, readdirSync, readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import * as FileSystem from "@effect/platform/FileSystem"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import { assert, describe, it } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as FC from "effect/FastCheck"
import * as Schema from "effect/Schema"
import * as App from "effect-inferencesh/App"
import * as File from "effect-inferencesh/File"
import type * as InferenceError from "effect-inferencesh/InferenceError"
import * as Tasks from "effect-inferencesh/Tasks"
import { withFilesUploaded } from "../src/internal/payload.js"
import * as T from "./support/tasks.js"

const post = "POST /apps/run"
const files = "POST /files"
const put = "PUT /put"

/** A service that takes everything, and how many uploads went on at a time at most. */
const accepting = () => {
  let now = 0
  let most = 0
  const service = T.service({
    [post]: T.data({ id: "t1", status: 1 }),
    [files]: (_, before) =>
      T.data([{ id: `f${before}`, uri: `https://files.test/${before}`, upload_url: "http://storage.test/put" }]),
    [put]: Effect.acquireUseRelease(
      Effect.sync(() => {
        most = Math.max(most, ++now)
      }),
      () => Effect.zipRight(Effect.sleep("1 second"), T.data(null)),
      () => Effect.sync(() => now--)
    )
  })
  return { service, most: () => most }
}

/** The body of the request that a submission leads to. */
const sentFor = (submission: Effect.Effect<unknown, unknown, Tasks.Tasks>) =>
  Effect.gen(function* () {
    const { service, most } = accepting()
    yield* Effect.provide(T.within("1 hour", submission), service.layer)
    const uploads = service.sent.filter(({ route }) => route === put).map(({ text }) => text)
    const records = service.sent
      .filter(({ route }) => route === files)
      .flatMap((sent) => T.jsonOf(sent).files as Array<T.Json>)
    return { body: T.jsonOf(service.sent.find(({ route }) => route === post)), uploads, records, most: most() }
  })

const inputFor = (input: unknown) => Effect.map(sentFor(Tasks.submit("acme/app", { input })), ({ body }) => body.input)

/** The refusal of a submission, of which nothing was sent. */
const refused = <A, E>(submission: Effect.Effect<A, E, Tasks.Tasks>) =>
  Effect.gen(function* () {
    const { service } = accepting()
    const error = yield* Effect.provide(Effect.flip(T.within("1 hour", submission)), service.layer)
    assert.propertyVal(error, "_tag", "InvalidRequest")
    assert.notProperty(error, "status")
    assert.deepStrictEqual(service.sent, [])
    return error as unknown as InferenceError.InvalidRequest
  })

const pathsOf = (error: InferenceError.InvalidRequest) => error.issues.map(({ path }) => path.join("."))

const bytes = (text: string) => new TextEncoder().encode(text)

describe("what is sent", () => {
  it.scoped("texts stay texts, whatever they look like", () =>
    Effect.gen(function* () {
      const path = yield* Effect.flatMap(FileSystem.FileSystem, (fs) => fs.makeTempFileScoped())
      const texts = {
        existing: path,
        directory: ".",
        passwd: "/etc/passwd",
        digest: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        base64: "aGVsbG8gd29ybGQgaGVsbG8gd29ybGQgaGVsbG8gd29ybGQgaGVsbG8gd29ybGQh",
        word: "incomprehensible",
        data: "data:text/plain;base64,aGk=",
        url: "https://example.com/cat.png"
      }
      const { body, records } = yield* sentFor(
        Tasks.submit("acme/app", { input: { ...texts, list: Object.values(texts) } })
      )
      assert.deepStrictEqual(body.input, { ...texts, list: Object.values(texts) })
      assert.deepStrictEqual(records, [])
    }).pipe(Effect.provide(NodeFileSystem.layer))
  )

  it.effect("a Date becomes its ISO text, and whatever else has a JSON form that", () =>
    Effect.gen(function* () {
      const date = new Date("2026-10-01T10:00:00Z")
      const input = yield* inputFor({
        date,
        nested: [{ date }],
        url: new URL("https://example.com/a"),
        time: DateTime.unsafeMake(date)
      })
      const iso = "2026-10-01T10:00:00.000Z"
      assert.deepStrictEqual(input, { date: iso, nested: [{ date: iso }], url: "https://example.com/a", time: iso })
    })
  )

  it.effect.prop("any JSON value is sent as it is", { input: FC.jsonValue() }, ({ input }) =>
    Effect.gen(function* () {
      const sent = yield* withFilesUploaded("acme/app", input, () => Effect.dieMessage("there is no file"))
      assert.deepStrictEqual(JSON.parse(JSON.stringify(sent)), JSON.parse(JSON.stringify(input)))
    })
  )

  it.effect("any JSON value may be the input, not only objects", () =>
    Effect.gen(function* () {
      for (const input of ["text", 1, true, null, [1, 2], {}]) assert.deepStrictEqual(yield* inputFor(input), input)
    })
  )

  describe("files", () => {
    it.scoped("are uploaded wherever they are, and replaced by their URLs", () =>
      Effect.gen(function* () {
        const fs = yield* FileSystem.FileSystem
        const path = yield* fs.makeTempFileScoped({ suffix: ".txt" })
        yield* fs.writeFileString(path, "on disk")
        const { body, uploads, records } = yield* sentFor(
          Tasks.submit("acme/app", {
            input: {
              file: File.fromPath(path),
              list: [bytes("bytes"), new Blob(["blob"], { type: "text/plain" })],
              deep: { er: [{ buffer: bytes("buffer").buffer }] },
              remote: File.fromUri("https://example.com/cat.png")
            },
            setup: { weights: bytes("weights") }
          })
        )
        const { input, setup } = body as { readonly input: Record<string, never>; readonly setup: unknown }
        assert.deepStrictEqual(input.remote, "https://example.com/cat.png")
        const found = [input.file, ...input.list, input.deep["er"][0]["buffer"], (setup as { weights: string }).weights]
        assert.deepStrictEqual(new Set(found), new Set([0, 1, 2, 3, 4].map((n) => `https://files.test/${n}`)))
        assert.deepStrictEqual(new Set(uploads), new Set(["on disk", "bytes", "blob", "buffer", "weights"]))
        assert.strictEqual(records.filter((record) => record["content_type"] === "text/plain").length, 2)
      }).pipe(Effect.provide(NodeFileSystem.layer))
    )

    it.effect("are uploaded once, however often they are used", () =>
      Effect.gen(function* () {
        const raw = bytes("raw")
        const file = File.fromBytes(bytes("file"))
        const { body, uploads } = yield* sentFor(
          Tasks.submit("acme/app", { input: { a: raw, b: [raw, file], c: { d: file, e: raw } }, setup: { raw } })
        )
        assert.deepStrictEqual([...uploads].sort(), ["file", "raw"])
        const input = body.input as { readonly a: string; readonly b: ReadonlyArray<string>; readonly c: T.Json }
        assert.deepStrictEqual([input.b[0], input.c.e, (body.setup as T.Json).raw], [input.a, input.a, input.a])
        assert.strictEqual(input.b[1], input.c.d)
        assert.notStrictEqual(input.a, input.b[1])
      })
    )

    it.effect("are uploaded some at a time", () =>
      Effect.gen(function* () {
        const many = Array.from({ length: 20 }, (_, i) => bytes(`${i}`))
        const { uploads, most } = yield* sentFor(Tasks.submit("acme/app", { input: { many } }))
        assert.strictEqual(uploads.length, 20)
        assert.strictEqual(most, 4)
      })
    )

    it.effect("keep their order in lists", () =>
      Effect.gen(function* () {
        const list = [bytes("a"), bytes("b"), bytes("c")]
        const { body, records } = yield* sentFor(Tasks.submit("acme/app", { input: { list } }))
        assert.strictEqual(records.length, 3)
        assert.deepStrictEqual(body.input, { list: [0, 1, 2].map((n) => `https://files.test/${n}`) })
      })
    )

    it.effect("in data: URIs are uploaded from fields that are files, and from no others", () =>
      Effect.gen(function* () {
        const uri = "data:text/plain,hello"
        const FileUrl = Schema.String.annotations({ jsonSchema: { type: "string", format: "file" } })
        const Mixed = App.make("acme/mixed", {
          input: {
            prompt: Schema.String,
            url: FileUrl,
            optional: Schema.optional(FileUrl),
            nullable: Schema.NullOr(FileUrl),
            list: Schema.Array(FileUrl),
            nested: Schema.Struct({ url: FileUrl, text: Schema.String }),
            record: Schema.Record({ key: Schema.String, value: FileUrl }),
            file: File.File
          },
          output: {}
        })
        const { body, uploads } = yield* sentFor(
          Tasks.submit(Mixed, {
            input: {
              prompt: uri,
              url: uri,
              optional: uri,
              nullable: uri,
              list: [uri, "https://example.com/a"],
              nested: { url: uri, text: uri },
              record: { a: uri },
              file: File.fromUri(uri)
            }
          })
        )
        const input = body.input as Record<string, never>
        assert.strictEqual(input.prompt, uri)
        assert.strictEqual(input.nested["text"], uri)
        assert.strictEqual(input.list[1], "https://example.com/a")
        const uploaded: ReadonlyArray<string> = [
          input.url,
          input.optional,
          input.nullable,
          input.list[0],
          input.nested["url"],
          input.record["a"],
          input.file
        ]
        for (const url of uploaded) assert.match(url, /^https:\/\/files\.test\//)
        assert.deepStrictEqual(new Set(uploads), new Set(["hello"]))
      })
    )

    it.effect("that cannot be read stop the submission before anything is sent", () =>
      Effect.gen(function* () {
        const { service } = accepting()
        const input = { file: File.fromPath("/nowhere/cat.png") }
        const error = yield* Effect.provide(Effect.flip(Tasks.submit("acme/app", { input })), service.layer)
        assert.propertyVal(error, "_tag", "FileError")
        assert.propertyVal(error, "reason", "NotFound")
        assert.deepStrictEqual(service.sent, [])
      })
    )
  })

  const Echo = App.make("acme/echo@7k2m9qd4", {
    input: {
      text: Schema.String,
      times: Schema.optionalWith(Schema.Int, { default: () => 1 }),
      when: Schema.optional(Schema.DateTimeUtc),
      maxTokens: Schema.optional(Schema.Int).pipe(Schema.fromKey("max_tokens"))
    },
    output: { text: Schema.String },
    setup: { model: Schema.optionalWith(Schema.String, { default: () => "small" }) }
  })

  it.effect("decoded values are encoded with their wire names, and defaults are filled in", () =>
    Effect.gen(function* () {
      const { body } = yield* sentFor(
        Tasks.submit(Echo, {
          input: { text: "hi", when: DateTime.unsafeMake("2026-10-01T10:00:00Z"), maxTokens: 3 },
          setup: {}
        })
      )
      assert.deepStrictEqual(body, {
        app: "acme/echo@7k2m9qd4",
        input: { text: "hi", times: 1, when: "2026-10-01T10:00:00.000Z", max_tokens: 3 },
        setup: { model: "small" }
      })
    })
  )

  it.effect("class schemas and filtered schemas work as inputs", () =>
    Effect.gen(function* () {
      class Point extends Schema.Class<Point>("Point")({
        x: Schema.Number,
        y: Schema.Number.pipe(Schema.optionalWith({ default: () => 0 }))
      }) {}
      const Range = Schema.Struct({ from: Schema.Number, to: Schema.Number }).pipe(
        Schema.filter(({ from, to }) => from <= to || "from is above to")
      )
      const Plot = App.make("acme/plot", {
        input: Point,
        output: {},
        functions: { zoom: { input: Range, output: {} } }
      })
      const plain = yield* sentFor(Tasks.submit(Plot, { input: { x: 1 } }))
      assert.deepStrictEqual(plain.body.input, { x: 1, y: 0 })
      const instance = yield* sentFor(Tasks.submit(Plot, { input: new Point({ x: 1, y: 2 }) }))
      assert.deepStrictEqual(instance.body.input, { x: 1, y: 2 })
      const zoomed = yield* sentFor(Tasks.submit(Plot, { function: "zoom", input: { from: 1, to: 2 } }))
      assert.deepInclude(zoomed.body, { function: "zoom", input: { from: 1, to: 2 } })
      const error = yield* refused(Tasks.submit(Plot, { function: "zoom", input: { from: 2, to: 1 } }))
      assert.include(error.message, "from is above to")
    })
  )

  it.effect("the options have their names of the protocol", () =>
    Effect.gen(function* () {
      const { body } = yield* sentFor(
        Tasks.submit("acme/app", {
          input: {},
          setup: { a: 1 },
          function: "go",
          infra: "private_first",
          variant: "large",
          workers: ["w1", "w2"],
          webhook: new URL("https://example.com/hook"),
          session: "new",
          sessionTimeout: "2 minutes",
          runAt: DateTime.unsafeMake("2026-10-01T10:00:00Z"),
          metadata: { action: { key: "notify", on: "completed" } },
          onInterrupt: "leave",
          transport: "poll"
        })
      )
      assert.deepStrictEqual(body, {
        app: "acme/app",
        input: {},
        setup: { a: 1 },
        function: "go",
        infra: "private_first",
        variant: "large",
        workers: ["w1", "w2"],
        webhook: "https://example.com/hook",
        session: "new",
        session_timeout: 120,
        run_at: "2026-10-01T10:00:00.000Z",
        metadata: { action: { key: "notify", on: "completed" } }
      })
      const dated = yield* sentFor(
        Tasks.submit("acme/app", { input: {}, runAt: new Date("2026-10-01T12:00:00+02:00"), session: "s1" })
      )
      assert.deepInclude(dated.body, { run_at: "2026-10-01T10:00:00.000Z", session: "s1" })
    })
  )

  it.effect("no option is sent that was not given", () =>
    Effect.gen(function* () {
      const { body } = yield* sentFor(Tasks.submit("acme/app", { input: { a: 1 } }))
      assert.deepStrictEqual(body, { app: "acme/app", input: { a: 1 } })
    })
  )
})

describe("what is not sent", () => {
  const Form = App.make("acme/form", {
    input: {
      name: Schema.NonEmptyString,
      age: Schema.Int,
      tags: Schema.Array(Schema.Struct({ key: Schema.String }))
    },
    output: {},
    setup: { size: Schema.Literal("s", "m") }
  })

  it.effect("an input that does not fit: each of its mistakes is listed with where it is", () =>
    Effect.gen(function* () {
      const input: unknown = { name: "", age: 1.5, tags: [{ key: "a" }, { key: 2 }] }
      const wrong = { input } as Tasks.Params<typeof Form, "run">
      for (const submission of [Tasks.submit(Form, wrong), Tasks.run(Form, wrong)]) {
        const error = yield* refused(submission)
        assert.deepStrictEqual(pathsOf(error), ["input.name", "input.age", "input.tags.1.key"])
        assert.strictEqual(error.app, "acme/form")
        assert.include(error.message, "acme/form")
        assert.include(error.message, "input.tags[1].key")
      }
    })
  )

  it.effect("a setup that does not fit, which is told apart from the input", () =>
    Effect.gen(function* () {
      const params: unknown = { input: { name: "a", age: 1, tags: [] }, setup: { size: "xl" } }
      const error = yield* refused(Tasks.submit(Form, params as Tasks.Params<typeof Form, "run">))
      assert.deepStrictEqual(new Set(pathsOf(error)), new Set(["setup.size"]))
    })
  )

  it.effect("a missing input", () =>
    Effect.gen(function* () {
      const params: unknown = {}
      const error = yield* refused(Tasks.submit(Form, params as Tasks.Params<typeof Form, "run">))
      assert.deepStrictEqual(pathsOf(error), ["input.name", "input.age", "input.tags"])
    })
  )

  const circular: Record<string, unknown> = { a: 1 }
  circular.self = { inner: circular }
  const unfit: Record<string, readonly [input: unknown, path: string]> = {
    "a value that contains itself": [circular, "input.self.inner"],
    "a BigInt": [{ n: 1n }, "input.n"],
    NaN: [{ list: [1, Number.NaN] }, "input.list.1"],
    Infinity: [{ n: Number.POSITIVE_INFINITY }, "input.n"],
    "a Map": [{ map: new Map([["a", 1]]) }, "input.map"],
    "a Set": [{ set: new Set([1]) }, "input.set"],
    "a function": [{ f: () => 1 }, "input.f"],
    "a symbol": [{ s: Symbol("s") }, "input.s"],
    "a promise": [{ p: Promise.resolve(1) }, "input.p"],
    "numbers in a typed array": [{ floats: new Float32Array([1]) }, "input.floats"],
    "a Date that is none": [{ at: new Date(Number.NaN) }, "input.at"]
  }
  for (const [name, [input, path]] of Object.entries(unfit)) {
    it.effect(`${name}, since JSON cannot hold it`, () =>
      Effect.gen(function* () {
        const error = yield* refused(Tasks.submit("acme/app", { input }))
        assert.deepStrictEqual(pathsOf(error), [path])
      })
    )
  }

  it.effect("files beside a value that cannot be sent", () =>
    Effect.gen(function* () {
      const error = yield* refused(Tasks.submit("acme/app", { input: { file: bytes("a"), n: 1n, m: 2n } }))
      assert.deepStrictEqual(pathsOf(error), ["input.n", "input.m"])
    })
  )

  it.effect("the same value twice is no value that contains itself", () =>
    Effect.gen(function* () {
      const shared = { a: 1 }
      assert.deepStrictEqual(yield* inputFor({ x: shared, y: [shared, shared] }), {
        x: { a: 1 },
        y: [{ a: 1 }, { a: 1 }]
      })
    })
  )

  const wrongOptions: Record<string, readonly [options: object, path: string]> = {
    "a session timeout that is too short": [{ session: "new", sessionTimeout: 0 }, "sessionTimeout"],
    "a session timeout that is too long": [{ session: "new", sessionTimeout: "2 hours" }, "sessionTimeout"],
    "a session timeout that is none": [{ session: "new", sessionTimeout: "soon" }, "sessionTimeout"],
    "a session timeout without a new session": [{ session: "s1", sessionTimeout: "1 minute" }, "sessionTimeout"],
    "a webhook that is no URL": [{ webhook: "example.com/hook" }, "webhook"],
    "a webhook that nobody can call": [{ webhook: "mailto:ada@example.com" }, "webhook"],
    "a start that is no date": [{ runAt: new Date("soon") }, "runAt"],
    "metadata that JSON cannot hold": [{ metadata: { n: 1n } }, "metadata.n"]
  }
  for (const [name, [options, path]] of Object.entries(wrongOptions)) {
    it.effect(name, () =>
      Effect.gen(function* () {
        const error = yield* refused(Tasks.submit("acme/app", { input: {}, ...options }))
        assert.deepStrictEqual(pathsOf(error), [path])
      })
    )
  }

  it.effect("all wrong options are listed at once", () =>
    Effect.gen(function* () {
      const error = yield* refused(Tasks.submit(" ", { input: {}, webhook: "hook", sessionTimeout: 0 }))
      assert.deepStrictEqual(pathsOf(error), ["app", "sessionTimeout", "sessionTimeout", "webhook"])
    })
  )

  it.effect("a function that the contract does not have", () =>
    Effect.gen(function* () {
      const input = { name: "a", age: 1, tags: [] }
      for (const name of ["nope", "toString"]) {
        const params: unknown = { input, function: name }
        const error = yield* refused(Tasks.submit(Form, params as Tasks.Params<typeof Form, "run">))
        assert.deepStrictEqual(pathsOf(error), ["function"])
        assert.include(error.message, name)
      }
    })
  )
})

const schemas = fileURLToPath(new URL("../../shared/app-schemas", import.meta.url))

describe.skipIf(!existsSync(schemas))("the inputs of real apps", () => {
  type Node = { readonly [key: string]: unknown }
  const isNode = (u: unknown): u is Node => typeof u === "object" && u !== null && !Array.isArray(u)

  /** A value that a JSON schema allows: its default or example where it has one, else the simplest of its type. */
  const sample = (schema: unknown, root: Node, depth = 0): unknown => {
    if (!isNode(schema) || depth > 12) return null
    if (typeof schema.$ref === "string") {
      const found = schema.$ref
        .replace("#/", "")
        .split("/")
        .reduce<unknown>((at, key) => (isNode(at) ? at[key] : undefined), root)
      return sample(found, root, depth + 1)
    }
    if (schema.default !== undefined) return schema.default
    if (Array.isArray(schema.examples)) return schema.examples[0]
    if (Array.isArray(schema.enum)) return schema.enum[0]
    const variants = schema.anyOf ?? schema.oneOf ?? schema.allOf
    if (Array.isArray(variants)) return sample(variants[0], root, depth + 1)
    if (isNode(schema.properties)) {
      return Object.fromEntries(
        Object.entries(schema.properties).map(([key, value]) => [key, sample(value, root, depth + 1)])
      )
    }
    switch (schema.type) {
      case "array":
        return [sample(schema.items, root, depth + 1)]
      case "integer":
      case "number":
        return 1
      case "boolean":
        return true
      case "object":
        return {}
      default:
        return schema.format === "file" ? "https://example.com/file.png" : "/etc/hosts"
    }
  }

  it.effect("are sent unchanged", () =>
    Effect.gen(function* () {
      const names = readdirSync(schemas).filter((name) => name.endsWith(".json"))
      assert.isNotEmpty(names)
      for (const name of names) {
        const { app, input_schema } = JSON.parse(readFileSync(`${schemas}/${name}`, "utf8"))
        const input = sample(input_schema, input_schema)
        const { body, records } = yield* sentFor(Tasks.submit(app, { input }))
        assert.deepStrictEqual(body, { app, input }, name)
        assert.deepStrictEqual(records, [])
      }
    })
  )
})
