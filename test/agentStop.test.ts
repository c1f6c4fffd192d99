/** How turns are stopped, whatever they are at, and what is left of them. */
import * as NodeContext from "@effect/platform-node/NodeContext"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import * as LocalServer from "effect-inferencesh/LocalServer"
import * as Agents from "./support/agents.js"
import * as Apps from "./support/apps.js"
import { del, get, type Json, post, onPort as servedOnPort, task } from "./support/wire.js"

/** Never answers, and notes that it was asked and let go. */
const thinking = Effect.acquireUseRelease(
  Apps.note("asked"),
  () => Effect.never,
  () => Apps.note("let go")
)

const journal = Effect.map(Apps.Journal, ({ events }) => events())

const untilNoted = (event: string) => Agents.until(journal, (events) => events.includes(event))

const stop = (chatId: string) => Effect.map(post(`/chats/${chatId}/stop`), ({ status }) => status)

/** Stops a chat, and checks that the server says so. */
const stopped = (chatId: string) =>
  Effect.gen(function* () {
    assert.strictEqual(yield* stop(chatId), 200)
    const chat = yield* Agents.chat(chatId)
    assert.deepStrictEqual([chat.status, chat.active_run.state], ["idle", "canceled"])
    assert.deepStrictEqual(
      [chat.active_run.interrupt_reason, chat.active_run.interrupt_tool_id, chat.pending_interrupts],
      [null, null, []]
    )
    assert.strictEqual(yield* stop(chatId), 200)
    assert.deepStrictEqual(yield* Agents.chat(chatId), chat)
    return chat
  })

const calls = (chatId: string) =>
  Effect.map(Agents.messages(chatId), (all) =>
    all.flatMap(({ tool_invocations }): ReadonlyArray<Json> => tool_invocations ?? [])
  )

describe("stopping a chat", () => {
  it.scoped("while the model answers cancels its task, and keeps what was said", () => {
    const model = Agents.scripted(
      Stream.concat(Agents.words("So far so"), Stream.fromEffect(thinking)),
      Agents.says("Yes?")
    )
    return Effect.gen(function* () {
      const { chatId } = yield* Agents.say("go")
      const seen = yield* Agents.follow(chatId)
      yield* untilNoted("asked")
      yield* Agents.until(Agents.messages(chatId), (all) => Agents.textOf(all[1]) === "So far so")
      yield* stopped(chatId)
      const [, assistant] = yield* Agents.messages(chatId)
      assert.deepStrictEqual([assistant.status, Agents.textOf(assistant)], ["cancelled", "So far so"])
      yield* Agents.until(task(assistant.task_id), ({ status_text }) => status_text === "cancelled")
      assert.deepStrictEqual(yield* journal, ["asked", "let go"])
      yield* Agents.untilSeen(seen, ({ event, data }) => event === "chats" && data.status === "idle")
      const last = seen.slice(-3).map(({ event, data }) => [event, data.state ?? data.status])
      assert.deepStrictEqual(last, [
        ["chat_messages", "cancelled"],
        ["agent_runs", "canceled"],
        ["chats", "idle"]
      ])
      yield* Agents.say("hello?", Agents.config(), chatId)
      yield* Agents.untilIdle(chatId)
      assert.deepStrictEqual(model.inputs[1].context, [{ role: "user", text: "go" }])
    }).pipe(Effect.provide(Agents.serve([model.app])))
  })

  it.effect("while a tool of the client is called takes no result any more", () => {
    const model = Agents.scripted(
      Agents.calls(Agents.call("look", { x: 1 }, "a"), Agents.call("look", { x: 2 }, "b")),
      Agents.says("Fine.")
    )
    const agent = Agents.config({ tools: [Agents.clientTool("look")] })
    return Effect.gen(function* () {
      const { chatId } = yield* Agents.say("go", agent)
      const [a, b] = yield* Agents.untilPending(chatId, 2)
      yield* post(`/tools/${a.id}`, { result: "seen" })
      yield* stopped(chatId)
      assert.deepStrictEqual(
        (yield* calls(chatId)).map(({ status, result }) => [status, result]),
        [
          ["completed", "seen"],
          ["cancelled", null]
        ]
      )
      assert.strictEqual((yield* post(`/tools/${b.id}`, { result: "late" })).status, 409)
      // Models expect an answer to each of their calls.
      yield* Agents.say("never mind", agent, chatId)
      yield* Agents.untilIdle(chatId)
      assert.deepStrictEqual(model.inputs[1].context.slice(2), [
        { role: "tool", text: '{"status":"cancelled"}', tool_call_id: "a" },
        { role: "tool", text: '{"status":"cancelled"}', tool_call_id: "b" }
      ])
    }).pipe(Effect.provide(Agents.serve([model.app])))
  })

  it.effect("while a tool waits for approval asks no more", () => {
    const model = Agents.scripted(Agents.calls(Agents.call("shout", { text: "a" })))
    const tools = [Agents.appTool("shout", { ref: "acme/echo" }, { require_approval: true })]
    return Effect.gen(function* () {
      const { chatId } = yield* Agents.say("go", Agents.config({ tools }))
      const [{ id }] = yield* Agents.untilPending(chatId)
      const chat = yield* stopped(chatId)
      assert.strictEqual((yield* calls(chatId))[0].status, "cancelled")
      const [interrupt] = (yield* get(`/agent-runs/${chat.active_run.id}/interrupts`)).data
      assert.strictEqual(interrupt.status, "cancelled")
      assert.strictEqual((yield* post(`/tools/${id}/invoke`)).status, 409)
      assert.strictEqual((yield* post(`/interrupts/${interrupt.id}/resolve`, { decision: "allow" })).status, 409)
      assert.strictEqual((yield* post("/tasks/list")).data.total_items, 1)
    }).pipe(Effect.provide(Agents.serve([model.app])))
  })

  it.effect("while an app runs as a tool cancels its task", () => {
    const model = Agents.scripted(Agents.calls(Agents.call("never", {})))
    return Effect.gen(function* () {
      const { chatId } = yield* Agents.say(
        "go",
        Agents.config({ tools: [Agents.appTool("never", { ref: "acme/never" })] })
      )
      yield* untilNoted("never started")
      yield* stopped(chatId)
      const [call] = yield* calls(chatId)
      assert.strictEqual(call.status, "cancelled")
      yield* Agents.until(task(call.execution_id), ({ status_text }) => status_text === "cancelled")
      assert.deepStrictEqual(yield* journal, ["never started", "never released"])
    }).pipe(Effect.provide(Agents.serve([model.app])))
  })

  it.effect("does not wait for a task that does not let itself be cancelled", () => {
    const model = Agents.scripted(Agents.calls(Agents.call("stubborn", {})))
    return Effect.gen(function* () {
      const tools = [Agents.appTool("stubborn", { ref: "acme/stubborn" })]
      const { chatId } = yield* Agents.say("go", Agents.config({ tools }))
      const [{ execution_id }] = yield* Agents.until(calls(chatId), ([call]) => call?.execution_id)
      yield* Agents.until(task(execution_id), ({ status_text }) => status_text === "running")
      yield* stopped(chatId)
      assert.strictEqual((yield* task(execution_id)).status_text, "cancelling")
      yield* TestClock.adjust("1 hour")
      assert.strictEqual((yield* task(execution_id)).status_text, "cancelled")
    }).pipe(Effect.provide(Agents.serve([model.app])))
  })

  it.effect("lets the messages go on that wait", () => {
    const model = Agents.scripted(thinking, thinking, Agents.says("Third."))
    return Effect.gen(function* () {
      const { chatId } = yield* Agents.say("one")
      const second = yield* Agents.say("two", Agents.config(), chatId)
      yield* Agents.say("three", Agents.config(), chatId)
      yield* untilNoted("asked")
      yield* stop(chatId)
      const next = yield* Agents.chat(chatId)
      assert.deepStrictEqual([next.status, next.active_run.user_message_id], ["busy", second.user.id])
      yield* Agents.until(journal, (events) => events.filter((event) => event === "asked").length === 2)
      yield* stop(chatId)
      yield* Agents.untilIdle(chatId)
      const all = yield* Agents.messages(chatId)
      assert.deepStrictEqual(
        all.map((message) => `${Agents.textOf(message)} ${message.status}`),
        ["one ready", " cancelled", "two ready", " cancelled", "three ready", "Third. ready"]
      )
    }).pipe(Effect.provide(Agents.serve([model.app])))
  })

  it.effect("as soon as it has begun leaves nothing running", () => {
    const model = Agents.makeModel(() => thinking)
    return Effect.gen(function* () {
      yield* Effect.forEach(Array.from({ length: 20 }), () =>
        Effect.gen(function* () {
          const { chatId } = yield* Agents.say("go")
          yield* stopped(chatId)
        })
      )
      yield* Agents.until(
        Effect.map(post("/tasks/list", { limit: 100 }), ({ data }) => data.items),
        (items) => items.every(({ status_text }: Json) => status_text === "cancelled")
      )
      const events = yield* journal
      assert.strictEqual(
        events.filter((event) => event === "asked").length,
        events.filter((event) => event === "let go").length
      )
    }).pipe(Effect.provide(Agents.serve([model.app])))
  })

  it.effect("that rests does nothing", () => {
    const model = Agents.scripted()
    return Effect.gen(function* () {
      const { chatId } = yield* Agents.say("go")
      const chat = yield* Agents.untilIdle(chatId)
      assert.strictEqual(yield* stop(chatId), 200)
      assert.deepStrictEqual(yield* Agents.chat(chatId), chat)
      assert.strictEqual(yield* stop("none"), 404)
    }).pipe(Effect.provide(Agents.serve([model.app])))
  })

  it.scoped("is part of deleting it, with all that waits in it", () => {
    const model = Agents.scripted(thinking)
    return Effect.gen(function* () {
      const { chatId } = yield* Agents.say("one")
      yield* Agents.say("two", Agents.config(), chatId)
      yield* untilNoted("asked")
      const seen: Array<Json> = []
      const fiber = yield* Effect.fork(
        Stream.runForEach(Agents.events(chatId), (event) => Effect.sync(() => void seen.push(event)))
      )
      yield* Agents.untilSeen(seen, ({ event }) => event === "agent_runs")
      assert.strictEqual((yield* del(`/chats/${chatId}`)).status, 204)
      yield* Fiber.join(fiber)
      assert.deepStrictEqual([seen.at(-1).event, seen.at(-1).data.status], ["chats", "idle"])
      yield* untilNoted("let go")
      assert.strictEqual(model.inputs.length, 1)
    }).pipe(Effect.provide(Agents.serve([model.app])))
  })
})

type Model = ReturnType<typeof Agents.makeModel>["app"]

describe("a server that closes", () => {
  const onPort = (app: Model) =>
    servedOnPort(LocalServer.layer({ apps: [app, Apps.never] })).pipe(
      Layer.provideMerge(Layer.merge(Apps.layerJournal, NodeContext.layer))
    )

  for (const [where, serve] of [
    ["in process", (app: Model) => Agents.serve([app])],
    ["on a port", onPort]
  ] as const) {
    it.live(`${where} ends turns, lets go of their apps, and ends the streams of chats`, () => {
      const model = Agents.makeModel(({ text }) =>
        text === "think" ? thinking : Agents.calls(Agents.call("never", {}), Agents.call("look", {}))
      )
      return Effect.gen(function* () {
        const scope = yield* Scope.make()
        const context = yield* Layer.buildWithScope(serve(model.app), scope)
        yield* Effect.gen(function* () {
          const tools = [Agents.appTool("never", { ref: "acme/never" }), Agents.clientTool("look")]
          const think = yield* Agents.say("think")
          const run = yield* Agents.say("call", Agents.config({ tools }))
          yield* Agents.say("queued", Agents.config(), think.chatId)
          const fibers = yield* Effect.forEach([think, run], ({ chatId }) =>
            Effect.gen(function* () {
              const seen: Array<Json> = []
              const fiber = yield* Effect.fork(
                Stream.runForEach(Agents.events(chatId), (event) => Effect.sync(() => void seen.push(event)))
              )
              yield* Agents.untilSeen(seen, ({ event }) => event === "agent_runs")
              return Effect.as(Fiber.join(fiber), seen)
            })
          )
          yield* untilNoted("asked")
          yield* untilNoted("never started")
          yield* Scope.close(scope, Exit.void)
          const events = yield* journal
          assert.includeMembers([...events], ["let go", "never released"])
          const ends = yield* Effect.all(fibers)
          for (const seen of ends) {
            const runs = seen.filter(({ event }) => event === "agent_runs")
            assert.strictEqual(runs.at(-1).data.state, "canceled")
          }
        }).pipe(Effect.provide(context))
      })
    })
  }
})
