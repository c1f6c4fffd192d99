/** How those who follow a chat hear of what happens in it: protocol.md §7.4, §7.8. */
import * as Chunk from "effect/Chunk"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { Json } from "../../wire.js"
import * as EventStream from "../eventStream.js"
import * as Feed from "../feed.js"
import type { Chat, Message, Run } from "./state.js"
import * as Wire from "./wire.js"

type Event = EventStream.Event

export const event = (name: string, data: Json): Event => ({ _tag: "Data", name, data })

export const chatEvent = (chat: Chat) => event("chats", Wire.chat(chat))
export const messageEvent = (chat: Chat, message: Message) => event("chat_messages", Wire.message(chat, message))
export const runEvent = (chat: Chat, run: Run) => event("agent_runs", Wire.run(chat, run))

const whole = (chat: Chat): ReadonlyArray<Event> => {
  const run = chat.runs.at(-1)
  return [
    chatEvent(chat),
    ...chat.messages.map((message) => messageEvent(chat, message)),
    ...(run === undefined ? [] : [runEvent(chat, run)])
  ]
}

/**
 * Follows a chat for as long as the server knows it: everything in it first, then what happens. A follower that is too slow for
 * the kept events gets everything again instead of those it missed.
 */
export const follow = (chat: Chat, heartbeat: Duration.DurationInput): Stream.Stream<Event> => {
  const next = (version: number): Effect.Effect<readonly [Chunk.Chunk<Event>, Option.Option<number>]> =>
    Effect.suspend(() => {
      const events = Feed.since(chat.feed, version) ?? whole(chat)
      if (events.length > 0) {
        return Effect.succeed([Chunk.fromIterable(events), Option.some(chat.feed.version)] as const)
      }
      if (chat.closed) return Effect.succeed([Chunk.empty<Event>(), Option.none<number>()] as const)
      return Effect.flatMap(
        Effect.timeoutOption(Feed.changed(chat.feed), heartbeat),
        Option.match({
          onNone: () => Effect.succeed([Chunk.of(EventStream.heartbeat), Option.some(version)] as const),
          onSome: () => next(version)
        })
      )
    })
  return Feed.following(chat.feed, () => {
    const { version } = chat.feed
    return Stream.concat(Stream.fromIterable(whole(chat)), Stream.paginateChunkEffect(version, next))
  })
}

/** Follows one message of a chat to its end, as it is each time that the follower comes to look. */
export const followMessage = (chat: Chat, id: string, heartbeat: Duration.DurationInput): Stream.Stream<Event> => {
  const find = () => chat.messages.findLast((message) => message.id === id)
  const next = (
    seen: Message | undefined
  ): Effect.Effect<readonly [Chunk.Chunk<Event>, Option.Option<Message | undefined>]> =>
    Effect.suspend(() => {
      const message = find()
      if (message !== undefined && message !== seen) {
        const data: Event = { _tag: "Data", data: Wire.message(chat, message) }
        return Effect.succeed([
          Chunk.of(data),
          message.status === "pending" ? Option.some(message) : Option.none()
        ] as const)
      }
      if (message === undefined || chat.closed) return Effect.succeed([Chunk.empty<Event>(), Option.none()] as const)
      return Effect.flatMap(
        Effect.timeoutOption(Feed.changed(chat.feed), heartbeat),
        Option.match({
          onNone: () => Effect.succeed([Chunk.of(EventStream.heartbeat), Option.some(seen)] as const),
          onSome: () => next(seen)
        })
      )
    })
  const start: Message | undefined = undefined
  return Stream.paginateChunkEffect(start, next)
}
