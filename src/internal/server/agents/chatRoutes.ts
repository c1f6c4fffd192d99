/** What clients see of chats, and do with them other than talk: protocol.md §7.2. */
import * as HttpRouter from "@effect/platform/HttpRouter"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type { Json } from "../../wire.js"
import * as EventStream from "../eventStream.js"
import { page } from "../listing.js"
import { invalid, notFound, Problem, readBody, success } from "../reply.js"
import type { Settings } from "../settings.js"
import { iso } from "../taskWire.js"
import { readVisibility } from "../visibility.js"
import type { Agents } from "./agents.js"
import * as Approvals from "./approvals.js"
import * as Chat from "./chat.js"
import type { Chats } from "./chats.js"
import { follow } from "./follow.js"
import type { Info } from "./state.js"
import { type Templates, versionOf } from "./templates.js"
import * as TemplateWire from "./templateWire.js"
import { trace } from "./trace.js"
import type { Turns } from "./turns.js"
import * as Wire from "./wire.js"

/** What a request changes about a chat. */
const infoOf = (body: Json): Effect.Effect<Partial<Info>, Problem> =>
  Effect.gen(function* () {
    for (const name of ["name", "description"]) {
      if (body[name] != null && typeof body[name] !== "string") {
        return yield* invalid(`this is no ${name}`, [{ field: name, message: "expected a text" }])
      }
    }
    const { allow_all_tools: allowAll } = body
    if (allowAll != null && typeof allowAll !== "boolean") {
      return yield* invalid("this is no setting", [{ field: "allow_all_tools", message: "expected true or false" }])
    }
    return {
      ...(typeof body.name === "string" && { name: body.name }),
      ...(typeof body.description === "string" && { description: body.description }),
      ...(body.visibility != null && { visibility: yield* readVisibility(body.visibility) }),
      ...(typeof allowAll === "boolean" && { allowAllTools: allowAll })
    }
  })

export const make = (options: {
  readonly agents: Agents
  readonly templates: Templates
  readonly chats: Chats
  readonly turns: Turns
  readonly settings: Settings
}) => {
  const { agents, templates, chats, turns, settings } = options
  const ok = (data: unknown) => success(settings.envelope, data)
  const noContent = HttpServerResponse.empty({ status: 204 })

  const chat = Effect.flatMap(HttpRouter.params, ({ id = "" }) => {
    const found = chats.find(id)
    return found === undefined ? Effect.fail(notFound(`chat ${id}`)) : Effect.succeed(found)
  })
  const bodyOf = readBody(settings.maxBodySize)

  const stream = Effect.gen(function* () {
    const found = yield* chat
    const request = yield* HttpServerRequest.HttpServerRequest
    return EventStream.respond(request, follow(found, settings.heartbeatInterval), { done: false })
  })

  const messages = Effect.gen(function* () {
    const found = yield* chat
    const { url } = yield* HttpServerRequest.HttpServerRequest
    const query = new URL(url, "http://localhost").searchParams
    const items = found.messages.map((message) => ({ ordinal: message.order, message })).reverse()
    return ok(
      yield* page(
        items,
        { cursor: query.get("cursor"), limit: Number(query.get("limit")) },
        { wire: ({ message }) => Wire.message(found, message) }
      )
    )
  })

  const list = Effect.gen(function* () {
    const body = yield* bodyOf
    return ok(yield* page(chats.all(), body, { wire: Wire.chat, texts: ["name", "description"] }))
  })

  const update = Effect.gen(function* () {
    const found = yield* chat
    const info = yield* infoOf(yield* bodyOf)
    const now = yield* Clock.currentTimeMillis
    Chat.setInfo(found, now, info)
    if (info.allowAllTools) Approvals.settleAllowed(chats.all(), now)
    return ok(Wire.chat(found))
  })

  const setAgent = Effect.gen(function* () {
    const found = yield* chat
    const body = yield* bodyOf
    const agent = yield* agents.ofRequest({ agent: body.agent, agent_id: body.agent_id })
    Chat.setInfo(found, yield* Clock.currentTimeMillis, { agent })
    const template = templates.find(agent.id ?? "")
    if (template === undefined) return yield* notFound(`agent ${agent.id}`)
    return ok(TemplateWire.agent(template, versionOf(template, agent.versionId ?? "")))
  })

  const cancelMessage = Effect.gen(function* () {
    const { id = "" } = yield* HttpRouter.params
    const found = chats.holding(id)
    const now = yield* Clock.currentTimeMillis
    const message = found?.messages.find((each) => each.id === id)
    if (found === undefined || message === undefined) return yield* notFound(`message ${id}`)
    const at = found.queue.findIndex(({ messageId }) => messageId === id)
    if (at === -1) {
      const detail = `message ${id} is not queued: it is ${message.status}`
      return yield* new Problem({ status: 409, code: "conflict", detail })
    }
    found.queue.splice(at, 1)
    const cancelled = Chat.changeMessage(found, now, id, { status: "cancelled" }) ?? message
    return ok(Wire.message(found, cancelled))
  })

  return HttpRouter.empty.pipe(
    HttpRouter.post("/chats/list", list),
    HttpRouter.get(
      "/chats/:id",
      Effect.map(chat, (found) => ok(Wire.chat(found)))
    ),
    HttpRouter.post("/chats/:id", update),
    HttpRouter.patch("/chats/:id", update),
    HttpRouter.del("/chats/:id", Effect.as(Effect.flatMap(chat, turns.remove), noContent)),
    HttpRouter.get(
      "/chats/:id/status",
      Effect.map(chat, (found) =>
        ok({ id: found.id, status: Wire.chatStatus(found), updated_at: iso(found.info.updatedAt) })
      )
    ),
    HttpRouter.get("/chats/:id/stream", stream),
    HttpRouter.get("/chats/:id/messages", messages),
    HttpRouter.get(
      "/chats/:id/trace",
      Effect.map(chat, (found) => ok(trace(found)))
    ),
    HttpRouter.post(
      "/chats/:id/stop",
      Effect.map(Effect.flatMap(chat, turns.stop), () => ok(null))
    ),
    HttpRouter.post("/chats/:id/agent", setAgent),
    HttpRouter.post("/chats/:id/settings", update),
    HttpRouter.post("/chats/messages/:id/cancel", cancelMessage)
  )
}
