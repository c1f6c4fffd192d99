import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/FastCheck"
import { append, diff } from "../src/internal/llmDelta.js"
import { type Json, sameJson } from "../src/internal/wire.js"

const sum = (pieces: ReadonlyArray<Json>): Json => pieces.reduce(append, {})

describe("append", () => {
  it("adds pieces up as the protocol's example says", () => {
    const usage = { stop_reason: "tool_calls", prompt_tokens: 9 }
    const output = sum([
      { response: "Hel" },
      {
        response: "lo",
        tool_calls: [{ index: 0, id: "c1", type: "function", function: { name: "add", arguments: '{"a":' } }]
      },
      { tool_calls: [{ index: 0, function: { arguments: "1}" } }], usage }
    ])
    assert.deepStrictEqual(output, {
      response: "Hello",
      tool_calls: [{ index: 0, id: "c1", type: "function", function: { name: "add", arguments: '{"a":1}' } }],
      usage
    })
  })

  it("changes nothing where a field is null or missing, and takes a field that it does not know as it comes", () => {
    const output = sum([{ response: "a", images: ["x"] }, { response: null, reasoning: "" }, { images: ["y"] }])
    assert.deepStrictEqual(output, { response: "a", images: ["y"], reasoning: "" })
  })

  it("keeps calls in the order of their index, and takes none for 0", () => {
    const { tool_calls } = sum([
      { tool_calls: [{ index: 1, id: "b" }, { id: "a" }] },
      { tool_calls: [{ index: 0, function: { name: "f" } }] }
    ])
    assert.deepStrictEqual(tool_calls, [
      { id: "a", index: 0, function: { name: "f" } },
      { index: 1, id: "b" }
    ])
  })

  it("takes fields that are called like the members of every object as any other", () => {
    const names = ["__proto__", "constructor", "toString", "valueOf", "hasOwnProperty"]
    for (const name of names) {
      const odd: Json = JSON.parse(`{"${name}": {"polluted": true}}`)
      const output = sum([
        { response: "a", ...odd, tool_calls: [{ index: 0, ...odd, function: { ...odd, arguments: "1" } }] },
        { response: "b", ...odd, tool_calls: [{ index: 0, ...odd, function: { ...odd, arguments: "2" } }] }
      ])
      const expected = {
        response: "ab",
        ...odd,
        tool_calls: [{ index: 0, ...odd, function: { ...odd, arguments: "12" } }]
      }
      assert.strictEqual(JSON.stringify(output), JSON.stringify(expected))
      assert.strictEqual(Object.getPrototypeOf(output), Object.prototype)
      assert.notProperty({}, "polluted")
    }
  })

  it("leaves what it is given alone", () => {
    const before = sum([{ response: "a", tool_calls: [{ index: 0, function: { arguments: "1" } }] }])
    const copy = structuredClone(before)
    append(before, { response: "b", tool_calls: [{ index: 0, function: { arguments: "2" } }] })
    assert.deepStrictEqual(before, copy)
  })
})

const call = Arbitrary.record({ id: Arbitrary.string(), name: Arbitrary.string(), arguments: Arbitrary.string() })

const output = Arbitrary.record({
  response: Arbitrary.string(),
  reasoning: Arbitrary.string(),
  calls: Arbitrary.array(call, { maxLength: 3 })
}).map(
  ({ response, reasoning, calls }): Json => ({
    response,
    reasoning,
    tool_calls: calls.map(({ id, name, arguments: args }, index) => ({
      index,
      id,
      type: "function",
      function: { name, arguments: args }
    }))
  })
)

describe("diff", () => {
  const named = (id: string, name: string, args = ""): Json => ({
    tool_calls: [{ index: 0, id, type: "function", function: { name, arguments: args } }]
  })

  it("gives the piece that append undoes, whatever there was before", () => {
    Arbitrary.assert(
      Arbitrary.property(output, output, (a, b) => {
        const after = append(a, b)
        const piece = diff(a, after)
        // Where a call of the same place got another name, it does not just go on.
        return piece === undefined || sameJson(append(a, piece), after)
      })
    )
  })

  it("cuts a text that grows into pieces that add up to it", () => {
    Arbitrary.assert(
      Arbitrary.property(output, Arbitrary.infiniteStream(Arbitrary.nat(4)), (whole, steps) => {
        let state: Json = {}
        const text = String(whole.response)
        for (let length = 0; length < text.length; ) {
          length = Math.min(text.length, length + 1 + (steps.next().value ?? 0))
          state = append(state, diff(state, { response: text.slice(0, length) }) ?? {})
        }
        return sameJson(state.response ?? "", text)
      })
    )
  })

  it("is empty where nothing is new, and undefined where the next output does not go on", () => {
    assert.deepStrictEqual(diff({ response: "a" }, { response: "a" }), {})
    assert.isUndefined(diff({ response: "ab" }, { response: "b" }))
    assert.isUndefined(diff({ tool_calls: [{ id: "a" }] }, { tool_calls: [] }))
    assert.isUndefined(diff(named("a", "f"), { tool_calls: [{ function: { name: "f" } }] }))
  })

  it("replaces ids and names that come late or change", () => {
    for (const [before, after] of [
      [named("a", "get"), named("a", "get_weather")],
      [{ tool_calls: [{ function: { name: "f", arguments: "{" } }] }, named("a", "f", "{}")],
      [named("a", "f"), named("b", "g", "{}")],
      [named("a", "f"), named("b", "f")]
    ] as const) {
      const piece = diff(before, after)
      assert.isDefined(piece)
      assert.deepStrictEqual(diff(append(before, piece ?? {}), after), {})
    }
  })

  it("writes arguments that come as an object as text", () => {
    assert.deepStrictEqual(diff({}, { tool_calls: [{ id: "a", function: { name: "f", arguments: { x: 1 } } }] }), {
      tool_calls: [{ index: 0, id: "a", type: "function", function: { name: "f", arguments: '{"x":1}' } }]
    })
  })

  const calling = (args: unknown): Json => ({ tool_calls: [{ id: "a", function: { name: "f", arguments: args } }] })

  it("goes on from a text of arguments to the object that it becomes, however it is written", () => {
    Arbitrary.assert(
      Arbitrary.property(Arbitrary.object(), Arbitrary.nat(4), Arbitrary.nat(), (object, indent, cut) => {
        const args: unknown = JSON.parse(JSON.stringify(object))
        const written = JSON.stringify(args, undefined, indent)
        const before = calling(written.slice(0, cut % (written.length + 1)))
        const piece = diff(before, calling(args))
        if (piece === undefined) return false
        const [call] = append(before, piece).tool_calls as ReadonlyArray<{ function: { arguments: string } }>
        return (
          sameJson(JSON.parse(call?.function.arguments ?? ""), args) && sameJson(diff(calling(args), calling(args)), {})
        )
      })
    )
  })

  it("is empty where a text says what the object does in other words, and undefined where it says something else", () => {
    assert.deepStrictEqual(diff(calling('{"\\u0061":1.0}'), calling({ a: 1 })), {})
    assert.isUndefined(diff(calling('{"a":1'), calling({ b: 1 })))
    assert.isUndefined(diff(calling('{"a":1}'), calling({ a: 2 })))
    assert.isUndefined(diff(calling({ a: 1 }), calling('{"a":1} ')))
  })
})
