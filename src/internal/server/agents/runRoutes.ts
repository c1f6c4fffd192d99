/** How turns begin: `POST /agents/run` and `POST /chats/{id}/messages`. */
import * as HttpRouter from "@effect/platform/HttpRouter"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type { Json } from "../../wire.js"
import { isJsonObject } from "../../wire.js"
import * as EventStream from "../eventStream.js"
import { invalid, notFound, Problem, readObject, success } from "../reply.js"
import { originOf, type Settings } from "../settings.js"
import { type Agents, contextFor } from "./agents.js"
import { nothing } from "./chat.js"
import type { Chats } from "./chats.js"
import { contentOf } from "./content.js"
import { followMessage } from "./follow.js"
import { settingsOf } from "./input.js"
import type { Agent, Chat, Order } from "./state.js"
import type { Turns } from "./turns.js"
import * as Wire from "./wire.js"

/** How many messages may wait in a chat. */
const maxQueued = 100

export const make = (options: {
  readonly agents: Agents
  readonly chats: Chats
  readonly turns: Turns
  readonly admit: Effect.Effect<void, Problem>
  readonly settings: Settings
}) => {
  const { agents, chats, turns, admit, settings } = options
  const ok = (data: unknown) => success(settings.envelope, data)

  const find = (id: unknown): Effect.Effect<Chat, Problem> => {
    const chat = typeof id === "string" ? chats.find(id) : undefined
    return chat === undefined ? Effect.fail(notFound(`chat ${id}`)) : Effect.succeed(chat)
  }

  const send = (chat: Chat, order: Order) =>
    Effect.suspend(() => {
      if (chat.queue.length < maxQueued) return turns.send(chat, order)
      const detail = `${maxQueued} messages wait in chat ${chat.id} already: wait until one is answered, or cancel one`
      return new Problem({ status: 429, code: "rate_limited", detail })
    })

  const create = (agent: Agent, body: Json) =>
    Effect.gen(function* () {
      const context = yield* contextFor(agent, body.context)
      const now = yield* Clock.currentTimeMillis
      const channelContext = isJsonObject(body.channel_context) ? body.channel_context : undefined
      const chat = chats.create(now, { agent, name: agent.name, context, channelContext })
      chats.trim()
      return chat
    })

  const run = Effect.gen(function* () {
    const request = yield* HttpServerRequest.HttpServerRequest
    const body = yield* readObject(request, settings.maxBodySize)
    yield* admit
    const isNew = body.chat_id == null || body.chat_id === ""
    const agent = yield* agents.ofRequest(body)
    const content = yield* contentOf(body.input)
    const input = isJsonObject(body.input) ? body.input : {}
    // The chat and its turn: both, or none where the client has gone.
    const { chat, sent } = yield* Effect.gen(function* () {
      const chat = yield* isNew ? create(agent, body) : find(body.chat_id)
      const sent = yield* send(chat, {
        agent,
        content,
        settings: settingsOf(input),
        context: Array.isArray(input.context) ? input.context : [],
        origin: originOf(settings, request)
      })
      return { chat, sent }
    }).pipe(Effect.uninterruptible)
    const assistant = sent.begun?.assistantMessage
    if (body.stream === true && assistant !== undefined && EventStream.wantsStream(request)) {
      const events = followMessage(chat, assistant.id, settings.heartbeatInterval)
      return EventStream.respond(request, events, { done: false })
    }
    return ok({
      user_message: Wire.message(chat, sent.userMessage),
      ...(assistant && { assistant_message: Wire.message(chat, assistant) })
    })
  })

  const createChat = Effect.gen(function* () {
    const request = yield* HttpServerRequest.HttpServerRequest
    const body = yield* readObject(request, settings.maxBodySize)
    const agent = yield* agents.ofRequest(body)
    return ok(Wire.chat(yield* create(agent, body)))
  })

  const say = Effect.gen(function* () {
    const request = yield* HttpServerRequest.HttpServerRequest
    const { id } = yield* HttpRouter.params
    const body = yield* readObject(request, settings.maxBodySize)
    yield* admit
    const chat = yield* find(id)
    if (typeof body.message !== "string" || body.message.trim() === "") {
      const message = "expected a text that is not empty"
      return yield* invalid("the request has no message", [{ field: "message", message }])
    }
    const { userMessage } = yield* send(chat, {
      agent: undefined,
      content: { ...nothing, text: body.message },
      settings: {},
      context: [],
      origin: originOf(settings, request)
    })
    return ok(Wire.message(chat, userMessage))
  })

  return HttpRouter.empty.pipe(
    HttpRouter.post("/agents/run", run),
    HttpRouter.post("/chats", createChat),
    HttpRouter.post("/chats/:id/messages", say)
  )
}
