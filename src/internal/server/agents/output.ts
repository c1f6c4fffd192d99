/** What a model says, read from whatever its app puts out: fields may be missing, and there may be others. */
import { isJsonObject, type Json } from "../../wire.js"
import { isTooDeep } from "../depth.js"
import type { ToolCall } from "./state.js"

export interface CallOutput {
  readonly id: string
  readonly name: string
  /** `undefined` where what the model wrote is no JSON object. */
  readonly arguments: Json | undefined
  readonly written: string
}

const text = (u: unknown): string => (typeof u === "string" ? u : "")

/** An output as one of the protocol's. Calls without an id get one that is the same in each partial output. */
export const normalise = (messageId: string, output: unknown): Json => {
  if (typeof output === "string") return { response: output }
  if (!isJsonObject(output)) return { response: "" }
  const calls: ReadonlyArray<unknown> = Array.isArray(output.tool_calls) ? output.tool_calls : []
  const reasoning = text(output.reasoning)
  const toolCalls = calls.filter(isJsonObject).map((call, position) => {
    const index = typeof call.index === "number" ? call.index : position
    const { name, arguments: args } = isJsonObject(call.function) ? call.function : {}
    return {
      index,
      id: text(call.id) || `call_${messageId.slice(0, 8)}_${index}`,
      type: "function",
      function: { name: text(name), arguments: args }
    }
  })
  return {
    response: text(output.response),
    ...(reasoning !== "" && { reasoning }),
    ...(toolCalls.length > 0 && { tool_calls: toolCalls }),
    ...(isJsonObject(output.usage) && { usage: output.usage })
  }
}

const parse = (args: unknown): Json | undefined => {
  if (args == null) return {}
  if (typeof args !== "string") return isJsonObject(args) ? args : undefined
  if (args.trim() === "") return {}
  try {
    const value: unknown = JSON.parse(args)
    return isJsonObject(value) && !isTooDeep(value) ? value : undefined
  } catch {
    return undefined
  }
}

/** The calls in an output that was normalised, as they are in it. */
const wireCalls = (output: Json) =>
  (Array.isArray(output.tool_calls) ? output.tool_calls : []).filter(isJsonObject).map((call) => {
    const { name, arguments: args } = isJsonObject(call.function) ? call.function : {}
    const index = typeof call.index === "number" ? call.index : undefined
    return { index, id: text(call.id), name: text(name), arguments: args }
  })

export const callsOf = (output: Json): ReadonlyArray<CallOutput> =>
  wireCalls(output).map(({ id, name, arguments: args }) => ({
    id,
    name,
    arguments: parse(args),
    written: typeof args === "string" ? args : (JSON.stringify(args) ?? "")
  }))

export const textsOf = (output: Json): { readonly text: string; readonly reasoning: string } => ({
  text: text(output.response),
  reasoning: text(output.reasoning)
})

/** What a message shows of an output that is still being written: calls with their arguments as far as they go. */
export const soFar = (output: Json) => ({
  ...textsOf(output),
  toolCalls: wireCalls(output).map(
    (call): ToolCall => ({ ...call, arguments: isJsonObject(call.arguments) ? call.arguments : text(call.arguments) })
  )
})
