/**
 * The service that talks with agents: turns as streams of events, tools whose handlers run here, structured output.
 *
 * @module
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { AgentConfig, Any, InternalToolGroup, Stored, Version } from "./AgentConfig.js"
import * as ApiClient from "./ApiClient.js"
import type * as App from "./App.js"
import type * as Chat from "./Chat.js"
import type * as File from "./File.js"
import * as Files from "./Files.js"
import type { ApiFailure, ChatFailed, ChatInterrupted, FileError } from "./InferenceError.js"
import * as internal from "./internal/agents/service.js"
import type * as Task from "./Task.js"
import type * as Tool from "./Tool.js"

/**
 * What a turn can fail with. `InvalidRequest` without a status and `FileError` come before anything is sent.
 *
 * @since 0.1.0
 * @category errors
 */
export type ChatError = ApiFailure | FileError | ChatFailed | ChatInterrupted

/**
 * What following a chat can fail with.
 *
 * @since 0.1.0
 * @category errors
 */
export type FollowError = ApiFailure | ChatInterrupted

/**
 * How to talk with an agent.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** Values for this conversation, such as those that the URLs of HTTP tools name. The service takes them when the chat begins. */
  readonly context?: { readonly [name: string]: string } | undefined
  /** An existing chat to go on with. Default: a new one, begun by the first message. */
  readonly chatId?: string | undefined
  /** How many calls of one turn are handled at a time. Default 8. */
  readonly toolConcurrency?: number | undefined
}

/**
 * What goes with a message.
 *
 * @since 0.1.0
 * @category models
 */
export interface MessageOptions {
  /** Attachments. Each is uploaded, once for this message, unless it is at a URL. */
  readonly files?: ReadonlyArray<File.File | Uint8Array | Blob> | undefined
}

/**
 * What a widget, a form for the user, is answered with.
 *
 * @since 0.1.0
 * @category models
 */
export interface WidgetAction {
  readonly action: { readonly type: string; readonly payload?: unknown }
  readonly formData?: { readonly [name: string]: unknown } | undefined
}

/**
 * A conversation with an agent. `R` is what the handlers of its tools need, `E` what they fail with.
 *
 * Turns are taken in order: a message that is sent while another turn of this conversation is under way waits until that is over. So a
 * handler must not wait for a message to its own agent, nor must whoever consumes the events of a turn: it would wait for itself.
 *
 * @since 0.1.0
 * @category models
 */
export interface Agent<out R = never, out E = unknown> {
  /** The id of the chat, once the first message has begun it. */
  readonly chatId: Effect.Effect<string | undefined>
  /**
   * Sends a message and waits until the turn is over. Owns the turn as {@link Agent.chat} does, and fails as that does. A turn that
   * needs an approval waits for it, and a warning is logged: approve from another fiber, or follow `chat` and end it with `Chat.reply`.
   */
  readonly sendMessage: (text: string, options?: MessageOptions) => Effect.Effect<Chat.Reply, ChatError, R>
  /**
   * Sends a message, and gives what happens until the turn is over. The stream owns the turn: when it is interrupted or not consumed to
   * its end, running handlers are interrupted and the chat is stopped.
   *
   * Fails with {@link ChatError}: `ChatFailed` where the turn does not end well, `StreamInterrupted` where it cannot be followed.
   */
  readonly chat: (text: string, options?: MessageOptions) => Stream.Stream<Chat.Event<E>, ChatError, R>
  /**
   * Sends a message and gives the structured output of the turn, an object or not. An agent that is described on the spot is told the
   * schema; one that is stored must have been given one that fits.
   *
   * Fails with {@link ChatError}: `ChatFailed` with the reason `NoOutput` where the turn gives none, `DecodeError` where it does not fit.
   */
  readonly run: <const S extends App.SchemaOrFields>(
    text: string,
    schema: S,
    options?: MessageOptions
  ) => Effect.Effect<Schema.Schema.Type<App.ToSchema<S>>, ChatError, R>
  /** The chat with all of its messages. Without an id that of this conversation; fails with `InvalidRequest` if it has not begun. */
  readonly getChat: (chatId?: string) => Effect.Effect<Chat.Chat, ApiFailure>
  /** Stops the turn that is under way, if one is. */
  readonly stopChat: (chatId?: string) => Effect.Effect<void, ApiFailure>
  /** Answers a call that waits for this program or a user: a text for the model, or what was done with a widget. */
  readonly submitToolResult: (id: string, result: string | WidgetAction) => Effect.Effect<void, ApiFailure>
  /** Lets a call go ahead that waits for approval, or opens a hook's gate. `id` is that of the `ApprovalRequired` event. */
  readonly approve: (id: string) => Effect.Effect<void, ApiFailure>
  /** Lets a call go ahead, and all later calls of the tool in this chat. */
  readonly alwaysAllow: (id: string, toolName: string) => Effect.Effect<void, ApiFailure>
  /** Refuses a call that waits for approval, or closes a hook's gate. The model reads the reason. */
  readonly deny: (id: string, reason?: string) => Effect.Effect<void, ApiFailure>
  /** The messages of the chat in each of their states, from those that are there on. It observes only, and does not end by itself. */
  readonly streamMessages: (chatId?: string) => Stream.Stream<Chat.Message, FollowError>
  /** The chat in each of its states, without its messages. It observes only, and does not end by itself. */
  readonly streamChat: (chatId?: string) => Stream.Stream<Chat.Chat, FollowError>
  /** Forgets the chat: the next message begins a new one. A turn that is under way goes on. */
  readonly reset: Effect.Effect<void>
}

/**
 * What is stored of an agent. With an `id` it becomes a new version of that agent.
 *
 * @since 0.1.0
 * @category models
 */
export interface SaveOptions {
  readonly id?: string | undefined
  readonly namespace?: string | undefined
  readonly name: string
  readonly title?: string | undefined
}

/**
 * How an agent is made: what it is, or the reference of a stored one and the handlers of its client tools.
 *
 * @since 0.1.0
 * @category models
 */
export interface Create {
  <const Tools extends ReadonlyArray<Tool.Any> = readonly []>(
    agent: string,
    options?: Options & {
      /**
       * The client tools of the stored agent, by their names: their handlers run here. Those with `requireApproval` need an agent that asks
       * for it: the first message fails with `InvalidRequest` where it does not.
       */
      readonly tools?: Tools
    }
  ): Effect.Effect<Agent<Tool.Requirements<Tools[number]>, Tool.Errors<Tools[number]>>, never, never>
  <const Tools extends ReadonlyArray<Tool.Any> = readonly []>(
    agent: string | AgentConfig<Tools>,
    options?: Options
  ): Effect.Effect<Agent<Tool.Requirements<Tools[number]>, Tool.Errors<Tools[number]>>, never, never>
}

/**
 * The service that talks with agents.
 *
 * @since 0.1.0
 * @category services
 */
export interface Service {
  readonly create: Create
  readonly getChat: (id: string) => Effect.Effect<Chat.Chat, ApiFailure>
  readonly listChats: (query?: ApiClient.ListQuery) => Stream.Stream<Chat.Chat, ApiFailure>
  readonly updateChat: (
    id: string,
    changes: { readonly name?: string; readonly description?: string }
  ) => Effect.Effect<Chat.Chat, ApiFailure>
  readonly removeChat: (id: string) => Effect.Effect<void, ApiFailure>
  readonly stopChat: (id: string) => Effect.Effect<void, ApiFailure>
  readonly chatStatus: (id: string) => Effect.Effect<Chat.Chat["status"], ApiFailure>
  readonly chatTrace: (id: string) => Effect.Effect<unknown, ApiFailure>
  readonly cancelMessage: (id: string) => Effect.Effect<Chat.Message, ApiFailure>
  readonly streamMessages: (chatId: string) => Stream.Stream<Chat.Message, FollowError>
  readonly streamChat: (chatId: string) => Stream.Stream<Chat.Chat, FollowError>
  readonly interrupts: (runId: string) => Effect.Effect<ReadonlyArray<Chat.Interrupt>, ApiFailure>
  readonly submitToolResult: (id: string, result: string | WidgetAction) => Effect.Effect<void, ApiFailure>
  readonly approve: (id: string) => Effect.Effect<void, ApiFailure>
  readonly deny: (id: string, reason?: string) => Effect.Effect<void, ApiFailure>
  readonly list: (query?: ApiClient.ListQuery) => Stream.Stream<Stored, ApiFailure>
  readonly get: (idOrRef: string) => Effect.Effect<Stored, ApiFailure>
  readonly save: (options: SaveOptions, config?: Any) => Effect.Effect<Stored, ApiFailure | FileError>
  readonly update: (
    id: string,
    changes: { readonly name?: string; readonly title?: string }
  ) => Effect.Effect<Stored, ApiFailure>
  readonly remove: (id: string) => Effect.Effect<void, ApiFailure>
  readonly duplicate: (id: string) => Effect.Effect<Stored, ApiFailure>
  readonly versions: (id: string, query?: ApiClient.ListQuery) => Stream.Stream<Version, ApiFailure>
  readonly version: (id: string, versionId: string) => Effect.Effect<Version, ApiFailure>
  readonly transfer: (id: string, teamId: string) => Effect.Effect<Stored, ApiFailure>
  readonly setVisibility: (id: string, visibility: Task.Visibility) => Effect.Effect<Stored, ApiFailure>
  readonly internalTools: Effect.Effect<ReadonlyArray<InternalToolGroup>, ApiFailure>
  readonly card: (id: string) => Effect.Effect<unknown, ApiFailure>
}

/**
 * The tag of the service that talks with agents.
 *
 * @since 0.1.0
 * @category services
 */
export class Agents extends Context.Tag("effect-inferencesh/Agents")<Agents, Service>() {}

/**
 * Makes the service.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make: Effect.Effect<Service, never, ApiClient.ApiClient | Files.Files> = Effect.gen(function* () {
  return internal.make(yield* ApiClient.ApiClient, yield* Files.Files)
})

/**
 * Provides the service.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<Agents, never, ApiClient.ApiClient | Files.Files> = Layer.effect(Agents, make)

/**
 * Begins, or goes on with, a conversation. Nothing is sent before the first message.
 *
 * The agent is given by the reference of a stored one, `namespace/name` or `namespace/name@version`, or by what it is. What the handlers
 * of its tools need, `agent.chat` and its like need.
 *
 * @example
 * ```ts
 * import { Console, Context, Effect, Schema, Stream } from "effect"
 * import { Agents, Tool } from "effect-inferencesh"
 *
 * class Weather extends Context.Tag("Weather")<Weather, { readonly at: (city: string) => Effect.Effect<string> }>() {}
 *
 * const getWeather = Tool.make("get_weather", {
 *   description: "Today's weather in a city",
 *   params: { city: Schema.String },
 *   handler: ({ city }) => Effect.flatMap(Weather, (weather) => weather.at(city))
 * })
 *
 * // Effect<void, Agents.ChatError, Weather | Agents.Agents>
 * const program = Effect.gen(function* () {
 *   const agent = yield* Agents.create({
 *     coreApp: "openrouter/claude-sonnet-4",
 *     systemPrompt: "Be brief.",
 *     tools: [getWeather]
 *   })
 *   yield* agent.chat("Do I need an umbrella in Oslo?").pipe(
 *     Stream.runForEach((event) => (event._tag === "TextDelta" ? Console.log(event.delta) : Effect.void))
 *   )
 * })
 * ```
 * @since 0.1.0
 * @category conversations
 */
export const create: {
  <const Tools extends ReadonlyArray<Tool.Any> = readonly []>(
    agent: string,
    options?: Options & { readonly tools?: Tools }
  ): Effect.Effect<Agent<Tool.Requirements<Tools[number]>, Tool.Errors<Tools[number]>>, never, Agents>
  <const Tools extends ReadonlyArray<Tool.Any> = readonly []>(
    agent: string | AgentConfig<Tools>,
    options?: Options
  ): Effect.Effect<Agent<Tool.Requirements<Tools[number]>, Tool.Errors<Tools[number]>>, never, Agents>
} = <Tools extends ReadonlyArray<Tool.Any>>(
  agent: string | AgentConfig<Tools>,
  options?: Options & { readonly tools?: Tools }
): Effect.Effect<Agent<Tool.Requirements<Tools[number]>, Tool.Errors<Tools[number]>>, never, Agents> =>
  Effect.flatMap(Agents, (agents) =>
    typeof agent === "string" ? agents.create<Tools>(agent, options) : agents.create<Tools>(agent, options)
  )

/**
 * A chat with all of its messages. Fails with `ApiFailure`.
 *
 * @since 0.1.0
 * @category chats
 */
export const getChat = (id: string): Effect.Effect<Chat.Chat, ApiFailure, Agents> =>
  Effect.flatMap(Agents, (agents) => agents.getChat(id))

/**
 * The chats of the team, without their messages. Pages are fetched as the stream is consumed.
 *
 * Fails with `ApiFailure`.
 *
 * @since 0.1.0
 * @category chats
 */
export const listChats = (query?: ApiClient.ListQuery): Stream.Stream<Chat.Chat, ApiFailure, Agents> =>
  Stream.unwrap(Effect.map(Agents, (agents) => agents.listChats(query)))

/**
 * Changes the name or the description of a chat. Fails with `ApiFailure`.
 *
 * @since 0.1.0
 * @category chats
 */
export const updateChat = (
  id: string,
  changes: { readonly name?: string; readonly description?: string }
): Effect.Effect<Chat.Chat, ApiFailure, Agents> => Effect.flatMap(Agents, (agents) => agents.updateChat(id, changes))

/**
 * Deletes a chat. Fails with `ApiFailure`.
 *
 * @since 0.1.0
 * @category chats
 */
export const removeChat = (id: string): Effect.Effect<void, ApiFailure, Agents> =>
  Effect.flatMap(Agents, (agents) => agents.removeChat(id))

/**
 * Stops the turn that is under way in a chat, if one is. Fails with `ApiFailure`.
 *
 * @since 0.1.0
 * @category chats
 */
export const stopChat = (id: string): Effect.Effect<void, ApiFailure, Agents> =>
  Effect.flatMap(Agents, (agents) => agents.stopChat(id))

/**
 * The status of a chat alone: lighter than {@link getChat}. Fails with `ApiFailure`.
 *
 * @since 0.1.0
 * @category chats
 */
export const chatStatus = (id: string): Effect.Effect<Chat.Chat["status"], ApiFailure, Agents> =>
  Effect.flatMap(Agents, (agents) => agents.chatStatus(id))

/**
 * The steps that the turns of a chat took, as the service tells of them. Fails with `ApiFailure`.
 *
 * @since 0.1.0
 * @category chats
 */
export const chatTrace = (id: string): Effect.Effect<unknown, ApiFailure, Agents> =>
  Effect.flatMap(Agents, (agents) => agents.chatTrace(id))

/**
 * Takes back a message whose turn has not come yet. Fails with `ApiFailure`.
 *
 * @since 0.1.0
 * @category chats
 */
export const cancelMessage = (id: string): Effect.Effect<Chat.Message, ApiFailure, Agents> =>
  Effect.flatMap(Agents, (agents) => agents.cancelMessage(id))

/**
 * The messages of a chat in each of their states, those that are there first. It observes only, and does not end by itself.
 *
 * Fails with {@link FollowError}.
 *
 * @since 0.1.0
 * @category chats
 */
export const streamMessages = (chatId: string): Stream.Stream<Chat.Message, FollowError, Agents> =>
  Stream.unwrap(Effect.map(Agents, (agents) => agents.streamMessages(chatId)))

/**
 * A chat in each of its states, without its messages. It observes only, and does not end by itself.
 *
 * Fails with {@link FollowError}.
 *
 * @since 0.1.0
 * @category chats
 */
export const streamChat = (chatId: string): Stream.Stream<Chat.Chat, FollowError, Agents> =>
  Stream.unwrap(Effect.map(Agents, (agents) => agents.streamChat(chatId)))

/**
 * What holds a run up, or has held it up. Fails with `ApiFailure`.
 *
 * @since 0.1.0
 * @category chats
 */
export const interrupts = (runId: string): Effect.Effect<ReadonlyArray<Chat.Interrupt>, ApiFailure, Agents> =>
  Effect.flatMap(Agents, (agents) => agents.interrupts(runId))

/**
 * Answers a call of a tool that waits for a program or a user: a text for the model, or what was done with a widget.
 *
 * Fails with `ApiFailure`.
 *
 * @since 0.1.0
 * @category calls
 */
export const submitToolResult = (id: string, result: string | WidgetAction): Effect.Effect<void, ApiFailure, Agents> =>
  Effect.flatMap(Agents, (agents) => agents.submitToolResult(id, result))

/**
 * Lets a call go ahead that waits for approval, or opens a hook's gate. Fails with `ApiFailure`.
 *
 * @since 0.1.0
 * @category calls
 */
export const approve = (id: string): Effect.Effect<void, ApiFailure, Agents> =>
  Effect.flatMap(Agents, (agents) => agents.approve(id))

/**
 * Refuses a call that waits for approval, or closes a hook's gate. The model reads the reason. Fails with `ApiFailure`.
 *
 * @since 0.1.0
 * @category calls
 */
export const deny = (id: string, reason?: string): Effect.Effect<void, ApiFailure, Agents> =>
  Effect.flatMap(Agents, (agents) => agents.deny(id, reason))

/**
 * The stored agents of the team. Pages are fetched as the stream is consumed.
 *
 * Fails with `ApiFailure`.
 *
 * @since 0.1.0
 * @category stored agents
 */
export const list = (query?: ApiClient.ListQuery): Stream.Stream<Stored, ApiFailure, Agents> =>
  Stream.unwrap(Effect.map(Agents, (agents) => agents.list(query)))

/**
 * A stored agent, by its id or by its reference `namespace/name`. Fails with `ApiFailure`.
 *
 * @since 0.1.0
 * @category stored agents
 */
export const get = (idOrRef: string): Effect.Effect<Stored, ApiFailure, Agents> =>
  Effect.flatMap(Agents, (agents) => agents.get(idOrRef))

/**
 * Stores an agent, or a new version of one. The handlers of its client tools are not stored: give them to {@link create}.
 *
 * Fails with `ApiFailure`, or with `FileError` where a file in it cannot be uploaded.
 *
 * @since 0.1.0
 * @category stored agents
 */
export const save = (options: SaveOptions, config?: Any): Effect.Effect<Stored, ApiFailure | FileError, Agents> =>
  Effect.flatMap(Agents, (agents) => agents.save(options, config))

/**
 * Changes the name or the title of a stored agent. Fails with `ApiFailure`.
 *
 * @since 0.1.0
 * @category stored agents
 */
export const update = (
  id: string,
  changes: { readonly name?: string; readonly title?: string }
): Effect.Effect<Stored, ApiFailure, Agents> => Effect.flatMap(Agents, (agents) => agents.update(id, changes))

/**
 * Deletes a stored agent. Fails with `ApiFailure`.
 *
 * @since 0.1.0
 * @category stored agents
 */
export const remove = (id: string): Effect.Effect<void, ApiFailure, Agents> =>
  Effect.flatMap(Agents, (agents) => agents.remove(id))

/**
 * Copies a stored agent. Fails with `ApiFailure`.
 *
 * @since 0.1.0
 * @category stored agents
 */
export const duplicate = (id: string): Effect.Effect<Stored, ApiFailure, Agents> =>
  Effect.flatMap(Agents, (agents) => agents.duplicate(id))

/**
 * The versions of a stored agent. Pages are fetched as the stream is consumed.
 *
 * Fails with `ApiFailure`.
 *
 * @since 0.1.0
 * @category stored agents
 */
export const versions = (id: string, query?: ApiClient.ListQuery): Stream.Stream<Version, ApiFailure, Agents> =>
  Stream.unwrap(Effect.map(Agents, (agents) => agents.versions(id, query)))

/**
 * One version of a stored agent. Fails with `ApiFailure`.
 *
 * @since 0.1.0
 * @category stored agents
 */
export const version = (id: string, versionId: string): Effect.Effect<Version, ApiFailure, Agents> =>
  Effect.flatMap(Agents, (agents) => agents.version(id, versionId))

/**
 * Gives a stored agent to another team. Fails with `ApiFailure`.
 *
 * @since 0.1.0
 * @category stored agents
 */
export const transfer = (id: string, teamId: string): Effect.Effect<Stored, ApiFailure, Agents> =>
  Effect.flatMap(Agents, (agents) => agents.transfer(id, teamId))

/**
 * Sets who may see a stored agent. Fails with `ApiFailure`.
 *
 * @since 0.1.0
 * @category stored agents
 */
export const setVisibility = (id: string, visibility: Task.Visibility): Effect.Effect<Stored, ApiFailure, Agents> =>
  Effect.flatMap(Agents, (agents) => agents.setVisibility(id, visibility))

/**
 * The A2A card of a stored agent, as it comes. Fails with `ApiFailure`.
 *
 * @since 0.1.0
 * @category stored agents
 */
export const card = (id: string): Effect.Effect<unknown, ApiFailure, Agents> =>
  Effect.flatMap(Agents, (agents) => agents.card(id))

/**
 * The groups of the service's own tools that agents may have. Fails with `ApiFailure`.
 *
 * @since 0.1.0
 * @category stored agents
 */
export const internalTools: Effect.Effect<ReadonlyArray<InternalToolGroup>, ApiFailure, Agents> = Effect.flatMap(
  Agents,
  (agents) => agents.internalTools
)
