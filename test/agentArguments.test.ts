/** How the arguments that a model writes are checked against a JSON Schema. */
import { assert, describe, it } from "@effect/vitest"
import { misfits } from "../src/internal/server/agents/arguments.js"

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
  })
})
