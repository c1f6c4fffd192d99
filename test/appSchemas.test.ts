/** The JSON Schemas of contracts, beside those that published apps have. */
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as App from "effect-inferencesh/App"
import * as BaseApp from "effect-inferencesh/BaseApp"
import * as File from "effect-inferencesh/File"
import * as InferenceError from "effect-inferencesh/InferenceError"
import * as OutputMeta from "effect-inferencesh/OutputMeta"

type Json = { readonly [key: string]: unknown }

const isJson = (u: unknown): u is Json => typeof u === "object" && u !== null && !Array.isArray(u)

const object = (u: unknown): Json => {
  assert.isTrue(isJson(u), `no object: ${JSON.stringify(u)}`)
  return isJson(u) ? u : {}
}

/** An optional field, as Python's `X | None = None`. */
const maybe = <A, I>(schema: Schema.Schema<A, I>) => Schema.optionalWith(schema, { nullable: true })

const orElse = <A, I>(schema: Schema.Schema<A, I>, value: A) => Schema.optionalWith(schema, { default: () => value })

const output = <Fields extends App.Fields>(fields: Fields) => ({ ...fields, output_meta: OutputMeta.field })

const contracts = [
  App.make("bria/vehicle-shot-text", {
    input: {
      image: File.File,
      scene_description: Schema.String,
      optimize_description: maybe(Schema.Boolean),
      num_results: maybe(Schema.Int),
      seed: maybe(Schema.Int),
      content_moderation: maybe(Schema.Boolean)
    },
    output: output({ image: File.File })
  }),
  App.make("you/contents", {
    input: {
      urls: Schema.Array(Schema.String).pipe(Schema.minItems(1), Schema.maxItems(10)),
      format: orElse(Schema.Literal("markdown", "html"), "markdown"),
      crawl_timeout: orElse(Schema.Int.pipe(Schema.between(1, 60)), 10)
    },
    output: output({
      pages: Schema.Array(
        Schema.Struct({ url: Schema.String, title: orElse(Schema.String, ""), content: orElse(Schema.String, "") })
      ),
      raw: Schema.Array(Schema.Unknown)
    })
  }),
  App.make("bytedance/seedance-1-0-pro", {
    input: {
      prompt: Schema.String,
      image: maybe(File.File),
      resolution: orElse(Schema.Literal("480p", "720p", "1080p"), "1080p"),
      duration: orElse(Schema.Literal("2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12"), "5"),
      camera_fixed: orElse(Schema.Boolean, false)
    },
    output: output({ video: File.File })
  }),
  App.make("elevenlabs/voice-design", {
    input: {
      description: Schema.String,
      preview_text: maybe(Schema.String.pipe(Schema.minLength(100), Schema.maxLength(500))),
      seed: maybe(Schema.Int)
    },
    output: output({
      previews: Schema.Array(Schema.Struct({ voice_id: Schema.String, audio: File.File, duration_secs: Schema.Number }))
    })
  }),
  App.make("inworld/text-to-speech-1-5-mini", {
    input: {
      text: Schema.String.pipe(Schema.maxLength(2000)),
      voice_id: orElse(Schema.String, "Sarah"),
      language: maybe(Schema.String),
      temperature: orElse(Schema.Number.pipe(Schema.greaterThan(0), Schema.lessThanOrEqualTo(2)), 1),
      audio_encoding: orElse(Schema.Literal("MP3", "WAV", "OGG_OPUS", "FLAC", "LINEAR16", "ALAW", "MULAW"), "MP3"),
      sample_rate_hertz: orElse(Schema.Int, 44_100),
      speaking_rate: orElse(Schema.Number.pipe(Schema.between(0.5, 1.5)), 1)
    },
    output: output({ audio: File.File }),
    functions: {
      voices: {
        input: { language: maybe(Schema.String), gender: maybe(Schema.String) },
        output: output({ voices: Schema.Array(Schema.Unknown), total: Schema.Int })
      }
    }
  }),
  App.make("infsh/markdown-to-html", {
    input: { markdown: Schema.String, full_page: orElse(Schema.Boolean, false) },
    output: { html: Schema.String, file: Schema.optional(Schema.Unknown) }
  })
]

const folder = fileURLToPath(new URL("../../shared/app-schemas/", import.meta.url))

const published = (file: string): Json => object(JSON.parse(readFileSync(folder + file, "utf8")))

/** What a published schema says, in one form: references followed, and no difference between absent and `null`. */
const plain = (schema: unknown, root: Json): unknown => {
  if (Array.isArray(schema)) return schema.map((item) => plain(item, root))
  if (!isJson(schema)) return schema
  const { $ref, $defs: _, title: __, description: ___, examples: ____, ...rest } = schema
  if (typeof $ref === "string") {
    const found = $ref
      .split("/")
      .slice(1)
      .reduce((at: unknown, key) => object(at)[key], root)
    return { ...object(plain(found, root)), ...rest }
  }
  return Object.fromEntries(
    Object.entries(rest).flatMap(([key, value]): ReadonlyArray<readonly [string, unknown]> => {
      if (key === "default") return value === null ? [] : [[key, value]]
      if (key === "additionalProperties" && value === true) return []
      if (key === "properties") {
        return [
          [key, Object.fromEntries(Object.entries(object(value)).map(([name, each]) => [name, plain(each, root)]))]
        ]
      }
      return [[key, plain(value, root)]]
    })
  )
}

const namesOf = (schema: unknown) => Object.keys(object(object(schema).properties))

/** The keywords in a schema, wherever they are. */
const keywords = (schema: unknown): ReadonlyArray<string> => {
  if (Array.isArray(schema)) return schema.flatMap(keywords)
  if (!isJson(schema)) return []
  return Object.entries(schema).flatMap(([key, value]) => {
    if (key === "properties" || key === "$defs") return [key, ...Object.values(object(value)).flatMap(keywords)]
    return ["default", "examples", "example", "enum", "required"].includes(key) ? [key] : [key, ...keywords(value)]
  })
}

describe("jsonSchemas", () => {
  it.effect("are those of the default function, of each function, and of setup", () =>
    Effect.gen(function* () {
      const Several = App.make("acme/several", {
        input: { image: File.image.annotations({ title: "Image", description: "What to enlarge" }) },
        output: { image: File.image },
        functions: { count: { input: { text: Schema.String }, output: { count: Schema.Int } } },
        setup: { model: orElse(Schema.Literal("x2", "x4"), "x2") }
      })
      const schemas = yield* BaseApp.jsonSchemas(Several)
      assert.deepStrictEqual(schemas.input, {
        type: "object",
        required: ["image"],
        properties: {
          image: {
            type: "string",
            format: "file",
            contentMediaType: "image/*",
            title: "Image",
            description: "What to enlarge"
          }
        }
      })
      assert.deepStrictEqual(schemas.setup, {
        type: "object",
        required: [],
        properties: { model: { type: "string", enum: ["x2", "x4"], default: "x2" } }
      })
      assert.deepStrictEqual(Object.keys(schemas.functions), ["run", "count"])
      assert.deepStrictEqual(schemas.functions.run, { input: schemas.input, output: schemas.output })
      const app = BaseApp.make(Several, {
        run: { run: Effect.succeed, count: ({ text }) => Effect.succeed({ count: text.length }) }
      })
      assert.deepStrictEqual(yield* BaseApp.jsonSchemas(app), schemas)
    })
  )

  it.effect("have no setup where the app has none", () =>
    Effect.gen(function* () {
      const schemas = yield* BaseApp.jsonSchemas(App.make("acme/one", { input: {}, output: {} }))
      assert.deepStrictEqual(Object.keys(schemas), ["input", "output", "functions"])
    })
  )

  it.effect("say which schema has none", () =>
    Effect.gen(function* () {
      const Odd = App.make("acme/odd", { input: {}, output: { when: Schema.DateFromSelf } })
      const error = yield* Effect.flip(BaseApp.jsonSchemas(Odd))
      assert.instanceOf(error, InferenceError.InvalidRequest)
      assert.deepStrictEqual(error.issues[0]?.path, ["functions", "run", "output"])
      assert.include(error.message, "when")
    })
  )

  describe.skipIf(!existsSync(folder))("beside those of published apps", () => {
    for (const contract of contracts) {
      it.effect(`have the fields, defaults, limits and choices of ${contract.name}`, () =>
        Effect.gen(function* () {
          const real = published(`${contract.name.replace("/", "__")}.json`)
          const ours = yield* BaseApp.jsonSchemas(contract)
          const functions = object(real.functions_schema ?? {})
          const pairs = [
            [ours.input, real.input_schema],
            [ours.output, real.output_schema],
            ...Object.entries(functions).flatMap(([name, schemas]) => [
              [ours.functions[name]?.input, object(schemas).input_schema],
              [ours.functions[name]?.output, object(schemas).output_schema]
            ])
          ]
          for (const [mine, theirs] of pairs) {
            const root = object(theirs)
            const compared = namesOf(mine)
            assert.deepStrictEqual(compared, namesOf(root), "in the order of their definition")
            const [properties, realProperties] = [object(object(mine).properties), object(root.properties)]
            for (const name of compared) {
              assert.deepStrictEqual(plain(properties[name], {}), plain(realProperties[name], root), name)
            }
            assert.deepStrictEqual(object(mine).required ?? [], root.required ?? [])
          }
        })
      )
    }

    it.effect("are made of no other keywords", () =>
      Effect.gen(function* () {
        const known = new Set(
          readdirSync(folder).flatMap((file) => {
            const { input_schema, output_schema, functions_schema } = published(file)
            const functions = Object.values(object(functions_schema ?? {})).map(object)
            return [
              input_schema,
              output_schema,
              ...functions.flatMap((each) => [each.input_schema, each.output_schema])
            ].flatMap(keywords)
          })
        )
        // Read by the platform, but not used by these apps.
        known.add("contentMediaType")
        const Wide = App.make("acme/wide", {
          input: {
            image: File.image.annotations({ title: "Image", examples: [File.fromUri("https://files.test/a.png")] }),
            at: orElse(Schema.DateTimeUtc, yield* Schema.decode(Schema.DateTimeUtc)("2026-01-01T00:00:00Z")),
            nested: Schema.Struct({ list: Schema.NonEmptyArray(Schema.Struct({ x: orElse(Schema.Number, 0) })) }),
            either: Schema.Union(Schema.String, Schema.Struct({ kind: Schema.Literal("a") })),
            record: Schema.Record({ key: Schema.String, value: Schema.Unknown }),
            count: Schema.NumberFromString,
            name: Schema.NonEmptyTrimmedString,
            positive: Schema.Positive,
            any: Schema.Unknown
          },
          output: output({})
        })
        for (const contract of [...contracts, Wide]) {
          const { input, output: out, functions } = yield* BaseApp.jsonSchemas(contract)
          const unknown = [input, out, ...Object.values(functions)]
            .flatMap(keywords)
            .filter((keyword) => !known.has(keyword) && !["input", "output", "pattern"].includes(keyword))
          assert.deepStrictEqual(unknown, [])
        }
      })
    )
  })
})
