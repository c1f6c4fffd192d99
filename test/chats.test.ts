/** The chats that a server keeps, and those who follow them. */
import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
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
    const create = (name = "", parent?: Chat) =>
      Effect.map(Clock.currentTimeMillis, (now) => {
        const chat = chats.create(now, { agent, name, context: {}, parent })
        chats.trim()
        return chat
      })
    const say = (chat: Chat, text = "") => turns.send(chat, order(text))
    return { chats, turns, create, say }
  })

describe("chats", () => {
  const kept = (chats: Chats.Chats) =>
    chats
      .all()
      .map(({ info }) => info.name)
      .reverse()

  it.scoped("are forgotten where there are too many, those that have rested for longest first", () =>
    Effect.gen(function* () {
      const { chats, create, say } = yield* make(({ order }) =>
        Effect.sleep(Duration.seconds(Number(order.content.text)))
      )
      const first = yield* create("first")
      const second = yield* create("second")
      const third = yield* create("third")
      const follower = yield* Effect.fork(Stream.runDrain(follow(second, "10 seconds")))
      yield* say(first, "2")
      const { userMessage } = yield* say(second, "1")
      yield* say(third, "3")
      yield* TestClock.adjust("3 seconds")
      assert.deepStrictEqual(kept(chats), ["first", "second", "third"])
      yield* create("fourth")
      assert.deepStrictEqual(kept(chats), ["first", "third", "fourth"])
      yield* Fiber.join(follower)
      assert.isUndefined(chats.holding(userMessage.id))
      assert.strictEqual(chats.holding(first.messages[0]?.id ?? ""), first)
      yield* create("fifth")
      assert.deepStrictEqual(kept(chats), ["third", "fourth", "fifth"])
    })
  )

  it.scoped("are never forgotten while they are at work", () =>
    Effect.gen(function* () {
      const { chats, create, say } = yield* make(() => Effect.sleep("1 second"))
      for (const name of ["a", "b", "c", "d", "e"]) yield* say(yield* create(name))
      yield* create("f")
      assert.deepStrictEqual(kept(chats), ["a", "b", "c", "d", "e", "f"])
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(
        chats.all().map(({ runs }) => runs.at(-1)?.state),
        [undefined, ...Array.from({ length: 5 }, () => "completed")]
      )
      yield* create("g")
      assert.lengthOf(chats.all(), 3)
      assert.strictEqual(kept(chats).at(-1), "g")
    })
  )

  it.scoped("go after those of the agents that have worked for them", () =>
    Effect.gen(function* () {
      const { chats, create, say } = yield* make(({ order }) =>
        Effect.sleep(Duration.seconds(Number(order.content.text)))
      )
      const parent = yield* create("parent")
      yield* say(parent, "60")
      yield* say(yield* create("done", parent), "1")
      const working = yield* create("working", parent)
      yield* say(working, "60")
      yield* TestClock.adjust("1 second")
      yield* create("other")
      assert.deepStrictEqual(kept(chats), ["parent", "working", "other"])
      yield* TestClock.adjust("1 minute")
      // A message to the chat of an agent alone keeps it, and the one that it has worked for.
      yield* say(working, "1")
      yield* create("last")
      assert.deepStrictEqual(kept(chats), ["parent", "working", "last"])
      yield* TestClock.adjust("1 second")
      yield* create("very last")
      assert.deepStrictEqual(kept(chats), ["parent", "last", "very last"])
    })
  )

  it.scoped("keep nothing for followers that have left", () =>
    Effect.gen(function* () {
      const { create, say } = yield* make(() => Effect.void)
      const chat = yield* create()
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
      const chat = yield* create()
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
      const chat = yield* create()
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
