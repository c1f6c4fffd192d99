/** A conversation with an agent: its turns, one after the other, and what else can be done with its chat. */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type * as AgentConfig from "../../AgentConfig.js"
import type * as Agents from "../../Agents.js"
import type * as ApiClient from "../../ApiClient.js"
import * as App from "../../App.js"
import * as Chat from "../../Chat.js"
import type * as Files from "../../Files.js"
import { type ApiFailure, ChatFailed, DecodeError, type FileError, InvalidRequest } from "../../InferenceError.js"
import { Attribute } from "../../Telemetry.js"
import type * as Tool from "../../Tool.js"
import { decodeError } from "../failure.js"
import * as Payload from "../payload.js"
import { makeLine } from "../permit.js"
import * as Telemetry from "../telemetry.js"
import { isJsonObject, type Json } from "../wire.js"
import * as Attachments from "./attachments.js"
import type * as Calls from "./calls.js"
import type { ChatApi } from "./chatApi.js"
import * as Config from "./config.js"
import * as Observe from "./observe.js"
import { runTurn } from "./runTurn.js"

export interface Dependencies {
  readonly api: ApiClient.Service
  /** An agent that is stored at the service, by its reference. */
  readonly stored: (ref: string) => Effect.Effect<AgentConfig.Stored, ApiFailure>
  readonly chats: ChatApi
  readonly files: Files.Service
  readonly claims: Calls.Claims
}

const invalid = (path: string, message: string) => new InvalidRequest({ issues: [{ path: [path], message }] })

const clientTools = <E, R>(tools: ReadonlyArray<Tool.Tool<string, E, R>>) =>
  new Map(tools.flatMap(({ name, spec }) => (spec.type === "client" ? [[name, spec] as const] : [])))

/** A conversation with the agent of this reference or this configuration. */
export const make = <E, R>(
  dependencies: Dependencies,
  agent: string | AgentConfig.Any,
  tools: ReadonlyArray<Tool.Tool<string, E, R>>,
  options: Agents.Options
): Effect.Effect<Agents.Agent<R, E>> =>
  Effect.gen(function* () {
    const { api, chats, files, stored } = dependencies
    const takePlace = yield* makeLine
    const handlers = clientTools(tools)
    const toolConcurrency = Math.max(1, Math.floor(options.toolConcurrency ?? 8))
    const label = typeof agent === "string" ? agent : (agent.name ?? "ad-hoc")
    let chatId = options.chatId
    // Grows with each reset: a turn from before it must not bring its chat back.
    let generation = 0
    let encoded: Json | undefined
    const gated = tools.filter(({ spec, requireApproval }) => requireApproval && spec.type === "client")
    let isGated = gated.length === 0

    /** The agent as it is sent with each message. Files in it are uploaded once. */
    const config = (agent: AgentConfig.Any) =>
      Effect.suspend((): Effect.Effect<Json, ApiFailure | FileError> => {
        if (encoded !== undefined) return Effect.succeed(encoded)
        return Effect.flatMap(Config.encode(agent), (json) =>
          Effect.map(Payload.withFilesUploaded(label, json, files.upload), (json) => {
            encoded = { ...(typeof json === "object" && json !== null ? json : {}) }
            return encoded
          })
        )
      })

    /** What a stored agent asks approval for is not up to those who talk with it: it must ask for what they rely on. */
    const checkGates = (ref: string) =>
      Effect.gen(function* () {
        const { version } = yield* stored(ref)
        const known = new Map(
          (version?.tools ?? []).filter(isJsonObject).map((tool) => [tool.name, tool.require_approval === true])
        )
        for (const { name } of gated) {
          if (known.get(name) === true) continue
          const message = `${ref} does not ask for approval of it: let the stored agent do so, or leave requireApproval away here`
          return yield* new InvalidRequest({ issues: [{ path: ["tools", name], message }] })
        }
        isGated = true
      })

    const named = Effect.gen(function* () {
      if (typeof agent !== "string") {
        const { name } = agent
        return { agent_config: yield* config(agent), agent_name: name }
      }
      if (agent.trim() === "") return yield* invalid("agent", "the name of the agent is empty")
      if (!isGated) yield* checkGates(agent)
      return { agent }
    })

    const bodyOf = (text: string, { files: attachments = [] }: Agents.MessageOptions, output?: App.SchemaOrFields) =>
      Effect.gen(function* () {
        if (text.trim() === "" && attachments.length === 0) return yield* invalid("text", "the message is empty")
        const { agent_config: plain, ...rest } = yield* named
        const agent_config =
          plain === undefined || output === undefined || typeof agent === "string"
            ? plain
            : yield* Config.withOutput(agent, plain, output)
        const uploaded = yield* Attachments.upload(files, attachments)
        return {
          chat_id: chatId ?? null,
          ...rest,
          agent_config,
          context: options.context,
          input: {
            text,
            role: "user",
            context: [],
            system_prompt: "",
            context_size: 0,
            attachments: uploaded.length === 0 ? undefined : uploaded
          }
        }
      })

    const turn = (
      text: string,
      options: Agents.MessageOptions = {},
      output?: App.SchemaOrFields
    ): Stream.Stream<Chat.Event<E>, Agents.ChatError, R> => {
      const take: Effect.Effect<
        Stream.Stream<Chat.Event<E>, Agents.ChatError>,
        Agents.ChatError,
        R | Scope.Scope
      > = Effect.gen(function* () {
        yield* takePlace
        const started = generation
        yield* Telemetry.annotate({ [Attribute.chatId]: chatId })
        const body = yield* bodyOf(text, options, output)
        return yield* runTurn<E, R>({
          ...dependencies,
          tools: handlers,
          toolConcurrency,
          chatId,
          body,
          wantsOutput: output !== undefined,
          onChat: (id) => {
            if (generation === started) chatId = id
          }
        })
      })
      return Stream.unwrapScoped(take)
    }

    const about = { [Attribute.agentName]: typeof agent === "string" ? agent : agent.name }
    const aboutTurn = {
      ...about,
      [Attribute.operation]: "invoke_agent",
      [Attribute.provider]: "inference.sh",
      [Attribute.model]: typeof agent === "string" ? undefined : Config.modelOf(agent)
    }
    const toService = { kind: "client" } as const

    /** Nobody sees the events: a turn that waits must not do so in silence. */
    const warn = (event: Chat.Event<E>) =>
      event._tag === "ApprovalRequired"
        ? Effect.annotateLogs(
            Effect.logWarning(
              `${label} waits for approval of ${event.name}: agent.approve("${event.id}") or agent.deny`
            ),
            { [Attribute.toolName]: event.name, ...(chatId !== undefined && { [Attribute.chatId]: chatId }) }
          )
        : Effect.void

    const sendMessage = (text: string, options?: Agents.MessageOptions, output?: App.SchemaOrFields) =>
      Chat.reply(Stream.tap(turn(text, options, output), warn))

    const withChat = <A, Err>(
      given: string | undefined,
      use: (chatId: string) => Effect.Effect<A, Err>
    ): Effect.Effect<A, Err | InvalidRequest> =>
      Effect.suspend((): Effect.Effect<A, Err | InvalidRequest> => {
        const id = given ?? chatId
        return id === undefined
          ? invalid("chatId", "there is no chat yet: the first message begins it")
          : Effect.zipRight(Telemetry.annotate({ [Attribute.chatId]: id }), use(id))
      })

    const outputOf = <S extends App.SchemaOrFields>(
      schema: S,
      reply: Chat.Reply
    ): Effect.Effect<Schema.Schema.Type<App.ToSchema<S>>, Agents.ChatError> => {
      const { output, chatId, runId, text } = reply
      const given = typeof agent === "string" ? output : Config.unwrapped(schema, output)
      const decoded = Schema.decodeUnknownEither(App.toSchema(schema))(given ?? null)
      if (Either.isRight(decoded)) return Effect.succeed(decoded.right)
      return Effect.fail(
        output == null
          ? new ChatFailed({ reason: "NoOutput", chatId, runId, messageId: reply.message?.id, text })
          : new DecodeError({ ...decodeError("structured output", decoded.left), chatId })
      )
    }

    return {
      chatId: Effect.sync(() => chatId),
      sendMessage: (text, options) =>
        sendMessage(text, options).pipe(Telemetry.operation("Agents.sendMessage", aboutTurn, toService)),
      chat: (text, options) => turn(text, options).pipe(Telemetry.streamOperation("Agents.chat", aboutTurn, toService)),
      run: (text, schema, options) =>
        Effect.flatMap(sendMessage(text, options, schema), (reply) => outputOf(schema, reply)).pipe(
          Telemetry.operation("Agents.run", aboutTurn, toService)
        ),
      getChat: (id) => withChat(id, chats.get).pipe(Telemetry.operation("Agents.getChat", about)),
      stopChat: (id) =>
        Effect.suspend(() => {
          const known = id ?? chatId
          return known === undefined ? Effect.void : withChat(known, chats.stop)
        }).pipe(Telemetry.operation("Agents.stopChat", about)),
      submitToolResult: (id, result) =>
        chats.submit(id, result).pipe(Telemetry.operation("Agents.submitToolResult", about)),
      approve: (id) => chats.approve(id).pipe(Telemetry.operation("Agents.approve", about)),
      alwaysAllow: (id, toolName) =>
        withChat(undefined, (chatId) => chats.alwaysAllow(chatId, id, toolName)).pipe(
          Telemetry.operation("Agents.alwaysAllow", about)
        ),
      deny: (id, reason) => chats.deny(id, reason).pipe(Telemetry.operation("Agents.deny", about)),
      streamMessages: (id) =>
        Stream.unwrap(withChat(id, (chatId) => Effect.succeed(Observe.messages(api, chats, chatId)))).pipe(
          Telemetry.streamOperation("Agents.streamMessages", about)
        ),
      streamChat: (id) =>
        Stream.unwrap(withChat(id, (chatId) => Effect.succeed(Observe.chat(api, chats, chatId)))).pipe(
          Telemetry.streamOperation("Agents.streamChat", about)
        ),
      reset: Effect.sync(() => {
        chatId = undefined
        generation++
      })
    }
  })
