/** Turns of agents on a server: what is asked of the model, and what becomes of what it says. */
import { assert, describe, it } from "@effect/vitest"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import * as App from "effect-inferencesh/App"
import * as BaseApp from "effect-inferencesh/BaseApp"
import * as Agents from "./support/agents.js"
import { get, type Json, post, task } from "./support/wire.js"

describe("a turn", () => {
  it.scoped("with a client tool goes as the protocol says", () => {
    const model = Agents.scripted(Agents.calls(Agents.call("add", { a: 1, b: 2 })), Agents.words("It is 3."))
    return Effect.gen(function* () {
      const { chatId, user, assistant } = yield* Agents.say(
        "1+2?",
        Agents.config({ tools: [Agents.clientTool("add")] })
      )
      assert.deepStrictEqual([user.order, user.status, user.role], [1, "ready", "user"])
      assert.deepStrictEqual([assistant.order, assistant.status, assistant.role], [2, "pending", "assistant"])
      assert.isNull(assistant.content)
      assert.strictEqual(assistant.agent_run_id, user.agent_run_id)
      const seen = yield* Agents.follow(chatId)
      const [waiting] = yield* Agents.untilPending(chatId)
      assert.strictEqual(waiting.type, "client")
      assert.deepStrictEqual(waiting.function, { name: "add", arguments: { a: 1, b: 2 } })
      const run = (yield* Agents.chat(chatId)).active_run
      assert.strictEqual(run.interrupt_tool_id, waiting.id)
      assert.strictEqual(run.user_message_id, user.id)
      assert.strictEqual((yield* post(`/tools/${waiting.id}`, { result: "3" })).status, 200)
      yield* Agents.untilSeen(seen, ({ event, data }) => event === "chats" && data.status === "idle")
      const story = Agents.briefly(seen)
      // The first of them say what was already there.
      assert.deepStrictEqual(story.slice(story.indexOf("2 assistant ready in_progress")), [
        "2 assistant ready in_progress",
        "run input_required client_tool",
        "chat awaiting_input (input_required)",
        "2 assistant ready completed",
        "run working",
        "chat busy (working)",
        "3 tool ready 3",
        "4 assistant pending",
        "delta 1 It ",
        "delta 2 is ",
        "delta 3 3.",
        "4 assistant ready It is 3.",
        "run completed",
        "chat idle (completed)"
      ])
      const last = seen.findLast(({ event }) => event === "chat_messages")?.data
      assert.deepStrictEqual(last.content, [
        { type: "text", error: null, text: "It is 3.", image: null, file: null, tool_calls: null }
      ])
      const tool = (yield* Agents.messages(chatId))[2]
      assert.deepStrictEqual([tool.role, tool.tool_call_id], ["tool", "call_1"])
      const [item] = (yield* Agents.messages(chatId))[1].content
      assert.deepStrictEqual([item.type, item.tool_calls], ["tool", [Agents.call("add", { a: 1, b: 2 })]])
    }).pipe(Effect.provide(Agents.serve([model.app])))
  })

  it.effect("asks the model with everything that was said, and with the results of its calls", () => {
    const model = Agents.scripted(
      Agents.says("Hello."),
      Effect.succeed({
        response: "I look.",
        reasoning: "hm",
        tool_calls: [Agents.call("look", { x: 1 }, "a"), Agents.call("look", '{"x":2}', "b")]
      }),
      Agents.says("Done.")
    )
    return Effect.gen(function* () {
      const agent = Agents.config({ system_prompt: "Be brief.", tools: [Agents.clientTool("look")] })
      const { chatId } = yield* Agents.say("hi", agent)
      yield* Agents.untilIdle(chatId)
      const tools = [
        {
          type: "function",
          function: {
            name: "look",
            description: "The tool look",
            parameters: { type: "object", properties: { x: { type: "number" } }, required: ["x"] }
          }
        }
      ]
      const common = { system_prompt: "Be brief.", context_size: 0, tools }
      assert.deepStrictEqual(model.inputs[0], { ...common, context: [], role: "user", text: "hi" })
      yield* Agents.say("look", agent, chatId)
      const [a, b] = yield* Agents.untilPending(chatId, 2)
      yield* post(`/tools/${b.id}`, { result: "second" })
      yield* post(`/tools/${a.id}`, { result: "first" })
      yield* Agents.untilIdle(chatId)
      const context = [
        { role: "user", text: "hi" },
        { role: "assistant", text: "Hello." },
        { role: "user", text: "look" },
        {
          role: "assistant",
          text: "I look.",
          reasoning: "hm",
          tool_calls: [Agents.call("look", { x: 1 }, "a"), Agents.call("look", { x: 2 }, "b")]
        },
        { role: "tool", text: "first", tool_call_id: "a" }
      ]
      assert.deepStrictEqual(model.inputs[1], { ...common, context: context.slice(0, 2), role: "user", text: "look" })
      assert.deepStrictEqual(model.inputs[2], {
        ...common,
        context,
        role: "tool",
        text: "second",
        tool_call_id: "b"
      })
      const all = yield* Agents.messages(chatId)
      assert.deepStrictEqual(
        all.map(({ order }) => order),
        [1, 2, 3, 4, 5, 6, 7]
      )
      assert.deepStrictEqual(
        all[3].content.map(({ type }: Json) => type),
        ["reasoning", "text", "tool"]
      )
    }).pipe(Effect.provide(Agents.serve([model.app])))
  })

  it.effect("gives the model its setup, its preset and the caller's settings", () => {
    const setups: Array<unknown> = []
    const inputs: Array<Json> = []
    const app = BaseApp.make(
      App.make("acme/tuned", {
        input: Schema.Unknown,
        output: Schema.Unknown,
        setup: { size: Schema.Literal("small", "large") }
      }),
      {
        setup: (setup) => Effect.sync(() => void setups.push(setup)),
        run: (input) => Effect.sync(() => inputs.push(input)).pipe(Effect.as({ response: "" }))
      }
    )
    return Effect.gen(function* () {
      const core_app = {
        ref: "acme/tuned",
        setup: { size: "large" },
        input: { temperature: 1, top_k: 5, context_size: 4096, system_prompt: "preset" }
      }
      const { data } = yield* Agents.run({
        agent_config: { core_app },
        input: { ...Agents.message("hi"), temperature: 0.5, seed: null, stop: [], reasoning_effort: "low" }
      })
      yield* Agents.untilIdle(data.user_message.chat_id)
      assert.deepStrictEqual(setups, [{ size: "large" }])
      assert.deepStrictEqual(inputs[0], {
        temperature: 0.5,
        top_k: 5,
        reasoning_effort: "low",
        system_prompt: "preset",
        context_size: 4096,
        context: [],
        role: "user",
        text: "hi"
      })
    }).pipe(Effect.provide(Agents.serve([app])))
  })

  it.effect("must call a tool where the caller wants that, but need not go on to", () => {
    const asked = (tool_choice: unknown, agent: Json = {}) => {
      const model = Agents.scripted(Agents.calls(Agents.call("none", {})), Agents.says("Done."))
      return Effect.gen(function* () {
        const { data } = yield* Agents.run({
          agent_config: Agents.config({ tools: [Agents.clientTool("look")], ...agent }),
          input: { ...Agents.message("hi"), tool_choice }
        })
        yield* Agents.untilIdle(data.user_message.chat_id)
        yield* Agents.run({
          chat_id: data.user_message.chat_id,
          agent_config: Agents.config(agent),
          input: { ...Agents.message("again"), tool_choice }
        })
        yield* Agents.untilIdle(data.user_message.chat_id)
        return model.inputs.map((input) => input.tool_choice as unknown)
      }).pipe(Effect.provide(Agents.serve([model.app])))
    }
    const finishes = { internal_tools: { finish: true }, output_schema: { type: "object", properties: {} } }
    return Effect.gen(function* () {
      const auto = { mode: "auto" }
      const look = { mode: "function", name: "look" }
      const finish = { mode: "function", name: "finish" }
      const required = { mode: "required" }
      assert.deepStrictEqual(yield* asked(required), [required, auto, required])
      assert.deepStrictEqual(yield* asked("required"), ["required", auto, "required"])
      assert.deepStrictEqual(yield* asked(look), [look, auto, look])
      assert.deepStrictEqual(yield* asked(auto), [auto, auto, auto])
      assert.deepStrictEqual(yield* asked({ mode: "none" }), [{ mode: "none" }, { mode: "none" }, { mode: "none" }])
      assert.deepStrictEqual(yield* asked(undefined), [undefined, undefined, undefined])
      // Calling `finish` comes to an end.
      assert.deepStrictEqual(yield* asked(required, finishes), [required, required, required])
      assert.deepStrictEqual(yield* asked(finish, finishes), [finish, finish, finish])
      assert.deepStrictEqual(yield* asked(look, finishes), [look, auto, look])
      const preset = { core_app: { ref: "acme/model", input: { tool_choice: required } } }
      assert.deepStrictEqual(yield* asked(undefined, preset), [required, auto, required])
    })
  })

  it.effect("runs on apps with a contract of their own, and takes what they say", () => {
    const strict = BaseApp.make(
      App.make("acme/strict", { input: { text: Schema.String }, output: { response: Schema.String } }),
      { run: ({ text }) => Effect.succeed({ response: text.toUpperCase() }) }
    )
    const odd = Agents.makeModel((input) => Effect.succeed(JSON.parse(input.text)))
    return Effect.gen(function* () {
      const answer = (ref: string, text: string) =>
        Effect.gen(function* () {
          const { chatId } = yield* Agents.say(text, { core_app: { ref } })
          yield* Agents.untilIdle(chatId)
          const last = (yield* Agents.messages(chatId)).at(-1)
          assert.strictEqual(last.status, "ready")
          return last.content
        })
      const text = (text: string) => [{ type: "text", error: null, text, image: null, file: null, tool_calls: null }]
      assert.deepStrictEqual(yield* answer("acme/strict", "hi"), text("HI"))
      assert.deepStrictEqual(yield* answer("acme/model", '"plain"'), text("plain"))
      assert.deepStrictEqual(yield* answer("acme/model", '{"response":"a","extra":{}}'), text("a"))
      for (const nothing of ["null", "3", "[]", "{}", '{"response":null,"tool_calls":null}', '{"tool_calls":[1]}']) {
        assert.deepStrictEqual(yield* answer("acme/model", nothing), [])
      }
    }).pipe(Effect.provide(Agents.serve([strict, odd.app])))
  })

  it.effect("is a task of the server for each answer of the model", () => {
    const model = Agents.scripted(Effect.zipRight(Effect.log("thinking"), Agents.says("Hi")))
    return Effect.gen(function* () {
      const { chatId, assistant } = yield* Agents.say("hi")
      yield* Agents.untilIdle(chatId)
      const message = (yield* Agents.messages(chatId)).at(-1)
      assert.strictEqual(message.id, assistant.id)
      const found = yield* task(message.task_id)
      assert.deepStrictEqual([found.chat_id, found.status_text, found.app_id], [chatId, "completed", "acme/model"])
      assert.strictEqual(found.logs[0].content, "thinking")
      const trace = (yield* get(`/chats/${chatId}/trace`)).data
      assert.deepStrictEqual([trace.total_steps, trace.completed_steps], [1, 1])
      assert.strictEqual(trace.nodes[0].resource_id, message.task_id)
    }).pipe(Effect.provide(Agents.serve([model.app])))
  })

  it.effect("fails with the model, in its words, and leaves no trace in what is asked next", () => {
    const model = Agents.scripted(
      Stream.concat(Agents.words("Let me "), Stream.fail({ message: "out of tokens" })),
      Effect.die(new Error("a defect")),
      Agents.says("Better.")
    )
    return Effect.gen(function* () {
      const { chatId } = yield* Agents.say("one")
      const failed = yield* Agents.untilIdle(chatId)
      assert.deepStrictEqual([failed.active_run.state, failed.active_run.error], ["failed", "out of tokens"])
      const message = (yield* Agents.messages(chatId)).at(-1)
      assert.strictEqual(message.status, "failed")
      assert.deepStrictEqual(
        message.content.map(({ text, error }: Json) => [text, error]),
        [
          ["Let me ", null],
          [null, "out of tokens"]
        ]
      )
      yield* Agents.say("two", Agents.config(), chatId)
      assert.strictEqual((yield* Agents.untilIdle(chatId)).active_run.error, "a defect")
      yield* Agents.say("three", Agents.config(), chatId)
      assert.strictEqual((yield* Agents.untilIdle(chatId)).active_run.state, "completed")
      assert.deepStrictEqual(
        model.inputs[2].context.map(({ text }: Json) => text),
        ["one", "two"]
      )
    }).pipe(Effect.provide(Agents.serve([model.app])))
  })

  it.effect("fails where the model does not take what it is asked", () => {
    const app = BaseApp.make(App.make("acme/picky", { input: { pickle: Schema.Int }, output: {} }), {
      run: () => Effect.succeed({})
    })
    return Effect.gen(function* () {
      const { chatId } = yield* Agents.say("hi", { core_app: { ref: "acme/picky" } })
      const { active_run } = yield* Agents.untilIdle(chatId)
      assert.strictEqual(active_run.state, "failed")
      assert.match(active_run.error, /does not fit acme\/picky: input\.pickle is missing/)
      assert.strictEqual((yield* post("/tasks/list")).data.total_items, 0)
    }).pipe(Effect.provide(Agents.serve([app])))
  })

  it.effect("ends when somebody cancels the task of the model", () => {
    const model = Agents.scripted(Effect.never)
    return Effect.gen(function* () {
      const { chatId } = yield* Agents.say("hi")
      const { task_id } = yield* Agents.until(
        Effect.map(Agents.messages(chatId), (all) => all.at(-1)),
        (message) => message.task_id !== null
      )
      yield* post(`/tasks/${task_id}/cancel`)
      assert.strictEqual((yield* Agents.untilIdle(chatId)).active_run.state, "canceled")
      assert.strictEqual((yield* Agents.messages(chatId)).at(-1).status, "cancelled")
    }).pipe(Effect.provide(Agents.serve([model.app])))
  })

  it.effect("does not go on for ever", () => {
    const model = Agents.makeModel(() => Agents.calls(Agents.call("nothing", {})))
    return Effect.gen(function* () {
      const { chatId } = yield* Agents.say("hi")
      const { active_run } = yield* Agents.untilIdle(chatId)
      assert.strictEqual(active_run.state, "failed")
      assert.match(active_run.error, /100 times/)
      assert.strictEqual(model.inputs.length, 100)
    }).pipe(Effect.provide(Agents.serve([model.app])))
  })

  it.effect("takes images and files, by their address or with what is known of them", () => {
    const model = Agents.scripted()
    return Effect.gen(function* () {
      const attachments = [
        { uri: "https://x.test/c.png", filename: "c.png", content_type: "image/png" },
        { uri: "https://x.test/d.pdf", filename: "d.pdf", content_type: "application/pdf", size: 3 }
      ]
      const { data } = yield* Agents.run({
        agent_config: Agents.config(),
        input: {
          ...Agents.message(""),
          images: ["https://x.test/a.png", "https://x.test/c.png"],
          files: ["https://x.test/b.txt"],
          attachments
        }
      })
      assert.deepStrictEqual(
        data.user_message.content.map(({ type, image, file }: Json) => [type, image ?? file]),
        [
          ["image", "https://x.test/a.png"],
          ["image", "https://x.test/c.png"],
          ["file", "https://x.test/b.txt"],
          ["file", "https://x.test/d.pdf"]
        ]
      )
      const { chat_id } = data.user_message
      yield* Agents.untilIdle(chat_id)
      assert.deepStrictEqual(model.inputs[0].images, ["https://x.test/a.png", "https://x.test/c.png"])
      assert.deepStrictEqual(model.inputs[0].files, ["https://x.test/b.txt", "https://x.test/d.pdf"])
      assert.deepStrictEqual(model.inputs[0].attachments, attachments)
      yield* Agents.say("and?", Agents.config(), chat_id)
      yield* Agents.untilIdle(chat_id)
      const [earlier] = model.inputs[1].context
      assert.deepStrictEqual(earlier.images, ["https://x.test/a.png", "https://x.test/c.png"])
      assert.deepStrictEqual(earlier.files, ["https://x.test/b.txt", "https://x.test/d.pdf"])
      for (const name of ["images", "files", "attachments"]) assert.notProperty(model.inputs[1], name)
    }).pipe(Effect.provide(Agents.serve([model.app])))
  })

  it.effect("runs on the agent that its message came with", () => {
    const model = Agents.scripted()
    const other = Agents.makeModel(() => Agents.says("other"), "acme/other")
    return Effect.gen(function* () {
      const { chatId } = yield* Agents.say("one")
      yield* Agents.untilIdle(chatId)
      yield* Agents.say("two", { core_app: { ref: "acme/other" }, system_prompt: "new" }, chatId)
      yield* Agents.untilIdle(chatId)
      assert.strictEqual(other.inputs[0].system_prompt, "new")
      assert.strictEqual(other.inputs[0].context.length, 2)
      assert.strictEqual((yield* post(`/chats/${chatId}/messages`, { message: "three" })).data.role, "user")
      yield* Agents.untilIdle(chatId)
      assert.strictEqual(other.inputs[1].text, "three")
    }).pipe(Effect.provide(Agents.serve([model.app, other.app])))
  })

  it.effect("disturbs no other chat", () => {
    const model = Agents.makeModel((input, before) =>
      before % 2 === 0 ? Effect.as(Effect.sleep("1 minute"), { response: input.text }) : Agents.words(input.text)
    )
    return Effect.gen(function* () {
      const slow = yield* Agents.say("slow one")
      const fast = yield* Agents.say("fast one")
      yield* Agents.untilIdle(fast.chatId)
      assert.strictEqual((yield* Agents.chat(slow.chatId)).status, "busy")
      yield* TestClock.adjust("1 minute")
      yield* Agents.untilIdle(slow.chatId)
      for (const [{ chatId }, text] of [
        [slow, "slow one"],
        [fast, "fast one"]
      ] as const) {
        const all = yield* Agents.messages(chatId)
        assert.deepStrictEqual(all.map(Agents.textOf), [text, text])
        assert.isTrue(all.every((message) => message.chat_id === chatId))
      }
    }).pipe(Effect.provide(Agents.serve([model.app])))
  })

  for (const envelope of ["v1", "v2"] as const) {
    it.effect(`goes the same way in the envelope ${envelope}`, () => {
      const model = Agents.scripted()
      return Effect.gen(function* () {
        const { json } = yield* Agents.run({ agent_config: Agents.config(), input: Agents.message("hi") })
        const data = envelope === "v1" ? json.data : json
        const { chat_id } = data.user_message
        const chat = Effect.map(get(`/chats/${chat_id}`), ({ json }) => (envelope === "v1" ? json.data : json))
        yield* Agents.until(chat, ({ status }) => status === "idle")
        const wrong = yield* Agents.run({ agent_config: {} })
        assert.strictEqual(wrong.status, 400)
        assert.strictEqual(
          envelope === "v1" ? wrong.json.error.code : wrong.json.title,
          envelope === "v1" ? "invalid_request" : "Bad Request"
        )
        assert.strictEqual(wrong.json.errors[0].field, "agent_config.core_app.ref")
        const [first] = Chunk.toReadonlyArray(yield* Stream.runCollect(Stream.take(Agents.events(chat_id), 1)))
        assert.strictEqual(first.data.id, chat_id)
      }).pipe(Effect.provide(Agents.serve([model.app], { envelope })))
    })
  }
})

describe("a message to a busy chat", () => {
  it.scoped("waits for its turn, and comes after the answers before it", () => {
    const model = Agents.makeModel((input) => Effect.as(Effect.sleep("1 minute"), { response: `re: ${input.text}` }))
    return Effect.gen(function* () {
      const { chatId } = yield* Agents.say("one")
      const second = yield* Agents.say("two", Agents.config({ system_prompt: "second" }), chatId)
      assert.strictEqual(second.user.status, "queued")
      assert.isNull(second.user.agent_run_id)
      assert.isUndefined(second.assistant)
      const said = yield* post(`/chats/${chatId}/messages`, { message: "three" })
      assert.strictEqual(said.data.status, "queued")
      yield* TestClock.adjust("1 second")
      assert.strictEqual(model.inputs.length, 1)
      assert.deepStrictEqual(model.inputs[0].context, [])
      const seen = yield* Agents.follow(chatId)
      yield* TestClock.adjust("1 minute")
      const running = yield* Agents.chat(chatId)
      assert.strictEqual(running.active_run.user_message_id, second.user.id)
      yield* TestClock.adjust("1 minute")
      yield* TestClock.adjust("1 minute")
      assert.strictEqual((yield* Agents.chat(chatId)).status, "idle")
      const all = yield* Agents.messages(chatId)
      assert.deepStrictEqual(all.map(Agents.textOf), ["one", "re: one", "two", "re: two", "three", "re: three"])
      assert.isTrue(all.every(({ status, agent_run_id }) => status === "ready" && agent_run_id !== null))
      assert.strictEqual(all[2].id, second.user.id)
      assert.deepStrictEqual(
        model.inputs.map(({ context, system_prompt }) => [context.length, system_prompt]),
        [
          [0, ""],
          [2, "second"],
          [4, "second"]
        ]
      )
      const ready = seen.find(
        ({ event, data }) => event === "chat_messages" && data.id === second.user.id && data.status === "ready"
      )
      assert.strictEqual(ready.data.agent_run_id, running.active_run.id)
    }).pipe(Effect.provide(Agents.serve([model.app])))
  })

  it.effect("is answered by the agent that the chat has when its turn begins, where it names none", () => {
    const model = Agents.makeModel((input) => Effect.as(Effect.sleep("1 minute"), { response: input.system_prompt }))
    return Effect.gen(function* () {
      const { data } = yield* post("/agents", {
        namespace: "acme",
        name: "new",
        version: Agents.config({ system_prompt: "new" })
      })
      const { chatId } = yield* Agents.say("one", Agents.config({ system_prompt: "old" }))
      yield* post(`/chats/${chatId}/messages`, { message: "two" })
      yield* post(`/chats/${chatId}/agent`, { agent: "acme/new" })
      yield* Agents.pass(120)
      const { status, active_run } = yield* Agents.chat(chatId)
      assert.deepStrictEqual([status, active_run.agent_id], ["idle", data.id])
      assert.deepStrictEqual((yield* Agents.messages(chatId)).map(Agents.textOf), ["one", "old", "two", "new"])
    }).pipe(Effect.provide(Agents.serve([model.app])))
  })

  it.effect("is refused where a hundred others wait", () => {
    const model = Agents.scripted(Effect.as(Effect.sleep("1 minute"), { response: "done" }))
    return Effect.gen(function* () {
      const { chatId } = yield* Agents.say("one")
      const more = post(`/chats/${chatId}/messages`, { message: "more" })
      const queued = yield* Effect.replicateEffect(more, 100)
      assert.isTrue(queued.every(({ status }) => status === 200))
      for (const refused of [
        yield* more,
        yield* Agents.run({ chat_id: chatId, agent_config: Agents.config(), input: Agents.message("more") })
      ]) {
        const { type, title, detail } = refused.json
        assert.deepStrictEqual(
          [refused.status, type, title, detail],
          [
            429,
            "https://api.inference.sh/errors/rate_limited",
            "Too Many Requests",
            `100 messages wait in chat ${chatId} already: wait until one is answered, or cancel one`
          ]
        )
      }
      yield* post(`/chats/messages/${queued[0]?.data.id}/cancel`)
      assert.strictEqual((yield* more).status, 200)
    }).pipe(Effect.provide(Agents.serve([model.app])))
  })

  it.effect("can be taken back for as long as it waits", () => {
    const model = Agents.scripted(Effect.as(Effect.sleep("1 minute"), { response: "done" }))
    return Effect.gen(function* () {
      const { chatId, user } = yield* Agents.say("one")
      const queued = yield* Agents.say("two", Agents.config(), chatId)
      const cancelled = yield* post(`/chats/messages/${queued.user.id}/cancel`)
      assert.strictEqual(cancelled.data.status, "cancelled")
      assert.strictEqual((yield* post(`/chats/messages/${queued.user.id}/cancel`)).status, 409)
      assert.strictEqual((yield* post(`/chats/messages/${user.id}/cancel`)).status, 409)
      assert.strictEqual((yield* post("/chats/messages/none/cancel")).status, 404)
      yield* TestClock.adjust("1 minute")
      assert.strictEqual((yield* Agents.chat(chatId)).status, "idle")
      assert.strictEqual(model.inputs.length, 1)
    }).pipe(Effect.provide(Agents.serve([model.app])))
  })
})
