/** The chats that a server keeps, and those who follow them. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import * as Chats from "../src/internal/server/agents/chats.js"
import { follow } from "../src/internal/server/agents/follow.js"
import type { Agent, Chat, Order, Turn, TurnFailed } from "../src/internal/server/agents/state.js"
import * as Turns from "../src/internal/server/agents/turns.js"

const agent: Agent = {
  config: { name: undefined, systemPrompt: "", model: {}, preset: {}, tools: [], context: [] },
  id: undefined,
  versionId: undefined,
  name: "nobody"
}

const order = (text: string): Order => ({
  agent,
  content: { text, images: [], files: [], attachments: [] },
  settings: {},
  context: [],
  origin: ""
})

/** Three chats and their turns, in which happens what is given. */
const make = (perform: (turn: Turn) => Effect.Effect<unknown, TurnFailed>) =>
  Effect.gen(function* () {
    const chats = Chats.make(3)
    const turns = yield* Turns.make(chats, perform)
    const create = Effect.zipLeft(
      Effect.sync(() => chats.create(0, { agent, name: "", context: {} })),
      turns.trim
    )
    const say = (chat: Chat, text = "") => turns.send(chat, order(text))
    return { chats, turns, create, say }
  })

describe("chats", () => {
  it.scoped("are forgotten where there are too many, those that rest before those at work", () =>
    Effect.gen(function* () {
      const { chats, create, say } = yield* make(() => Effect.never)
      const left = (...made: ReadonlyArray<Chat>) => made.map((chat) => chats.find(chat.id) === chat)
      const first = yield* create
      yield* say(first)
      const second = yield* create
      const follower = yield* Effect.fork(Stream.runDrain(follow(second, "10 seconds")))
      const third = yield* create
      assert.deepStrictEqual(left(first, second, third), [true, true, true])
      const fourth = yield* create
      assert.deepStrictEqual(left(first, second, third, fourth), [true, false, true, true])
      yield* Fiber.join(follower)
      const { userMessage } = yield* say(third)
      yield* say(fourth)
      const fifth = yield* create
      assert.deepStrictEqual(left(first, third, fourth, fifth), [false, true, true, true])
      assert.strictEqual(first.runs.at(-1)?.state, "canceled")
      assert.strictEqual(chats.holding(first.messages[0]?.id ?? ""), undefined)
      assert.strictEqual(chats.holding(userMessage.id), third)
    })
  )

  it.scoped("keep nothing for followers that have left", () =>
    Effect.gen(function* () {
      const { create, say } = yield* make(() => Effect.void)
      const chat = yield* create
      const fiber = yield* Effect.fork(Stream.runDrain(follow(chat, "10 seconds")))
      yield* TestClock.adjust("1 second")
      assert.strictEqual(chat.feed.followers, 1)
      yield* say(chat)
      assert.isAbove(chat.feed.recent.length, 0)
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual([chat.feed.followers, chat.feed.recent.length], [0, 0])
    })
  )

  it.scoped("go on after a turn that dies", () =>
    Effect.gen(function* () {
      const { create, say } = yield* make(({ order }) =>
        order.content.text === "die" ? Effect.die(new Error("a bug")) : Effect.succeed(order.content.text)
      )
      const chat = yield* create
      yield* say(chat, "die")
      yield* say(chat, "and go on")
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(
        chat.runs.map(({ state, output, error }) => [state, output ?? error]),
        [
          ["failed", "the server failed: see its log"],
          ["completed", "and go on"]
        ]
      )
      assert.deepStrictEqual(
        chat.messages.filter(({ role }) => role === "assistant").map(({ status }) => status),
        ["failed", "cancelled"]
      )
      assert.isUndefined(chat.turn)
    })
  )

  it.scoped("take turns one after the other, however many wait", () =>
    Effect.gen(function* () {
      let running = 0
      const { create, say } = yield* make(({ order }) =>
        Effect.gen(function* () {
          assert.strictEqual(++running, 1)
          if (order.content.text === "0") yield* Effect.sleep("1 minute")
          running--
        })
      )
      const chat = yield* create
      for (let i = 0; i < 5000; i++) yield* say(chat, String(i))
      yield* TestClock.adjust("1 minute")
      assert.isTrue(chat.runs.every(({ state }) => state === "completed"))
      const said = chat.messages.filter(({ role }) => role === "user").map(({ text }) => Number(text))
      assert.deepStrictEqual(
        said,
        Array.from({ length: 5000 }, (_, i) => i)
      )
    })
  )
})
