/** What agents call on a server: tools of the client, apps, other agents, and what ends a turn. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as TestClock from "effect/TestClock"
import * as App from "effect-inferencesh/App"
import * as BaseApp from "effect-inferencesh/BaseApp"
import * as Agents from "./support/agents.js"
import { get, type Json, post, task } from "./support/wire.js"

/** The calls of the first answer, and their results. */
const called = (chatId: string) =>
  Effect.map(
    Agents.messages(chatId),
    (all) => all.find(({ tool_invocations }) => tool_invocations !== null)?.tool_invocations as ReadonlyArray<Json>
  )

const results = (chatId: string) =>
  Effect.map(called(chatId), (all) => all.map(({ status, result }) => [status, result]))

const once = (...toolCalls: ReadonlyArray<unknown>) => Agents.scripted(Agents.calls(...toolCalls), Agents.says("Done."))

describe("a tool of the client", () => {
  it.scoped("can be called fifty times at once", () => {
    const all = Array.from({ length: 50 }, (_, i) => Agents.call("square", { x: i }, `call_${i}`))
    const model = once(...all)
    return Effect.gen(function* () {
      const { chatId } = yield* Agents.say("go", Agents.config({ tools: [Agents.clientTool("square")] }))
      const seen = yield* Agents.follow(chatId)
      const waiting = yield* Agents.untilPending(chatId, 50)
      yield* Effect.forEach(
        [...waiting].reverse(),
        ({ id, function: fn }) => post(`/tools/${id}`, { result: String(fn.arguments.x ** 2) }),
        { concurrency: "unbounded" }
      )
      yield* Agents.untilIdle(chatId)
      const tools = (yield* Agents.messages(chatId)).filter(({ role }) => role === "tool")
      assert.deepStrictEqual(
        tools.map((message) => [message.tool_call_id, Agents.textOf(message)]),
        all.map(({ id, function: fn }) => [id, String((fn.arguments as Json).x ** 2)])
      )
      assert.strictEqual(model.inputs.length, 2)
      assert.strictEqual(model.inputs[1].context.length, 51)
      const states = seen.filter(({ event }) => event === "agent_runs").map(({ data }) => data.state)
      assert.deepStrictEqual(states.filter((state, i) => state !== states[i - 1]).slice(-3), [
        "input_required",
        "working",
        "completed"
      ])
    }).pipe(Effect.provide(Agents.serve([model.app])))
  })

  it.effect("takes one result, a text, for as long as its run waits", () => {
    const model = once(Agents.call("look", {}))
    return Effect.gen(function* () {
      const { chatId } = yield* Agents.say("go", Agents.config({ tools: [Agents.clientTool("look")] }))
      const [{ id }] = yield* Agents.untilPending(chatId)
      const answer = (result: unknown) => Effect.map(post(`/tools/${id}`, { result }), ({ status }) => status)
      assert.strictEqual(yield* answer({ action: {} }), 400)
      assert.strictEqual(yield* answer(undefined), 400)
      assert.strictEqual((yield* post("/tools/none", { result: "" })).status, 404)
      assert.strictEqual((yield* post(`/tools/${id}/invoke`)).status, 409)
      assert.strictEqual(yield* answer("one"), 200)
      assert.strictEqual(yield* answer("two"), 409)
      yield* Agents.untilIdle(chatId)
      assert.strictEqual(yield* answer("three"), 409)
      assert.deepStrictEqual(yield* results(chatId), [["completed", "one"]])
    }).pipe(Effect.provide(Agents.serve([model.app])))
  })

  it.effect("is seen as answered as soon as it is", () => {
    const model = once(Agents.call("look", {}, "a"), Agents.call("look", {}, "b"))
    return Effect.gen(function* () {
      const { chatId } = yield* Agents.say("go", Agents.config({ tools: [Agents.clientTool("look")] }))
      const [a, b] = yield* Agents.untilPending(chatId, 2)
      assert.strictEqual((yield* Agents.chat(chatId)).active_run.interrupt_tool_id, a.id)
      yield* post(`/tools/${a.id}`, { result: "" })
      assert.deepStrictEqual(
        (yield* called(chatId)).map(({ status }) => status),
        ["completed", "in_progress"]
      )
      const { status, active_run } = yield* Agents.chat(chatId)
      assert.deepStrictEqual(
        [status, active_run.state, active_run.interrupt_tool_id],
        ["awaiting_input", "input_required", b.id]
      )
    }).pipe(Effect.provide(Agents.serve([model.app])))
  })
})

describe("a call that cannot be made", () => {
  it.effect("fails for the model to see", () => {
    const model = once(
      Agents.call("nothing", {}, "a"),
      Agents.call("look", "no JSON", "b"),
      Agents.call("look", "[1]", "c"),
      Agents.call("__proto__", {}, "d"),
      { function: {} }
    )
    return Effect.gen(function* () {
      const { chatId } = yield* Agents.say("go", Agents.config({ tools: [Agents.clientTool("look")] }))
      yield* Agents.untilIdle(chatId)
      assert.deepStrictEqual(yield* results(chatId), [
        ["failed", '{"error":"there is no tool \\"nothing\\""}'],
        ["failed", '{"error":"the arguments are no JSON object: no JSON"}'],
        ["failed", '{"error":"the arguments are no JSON object: [1]"}'],
        ["failed", '{"error":"there is no tool \\"__proto__\\""}'],
        ["failed", '{"error":"there is no tool \\"\\""}']
      ])
      const { context, text, tool_call_id } = model.inputs[1]
      assert.deepStrictEqual(
        context.slice(2).map((message: Json) => message.tool_call_id),
        ["a", "b", "c", "d"]
      )
      assert.include(text, "there is no tool")
      assert.strictEqual(tool_call_id, context[1].tool_calls[4].id)
      assert.match(tool_call_id, /^call_/)
    }).pipe(Effect.provide(Agents.serve([model.app])))
  })

  it.effect("is one that this server does not make", () => {
    const types = ["http", "call", "hook", "mcp", "internal"]
    const model = once(...types.map((type) => Agents.call(type, {}, type)))
    return Effect.gen(function* () {
      const tools = types.map((type) => ({ name: type, description: "", type, [type]: { url: "https://x.test/" } }))
      const { chatId } = yield* Agents.say("go", Agents.config({ tools }))
      yield* Agents.untilIdle(chatId)
      assert.deepStrictEqual(
        yield* results(chatId),
        types.map((type) => ["failed", JSON.stringify({ error: `this server makes no calls of type "${type}"` })])
      )
    }).pipe(Effect.provide(Agents.serve([model.app])))
  })
})

describe("a tool that is an app", () => {
  const tools = [
    Agents.appTool("add", { ref: "acme/arithmetic", function: "add", input: { a: 1 } }),
    Agents.appTool("shout", { ref: "acme/echo", input: { times: 2 } }, { display_name: "Shout", description: "Loud" }),
    Agents.appTool("fail", { ref: "acme/failing" }),
    Agents.appTool("ask", { ref: "acme/oracle", setup: { name: "large" } })
  ]
  const oracle = BaseApp.make(
    App.make("acme/oracle", {
      input: { question: Schema.String },
      output: Schema.String,
      setup: { name: Schema.String },
      description: "Knows all"
    }),
    { setup: (setup) => Effect.succeed(setup), run: ({ question }, { name }) => Effect.succeed(`${name}: ${question}`) }
  )

  it.effect("is run as a task, and its output is the result", () => {
    const model = once(
      Agents.call("add", { b: 2 }, "a"),
      Agents.call("shout", { text: "hi", times: 3 }, "b"),
      Agents.call("fail", { message: "no luck" }, "c"),
      Agents.call("ask", { question: "why" }, "d"),
      Agents.call("add", { b: "two" }, "e")
    )
    return Effect.gen(function* () {
      const { chatId } = yield* Agents.say("go", Agents.config({ tools }))
      yield* Agents.untilIdle(chatId)
      const all = yield* called(chatId)
      assert.deepStrictEqual(
        all.map(({ status, result }) => [status, result]),
        [
          ["completed", '{"sum":3}'],
          ["completed", '{"text":"hihihi"}'],
          ["failed", '{"error":"no luck"}'],
          ["completed", "large: why"],
          ["failed", '{"error":"the input does not fit acme/arithmetic: input.b Expected number"}']
        ]
      )
      assert.deepStrictEqual(
        all.map(({ display_name }) => display_name),
        [null, "Shout", null, null, null]
      )
      const { app_id, chat_id, input } = yield* task(all[0].execution_id)
      assert.deepStrictEqual([app_id, chat_id, input], ["acme/arithmetic", chatId, { a: 1, b: 2 }])
      assert.isNull(all[4].execution_id)
    }).pipe(Effect.provide(Agents.serve([model.app, oracle])))
  })

  it.effect("is told of with what is left for the model to say", () => {
    const model = Agents.scripted()
    return Effect.gen(function* () {
      const { chatId } = yield* Agents.say("go", Agents.config({ tools }))
      yield* Agents.untilIdle(chatId)
      const [add, shout, , ask] = model.inputs[0].tools.map((tool: Json) => tool.function)
      assert.deepStrictEqual(add.parameters, {
        type: "object",
        required: ["b"],
        properties: { b: { type: "number" } }
      })
      assert.deepStrictEqual(shout.parameters, {
        type: "object",
        required: ["text"],
        properties: { text: { type: "string" } }
      })
      assert.deepStrictEqual([shout.description, ask.description], ["Loud", "Knows all"])
    }).pipe(Effect.provide(Agents.serve([model.app, oracle])))
  })
})

describe("a tool that wants approval", () => {
  const tools = [
    Agents.appTool("shout", { ref: "acme/echo" }, { require_approval: true }),
    Agents.clientTool("look", { require_approval: true })
  ]
  const shout = (text: string, id = "call_1") => Agents.call("shout", { text }, id)

  it.scoped("is called once it has it", () => {
    const model = once(shout("hi"))
    return Effect.gen(function* () {
      const { chatId } = yield* Agents.say("go", Agents.config({ tools }))
      const seen = yield* Agents.follow(chatId)
      const [invocation] = yield* Agents.untilPending(chatId)
      assert.strictEqual(invocation.status, "awaiting_approval")
      const waiting = yield* Agents.chat(chatId)
      assert.strictEqual(waiting.status, "awaiting_input")
      assert.deepStrictEqual(
        [waiting.active_run.state, waiting.active_run.interrupt_reason, waiting.active_run.interrupt_tool_id],
        ["input_required", "tool_approval", invocation.id]
      )
      const [interrupt] = waiting.pending_interrupts
      assert.deepStrictEqual(
        [interrupt.reason, interrupt.resource_type, interrupt.resource_id, interrupt.status, interrupt.run_id],
        ["tool_approval", "tool_invocation", invocation.id, "pending", waiting.active_run.id]
      )
      assert.deepStrictEqual(interrupt.meta, {
        tool_invocation_id: invocation.id,
        tool_name: "shout",
        arguments: { text: "hi" }
      })
      assert.strictEqual((yield* post(`/tools/${invocation.id}`, { result: "no" })).status, 409)
      assert.strictEqual((yield* post(`/tools/${invocation.id}/invoke`)).status, 200)
      assert.strictEqual((yield* post(`/tools/${invocation.id}/invoke`)).status, 409)
      assert.strictEqual((yield* post(`/interrupts/${interrupt.id}/resolve`, { decision: "deny" })).status, 409)
      const done = yield* Agents.untilIdle(chatId)
      assert.deepStrictEqual(done.pending_interrupts, [])
      assert.deepStrictEqual(yield* results(chatId), [["completed", '{"text":"hi"}']])
      const [resolved] = (yield* get(`/agent-runs/${done.active_run.id}/interrupts`)).data
      assert.deepStrictEqual([resolved.id, resolved.status, resolved.resolution], [interrupt.id, "resolved", "allow"])
      const chats = seen.filter(({ event }) => event === "chats").map(({ data }) => data.pending_interrupts.length)
      assert.deepStrictEqual(
        chats.filter((count, i) => count !== chats[i - 1]),
        [0, 1, 0]
      )
    }).pipe(Effect.provide(Agents.serve([model.app])))
  })

  it.effect("is not called where that is refused, and the model hears why", () => {
    const model = once(shout("a", "a"), shout("b", "b"))
    return Effect.gen(function* () {
      const { chatId } = yield* Agents.say("go", Agents.config({ tools }))
      const [a, b] = yield* Agents.untilPending(chatId, 2)
      const { pending_interrupts } = yield* Agents.chat(chatId)
      assert.strictEqual(pending_interrupts.length, 2)
      assert.strictEqual((yield* post(`/tools/${a.id}/reject`, { reason: "too loud" })).status, 200)
      const second = pending_interrupts.find(({ resource_id }: Json) => resource_id === b.id)
      const wrong = yield* post(`/interrupts/${second.id}/resolve`, { decision: "maybe" })
      assert.strictEqual(wrong.json.errors[0].field, "decision")
      const resolved = yield* post(`/interrupts/${second.id}/resolve`, { decision: "deny" })
      assert.deepStrictEqual([resolved.data.status, resolved.data.resolution], ["resolved", "deny"])
      yield* Agents.untilIdle(chatId)
      assert.deepStrictEqual(yield* results(chatId), [
        ["cancelled", '{"status":"rejected","reason":"too loud"}'],
        ["cancelled", '{"status":"rejected"}']
      ])
      assert.strictEqual(model.inputs[1].context.at(-1).text, '{"status":"rejected","reason":"too loud"}')
      assert.strictEqual((yield* post("/interrupts/none/resolve", { decision: "allow" })).status, 404)
      assert.strictEqual((yield* get("/agent-runs/none/interrupts")).status, 404)
    }).pipe(Effect.provide(Agents.serve([model.app])))
  })

  it.effect("waits for its client after it has it", () => {
    const model = once(Agents.call("look", {}))
    return Effect.gen(function* () {
      const { chatId } = yield* Agents.say("go", Agents.config({ tools }))
      const [{ id }] = yield* Agents.untilPending(chatId)
      yield* post(`/tools/${id}/invoke`)
      assert.strictEqual((yield* Agents.chat(chatId)).active_run.interrupt_reason, "client_tool")
      assert.strictEqual((yield* post(`/tools/${id}`, { result: "seen" })).status, 200)
      yield* Agents.untilIdle(chatId)
      assert.deepStrictEqual(yield* results(chatId), [["completed", "seen"]])
    }).pipe(Effect.provide(Agents.serve([model.app])))
  })

  for (const [form, body] of [
    ["by its name", { tool_name: "shout" }],
    ["by an option", { option: "shout" }],
    ["by nothing more", {}]
  ] as const) {
    it.effect(`needs it no more once it is always allowed ${form}`, () => {
      const model = Agents.scripted(
        Agents.calls(shout("a")),
        Agents.calls(shout("b")),
        Agents.says("Done."),
        Agents.calls(shout("c")),
        Agents.says("Done."),
        Agents.calls(shout("d"))
      )
      return Effect.gen(function* () {
        const { chatId } = yield* Agents.say("go", Agents.config({ tools }))
        const [{ id }] = yield* Agents.untilPending(chatId)
        const path = `/chats/${chatId}/tools/${id}/always-allow`
        assert.deepStrictEqual((yield* get(`${path}/options`)).data, ["shout"])
        assert.strictEqual((yield* post(path, { option: "whisper" })).status, 409)
        assert.strictEqual((yield* post(`/chats/none/tools/${id}/always-allow`, body)).status, 404)
        assert.strictEqual((yield* post(path, body)).status, 200)
        assert.strictEqual((yield* post(path, body)).status, 200)
        const done = yield* Agents.untilIdle(chatId)
        assert.deepStrictEqual(done.agent_data.always_allowed_tools, ["shout"])
        assert.strictEqual(model.inputs.length, 3)
        yield* Agents.say("again", Agents.config({ tools }), chatId)
        assert.strictEqual((yield* Agents.untilIdle(chatId)).active_run.state, "completed")
        const other = yield* Agents.say("go", Agents.config({ tools }))
        assert.strictEqual((yield* Agents.untilPending(other.chatId))[0].status, "awaiting_approval")
      }).pipe(Effect.provide(Agents.serve([model.app])))
    })
  }

  it.effect("needs none in a chat that allows all tools", () => {
    const model = Agents.scripted(Agents.says("Hi."), Agents.calls(shout("a")))
    return Effect.gen(function* () {
      const { chatId } = yield* Agents.say("hi", Agents.config({ tools }))
      yield* Agents.untilIdle(chatId)
      assert.strictEqual((yield* post(`/chats/${chatId}/settings`, { allow_all_tools: true })).status, 200)
      yield* Agents.say("go", Agents.config({ tools }), chatId)
      assert.strictEqual((yield* Agents.untilIdle(chatId)).active_run.state, "completed")
    }).pipe(Effect.provide(Agents.serve([model.app])))
  })

  it.effect("is called at once where it is allowed while it waits", () => {
    const model = Agents.scripted(
      Agents.calls(shout("a", "a"), shout("b", "b"), Agents.call("look", {}, "c")),
      Agents.says("Done."),
      Agents.calls(shout("d", "d"), shout("e", "e"))
    )
    return Effect.gen(function* () {
      const { chatId } = yield* Agents.say("go", Agents.config({ tools }))
      const [a, b] = yield* Agents.untilPending(chatId, 3)
      assert.strictEqual((yield* post(`/chats/${chatId}/tools/${a.id}/always-allow`)).status, 200)
      const [look] = yield* Agents.untilPending(chatId, 1)
      assert.deepStrictEqual([look.function.name, look.status], ["look", "awaiting_approval"])
      assert.strictEqual((yield* Agents.chat(chatId)).pending_interrupts.length, 1)
      yield* post(`/chats/${chatId}/settings`, { allow_all_tools: true })
      assert.strictEqual((yield* Agents.chat(chatId)).active_run.interrupt_reason, "client_tool")
      yield* post(`/tools/${look.id}`, { result: "seen" })
      const { active_run } = yield* Agents.untilIdle(chatId)
      assert.deepStrictEqual(yield* results(chatId), [
        ["completed", '{"text":"a"}'],
        ["completed", '{"text":"b"}'],
        ["completed", "seen"]
      ])
      // A client that was still about to decide may say the same, even late, but nothing else.
      assert.strictEqual((yield* post(`/tools/${b.id}/invoke`)).status, 200)
      assert.strictEqual((yield* post(`/chats/${chatId}/tools/${b.id}/always-allow`)).status, 200)
      assert.strictEqual((yield* post(`/tools/${b.id}/reject`)).status, 409)
      const interrupts = (yield* get(`/agent-runs/${active_run.id}/interrupts`)).data
      assert.deepStrictEqual(
        interrupts.map(({ status, resolution }: Json) => [status, resolution]),
        Array.from({ length: 3 }, () => ["resolved", "allow"])
      )
    }).pipe(Effect.provide(Agents.serve([model.app])))
  })
})

describe("finish", () => {
  const schema = { type: "object", properties: { sum: { type: "number" } }, required: ["sum"] }
  const agent = Agents.config({ internal_tools: { finish: true }, output_schema: schema })

  it.scoped("ends the turn with its arguments", () => {
    const model = Agents.scripted(Agents.calls(Agents.call("finish", { sum: 3 })), Agents.says("Nothing."))
    return Effect.gen(function* () {
      const { chatId } = yield* Agents.say("1+2?", agent)
      const done = yield* Agents.untilIdle(chatId)
      assert.deepStrictEqual([done.output, done.active_run.output], [{ sum: 3 }, { sum: 3 }])
      assert.strictEqual(done.active_run.state, "completed")
      assert.strictEqual(model.inputs.length, 1)
      const [tool] = model.inputs[0].tools
      assert.deepStrictEqual([tool.function.name, tool.function.parameters], ["finish", schema])
      assert.deepStrictEqual(
        (yield* called(chatId)).map(({ type, status }) => [type, status]),
        [["internal", "completed"]]
      )
      const seen = yield* Agents.follow(chatId)
      yield* Agents.say("and?", agent, chatId)
      const next = yield* Agents.untilIdle(chatId)
      assert.deepStrictEqual([next.output, next.active_run.output], [null, null])
      yield* Agents.untilSeen(seen, ({ data }) => data.status === "idle" && data.output === null)
      const outputs = seen.filter(({ event }) => event === "chats").map(({ data }) => [data.status, data.output])
      assert.deepStrictEqual(outputs[0], ["idle", { sum: 3 }])
      assert.isTrue(outputs.slice(1).every(([, output]) => output === null))
    }).pipe(Effect.provide(Agents.serve([model.app])))
  })

  it.effect("goes on where its arguments do not fit the schema, and the model hears why", () => {
    const model = Agents.scripted(
      Agents.calls(Agents.call("finish", {})),
      Agents.calls(Agents.call("finish", '{"sum":"three"}')),
      Agents.calls(Agents.call("finish", { sum: 3 }))
    )
    return Effect.gen(function* () {
      const { chatId } = yield* Agents.say("1+2?", agent)
      const done = yield* Agents.untilIdle(chatId)
      assert.deepStrictEqual([done.active_run.state, done.output], ["completed", { sum: 3 }])
      assert.deepStrictEqual(yield* results(chatId), [
        ["failed", '{"error":"the arguments do not fit the schema: sum is missing"}']
      ])
      assert.strictEqual(model.inputs[2].text, '{"error":"the arguments do not fit the schema: sum: expected number"}')
    }).pipe(Effect.provide(Agents.serve([model.app])))
  })

  it.effect("waits for the other calls of its message", () => {
    const model = Agents.scripted(Agents.calls(Agents.call("look", {}, "a"), Agents.call("finish", { sum: 1 }, "b")))
    return Effect.gen(function* () {
      const { chatId } = yield* Agents.say("go", { ...agent, tools: [Agents.clientTool("look")] })
      const [{ id }] = yield* Agents.untilPending(chatId)
      yield* post(`/tools/${id}`, { result: "seen" })
      assert.deepStrictEqual((yield* Agents.untilIdle(chatId)).output, { sum: 1 })
      const tools = (yield* Agents.messages(chatId)).filter(({ role }) => role === "tool")
      assert.deepStrictEqual(
        tools.map(({ tool_call_id }) => tool_call_id),
        ["a", "b"]
      )
    }).pipe(Effect.provide(Agents.serve([model.app])))
  })

  it.effect("is there where it is asked for, and told of", () => {
    const model = Agents.scripted(
      Agents.calls(Agents.call("finish", { sum: 3 })),
      Agents.says("So be it."),
      Agents.calls(Agents.call("finish", "not JSON")),
      Agents.calls(Agents.call("finish", "{}"))
    )
    return Effect.gen(function* () {
      const { chatId } = yield* Agents.say("1+2?", Agents.config({ output_schema: schema }))
      assert.isNull((yield* Agents.untilIdle(chatId)).output)
      assert.notProperty(model.inputs[0], "tools")
      yield* Agents.say("open", Agents.config({ internal_tools: { finish: true } }), chatId)
      assert.deepStrictEqual((yield* Agents.untilIdle(chatId)).output, {})
      assert.deepStrictEqual(model.inputs[2].tools[0].function.parameters, {
        type: "object",
        properties: {},
        required: []
      })
      assert.strictEqual(model.inputs.length, 4)
      const [told] = (yield* get("/agents/internal-tools")).data
      assert.deepStrictEqual([told.id, told.tools, told.default_enabled], ["finish", ["finish"], false])
    }).pipe(Effect.provide(Agents.serve([model.app])))
  })
})

describe("an agent that is a tool", () => {
  const template = (name: string, version: Json) => post("/agents", { namespace: "acme", name, version })
  const research = { name: "research", description: "", type: "agent", agent: { ref: "acme/researcher" } }

  /** An agent's model that calls a tool which asks for approval. */
  const makeShouter = () =>
    Agents.makeModel(
      ({ role }) => (role === "tool" ? Agents.says("Shouted.") : Agents.calls(Agents.call("shout", { text: "hi" }))),
      "acme/sub"
    )

  /** A chat whose agent has such a tool too, beside one that uses the other agent, and how to wait for so many questions in it. */
  const withShouters = Effect.gen(function* () {
    const tools = [Agents.appTool("shout", { ref: "acme/echo" }, { require_approval: true })]
    yield* template("researcher", { core_app: { ref: "acme/sub" }, tools })
    const { chatId } = yield* Agents.say("go", Agents.config({ tools: [research, ...tools] }))
    const asks = (count: number) =>
      Agents.until(Agents.chat(chatId), ({ pending_interrupts }) => pending_interrupts.length === count)
    return { chatId, asks }
  })

  it.effect("answers in a chat of its own", () => {
    const model = once(Agents.call("research", { message: "cats" }, "a"), Agents.call("research", {}, "b"))
    const sub = Agents.makeModel((input) => Agents.says(`all about ${input.text}`), "acme/sub")
    return Effect.gen(function* () {
      yield* template("researcher", { core_app: { ref: "acme/sub" }, system_prompt: "Search." })
      const { chatId } = yield* Agents.say("go", Agents.config({ tools: [research] }))
      yield* Agents.untilIdle(chatId)
      assert.deepStrictEqual(yield* results(chatId), [
        ["completed", "all about cats"],
        ["failed", '{"error":"message: expected a text"}']
      ])
      const child = yield* Agents.chat((yield* called(chatId))[0].execution_id)
      assert.deepStrictEqual([child.parent_id, child.status, child.name], [chatId, "idle", "researcher"])
      assert.strictEqual(sub.inputs[0].system_prompt, "Search.")
      assert.deepStrictEqual(
        model.inputs[0].tools.map((tool: Json) => tool.function.parameters.required),
        [["message"]]
      )
      yield* post(`/chats/${chatId}/stop`)
    }).pipe(Effect.provide(Agents.serve([model.app, sub.app])))
  })

  it.effect("gives its output where it has one, and its failure where it fails", () => {
    const model = once(...["a", "b", "c"].map((id) => Agents.call("research", { message: id }, id)))
    const sub = Agents.makeModel(
      ({ text }) =>
        text === "a"
          ? Agents.calls(Agents.call("finish", { found: 1 }))
          : text === "b"
            ? Effect.fail({ message: "nothing found" })
            : Agents.calls(Agents.call("finish", {}, "z")),
      "acme/sub"
    )
    return Effect.gen(function* () {
      yield* template("researcher", { core_app: { ref: "acme/sub" }, internal_tools: { finish: true } })
      const { chatId } = yield* Agents.say("go", Agents.config({ tools: [research] }))
      yield* Agents.untilIdle(chatId)
      assert.deepStrictEqual(yield* results(chatId), [
        ["completed", '{"found":1}'],
        ["failed", '{"error":"nothing found"}'],
        ["completed", "{}"]
      ])
    }).pipe(Effect.provide(Agents.serve([model.app, sub.app])))
  })

  it.effect("has no client", () => {
    const model = once(Agents.call("research", { message: "x" }))
    const sub = Agents.makeModel(
      ({ role, text }) => (role === "tool" ? Agents.says(text) : Agents.calls(Agents.call("look", {}))),
      "acme/sub"
    )
    return Effect.gen(function* () {
      yield* template("researcher", { core_app: { ref: "acme/sub" }, tools: [Agents.clientTool("look")] })
      const { chatId } = yield* Agents.say("go", Agents.config({ tools: [research] }))
      yield* Agents.untilIdle(chatId)
      const [[, result]] = (yield* results(chatId)) as [[string, string]]
      assert.strictEqual(JSON.parse(result).status, "not_available")
    }).pipe(Effect.provide(Agents.serve([model.app, sub.app])))
  })

  it.scoped("asks for approvals where its caller is watched", () => {
    const model = once(Agents.call("research", { message: "x" }))
    const sub = Agents.scriptedAs(
      "acme/sub",
      Agents.calls(Agents.call("shout", { text: "hi" })),
      Agents.says("Shouted.")
    )
    return Effect.gen(function* () {
      const tools = [Agents.appTool("shout", { ref: "acme/echo" }, { require_approval: true })]
      yield* template("researcher", { core_app: { ref: "acme/sub" }, tools })
      const { chatId } = yield* Agents.say("go", Agents.config({ tools: [research] }))
      const waiting = yield* Agents.until(Agents.chat(chatId), ({ status }) => status === "awaiting_input")
      const [interrupt] = waiting.pending_interrupts
      const [{ execution_id }] = yield* called(chatId)
      assert.strictEqual(interrupt.chat_id, execution_id)
      assert.strictEqual(waiting.active_run.interrupt_tool_id, interrupt.resource_id)
      yield* post(`/interrupts/${interrupt.id}/resolve`, { decision: "allow" })
      const done = yield* Agents.untilIdle(chatId)
      assert.deepStrictEqual(done.pending_interrupts, [])
      assert.deepStrictEqual(yield* results(chatId), [["completed", "Shouted."]])
    }).pipe(Effect.provide(Agents.serve([model.app, sub.app])))
  })

  for (const of of ["its own chat", "the chat that it works for"] as const) {
    it.effect(`asks no more for a tool that is always allowed in ${of}`, () => {
      const model = Agents.scripted(
        Agents.calls(Agents.call("research", { message: "x" })),
        Agents.calls(Agents.call("research", { message: "y" })),
        Agents.says("Done.")
      )
      const sub = makeShouter()
      return Effect.gen(function* () {
        const tools = [Agents.appTool("shout", { ref: "acme/echo" }, { require_approval: true })]
        yield* template("researcher", { core_app: { ref: "acme/sub" }, tools })
        const { chatId } = yield* Agents.say("go", Agents.config({ tools: [research] }))
        const waiting = yield* Agents.until(Agents.chat(chatId), ({ status }) => status === "awaiting_input")
        const [{ chat_id, resource_id }] = waiting.pending_interrupts
        const path = `/chats/${of === "its own chat" ? chat_id : chatId}/tools/${resource_id}/always-allow`
        assert.deepStrictEqual((yield* get(`${path}/options`)).data, ["shout"])
        assert.strictEqual((yield* post(path)).status, 200)
        const done = yield* Agents.untilIdle(chatId)
        assert.strictEqual(done.active_run.state, "completed")
        assert.deepStrictEqual(done.agent_data.always_allowed_tools, ["shout"])
        assert.strictEqual(sub.inputs.length, 4)
        const other = yield* Agents.say("go", Agents.config())
        const wrong = `/chats/${other.chatId}/tools/${resource_id}/always-allow`
        assert.strictEqual((yield* get(`${wrong}/options`)).status, 404)
      }).pipe(Effect.provide(Agents.serve([model.app, sub.app])))
    })
  }

  it.effect("does not allow a tool of another agent that is called the same", () => {
    const model = once(
      Agents.call("research", { message: "x" }, "a"),
      Agents.call("shout", { text: "hi" }, "b"),
      Agents.call("shout", { text: "ho" }, "c")
    )
    const sub = makeShouter()
    return Effect.gen(function* () {
      const { chatId, asks } = yield* withShouters
      const { pending_interrupts } = yield* asks(3)
      const ofSub = pending_interrupts.find(({ chat_id }: Json) => chat_id !== chatId)
      yield* post(`/chats/${chatId}/tools/${ofSub.resource_id}/always-allow`)
      const left = (yield* asks(2)).pending_interrupts
      assert.isTrue(left.every(({ chat_id }: Json) => chat_id === chatId))
      yield* post(`/chats/${chatId}/tools/${left[0].resource_id}/always-allow`)
      yield* asks(0)
      assert.strictEqual((yield* Agents.untilIdle(chatId)).active_run.state, "completed")
    }).pipe(Effect.provide(Agents.serve([model.app, sub.app])))
  })

  it.effect("is let go on by a chat that allows all tools while they wait", () => {
    const model = once(
      Agents.call("research", { message: "x" }, "a"),
      Agents.call("research", { message: "y" }, "b"),
      Agents.call("shout", { text: "hi" }, "c")
    )
    const sub = makeShouter()
    return Effect.gen(function* () {
      const { chatId, asks } = yield* withShouters
      yield* asks(3)
      yield* post(`/chats/${chatId}/settings`, { name: "research" })
      assert.strictEqual((yield* asks(3)).name, "research")
      yield* post(`/chats/${chatId}/settings`, { allow_all_tools: true })
      yield* asks(0)
      const { active_run } = yield* Agents.untilIdle(chatId)
      assert.strictEqual(active_run.state, "completed")
    }).pipe(Effect.provide(Agents.serve([model.app, sub.app])))
  })

  it.effect("cannot use itself without end, nor be one that there is not", () => {
    const model = Agents.makeModel(({ role, text }) =>
      role === "tool" ? Agents.says(text) : Agents.calls(Agents.call("research", { message: "deeper" }))
    )
    return Effect.gen(function* () {
      const { chatId } = yield* Agents.say("go", Agents.config({ tools: [research] }))
      yield* Agents.untilIdle(chatId)
      assert.deepStrictEqual(yield* results(chatId), [["failed", '{"error":"agent acme/researcher not found"}']])
      yield* template("researcher", Agents.config({ tools: [research] }))
      const deep = yield* Agents.say("go", Agents.config({ tools: [research] }))
      yield* Agents.untilIdle(deep.chatId)
      assert.deepStrictEqual(yield* results(deep.chatId), [
        ["completed", '{"error":"more than 8 agents use each other in a row"}']
      ])
      assert.strictEqual((yield* post("/chats/list")).data.total_items, 10)
    }).pipe(Effect.provide(Agents.serve([model.app])))
  })

  it.effect("goes with the chat that it works for", () => {
    const model = once(Agents.call("research", { message: "x" }))
    const sub = Agents.makeModel(() => Effect.never, "acme/sub")
    return Effect.gen(function* () {
      yield* template("researcher", { core_app: { ref: "acme/sub" } })
      const { chatId } = yield* Agents.say("go", Agents.config({ tools: [research] }))
      const [{ execution_id }] = yield* Agents.until(
        Effect.map(called(chatId), (all) => all ?? []),
        ([call]) => call?.execution_id
      )
      yield* TestClock.adjust("1 second")
      yield* post(`/chats/${chatId}/stop`)
      const child = yield* Agents.untilIdle(execution_id)
      assert.strictEqual(child.active_run.state, "canceled")
      const { task_id } = (yield* Agents.messages(execution_id))[1]
      yield* Agents.until(task(task_id), ({ status_text }) => status_text === "cancelled")
    }).pipe(Effect.provide(Agents.serve([model.app, sub.app])))
  })
})
