/** An app that keeps something in memory from one call to the next. */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { App, BaseApp } from "effect-inferencesh"

const Item = Schema.NonEmptyString
const Count = Schema.Int.pipe(Schema.positive())

export const Stock = App.make("acme/stock", {
  functions: {
    put: { input: { item: Item, count: Count }, output: { left: Schema.Int } },
    take: { input: { item: Item, count: Count }, output: { left: Schema.Int } },
    list: { input: {}, output: { items: Schema.Record({ key: Schema.String, value: Schema.Int }) } }
  }
})

class TooFew extends Data.TaggedError("TooFew")<{ readonly message: string }> {}

export const stock = BaseApp.make(Stock, {
  setup: () => Effect.sync(() => new Map<string, number>()),
  run: {
    put: ({ item, count }, items) =>
      Effect.sync(() => {
        const left = (items.get(item) ?? 0) + count
        items.set(item, left)
        return { left }
      }),
    take: ({ item, count }, items) =>
      Effect.gen(function* () {
        const left = (items.get(item) ?? 0) - count
        if (left < 0) return yield* new TooFew({ message: `there are only ${items.get(item) ?? 0} ${item}` })
        items.set(item, left)
        return { left }
      }),
    list: (_, items) => Effect.sync(() => ({ items: Object.fromEntries(items) }))
  }
})
