/** The pieces in which the output of a language model comes, and their sum: protocol.md §5. */
import { parsed } from "./functionCall.js"
import { isJsonObject, type Json, sameJson } from "./wire.js"

type Merge = (current: unknown, incoming: unknown) => unknown
type Table = { readonly [field: string]: Merge }

const replace: Merge = (_, incoming) => incoming

const concat: Merge = (current, incoming) =>
  typeof incoming === "string" && typeof current === "string" ? current + incoming : incoming

/** A field may be called like a member that every object has. */
const mergeOf = (table: Table, field: string): Merge => (Object.hasOwn(table, field) && table[field]) || replace

const fields =
  (table: Table) =>
  (current: Json, incoming: Json): Json => {
    const changed = Object.entries(incoming)
      .filter(([, value]) => value != null)
      .map(([key, value]) => [key, mergeOf(table, key)(current[key], value)] as const)
    return { ...current, ...Object.fromEntries(changed) }
  }

const nested =
  (table: Table): Merge =>
  (current, incoming) =>
    isJsonObject(incoming) ? fields(table)(isJsonObject(current) ? current : {}, incoming) : incoming

const indexOf = (item: Json): number => (typeof item.index === "number" ? item.index : 0)

const indexed =
  (table: Table): Merge =>
  (current, incoming) => {
    if (!Array.isArray(incoming)) return incoming
    const byIndex = new Map<number, Json>()
    const items: ReadonlyArray<unknown> = [...(Array.isArray(current) ? current : []), ...incoming]
    for (const item of items.filter(isJsonObject)) {
      byIndex.set(indexOf(item), fields(table)(byIndex.get(indexOf(item)) ?? {}, item))
    }
    return Array.from(byIndex)
      .sort(([a], [b]) => a - b)
      .map(([, item]) => item)
  }

/** What an output is after a piece of it has come. Neither is changed. */
export const append: (output: Json, delta: Json) => Json = fields({
  response: concat,
  reasoning: concat,
  tool_calls: indexed({ function: nested({ name: replace, arguments: concat }) }),
  usage: replace
})

const toText = (u: unknown): string => (typeof u === "string" ? u : u == null ? "" : JSON.stringify(u))

/** What a text has after its beginning, or `undefined` where it begins with something else. */
// Compared as a whole: `startsWith` looks at one sign after the other, and takes some fifty times as long.
const rest = (from: string, to: string): string | undefined =>
  to.slice(0, from.length) === from ? to.slice(from.length) : undefined

/** JSON, or the beginning of one, without the white space that means nothing. */
const compact = (json: string): string => json.replace(/("(?:[^"\\]+|\\.?)*"?)|\s+/gs, "$1")

/** What is left of arguments to tell after others were. They are the model's own text until they are an object. */
const restOfArguments = (from: unknown, to: unknown): string | undefined => {
  if (isJsonObject(from)) return sameJson(from, to) ? "" : undefined
  const before = toText(from)
  if (!isJsonObject(to)) return rest(before, toText(to))
  return sameJson(parsed(before), to) ? "" : rest(compact(before), JSON.stringify(to))
}

/** The tool calls of an output as pieces of them are told apart: by their place. */
const numbered = (output: Json) =>
  (Array.isArray(output.tool_calls) ? output.tool_calls : []).filter(isJsonObject).map((call, position) => {
    const { name, arguments: args } = isJsonObject(call.function) ? call.function : {}
    const index = typeof call.index === "number" ? call.index : position
    return { index, id: call.id, type: call.type ?? "function", name, arguments: args }
  })

/** The fields that a piece replaces, where they are not what they were: `undefined` where one is gone, which no piece can say. */
const changed = (before: Json, after: Json): Json | undefined => {
  const entries = Object.entries(after).filter(([name, value]) => !sameJson(before[name], value))
  return entries.some(([, value]) => value == null) ? undefined : Object.fromEntries(entries)
}

/** The piece that leads from one output to the next: empty where there is none, `undefined` where the next does not just go on. */
export const diff = (before: Json, after: Json): Json | undefined => {
  const delta: { [field: string]: unknown } = {}
  for (const field of ["response", "reasoning"]) {
    const piece = rest(toText(before[field]), toText(after[field]))
    if (piece === undefined) return undefined
    if (piece !== "") delta[field] = piece
  }
  const known = new Map(numbered(before).map((call) => [call.index, call]))
  const calls: Array<Json> = []
  for (const { index, id, type, name, arguments: args } of numbered(after)) {
    const earlier = known.get(index)
    known.delete(index)
    if (earlier === undefined) {
      calls.push({ index, id, type, function: { name, arguments: toText(args) } })
      continue
    }
    const piece = restOfArguments(earlier.arguments, args)
    const renamed = changed({ id: earlier.id, type: earlier.type }, { id, type })
    const called = changed({ name: earlier.name }, { name })
    if (piece === undefined || renamed === undefined || called === undefined) return undefined
    const told = { ...called, ...(piece !== "" && { arguments: piece }) }
    if (Object.keys(told).length > 0) calls.push({ index, ...renamed, function: told })
    else if (Object.keys(renamed).length > 0) calls.push({ index, ...renamed })
  }
  if (known.size > 0) return undefined
  if (calls.length > 0) delta.tool_calls = calls
  if (after.usage != null && !sameJson(before.usage, after.usage)) delta.usage = after.usage
  return delta
}
