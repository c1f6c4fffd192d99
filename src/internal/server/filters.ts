/** Which items a list has in it, as requests say it: protocol.md §1.8. */
import * as Effect from "effect/Effect"
import { isJsonObject } from "../wire.js"
import { invalid, type Problem } from "./reply.js"

const maxFilters = 50
const maxValues = 1000

/** Something as filters see it: what is in a field, or an array of its names. */
export type Look = (field: string) => unknown

export type Filter = (look: Look) => boolean

type Holds = (found: unknown) => boolean

const tooMany = (message: string) => invalid("the filters ask for too much", [{ field: "filters", message }])

/** What is neither an array nor an object. Filters compare it as a text. */
const isPlain = (value: unknown) => typeof value !== "object" || value === null

export const valuesOf = (found: unknown): ReadonlyArray<unknown> => (Array.isArray(found) ? found : [found])

const oneOf = (wanted: unknown): Holds => {
  const texts = new Set(valuesOf(wanted).filter(isPlain).map(String))
  return (found) => valuesOf(found).some((value) => isPlain(value) && texts.has(String(value)))
}

/** A time in the form that the server writes times in. Other values stay what they are. */
const normalised = (value: unknown): unknown =>
  typeof value === "string" && /^\d{4}-\d\d-\d\dT/.test(value) && !Number.isNaN(Date.parse(value))
    ? new Date(value).toISOString()
    : value

/** Compares numbers with numbers, and texts with texts. */
const compared =
  (isFitting: (difference: number) => boolean) =>
  (wanted: unknown): Holds => {
    const bound = normalised(wanted)
    const isBeside = (value: unknown) =>
      typeof value === "number" && typeof bound === "number"
        ? isFitting(value - bound)
        : typeof value === "string" && typeof bound === "string"
          ? isFitting(value < bound ? -1 : value > bound ? 1 : 0)
          : false
    return (found) => valuesOf(found).some(isBeside)
  }

const contains =
  (wanted: unknown): Holds =>
  (found) =>
    oneOf(wanted)(found) ||
    (isPlain(wanted) && valuesOf(found).some((value) => typeof value === "string" && value.includes(String(wanted))))

const isNull: Holds = (found) => found == null

const isEmpty: Holds = (found) =>
  found == null || found === "" || (typeof found === "object" && Object.keys(found).length === 0)

const not =
  (holds: Holds): Holds =>
  (found) =>
    !holds(found)

const operators: { readonly [operator: string]: (wanted: unknown) => Holds } = {
  eq: oneOf,
  in: oneOf,
  neq: (wanted) => not(oneOf(wanted)),
  not_in: (wanted) => not(oneOf(wanted)),
  gt: compared((difference) => difference > 0),
  gte: compared((difference) => difference >= 0),
  lt: compared((difference) => difference < 0),
  lte: compared((difference) => difference <= 0),
  contains,
  not_contains: (wanted) => not(contains(wanted)),
  is_null: () => isNull,
  is_not_null: () => not(isNull),
  is_empty: () => isEmpty,
  is_not_empty: () => not(isEmpty)
}

const readFilter = (filter: unknown): Effect.Effect<Filter, Problem> => {
  if (!isJsonObject(filter) || typeof filter.field !== "string") {
    return Effect.fail(
      invalid("a filter has no field", [{ field: "filters", message: "expected {field, operator, value}" }])
    )
  }
  const { field, operator = "eq", value } = filter
  if (valuesOf(value).length > maxValues) {
    return Effect.fail(tooMany(`a filter has more than ${maxValues} values`))
  }
  const known = typeof operator === "string" && Object.hasOwn(operators, operator) ? operators[operator] : undefined
  if (known === undefined) {
    const message = `expected one of: ${Object.keys(operators).join(", ")}`
    return Effect.fail(invalid(`this server has no filter operator "${operator}"`, [{ field: "filters", message }]))
  }
  const holds = known(value)
  return Effect.succeed((look) => holds(look(field)))
}

/** What the `filters` of a request ask for. */
export const readFilters = (filters: unknown): Effect.Effect<ReadonlyArray<Filter>, Problem> => {
  const asked: ReadonlyArray<unknown> = Array.isArray(filters) ? filters : []
  return asked.length > maxFilters
    ? Effect.fail(tooMany(`expected no more than ${maxFilters}`))
    : Effect.forEach(asked, (filter) => readFilter(filter))
}

/** What the `search` of a request looks for in these fields, in upper or lower case. */
export const readSearch = (
  search: unknown,
  fields: ReadonlyArray<string>
): Effect.Effect<ReadonlyArray<Filter>, Problem> => {
  if (search == null) return Effect.succeed([])
  if (!isJsonObject(search) || typeof search.term !== "string") {
    return Effect.fail(invalid("the search has no term", [{ field: "search", message: "expected {term, exact}" }]))
  }
  const term = search.term.toLowerCase()
  if (term === "") return Effect.succeed([])
  const isFound = (value: unknown) => {
    const text = typeof value === "string" ? value.toLowerCase() : ""
    return search.exact === true ? text === term : text.includes(term)
  }
  return Effect.succeed([(look) => fields.some((field) => valuesOf(look(field)).some(isFound))])
}
