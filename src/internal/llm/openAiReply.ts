/** The chunks of a reply of an API like OpenAI's, and what they add up to. */
import type * as Llm from "../../Llm.js"
import { append } from "../llmDelta.js"
import { isJsonObject, type Json, sameJson } from "../wire.js"
import type { CallIds } from "./callIds.js"
import { readArguments, Usage } from "./schemas.js"

/** A reply as far as it has come. Times are in milliseconds. */
export interface Reply {
  /** In the form of `append`, with the calls numbered by their order. */
  readonly output: Json
  /** The index that the server gave to each of the calls. */
  readonly indexes: ReadonlyArray<number | undefined>
  readonly usage: Json
  readonly stopReason: string | undefined
  /** Whether there was an answer at all, be it an empty one. */
  readonly isAnswer: boolean
  readonly firstAt: number | undefined
  readonly reasoning: { readonly from: number; readonly to: number } | undefined
}

export const nothing: Reply = {
  output: {},
  indexes: [],
  usage: {},
  stopReason: undefined,
  isAnswer: false,
  firstAt: undefined,
  reasoning: undefined
}

const text = (u: unknown): string | undefined => (typeof u === "string" && u !== "" ? u : undefined)

const objects = (u: unknown): ReadonlyArray<Json> => (Array.isArray(u) ? u : [u]).filter(isJsonObject)

/** A text, or the texts in a list of parts. Parts with the model's thoughts have names of their own for it. */
const textOf = (u: unknown): string | undefined =>
  Array.isArray(u)
    ? text(
        objects(u)
          .map((part) => text(part.text) ?? textOf(part.thinking) ?? text(part.reasoning) ?? text(part.summary) ?? "")
          .join("")
      )
    : text(u)

const isThought = ({ type }: Json): boolean => type === "reasoning" || type === "thinking"

/** What is said in a message, and what was thought. Some servers tell the same thoughts in more than one place. */
const contentOf = (message: Json) => {
  const { content } = message
  const parts = Array.isArray(content) ? objects(content) : []
  return {
    response: textOf(Array.isArray(content) ? parts.filter((part) => !isThought(part)) : content),
    reasoning:
      text(message.reasoning_content) ??
      text(message.reasoning) ??
      textOf(parts.filter(isThought)) ??
      textOf(objects(message.reasoning_details ?? []))
  }
}

interface Call {
  readonly id: string | undefined
  readonly name: string | undefined
  readonly arguments: string
}

const callOf = (call: Json): Call => {
  const { name, arguments: args }: Json = isJsonObject(call.function) ? call.function : {}
  const written = typeof args === "string" ? args : args == null ? "" : JSON.stringify(args)
  return { id: text(call.id), name: text(name), arguments: written }
}

const callsOf = (output: Json): ReadonlyArray<Call> =>
  output.tool_calls === undefined ? [] : objects(output.tool_calls).map(callOf)

const isWhole = (args: string): boolean => args.trim() !== "" && typeof readArguments(args) !== "string"

const beginsObject = (args: string): boolean => /^\s*\{/.test(args)

/** Whether a piece has arguments of its own: a call that is whole takes no others. What has come is read only where it may matter. */
const beginsAnew = (call: Call, piece: Call): boolean => beginsObject(piece.arguments) && isWhole(call.arguments)

/** The names of the tools of the request. */
export type Tools = ReadonlySet<string>

/** The name that two pieces of one come to, or one that grows, if the tools tell that it is one name. */
const joined = (known: string, next: string, tools: Tools): string | undefined => {
  if (tools.has(known) && tools.has(next)) return undefined
  if (tools.has(next) && next.startsWith(known)) return next
  return Array.from(tools).some((tool) => tool.startsWith(known + next)) ? known + next : undefined
}

/** Whether a piece has the name of another call. Where the tools do not tell, `isMore` says whether it may be the rest of the name. */
const isOtherName = (call: Call, piece: Call, tools: Tools, isMore: boolean): boolean => {
  if (call.name === undefined || piece.name === undefined || piece.name === call.name) return false
  if (call.arguments !== "") return true
  if (joined(call.name, piece.name, tools) !== undefined) return false
  return tools.has(call.name) || tools.has(piece.name) || !isMore
}

/** The call of a piece by its id, if there is one. Some servers give one id to several calls: each begins with a name. */
const placeById = (
  calls: ReadonlyArray<Call>,
  { indexes }: Reply,
  piece: Call,
  index: number | undefined,
  tools: Tools
): number | undefined => {
  const places = calls.flatMap(({ id }, place) => (id !== undefined && id === piece.id ? [place] : []))
  const place = places.findLast((place) => index === undefined || (indexes[place] ?? index) === index)
  if (places.length === 0) return undefined
  if (piece.name === undefined) return place ?? places.at(-1)
  const call = place === undefined ? undefined : calls[place]
  const isOther = call === undefined || isOtherName(call, piece, tools, false) || beginsAnew(call, piece)
  return isOther ? calls.length : place
}

/**
 * The call that a piece goes on with, or the place of a new one. Servers do not agree on the index: some leave it out, some give the
 * same one to all calls, and some have a new id for each piece. The name tells best where a call begins. It may itself come in pieces:
 * unless the tools tell, another name goes on with the one before only where nothing else says that a call begins.
 */
const placeOf = (
  calls: ReadonlyArray<Call>,
  reply: Reply,
  piece: Call,
  index: number | undefined,
  tools: Tools
): number => {
  const same = placeById(calls, reply, piece, index, tools)
  if (same !== undefined) return same
  const found = index === undefined ? calls.length - 1 : reply.indexes.lastIndexOf(index)
  const call = calls[found]
  if (call === undefined) {
    const isStart = piece.name !== undefined || piece.id !== undefined
    return isStart ? calls.length : Math.max(0, calls.length - 1)
  }
  if (piece.name === undefined || call.name === undefined) return found
  const isMoreOfName = index !== undefined && call.id !== undefined && piece.id === undefined
  const isOther =
    (piece.id !== undefined && call.id !== undefined) ||
    isOtherName(call, piece, tools, isMoreOfName) ||
    beginsAnew(call, piece)
  return isOther ? calls.length : found
}

/** Whether a piece is a call that has come already: some servers tell the whole of it again at its end. */
const isToldAgain = (
  calls: ReadonlyArray<Call>,
  { indexes }: Reply,
  piece: Call,
  index: number | undefined
): boolean => {
  if (piece.id === undefined || !beginsObject(piece.arguments)) return false
  const args = readArguments(piece.arguments)
  return (
    typeof args !== "string" &&
    calls.some(
      ({ id, name, arguments: known }, place) =>
        id === piece.id && name === piece.name && indexes[place] === index && sameJson(readArguments(known), args)
    )
  )
}

/** Most servers tell the name of a call once, some with each piece of it, and some in pieces. */
const nameOf = (known: Call | undefined, piece: Call, tools: Tools): string | undefined =>
  known?.name === undefined || piece.name === undefined || piece.name === known.name
    ? (known?.name ?? piece.name)
    : (joined(known.name, piece.name, tools) ?? known.name + piece.name)

const addCall = (reply: Reply, wire: Json, tools: Tools): Reply => {
  const calls = callsOf(reply.output)
  const piece = callOf(wire)
  const index = typeof wire.index === "number" ? wire.index : undefined
  if (isToldAgain(calls, reply, piece, index)) return reply
  const place = placeOf(calls, reply, piece, index, tools)
  const known = calls[place]
  const delta = {
    index: place,
    id: known?.id ?? piece.id,
    type: "function",
    function: { name: nameOf(known, piece, tools), arguments: piece.arguments }
  }
  return {
    ...reply,
    output: append(reply.output, { tool_calls: [delta] }),
    indexes: known === undefined ? [...reply.indexes, index] : reply.indexes
  }
}

/** Takes one chunk, or the whole of a reply that does not come in chunks. */
export const read = (reply: Reply, chunk: Json, now: number, tools: Tools): Reply => {
  const usage = isJsonObject(chunk.usage) ? chunk.usage : reply.usage
  // Of several answers the first.
  const choice = objects(chunk.choices ?? []).find(({ index }) => index == null || index === 0)
  if (choice === undefined) return { ...reply, usage }
  const message = isJsonObject(choice.delta) ? choice.delta : isJsonObject(choice.message) ? choice.message : {}
  const { response = text(message.refusal), reasoning } = contentOf(message)
  const calls = objects(message.tool_calls ?? [])
  const isText = response !== undefined || reasoning !== undefined
  const next: Reply = {
    ...reply,
    output: isText ? append(reply.output, { response, reasoning }) : reply.output,
    usage,
    stopReason: text(choice.finish_reason) ?? reply.stopReason,
    isAnswer: true,
    firstAt: reply.firstAt ?? (isText || calls.length > 0 ? now : undefined),
    reasoning: reasoning === undefined ? reply.reasoning : { from: reply.reasoning?.from ?? now, to: now }
  }
  return calls.reduce((reply, call) => addCall(reply, call, tools), next)
}

/** What has come so far. The arguments of calls are text as long as more of it may follow. */
export const partial = (reply: Reply, idsOf: CallIds): Llm.Output => {
  const calls = callsOf(reply.output)
  const reasoning = text(reply.output.reasoning)
  const output = { response: text(reply.output.response) ?? "", ...(reasoning !== undefined && { reasoning }) }
  if (calls.length === 0) return output
  const ids = idsOf(calls.map(({ id }, i) => (calls.findIndex((call) => call.id === id) === i ? { id } : {})))
  return {
    ...output,
    toolCalls: calls.map((call, i) => ({ id: ids[i] ?? "", name: call.name ?? "", arguments: call.arguments }))
  }
}

const number = (u: unknown): number => (typeof u === "number" && Number.isFinite(u) ? u : 0)

const usageOf = (reply: Reply, sentAt: number, now: number): Llm.Usage => {
  const { prompt_tokens, completion_tokens, total_tokens, completion_tokens_details: details } = reply.usage
  const { firstAt = now, reasoning } = reply
  const [promptTokens, completionTokens] = [number(prompt_tokens), number(completion_tokens)]
  return Usage.make({
    stopReason: reply.stopReason ?? "",
    promptTokens,
    completionTokens,
    totalTokens: number(total_tokens) || promptTokens + completionTokens,
    reasoningTokens: isJsonObject(details) ? number(details.reasoning_tokens) : 0,
    reasoningTime: reasoning === undefined ? 0 : (reasoning.to - reasoning.from) / 1000,
    timeToFirstToken: (firstAt - sentAt) / 1000,
    tokensPerSecond: now > firstAt ? completionTokens / ((now - firstAt) / 1000) : 0
  })
}

/** The whole answer. */
export const final = (reply: Reply, idsOf: CallIds, sentAt: number, now: number): Llm.Output => {
  const { toolCalls, ...output } = partial(reply, idsOf)
  return {
    ...output,
    ...(toolCalls !== undefined && {
      toolCalls: toolCalls.map((call) => ({ ...call, arguments: readArguments(call.arguments) }))
    }),
    usage: usageOf(reply, sentAt, now)
  }
}
