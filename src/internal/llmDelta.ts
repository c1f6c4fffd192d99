/** The pieces in which the output of a language model comes, and their sum: protocol.md §5. */
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

/** The tool calls of an output as pieces of them are told apart: by their place, and with their arguments as text. */
const numbered = (output: Json) =>
  (Array.isArray(output.tool_calls) ? output.tool_calls : []).filter(isJsonObject).map((call, position) => {
    const { name, arguments: args } = isJsonObject(call.function) ? call.function : {}
    const index = typeof call.index === "number" ? call.index : position
    return { index, id: call.id, type: call.type ?? "function", function: { name, arguments: toText(args) } }
  })

/** The piece that leads from one output to the next: empty where there is none, `undefined` where the next does not just go on. */
export const diff = (before: Json, after: Json): Json | undefined => {
  const delta: { [field: string]: unknown } = {}
  for (const field of ["response", "reasoning"]) {
    const [from, to] = [toText(before[field]), toText(after[field])]
    if (!to.startsWith(from)) return undefined
    if (to.length > from.length) delta[field] = to.slice(from.length)
  }
  const known = new Map(numbered(before).map((call) => [call.index, call]))
  const calls: Array<Json> = []
  for (const call of numbered(after)) {
    const earlier = known.get(call.index)
    known.delete(call.index)
    if (earlier === undefined) {
      calls.push(call)
      continue
    }
    const [from, to] = [earlier.function.arguments, call.function.arguments]
    const isSame = earlier.id === call.id && earlier.function.name === call.function.name
    if (!isSame || !to.startsWith(from)) return undefined
    if (to.length > from.length) calls.push({ index: call.index, function: { arguments: to.slice(from.length) } })
  }
  if (known.size > 0) return undefined
  if (calls.length > 0) delta.tool_calls = calls
  if (after.usage != null && !sameJson(before.usage, after.usage)) delta.usage = after.usage
  return delta
}
