import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import * as Agents from "effect-inferencesh/Agents"
import * as Chat from "effect-inferencesh/Chat"
import type * as Inference from "effect-inferencesh/Inference"
import * as Tool from "effect-inferencesh/Tool"
import * as C from "./support/chats.js"
import * as T from "./support/tasks.js"

const post = "POST /agents/run"
const streamOf = "GET /chats/c1/stream"
const getChat = "GET /chats/c1"
const getMessages = "GET /chats/c1/messages?limit=100"
const stop = "POST /chats/c1/stop"

const begun = { [post]: T.data(C.posted()) }
const working = C.chat({ active_run: { id: "r1", chat_id: "c1", user_message_id: "m1", state: "working" } })
const ended = [C.run("completed"), C.idle] as const

const calling = (...calls: ReadonlyArray<T.Json>) => C.message("m2", { status: "ready", tool_invocations: calls })

const routes = (service: T.Service) => service.sent.map(({ route }) => route)

class NoCity extends Data.TaggedError("NoCity")<{ readonly city: string }> {}

class NoTown extends Schema.TaggedError<NoTown>()("NoTown", { town: Schema.String }) {}

class Broken extends Data.TaggedError("Broken")<{ readonly message: string }> {}

const tools = [
  Tool.make("echo", {
    description: "",
    params: { text: Schema.String },
    handler: ({ text }) => Effect.succeed(text)
  }),
  Tool.make("fail", { description: "", handler: () => new Broken({ message: "no luck" }) }),
  Tool.make("die", { description: "", handler: () => Effect.dieMessage("a defect") }),
  Tool.make("plain", { description: "", handler: () => Effect.fail({ code: 5 }) }),
  Tool.make("tagged", { description: "", handler: () => new NoCity({ city: "Q" }) }),
  Tool.make("schema", { description: "", handler: () => new NoTown({ town: "Q" }) }),
  Tool.make("slow", { description: "", handler: () => Effect.as(Effect.sleep("1 minute"), "slowly") })
] as const

const agent = Agents.create({ coreApp: "acme/llm", tools })

const record = Effect.flatMap(agent, (agent) => T.record(agent.chat("hi")))

/** The events of a turn with a service that answers from a script. */
const turn = (script: T.Script, options: Partial<Inference.Options> = {}, time: Duration.DurationInput = "1 hour") => {
  const service = T.service({ ...begun, ...script }, options)
  return Effect.map(T.within(time, Effect.provide(record, service.layer)), (result) => ({ service, ...result }))
}

const results = (items: ReadonlyArray<Chat.Event>) =>
  items.flatMap((event) =>
    event._tag === "ToolResult" ? [[event.id, event.result, event.failure?._tag] as const] : []
  )

const submitted = (service: T.Service, id: string) =>
  service.sent.filter(({ route }) => route === `POST /tools/${id}`).map((sent) => T.jsonOf(sent).result)

const ok = T.data(null)

describe("a call that waits for this program", () => {
  it.effect("is answered with what its handler gives, or why that gives nothing, and the turn goes on", () =>
    Effect.gen(function* () {
      const { items, error, service } = yield* turn({
        [streamOf]: T.ndjson(
          working,
          calling(
            C.invocation("i1", "echo", { text: "hello" }),
            C.invocation("i2", "fail", {}),
            C.invocation("i3", "die", {}),
            C.invocation("i4", "echo", { text: 1 }),
            C.invocation("i5", "unheard_of", {}),
            C.invocation("i6", "echo", '{"text":"as text"}', { status: "awaiting_input" }),
            C.invocation("i7", "plain", {}),
            C.invocation("i8", "tagged", {}),
            C.invocation("i9", "schema", {})
          ),
          T.pause("1 second"),
          C.ready("m4", "Well."),
          ...ended
        ),
        ...Object.fromEntries([1, 2, 3, 4, 5, 6, 7, 8, 9].map((i) => [`POST /tools/i${i}`, ok]))
      })
      assert.isUndefined(error)
      assert.deepStrictEqual(
        [...results(items)].sort(),
        [
          ["i1", "hello", undefined],
          ["i2", '{"error":"no luck"}', "HandlerFailed"],
          ["i3", '{"error":"a defect"}', "HandlerFailed"],
          ["i4", '{"error":"the arguments do not fit: text: Expected string, actual 1"}', "InvalidArguments"],
          [
            "i5",
            '{"status":"not_available","message":"the tool \\"unheard_of\\" is not available here"}',
            "NotAvailable"
          ],
          ["i6", "as text", undefined],
          ["i7", '{"error":"{\\"code\\":5}"}', "HandlerFailed"],
          ["i8", '{"error":"NoCity {\\"city\\":\\"Q\\"}"}', "HandlerFailed"],
          ["i9", '{"error":"NoTown {\\"town\\":\\"Q\\"}"}', "HandlerFailed"]
        ].map(([id, result, failure]) => [id, result, failure]) as never
      )
      for (const [id, result] of results(items)) assert.deepStrictEqual(submitted(service, id), [result])
    })
  )

  it.effect("is answered once, however often it is told of, and not if it is another program's or done", () =>
    Effect.gen(function* () {
      const call = C.invocation("i1", "slow", {})
      const { service, items } = yield* turn({
        [streamOf]: [
          T.ndjson(working, calling(call), calling(call), T.pause("20 seconds"), calling(call), T.broken),
          T.ndjson(
            working,
            calling(call),
            T.pause("30 seconds"),
            T.heartbeat,
            T.pause("30 seconds"),
            calling({ ...call, status: "completed", result: "slowly" }),
            C.ready("m4", "Done."),
            ...ended
          )
        ],
        [getChat]: T.data(C.dataOf(working)),
        [getMessages]: T.data({ items: [C.dataOf(calling(call)), C.userMessage()] }),
        "POST /tools/i1": ok
      })
      assert.deepStrictEqual(submitted(service, "i1"), ["slowly"])
      assert.deepStrictEqual(results(items), [["i1", "slowly", undefined]])
    })
  )

  it.effect("of other kinds is told of, and left to the service", () =>
    Effect.gen(function* () {
      const draw = C.invocation("i1", "draw", { prompt: "cat" }, { type: "app" })
      const { items, service } = yield* turn({
        [streamOf]: T.ndjson(
          working,
          calling(draw),
          calling({ ...draw, status: "failed", result: '{"error":"no gpu"}' }),
          C.ready("m4", "Sorry."),
          ...ended
        )
      })
      assert.deepStrictEqual(
        items.flatMap((event) => (event._tag === "ToolCall" ? [[event.name, event.arguments]] : [])),
        [["draw", { prompt: "cat" }]]
      )
      assert.deepStrictEqual(results(items), [["i1", '{"error":"no gpu"}', undefined]])
      assert.deepStrictEqual(routes(service), [post, streamOf])
    })
  )

  it.effect("that was left over from an earlier turn is answered, so that the chat can go on", () =>
    Effect.gen(function* () {
      const left = C.message("m0", {
        agent_run_id: "r0",
        status: "ready",
        tool_invocations: [C.invocation("i0", "echo", { text: "late" }), C.invocation("i9", "unheard_of", {})]
      })
      const script = {
        [post]: T.data({ user_message: C.userMessage("hi", { status: "queued", agent_run_id: null }) }),
        [getChat]: T.data({ id: "c1", status: "busy", active_run: { id: "r0", state: "input_required" } }),
        [getMessages]: T.data({ items: [C.dataOf(left)] }),
        "POST /tools/i0": ok
      }
      // Servers may tell of messages from before, or not.
      for (const replayed of [[left], []]) {
        const service = T.service({
          ...script,
          [streamOf]: T.ndjson(
            C.chat({ active_run: { id: "r0", state: "input_required" } }),
            ...replayed,
            T.pause("1 second"),
            C.message("m1", { role: "user", status: "ready", content: C.text("hi") }),
            C.run("working"),
            C.ready("m4", "Hello."),
            ...ended
          )
        })
        const { items, error } = yield* T.within(
          "1 hour",
          Effect.flatMap(Agents.create({ coreApp: "acme/llm", tools }, { chatId: "c1" }), (agent) =>
            T.record(agent.chat("hi"))
          ).pipe(Effect.provide(service.layer))
        )
        assert.isUndefined(error)
        assert.deepStrictEqual(submitted(service, "i0"), ["late"])
        // It is not of this turn: another program may know its tool.
        assert.strictEqual(service.count("POST /tools/i9"), 0)
        assert.deepStrictEqual(results(items), [])
      }
    })
  )

  it.effect("is answered again only if it still waits after a reply to the answer got lost", () =>
    Effect.gen(function* () {
      const call = C.invocation("i1", "echo", { text: "x" })
      const script = {
        [streamOf]: T.ndjson(working, calling(call), T.pause("20 seconds"), C.ready("m4", "Ok."), ...ended),
        [getChat]: T.data(C.dataOf(working)),
        "POST /tools/i1": [T.problem(502, "bad_gateway"), ok]
      }
      const waiting = yield* turn({ ...script, [getMessages]: T.data({ items: [C.dataOf(calling(call))] }) })
      assert.isUndefined(waiting.error)
      assert.strictEqual(waiting.service.count("POST /tools/i1"), 2)
      const done = { ...call, status: "completed", result: "x" }
      const arrived = yield* turn({ ...script, [getMessages]: T.data({ items: [C.dataOf(calling(done))] }) })
      assert.isUndefined(arrived.error)
      assert.strictEqual(arrived.service.count("POST /tools/i1"), 1)
      assert.deepStrictEqual(results(arrived.items), [["i1", "x", undefined]])
    })
  )

  it.effect("may be answered too late, which is no failure", () =>
    Effect.gen(function* () {
      const call = C.invocation("i1", "echo", { text: "x" })
      const script = (status: number) => ({
        [streamOf]: T.ndjson(working, calling(call), T.pause("1 second"), C.ready("m4", "Ok."), ...ended, T.silence),
        [getChat]: T.data(C.dataOf(working)),
        "POST /tools/i1": T.problem(status, "over"),
        [stop]: ok
      })
      const done = calling({ ...call, status: "cancelled" })
      for (const status of [400, 404, 409, 410]) {
        const late = yield* turn({ ...script(status), [getMessages]: T.data({ items: [C.dataOf(done)] }) })
        assert.isUndefined(late.error)
        // It still waits: the turn would, too.
        const waiting = yield* turn({ ...script(status), [getMessages]: T.data({ items: [C.dataOf(calling(call))] }) })
        assert.propertyVal(waiting.error, "status", status)
        assert.strictEqual(waiting.service.count(stop), 1)
      }
    })
  )

  it.effect("whose answer the service does not accept ends the turn, which is then stopped", () =>
    Effect.gen(function* () {
      const { error, service } = yield* turn({
        [streamOf]: T.ndjson(working, calling(C.invocation("i1", "echo", { text: "x" })), T.silence),
        "POST /tools/i1": T.problem(403, "forbidden"),
        [stop]: ok
      })
      assert.propertyVal(error, "_tag", "Forbidden")
      assert.strictEqual(service.count(stop), 1)
    })
  )

  it.effect("is one of many: fifty are each answered once, and no more than the bound at a time", () =>
    Effect.gen(function* () {
      let running = 0
      let most = 0
      const random = Tool.make("random", {
        description: "",
        params: { n: Schema.Int },
        handler: ({ n }) =>
          Effect.acquireUseRelease(
            Effect.sync(() => {
              most = Math.max(most, ++running)
            }),
            () =>
              Effect.flatMap(Random.nextIntBetween(1, 5000), (millis) =>
                Effect.as(Effect.sleep(millis), { doubled: 2 * n })
              ),
            () => Effect.sync(() => running--)
          )
      })
      const ids = Array.from({ length: 50 }, (_, i) => `i${i}`)
      const calls = ids.map((id, n) => C.invocation(id, "random", { n }))
      const answers = Object.fromEntries(ids.map((id) => [`POST /tools/${id}`, ok]))
      const service = T.service({
        ...begun,
        ...answers,
        [streamOf]: T.ndjson(
          working,
          calling(...calls),
          ...Array.from({ length: 30 }, () => [T.pause("2 seconds"), T.heartbeat]).flat(),
          C.ready("m4", "Done."),
          ...ended
        ),
        [getChat]: T.data(C.dataOf(working)),
        [getMessages]: T.data({ items: [C.dataOf(calling(...calls))] })
      })
      const { items, error } = yield* Effect.flatMap(
        Agents.create({ coreApp: "acme/llm", tools: [random] }, { toolConcurrency: 7 }),
        (agent) => T.record(agent.chat("hi"))
      ).pipe(Effect.provide(service.layer), (effect) => T.within("1 hour", effect))
      assert.isUndefined(error)
      for (const [n, id] of ids.entries()) assert.deepStrictEqual(submitted(service, id), [`{"doubled":${2 * n}}`])
      assert.strictEqual(results(items).length, 50)
      assert.strictEqual(most, 7)
      assert.strictEqual(running, 0)
    })
  )
})

describe("an approval", () => {
  const pending = C.invocation("i1", "echo", { text: "x" }, { status: "awaiting_approval" })
  const interrupt = {
    id: "x1",
    run_id: "r1",
    reason: "tool_approval",
    resource_id: "i1",
    resource_type: "tool_invocation",
    status: "pending"
  }

  it.effect("is asked for once, and lets the call go ahead", () =>
    Effect.gen(function* () {
      const service = T.service({
        ...begun,
        [streamOf]: T.ndjson(
          working,
          C.chat({
            status: "awaiting_input",
            active_run: C.dataOf(C.run("input_required")),
            pending_interrupts: [interrupt]
          }),
          calling(pending),
          calling(pending),
          T.pause("10 seconds"),
          calling({ ...pending, status: "in_progress" }),
          T.pause("1 second"),
          C.ready("m4", "Ok."),
          ...ended
        ),
        "POST /tools/i1/invoke": ok,
        "POST /tools/i1": ok
      })
      const approvals: Array<unknown> = []
      const reply = yield* Effect.flatMap(agent, (agent) =>
        agent.chat("hi").pipe(
          Stream.tap((event) => {
            if (event._tag !== "ApprovalRequired") return Effect.void
            approvals.push([event.name, event.arguments, event.interrupt?.id])
            return agent.approve(event.id)
          }),
          Chat.reply
        )
      ).pipe(Effect.provide(service.layer), (effect) => T.within("1 hour", effect))
      assert.strictEqual(reply.text, "Ok.")
      assert.deepStrictEqual(approvals, [["echo", { text: "x" }, "x1"]])
      assert.deepStrictEqual(routes(service), [post, streamOf, "POST /tools/i1/invoke", "POST /tools/i1"])
    })
  )

  it.effect("of a hook's gate is asked for under the id of its interrupt", () =>
    Effect.gen(function* () {
      const gate = { id: "x2", run_id: "r1", reason: "hook_gate", source: "before_send", status: "pending" }
      const { items } = yield* turn({
        [streamOf]: T.ndjson(
          working,
          C.chat({ pending_interrupts: [gate], active_run: C.dataOf(C.run("input_required")) }),
          C.chat({ pending_interrupts: [gate], active_run: C.dataOf(C.run("input_required")) }),
          C.ready("m2", "Ok."),
          ...ended
        )
      })
      const asked = items.filter((event) => event._tag === "ApprovalRequired")
      assert.deepStrictEqual(
        asked.map(({ id, name }) => [id, name]),
        [["x2", "before_send"]]
      )
    })
  )

  it.effect("keeps sendMessage waiting until the caller's timeout, which stops the turn", () =>
    Effect.gen(function* () {
      const service = T.service({
        ...begun,
        [streamOf]: T.ndjson(working, calling(pending), C.run("input_required"), T.heartbeats()),
        [getChat]: T.data({ id: "c1", active_run: C.dataOf(C.run("input_required")) }),
        [getMessages]: T.data({ items: [C.dataOf(calling(pending))] }),
        [stop]: ok
      })
      const result = yield* Effect.flatMap(agent, (agent) =>
        Effect.timeoutOption(agent.sendMessage("hi"), "1 hour")
      ).pipe(Effect.provide(service.layer), (effect) => T.within("2 hours", effect))
      assert.isTrue(Option.isNone(result))
      assert.strictEqual(service.count(stop), 1)
    })
  )
})

describe("what hangs, loses or breaks turns of other clients", () => {
  it.effect("auth_required is busy: the turn goes on when the account is connected", () =>
    Effect.gen(function* () {
      const { items, error } = yield* turn({
        [streamOf]: T.ndjson(
          working,
          C.run("auth_required", { interrupt_reason: "auth" }),
          C.chat({ status: "idle", active_run: C.dataOf(C.run("auth_required")) }),
          T.pause("20 seconds"),
          C.run("working"),
          C.ready("m2", "Connected."),
          ...ended
        )
      })
      assert.isUndefined(error)
      assert.deepStrictEqual(
        items.flatMap((event) => (event._tag === "Status" ? [event.status] : [])),
        ["working", "auth_required", "working", "completed"]
      )
    })
  )

  it.effect("a malformed line, a null, a number and an unknown event are passed over, and kept", () =>
    Effect.gen(function* () {
      const { items, error } = yield* turn({
        [streamOf]: T.ndjson(
          working,
          "{oops",
          "null",
          "7",
          { event: "run.started", data: { id: "e1" } },
          { event: "chat_messages", data: { id: "x", chat_id: "c2", role: "assistant", status: "ready" } },
          { event: "chat_messages", data: { id: "bad", chat_id: "c1", content: 7 } },
          C.delta(undefined, 1, { response: "whose?" }),
          { event: "chats", data: { id: "c2", status: "idle" } },
          C.ready("m2", "Fine."),
          ...ended
        )
      })
      assert.isUndefined(error)
      const unknown = items.flatMap((event) => (event._tag === "Unknown" ? [event.event] : []))
      assert.deepStrictEqual(unknown, [
        undefined,
        undefined,
        undefined,
        "run.started",
        "chat_messages",
        "chat_messages",
        "delta",
        "chats"
      ])
      assert.isTrue(items.some((event) => event._tag === "TextDelta" && event.text === "Fine."))
      assert.isFalse(items.some((event) => event._tag === "Message" && event.message.id === "x"))
    })
  )

  it.effect("an error event and the end of a stream are no end of the turn", () =>
    Effect.gen(function* () {
      const { items, error, service } = yield* turn({
        [streamOf]: [
          T.ndjson(working, { event: "error", data: { message: "hiccup" } }),
          T.ndjson(working, { event: "done", data: {} }),
          T.ndjson(working),
          T.ndjson(working, C.ready("m2", "Still here."), ...ended)
        ],
        [getChat]: T.data(C.dataOf(working)),
        [getMessages]: T.data({ items: [C.userMessage()] })
      })
      assert.isUndefined(error)
      assert.strictEqual(service.count(streamOf), 4)
      assert.isTrue(items.some((event) => event._tag === "Message" && event.message.id === "m2"))
    })
  )

  it.effect("a turn that ended while nobody listened is found by looking", () =>
    Effect.gen(function* () {
      const { items, error, service } = yield* turn({
        [streamOf]: T.ndjson(working, C.message("m2"), C.delta("m2", 1, { response: "Hel" }), T.broken),
        [getChat]: T.data({ id: "c1", status: "idle", active_run: C.dataOf(C.run("completed", { output: { n: 1 } })) }),
        [getMessages]: T.data({ items: [C.dataOf(C.ready("m2", "Hello.")), C.userMessage()] })
      })
      assert.isUndefined(error)
      assert.strictEqual(service.count(streamOf), 1)
      const texts = items.flatMap((event) => (event._tag === "TextDelta" ? [event.delta] : []))
      assert.deepStrictEqual(texts, ["Hel", "lo."])
      assert.deepInclude(items.at(-1), { status: "completed", output: { n: 1 } })
    })
  )

  it.effect("a stream that says nothing of a chat that is over is looked behind at its first heartbeat", () =>
    Effect.gen(function* () {
      const { error, items } = yield* turn({
        [streamOf]: T.ndjson(T.pause("10 seconds"), T.heartbeat, T.silence),
        [getChat]: T.data({ id: "c1", status: "idle", active_run: C.dataOf(C.run("completed")) }),
        [getMessages]: T.data({ items: [C.dataOf(C.ready("m2", "Hello.")), C.userMessage()] })
      })
      assert.isUndefined(error)
      assert.isTrue(items.some((event) => event._tag === "Message" && event.message.id === "m2"))
    })
  )

  it.effect("a run that is reported over before its last message is known is completed by that message", () =>
    Effect.gen(function* () {
      const { items, service } = yield* turn({
        [streamOf]: T.ndjson(working, C.message("m2"), C.run("completed"), T.silence),
        [getChat]: T.data({ id: "c1", status: "idle", active_run: C.dataOf(C.run("completed")) }),
        [getMessages]: [
          T.data({ items: [C.dataOf(C.message("m2")), C.userMessage()] }),
          T.data({ items: [C.dataOf(C.message("m2")), C.userMessage()] }),
          T.data({ items: [C.dataOf(C.ready("m2", "Hello.")), C.userMessage()] })
        ]
      })
      assert.strictEqual(service.count(getMessages), 3)
      assert.deepStrictEqual(
        items.slice(-3).map((event) => event._tag),
        ["TextDelta", "Message", "Status"]
      )
    })
  )

  it.effect(
    "fields that an update does not name keep their value, and an update of something unknown is looked up",
    () =>
      Effect.gen(function* () {
        const { items, service } = yield* turn({
          [streamOf]: T.ndjson(
            working,
            C.message("m2"),
            C.message("m2", { status: "ready", content: C.text("Hi."), tool_invocations: null, role: "user" }, [
              "status",
              "content"
            ]),
            C.message("m4", { status: "ready" }, ["status"]),
            ...ended
          ),
          [getChat]: T.data(C.dataOf(working)),
          [getMessages]: T.data({ items: [C.dataOf(C.ready("m4", "There.")), C.userMessage()] })
        })
        const messages = items.flatMap((event) => (event._tag === "Message" ? [event.message] : []))
        assert.deepStrictEqual(
          messages.map((message) => [message.id, message.role, Chat.text(message)]),
          [
            ["m1", "user", "hi"],
            ["m2", "assistant", "Hi."],
            ["m4", "assistant", "There."]
          ]
        )
        assert.strictEqual(service.count(getMessages), 1)
      })
  )

  it.effect("stale news does not take back what is known", () =>
    Effect.gen(function* () {
      const at = (seconds: number) => ({ updated_at: `2026-10-01T10:00:0${seconds}Z` })
      const { items } = yield* turn({
        [streamOf]: T.ndjson(
          working,
          C.message("m2", { content: C.text("Hello wor"), ...at(2) }),
          C.message("m2", { content: C.text("Hel"), ...at(1) }),
          C.ready("m2", "Hello world.", at(3)),
          C.message("m2", { content: C.text("Hello wor"), ...at(2) }),
          C.run("completed"),
          C.run("working"),
          C.idle
        )
      })
      assert.deepStrictEqual(
        items.flatMap((event) => (event._tag === "TextDelta" ? [event.delta] : [])),
        ["Hello wor", "ld."]
      )
      assert.deepStrictEqual(
        items.flatMap((event) => (event._tag === "Status" ? [event.status] : [])),
        ["working", "completed"]
      )
    })
  )

  it.effect("server-sent events are read as well as lines", () =>
    Effect.gen(function* () {
      const event = ({ event, data }: T.Json) => `event: ${event}\ndata: ${JSON.stringify(data)}\n\n`
      const patch = `event: chat_messages\ndata: ${JSON.stringify({ data: { id: "m2", status: "ready", content: C.text("Hi.") }, fields: ["status", "content"] })}\n\n`
      const { items, error } = yield* turn({
        [streamOf]: T.sse(event(working), event(C.message("m2")), ": heartbeat\n\n", patch, ...ended.map(event))
      })
      assert.isUndefined(error)
      assert.deepStrictEqual(
        items.map((event) => event._tag),
        ["Message", "Status", "TextDelta", "Message", "Status"]
      )
    })
  )

  it.effect("a consumer that fails is not taken for a failure of the stream", () =>
    Effect.gen(function* () {
      const service = T.service({ ...begun, [streamOf]: T.ndjson(working, T.silence), [stop]: ok })
      const error = yield* Effect.flatMap(agent, (agent) =>
        Stream.runForEach(agent.chat("hi"), () => Effect.fail("mine" as const))
      ).pipe(Effect.flip, Effect.provide(service.layer), (effect) => T.within("1 hour", effect))
      assert.strictEqual(error, "mine")
      assert.strictEqual(service.open(), 0)
    })
  )
})

describe("by polling", () => {
  const poll = { transport: "poll", pollInterval: "2 seconds" } as const
  const busy = (run: string) => T.data({ id: "c1", status: "busy", active_run: C.dataOf(C.run(run)) })
  const call = C.invocation("i1", "echo", { text: "x" })

  it.effect("a turn has the same events: messages, calls and all", () =>
    Effect.gen(function* () {
      const { items, error, service } = yield* turn(
        {
          [getChat]: [
            busy("working"),
            busy("input_required"),
            busy("working"),
            T.data({ id: "c1", status: "idle", active_run: C.dataOf(C.run("completed", { output: { n: 1 } })) })
          ],
          [getMessages]: [
            T.data({ items: [C.dataOf(C.message("m2")), C.userMessage()] }),
            T.data({ items: [C.dataOf(calling(call)), C.userMessage()] }),
            T.data({
              items: [
                C.dataOf(C.message("m4", { content: C.text("Hel") })),
                C.dataOf(calling({ ...call, status: "completed", result: "x" })),
                C.userMessage()
              ]
            }),
            T.data({ items: [C.dataOf(C.ready("m4", "Hello.")), C.userMessage()] })
          ],
          "POST /tools/i1": ok
        },
        poll
      )
      assert.isUndefined(error)
      assert.deepStrictEqual(
        items.map((event) => event._tag),
        [
          "Message",
          "Status",
          "Message",
          "ToolCall",
          "Status",
          "ToolResult",
          "TextDelta",
          "Status",
          "TextDelta",
          "Message",
          "Status"
        ]
      )
      assert.deepStrictEqual(submitted(service, "i1"), ["x"])
      assert.strictEqual(service.count(streamOf), 0)
    })
  )

  it.effect("a turn that was over at once ends with the first look", () =>
    Effect.gen(function* () {
      const { error, service } = yield* turn(
        {
          [getChat]: T.data({ id: "c1", status: "idle", active_run: C.dataOf(C.run("completed")) }),
          [getMessages]: T.data({ items: [C.dataOf(C.ready("m2", "Hello.")), C.userMessage()] })
        },
        poll
      )
      assert.isUndefined(error)
      assert.strictEqual(service.count(getChat), 1)
    })
  )

  it.effect("errors that pass are passed over, and others fail the turn as they would on a stream", () =>
    Effect.gen(function* () {
      const passing = yield* turn(
        {
          [getChat]: [
            T.problem(503, "unavailable"),
            busy("working"),
            T.problem(502, "bad_gateway"),
            T.data({ id: "c1", status: "idle", active_run: C.dataOf(C.run("completed")) })
          ],
          [getMessages]: T.data({ items: [C.dataOf(C.ready("m2", "Hello.")), C.userMessage()] })
        },
        poll
      )
      assert.isUndefined(passing.error)
      const down = yield* turn({ [getChat]: T.problem(503, "unavailable") }, poll)
      assert.deepInclude(down.error, { _tag: "StreamInterrupted", chatId: "c1" })
      const refused = yield* turn({ [getChat]: T.problem(401, "unauthorized") }, poll)
      assert.propertyVal(refused.error, "_tag", "Unauthorized")
    })
  )
})

describe("a turn that is owned", () => {
  class Journal extends Context.Tag("test/Journal")<Journal, Array<string>>() {}

  const noting = Tool.make("note", {
    description: "",
    handler: () =>
      Effect.flatMap(Journal, (journal) =>
        Effect.acquireUseRelease(
          Effect.sync(() => journal.push("started")),
          () => Effect.never,
          () => Effect.sync(() => journal.push("released"))
        )
      )
  })

  const endless: T.Script = {
    ...begun,
    [streamOf]: T.ndjson(working, calling(C.invocation("i1", "note", {})), C.run("input_required"), T.heartbeats()),
    [getChat]: T.data({ id: "c1", active_run: C.dataOf(C.run("input_required")) }),
    [getMessages]: T.data({ items: [C.userMessage()] }),
    [stop]: ok
  }

  const noted = Agents.create({ coreApp: "acme/llm", tools: [noting] })
  const send = Effect.flatMap(noted, (agent) => agent.sendMessage("hi"))
  const chat = Stream.unwrap(Effect.map(noted, (agent) => agent.chat("hi")))

  const timed = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
    Effect.flatMap(Effect.fork(Effect.timed(effect)), (fiber) =>
      Effect.zipRight(
        TestClock.adjust("10 minutes"),
        Effect.map(Fiber.join(fiber), ([duration]) => duration)
      )
    )

  /** Runs it, and tells what the handler noted and how long it took. */
  const run = <A, E>(script: T.Script, effect: Effect.Effect<A, E, Agents.Agents | Journal>, options = {}) =>
    Effect.gen(function* () {
      const journal: Array<string> = []
      const service = T.service(script, options)
      const took = yield* timed(Effect.exit(effect)).pipe(
        Effect.provideService(Journal, journal),
        Effect.provide(service.layer)
      )
      return { service, journal, took: Duration.toSeconds(took) }
    })

  const ways: Record<string, Effect.Effect<unknown, unknown, Agents.Agents | Journal>> = {
    "a timeout": Effect.timeout(send, "1 minute"),
    "a lost race": Effect.race(send, Effect.sleep("1 minute")),
    "the interruption of its fiber": Effect.gen(function* () {
      const fiber = yield* Effect.fork(send)
      yield* Effect.sleep("1 minute")
      yield* Fiber.interrupt(fiber)
    }),
    "the end of the scope that it was forked in": Effect.scoped(
      Effect.zipRight(Effect.forkScoped(send), Effect.sleep("1 minute"))
    ),
    "a stream that is not consumed to its end": Stream.runDrain(
      Stream.takeUntil(chat, (event) => event._tag === "Status" && event.status === "input_required")
    ),
    "a stream whose scope is closed": Effect.gen(function* () {
      const scope = yield* Scope.make()
      const pull = yield* Scope.extend(Stream.toPull(chat), scope)
      yield* pull
      yield* Effect.sleep("1 second")
      yield* Scope.close(scope, Exit.void)
    }),
    "a stream that is interrupted from the side": Stream.runDrain(Stream.interruptAfter(chat, "1 minute")),
    "a consumer that dies": Effect.zipRight(
      Effect.void,
      Stream.runForEach(chat, (event) =>
        event._tag === "Status" && event.status === "input_required" ? Effect.dieMessage("mine") : Effect.void
      )
    )
  }

  for (const [name, way] of Object.entries(ways)) {
    it.effect(`is stopped once by ${name}, and its handlers with it`, () =>
      Effect.gen(function* () {
        const { service, journal } = yield* run(endless, way)
        assert.strictEqual(service.count(post), 1)
        assert.strictEqual(service.count(stop), 1)
        assert.deepStrictEqual(journal, ["started", "released"])
        assert.strictEqual(service.count("POST /tools/i1"), 0)
        assert.strictEqual(service.open(), 0)
        yield* TestClock.adjust("1 hour")
        assert.strictEqual(service.sent.at(-1)?.route, stop)
      })
    )
  }

  it.effect("does not hold up the program when the service hangs on being told to stop", () =>
    Effect.gen(function* () {
      const { took, journal } = yield* run({ ...endless, [stop]: Effect.never }, Effect.timeout(send, "1 minute"))
      assert.strictEqual(took, 65)
      assert.deepStrictEqual(journal, ["started", "released"])
    })
  )

  it.effect("is told to stop before a handler has finished cleaning up", () =>
    Effect.gen(function* () {
      const slow = Tool.make("note", {
        description: "",
        handler: () => Effect.onInterrupt(Effect.never, () => Effect.sleep("30 seconds"))
      })
      const { service, took } = yield* run(
        endless,
        Effect.flatMap(Agents.create({ coreApp: "acme/llm", tools: [slow] }), (agent) =>
          Effect.timeout(agent.sendMessage("hi"), "1 minute")
        )
      )
      assert.strictEqual(service.sent.find(({ route }) => route === stop)?.at, 60_000)
      assert.strictEqual(took, 90)
    })
  )

  it.effect("is stopped when the interruption comes before the reply to its message", () =>
    Effect.gen(function* () {
      const { service, took } = yield* run(
        { ...endless, [post]: Effect.delay(T.data(C.posted()), "62 seconds") },
        Effect.timeout(send, "1 minute"),
        { requestTimeout: "1 hour" }
      )
      assert.deepStrictEqual(routes(service), [post, stop])
      assert.strictEqual(took, 62)
    })
  )

  it.effect("is taken back, and not what others do, when the interruption finds it in the queue", () =>
    Effect.gen(function* () {
      const cancel = "POST /chats/messages/m1/cancel"
      const message = C.userMessage("hi", { status: "queued", agent_run_id: null })
      const queued = {
        ...endless,
        [post]: T.data({ user_message: message }),
        [streamOf]: T.ndjson(C.chat({ active_run: { id: "r0", state: "working" } }), T.heartbeats()),
        [getChat]: T.data({ id: "c1", active_run: { id: "r0", state: "working" } }),
        [getMessages]: T.data({ items: [message] })
      }
      const waiting = Effect.flatMap(
        Agents.create({ coreApp: "acme/llm", tools: [noting] }, { chatId: "c1" }),
        (agent) => Effect.timeout(agent.sendMessage("hi"), "1 minute")
      )
      const taken = yield* run({ ...queued, [cancel]: T.data(C.userMessage("hi", { status: "cancelled" })) }, waiting)
      assert.strictEqual(taken.service.count(cancel), 1)
      assert.strictEqual(taken.service.count(stop), 0)
      // It got its turn meanwhile.
      const inTurn = {
        [cancel]: T.problem(409, "not_queued"),
        [getChat]: T.data({ id: "c1", active_run: { id: "r1", user_message_id: "m1", state: "working" } }),
        [getMessages]: T.data({ items: [C.userMessage()] })
      }
      const late = yield* run({ ...queued, ...inTurn }, waiting)
      assert.strictEqual(late.service.count(stop), 1)
      // Whatever else is said to that, the turn under way is not this one.
      for (const answer of [T.data(null), T.problem(403, "forbidden"), T.problem(404, "not_found")]) {
        const other = yield* run({ ...queued, [cancel]: answer }, waiting)
        assert.strictEqual(other.service.count(cancel), 1)
        assert.strictEqual(other.service.count(stop), 0)
      }
    })
  )

  it.effect("sends nothing when the interruption comes while another turn is under way", () =>
    Effect.gen(function* () {
      const { service } = yield* run(
        endless,
        Effect.flatMap(noted, (agent) =>
          Effect.gen(function* () {
            const first = yield* Effect.fork(agent.sendMessage("one"))
            yield* Effect.sleep("1 second")
            yield* Effect.timeoutOption(agent.sendMessage("two"), "10 seconds")
            assert.strictEqual(service.count(stop), 0)
            yield* Fiber.interrupt(first)
          })
        )
      )
      assert.strictEqual(service.count(post), 1)
      assert.strictEqual(service.count(stop), 1)
    })
  )

  it.effect("is not stopped when it ended, however it ended, or was lost from sight", () =>
    Effect.gen(function* () {
      const ends: ReadonlyArray<T.Script> = [
        { [streamOf]: T.ndjson(working, C.ready("m2", "Ok."), ...ended) },
        { [streamOf]: T.ndjson(working, C.run("failed")) },
        { [streamOf]: T.ndjson(working, C.run("canceled")) },
        { [streamOf]: T.problem(503, "unavailable"), [getChat]: T.problem(503, "unavailable") },
        { [post]: T.problem(403, "forbidden") }
      ]
      for (const end of ends) {
        const { service } = yield* run({ ...endless, ...end }, send)
        assert.strictEqual(service.count(stop), 0)
        assert.strictEqual(service.open(), 0)
      }
    })
  )

  it.effect("whose handlers still run when somebody else has answered for them ends, and they with it", () =>
    Effect.gen(function* () {
      const done = C.invocation("i1", "note", {}, { status: "completed", result: "by someone else" })
      const { service, journal } = yield* run(
        {
          ...endless,
          [streamOf]: T.ndjson(
            working,
            calling(C.invocation("i1", "note", {})),
            T.pause("1 second"),
            calling(done),
            C.ready("m4", "Ok."),
            ...ended
          )
        },
        send
      )
      assert.deepStrictEqual(journal, ["started", "released"])
      assert.strictEqual(service.count("POST /tools/i1"), 0)
      assert.strictEqual(service.count(stop), 0)
    })
  )

  it.effect("leaves calls that it began unanswered to none: the next turn says that they were interrupted", () =>
    Effect.gen(function* () {
      const { service, journal } = yield* run(
        { ...endless, [stop]: T.problem(500, "internal_error"), "POST /tools/i1": ok },
        Effect.gen(function* () {
          const agent = yield* noted
          yield* Effect.timeoutOption(agent.sendMessage("one"), "10 seconds")
          yield* Effect.timeoutOption(agent.sendMessage("two"), "10 seconds")
        })
      )
      assert.deepStrictEqual(journal, ["started", "released"])
      assert.deepStrictEqual(submitted(service, "i1"), ['{"error":"the call was interrupted"}'])
    })
  )
})
