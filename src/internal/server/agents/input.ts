/** What a model is asked: `LLMInput` of protocol.md §7.3. */
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { ToolChoice } from "../../llm/schemas.js"
import { isJsonObject, type Json } from "../../wire.js"
import { type Config, isFinish } from "./config.js"
import type { Message, Turn } from "./state.js"

const given = (fields: Json): Json =>
  Object.fromEntries(
    Object.entries(fields).filter(([, value]) => value != null && !(Array.isArray(value) && value.length === 0))
  )

const toContext = ({ role, text, reasoning, images, files, toolCalls, toolCallId }: Message): Json => ({
  role,
  text,
  ...given({
    reasoning: reasoning === "" ? undefined : reasoning,
    images,
    files,
    tool_calls: toolCalls.map(({ id, name, arguments: args }) => ({
      id,
      type: "function",
      function: { name, arguments: args }
    })),
    tool_call_id: toolCallId
  })
})

/** The new message. A file of which more is known than its address is among the attachments too. */
const toQuestion = (message: Message): Json => ({
  ...toContext(message),
  ...given({ attachments: message.attachments })
})

const cancelled = (toolCallId: string): Json => ({
  role: "tool",
  text: JSON.stringify({ status: "cancelled" }),
  tool_call_id: toolCallId
})

/** What was said so far. Models expect a result for each call: those of a turn that was stopped have none. */
const history = (messages: ReadonlyArray<Message>): ReadonlyArray<Json> => {
  const open = new Set<string>()
  const said: Array<Json> = []
  for (const message of messages) {
    if (message.role !== "tool") {
      said.push(...Array.from(open, cancelled))
      open.clear()
    }
    said.push(toContext(message))
    if (message.toolCallId !== undefined) open.delete(message.toolCallId)
    for (const { id } of message.toolCalls) open.add(id)
  }
  return said
}

// What is said and the tools are the chat's to tell.
const messageFields = new Set([
  "context",
  "role",
  "text",
  "reasoning",
  "attachments",
  "images",
  "files",
  "tool_call_id",
  "tools"
])

/** What a caller's input sets for the model, beside the message in it. */
export const settingsOf = (input: Json): Json =>
  given(Object.fromEntries(Object.entries(input).filter(([name]) => !messageFields.has(name))))

const readToolChoice = Schema.decodeUnknownOption(ToolChoice)

/** Whether a choice lets the model do nothing but call tools, of which none ends the turn. */
const callsForEver = (choice: unknown, tools: Config["tools"]): boolean =>
  Option.exists(readToolChoice(choice), ({ mode, name }) => {
    if (mode === "required") return !tools.some(isFinish)
    return mode === "function" && !tools.some((tool) => tool.name === name && isFinish(tool))
  })

/** The question that the last message of the chat is, after the ones before it. */
export const llmInput = ({ chat, agent: { config }, order }: Turn): Json => {
  const said = chat.messages.filter(({ status }) => status === "ready")
  const last = said.at(-1)
  const { preset } = config
  const prompts = [config.systemPrompt, preset.system_prompt, order.settings.system_prompt]
  const settings = given({ ...preset, ...order.settings })
  const sizes = [preset.context_size, order.settings.context_size]
  return {
    ...settings,
    // What is asked with the results of calls may be answered.
    ...(last?.role === "tool" && callsForEver(settings.tool_choice, config.tools) && { tool_choice: { mode: "auto" } }),
    system_prompt: prompts.find((prompt) => typeof prompt === "string" && prompt !== "") ?? "",
    context_size: sizes.find((size) => typeof size === "number" && size > 0) ?? 0,
    context: [...order.context.filter(isJsonObject), ...history(said).slice(0, -1)],
    ...(last && toQuestion(last)),
    ...given({
      tools: config.tools.map(({ name, description, parameters }) => ({
        type: "function",
        function: { name, description, parameters }
      }))
    })
  }
}
