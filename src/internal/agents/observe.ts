/** Follows a chat without taking part in it. */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { FollowError } from "../../Agents.js"
import type * as ApiClient from "../../ApiClient.js"
import type * as Chat from "../../Chat.js"
import { type ApiFailure, type ChatInterrupted, chatInterrupted } from "../../InferenceError.js"
import { follow, synced } from "../follow.js"
import { sameJson } from "../wire.js"
import { type ChatApi, pathOf } from "./chatApi.js"
import * as ChatEvents from "./chatEvents.js"
import { lookAt, takeChat } from "./chatLook.js"
import * as ChatState from "./chatState.js"

/** What changed is taken out of the state by `news`. */
const followChat = <A>(
  api: ApiClient.Service,
  chatId: string,
  options: {
    readonly look: (state: ChatState.ChatState) => Effect.Effect<void, ApiFailure>
    readonly isOf: (update: ChatEvents.Update) => boolean
    readonly news: (state: ChatState.ChatState) => ReadonlyArray<A>
  }
): Stream.Stream<A, FollowError> =>
  Stream.suspend(() => {
    const { look, isOf, news } = options
    const state = ChatState.make()
    const ids: ChatEvents.Ids = new Set([chatId])
    const taken = Effect.map(look(state), () => news(state))
    return follow<A, ChatEvents.Update, ChatInterrupted>(api, api.settings.transport, {
      path: pathOf(chatId),
      read: (frame) => ChatEvents.read(ids, frame),
      look: taken,
      poll: taken,
      end: () => undefined,
      unknown: () => [],
      isProgress: () => true,
      interrupted: (reason, detail) => chatInterrupted({ reason, detail, chatId }),
      opened: (connection) =>
        Effect.suspend(() => {
          state.connected()
          return synced(taken, connection)
        }),
      update: (update) => {
        if (!isOf(update)) return Effect.succeed([])
        if (!state.isKnown(update)) return taken
        return Effect.sync(() => {
          state.apply(update, "stream")
          return news(state)
        })
      }
    })
  })

const isShown = ({ role }: Chat.Message): boolean => role !== "injection" && role !== "compaction"

/** The messages of a chat as they change, with the text that is being written. */
export const messages = (
  api: ApiClient.Service,
  chats: ChatApi,
  chatId: string
): Stream.Stream<Chat.Message, FollowError> =>
  followChat(api, chatId, {
    // What is finished does not change any more, and neither does what came before it.
    look: (state) => lookAt(chats, chatId, state, ({ id }) => state.isFinished(String(id))),
    isOf: () => true,
    news: (state) =>
      state
        .takeChanged()
        .flatMap((entry) => state.view(entry) ?? [])
        .filter(isShown)
        .sort((a, b) => a.order - b.order)
  })

/** The chat itself as it changes. */
export const chat = (api: ApiClient.Service, chats: ChatApi, chatId: string): Stream.Stream<Chat.Chat, FollowError> =>
  Stream.suspend(() => {
    let last: Chat.Chat | undefined
    return followChat(api, chatId, {
      look: (state) => Effect.flatMap(chats.raw(chatId), (data) => takeChat(chatId, state, data)),
      isOf: ({ _tag }) => _tag === "Chat" || _tag === "Run",
      news: (state) => {
        const now = state.chat()
        if (now === undefined || sameJson(now, last)) return []
        last = now
        return [{ ...now, messages: [] }]
      }
    })
  })
