/** The contract of language models on the wire: protocol.md §3.7, §5.2, §7.3. */
import * as Schema from "effect/Schema"
import * as File from "../../File.js"
import { field, isJsonObject, type Json, openEnum } from "../wire.js"

const withDefault = <const Name extends string, A, I>(wireName: Name, schema: Schema.Schema<A, I>, value: () => A) =>
  Schema.optionalWith(schema, { default: value, nullable: true }).pipe(Schema.fromKey(wireName))

const text = <const Name extends string>(wireName: Name) => withDefault(wireName, Schema.String, () => "")

const number = <const Name extends string>(wireName: Name) => withDefault(wireName, Schema.Number, () => 0)

/** An open enum that can also be told as JSON Schema. */
const oneOf = <const Known extends string>(...known: ReadonlyArray<Known>) =>
  openEnum(...known).annotations({ jsonSchema: { type: "string", examples: known } })

/** A JSON object as it is. A record schema would copy it, and take a field `__proto__` for more than that. */
const Verbatim: Schema.Schema<{ readonly [key: string]: unknown }> = Schema.declare(isJsonObject, {
  identifier: "JsonObject",
  jsonSchema: { type: "object" }
})

const Role = oneOf("user", "assistant", "system", "tool")

const FileFromSelf = Schema.typeSchema(File.File)

/** A file with its name and type, which a bare URL would lose. */
const Attachment = Schema.transform(
  Schema.Union(
    FileFromSelf,
    Schema.NonEmptyString,
    Schema.Struct({
      id: field("id", Schema.String),
      // Until it is uploaded a file stands in the place of its URL.
      uri: Schema.Union(FileFromSelf, Schema.NonEmptyString),
      filename: field("filename", Schema.String),
      contentType: field("content_type", Schema.String),
      size: field("size", Schema.Number)
    })
  ),
  FileFromSelf,
  {
    strict: true,
    decode: (wire) => {
      if (typeof wire === "string") return File.fromUri(wire)
      if (File.isFile(wire)) return wire
      const { uri, ...metadata } = wire
      return File.isFile(uri) ? uri : File.fromUri(uri, metadata)
    },
    encode: (file) => ({
      uri: File.isRemote(file) && file.uri !== undefined ? file.uri : file,
      ...(file.id !== undefined && { id: file.id }),
      ...(file.filename !== undefined && { filename: file.filename }),
      ...(file.contentType !== undefined && { contentType: file.contentType }),
      ...(file.size !== undefined && { size: file.size })
    })
  }
).annotations({
  jsonSchema: {
    type: "object",
    required: ["uri"],
    properties: {
      uri: { type: "string", format: "file" },
      filename: { type: "string" },
      content_type: { type: "string" },
      size: { type: "integer" }
    }
  }
})

export const Usage = Schema.Struct({
  stopReason: text("stop_reason"),
  timeToFirstToken: number("time_to_first_token"),
  tokensPerSecond: number("tokens_per_second"),
  promptTokens: number("prompt_tokens"),
  completionTokens: number("completion_tokens"),
  totalTokens: number("total_tokens"),
  reasoningTokens: number("reasoning_tokens"),
  reasoningTime: number("reasoning_time")
})

const parseObject = (json: string): Json | undefined => {
  // Most of the texts that are still growing need no try.
  if (!json.trimEnd().endsWith("}")) return undefined
  try {
    const value: unknown = JSON.parse(json)
    return isJsonObject(value) ? value : undefined
  } catch {
    return undefined
  }
}

/** Arguments in whichever form they come: an object where they are complete, else their text. */
export const readArguments = (wire: unknown): Json | string => {
  if (isJsonObject(wire)) return wire
  if (wire == null) return {}
  if (typeof wire !== "string") return JSON.stringify(wire)
  return /^\s*(null\s*)?$/.test(wire) ? {} : (parseObject(wire) ?? wire)
}

/** The text of arguments, to which the rest can be added where they are still growing. */
export const argumentsText = (args: Json | string): string =>
  typeof args === "string" ? args : Object.keys(args).length === 0 ? "" : JSON.stringify(args)

const toolCall = (read: (wire: unknown) => Json | string, write: (args: Json | string) => Json | string) =>
  Schema.transform(
    Schema.Struct({
      index: field("index", Schema.Number),
      id: text("id"),
      type: field("type", Schema.String),
      function: field("function", Schema.Struct({ name: text("name"), arguments: field("arguments", Schema.Unknown) }))
    }),
    Schema.Struct({
      index: Schema.optionalWith(Schema.Number, { exact: true }),
      id: Schema.String,
      name: Schema.String,
      arguments: Schema.Union(Schema.String, Verbatim)
    }),
    {
      strict: true,
      decode: ({ index, id, function: call }) => ({
        ...(index !== undefined && { index }),
        id,
        name: call?.name ?? "",
        arguments: read(call?.arguments)
      }),
      encode: ({ index, id, name, arguments: args }) => ({
        ...(index !== undefined && { index }),
        id,
        type: "function",
        function: { name, arguments: write(args) }
      })
    }
  )

export const ToolCall = toolCall(readArguments, (args) => args)

const Definition = Schema.Struct({
  name: Schema.String,
  description: field("description", Schema.String),
  parameters: field("parameters", Verbatim)
})

export const ToolDefinition = Schema.transform(
  Schema.Struct({ type: field("type", Schema.String), function: Definition }),
  Schema.typeSchema(Definition),
  {
    strict: true,
    decode: (wire) => wire.function,
    encode: (definition) => ({ type: "function", function: definition })
  }
)

const Choice = Schema.Struct({
  mode: oneOf("auto", "none", "required", "function"),
  name: Schema.optionalWith(Schema.String, { exact: true })
})

/** `{mode, name?}`; OpenAI's own forms are read too. */
export const ToolChoice = Schema.transform(
  Schema.Union(
    Schema.String,
    Schema.Struct({
      mode: field("mode", Schema.String),
      name: field("name", Schema.String),
      type: field("type", Schema.String),
      function: field("function", Schema.Struct({ name: Schema.String }))
    })
  ),
  Choice,
  {
    strict: true,
    decode: (wire) => {
      if (typeof wire === "string") return { mode: wire }
      const name = wire.name ?? wire.function?.name
      return { mode: wire.mode ?? wire.type ?? "auto", ...(name !== undefined && { name }) }
    },
    encode: (choice) => choice
  }
)

const Format = Schema.Struct({
  type: oneOf("text", "json_object", "json_schema"),
  name: field("name", Schema.String),
  jsonSchema: field("json_schema", Verbatim),
  strict: field("strict", Schema.Boolean)
})

/** OpenAI's own form, which wraps the schema with its name, is read too. */
export const ResponseFormat = Schema.transform(Format, Schema.typeSchema(Format), {
  strict: true,
  decode: (format) => {
    const { name, schema, strict } = format.jsonSchema ?? {}
    if (!isJsonObject(schema)) return format
    return {
      ...format,
      jsonSchema: schema,
      ...(typeof name === "string" && { name }),
      ...(typeof strict === "boolean" && { strict })
    }
  },
  encode: (format) => format
})

const Files = Schema.Array(File.File)

const messageFields = {
  role: withDefault("role", Role, () => "user"),
  reasoning: field("reasoning", Schema.String),
  images: field("images", Files),
  files: field("files", Files),
  toolCalls: field("tool_calls", Schema.Array(ToolCall)),
  toolCallId: field("tool_call_id", Schema.String)
}

/** The texts and the addresses of images in `content`, for senders that have no `text`: a string, or a list of parts. */
const readContent = (content: unknown) => {
  const parts = (Array.isArray(content) ? content : [content]).flatMap((part: unknown) =>
    typeof part === "string" ? [{ text: part }] : isJsonObject(part) ? [part] : []
  )
  const texts = parts.flatMap((part) => (typeof part.text === "string" && part.type !== "reasoning" ? [part.text] : []))
  const images = parts.flatMap((part) => {
    const image: unknown = isJsonObject(part.image_url) ? part.image_url.url : (part.image_url ?? part.image)
    return typeof image === "string" && image !== "" ? [File.fromUri(image)] : []
  })
  return { text: texts.join("\n"), images }
}

const Message = Schema.Struct({ ...messageFields, text: text("text") })

export const ContextMessage = Schema.transform(
  Schema.Struct({
    ...messageFields,
    text: field("text", Schema.String),
    content: field("content", Schema.Unknown)
  }),
  Schema.typeSchema(Message),
  {
    strict: true,
    decode: ({ content, ...message }) => {
      const read = readContent(content)
      const images = message.images ?? read.images
      return { ...message, text: message.text || read.text, ...(images.length > 0 && { images }) }
    },
    encode: (message) => message
  }
)

export const Input = Schema.Struct({
  text: text("text"),
  role: withDefault("role", Role, () => "user"),
  systemPrompt: field("system_prompt", Schema.String),
  context: withDefault("context", Schema.Array(ContextMessage), () => []),
  contextSize: field("context_size", Schema.Number),
  images: field("images", Files),
  files: field("files", Files),
  attachments: field("attachments", Schema.Array(Attachment)),
  tools: field("tools", Schema.Array(ToolDefinition)),
  toolChoice: field("tool_choice", ToolChoice),
  toolCallId: field("tool_call_id", Schema.String),
  reasoning: field("reasoning", Schema.String),
  temperature: field("temperature", Schema.Number),
  topP: field("top_p", Schema.Number),
  topK: field("top_k", Schema.Number),
  minP: field("min_p", Schema.Number),
  frequencyPenalty: field("frequency_penalty", Schema.Number),
  presencePenalty: field("presence_penalty", Schema.Number),
  repetitionPenalty: field("repetition_penalty", Schema.Number),
  seed: field("seed", Schema.Number),
  stop: field("stop", Schema.Array(Schema.String)),
  maxTokens: field("max_tokens", Schema.Number),
  reasoningEffort: field("reasoning_effort", oneOf("none", "low", "medium", "high")),
  reasoningMaxTokens: field("reasoning_max_tokens", Schema.Number),
  responseFormat: field("response_format", ResponseFormat)
})

export const Output = Schema.Struct({
  response: text("response"),
  reasoning: field("reasoning", Schema.String),
  toolCalls: field("tool_calls", Schema.Array(ToolCall)),
  images: field("images", Files),
  usage: field("usage", Usage)
})

/** An output that is still being written. The arguments of its calls are text, which is not looked into. */
export const GrowingOutput = Schema.Struct({
  ...Output.fields,
  toolCalls: field(
    "tool_calls",
    Schema.Array(
      toolCall((wire) => (typeof wire === "string" ? wire : argumentsText(readArguments(wire))), argumentsText)
    )
  )
})
