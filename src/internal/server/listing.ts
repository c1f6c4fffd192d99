/** Lists with cursors: protocol.md §1.8. */
import * as Effect from "effect/Effect"
import { isJsonObject, type Json } from "../wire.js"
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

/** What is neither an array nor an object. Filters compare it as a text. */
const isPlain = (value: unknown) => typeof value !== "object" || value === null

/** Whether a value is one of those wanted, or an array with one of them. */
const oneOf = (wanted: ReadonlyArray<unknown>) => {
  const texts = new Set(wanted.filter(isPlain).map(String))
  const isWanted = (value: unknown) => isPlain(value) && texts.has(String(value))
  return (value: unknown): boolean => (Array.isArray(value) ? value.some(isWanted) : isWanted(value))
}

const tooMany = (message: string) => invalid("the filters ask for too much", [{ field: "filters", message }])

/** Something as filters see it, by its fields. */
type Look = (field: string) => unknown

type Filter = (look: Look) => boolean

const readFilter = (filter: unknown): Effect.Effect<Filter, Problem> => {
  if (!isJsonObject(filter) || typeof filter.field !== "string") {
    return Effect.fail(
      invalid("a filter has no field", [{ field: "filters", message: "expected {field, operator, value}" }])
    )
  }
  const { field, operator = "eq", value } = filter
  const wanted = Array.isArray(value) ? value : [value]
  if (wanted.length > maxValues) return Effect.fail(tooMany(`a filter has more than ${maxValues} values`))
  const holds = oneOf(wanted)
  switch (operator) {
    case "eq":
    case "in":
      return Effect.succeed((look) => holds(look(field)))
    case "neq":
    case "not_in":
      return Effect.succeed((look) => !holds(look(field)))
    default:
      return Effect.fail(
        invalid(`this server has no filter operator "${operator}"`, [
          { field: "filters", message: "expected eq, neq, in or not_in" }
        ])
      )
  }
}

/** How the items of a list are told of. */
interface Items<A> {
  readonly wire: (item: A) => Json
  /** What filters compare, a value or an array of its names, where that is not the field of `wire`. */
  readonly valueAt?: (item: A, field: string) => unknown
}

/** A look at an item, which is told of once for however many fields. */
const lookAt =
  <A>({ wire, valueAt }: Items<A>) =>
  (item: A): Look => {
    if (valueAt !== undefined) return (field) => valueAt(item, field)
    const told = wire(item)
    return (field) => (Object.hasOwn(told, field) ? told[field] : undefined)
  }

/**
 * A page of the items, which come newest first. A cursor names the last item of the page before, so that items which come
 * or go meanwhile shift nothing.
 */
export const page = <A extends { readonly ordinal: number }>(
  items: ReadonlyArray<A>,
  query: { readonly [key: string]: unknown },
  as: Items<A>
) =>
  Effect.gen(function* () {
    const after = readCursor(query.cursor)
    if (Number.isNaN(after))
      return yield* invalid("the cursor is not one of this server", [{ field: "cursor", message: "is not valid" }])
    const limit = typeof query.limit === "number" && query.limit >= 1 ? Math.min(maxLimit, Math.floor(query.limit)) : 20
    const asked: ReadonlyArray<unknown> = Array.isArray(query.filters) ? query.filters : []
    if (asked.length > maxFilters) return yield* tooMany(`expected no more than ${maxFilters}`)
    const filters = yield* Effect.forEach(asked, readFilter)
    const [sort]: ReadonlyArray<unknown> = Array.isArray(query.sort) ? query.sort : []
    const ascending = isJsonObject(sort) && sort.field === "created_at" && sort.dir === "asc"
    const look = lookAt(as)
    const fits = (item: A) => {
      const seen = look(item)
      return filters.every((filter) => filter(seen))
    }
    const all = filters.length === 0 ? [...items] : items.filter(fits)
    if (ascending) all.reverse()
    const rest =
      after === undefined ? all : all.filter(({ ordinal }) => (ascending ? ordinal > after : ordinal < after))
    const shown = rest.slice(0, limit)
    const last = shown.at(-1)
    const hasNext = rest.length > shown.length
    return {
      items: shown.map(as.wire),
      next_cursor: hasNext && last !== undefined ? cursorOf(last) : "",
      prev_cursor: "",
      has_next: hasNext,
      has_previous: after !== undefined,
      items_per_page: limit,
      total_items: all.length
    }
  })
