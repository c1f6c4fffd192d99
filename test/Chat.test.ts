import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FC from "effect/FastCheck"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Chat from "effect-inferencesh/Chat"
import * as Writing from "../src/internal/agents/writing.js"
import * as C from "./support/chats.js"

const decodeMessage = Schema.decodeUnknownSync(Chat.Message)
const decodeChat = Schema.decodeUnknownSync(Chat.Chat)

describe("a message", () => {
  it("is decoded as the service sends it", () => {
    const message = decodeMessage({
      ...C.dataOf(C.message("m2")),
      created_at: "2026-10-01T10:00:00.12Z",
      status: "ready",
      task_id: "t1",
      content: [
        C.part("reasoning", { text: "hm" }),
        ...C.text("Look: "),
        C.part("image", { image: "https://cloud.inference.sh/app/files/t/ab12cd34/cat.png" }),
        C.part("file", { file: "" }),
        C.part("tool", {
          tool_calls: [
            { id: "x", type: "function", function: { name: "add", arguments: { a: 1 } } },
            { id: "y", type: "function", function: { name: "add", arguments: '{"a":2}' } },
            { id: "z", type: "function", function: { name: "add", arguments: '{"a":' } },
            { id: "n", type: "function", function: { name: "now", arguments: null } }
          ]
        })
      ],
      tool_invocations: [C.invocation("i1", "add", '{"a":1}', { widget: null, data: '{"round":1}' })]
    })
    assert.deepInclude(message, { id: "m2", chatId: "c1", runId: "r1", order: 2, role: "assistant", taskId: "t1" })
    assert.strictEqual(Chat.text(message), "Look: ")
    assert.strictEqual(Chat.reasoning(message), "hm")
    assert.strictEqual(message.content[2]?.image?.filename, "cat.png")
    assert.isUndefined(message.content[3]?.file)
    assert.deepStrictEqual(message.content[4]?.toolCalls, [
      { id: "x", name: "add", arguments: { a: 1 } },
      { id: "y", name: "add", arguments: { a: 2 } },
      { id: "z", name: "add", arguments: '{"a":' },
      { id: "n", name: "now", arguments: {} }
    ])
    const [invocation] = message.toolInvocations
    assert.deepInclude(invocation, {
      id: "i1",
      callId: "call_i1",
      name: "add",
      arguments: { a: 1 },
      status: "in_progress",
      data: { round: 1 }
    })
    assert.notProperty(invocation, "result")
  })

  it("may lack, or have as null, all but its id", () => {
    const bare = { content: [], toolInvocations: [], order: 0, role: "assistant", status: "pending" }
    assert.deepInclude(decodeMessage({ id: "m" }), { id: "m", ...bare })
    const names = [
      "created_at",
      "updated_at",
      "chat_id",
      "agent_run_id",
      "order",
      "role",
      "status",
      "content",
      "task_id",
      "tool_call_id",
      "tool_invocations"
    ]
    const nulls = Object.fromEntries(names.map((name) => [name, null]))
    assert.deepStrictEqual(decodeMessage({ id: "m", ...nulls }), decodeMessage({ id: "m" }))
    assert.strictEqual(decodeMessage({ id: "m", status: "" }).status, "pending")
  })

  it("keeps enum values that this version does not know, and ignores unknown fields", () => {
    const message = decodeMessage({
      id: "m",
      role: "narrator",
      status: "paused",
      brand_new: 1,
      content: [{ type: "hologram", text: "x" }],
      tool_invocations: [{ id: "i", type: "quantum", status: "entangled", function: { name: "f" } }]
    })
    assert.deepInclude(message, { role: "narrator", status: "paused" })
    assert.strictEqual(message.content[0]?.type, "hologram")
    assert.deepInclude(message.toolInvocations[0], { type: "quantum", status: "entangled" })
    assert.isFalse(Chat.isFinished(message))
  })

  it("is the same after it was encoded and decoded", () => {
    const message = decodeMessage({
      ...C.dataOf(C.ready("m2", "hi")),
      tool_invocations: [C.invocation("i1", "add", { a: 1 })]
    })
    assert.deepStrictEqual(decodeMessage(JSON.parse(JSON.stringify(Schema.encodeSync(Chat.Message)(message)))), message)
  })
})

describe("a chat", () => {
  it("is decoded with its run and what holds that up", () => {
    const chat = decodeChat({
      id: "c1",
      short_id: "c1",
      status: "awaiting_input",
      active_run: { id: "r1", chat_id: "c1", user_message_id: "m1", state: "input_required" },
      pending_interrupts: [
        {
          id: "x1",
          run_id: "r1",
          reason: "tool_approval",
          resource_id: "i1",
          resource_type: "tool_invocation",
          status: "pending",
          meta: '{"tool_invocation_id":"i1","tool_name":"add","arguments":{"a":1}}'
        }
      ],
      agent_data: { plan_steps: null, memory: '{"k":"v"}', always_allowed_tools: null },
      context: { customer: "42" },
      chat_messages: null
    })
    assert.strictEqual(chat.activeRun?.state, "input_required")
    assert.deepStrictEqual(chat.pendingInterrupts[0]?.meta, {
      tool_invocation_id: "i1",
      tool_name: "add",
      arguments: { a: 1 }
    })
    assert.deepStrictEqual(chat.data?.memory, { k: "v" })
    assert.deepStrictEqual(chat.messages, [])
  })

  it("is busy while a run goes on, be it that the run waits for an account to be connected", () => {
    const of = (state: string) => Chat.isBusy(decodeChat({ id: "c", status: "idle", active_run: { id: "r", state } }))
    const states = ["submitted", "working", "input_required", "auth_required", "completed", "failed", "canceled", "new"]
    assert.deepStrictEqual(states.map(of), [true, true, true, true, false, false, false, true])
    const without = ["busy", "awaiting_input", "idle", "completed"].map((status) =>
      Chat.isBusy(decodeChat({ id: "c", status }))
    )
    assert.deepStrictEqual(without, [true, true, false, false])
  })
})

describe("reply", () => {
  it.effect("is what the events of a turn come to, in whatever order its messages came", () =>
    Effect.gen(function* () {
      const message = (json: unknown) => Chat.Event.Message({ message: decodeMessage(json) })
      const run = Schema.decodeUnknownSync(Chat.Run)(C.dataOf(C.run("completed", { output: { sum: 3 } })))
      const events: ReadonlyArray<Chat.Event> = [
        message(C.userMessage("1+2?")),
        message(C.dataOf(C.ready("m4", "It is 3."))),
        message(C.dataOf(C.ready("m2", "Let me see."))),
        Chat.Event.TextDelta({ messageId: "m4", delta: "It is 3.", text: "It is 3." }),
        Chat.Event.Status({ status: "completed", run, output: run.output })
      ]
      const once = Chat.reply(Stream.fromIterable(events))
      const reply = yield* once
      assert.deepInclude(reply, { text: "It is 3.", reasoning: "", chatId: "c1", runId: "r1", output: { sum: 3 } })
      assert.deepStrictEqual(
        reply.messages.map(({ id }) => id),
        ["m1", "m2", "m4"]
      )
      assert.deepStrictEqual(yield* once, reply)
    })
  )
})

describe("a text that is being written", () => {
  /** Reads as a consumer would: pieces are added, and a text that has become another one is taken as it is. */
  const reader = (writing: Writing.Writing) => {
    let shown = ""
    return () => {
      const news = writing.read()
      if (news !== undefined) shown = news.delta === "" ? news.text : shown + news.delta
      return shown
    }
  }

  it("is read once and whole, however pieces of it and states of the whole are mixed", () => {
    const step = FC.record({ kind: FC.constantFrom("piece", "state", "read"), size: FC.nat(5) })
    FC.assert(
      FC.property(FC.string({ minLength: 1 }), FC.array(step), (final, steps) => {
        const writing = Writing.make()
        const read = reader(writing)
        let written = 0
        for (const { kind, size } of steps) {
          if (kind === "piece") {
            assert.isTrue(writing.append(final.slice(written, written + size)))
            written = Math.min(final.length, written + size)
          } else if (kind === "state") {
            // As it was, is, or will be when the next pieces come.
            const at = Math.min(final.length, Math.max(0, written + size - 2))
            writing.replace(final.slice(0, at), false)
          } else {
            assert.isTrue(final.startsWith(read()))
          }
        }
        writing.replace(final, true)
        return read() === final && writing.read() === undefined
      })
    )
  })

  it("says of a state whether pieces have led to it, past it, or elsewhere", () => {
    const writing = Writing.make()
    writing.append("Hello")
    assert.strictEqual(writing.compare("Hello"), "same")
    assert.strictEqual(writing.compare("Hel"), "behind")
    assert.strictEqual(writing.compare("Hello you"), "other")
    assert.strictEqual(writing.compare("Bye"), "other")
  })

  it("that is rewritten is read as a whole, without a piece", () => {
    const writing = Writing.make()
    writing.append("Hello ")
    assert.deepStrictEqual(writing.read(), { delta: "Hello ", text: "Hello " })
    writing.replace("Hello", true)
    assert.deepStrictEqual(writing.read(), { delta: "", text: "Hello" })
    assert.isUndefined(writing.read())
  })

  it("does not take pieces that something is missing before", () => {
    const writing = Writing.make()
    writing.append("ab")
    writing.replace("abcd", false)
    assert.isFalse(writing.append("xy"))
    assert.strictEqual(writing.text(), "abcd")
  })
})
