/**
 * The contract of the language models behind agents, and two that can be hosted: one that follows a script, for demos and tests,
 * and one that passes everything on to an API like OpenAI's.
 *
 * A model is an app: messages and settings go in, and a text that grows while it is written comes out. Host it with
 * `LocalServer` or `NodeInference.layerLocal`, and name it as the `coreApp` of an agent, or run it with `Tasks.run`.
 *
 * @module
 * @since 0.1.0
 */
import type * as FileSystem from "@effect/platform/FileSystem"
import type * as Headers from "@effect/platform/Headers"
import type * as HttpClient from "@effect/platform/HttpClient"
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as App from "./App.js"
import * as BaseApp from "./BaseApp.js"
import * as OpenAi from "./internal/llm/openAi.js"
import * as schemas from "./internal/llm/schemas.js"
import * as Scripted from "./internal/llm/scripted.js"
import * as Delta from "./internal/llmDelta.js"
import type { RetryPolicy } from "./internal/retry.js"
import { isJsonObject } from "./internal/wire.js"

/**
 * What a reply took: numbers of tokens, and times in seconds. What is not known is 0, or an empty text.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Usage = schemas.Usage

/**
 * What a reply took: numbers of tokens, and times in seconds. What is not known is 0, or an empty text.
 *
 * @since 0.1.0
 * @category models
 */
export interface Usage extends Schema.Schema.Type<typeof Usage> {}

/**
 * A model's wish that a tool is called.
 *
 * `arguments` is an object. While they are still being written, and where a model wrote something else than a JSON object, it is
 * their text. `index` is the place of the call among those of its message, where the service gave it.
 *
 * @since 0.1.0
 * @category schemas
 */
export const ToolCall = schemas.ToolCall

/**
 * A model's wish that a tool is called.
 *
 * @since 0.1.0
 * @category models
 */
export interface ToolCall extends Schema.Schema.Type<typeof ToolCall> {}

/**
 * A tool that a model may call. `parameters` is the JSON Schema of its arguments.
 *
 * @since 0.1.0
 * @category schemas
 */
export const ToolDefinition = schemas.ToolDefinition

/**
 * A tool that a model may call. `parameters` is the JSON Schema of its arguments.
 *
 * @since 0.1.0
 * @category models
 */
export interface ToolDefinition extends Schema.Schema.Type<typeof ToolDefinition> {}

/**
 * Whether a model may, must or must not call tools. In the mode `function` it must call the one that `name` says.
 *
 * @since 0.1.0
 * @category schemas
 */
export const ToolChoice = schemas.ToolChoice

/**
 * Whether a model may, must or must not call tools. In the mode `function` it must call the one that `name` says.
 *
 * @since 0.1.0
 * @category models
 */
export interface ToolChoice extends Schema.Schema.Type<typeof ToolChoice> {}

/**
 * The form of a reply: any text, any JSON object, or JSON as `jsonSchema` says.
 *
 * @since 0.1.0
 * @category schemas
 */
export const ResponseFormat = schemas.ResponseFormat

/**
 * The form of a reply: any text, any JSON object, or JSON as `jsonSchema` says.
 *
 * @since 0.1.0
 * @category models
 */
export interface ResponseFormat extends Schema.Schema.Type<typeof ResponseFormat> {}

/**
 * A message of the conversation so far. One of the role `tool` is the result of the call that `toolCallId` names.
 *
 * A message whose text is in a list of `content` parts is read too.
 *
 * @since 0.1.0
 * @category schemas
 */
export const ContextMessage = schemas.ContextMessage

/**
 * A message of the conversation so far. One of the role `tool` is the result of the call that `toolCallId` names.
 *
 * @since 0.1.0
 * @category models
 */
export interface ContextMessage extends Schema.Schema.Type<typeof ContextMessage> {}

/**
 * What a model is given: the conversation so far (`context`, the oldest message first), the new message (`text`, `role` and what
 * belongs to it), and settings. Callers need give no more than the text.
 *
 * What is left out is up to the model. `contextSize` is in tokens, 0 for as many as the model takes.
 *
 * Files come with the new message in three fields. `images` are pictures to look at and `files` anything else, both by their URL
 * alone. `attachments` are files of either kind with their name, media type and size. The same file may be in `attachments` and in
 * one of the others: it is one file then, of which the attachment tells more.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Input = schemas.Input

/**
 * What a model is given, with the defaults filled in.
 *
 * @since 0.1.0
 * @category models
 */
export interface Input extends Schema.Schema.Type<typeof Input> {}

/**
 * What a model answers. While it is being written, each output is all of it so far.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Output = schemas.Output

/**
 * What a model answers. While it is being written, each output is all of it so far.
 *
 * @since 0.1.0
 * @category models
 */
export interface Output extends Schema.Schema.Type<typeof Output> {}

/**
 * The contract of a language model.
 *
 * @since 0.1.0
 * @category models
 */
export interface Llm
  extends App.App<{ readonly run: App.Signature<typeof Input, typeof Output> }, typeof Schema.Unknown> {}

/**
 * Describes a language model, for running it by its name, or for putting code of your own behind it with `BaseApp.make`.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import { Llm, Tasks } from "effect-inferencesh"
 *
 * const Claude = Llm.make("openrouter/claude-sonnet-4")
 *
 * const haiku = Tasks.run(Claude, { input: { text: "A haiku about effects", temperature: 1 } }).pipe(
 *   Effect.map((task) => task.output.response)
 * )
 * ```
 * @since 0.1.0
 * @category constructors
 */
export const make = (name: string): Llm => App.make(name, { input: Input, output: Output })

/**
 * An output of which nothing has come yet.
 *
 * @since 0.1.0
 * @category deltas
 */
export const empty: Output = { response: "" }

const decodeGrowing = Schema.decodeUnknownEither(schemas.GrowingOutput)
const encodeGrowing = Schema.encodeEither(schemas.GrowingOutput)

/** The wire form, with tool calls numbered, to which pieces can be added. */
const growing = ({ toolCalls, ...output }: Output) =>
  encodeGrowing({
    ...output,
    ...(toolCalls !== undefined && { toolCalls: toolCalls.map((call, position) => ({ index: position, ...call })) })
  })

/**
 * An output with one more piece of it, such as the `delta` of an event of `Tasks.events`. Texts grow, the pieces of tool calls find
 * their call by its index, and the usage comes whole. A piece that makes no sense changes nothing.
 *
 * Arguments of calls are text here, also where they look complete, since more of them may follow. The task's own output has them as
 * objects. It says the final word: where it and the pieces differ, it is right.
 *
 * @example
 * ```ts
 * import { Console, Stream } from "effect"
 * import { Llm, Task, Tasks } from "effect-inferencesh"
 *
 * const followed = Tasks.events("7k2m9qd4r8v1x5c3b6n0zthwpa").pipe(
 *   Stream.filter(Task.Event.$is("Delta")),
 *   Stream.scan(Llm.empty, (output, { delta }) => Llm.append(output, delta)),
 *   Stream.runForEach((output) => Console.log(output.response))
 * )
 * ```
 * @since 0.1.0
 * @category deltas
 */
export const append = (output: Output, delta: unknown): Output =>
  isJsonObject(delta)
    ? Either.getOrElse(
        Either.flatMap(growing(output), (before) => decodeGrowing(Delta.append(before, delta))),
        () => output
      )
    : output

/**
 * What a scripted model does once: it thinks, says something, calls tools, and possibly fails after that.
 *
 * @since 0.1.0
 * @category models
 */
export interface Step {
  readonly reasoning?: string | undefined
  readonly response?: string | undefined
  /** Without an `id` a call is given one that no call before it in the conversation has. Arguments may be a text that is no JSON. */
  readonly toolCalls?:
    | ReadonlyArray<{
        readonly name: string
        readonly arguments?: ToolCall["arguments"] | undefined
        readonly id?: string | undefined
      }>
    | undefined
  readonly usage?: Partial<Usage> | undefined
  /** Why it fails: the task ends with this as its error. */
  readonly fail?: string | undefined
}

/**
 * What a scripted model does: a list of steps, one for each of its turns, or a function from the input to a step or an Effect of one.
 *
 * @since 0.1.0
 * @category models
 */
export type Script<R = never> = ReadonlyArray<Step> | ((input: Input) => Step | Effect.Effect<Step, unknown, R>)

/**
 * What a script needs.
 *
 * @since 0.1.0
 * @category types
 */
// Found in the script, and not a parameter of its own: that would be taken from where the model is used.
export type ScriptContext<S> = S extends (...args: ReadonlyArray<never>) => infer Result
  ? Result extends Effect.Effect<unknown, unknown, infer R>
    ? R
    : never
  : never

/**
 * How a scripted model plays its script.
 *
 * @since 0.1.0
 * @category models
 */
export interface ScriptedOptions {
  /** The time between two pieces of a reply. Default none. */
  readonly pace?: Duration.DurationInput | undefined
}

/**
 * A model that says what it is told to, word by word, for demos and tests. The same conversation always gets the same reply.
 *
 * Of a list of steps, the first answers a conversation without messages of the assistant, the second one with one such message, and
 * so on. The model itself remembers nothing, so several conversations can go on at a time. One that goes on after the last step
 * fails.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import { Llm, Tasks } from "effect-inferencesh"
 * import { NodeInference } from "effect-inferencesh/node"
 *
 * const weather = Llm.scripted(
 *   "acme/weather",
 *   [{ toolCalls: [{ name: "get_weather", arguments: { city: "Oslo" } }] }, { response: "It rains in Oslo." }],
 *   { pace: "50 millis" }
 * )
 *
 * const parrot = Llm.scripted("acme/parrot", ({ text }) => ({ response: `You said: ${text}` }))
 *
 * const program = Tasks.run(parrot.app, { input: { text: "hello" } }).pipe(
 *   Effect.map((task) => task.output.response),
 *   Effect.provide(NodeInference.layerLocal({ apps: [weather, parrot] }))
 * )
 * ```
 * @since 0.1.0
 * @category constructors
 */
export const scripted = <const S extends Script<unknown>>(
  name: string,
  script: S,
  options: ScriptedOptions = {}
): BaseApp.BaseApp<Llm, Exclude<ScriptContext<S>, BaseApp.Context | Scope.Scope>> => {
  // What it needs is what its type says that it needs.
  const played = script as Script<ScriptContext<S>>
  // On its own line: with the result's type in view, TypeScript takes that for what the handlers need.
  const model = BaseApp.make(make(name), {
    concurrency: Number.MAX_SAFE_INTEGER,
    run: (input) => Scripted.play(name, played, options, input)
  })
  return model
}

/**
 * Where a model is, and how patient to be with it.
 *
 * @since 0.1.0
 * @category models
 */
export interface OpenAiOptions {
  /** The name of the model, as the API knows it. */
  readonly model: string
  /** The address of the API, to which `/chat/completions` is added. Default `https://api.openai.com/v1`. */
  readonly baseUrl?: string | undefined
  /** It is sent to the origin of `baseUrl` and nowhere else. A server of one's own may need none. */
  readonly apiKey?: Redacted.Redacted<string> | undefined
  /**
   * Further headers. Values of 8 characters or more are kept out of errors and logs, as the key is, except those of `accept`,
   * `content-type`, `user-agent`, `http-referer` and `x-title`.
   */
  readonly headers?: Headers.Input | undefined
  /** Further fields of the body of each request. They win over those that are made of the input. */
  readonly body?: { readonly [field: string]: unknown } | undefined
  /** Time until the headers of a reply. Default 5 minutes, since some servers load their model first. */
  readonly requestTimeout?: Duration.DurationInput | undefined
  /** Time without a byte of a reply. Default 5 minutes, since some models think that long without a word. */
  readonly idleTimeout?: Duration.DurationInput | undefined
  /** How often to ask again where the server turns a request away with 429 or 503. Nothing else is repeated. */
  readonly retry?: RetryPolicy | false | undefined
  /** How many requests may be under way at a time, on one instance of the app. Default 32. */
  readonly concurrency?: number | undefined
}

/**
 * A model behind any API that is compatible with OpenAI's chat completions: hosted ones, or a server on one's own machine. Replies
 * are streamed; servers that answer all at once do too.
 *
 * Images go along by their URL, or with their bytes where they are not at an `http(s)` address. Other files are read, and written
 * into the message as text. A file that is in two fields of the input is sent once. Earlier reasoning is not sent back.
 *
 * A run fails with `AppFailed`, whose detail is the message and the status that the server gave. It also does for a file of the new
 * message that cannot be read, is neither text nor an image or has more than 20 MiB, for an answer that breaks off, and for one that
 * takes too long. Of such a file in the `context` the model is told the name, and that it cannot be shown; the log has the reason.
 * Interrupting a run closes the connection.
 *
 * @example
 * ```ts
 * import { Config, Effect } from "effect"
 * import { Llm, Tasks } from "effect-inferencesh"
 * import { NodeInference } from "effect-inferencesh/node"
 *
 * const program = Effect.gen(function* () {
 *   const gpt = Llm.openAi("acme/gpt", { model: "gpt-5-mini", apiKey: yield* Config.redacted("OPENAI_API_KEY") })
 *   const local = Llm.openAi("acme/llama", { model: "llama3.2", baseUrl: "http://localhost:11434/v1" })
 *
 *   return yield* Tasks.run(gpt.app, { input: { text: "A haiku about effects" } }).pipe(
 *     Effect.map((task) => task.output.response),
 *     Effect.provide(NodeInference.layerLocal({ apps: [gpt, local] }))
 *   )
 * })
 * ```
 * @since 0.1.0
 * @category constructors
 */
export const openAi = (
  name: string,
  options: OpenAiOptions
): BaseApp.BaseApp<Llm, HttpClient.HttpClient | FileSystem.FileSystem> =>
  BaseApp.make(make(name), {
    concurrency: options.concurrency ?? 32,
    run: (input) => OpenAi.run(name, options, input)
  })
