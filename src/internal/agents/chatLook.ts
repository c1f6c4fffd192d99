/** A look at a chat as it is now, for what a stream has not told or a poll is to find: protocol.md §7.7. */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type { ApiFailure } from "../../InferenceError.js"
import { decodeError } from "../failure.js"
import type { Json } from "../wire.js"
import type { ChatApi } from "./chatApi.js"
import type { ChatState } from "./chatState.js"

/** Takes a chat as it came. */
export const takeChat = (chatId: string, state: ChatState, data: Json): Effect.Effect<void, ApiFailure> => {
  const outcome = state.apply({ _tag: "Chat", data, fields: undefined }, "reply")
  return Either.isLeft(outcome) ? Effect.fail(decodeError(`chat ${chatId}`, outcome.left)) : Effect.void
}

/** Asks for the chat and then for its messages, which are then at least as new, and takes what is found. */
export const lookAt = (
  chats: ChatApi,
  chatId: string,
  state: ChatState,
  isKnown: (message: Json) => boolean
): Effect.Effect<void, ApiFailure> =>
  Effect.gen(function* () {
    const chat = yield* chats.raw(chatId)
    const messages = yield* chats.messages(chatId, chat, isKnown)
    for (const data of messages) state.apply({ _tag: "Message", data, fields: undefined }, "reply")
    yield* takeChat(chatId, state, chat)
  })
