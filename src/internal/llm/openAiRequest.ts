/** What a model is given, as the body of a request to an API like OpenAI's. */
import type * as FileSystem from "@effect/platform/FileSystem"
import type * as HttpClient from "@effect/platform/HttpClient"
import * as Effect from "effect/Effect"
import type * as File from "../../File.js"
import type { AppFailed, FileError } from "../../InferenceError.js"
import type * as Llm from "../../Llm.js"
import type { Json } from "../wire.js"
import * as Files from "./openAiFiles.js"
import { argumentsText } from "./schemas.js"

/** How many messages are made at a time, and how many files are read for each of them. */
const messageConcurrency = 4
const fileConcurrency = 4

const callOf = ({ id, name, arguments: args }: Llm.ToolCall): Json => ({
  id,
  type: "function",
  // No arguments are an empty object here, and not nothing.
  function: { name, arguments: argumentsText(args) || "{}" }
})

type Message = Pick<Llm.Input, "role" | "text" | "images" | "files" | "attachments" | "toolCallId"> & {
  readonly toolCalls?: ReadonlyArray<Llm.ToolCall> | undefined
}

type Failed = AppFailed | FileError

/** Each file once, though a message may name it in two places. What an attachment says of it comes first, its type too. */
const partsOf = ({ images = [], files = [], attachments = [] }: Message) => {
  const keyOf = (file: File.File) => file.uri ?? file
  const attached = new Map(attachments.map((file) => [keyOf(file), file]))
  const places = [
    ...images.map((file) => [file, Files.image] as const),
    ...[...files, ...attachments].map((file) => [file, Files.attachment] as const)
  ]
  const shown = new Map<string | File.File, readonly [File.File, typeof Files.image]>()
  for (const [file, write] of places) {
    const key = keyOf(file)
    const attachment = attached.get(key)
    if (shown.has(key)) continue
    shown.set(key, [attachment ?? file, attachment?.contentType === undefined ? write : Files.attachment])
  }
  return Array.from(shown.values())
}

/** A message, of which the reasoning stays behind: most servers do not take it back. */
const messageOf = (
  app: string,
  message: Message,
  orElse: (error: Failed, file: File.File) => Effect.Effect<Json, Failed>
): Effect.Effect<Json, Failed, FileSystem.FileSystem | HttpClient.HttpClient> =>
  Effect.gen(function* () {
    const { role, text, toolCalls = [], toolCallId } = message
    const parts = yield* Effect.forEach(
      partsOf(message),
      ([file, write]) => Effect.catchAll(write(app, file), (error) => orElse(error, file)),
      { concurrency: fileConcurrency }
    )
    const all = text === "" ? parts : [{ type: "text", text }, ...parts]
    return {
      role,
      content: parts.length > 0 ? all : text === "" && toolCalls.length > 0 ? null : text,
      ...(toolCalls.length > 0 && { tool_calls: toolCalls.map(callOf) }),
      ...(role === "tool" && { tool_call_id: toolCallId ?? "" })
    }
  })

const isNothing = ({ role, text, images = [], files = [], attachments = [] }: Llm.Input): boolean =>
  role !== "tool" && text === "" && images.length + files.length + attachments.length === 0

/**
 * The conversation. The new message is left out where it says nothing: all is in the context then. A file that cannot be sent fails
 * the run it came with, and not all those after it.
 */
const messagesOf = (app: string, input: Llm.Input) =>
  Effect.gen(function* () {
    const { systemPrompt = "", context } = input
    const system: ReadonlyArray<Json> = systemPrompt === "" ? [] : [{ role: "system", content: systemPrompt }]
    const named = (error: Failed, file: File.File) =>
      Effect.as(
        Effect.logWarning("a file of an earlier message cannot be shown to the model:", error.message),
        Files.placeholder(file)
      )
    const earlier = yield* Effect.forEach(context, (message) => messageOf(app, message, named), {
      concurrency: messageConcurrency
    })
    const isLeftOut = context.length > 0 && isNothing(input)
    const latest = isLeftOut ? [] : [yield* messageOf(app, input, (error) => Effect.fail(error))]
    return [...system, ...earlier, ...latest]
  })

const toolsOf = ({ tools = [], toolChoice }: Llm.Input): Json => {
  // A choice among no tools is an error to many servers.
  if (tools.length === 0) return {}
  const { mode, name } = toolChoice ?? {}
  return {
    tools: tools.map(({ name, description, parameters = { type: "object", properties: {} } }) => ({
      type: "function",
      function: { name, description, parameters }
    })),
    tool_choice: mode === "function" ? { type: "function", function: { name } } : mode
  }
}

const formatOf = ({ responseFormat }: Llm.Input): Json | undefined => {
  if (responseFormat === undefined) return undefined
  const { type, name = "response", jsonSchema: schema, strict } = responseFormat
  return type === "json_schema" ? { type, json_schema: { name, schema, strict } } : { type }
}

/** The settings by OpenAI's names, and where it has none, by those of the servers that have them. */
const settingsOf = (input: Llm.Input, isOpenAi: boolean): Json => ({
  temperature: input.temperature,
  top_p: input.topP,
  top_k: input.topK,
  min_p: input.minP,
  frequency_penalty: input.frequencyPenalty,
  presence_penalty: input.presencePenalty,
  repetition_penalty: input.repetitionPenalty,
  seed: input.seed,
  stop: input.stop?.length === 0 ? undefined : input.stop,
  // OpenAI's newer models refuse the old name, and many other servers do not know the new one.
  [isOpenAi ? "max_completion_tokens" : "max_tokens"]: input.maxTokens,
  reasoning_effort: input.reasoningEffort,
  reasoning: input.reasoningMaxTokens === undefined ? undefined : { max_tokens: input.reasoningMaxTokens },
  response_format: formatOf(input)
})

/** The body of a request. What is `undefined` in it is not sent. */
export const bodyOf = (app: string, options: Llm.OpenAiOptions, input: Llm.Input, isOpenAi: boolean) =>
  Effect.map(
    messagesOf(app, input),
    (messages): Json => ({
      model: options.model,
      messages,
      stream: true,
      stream_options: { include_usage: true },
      ...toolsOf(input),
      ...settingsOf(input, isOpenAi),
      ...options.body
    })
  )
