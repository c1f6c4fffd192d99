/** What clients see of chats, and of what happens in them. */
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import { assert, describe, it } from "@effect/vitest"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import * as Agents from "./support/agents.js"
import { del, get, type Json, lines, post, request, send } from "./support/wire.js"

describe("POST /agents/run with stream", () => {
  const streamed = (body: Json, accept = "application/x-ndjson") =>
    Effect.gen(function* () {
      const asked = HttpClientRequest.setHeader(request("POST", "/agents/run", body), "accept", accept)
      const response = yield* HttpClient.execute(asked)
      return { type: response.headers["content-type"], text: yield* response.text }
    })
  const body = { agent_config: Agents.config(), input: Agents.message("hi"), stream: true }

  it.effect("answers with the message as it grows", () => {
    const model = Agents.scripted(
      Agents.words("one two three").pipe(
        Stream.rechunk(1),
        Stream.tap(() => Effect.sleep("15 seconds"))
      )
    )
    return Effect.gen(function* () {
      const fiber = yield* Effect.fork(streamed(body))
      yield* TestClock.adjust("1 minute")
      const { type, text } = yield* Fiber.join(fiber)
      assert.strictEqual(type, "application/x-ndjson")
      const all = text
        .trim()
        .split("\n")
        .map((line): Json => JSON.parse(line))
      assert.isAtLeast(all.filter((line) => line.type === "heartbeat").length, 3)
      const messages = all.filter((line) => line.type !== "heartbeat")
      assert.isTrue(messages.every((message) => message.id === messages[0].id && message.role === "assistant"))
      const story = messages.map((message) => `${message.status} ${Agents.textOf(message)}`)
      assert.include(story, "pending one ")
      assert.include(story, "pending one two ")
      assert.strictEqual(
        story.findIndex((text) => !text.startsWith("pending")),
        story.length - 1
      )
      assert.strictEqual(story.at(-1), "ready one two three")
    }).pipe(Effect.provide(Agents.serve([model.app])))
  })

  it.effect("answers with Server-Sent Events where they are asked for, and at once where no stream is", () => {
    const model = Agents.scripted(Agents.says("yes"), Agents.says("yes"))
    return Effect.gen(function* () {
      const { type, text } = yield* streamed(body, "text/event-stream")
      assert.strictEqual(type, "text/event-stream")
      const { status, content } = JSON.parse(text.trim().split("\n").at(-1)?.replace("data: ", "") ?? "")
      assert.deepStrictEqual([status, content[0].text], ["ready", "yes"])
      const whole = yield* streamed(body, "*/*")
      assert.match(whole.type ?? "", /application\/json/)
      assert.strictEqual(JSON.parse(whole.text).data.assistant_message.status, "pending")
    }).pipe(Effect.provide(Agents.serve([model.app])))
  })

  it.effect("answers a queued message as always", () => {
    const model = Agents.scripted(Effect.never)
    return Effect.gen(function* () {
      const { chatId } = yield* Agents.say("one")
      const { type, text } = yield* streamed({ ...body, chat_id: chatId })
      assert.match(type ?? "", /application\/json/)
      assert.strictEqual(JSON.parse(text).data.user_message.status, "queued")
    }).pipe(Effect.provide(Agents.serve([model.app])))
  })

  it.effect("ends with the turn that is stopped", () => {
    const model = Agents.scripted(Effect.never)
    return Effect.gen(function* () {
      const fiber = yield* Effect.fork(streamed(body))
      const [found] = yield* Agents.until(
        Effect.map(post("/chats/list"), ({ data }) => data.items),
        ({ length }) => length === 1
      )
      yield* post(`/chats/${found.id}/stop`)
      const { text } = yield* Fiber.join(fiber)
      assert.strictEqual(JSON.parse(text.trim().split("\n").at(-1) ?? "").status, "cancelled")
    }).pipe(Effect.provide(Agents.serve([model.app])))
  })
})

describe("the stream of a chat", () => {
  it.scoped("begins with the chat, its messages and its run, and goes on over turns until the chat is gone", () => {
    const model = Agents.scripted()
    return Effect.gen(function* () {
      const { chatId } = yield* Agents.say("one")
      yield* Agents.untilIdle(chatId)
      const seen: Array<Json> = []
      const fiber = yield* Effect.fork(
        Stream.runForEach(Agents.events(chatId), (event) => Effect.sync(() => void seen.push(event)))
      )
      yield* Agents.untilSeen(seen, ({ event }) => event === "agent_runs")
      assert.deepStrictEqual(Agents.briefly(seen), [
        "chat idle (completed)",
        "1 user ready one",
        "2 assistant ready no more",
        "run completed"
      ])
      yield* Agents.say("two", Agents.config(), chatId)
      yield* Agents.untilIdle(chatId)
      yield* TestClock.adjust("25 seconds")
      assert.strictEqual(seen.filter(({ type }) => type === "heartbeat").length, 2)
      assert.isTrue(seen.some(({ data }) => data?.order === 4 && data.status === "ready"))
      assert.strictEqual((yield* del(`/chats/${chatId}`)).status, 204)
      yield* Fiber.join(fiber)
      assert.strictEqual((yield* get(`/chats/${chatId}`)).status, 404)
      assert.strictEqual((yield* get(`/chats/${chatId}/stream`)).status, 404)
    }).pipe(Effect.provide(Agents.serve([model.app])))
  })

  it.effect("names its events where it is one of Server-Sent Events", () => {
    const model = Agents.scripted()
    return Effect.gen(function* () {
      const { chatId } = yield* Agents.say("one")
      yield* Agents.untilIdle(chatId)
      const text = yield* lines(`/chats/${chatId}/stream`, "text/event-stream").pipe(
        Stream.filter((line) => line !== ""),
        Stream.take(8),
        Stream.runCollect,
        Effect.map(Chunk.toReadonlyArray)
      )
      assert.deepStrictEqual(
        text.filter((_, i) => i % 2 === 0),
        ["event: chats", "event: chat_messages", "event: chat_messages", "event: agent_runs"]
      )
      assert.strictEqual(JSON.parse(text[1]?.slice("data: ".length) ?? "").id, chatId)
    }).pipe(Effect.provide(Agents.serve([model.app])))
  })

  it.scoped("shows a newcomer what the message holds so far, and then what comes", () => {
    const model = Agents.scripted(
      Agents.words("one two three four").pipe(
        Stream.rechunk(1),
        Stream.tap(() => Effect.sleep("1 second"))
      )
    )
    return Effect.gen(function* () {
      const { chatId } = yield* Agents.say("count")
      yield* TestClock.adjust("2 seconds")
      const seen = yield* Agents.follow(chatId)
      yield* Agents.untilSeen(seen, ({ event }) => event === "agent_runs")
      const found = seen.find(({ data }) => data.role === "assistant")
      assert.deepStrictEqual([found.data.status, Agents.textOf(found.data)], ["pending", "one two "])
      yield* TestClock.adjust("1 second")
      yield* TestClock.adjust("1 second")
      yield* Agents.untilIdle(chatId)
      assert.deepStrictEqual(
        seen.filter(({ event }) => event === "delta").map(({ data }) => [data.seq, data.delta.response]),
        [
          [3, "three "],
          [4, "four"]
        ]
      )
    }).pipe(Effect.provide(Agents.serve([model.app])))
  })

  it.scoped("gives a slow reader everything again instead of what it missed", () => {
    const text = Array.from({ length: 600 }, (_, i) => `word${i}`).join(" ")
    const model = Agents.scripted(
      Effect.never,
      Agents.words(text).pipe(
        Stream.rechunk(1),
        Stream.tap(() => Effect.yieldNow())
      )
    )
    return Effect.gen(function* () {
      const { chatId } = yield* Agents.say("stop me")
      const slow = yield* Stream.toPull(Agents.events(chatId))
      const seen: Array<Json> = [...(yield* slow)]
      const quick = yield* Agents.follow(chatId)
      yield* post(`/chats/${chatId}/stop`)
      const { assistant } = yield* Agents.say("write", Agents.config(), chatId)
      yield* Agents.untilIdle(chatId)
      yield* Agents.untilSeen(quick, ({ data }) => data.status === "idle" && data.active_run.state === "completed")
      const pieces = quick.filter(({ event }) => event === "delta")
      assert.strictEqual(pieces.length, 600)
      assert.strictEqual(pieces.map(({ data }) => data.delta.response).join(""), text)
      yield* Effect.repeat(
        Effect.map(slow, (events) => void seen.push(...events)),
        { until: () => seen.some(({ data }) => data.id === assistant.id && data.status === "ready") }
      )
      assert.strictEqual(seen.filter(({ event }) => event === "delta").length, 0)
      assert.strictEqual(Agents.textOf(seen.findLast(({ data }) => data.id === assistant.id).data), text)
    }).pipe(Effect.provide(Agents.serve([model.app])))
  })
})

describe("chats", () => {
  it.effect("are made, told of, changed, listed and deleted", () => {
    const model = Agents.scripted()
    return Effect.gen(function* () {
      const version = { ...Agents.config(), context: [{ name: "customer", required: true }] }
      const created = yield* post("/agents", { namespace: "acme", name: "helper", version })
      assert.strictEqual(created.status, 200)
      assert.strictEqual((yield* post("/chats", { agent: "acme/helper" })).json.errors[0].field, "context.customer")
      const { data } = yield* post("/chats", { agent: "acme/helper", context: { customer: "42" } })
      assert.deepStrictEqual(
        [data.status, data.context, data.agent_id, data.agent_version_id, data.active_run, data.chat_messages],
        ["idle", { customer: "42" }, created.data.id, created.data.version_id, null, null]
      )
      assert.deepStrictEqual((yield* get(`/chats/${data.id}/status`)).data.status, "idle")
      assert.strictEqual((yield* post(`/chats/${data.id}/messages`, { message: "hi" })).data.status, "ready")
      yield* Agents.untilIdle(data.id)
      assert.strictEqual(model.inputs[0].text, "hi")
      assert.strictEqual((yield* post(`/chats/${data.id}`, { name: "A name" })).data.name, "A name")
      const patched = yield* send(request("PATCH", `/chats/${data.id}`, { visibility: "team" }))
      assert.deepStrictEqual([patched.data.name, patched.data.visibility], ["A name", "team"])
      assert.strictEqual((yield* post(`/chats/${data.id}/settings`, { visibility: "nobody" })).status, 400)
      assert.strictEqual((yield* post(`/chats/${data.id}/settings`, { allow_all_tools: 1 })).status, 400)
      yield* Agents.say("other")
      const listed = (yield* post("/chats/list", { filters: [{ field: "name", operator: "eq", value: "A name" }] }))
        .data
      assert.deepStrictEqual([listed.total_items, listed.items[0].id], [1, data.id])
      const found = yield* post("/chats/list", { search: { term: "a NAME" } })
      assert.deepStrictEqual([found.data.total_items, found.data.items[0].id], [1, data.id])
      const named = yield* post("/chats/list", { sort: [{ field: "name", dir: "desc" }] })
      assert.deepStrictEqual(
        named.data.items.map(({ name }: Json) => name),
        ["A name", ""]
      )
      assert.strictEqual((yield* del(`/chats/${data.id}`)).status, 204)
      for (const path of ["", "/status", "/messages", "/stream", "/trace"]) {
        assert.strictEqual((yield* get(`/chats/${data.id}${path}`)).status, 404)
      }
      assert.strictEqual((yield* post(`/chats/${data.id}/stop`)).status, 404)
      const gone = yield* Agents.run({ chat_id: data.id, agent_config: Agents.config(), input: Agents.message("") })
      assert.strictEqual(gone.status, 404)
      assert.strictEqual((yield* post("/chats/list")).data.total_items, 1)
    }).pipe(Effect.provide(Agents.serve([model.app])))
  })

  it.effect("are kept up to a number, with what is in them", () => {
    const model = Agents.scripted()
    return Effect.gen(function* () {
      const { chatId, user } = yield* Agents.say("one")
      yield* Agents.untilIdle(chatId)
      yield* Agents.pass(1)
      const others = [yield* Agents.say("two"), yield* Agents.say("three")]
      const ids = (yield* post("/chats/list")).data.items.map(({ id }: Json) => id)
      assert.deepStrictEqual(ids, others.map(({ chatId }) => chatId).reverse())
      assert.strictEqual((yield* get(`/chats/${chatId}`)).status, 404)
      assert.strictEqual((yield* post(`/chats/messages/${user.id}/cancel`)).status, 404)
    }).pipe(Effect.provide(Agents.serve([model.app], { maxChats: 2 })))
  })

  it.effect("show their messages in pages, the newest first", () => {
    const model = Agents.scripted()
    return Effect.gen(function* () {
      const { chatId } = yield* Agents.say("1")
      yield* Agents.untilIdle(chatId)
      yield* Agents.say("2", Agents.config(), chatId)
      yield* Agents.untilIdle(chatId)
      const first = (yield* get(`/chats/${chatId}/messages?limit=3`)).data
      assert.deepStrictEqual(
        first.items.map(({ order }: Json) => order),
        [4, 3, 2]
      )
      assert.isTrue(first.has_next)
      const second = (yield* get(`/chats/${chatId}/messages?limit=3&cursor=${encodeURIComponent(first.next_cursor)}`))
        .data
      assert.deepStrictEqual(
        second.items.map(({ order }: Json) => order),
        [1]
      )
      assert.isFalse(second.has_next)
      assert.strictEqual((yield* get(`/chats/${chatId}/messages?cursor=x`)).status, 400)
    }).pipe(Effect.provide(Agents.serve([model.app])))
  })
})
