/** Lists in pages: which items are in them, and in what order. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { page } from "../src/internal/server/listing.js"
import type { Json } from "./support/wire.js"

interface Item {
  readonly ordinal: number
  readonly name: string
}

const items = ["d", "c", "b", "a"].map((name, i): Item => ({ ordinal: 4 - i, name }))

const ordinals = (items: ReadonlyArray<Json>) => items.map(({ ordinal }) => ordinal)

describe("a filter", () => {
  it.effect("looks at each item once, however many there are of it and of its values", () =>
    Effect.gen(function* () {
      let looks = 0
      const wire = (item: Item) => {
        looks++
        return { ...item }
      }
      const value = ["a", ...Array.from({ length: 999 }, (_, i) => String(i))]
      const filters = ["in", "eq", "in", "eq"].map((operator) => ({ field: "name", operator, value }))
      const { items: found } = yield* page(items, { filters }, { wire })
      assert.deepStrictEqual(ordinals(found), [1])
      assert.strictEqual(looks, items.length + found.length)
    })
  )

  it.effect("finds a value among those of an array, and takes numbers and texts for the same", () =>
    Effect.gen(function* () {
      const tagged = [
        { ordinal: 3, tags: ["x", 7] },
        { ordinal: 2, tags: "7" },
        { ordinal: 1, tags: { x: 7 } }
      ]
      const found = (operator: string, value: unknown) =>
        Effect.map(
          page(tagged, { filters: [{ field: "tags", operator, value }] }, { wire: (item) => item }),
          ({ items }) => ordinals(items)
        )
      assert.deepStrictEqual(yield* found("eq", 7), [3, 2])
      assert.deepStrictEqual(yield* found("in", ["x", "y"]), [3])
      assert.deepStrictEqual(yield* found("not_in", ["7"]), [1])
      assert.deepStrictEqual(yield* found("eq", { x: 7 }), [])
      assert.deepStrictEqual(yield* found("eq", "[object Object]"), [])
    })
  )
})
