/** Lists with cursors: protocol.md §1.8. */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Encoding from "effect/Encoding"
import { isJsonObject, type Json } from "../wire.js"
import { type Look, readFilters, readSearch, valuesOf } from "./filters.js"
import { invalid, type Problem } from "./reply.js"

const maxLimit = 100

/** Where an item is in a list: after those with smaller keys, and among those with the same one as they came to be. */
interface Place {
  readonly key: string
  readonly ordinal: number
}

const compare = (a: Place, b: Place): number => (a.key === b.key ? a.ordinal - b.ordinal : a.key < b.key ? -1 : 1)

const cursorOf = ({ ordinal, key }: Place) => Encoding.encodeBase64(`after:${ordinal}:${key}`)

const readCursor = (cursor: unknown): Effect.Effect<Place | undefined, Problem> => {
  if (cursor === undefined || cursor === null || cursor === "") return Effect.succeed(undefined)
  const text = typeof cursor === "string" ? Either.getOrUndefined(Encoding.decodeBase64String(cursor)) : undefined
  const [, ordinal, key = ""] = /^after:(\d+):(.*)$/s.exec(text ?? "") ?? []
  return ordinal === undefined
    ? Effect.fail(invalid("the cursor is not one of this server", [{ field: "cursor", message: "is not valid" }]))
    : Effect.succeed({ ordinal: Number(ordinal), key })
}

interface Sort {
  /** `undefined` for the time of creation, in whose order items are anyway. */
  readonly field: string | undefined
  readonly direction: 1 | -1
}

const readSort = (sort: unknown, texts: ReadonlyArray<string>): Effect.Effect<Sort, Problem> => {
  const asked: ReadonlyArray<unknown> = Array.isArray(sort) ? sort : []
  const refuse = (message: string) =>
    Effect.fail(invalid("this server cannot sort like that", [{ field: "sort", message }]))
  if (asked.length > 1) return refuse("expected no more than one field")
  const { field = "created_at", dir = "desc" } = isJsonObject(asked[0]) ? asked[0] : {}
  const fields = ["created_at", "updated_at", ...texts]
  if (typeof field !== "string" || !fields.includes(field)) return refuse(`expected one of: ${fields.join(", ")}`)
  if (dir !== "asc" && dir !== "desc") return refuse("expected asc or desc")
  return Effect.succeed({ field: field === "created_at" ? undefined : field, direction: dir === "asc" ? 1 : -1 })
}

/** How the items of a list are told of. */
interface Items<A> {
  readonly wire: (item: A) => Json
  /** The fields to search in, and to sort by. */
  readonly texts?: ReadonlyArray<string>
  /** What is in a field, where that is not what `wire` tells: a value, or an array of its names. */
  readonly valueAt?: (item: A, field: string) => unknown
}

/** A look at an item, which is told of once for however many fields. */
const lookAt = <A>({ wire, valueAt }: Items<A>, item: A): Look => {
  if (valueAt !== undefined) return (field) => valueAt(item, field)
  const told = wire(item)
  return (field) => (Object.hasOwn(told, field) ? told[field] : undefined)
}

/**
 * A page of the items, which come newest first unless the query says otherwise. A cursor names the last item of the page
 * before, so that items which come or go meanwhile shift nothing.
 */
export const page = <A extends { readonly ordinal: number }>(
  items: ReadonlyArray<A>,
  query: { readonly [key: string]: unknown },
  as: Items<A>
) =>
  Effect.gen(function* () {
    const { texts = [] } = as
    const after = yield* readCursor(query.cursor)
    const limit = typeof query.limit === "number" && query.limit >= 1 ? Math.min(maxLimit, Math.floor(query.limit)) : 20
    const filters = [...(yield* readFilters(query.filters)), ...(yield* readSearch(query.search, texts))]
    const { field, direction } = yield* readSort(query.sort, texts)
    const placed = (item: A, key = "") => ({ item, key, ordinal: item.ordinal })
    const all =
      filters.length === 0 && field === undefined
        ? items.map((item) => placed(item))
        : items.flatMap((item) => {
            const look = lookAt(as, item)
            if (!filters.every((filter) => filter(look))) return []
            return [placed(item, field === undefined ? "" : String(valuesOf(look(field))[0] ?? ""))]
          })
    all.sort((a, b) => direction * compare(a, b))
    const rest = after === undefined ? all : all.filter((place) => direction * compare(place, after) > 0)
    const shown = rest.slice(0, limit)
    const last = shown.at(-1)
    const hasNext = rest.length > shown.length
    return {
      items: shown.map(({ item }) => as.wire(item)),
      next_cursor: hasNext && last !== undefined ? cursorOf(last) : "",
      prev_cursor: "",
      has_next: hasNext,
      has_previous: after !== undefined,
      items_per_page: limit,
      total_items: all.length
    }
  })
