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

const named = { wire: (item: Item) => ({ ...item }), texts: ["name"] }

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

  it.effect("compares as its operator says", () =>
    Effect.gen(function* () {
      const all = [
        { ordinal: 6, size: 3, at: "2026-10-01T10:00:01.000Z" },
        { ordinal: 5, size: 2, at: "2026-10-01T10:00:00.000Z" },
        { ordinal: 4, size: null, at: "" },
        { ordinal: 3, at: [] },
        { ordinal: 2, size: "2", at: { x: 1 } },
        { ordinal: 1, size: 10, at: ["1", 5] }
      ]
      const found = (field: string, operator: string, value?: unknown) =>
        Effect.map(page(all, { filters: [{ field, operator, value }] }, { wire: (item) => item }), ({ items }) =>
          ordinals(items)
        )
      assert.deepStrictEqual(yield* found("size", "gt", 2), [6, 1])
      assert.deepStrictEqual(yield* found("size", "gte", 2), [6, 5, 1])
      assert.deepStrictEqual(yield* found("size", "lt", 3), [5])
      assert.deepStrictEqual(yield* found("size", "lte", "2"), [2])
      // The same time, written as others do.
      assert.deepStrictEqual(yield* found("at", "gt", "2026-10-01T12:00:00+02:00"), [6])
      assert.deepStrictEqual(yield* found("at", "contains", "T10:00:00"), [5])
      assert.deepStrictEqual(yield* found("at", "contains", 5), [1])
      assert.deepStrictEqual(yield* found("at", "not_contains", "T"), [4, 3, 2, 1])
      assert.deepStrictEqual(yield* found("size", "is_null"), [4, 3])
      assert.deepStrictEqual(yield* found("size", "is_not_null"), [6, 5, 2, 1])
      assert.deepStrictEqual(yield* found("at", "is_empty"), [4, 3])
      assert.deepStrictEqual(yield* found("at", "is_not_empty"), [6, 5, 2, 1])
    })
  )

  it.effect("is refused where it is not known", () =>
    Effect.gen(function* () {
      for (const operator of ["like", "toString", 1]) {
        const { status, errors } = yield* Effect.flip(
          page(items, { filters: [{ field: "name", operator, value: "a" }] }, named)
        )
        assert.deepStrictEqual([status, errors?.[0]?.field], [400, "filters"])
      }
    })
  )
})

describe("a search", () => {
  const pets = [
    { ordinal: 3, name: "Cat", description: "purrs" },
    { ordinal: 2, name: "dog", description: "Chases CATS" },
    { ordinal: 1, name: ["bird", "cat food"], description: null }
  ]
  const search = (search: unknown) => page(pets, { search }, { wire: (item) => item, texts: ["name", "description"] })

  it.effect("finds a text in the names and descriptions, in upper or lower case", () =>
    Effect.gen(function* () {
      const found = (...asked: Parameters<typeof search>) =>
        Effect.map(search(...asked), ({ items, total_items }) => [ordinals(items), total_items])
      assert.deepStrictEqual(yield* found({ term: "cAt", exact: false }), [[3, 2, 1], 3])
      assert.deepStrictEqual(yield* found({ term: "cat", exact: true }), [[3], 1])
      assert.deepStrictEqual(yield* found({ term: "fish" }), [[], 0])
      assert.deepStrictEqual(yield* found({ term: "" }), [[3, 2, 1], 3])
      assert.deepStrictEqual((yield* Effect.flip(search("cat"))).errors?.[0]?.field, "search")
    })
  )
})

describe("a sorted list", () => {
  const pages = (sort: unknown, limit = 2) =>
    Effect.gen(function* () {
      const seen: Array<Json> = []
      let cursor = ""
      do {
        const { items: found, next_cursor } = yield* page(all, { sort, limit, cursor }, named)
        seen.push(...found)
        cursor = next_cursor
      } while (cursor !== "")
      return ordinals(seen)
    })
  const all = ["b", "a", "ü: 😀", "b", ""].map((name, i) => ({ ordinal: 5 - i, name }))

  it.effect("goes on from page to page, also among items of the same name", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* pages([{ field: "name", dir: "asc" }]), [1, 4, 2, 5, 3])
      assert.deepStrictEqual(yield* pages([{ field: "name", dir: "desc" }], 1), [3, 5, 2, 4, 1])
      assert.deepStrictEqual(yield* pages([{ field: "created_at", dir: "asc" }]), [1, 2, 3, 4, 5])
      assert.deepStrictEqual(yield* pages([]), [5, 4, 3, 2, 1])
    })
  )

  it.effect("is refused in an order that there is not", () =>
    Effect.gen(function* () {
      for (const sort of [[{ field: "size" }], [{ field: "name", dir: "up" }], [{}, {}]]) {
        const { status, errors } = yield* Effect.flip(pages(sort))
        assert.deepStrictEqual([status, errors?.[0]?.field], [400, "sort"])
      }
    })
  )
})
