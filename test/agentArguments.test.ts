/** How the arguments that a model writes are checked against a JSON Schema. */
import { assert, describe, it } from "@effect/vitest"
import { firstMisfits, misfits } from "../src/internal/server/agents/arguments.js"

describe("arguments", () => {
  const person = {
    type: "object",
    properties: {
      name: { type: "string" },
      age: { type: "integer" },
      kind: { enum: ["cat", { big: true }] },
      tags: { type: "array", items: { type: "string" } },
      home: { type: "object", properties: { city: { type: ["string", "null"] } }, required: ["city"] },
      weight: { anyOf: [{ type: "number" }, { type: "string" }] },
      scores: { type: "object", additionalProperties: { type: "number" } }
    },
    required: ["name"]
  }

  it("fit where each field is what its schema says", () => {
    const all = {
      name: "Tom",
      age: 3,
      kind: { big: true },
      tags: ["a"],
      home: { city: null },
      weight: "4 kg",
      scores: { jump: 1.5 },
      other: 1
    }
    assert.deepStrictEqual(misfits(person, all), [])
    assert.deepStrictEqual(misfits(person, { name: "" }), [])
    assert.deepStrictEqual(misfits({}, { name: 1 }), [])
    assert.deepStrictEqual(misfits(true, null), [])
  })

  it("are told of with what is wrong in each field", () => {
    const wrong = {
      age: 3.5,
      kind: "dog",
      tags: ["a", 1],
      home: { city: 1 },
      weight: true,
      scores: { jump: "high" }
    }
    assert.deepStrictEqual(misfits(person, wrong), [
      "name is missing",
      "age: expected integer",
      'kind: expected one of "cat", {"big":true}',
      "tags.1: expected string",
      "home.city: expected string or null",
      "weight: expected number, or: expected string",
      "scores.jump: expected number"
    ])
    assert.deepStrictEqual(misfits(person, []), ["expected object"])
    assert.deepStrictEqual(misfits({ ...person, additionalProperties: false }, { name: "", other: 1 }), [
      "other is not a field"
    ])
    assert.deepStrictEqual(misfits({ oneOf: [{ const: 1 }], allOf: [{ type: "string" }] }, 2), [
      "expected string",
      "expected 1"
    ])
  })

  it("look for fields among those of their own", () => {
    assert.deepStrictEqual(misfits({ properties: {}, required: ["toString"] }, {}), ["toString is missing"])
    assert.deepStrictEqual(misfits({ properties: {} }, JSON.parse('{"constructor":1,"__proto__":2}')), [])
  })

  it("fit what is not understood", () => {
    assert.deepStrictEqual(misfits({ $ref: "#/x", minimum: 5, type: "odd", enum: "x", items: [1] }, 3), [])
    assert.deepStrictEqual(misfits({ type: [], enum: [] }, 3), [])
    for (const additionalProperties of [false, { type: "string" }]) {
      const open = { type: "object", patternProperties: { "^x-": {} }, additionalProperties }
      assert.deepStrictEqual(misfits(open, { "x-a": 1 }), [])
    }
    assert.deepStrictEqual(misfits({ type: "string", nullable: true }, null), [])
  })

  it("may have items of their own before the others", () => {
    const schema = { type: "array", prefixItems: [{ type: "string" }], items: { type: "number" } }
    assert.deepStrictEqual(misfits(schema, ["a", 1, 2]), [])
    assert.deepStrictEqual(misfits(schema, [1, "a"]), ["0: expected string", "1: expected number"])
  })

  it("are not told of without end", () => {
    const found = firstMisfits({ items: { type: "number" } }, Array(50_000).fill("a"))
    assert.deepStrictEqual([found.length, found[0], found.at(-1)], [11, "0: expected number", "and 49990 more"])
    assert.lengthOf(firstMisfits({ items: { type: "number" } }, Array(10).fill("a")), 10)
  })
})
