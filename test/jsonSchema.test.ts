import { assert, describe, it } from "@effect/vitest"
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import * as File from "effect-inferencesh/File"
import { toJsonSchema } from "../src/internal/jsonSchema.js"

const jsonSchema = (schema: Schema.Schema.AnyNoContext) => Either.getOrThrow(toJsonSchema(schema))

const propertiesOf = (fields: { readonly [name: string]: Schema.Struct.Field }) =>
  jsonSchema(Schema.Struct(fields) as unknown as Schema.Schema.AnyNoContext).properties

describe("toJsonSchema", () => {
  it("says of a struct what a model has to know, and no more", () => {
    const schema = Schema.Struct({
      city: Schema.String.annotations({ description: "The city" }),
      days: Schema.Int,
      unit: Schema.optional(Schema.Literal("c", "f"))
    })
    assert.deepStrictEqual(jsonSchema(schema), {
      type: "object",
      required: ["city", "days"],
      properties: {
        city: { type: "string", description: "The city" },
        days: { type: "integer" },
        unit: { type: "string", enum: ["c", "f"] }
      }
    })
  })

  it("shows the defaults that the schema fills in, as they are on the wire", () => {
    assert.deepStrictEqual(
      propertiesOf({
        times: Schema.optionalWith(Schema.Int, { default: () => 2 }),
        at: Schema.optionalWith(Schema.DateFromString, { default: () => new Date(0) }),
        tags: Schema.optionalWith(Schema.Array(Schema.String), { default: () => ["a"], nullable: true }),
        annotated: Schema.optionalWith(Schema.Number, { default: () => 1 }).annotations({ default: 3 })
      }),
      {
        times: { type: "integer", default: 2 },
        at: { type: "string", format: "date-time", default: "1970-01-01T00:00:00.000Z" },
        tags: { anyOf: [{ type: "array", items: { type: "string" } }, { type: "null" }], default: ["a"] },
        annotated: { type: "number", default: 3 }
      }
    )
  })

  it("says what times look like, and what is said of schemas of other wire forms", () => {
    const described = (schema: Schema.Schema.AnyNoContext) => schema.annotations({ description: "D", title: "T" })
    const said = { title: "T", description: "D" }
    assert.deepStrictEqual(
      propertiesOf({
        at: described(Schema.DateTimeUtc),
        on: Schema.DateFromString,
        list: Schema.Array(Schema.DateTimeUtc),
        count: described(Schema.NumberFromString),
        word: described(Schema.Trim),
        field: Schema.propertySignature(described(Schema.Date)).annotations({ description: "the field" })
      }),
      {
        at: { type: "string", format: "date-time", ...said },
        on: { type: "string", format: "date-time" },
        list: { type: "array", items: { type: "string", format: "date-time" } },
        count: { type: "string", ...said },
        word: { type: "string", ...said },
        field: { type: "string", format: "date-time", title: "T", description: "the field" }
      }
    )
  })

  it("shows no default that is another one each time, or that is no JSON", () => {
    let count = 0
    assert.deepStrictEqual(
      propertiesOf({
        counted: Schema.optionalWith(Schema.Number, { default: () => ++count }),
        absent: Schema.optionalWith(Schema.String, { as: "Option" }),
        file: Schema.optionalWith(File.File, { default: () => File.fromPath("a.txt") })
      }),
      {
        counted: { type: "number" },
        absent: { type: "string" },
        file: { type: "string", format: "file" }
      }
    )
  })

  it("looks into nested structs, arrays, unions and filters", () => {
    const Point = Schema.Struct({ x: Schema.optionalWith(Schema.Number, { default: () => 0 }) })
    const point = { type: "object", properties: { x: { type: "number", default: 0 } } }
    assert.deepStrictEqual(
      propertiesOf({
        nested: Schema.Struct({ point: Point }),
        list: Schema.Array(Point),
        filtered: Point.pipe(Schema.filter(() => true)),
        either: Schema.Union(Point, Schema.String),
        record: Schema.Record({ key: Schema.String, value: Schema.Number })
      }),
      {
        nested: { type: "object", required: ["point"], properties: { point } },
        list: { type: "array", items: point },
        filtered: point,
        either: { anyOf: [point, { type: "string" }] },
        record: { type: "object", properties: {}, additionalProperties: { type: "number" } }
      }
    )
  })

  it("says what kind of file a field holds, wherever it is", () => {
    const said = { title: "Image", description: "The picture" }
    const image = { type: "string", format: "file", contentMediaType: "image/*" }
    assert.deepStrictEqual(
      propertiesOf({
        image: File.image.annotations(said),
        mask: Schema.optional(File.image),
        maybe: Schema.optionalWith(File.image, { nullable: true }),
        list: Schema.Array(File.image),
        video: File.video,
        audio: File.audio,
        any: File.File.annotations(said)
      }),
      {
        image: { ...image, ...said },
        mask: image,
        maybe: { anyOf: [image, { type: "null" }] },
        list: { type: "array", items: image },
        video: { type: "string", format: "file", contentMediaType: "video/*" },
        audio: { type: "string", format: "file", contentMediaType: "audio/*" },
        any: { type: "string", format: "file", ...said }
      }
    )
  })

  it("leaves the library's own words for a limit out, and keeps those of the schema's author", () => {
    assert.deepStrictEqual(
      propertiesOf({
        steps: Schema.Int.pipe(Schema.between(1, 50)).annotations({ description: "How many steps" }),
        count: Schema.Int.pipe(Schema.between(1, 4)).annotations({ title: "Count" }),
        strength: Schema.Number.pipe(Schema.greaterThan(0), Schema.lessThanOrEqualTo(1)),
        name: Schema.NonEmptyString,
        prompt: Schema.String.pipe(Schema.minLength(3), Schema.maxLength(10)),
        tags: Schema.Array(Schema.String).pipe(Schema.minItems(1), Schema.maxItems(4)),
        finite: Schema.Finite,
        pattern: Schema.String.pipe(Schema.startsWith("a"))
      }),
      {
        steps: { type: "integer", minimum: 1, maximum: 50, description: "How many steps" },
        count: { type: "integer", minimum: 1, maximum: 4, title: "Count" },
        strength: { type: "number", exclusiveMinimum: 0, maximum: 1 },
        name: { type: "string", minLength: 1 },
        prompt: { type: "string", minLength: 3, maxLength: 10 },
        tags: { type: "array", items: { type: "string" }, minItems: 1, maxItems: 4 },
        finite: { type: "number" },
        pattern: { type: "string", pattern: "^a", description: 'a string starting with "a"' }
      }
    )
  })

  it("writes named schemas out where they are used, and names fields as on the wire", () => {
    class City extends Schema.Class<City>("City")({ name: Schema.String }) {}
    const Named = Schema.Struct({ a: Schema.String }).annotations({ identifier: "Named" })
    const schema = Schema.Struct({
      named: Named,
      city: City,
      lastSeen: Schema.propertySignature(Schema.String).pipe(Schema.fromKey("last_seen"))
    }).annotations({ identifier: "Root" })
    const json = jsonSchema(schema)
    assert.notInclude(JSON.stringify(json), "$ref")
    assert.deepStrictEqual(json.properties, {
      named: { type: "object", required: ["a"], properties: { a: { type: "string" } } },
      city: { type: "object", required: ["name"], properties: { name: { type: "string" } } },
      last_seen: { type: "string" }
    })
  })

  it("says what kind of value a schema that contains itself has inside", () => {
    interface Tree {
      readonly label: string
      readonly children: ReadonlyArray<Tree>
    }
    const Tree: Schema.Schema<Tree> = Schema.Struct({
      label: Schema.String,
      children: Schema.Array(Schema.suspend(() => Tree).annotations({ identifier: "Tree" }))
    })
    assert.deepStrictEqual(jsonSchema(Tree), {
      type: "object",
      required: ["label", "children"],
      properties: { label: { type: "string" }, children: { type: "array", items: { type: "object" } } }
    })
  })

  it("takes anything for what has no schema, and knows the empty struct and enums", () => {
    enum Color {
      Red = "red",
      Blue = "blue"
    }
    assert.deepStrictEqual(jsonSchema(Schema.Struct({})), { type: "object", properties: {}, required: [] })
    assert.deepStrictEqual(
      propertiesOf({
        any: Schema.Unknown.annotations({ description: "whatever" }),
        none: Schema.Struct({}),
        color: Schema.Enums(Color)
      }),
      {
        any: { description: "whatever" },
        none: { type: "object", properties: {} },
        color: { type: "string", enum: ["red", "blue"] }
      }
    )
  })

  it("leaves values alone that look like parts of a schema", () => {
    const odd = { required: [], additionalProperties: true, $ref: "#/x" }
    assert.deepStrictEqual(propertiesOf({ odd: Schema.optionalWith(Schema.Unknown, { default: () => odd }) }), {
      odd: { default: odd }
    })
  })

  it("says what cannot be written as one", () => {
    const schema = Schema.Struct({ when: Schema.DateFromSelf })
    const error = Either.getOrThrow(Either.flip(toJsonSchema(schema)))
    assert.include(error, "when")
    assert.notInclude(error, "\n")
  })
})
