/** Follows a chat without taking part in it. */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { FollowError } from "../../Agents.js"
import type * as ApiClient from "../../ApiClient.js"
import type * as Chat from "../../Chat.js"
import { type ChatInterrupted, StreamInterrupted } from "../../InferenceError.js"
import { follow } from "../follow.js"
import { sameJson } from "../wire.js"
import { type ChatApi, pathOf } from "./chatApi.js"
import * as ChatEvents from "./chatEvents.js"
import { lookAt } from "./chatLook.js"
import * as ChatState from "./chatState.js"

/** What changed is taken out of the state by `news`. */
const followChat = <A>(
  api: ApiClient.Service,
  chats: ChatApi,
  chatId: string,
  news: (state: ChatState.ChatState) => ReadonlyArray<A>
): Stream.Stream<A, FollowError> =>
  Stream.suspend(() => {
    const state = ChatState.make()
    // What is finished does not change any more, and neither does what came before it.
    const look = lookAt(chats, chatId, state, ({ id }) => state.isFinished(String(id)))
    const taken = Effect.map(look, () => news(state))
    return follow<A, ChatEvents.Update, ChatInterrupted>(api, api.settings.transport, {
      path: pathOf(chatId),
      read: (frame) => ChatEvents.read(chatId, frame),
      look: taken,
      poll: taken,
      end: () => undefined,
      unknown: () => [],
      isProgress: () => true,
      interrupted: (reason, detail) => Object.assign(new StreamInterrupted({ reason, detail }), { chatId }),
      onOpen: Effect.sync(() => state.connected()),
      update: (update, connection) => {
        if (update._tag === "Chat" && update.fields === undefined) connection.isSynced = true
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
  followChat(api, chats, chatId, (state) =>
    state
      .takeChanged()
      .flatMap((entry) => state.view(entry) ?? [])
      .filter(isShown)
      .sort((a, b) => a.order - b.order)
  )

/** The chat itself as it changes. */
export const chat = (api: ApiClient.Service, chats: ChatApi, chatId: string): Stream.Stream<Chat.Chat, FollowError> =>
  Stream.suspend(() => {
    let last: Chat.Chat | undefined
    return followChat(api, chats, chatId, (state) => {
      const now = state.chat()
      if (now === undefined || sameJson(now, last)) return []
      last = now
      return [{ ...now, messages: [] }]
    })
  })
