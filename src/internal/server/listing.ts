/** Lists with cursors: protocol.md §1.8. */
import * as Effect from "effect/Effect"
import { isJsonObject } from "../wire.js"
import { invalid, type Problem } from "./reply.js"

const maxLimit = 100
const maxFilters = 50
const maxValues = 1000

const cursorOf = (item: { readonly ordinal: number }) => btoa(`after:${item.ordinal}`)

const readCursor = (cursor: unknown): number | undefined => {
  if (cursor === undefined || cursor === null || cursor === "") return undefined
  try {
    const match = typeof cursor === "string" ? /^after:(\d+)$/.exec(atob(cursor)) : null
    return match === null ? Number.NaN : Number(match[1])
  } catch {
    return Number.NaN
  }
}

const isPlain = (value: unknown) => typeof value !== "object" || value === null

const same = (value: unknown, wanted: unknown) =>
  Array.isArray(value)
    ? value.includes(wanted)
    : value === wanted || (isPlain(value) && isPlain(wanted) && String(value) === String(wanted))

const tooMany = (message: string) => invalid("the filters ask for too much", [{ field: "filters", message }])

type Filter<A> = (item: A) => boolean

const readFilter =
  <A>(valueOf: (item: A, field: string) => unknown) =>
  (filter: unknown): Effect.Effect<Filter<A>, Problem> => {
    if (!isJsonObject(filter) || typeof filter.field !== "string") {
      return Effect.fail(
        invalid("a filter has no field", [{ field: "filters", message: "expected {field, operator, value}" }])
      )
    }
    const { field, operator = "eq", value } = filter
    const wanted = Array.isArray(value) ? value : [value]
    if (wanted.length > maxValues) return Effect.fail(tooMany(`a filter has more than ${maxValues} values`))
    const holds = (item: A) => wanted.some((option) => same(valueOf(item, field), option))
    switch (operator) {
      case "eq":
      case "in":
        return Effect.succeed(holds)
      case "neq":
      case "not_in":
        return Effect.succeed((item) => !holds(item))
      default:
        return Effect.fail(
          invalid(`this server has no filter operator "${operator}"`, [
            { field: "filters", message: "expected eq, neq, in or not_in" }
          ])
        )
    }
  }

/**
 * A page of the items, which come newest first. A cursor names the last item of the page before, so that items which come
 * or go meanwhile shift nothing. `valueOf` gives what filters compare: a value, or an array of its names.
 */
export const page = <A extends { readonly ordinal: number }>(
  items: ReadonlyArray<A>,
  query: { readonly [key: string]: unknown },
  valueOf: (item: A, field: string) => unknown,
  wire: (item: A) => unknown
) =>
  Effect.gen(function* () {
    const after = readCursor(query.cursor)
    if (Number.isNaN(after))
      return yield* invalid("the cursor is not one of this server", [{ field: "cursor", message: "is not valid" }])
    const limit = typeof query.limit === "number" && query.limit >= 1 ? Math.min(maxLimit, Math.floor(query.limit)) : 20
    const asked: ReadonlyArray<unknown> = Array.isArray(query.filters) ? query.filters : []
    if (asked.length > maxFilters) return yield* tooMany(`expected no more than ${maxFilters}`)
    const filters = yield* Effect.forEach(asked, readFilter(valueOf))
    const [sort]: ReadonlyArray<unknown> = Array.isArray(query.sort) ? query.sort : []
    const ascending = isJsonObject(sort) && sort.field === "created_at" && sort.dir === "asc"
    const all = items.filter((item) => filters.every((filter) => filter(item)))
    if (ascending) all.reverse()
    const rest =
      after === undefined ? all : all.filter(({ ordinal }) => (ascending ? ordinal > after : ordinal < after))
    const shown = rest.slice(0, limit)
    const last = shown.at(-1)
    const hasNext = rest.length > shown.length
    return {
      items: shown.map(wire),
      next_cursor: hasNext && last !== undefined ? cursorOf(last) : "",
      prev_cursor: "",
      has_next: hasNext,
      has_previous: after !== undefined,
      items_per_page: limit,
      total_items: all.length
    }
  })
