import { assert, describe, it } from "@effect/vitest"
import * as Chunk from "effect/Chunk"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import * as Agents from "effect-inferencesh/Agents"
import * as Chat from "effect-inferencesh/Chat"
import * as File from "effect-inferencesh/File"
import type * as Inference from "effect-inferencesh/Inference"
import type * as InferenceError from "effect-inferencesh/InferenceError"
import * as Tool from "effect-inferencesh/Tool"
import * as C from "./support/chats.js"
import * as T from "./support/tasks.js"

const post = "POST /agents/run"
const streamOf = "GET /chats/c1/stream"
const getChat = "GET /chats/c1"
const getMessages = "GET /chats/c1/messages?limit=100"
const stop = "POST /chats/c1/stop"

const add = Tool.make("add", {
  description: "Adds two numbers",
  params: { a: Schema.Number, b: Schema.Number },
  handler: ({ a, b }) => Effect.succeed(a + b)
})

const config = { coreApp: "acme/llm", systemPrompt: "Be brief.", tools: [add] } as const

const agent = Agents.create(config)

const named = (name: string) => Tool.make(name, { description: "", handler: () => Effect.void })

/** A chat that exists, and of which the last turn is over. */
const known = Agents.create(config, { chatId: "c1" })

const working = C.chat({ active_run: { id: "r1", chat_id: "c1", user_message_id: "m1", state: "working" } })

const simple = [working, C.ready("m2", "Hello."), C.run("completed"), C.idle] as const

/** What an effect that uses the services comes to with a service that answers from a script. */
const using = <A, E>(
  script: T.Script,
  effect: Effect.Effect<A, E, Inference.Services>,
  options: Partial<Inference.Options> & { readonly time?: Duration.DurationInput } = {}
) => {
  const service = T.service(script, options)
  return Effect.map(T.within(options.time ?? "1 hour", Effect.provide(effect, service.layer)), (result) => ({
    service,
    result
  }))
}

const turnOf = <R, E>(
  made: Effect.Effect<Agents.Agent<R, E>, never, Agents.Agents>,
  script: T.Script,
  options: Partial<Inference.Options> & { readonly time?: Duration.DurationInput } = {}
) =>
  Effect.map(
    using(
      script,
      Effect.flatMap(made, (agent) => T.record(agent.chat("hi"))) as Effect.Effect<
        { readonly items: ReadonlyArray<Chat.Event>; readonly error: Agents.ChatError | undefined },
        never,
        Agents.Agents
      >,
      options
    ),
    ({ service, result }) => ({ service, ...result })
  )

/** Each event in a few words. */
const brief = (event: Chat.Event): string => {
  switch (event._tag) {
    case "Message":
      return `message ${event.message.id} ${event.message.role} ${event.message.status}`
    case "TextDelta":
      return `text ${event.messageId} ${event.delta}`
    case "ReasoningDelta":
      return `reasoning ${event.messageId} ${event.delta}`
    case "ToolCall":
      return `call ${event.id} ${event.name} ${JSON.stringify(event.arguments)}`
    case "ToolResult":
      return `result ${event.id} ${event.result}`
    case "ApprovalRequired":
      return `approval ${event.id} ${event.name}`
    case "Status":
      return event.status
    case "Unknown":
      return `unknown ${event.event}`
  }
}

const routes = (service: T.Service) => service.sent.map(({ route }) => route)

const failed = (error: unknown): InferenceError.ChatFailed => {
  assert.propertyVal(error, "_tag", "ChatFailed")
  return error as InferenceError.ChatFailed
}

describe("a turn", () => {
  it.effect("gives what happens, as it happens, and ends", () =>
    Effect.gen(function* () {
      const { items, error, service } = yield* turnOf(agent, {
        [post]: T.data(C.posted()),
        [streamOf]: T.ndjson(
          working,
          C.message("m2"),
          C.delta("m2", 1, { reasoning: "I add." }),
          C.delta("m2", 2, { response: "Let me" }),
          C.delta("m2", 3, { response: " add." }),
          C.message("m2", {
            status: "ready",
            content: [C.part("reasoning", { text: "I add." }), ...C.text("Let me add.")],
            tool_invocations: [C.invocation("i1", "add", { a: 1, b: 2 })]
          }),
          T.pause("1 second"),
          C.run("input_required", { interrupt_reason: "client_tool", interrupt_tool_id: "i1" }),
          T.pause("1 second"),
          C.run("working"),
          C.message("m3", { role: "tool", status: "ready", tool_call_id: "call_i1", content: C.text("3") }),
          C.message("m4", { content: [] }),
          T.heartbeat,
          C.delta("m4", 1, { response: "It is 3." }),
          C.ready("m4", "It is 3."),
          C.run("completed", { output: { sum: 3 } }),
          C.idle,
          T.silence
        ),
        "POST /tools/i1": T.data(null)
      })
      assert.isUndefined(error)
      assert.deepStrictEqual(items.map(brief), [
        "message m1 user ready",
        "working",
        "reasoning m2 I add.",
        "text m2 Let me",
        "text m2  add.",
        "message m2 assistant ready",
        'call i1 add {"a":1,"b":2}',
        "result i1 3",
        "input_required",
        "working",
        "message m3 tool ready",
        "text m4 It is 3.",
        "message m4 assistant ready",
        "completed"
      ])
      assert.deepStrictEqual(routes(service), [post, streamOf, "POST /tools/i1"])
      assert.deepStrictEqual(T.jsonOf(service.sent[2]), { result: "3" })
      assert.strictEqual(service.open(), 0)
    })
  )

  it.effect("is what sendMessage comes to", () =>
    Effect.gen(function* () {
      const { result } = yield* using(
        { [post]: T.data(C.posted()), [streamOf]: T.ndjson(...simple, T.silence) },
        Effect.flatMap(agent, (agent) => Effect.zip(agent.sendMessage("hi"), agent.chatId))
      )
      const [reply, chatId] = result
      assert.deepInclude(reply, { text: "Hello.", chatId: "c1", runId: "r1", output: undefined })
      assert.deepStrictEqual(
        reply.messages.map(({ id }) => id),
        ["m1", "m2"]
      )
      assert.strictEqual(chatId, "c1")
    })
  )

  it.effect("of an agent that is described on the spot sends all of it, and of a stored one its reference", () =>
    Effect.gen(function* () {
      const script = { [post]: T.data(C.posted()), [streamOf]: T.ndjson(...simple) }
      const spot = yield* turnOf(
        Agents.create({ ...config, name: "calc", internalTools: { plan: true } }, { context: { customer: "42" } }),
        script
      )
      assert.deepStrictEqual(T.jsonOf(spot.service.sent[0]), {
        chat_id: null,
        agent_name: "calc",
        agent_config: {
          name: "calc",
          system_prompt: "Be brief.",
          core_app: { ref: "acme/llm" },
          tools: [
            {
              name: "add",
              display_name: "add",
              description: "Adds two numbers",
              type: "client",
              client: {
                input_schema: {
                  type: "object",
                  properties: { a: { type: "number" }, b: { type: "number" } },
                  required: ["a", "b"]
                }
              }
            }
          ],
          internal_tools: { plan: true }
        },
        context: { customer: "42" },
        input: { text: "hi", role: "user", context: [], system_prompt: "", context_size: 0 }
      })
      const stored = yield* turnOf(Agents.create("acme/helper@7k2m9qd4", { context: { customer: "42" } }), script)
      assert.deepStrictEqual(T.jsonOf(stored.service.sent[0]), {
        chat_id: null,
        agent: "acme/helper@7k2m9qd4",
        context: { customer: "42" },
        input: { text: "hi", role: "user", context: [], system_prompt: "", context_size: 0 }
      })
    })
  )

  it.effect("that is asked for wrongly fails before anything is sent", () =>
    Effect.gen(function* () {
      const bad = Tool.make("bad", {
        description: "",
        params: { when: Schema.DateFromSelf },
        handler: () => Effect.void
      })
      const ways: ReadonlyArray<readonly [Effect.Effect<unknown, Agents.ChatError, Agents.Agents>, string]> = [
        [Effect.flatMap(Agents.create({ coreApp: "acme/llm", tools: [bad] }), (a) => a.sendMessage("hi")), "bad"],
        [Effect.flatMap(Agents.create({ coreApp: "acme/llm", tools: [add, add] }), (a) => a.sendMessage("hi")), "add"],
        [Effect.flatMap(Agents.create(""), (a) => a.sendMessage("hi")), "agent"],
        [Effect.flatMap(agent, (a) => a.sendMessage(" ")), "text"],
        [Effect.flatMap(agent, (a) => a.run("hi", { when: Schema.DateFromSelf })), "outputSchema"],
        [
          Effect.flatMap(Agents.create({ coreApp: "a/b", tools: [named("two words")] }), (a) => a.sendMessage("hi")),
          "tools"
        ],
        [Effect.flatMap(Agents.create({ coreApp: "a/b", tools: [named("finish")] }), (a) => a.run("hi", {})), "tools"],
        [Effect.flatMap(agent, (a) => a.getChat()), "chatId"]
      ]
      for (const [way, word] of ways) {
        const { result, service } = yield* using({}, Effect.flip(way))
        if (result._tag !== "InvalidRequest") return assert.fail(result._tag)
        assert.isUndefined(result.status)
        assert.include(result.message, word)
        assert.deepStrictEqual(routes(service), [])
      }
    })
  )

  it.effect("uploads each attachment once, and sends what it is", () =>
    Effect.gen(function* () {
      const bytes = new Uint8Array([1, 2, 3])
      const stored = File.fromUri("https://cloud.inference.sh/app/files/t/x/report.pdf", { size: 7 })
      const { service } = yield* using(
        {
          "POST /files": T.data([
            { id: "f1", uri: "inf://files/f1", upload_url: "http://storage.test/put", filename: "cat.png", size: 3 }
          ]),
          "PUT /put": T.json(null),
          [post]: T.data(C.posted()),
          [streamOf]: T.ndjson(...simple)
        },
        Effect.flatMap(agent, (agent) => {
          const cat = File.fromBytes(bytes, { filename: "cat.png" })
          return agent.sendMessage("look", { files: [cat, stored, cat] })
        })
      )
      assert.strictEqual(service.count("POST /files"), 1)
      const { input } = T.jsonOf(service.sent.find(({ route }) => route === post)) as { input: T.Json }
      assert.deepStrictEqual(input.attachments, [
        { id: "f1", uri: "inf://files/f1", filename: "cat.png", content_type: "image/png", size: 3 },
        { uri: stored.uri, filename: "report.pdf", content_type: "application/pdf", size: 7 }
      ])
    })
  )

  it.effect("is not begun when an attachment cannot be uploaded", () =>
    Effect.gen(function* () {
      const { service, result } = yield* using(
        {},
        Effect.flatMap(agent, (agent) =>
          Effect.flip(agent.sendMessage("look", { files: [File.fromPath("no/such/file.png")] }))
        )
      )
      assert.propertyVal(result, "_tag", "FileError")
      assert.deepStrictEqual(routes(service), [])
    })
  )
})

describe("a chat that goes on", () => {
  const stale = C.chat({ status: "idle", active_run: { id: "r0", state: "completed" } })

  it.effect("is listened to before the message is posted, and its former end does not end the new turn", () =>
    Effect.gen(function* () {
      const { service, items } = yield* turnOf(known, {
        [post]: T.data(C.posted()),
        [streamOf]: T.ndjson(stale, C.ready("m0", "Before.", { agent_run_id: "r0" }), T.pause("1 second"), ...simple)
      })
      assert.deepStrictEqual(routes(service), [streamOf, post])
      assert.propertyVal(T.jsonOf(service.sent[1]), "chat_id", "c1")
      assert.deepStrictEqual(items.map(brief), [
        "message m1 user ready",
        "working",
        "text m2 Hello.",
        "message m2 assistant ready",
        "completed"
      ])
    })
  )

  it.effect("ends the turn even if the service has already told all of it when it answers", () =>
    Effect.gen(function* () {
      const { items } = yield* turnOf(known, {
        [post]: Effect.delay(T.data(C.posted()), "5 seconds"),
        [streamOf]: T.ndjson(stale, ...simple, T.silence)
      })
      assert.deepStrictEqual(items.map(brief).slice(-2), ["message m2 assistant ready", "completed"])
    })
  )

  it.effect("ends a turn of a service that tells of no runs when the chat is idle again", () =>
    Effect.gen(function* () {
      const bare = (id: string, fields: T.Json = {}) => C.message(id, { agent_run_id: null, ...fields })
      const { items } = yield* turnOf(known, {
        [post]: T.data({
          user_message: C.userMessage("hi", { agent_run_id: null }),
          assistant_message: C.dataOf(bare("m2"))
        }),
        [streamOf]: T.ndjson(
          C.chat({ status: "idle" }),
          C.chat({ status: "busy" }),
          bare("m2", { status: "ready", content: C.text("Hello.") }),
          C.chat({ status: "idle", output: { x: 1 } }),
          T.silence
        ),
        [getChat]: T.data({ id: "c1", status: "idle", output: { x: 1 } }),
        [getMessages]: T.data({ items: [C.dataOf(bare("m2", { status: "ready", content: C.text("Hello.") }))] })
      })
      assert.deepStrictEqual(items.map(brief), [
        "message m1 user ready",
        "text m2 Hello.",
        "message m2 assistant ready",
        "completed"
      ])
      assert.deepInclude(items.at(-1), { output: { x: 1 } })
    })
  )

  it.effect(
    "whose run was over between two observations ends by the message, and by nothing that was idle before",
    () =>
      Effect.gen(function* () {
        const bare = (id: string, fields: T.Json = {}) => C.message(id, { agent_run_id: null, ...fields })
        const ready = bare("m2", { status: "ready", content: C.text("Hello.") })
        const { items } = yield* turnOf(known, {
          [post]: T.data({
            user_message: C.userMessage("hi", { agent_run_id: null }),
            assistant_message: C.dataOf(bare("m2"))
          }),
          [streamOf]: T.ndjson(C.chat({ status: "idle" }), T.pause("3 seconds"), ready, T.silence),
          [getChat]: T.data({ id: "c1", status: "idle" }),
          [getMessages]: T.data({ items: [C.dataOf(ready)] })
        })
        assert.deepStrictEqual(items.map(brief).slice(-2), ["message m2 assistant ready", "completed"])
      })
  )

  it.effect("waits for its turn when other turns are under way, and takes none of theirs for its own", () =>
    Effect.gen(function* () {
      const other = { agent_run_id: "r0" }
      const { items, error } = yield* turnOf(known, {
        [post]: T.data({ user_message: C.userMessage("hi", { status: "queued", order: 3, agent_run_id: null }) }),
        [streamOf]: T.ndjson(
          C.chat({ active_run: { id: "r0", state: "working" } }),
          C.ready("m4", "Of another turn.", other),
          C.run("completed", { id: "r0", user_message_id: "m0" }),
          C.chat({ status: "idle", active_run: { id: "r0", state: "completed" } }),
          T.pause("10 seconds"),
          C.message("m1", { role: "user", status: "ready", content: C.text("hi"), order: 3 }),
          C.run("working"),
          C.ready("m6", "Of this turn."),
          C.message("m9", { role: "user", status: "queued", agent_run_id: null }),
          C.run("completed"),
          C.idle,
          T.silence
        )
      })
      assert.isUndefined(error)
      assert.deepStrictEqual(items.map(brief), [
        "message m1 user ready",
        "working",
        "text m6 Of this turn.",
        "message m6 assistant ready",
        "completed"
      ])
    })
  )

  it.effect("fails when its message is taken back before its turn", () =>
    Effect.gen(function* () {
      const { error } = yield* turnOf(known, {
        [post]: T.data({ user_message: C.userMessage("hi", { status: "queued", agent_run_id: null }) }),
        [streamOf]: T.ndjson(
          C.chat({ active_run: { id: "r0", state: "working" } }),
          C.message("m1", { role: "user", status: "cancelled", agent_run_id: null }),
          T.silence
        ),
        [getChat]: T.data({ id: "c1", status: "busy" }),
        [getMessages]: T.data({ items: [] })
      })
      assert.strictEqual(failed(error).reason, "Cancelled")
    })
  )

  it.effect("takes two messages that are sent at once as two turns in order", () =>
    Effect.gen(function* () {
      const second = {
        user_message: C.userMessage("two", { id: "m3", order: 3, agent_run_id: "r2" }),
        assistant_message: C.dataOf(C.message("m4", { agent_run_id: "r2" }))
      }
      const { result, service } = yield* using(
        {
          [post]: [T.data(C.posted()), T.data(second)],
          [streamOf]: [
            T.ndjson(working, T.pause("10 seconds"), ...simple.slice(1), T.silence),
            T.ndjson(
              C.idle,
              T.pause("1 second"),
              C.run("working", { id: "r2", user_message_id: "m3" }),
              C.ready("m4", "Again.", { agent_run_id: "r2" }),
              C.run("completed", { id: "r2", user_message_id: "m3" }),
              T.silence
            )
          ]
        },
        Effect.flatMap(agent, (agent) =>
          Effect.all([agent.sendMessage("one"), agent.sendMessage("two")], { concurrency: 2 })
        )
      )
      assert.deepStrictEqual(
        result.map(({ text }) => text),
        ["Hello.", "Again."]
      )
      assert.deepStrictEqual(routes(service), [post, streamOf, streamOf, post])
      assert.deepStrictEqual(
        service.sent.filter(({ route }) => route === post).map((sent) => T.jsonOf(sent).chat_id),
        [null, "c1"]
      )
    })
  )

  it.effect("begins anew after a reset", () =>
    Effect.gen(function* () {
      const { service } = yield* using(
        { [post]: T.data(C.posted()), [streamOf]: T.ndjson(...simple) },
        Effect.gen(function* () {
          const conversation = yield* agent
          yield* conversation.sendMessage("one")
          yield* conversation.reset
          assert.isUndefined(yield* conversation.chatId)
          yield* conversation.sendMessage("two")
        })
      )
      assert.deepStrictEqual(
        service.sent.filter(({ route }) => route === post).map((sent) => T.jsonOf(sent).chat_id),
        [null, null]
      )
    })
  )

  it.effect("does not come back when it was reset during its first turn", () =>
    Effect.gen(function* () {
      const { result } = yield* using(
        { [post]: Effect.delay(T.data(C.posted()), "1 second"), [streamOf]: T.ndjson(...simple) },
        Effect.gen(function* () {
          const conversation = yield* agent
          const turn = yield* Effect.fork(conversation.sendMessage("one"))
          yield* Effect.sleep("500 millis")
          yield* conversation.reset
          yield* Fiber.join(turn)
          return yield* conversation.chatId
        })
      )
      assert.isUndefined(result)
    })
  )
})

describe("a turn that does not go well", () => {
  const begun = { [post]: T.data(C.posted()) }

  it.effect("fails with the message's error, and with what the agent had written by then", () =>
    Effect.gen(function* () {
      const { error, items } = yield* turnOf(agent, {
        ...begun,
        [streamOf]: T.ndjson(
          working,
          C.message("m2"),
          C.delta("m2", 1, { response: "Half an ans" }),
          C.message("m2", {
            status: "failed",
            content: [...C.text("Half an ans"), C.part("text", { error: "the model is overloaded" })]
          }),
          C.run("failed", { error: "llm failed" }),
          T.silence
        )
      })
      const { reason, detail, text, chatId, runId, messageId, message } = failed(error)
      assert.deepStrictEqual(
        { reason, detail, text, chatId, runId, messageId },
        {
          reason: "Failed",
          detail: "the model is overloaded",
          text: "Half an ans",
          chatId: "c1",
          runId: "r1",
          messageId: "m2"
        }
      )
      assert.include(message, "c1")
      assert.include(message, "the model is overloaded")
      assert.deepStrictEqual(items.map(brief).slice(-2), ["message m2 assistant failed", "failed"])
    })
  )

  it.effect("fails as cancelled when somebody stops it, and as rejected when the service does not take it", () =>
    Effect.gen(function* () {
      const looks = { [getChat]: T.data({ id: "c1", status: "idle" }), [getMessages]: T.data({ items: [] }) }
      for (const [state, expected] of [
        ["canceled", "Cancelled"],
        ["rejected", "Rejected"]
      ] as const) {
        const { error, service } = yield* turnOf(agent, {
          ...begun,
          ...looks,
          [streamOf]: T.ndjson(working, C.run(state, { error: "because" }), T.silence)
        })
        assert.strictEqual(failed(error).reason, expected)
        assert.strictEqual(failed(error).detail, "because")
        assert.strictEqual(service.count(stop), 0)
      }
    })
  )

  it.effect("passes on what the service answers to the message, and to the request for the stream", () =>
    Effect.gen(function* () {
      for (const [status, tag] of [
        [401, "Unauthorized"],
        [403, "Forbidden"],
        [404, "NotFound"],
        [400, "InvalidRequest"]
      ] as const) {
        const refused = yield* turnOf(agent, { [post]: T.problem(status, "code") })
        assert.propertyVal(refused.error, "_tag", tag)
        const unheard = yield* turnOf(agent, { ...begun, [streamOf]: T.problem(status, "code") })
        assert.propertyVal(unheard.error, "_tag", tag)
        // The chat is listened to first: where that is refused, nothing is posted.
        const known = yield* turnOf(Agents.create(config, { chatId: "c1" }), {
          [streamOf]: T.problem(status, "code"),
          [post]: T.data(C.posted())
        })
        assert.propertyVal(known.error, "_tag", tag)
        assert.strictEqual(known.service.count(post), 0)
      }
    })
  )

  it.effect("fails with the requirements that the agent lacks", () =>
    Effect.gen(function* () {
      const body = { satisfied: false, errors: [{ type: "secret", key: "K", message: "missing K" }] }
      const { error } = yield* turnOf(agent, { [post]: T.json(body, 412) })
      assert.propertyVal(error, "_tag", "RequirementsNotMet")
    })
  )

  it.effect("is not posted twice where the service may have taken it", () =>
    Effect.gen(function* () {
      for (const status of [500, 502, 503]) {
        const { service } = yield* turnOf(agent, { [post]: T.problem(status, "code") })
        assert.strictEqual(service.count(post), 1)
      }
      const { service, error } = yield* turnOf(agent, {
        [post]: [T.problem(429, "rate_limited", { "retry-after": "1" }), T.data(C.posted())],
        [streamOf]: T.ndjson(...simple)
      })
      assert.isUndefined(error)
      assert.strictEqual(service.count(post), 2)
    })
  )

  it.effect("is a DecodeError where the reply names no chat", () =>
    Effect.gen(function* () {
      const { error } = yield* turnOf(agent, { [post]: T.data({ user_message: { id: "m1" } }) })
      assert.propertyVal(error, "_tag", "DecodeError")
    })
  )

  it.effect("is interrupted in a typed way when its stream keeps breaking off, and may go on at the service", () =>
    Effect.gen(function* () {
      const { error, service } = yield* turnOf(
        agent,
        {
          ...begun,
          [streamOf]: T.ndjson(working),
          [getChat]: T.data(C.dataOf(working)),
          [getMessages]: T.data({ items: [] })
        },
        { retry: { attempts: 3, baseDelay: "1 second" } }
      )
      assert.deepInclude(error, { _tag: "StreamInterrupted", reason: "Disconnected", chatId: "c1" })
      assert.include(error?.message, "c1")
      assert.strictEqual(service.count(streamOf), 3)
      assert.strictEqual(service.count(stop), 0)
    })
  )

  it.effect("ends with NoProgress after the progress timeout, which does not run while somebody else is asked", () =>
    Effect.gen(function* () {
      const silent = yield* turnOf(
        agent,
        {
          ...begun,
          [streamOf]: T.ndjson(working, T.heartbeats()),
          [getChat]: T.data(C.dataOf(working)),
          [getMessages]: T.data({ items: [] })
        },
        { progressTimeout: "5 minutes" }
      )
      assert.deepInclude(silent.error, { _tag: "StreamInterrupted", reason: "NoProgress" })
      const approving = [
        working,
        C.run("input_required"),
        ...Array.from({ length: 120 }, () => [T.pause("10 seconds"), T.heartbeat]).flat(),
        ...simple
      ]
      const asked = yield* turnOf(
        agent,
        {
          ...begun,
          [streamOf]: T.ndjson(...approving),
          [getChat]: T.data({ id: "c1", active_run: C.dataOf(C.run("input_required")) }),
          [getMessages]: T.data({ items: [] })
        },
        { progressTimeout: "5 minutes" }
      )
      assert.isUndefined(asked.error)
    })
  )
})

describe("structured output", () => {
  const begun = { [post]: T.data(C.posted()) }
  const ended = (output: unknown) => [working, C.ready("m2", ""), C.run("completed", { output }), C.idle]
  const Sum = { sum: Schema.Number, at: Schema.Date }

  it.effect("is asked for, and decoded from the run of this very turn", () =>
    Effect.gen(function* () {
      const { result, service } = yield* using(
        {
          ...begun,
          [streamOf]: T.ndjson(
            C.chat({ output: { sum: 99, at: "2000-01-01" } }),
            ...ended({ sum: 3, at: "1970-01-01T00:00:00Z" })
          )
        },
        Effect.flatMap(agent, (agent) => agent.run("1+2?", Sum))
      )
      assert.deepStrictEqual(result, { sum: 3, at: new Date(0) })
      const { agent_config } = T.jsonOf(service.sent[0]) as { agent_config: T.Json }
      assert.deepInclude(agent_config, { internal_tools: { finish: true } })
      assert.deepNestedInclude(agent_config, { "output_schema.required": ["sum", "at"] })
    })
  )

  it.effect("that was not given is a ChatFailed with the text, not the output of an earlier turn", () =>
    Effect.gen(function* () {
      const { result } = yield* using(
        {
          ...begun,
          [streamOf]: T.ndjson(
            C.chat({ output: { sum: 99, at: "2000-01-01" } }),
            working,
            C.ready("m2", "I would rather talk."),
            C.run("completed", { output: null })
          ),
          [getChat]: T.data({ id: "c1", status: "idle", output: { sum: 99, at: "2000-01-01" } }),
          [getMessages]: T.data({ items: [] })
        },
        Effect.flatMap(agent, (agent) => Effect.flip(agent.run("1+2?", Sum)))
      )
      assert.deepInclude(failed(result), { reason: "NoOutput", text: "I would rather talk." })
    })
  )

  it.effect("that does not fit is a DecodeError that says where", () =>
    Effect.gen(function* () {
      const { result } = yield* using(
        { ...begun, [streamOf]: T.ndjson(...ended({ sum: "three", at: "1970-01-01" })) },
        Effect.flatMap(agent, (agent) => Effect.flip(agent.run("1+2?", Sum)))
      )
      if (result._tag !== "DecodeError") return assert.fail(result._tag)
      assert.deepStrictEqual(result.path, ["sum"])
    })
  )

  it.effect("may be told by the chat alone", () =>
    Effect.gen(function* () {
      const { result } = yield* using(
        {
          ...begun,
          [streamOf]: T.ndjson(
            C.chat({ active_run: { id: "r1", state: "working", user_message_id: "m1" } }),
            C.ready("m2", ""),
            C.chat({ status: "idle", active_run: { id: "r1", state: "completed" }, output: { n: 1 } })
          ),
          [getChat]: T.data({ id: "c1", status: "idle", output: { n: 1 } }),
          [getMessages]: T.data({ items: [] })
        },
        Effect.flatMap(Agents.create("acme/helper"), (agent) => agent.run("?", { n: Schema.Number }))
      )
      assert.deepStrictEqual(result, { n: 1 })
    })
  )
})

describe("getChat", () => {
  const items = [C.dataOf(C.ready("m2", "Hello.")), C.userMessage()]

  it.effect("brings the messages that the service does not send along, in order, from all pages", () =>
    Effect.gen(function* () {
      const older = Array.from({ length: 3 }, (_, i) => C.dataOf(C.ready(`m${i + 3}`, `${i}`)))
      const { result } = yield* using(
        {
          [getChat]: T.data({ id: "c1", status: "idle", chat_messages: null }),
          [getMessages]: T.data({ items: [...older].reverse(), has_next: true, next_cursor: "a+b=" }),
          [`${getMessages}&cursor=a%2Bb%3D`]: T.data({ items, has_next: false, next_cursor: "" })
        },
        Effect.flatMap(known, (agent) => agent.getChat())
      )
      assert.deepStrictEqual(
        result.messages.map(({ id }) => id),
        ["m1", "m2", "m3", "m4", "m5"]
      )
    })
  )

  it.effect("takes those that older servers embed", () =>
    Effect.gen(function* () {
      const { result, service } = yield* using(
        { [getChat]: T.data({ id: "c1", status: "idle", chat_messages: items }) },
        Effect.flatMap(agent, (agent) => agent.getChat("c1"))
      )
      assert.deepStrictEqual(
        result.messages.map(({ id }) => id),
        ["m1", "m2"]
      )
      assert.deepStrictEqual(routes(service), [getChat])
    })
  )

  it.effect("fails as the service does: no chat is not an empty one", () =>
    Effect.gen(function* () {
      const { result } = yield* using(
        { [getChat]: T.problem(404, "not_found") },
        Effect.flatMap(agent, (agent) => Effect.flip(agent.getChat("c1")))
      )
      assert.propertyVal(result, "_tag", "NotFound")
    })
  )
})

describe("what is done with a chat", () => {
  it.effect("is one request each", () =>
    Effect.gen(function* () {
      const script: Record<string, T.Answer> = {
        [stop]: T.data(null),
        "POST /chats/messages/m1/cancel": T.data(C.userMessage()),
        "POST /tools/i1": T.data(null),
        "POST /tools/i1/invoke": T.data(null),
        "POST /tools/i1/reject": T.data(null),
        "POST /chats/c1/tools/i1/always-allow": T.data(null),
        "GET /agent-runs/r1/interrupts": T.data(null),
        "GET /chats/c1/status": T.data({ id: "c1", status: "busy" }),
        "GET /chats/c1/trace": T.data({ nodes: [] }),
        "DELETE /chats/c1": T.json(undefined, 204)
      }
      const { service } = yield* using(
        script,
        Effect.gen(function* () {
          const agent = yield* known
          yield* agent.stopChat()
          yield* agent.submitToolResult("i1", "done")
          yield* agent.submitToolResult("i1", { action: { type: "submit", payload: { a: 1 } }, formData: { b: 2 } })
          yield* agent.approve("i1")
          yield* agent.deny("i1", "no")
          yield* agent.alwaysAllow("i1", "add")
          yield* Agents.stopChat("c1")
          yield* Agents.cancelMessage("m1")
          yield* Agents.submitToolResult("i1", "done")
          yield* Agents.approve("i1")
          yield* Agents.deny("i1")
          assert.deepStrictEqual(yield* Agents.interrupts("r1"), [])
          assert.strictEqual(yield* Agents.chatStatus("c1"), "busy")
          assert.deepStrictEqual(yield* Agents.chatTrace("c1"), { nodes: [] })
          yield* Agents.removeChat("c1")
        })
      )
      const bodies = (route: string) => service.sent.filter((sent) => sent.route === route).map((sent) => sent.text)
      assert.deepStrictEqual(
        bodies("POST /tools/i1").map((body) => JSON.parse(body).result),
        ["done", '{"action":{"type":"submit","payload":{"a":1}},"form_data":{"b":2}}', "done"]
      )
      assert.deepStrictEqual(
        bodies("POST /tools/i1/reject").map((body) => JSON.parse(body)),
        [{ reason: "no" }, {}]
      )
      assert.deepStrictEqual(
        bodies("POST /chats/c1/tools/i1/always-allow").map((body) => JSON.parse(body)),
        [{ tool_name: "add", option: "add" }]
      )
    })
  )

  it.effect("opens a hook's gate, which has no tool, by its interrupt", () =>
    Effect.gen(function* () {
      const { service } = yield* using(
        {
          "POST /tools/x1/invoke": T.problem(404, "not_found"),
          "POST /tools/x1/reject": T.problem(404, "not_found"),
          "POST /interrupts/x1/resolve": T.data({ id: "x1" })
        },
        Effect.flatMap(known, (agent) => Effect.zipRight(agent.approve("x1"), agent.deny("x1")))
      )
      const decisions = service.sent.filter(({ route }) => route.startsWith("POST /interrupts")).map(T.jsonOf)
      assert.deepStrictEqual(decisions, [{ decision: "allow" }, { decision: "deny" }])
    })
  )

  it.effect("changes its name without losing what else is known of it", () =>
    Effect.gen(function* () {
      const { service } = yield* using(
        {
          [getChat]: T.data({ id: "c1", name: "old", description: "kept" }),
          "POST /chats/c1": T.data({ id: "c1", name: "new", description: "kept" })
        },
        Agents.updateChat("c1", { name: "new" })
      )
      assert.deepStrictEqual(T.jsonOf(service.sent[1]), { id: "c1", name: "new", description: "kept" })
    })
  )

  it.effect("lists chats page by page", () =>
    Effect.gen(function* () {
      const { result, service } = yield* using(
        {
          "POST /chats/list": [
            T.data({ items: [{ id: "c2" }], has_next: true, next_cursor: "x" }),
            T.data({ items: [{ id: "c1" }], has_next: false })
          ]
        },
        Stream.runCollect(Agents.listChats({ pageSize: 1 }))
      )
      assert.deepStrictEqual(
        Chunk.toReadonlyArray(result).map(({ id }) => id),
        ["c2", "c1"]
      )
      assert.strictEqual(service.sent.length, 2)
    })
  )
})

describe("the output of a turn that is no object", () => {
  const Cities = Schema.Array(Schema.String)
  const Answer = Schema.Union(Schema.Struct({ yes: Schema.String }), Schema.Struct({ no: Schema.String }))
  const turn = <A, E>(output: unknown, run: Effect.Effect<A, E, Agents.Agents>) =>
    using(
      {
        [post]: T.data(C.posted()),
        [streamOf]: T.ndjson(working, C.ready("m2", "Here."), C.run("completed", { output }), C.idle),
        [stop]: T.data(null)
      },
      run
    )

  it.effect("is asked for as a field of one, and taken out of it", () =>
    Effect.gen(function* () {
      const list = yield* turn(
        { result: ["Oslo"] },
        Effect.flatMap(agent, (agent) => agent.run("Which cities?", Cities))
      )
      assert.deepStrictEqual(list.result, ["Oslo"])
      assert.deepNestedPropertyVal(T.jsonOf(list.service.sent[0]), "agent_config.output_schema", {
        type: "object",
        properties: { result: { type: "array", items: { type: "string" } } },
        required: ["result"]
      })
      for (const output of [{ result: { yes: "of course" } }, { yes: "of course" }]) {
        const { result } = yield* turn(
          output,
          Effect.flatMap(agent, (agent) => agent.run("Is it?", Answer))
        )
        assert.deepStrictEqual(result, { yes: "of course" })
      }
    })
  )

  it.effect("is taken as it comes from an agent that is stored: its schema is its own", () =>
    Effect.gen(function* () {
      const { result } = yield* turn(
        { result: "x" },
        Effect.flatMap(Agents.create("acme/helper"), (agent) => agent.run("?", { result: Schema.String }))
      )
      assert.deepStrictEqual(result, { result: "x" })
    })
  )

  it.effect("says what to do where it does not fit", () =>
    Effect.gen(function* () {
      const { result } = yield* turn(
        { result: [1] },
        Effect.flip(Effect.flatMap(agent, (agent) => agent.run("Which cities?", Cities)))
      )
      assert.propertyVal(result, "_tag", "DecodeError")
      assert.include(result.message, "Ask again")
      assert.include(result.message, 'Agents.getChat("c1")')
    })
  )
})

describe("a tool that needs approval, of an agent that is stored", () => {
  const remove = Tool.make("remove", { description: "", requireApproval: true, handler: () => Effect.succeed("gone") })
  const hi = Effect.flatMap(Agents.create("acme/janitor", { tools: [remove, add] }), (agent) =>
    Effect.zipRight(agent.sendMessage("hi"), agent.sendMessage("again"))
  )
  const janitor = (...tools: ReadonlyArray<T.Json>) =>
    T.data({ id: "a1", version: { id: "v1", tools: [{ name: "add" }, ...tools] } })

  it.effect("is not run where the agent does not ask for it", () =>
    Effect.gen(function* () {
      for (const tools of [[], [{ name: "remove" }], [{ name: "remove", require_approval: false }]]) {
        const { result, service } = yield* using({ "GET /agents/acme/janitor": janitor(...tools) }, Effect.flip(hi))
        assert.propertyVal(result, "_tag", "InvalidRequest")
        assert.include(result.message, "tools.remove")
        assert.strictEqual(service.count(post), 0)
      }
    })
  )

  it.effect("is looked up once", () =>
    Effect.gen(function* () {
      const { service } = yield* using(
        {
          "GET /agents/acme/janitor": janitor({ name: "remove", require_approval: true }),
          [post]: T.data(C.posted()),
          [streamOf]: T.ndjson(...simple)
        },
        hi
      )
      assert.strictEqual(service.count(post), 2)
      assert.strictEqual(service.count("GET /agents/acme/janitor"), 1)
    })
  )
})

it.effect("a reply has the calls of the turn as their results left them", () =>
  Effect.gen(function* () {
    const call = (id: string, name: string, fields: T.Json = {}) => C.invocation(id, name, { a: 1, b: 2 }, fields)
    const calls = [call("i1", "add"), call("i2", "unheard_of"), call("i3", "draw", { type: "app" })]
    const drawn = { ...call("i3", "draw", { type: "app" }), status: "completed", result: "a cat" }
    const { result } = yield* using(
      {
        [post]: T.data(C.posted()),
        [streamOf]: T.ndjson(
          working,
          C.message("m2", { status: "ready", tool_invocations: calls }),
          T.pause("1 second"),
          C.message("m2", { status: "ready", tool_invocations: [...calls.slice(0, 2), drawn] }),
          C.ready("m4", "Done."),
          C.run("completed"),
          C.idle
        ),
        "POST /tools/i1": T.data(null),
        "POST /tools/i2": T.data(null)
      },
      Effect.flatMap(agent, (agent) => agent.sendMessage("hi"))
    )
    assert.deepStrictEqual(
      result.messages
        .find(({ id }) => id === "m2")
        ?.toolInvocations.map(({ status, result }) => [status, result?.slice(0, 10)]),
      [
        ["completed", "3"],
        ["failed", '{"status":'],
        ["completed", "a cat"]
      ]
    )
  })
)

describe("agents that are stored", () => {
  const stored = { id: "a1", namespace: "acme", name: "helper", version_id: "v1", version: { id: "v1", tools: [{}] } }

  it.effect("are reached by each of their endpoints", () =>
    Effect.gen(function* () {
      const { service } = yield* using(
        {
          "POST /agents/list": T.data({ items: [stored], has_next: false }),
          "GET /agents/a1": T.data(stored),
          "GET /agents/acme/helper": T.data(stored),
          "POST /agents": T.data(stored),
          "POST /agents/a1": T.data(stored),
          "DELETE /agents/a1": T.json(undefined, 204),
          "POST /agents/a1/duplicate": T.data({ ...stored, id: "a2" }),
          "POST /agents/a1/versions/list": T.data({ items: [{ id: "v1", system_prompt: "x" }], has_next: false }),
          "GET /agents/a1/versions/v1": T.data({ id: "v1" }),
          "POST /agents/a1/transfer": T.data(stored),
          "POST /agents/a1/visibility": T.data({ ...stored, visibility: "public" }),
          "GET /agents/internal-tools": T.data([
            { id: "finish", name: "finish", tools: ["finish"], default_enabled: true }
          ]),
          "GET /agents/a1/card": T.json({ name: "helper", data: 1, url: "x" })
        },
        Effect.gen(function* () {
          assert.strictEqual((yield* Stream.runHead(Agents.list())).pipe(Option.getOrThrow).id, "a1")
          assert.strictEqual((yield* Agents.get("a1")).version?.tools?.length, 1)
          assert.strictEqual((yield* Agents.get("acme/helper")).name, "helper")
          yield* Agents.save({ name: "helper", namespace: "acme", title: "Helper" }, config)
          yield* Agents.update("a1", { title: "New" })
          yield* Agents.remove("a1")
          assert.strictEqual((yield* Agents.duplicate("a1")).id, "a2")
          assert.strictEqual(
            Chunk.toReadonlyArray(yield* Stream.runCollect(Agents.versions("a1")))[0]?.systemPrompt,
            "x"
          )
          assert.strictEqual((yield* Agents.version("a1", "v1")).id, "v1")
          yield* Agents.transfer("a1", "t2")
          assert.strictEqual((yield* Agents.setVisibility("a1", "public")).visibility, "public")
          assert.deepInclude((yield* Agents.internalTools)[0], { name: "finish", isDefault: true })
          assert.deepStrictEqual(yield* Agents.card("a1"), { name: "helper", data: 1, url: "x" })
        })
      )
      const bodyOf = (route: string) => T.jsonOf(service.sent.find((sent) => sent.route === route))
      assert.deepInclude(bodyOf("POST /agents"), { name: "helper", namespace: "acme", title: "Helper" })
      assert.deepNestedInclude(bodyOf("POST /agents"), {
        "version.core_app.ref": "acme/llm",
        "version.tools[0].name": "add"
      })
      assert.deepInclude(bodyOf("POST /agents/a1"), { title: "New", name: "helper", namespace: "acme" })
      assert.deepStrictEqual(bodyOf("POST /agents/a1/transfer"), { team_id: "t2" })
    })
  )
})

describe("a chat that is observed", () => {
  it.effect("gives its messages in each of their states, with the text that is being written", () =>
    Effect.gen(function* () {
      const { result } = yield* using(
        {
          [streamOf]: T.ndjson(
            working,
            C.message("m1", { role: "user", status: "ready", content: C.text("hi") }),
            C.message("m0", { role: "injection", status: "ready" }),
            C.message("m2"),
            C.delta("m2", 1, { response: "Hel" }),
            C.delta("m2", 2, { response: "lo." }),
            C.ready("m2", "Hello."),
            C.idle,
            T.silence
          ),
          [getChat]: T.data(C.dataOf(working)),
          // The server need not tell of it again.
          [getMessages]: T.data({ items: [C.dataOf(C.ready("m-1", "Before."))] })
        },
        Effect.flatMap(known, (agent) => Stream.runCollect(Stream.take(agent.streamMessages(), 6)))
      )
      assert.deepStrictEqual(
        Chunk.toReadonlyArray(result).map((message) => `${message.id} ${message.status} ${Chat.text(message)}`),
        ["m-1 ready Before.", "m1 ready hi", "m2 pending ", "m2 pending Hel", "m2 pending Hello.", "m2 ready Hello."]
      )
    })
  )

  it.effect("gives its own states, each once, across connections", () =>
    Effect.gen(function* () {
      const { result, service } = yield* using(
        {
          [streamOf]: [T.ndjson(working, working, T.broken), T.ndjson(working, C.run("completed"), C.idle, T.silence)],
          [getChat]: T.data(C.dataOf(working))
        },
        Stream.runCollect(Stream.take(Agents.streamChat("c1"), 3))
      )
      assert.deepStrictEqual(
        Chunk.toReadonlyArray(result).map(({ status, activeRun }) => [status, activeRun?.state]),
        [
          ["busy", "working"],
          ["busy", "completed"],
          ["idle", "completed"]
        ]
      )
      assert.strictEqual(service.count(streamOf), 2)
      assert.strictEqual(service.open(), 0)
    })
  )

  it.effect("is not stopped by those who observe it, and its calls are not answered by them", () =>
    Effect.gen(function* () {
      const { service } = yield* using(
        {
          [streamOf]: T.ndjson(
            working,
            C.message("m2", { status: "ready", tool_invocations: [C.invocation("i1", "add", { a: 1, b: 2 })] }),
            T.silence
          ),
          [getChat]: T.data(C.dataOf(working)),
          [getMessages]: T.data({ items: [] })
        },
        Effect.flatMap(known, (agent) =>
          Effect.zipRight(
            Stream.runDrain(Stream.take(agent.streamMessages(), 1)),
            Effect.timeoutOption(Stream.runDrain(agent.streamChat()), "10 seconds")
          )
        )
      )
      assert.deepStrictEqual(new Set(routes(service)), new Set([streamOf, getChat, getMessages]))
      assert.strictEqual(service.open(), 0)
      yield* TestClock.adjust("1 hour")
      assert.strictEqual(service.count(stop), 0)
    })
  )
})
