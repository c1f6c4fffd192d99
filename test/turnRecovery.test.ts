/** Turns that other turns, lost news and failing requests get in the way of. */
import { assert, describe, it } from "@effect/vitest"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import * as Agents from "effect-inferencesh/Agents"
import type * as Inference from "effect-inferencesh/Inference"
import * as Tool from "effect-inferencesh/Tool"
import * as C from "./support/chats.js"
import * as T from "./support/tasks.js"

const post = "POST /agents/run"
const streamOf = "GET /chats/c1/stream"
const getChat = "GET /chats/c1"
const getMessages = "GET /chats/c1/messages?limit=100"
const stop = "POST /chats/c1/stop"
const ok = T.data(null)

const begun = { [post]: T.data(C.posted()), [stop]: ok }
const working = C.chat({ active_run: { id: "r1", chat_id: "c1", user_message_id: "m1", state: "working" } })
const waiting = C.chat({ active_run: { id: "r1", chat_id: "c1", user_message_id: "m1", state: "input_required" } })
const simple = [working, C.ready("m2", "Hello."), C.run("completed"), C.idle]
const calling = (...calls: ReadonlyArray<T.Json>) => C.message("m2", { status: "ready", tool_invocations: calls })
const page = (...messages: ReadonlyArray<T.Json>) => T.data({ items: messages.map(C.dataOf) })

/** A service that knows of no runs in messages. */
const bare = { agent_run_id: null }

const routes = (service: T.Service) => service.sent.map(({ route }) => route)

const submitted = (service: T.Service, id: string) =>
  service.sent.filter(({ route }) => route === `POST /tools/${id}`).map((sent) => T.jsonOf(sent).result)

const existing = Agents.create({ coreApp: "acme/llm" }, { chatId: "c1" })

/** What comes of using a conversation with a service that answers from a script. */
const using = <A, E>(
  script: T.Script,
  use: Effect.Effect<A, E, Inference.Services>,
  time: Duration.DurationInput = "10 minutes",
  options: Partial<Inference.Options> = {}
) => {
  const service = T.service({ ...begun, ...script }, options)
  return Effect.map(T.within(time, Effect.either(Effect.provide(use, service.layer))), (result) => ({
    service,
    result: result._tag === "Right" ? result.right : undefined,
    error: result._tag === "Left" ? result.left : undefined
  }))
}

const hi = Effect.flatMap(existing, (agent) => agent.sendMessage("hi"))

describe("a stream that is refused before the message is sent", () => {
  it.effect("is opened again, and the message follows", () =>
    Effect.gen(function* () {
      for (const refusal of [T.problem(503, "unavailable"), T.problem(502, "bad_gateway")]) {
        const { result, service } = yield* using({ [streamOf]: [refusal, T.ndjson(...simple)] }, hi)
        assert.propertyVal(result, "text", "Hello.")
        assert.deepStrictEqual(routes(service), [streamOf, streamOf, post])
      }
    })
  )

  it.effect("for good fails the turn as it failed, with nothing sent", () =>
    Effect.gen(function* () {
      for (const retry of [false, { attempts: 2 }] as const) {
        const { error, service } = yield* using({ [streamOf]: T.problem(503, "unavailable") }, hi, "10 minutes", {
          retry
        })
        assert.propertyVal(error, "_tag", "ServiceUnavailable")
        assert.strictEqual(service.count(post), 0)
        assert.strictEqual(service.count(stop), 0)
      }
    })
  )
})

describe("the output of a turn", () => {
  const sum = Effect.flatMap(existing, (agent) => agent.run("2+3?", { sum: Schema.Number }))
  const before = C.chat({
    status: "idle",
    output: { sum: 1 },
    active_run: { id: "r0", state: "completed", output: { sum: 1 } }
  })
  const nothing = { [getChat]: T.data({ id: "c1", status: "idle", output: { sum: 1 } }), [getMessages]: page() }

  it.effect("is not that of the turn before, where the run has none", () =>
    Effect.gen(function* () {
      const { error } = yield* using(
        {
          ...nothing,
          [streamOf]: T.ndjson(
            before,
            T.pause("1 second"),
            C.run("working"),
            C.ready("m2", "No."),
            C.run("completed"),
            T.silence
          )
        },
        sum
      )
      assert.propertyVal(error, "reason", "NoOutput")
    })
  )

  it.effect("is waited for where the chat tells of the end before the run does", () =>
    Effect.gen(function* () {
      const end = { id: "c1", status: "idle", active_run: { id: "r1", state: "completed" } }
      const { result } = yield* using(
        {
          [getChat]: T.data({ ...end, active_run: { id: "r1", state: "completed", output: { sum: 5 } } }),
          [getMessages]: page(),
          [streamOf]: T.ndjson(
            before,
            T.pause("1 second"),
            C.run("working"),
            C.ready("m2", "It is 5."),
            { event: "chats", data: end, fields: ["status", "active_run"] },
            T.silence
          )
        },
        sum
      )
      assert.deepStrictEqual(result, { sum: 5 })
    })
  )

  it.effect("is what the chat says, or what the model finished with, where runs do not tell", () =>
    Effect.gen(function* () {
      const told = [C.chat({ status: "idle", output: { sum: 5 }, active_run: { id: "r1", state: "completed" } })]
      const finish = C.invocation("i1", "finish", { sum: 5 }, { type: "internal", status: "completed" })
      const finished = [calling(finish), C.run("completed")]
      for (const end of [told, finished]) {
        const { result } = yield* using(
          {
            ...nothing,
            [streamOf]: T.ndjson(
              before,
              T.pause("1 second"),
              C.run("working"),
              C.ready("m2", "It is 5."),
              ...end,
              T.silence
            )
          },
          sum
        )
        assert.deepStrictEqual(result, { sum: 5 })
      }
    })
  )
})

it.effect("messages are sent in the order in which they were asked for, however busy the conversation is", () =>
  Effect.gen(function* () {
    const texts: Array<unknown> = []
    const answer = (sent: T.Sent) => {
      const { input } = T.jsonOf(sent)
      texts.push((input as T.Json).text)
      return T.data(C.posted())
    }
    yield* using(
      {
        [post]: answer,
        [streamOf]: T.ndjson(working, T.pause("2 seconds"), ...simple, T.silence),
        [getChat]: T.data(C.dataOf(C.idle)),
        [getMessages]: page()
      },
      Effect.flatMap(existing, (agent) =>
        Effect.zip(
          Effect.delay(agent.sendMessage("b"), "1 second"),
          Effect.forEach(["a1", "a2", "a3"], (text) => agent.sendMessage(text)),
          { concurrent: true }
        )
      )
    )
    assert.deepStrictEqual(texts, ["a1", "b", "a2", "a3"])
  })
)

it.effect("one that gives up waiting for its turn holds up none", () =>
  Effect.gen(function* () {
    const { result, service } = yield* using(
      { [streamOf]: T.ndjson(working, T.pause("10 seconds"), ...simple, T.silence) },
      Effect.flatMap(existing, (agent) =>
        Effect.all(
          [
            agent.sendMessage("1"),
            Effect.delay(Effect.timeoutOption(agent.sendMessage("2"), "2 seconds"), "1 second"),
            Effect.delay(agent.sendMessage("3"), "2 seconds")
          ],
          { concurrency: "unbounded" }
        )
      )
    )
    assert.strictEqual(result?.[1]._tag, "None")
    assert.strictEqual(service.count(post), 2)
  })
)

describe("a turn of which the service does not say which run it is", () => {
  const posted = T.data({
    user_message: C.userMessage("hi", bare),
    assistant_message: C.dataOf(C.message("m2", bare))
  })
  const run = (id: string, state: string, fields: T.Json = {}) => ({
    event: "agent_runs",
    data: { id, chat_id: "c1", state, ...fields }
  })
  const idle = C.chat({ status: "idle", active_run: null })

  it.effect("fails as the run does that begins with it", () =>
    Effect.gen(function* () {
      const script = {
        [post]: posted,
        [getChat]: T.data(C.dataOf(idle)),
        [getMessages]: page(C.message("m2", { ...bare, content: [] }))
      }
      const failure = run("r1", "failed", { error: "out of credits" })
      const active = C.chat({ active_run: { id: "r1", state: "working" } })
      for (const first of [C.message("m2", bare), active]) {
        const fresh = yield* using(
          { ...script, [streamOf]: T.ndjson(first, failure, idle, T.silence) },
          Effect.flatMap(Agents.create("acme/x"), (agent) => agent.sendMessage("hi"))
        )
        assert.propertyVal(fresh.error, "detail", "out of credits")
      }
      const known = yield* using(
        {
          ...script,
          [streamOf]: T.ndjson(
            C.chat({ status: "idle", active_run: { id: "r0", state: "completed" } }),
            T.pause("1 second"),
            run("r1", "working"),
            failure,
            idle,
            T.silence
          )
        },
        hi
      )
      assert.propertyVal(known.error, "detail", "out of credits")
    })
  )

  it.effect("has its own messages, even if the reply names only the one that is being written", () =>
    Effect.gen(function* () {
      const { result } = yield* using(
        {
          [post]: T.data({ assistant_message: C.dataOf(C.message("m6", bare)) }),
          [streamOf]: T.ndjson(
            C.chat({ status: "idle" }),
            C.ready("m2", "Old.", bare),
            C.ready("m4", "Old too.", bare),
            T.pause("1 second"),
            C.chat({ status: "busy" }),
            C.ready("m6", "New.", bare),
            C.chat({ status: "idle" }),
            T.silence
          ),
          [getChat]: T.data({ id: "c1", status: "idle" }),
          [getMessages]: page(C.ready("m6", "New.", bare), C.ready("m4", "Old too.", bare))
        },
        hi
      )
      assert.deepStrictEqual(
        result?.messages.map(({ id }) => id),
        ["m6"]
      )
    })
  )
})

it.effect("the end of another run is no end, and a look that fails does not make it one", () =>
  Effect.gen(function* () {
    const call = C.invocation("i1", "draw", {}, { type: "app", status: "in_progress" })
    const { result } = yield* using(
      {
        [streamOf]: T.ndjson(
          working,
          calling(call),
          T.pause("1 second"),
          C.run("completed", { id: "r0", user_message_id: "m0" }),
          C.chat({ status: "idle", active_run: null }),
          T.pause("20 seconds"),
          working,
          C.ready("m4", "Here."),
          C.run("completed"),
          C.idle,
          T.silence
        ),
        [getChat]: T.problem(500, "internal"),
        [getMessages]: page()
      },
      hi,
      "1 hour",
      { retry: false }
    )
    assert.propertyVal(result, "text", "Here.")
  })
)

describe("a call that nobody tells of", () => {
  const echo = Tool.make("echo", { description: "", handler: () => Effect.succeed("x") })
  const call = C.invocation("i1", "echo", {})
  const over = [
    C.message("m2", { status: "ready", tool_invocations: [{ ...call, status: "completed", result: "x" }] }),
    C.ready("m4", "Ok."),
    C.run("completed"),
    C.idle
  ]
  const send = Effect.flatMap(Agents.create({ coreApp: "acme/llm", tools: [echo] }), (agent) => agent.sendMessage("hi"))
  const at = (service: T.Service) => service.sent.find(({ route }) => route === "POST /tools/i1")?.at

  it.effect("is found as soon as the stream of a new chat shows that somebody is waited for", () =>
    Effect.gen(function* () {
      const { result, service } = yield* using(
        {
          [streamOf]: T.ndjson(waiting, T.pause("5 seconds"), ...over),
          [getChat]: T.data(C.dataOf(waiting)),
          [getMessages]: page(calling(call)),
          "POST /tools/i1": ok
        },
        send
      )
      assert.propertyVal(result, "text", "Ok.")
      assert.strictEqual(at(service), 0)
    })
  )

  it.effect("is found as soon as there is a connection again", () =>
    Effect.gen(function* () {
      const { result, service } = yield* using(
        {
          [streamOf]: [
            T.ndjson(working, C.message("m2"), T.pause("1 second"), T.broken),
            T.ndjson(T.pause("5 seconds"), ...over)
          ],
          [getChat]: [T.data(C.dataOf(working)), T.data(C.dataOf(waiting))],
          [getMessages]: [page(C.message("m2")), page(calling(call))],
          "POST /tools/i1": ok
        },
        send,
        "10 minutes",
        { retry: { baseDelay: "1 second", maxDelay: "1 second" } }
      )
      assert.propertyVal(result, "text", "Ok.")
      assert.isAtMost(at(service) ?? Number.POSITIVE_INFINITY, 2000)
    })
  )
})

it.effect("a call is answered even if schemas throw, or the result has no JSON", () =>
  Effect.gen(function* () {
    const AsUrl = Schema.transform(Schema.String, Schema.instanceOf(URL), {
      strict: true,
      decode: (text) => new URL(text),
      encode: () => {
        throw new Error("no way back")
      }
    }).annotations({ jsonSchema: { type: "string" } })
    const site = new URL("https://x.test")
    const tools = [
      Tool.make("decode", { description: "", params: { url: AsUrl }, handler: () => Effect.succeed("ok") }),
      Tool.make("encode", { description: "", output: AsUrl, handler: () => Effect.succeed(site) }),
      Tool.make("toJSON", {
        description: "",
        handler: () =>
          Effect.succeed({
            toJSON: () => {
              throw new Error("no JSON")
            }
          })
      })
    ]
    for (const [name, args, failure, why] of [
      ["decode", { url: "no url" }, "InvalidArguments", "Invalid URL"],
      ["encode", {}, "InvalidResult", "no way back"],
      ["toJSON", {}, "InvalidResult", "no JSON"]
    ] as const) {
      const { result, service } = yield* using(
        {
          [streamOf]: T.ndjson(
            working,
            calling(C.invocation("i1", name, args)),
            T.pause("1 second"),
            C.ready("m4", "Ok."),
            C.run("completed"),
            C.idle
          ),
          "POST /tools/i1": ok
        },
        Effect.flatMap(Agents.create({ coreApp: "acme/llm", tools }), (agent) => T.record(agent.chat("hi")))
      )
      assert.include(submitted(service, "i1")[0], why)
      const told = result?.items.find((event) => event._tag === "ToolResult")
      assert.strictEqual(told?.failure?._tag, failure)
    }
  })
)

describe("a call whose turn comes to an end", () => {
  it.effect("is left to the next turn if its handler had not begun", () =>
    Effect.gen(function* () {
      const slow = Tool.make("slow", { description: "", handler: () => Effect.as(Effect.sleep("1 hour"), "slowly") })
      const quick = Tool.make("quick", { description: "", handler: () => Effect.succeed("quickly") })
      const calls = [C.invocation("i1", "slow", {}), C.invocation("i2", "quick", {})]
      const { service } = yield* using(
        {
          [post]: [
            T.data(C.posted()),
            T.data({
              user_message: C.userMessage("again", { id: "m5", order: 5, agent_run_id: "r2" }),
              assistant_message: C.dataOf(C.message("m6", { agent_run_id: "r2" }))
            })
          ],
          [streamOf]: [
            T.ndjson(working, calling(...calls), T.silence),
            T.ndjson(
              C.chat(),
              calling(...calls),
              T.pause("5 seconds"),
              C.ready("m6", "Ok.", { agent_run_id: "r2" }),
              C.run("completed", { id: "r2", user_message_id: "m5" }),
              T.silence
            )
          ],
          "POST /tools/i1": ok,
          "POST /tools/i2": ok
        },
        Effect.flatMap(Agents.create({ coreApp: "acme/llm", tools: [slow, quick] }, { toolConcurrency: 1 }), (agent) =>
          Effect.zipRight(Effect.timeoutOption(agent.sendMessage("hi"), "10 seconds"), agent.sendMessage("again"))
        )
      )
      assert.deepStrictEqual(submitted(service, "i1"), ['{"error":"the call was interrupted"}'])
      assert.deepStrictEqual(submitted(service, "i2"), ["quickly"])
    })
  )

  it.effect("does not hold it up, whatever its handler does", () =>
    Effect.gen(function* () {
      let wasInterrupted = false
      const ask = Tool.make("ask", {
        description: "",
        handler: () => Effect.onInterrupt(Effect.never, () => Effect.sync(() => (wasInterrupted = true)))
      })
      const { result } = yield* using(
        {
          [streamOf]: T.ndjson(
            working,
            calling(C.invocation("i1", "ask", {})),
            T.pause("5 seconds"),
            C.ready("m4", "Never mind."),
            C.run("completed"),
            C.idle,
            T.silence
          )
        },
        Effect.flatMap(Agents.create({ coreApp: "acme/llm", tools: [ask] }), (agent) => agent.sendMessage("hi"))
      )
      assert.propertyVal(result, "text", "Never mind.")
      assert.isTrue(wasInterrupted)
    })
  )
})

it.effect("a reply that cannot be read is told of, and the turn that it began is stopped", () =>
  Effect.gen(function* () {
    const { error, service } = yield* using(
      {
        [post]: T.data({ user_message: { id: "m1", chat_id: "c1", order: "one" } }),
        [streamOf]: T.ndjson(C.idle, T.silence)
      },
      hi
    )
    assert.propertyVal(error, "_tag", "DecodeError")
    assert.strictEqual(service.count(stop), 1)
  })
)

it.effect("a chat may be named by its short id", () =>
  Effect.gen(function* () {
    const { result, service } = yield* using(
      {
        "GET /chats/short/stream": T.ndjson(
          C.chat({ short_id: "short", status: "idle" }),
          T.pause("1 second"),
          ...simple,
          T.silence
        )
      },
      Effect.flatMap(Agents.create("acme/x", { chatId: "short" }), (agent) => agent.sendMessage("hi"))
    )
    assert.propertyVal(result, "text", "Hello.")
    assert.deepStrictEqual(routes(service), ["GET /chats/short/stream", post])
    const observed = yield* using(
      {
        "GET /chats/short/stream": T.ndjson(C.chat({ short_id: "short" }), C.ready("m2", "Hello."), T.silence),
        "GET /chats/short": T.data({ id: "c1", short_id: "short", status: "busy" }),
        "GET /chats/short/messages?limit=100": page()
      },
      Stream.runHead(Agents.streamMessages("short"))
    )
    assert.strictEqual(observed.result?._tag, "Some")
  })
)

it.effect("who observes a chat asks for no messages of it", () =>
  Effect.gen(function* () {
    for (const transport of ["stream", "poll"] as const) {
      const service = T.service(
        { [getChat]: T.data(C.dataOf(working)), [streamOf]: T.ndjson(working, C.message("m2"), T.heartbeats()) },
        { transport }
      )
      const fiber = yield* Effect.fork(Effect.provide(Stream.runDrain(Agents.streamChat("c1")), service.layer))
      yield* TestClock.adjust("5 minutes")
      yield* Fiber.interrupt(fiber)
      assert.isAbove(service.count(getChat), 0)
      assert.strictEqual(service.count(getMessages), 0)
    }
  })
)
