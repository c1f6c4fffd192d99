/** The requests about chats: protocol.md §7.2. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { WidgetAction } from "../../Agents.js"
import type * as ApiClient from "../../ApiClient.js"
import * as Chat from "../../Chat.js"
import type { ApiFailure } from "../../InferenceError.js"
import { decodeError } from "../failure.js"
import { field, isJsonObject, type Json, JsonObject } from "../wire.js"

const nothing = Schema.Unknown

const MessagePage = Schema.Struct({
  items: Schema.optionalWith(Schema.Array(JsonObject), { default: () => [], nullable: true }),
  hasNext: field("has_next", Schema.Boolean),
  nextCursor: field("next_cursor", Schema.String)
})

const pageSize = 100

/** Says that what was asked for is done already, or can be no more: the turn went on without it. */
export const isRefusal = (error: ApiFailure): boolean =>
  error._tag === "NotFound" ||
  (error._tag === "InvalidRequest" && error.status !== undefined) ||
  (error._tag === "ApiError" && (error.status === 409 || error.status === 410))

export interface ChatApi {
  readonly raw: (chatId: string) => Effect.Effect<Json, ApiFailure>
  /** The messages: those that came with the chat, or else pages of them, the newest first, until one has what is known already. */
  readonly messages: (
    chatId: string,
    chat: Json,
    isKnown: (message: Json) => boolean
  ) => Effect.Effect<ReadonlyArray<Json>, ApiFailure>
  readonly get: (chatId: string) => Effect.Effect<Chat.Chat, ApiFailure>
  readonly stop: (chatId: string) => Effect.Effect<void, ApiFailure>
  readonly cancelMessage: (messageId: string) => Effect.Effect<Chat.Message, ApiFailure>
  /** The same, whatever the service has to say to it. */
  readonly withdraw: (messageId: string) => Effect.Effect<void, ApiFailure>
  /** Gives a result once. Whether it may be given again is for the caller to find out. */
  readonly submit: (id: string, result: string | WidgetAction) => Effect.Effect<void, ApiFailure>
  readonly approve: (id: string) => Effect.Effect<void, ApiFailure>
  readonly alwaysAllow: (chatId: string, id: string, toolName: string) => Effect.Effect<void, ApiFailure>
  readonly deny: (id: string, reason?: string) => Effect.Effect<void, ApiFailure>
}

export const pathOf = (chatId: string) => `/chats/${encodeURIComponent(chatId)}`

const toolPath = (id: string) => `/tools/${encodeURIComponent(id)}`

export const make = (api: ApiClient.Service): ChatApi => {
  const post = (path: string, body?: unknown, idempotent = false) =>
    Effect.asVoid(api.request({ method: "POST", path, body, idempotent, schema: nothing }))

  const raw = (chatId: string) => api.request({ path: pathOf(chatId), schema: JsonObject })

  const messages: ChatApi["messages"] = (chatId, chat, isKnown) => {
    const embedded: ReadonlyArray<unknown> = Array.isArray(chat.chat_messages) ? chat.chat_messages : []
    if (embedded.length > 0) return Effect.succeed(embedded.filter(isJsonObject))
    const from = (cursor: string, before: ReadonlyArray<Json>): Effect.Effect<ReadonlyArray<Json>, ApiFailure> =>
      Effect.flatMap(
        api.request({
          path: `${pathOf(chatId)}/messages`,
          query: { limit: pageSize, cursor: cursor || undefined },
          schema: MessagePage
        }),
        ({ items, hasNext, nextCursor }) => {
          const found = [...before, ...items]
          return hasNext && nextCursor && nextCursor !== cursor && !items.some(isKnown)
            ? from(nextCursor, found)
            : Effect.succeed(found)
        }
      )
    // Servers that embed the messages have no such endpoint.
    return Effect.catchTag(from("", []), "NotFound", () => Effect.succeed([]))
  }

  const cancel = <A, I>(messageId: string, schema: Schema.Schema<A, I>) =>
    api.request({
      method: "POST",
      path: `/chats/messages/${encodeURIComponent(messageId)}/cancel`,
      idempotent: true,
      schema
    })

  /** A tool's call waits under its own id; other gates under that of the interrupt. */
  const resolve = (id: string, call: Effect.Effect<void, ApiFailure>, decision: "allow" | "deny") =>
    Effect.catchTag(call, "NotFound", () => post(`/interrupts/${encodeURIComponent(id)}/resolve`, { decision }))

  return {
    raw,
    messages,
    get: (chatId) =>
      Effect.gen(function* () {
        const chat = yield* raw(chatId)
        const found = yield* messages(chatId, chat, () => false)
        const decoded = yield* Effect.mapError(
          Schema.decodeUnknown(Chat.Chat)({ ...chat, chat_messages: found }),
          (error) => decodeError(`chat ${chatId}`, error)
        )
        return { ...decoded, messages: [...decoded.messages].sort((a, b) => a.order - b.order) }
      }),
    stop: (chatId) => post(`${pathOf(chatId)}/stop`, undefined, true),
    cancelMessage: (messageId) => cancel(messageId, Chat.Message),
    withdraw: (messageId) => Effect.asVoid(cancel(messageId, nothing)),
    submit: (id, result) =>
      post(toolPath(id), {
        result:
          typeof result === "string"
            ? result
            : JSON.stringify({ action: result.action, form_data: result.formData ?? {} })
      }),
    approve: (id) => resolve(id, post(`${toolPath(id)}/invoke`), "allow"),
    alwaysAllow: (chatId, id, toolName) =>
      post(`${pathOf(chatId)}${toolPath(id)}/always-allow`, { tool_name: toolName, option: toolName }),
    deny: (id, reason) => resolve(id, post(`${toolPath(id)}/reject`, { reason }), "deny")
  }
}
