import { assert, describe, it, layer } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Agents from "effect-inferencesh/Agents"
import * as BaseApp from "effect-inferencesh/BaseApp"
import * as Chat from "effect-inferencesh/Chat"
import * as File from "effect-inferencesh/File"
import type * as Inference from "effect-inferencesh/Inference"
import * as Llm from "effect-inferencesh/Llm"
import * as NodeInference from "effect-inferencesh/NodeInference"
import * as Tasks from "effect-inferencesh/Tasks"
import * as Tool from "effect-inferencesh/Tool"
import * as Apps from "./support/apps.js"
import * as Bad from "./support/badServer.js"
import { everywhere, type Refusal } from "./support/hosts.js"
import * as T from "./support/tasks.js"

/** Calls what it is told to, "name {…}" a line, and then says what came of it. */
const obedient = Llm.scripted("acme/obedient", (input) => {
  if (input.role === "tool") {
    const asked = input.context.findLastIndex(({ role }) => role === "user")
    const results = input.context.slice(asked).filter(({ role }) => role === "tool")
    return { response: [...results.map(({ text }) => text), input.text].join(" and ") }
  }
  const calls = input.text.split("\n").flatMap((line) => {
    const [, name, args] = /^([a-z_]+) (\{.*\})$/.exec(line) ?? []
    return name === undefined || args === undefined ? [] : [{ name, arguments: JSON.parse(args) }]
  })
  return calls.length > 0
    ? { reasoning: "As I am told.", response: "One moment. ", toolCalls: calls }
    : { reasoning: "Nothing to do.", response: `You said: ${input.text}` }
})

/** Says how much of the conversation it knows, and what it was given. */
const witness = Llm.scripted("acme/witness", ({ context, images = [], files = [], systemPrompt, tools = [] }) => ({
  response: JSON.stringify({
    said: context.map(({ role, text }) => `${role}: ${text}`),
    images: images.map(({ filename }) => filename),
    files: files.map(({ filename }) => filename),
    systemPrompt,
    tools: tools.map(({ name }) => name)
  })
}))

const broken = Llm.scripted("acme/broken", [{ response: "I was about to", fail: "out of tokens" }])

/** Says something at once, and never comes to an end. Notes when it is released. */
const endless = BaseApp.make(Llm.make("acme/endless"), {
  concurrency: 100,
  run: () =>
    Stream.concat(
      Stream.make({ response: "Well" }),
      Stream.acquireRelease(Apps.note("endless started"), () => Apps.note("endless released")).pipe(
        Stream.flatMap(() => Stream.never)
      )
    )
})

const hosted = {
  apps: [...Apps.all, obedient, witness, broken, endless],
  agents: {
    "acme/helper@v1": { coreApp: obedient.app, systemPrompt: "Help." },
    "acme/strict": { coreApp: witness.app, contextFields: [{ name: "customer", required: true }] }
  }
}

class Unlucky extends Data.TaggedError("Unlucky")<{ readonly message: string }> {}

class Dictionary extends Context.Tag("test/Dictionary")<Dictionary, ReadonlyMap<string, string>>() {}

const lookUp = Tool.make("look_up", {
  description: "Looks a word up",
  params: { word: Schema.String },
  handler: ({ word }) =>
    Effect.flatMap(Dictionary, (dictionary) =>
      Effect.mapError(Effect.fromNullable(dictionary.get(word)), () => new Unlucky({ message: `no ${word}` }))
    )
})

const add = Tool.make("add", {
  description: "Adds",
  params: { a: Schema.Number, b: Schema.Number },
  handler: ({ a, b }) => Effect.succeed(a + b)
})

const careful = Tool.make("careful", {
  description: "Asks first",
  params: { n: Schema.Int },
  requireApproval: true,
  handler: ({ n }) => Effect.succeed(`did ${n}`)
})

const obedientAgent = Agents.create({ coreApp: obedient.app, systemPrompt: "Be brief.", tools: [add, lookUp, careful] })

const withWords = Effect.provideService(Dictionary, new Map([["cat", "Katze"]]))

const texts = (events: ReadonlyArray<Chat.Event>, tag: "TextDelta" | "ReasoningDelta") => {
  const byMessage = new Map<string, string>()
  for (const event of events) {
    if (event._tag === tag) byMessage.set(event.messageId, (byMessage.get(event.messageId) ?? "") + event.delta)
  }
  return byMessage
}

const messagesOf = (events: ReadonlyArray<Chat.Event>) =>
  events.flatMap((event) => (event._tag === "Message" ? [event.message] : []))

const conformance = (
  name: string,
  services: Layer.Layer<Inference.Services | Apps.Journal, unknown>,
  isRefused: Refusal
) =>
  layer(services, { excludeTestServices: true })(name, (it) => {
    it.effect("says what the model says, piece by piece, and once as a whole", () =>
      Effect.gen(function* () {
        const agent = yield* Agents.create({ coreApp: obedient.app })
        const { items, error } = yield* T.record(agent.chat("a  long\nstory 🌦"))
        assert.isUndefined(error)
        const [user, answer, ...others] = messagesOf(items)
        assert.deepStrictEqual(others, [])
        assert.strictEqual(user?.role, "user")
        if (answer === undefined) return assert.fail("there is no answer")
        assert.strictEqual(Chat.text(answer), "You said: a  long\nstory 🌦")
        assert.strictEqual(Chat.reasoning(answer), "Nothing to do.")
        assert.strictEqual(texts(items, "TextDelta").get(answer.id), Chat.text(answer))
        assert.strictEqual(texts(items, "ReasoningDelta").get(answer.id), Chat.reasoning(answer))
        const last = items.at(-1)
        assert.deepInclude(last, { _tag: "Status", status: "completed" })
        // The model is an app: what it did is a task like any other.
        const task = yield* Tasks.get(answer.taskId ?? "")
        assert.deepInclude(task, { status: "completed", chatId: yield* agent.chatId })
      })
    )

    it.effect("answers the model's calls with handlers that use the caller's services", () =>
      Effect.gen(function* () {
        const agent = yield* obedientAgent
        const { items, error } = yield* T.record(
          agent.chat('add {"a":1,"b":2}\nlook_up {"word":"cat"}\nlook_up {"word":"dog"}\nadd {"a":"x"}\nnone {}')
        )
        assert.isUndefined(error)
        const calls = items.flatMap((event) => (event._tag === "ToolCall" ? [[event.name, event.arguments]] : []))
        assert.deepStrictEqual(calls, [
          ["add", { a: 1, b: 2 }],
          ["look_up", { word: "cat" }],
          ["look_up", { word: "dog" }],
          ["add", { a: "x" }],
          ["none", {}]
        ])
        const results = items.flatMap((event) => (event._tag === "ToolResult" ? [event] : []))
        assert.deepStrictEqual(
          results.map(({ failure }) => failure?._tag).sort(),
          ["HandlerFailed", "InvalidArguments", undefined, undefined, undefined].sort()
        )
        const reply = messagesOf(items).at(-1)
        const said = reply === undefined ? "" : Chat.text(reply)
        for (const part of ["3 and Katze", "no dog", "the arguments do not fit", "none"]) assert.include(said, part)
        assert.deepStrictEqual(
          messagesOf(items).map(({ role }) => role),
          ["user", "assistant", "tool", "tool", "tool", "tool", "tool", "assistant"]
        )
      }).pipe(withWords)
    )

    it.effect("remembers what was said before, and takes turns in order", () =>
      Effect.gen(function* () {
        const agent = yield* Agents.create({ coreApp: witness.app, systemPrompt: "Be brief.", tools: [add] })
        const replies = yield* Effect.all([agent.sendMessage("one"), agent.sendMessage("two")], { concurrency: 2 })
        const [first, second] = replies.map(({ text }) => JSON.parse(text))
        assert.deepInclude(first, { said: [], systemPrompt: "Be brief.", tools: ["add"] })
        assert.deepStrictEqual(second.said, ["user: one", `assistant: ${replies[0].text}`])
        assert.strictEqual(replies[0].chatId, replies[1].chatId)
        // Another program goes on with the same chat.
        const chatId = yield* agent.chatId
        const other = yield* Agents.create({ coreApp: witness.app }, chatId === undefined ? {} : { chatId })
        const third = yield* other.sendMessage("three")
        assert.strictEqual(JSON.parse(third.text).said.length, 4)
        yield* agent.reset
        const anew = yield* agent.sendMessage("four")
        assert.notStrictEqual(anew.chatId, chatId)
        assert.deepStrictEqual(JSON.parse(anew.text).said, [])
      })
    )

    it.effect("waits while a call needs approval, and does as it is told", () =>
      Effect.gen(function* () {
        const decide = (decision: "approve" | "deny" | "alwaysAllow") =>
          Effect.gen(function* () {
            const agent = yield* obedientAgent
            const asked: Array<string> = []
            const reply = yield* agent.chat('careful {"n":1}\ncareful {"n":2}').pipe(
              Stream.tap((event) => {
                if (event._tag !== "ApprovalRequired") return Effect.void
                asked.push(event.name)
                return decision === "deny"
                  ? agent.deny(event.id, "too risky")
                  : decision === "approve"
                    ? agent.approve(event.id)
                    : agent.alwaysAllow(event.id, event.name)
              }),
              Chat.reply
            )
            const again = yield* T.record(
              Stream.takeUntil(agent.chat('careful {"n":3}'), (event) => event._tag === "ApprovalRequired")
            )
            return { asked, text: reply.text, asksAgain: again.items.some(({ _tag }) => _tag === "ApprovalRequired") }
          }).pipe(withWords)
        assert.deepStrictEqual(yield* decide("approve"), {
          asked: ["careful", "careful"],
          text: "did 1 and did 2",
          asksAgain: true
        })
        const denied = yield* decide("deny")
        assert.strictEqual(denied.text.match(/too risky/g)?.length, 2)
        assert.isFalse((yield* decide("alwaysAllow")).asksAgain)
      })
    )

    it.effect("lets the model call apps, with what is preset for them", () =>
      Effect.gen(function* () {
        const agent = yield* Agents.create({
          coreApp: obedient.app,
          tools: [
            Tool.app("echo", Apps.Echo, { description: "Echoes", input: { times: 2 } }),
            Tool.app("negate", Apps.Arithmetic, { description: "Negates", function: "negate" }),
            Tool.app("fail", "acme/failing", { description: "Fails", input: { message: "no luck" } }),
            Tool.agent("helper", "acme/helper", { description: "Helps" })
          ]
        })
        const { text, messages } = yield* agent.sendMessage(
          'echo {"text":"ab"}\nnegate {"a":1}\nfail {}\nhelper {"message":"hi"}'
        )
        assert.strictEqual(text, '{"text":"abab"} and {"negated":-1} and {"error":"no luck"} and You said: hi')
        const [echo] = messages.flatMap(({ toolInvocations }) => toolInvocations)
        assert.strictEqual((yield* Tasks.get(echo?.executionId ?? "")).appId, "acme/echo")
      })
    )

    it.effect("gives structured output by its schema, and says when there is none", () =>
      Effect.gen(function* () {
        const Sum = { sum: Schema.Number, at: Schema.Date }
        const agent = yield* Agents.create({ coreApp: obedient.app })
        const output = yield* agent.run('finish {"sum":3,"at":"1970-01-01T00:00:00Z"}', Sum)
        assert.deepStrictEqual(output, { sum: 3, at: new Date(0) })
        const none = yield* Effect.flip(agent.run("just talk", Sum))
        assert.deepInclude(none, { _tag: "ChatFailed", reason: "NoOutput", text: "You said: just talk" })
        const misfit = yield* Effect.flip(agent.run('finish {"sum":3,"at":"some day"}', Sum))
        assert.propertyVal(misfit, "_tag", "DecodeError")
        // The model is told, and gives up.
        const refused = yield* Effect.flip(agent.run('finish {"sum":"three"}', Sum))
        assert.deepInclude(refused, { _tag: "ChatFailed", reason: "NoOutput" })
      })
    )

    it.effect("shows attachments to the model", () =>
      Effect.gen(function* () {
        const agent = yield* Agents.create({ coreApp: witness.app })
        const image = File.fromBytes(new Uint8Array([0x89, 0x50]), { filename: "cat.png" })
        const note = new TextEncoder().encode("hello")
        const { text, messages } = yield* agent.sendMessage("look", { files: [image, note, image] })
        assert.deepInclude(JSON.parse(text), { images: ["cat.png"], files: ["file.bin"] })
        const parts = messages[0]?.content.map(({ type }) => type)
        assert.deepStrictEqual(parts, ["text", "image", "file"])
      })
    )

    it.effect("fails the turn when the model fails, with what it said by then", () =>
      Effect.gen(function* () {
        const agent = yield* Agents.create({ coreApp: broken.app })
        const error = yield* Effect.flip(agent.sendMessage("hi"))
        if (error._tag !== "ChatFailed") return assert.fail(error._tag)
        assert.deepInclude({ ...error }, { reason: "Failed", detail: "out of tokens", text: "I was about to" })
        // The conversation goes on.
        const again = yield* Effect.flip(agent.sendMessage("once more"))
        assert.propertyVal(again, "_tag", "ChatFailed")
        assert.isDefined((yield* agent.getChat()).messages.at(-1)?.content.find((part) => part.error))
      })
    )

    it.effect("stops a turn whose owner is interrupted, down to the finalizers of the model and of handlers", () =>
      Effect.gen(function* () {
        const journal = yield* Apps.Journal
        const count = (event: string) => journal.events().filter((noted) => noted === event).length
        const before = count("endless released")
        const talking = yield* Agents.create({ coreApp: endless.app })
        yield* Stream.runDrain(Stream.takeUntil(talking.chat("hi"), (event) => event._tag === "TextDelta"))
        yield* Bad.eventually("the model is released", () => count("endless released") === before + 1)
        const chat = yield* talking.getChat()
        assert.deepInclude(chat.activeRun, { state: "canceled" })
        assert.strictEqual(chat.status, "idle")

        const started = yield* Deferred.make<void>()
        let isReleased = false
        const waiting = Tool.make("wait", {
          description: "",
          handler: () =>
            Effect.zipRight(Deferred.succeed(started, undefined), Effect.never).pipe(
              Effect.onInterrupt(() =>
                Effect.sync(() => {
                  isReleased = true
                })
              )
            )
        })
        const calling = yield* Agents.create({ coreApp: obedient.app, tools: [waiting] })
        const turn = yield* Effect.fork(calling.sendMessage("wait {}"))
        yield* Deferred.await(started)
        yield* Fiber.interrupt(turn)
        assert.isTrue(isReleased)
        const left = yield* calling.getChat()
        assert.deepInclude(left.activeRun, { state: "canceled" })
        assert.strictEqual(left.messages.flatMap(({ toolInvocations }) => toolInvocations)[0]?.status, "cancelled")
        // It is free for the next turn.
        assert.strictEqual((yield* calling.sendMessage("hi")).text, "You said: hi")
      })
    )

    it.effect("tells the owner of a turn when somebody else stops it", () =>
      Effect.gen(function* () {
        const agent = yield* Agents.create({ coreApp: endless.app })
        const error = yield* agent.chat("hi").pipe(
          Stream.runForEach((event) => (event._tag === "TextDelta" ? agent.stopChat() : Effect.void)),
          Effect.flip
        )
        assert.deepInclude({ ...error }, { _tag: "ChatFailed", reason: "Cancelled", text: "Well" })
      })
    )

    it.effect("queues a message that is sent while another turn is under way, and lets it be taken back", () =>
      Effect.gen(function* () {
        const first = yield* Agents.create({ coreApp: endless.app })
        const begun = yield* Deferred.make<void>()
        const running = yield* Effect.fork(
          Stream.runForEach(first.chat("one"), (event) =>
            event._tag === "TextDelta" ? Deferred.succeed(begun, undefined) : Effect.void
          )
        )
        yield* Deferred.await(begun)
        const chatId = yield* first.chatId
        if (chatId === undefined) return assert.fail("there is no chat")
        const second = yield* Agents.create({ coreApp: witness.app }, { chatId })
        const given = yield* Effect.timeoutOption(second.sendMessage("taken back"), "200 millis")
        assert.isTrue(Option.isNone(given))
        const waiting = yield* Effect.fork(second.sendMessage("two"))
        const queued = Effect.map(first.getChat(), (chat) => chat.messages.map(({ status }) => status))
        yield* Effect.repeat(queued, { until: (statuses) => statuses.includes("queued") })
        yield* Fiber.interrupt(running)
        const reply = yield* Fiber.join(waiting)
        assert.notInclude(reply.text, "taken back")
        assert.include(reply.text, "user: one")
        const chat = yield* first.getChat()
        assert.deepStrictEqual(
          chat.messages.map(({ role, status }) => `${role} ${status}`).sort(),
          ["assistant cancelled", "assistant ready", "user cancelled", "user ready", "user ready"].sort()
        )
      })
    )

    it.effect("talks with agents that are stored, once they have the context that they need", () =>
      Effect.gen(function* () {
        const helper = yield* Agents.create("acme/helper@v1")
        assert.strictEqual((yield* helper.sendMessage("hi")).text, "You said: hi")
        const nobody = yield* Agents.create("acme/nobody")
        yield* isRefused(nobody.sendMessage("hi"), "NotFound")
        const strict = yield* Agents.create("acme/strict")
        const refused = yield* Effect.flip(strict.sendMessage("hi"))
        if (refused._tag !== "InvalidRequest") return assert.fail(refused._tag)
        assert.deepStrictEqual(refused.issues[0]?.path, ["context", "customer"])
        const knowing = yield* Agents.create("acme/strict", { context: { customer: "42" } })
        yield* knowing.sendMessage("hi")
        assert.deepStrictEqual((yield* knowing.getChat()).context, { customer: "42" })
      })
    )

    it.effect("stores agents, and talks with them, with handlers that run here", () =>
      Effect.gen(function* () {
        const saved = yield* Agents.save({ namespace: "acme", name: "saved" }, { coreApp: obedient.app, tools: [add] })
        const agent = yield* Agents.create("acme/saved", { tools: [add] })
        assert.strictEqual((yield* agent.sendMessage('add {"a":1,"b":2}')).text, "3")
        const found = yield* Agents.get("acme/saved")
        assert.strictEqual(found.id, saved.id)
        yield* Agents.save({ id: saved.id, name: "saved" }, { coreApp: witness.app })
        const versions = yield* Stream.runCollect(Agents.versions(saved.id))
        assert.strictEqual(Chunk.size(versions), 2)
        assert.include((yield* agent.sendMessage("hi")).text, "systemPrompt")
        const listed = yield* Stream.runCollect(Agents.list())
        assert.isTrue(Chunk.some(listed, ({ id }) => id === saved.id))
        assert.strictEqual((yield* Agents.update(saved.id, { title: "Saved" })).title, "Saved")
        const copy = yield* Agents.duplicate(saved.id)
        yield* Agents.remove(copy.id)
        yield* Agents.remove(saved.id)
        assert.propertyVal(yield* Effect.flip(Agents.get(saved.id)), "_tag", "NotFound")
        assert.isTrue((yield* Agents.internalTools).some(({ id }) => id === "finish"))
      })
    )

    it.effect("shows chats to those who only look", () =>
      Effect.gen(function* () {
        const agent = yield* obedientAgent
        const { chatId = "" } = yield* agent.sendMessage("one")
        const watching = yield* Effect.fork(
          Stream.runCollect(
            Stream.takeUntil(
              agent.streamMessages(),
              (message) => message.status === "ready" && Chat.text(message) === "You said: two"
            )
          )
        )
        yield* Effect.fork(Stream.runDrain(Stream.take(Agents.streamChat(chatId), 1)))
        yield* agent.sendMessage("two")
        const seen = Chunk.toReadonlyArray(yield* Fiber.join(watching))
        const last = new Map(seen.map((message) => [message.id, Chat.text(message)]))
        assert.deepStrictEqual(Array.from(last.values()), ["one", "You said: one", "two", "You said: two"])
        const chats = yield* Stream.runCollect(Agents.listChats({ pageSize: 2 }))
        assert.isTrue(Chunk.some(chats, ({ id }) => id === chatId))
        assert.strictEqual((yield* Agents.updateChat(chatId, { name: "renamed" })).name, "renamed")
        assert.strictEqual(yield* Agents.chatStatus(chatId), "idle")
        assert.property(yield* Agents.chatTrace(chatId), "nodes")
        yield* Agents.removeChat(chatId)
        assert.propertyVal(yield* Effect.flip(Agents.getChat(chatId)), "_tag", "NotFound")
      }).pipe(withWords)
    )

    it.effect("answers fifty calls of one message, each once", () =>
      Effect.gen(function* () {
        const answered: Array<number> = []
        const note = Tool.make("note", {
          description: "",
          params: { n: Schema.Int },
          handler: ({ n }) =>
            Effect.as(
              Effect.sync(() => answered.push(n)),
              n
            )
        })
        const agent = yield* Agents.create({ coreApp: obedient.app, tools: [note] })
        const numbers = Array.from({ length: 50 }, (_, n) => n)
        const { text } = yield* agent.sendMessage(numbers.map((n) => `note {"n":${n}}`).join("\n"))
        assert.strictEqual(text, numbers.join(" and "))
        assert.deepStrictEqual(
          [...answered].sort((a, b) => a - b),
          numbers
        )
      })
    )

    it.effect("refuses what cannot be: apps that are no models, and ids that there are not", () =>
      Effect.gen(function* () {
        const nowhere = yield* Agents.create({ coreApp: "acme/nowhere" })
        yield* isRefused(nowhere.sendMessage("hi"), "InvalidRequest")
        const agent = yield* Agents.create({ coreApp: obedient.app }, { chatId: "nope" })
        assert.propertyVal(yield* Effect.flip(agent.sendMessage("hi")), "_tag", "NotFound")
        for (const wrong of [agent.approve("nope"), agent.deny("nope"), agent.submitToolResult("nope", "x")]) {
          assert.propertyVal(yield* Effect.flip(wrong), "_tag", "NotFound")
        }
      })
    )
  })

describe("a client and a server of agents that follow the protocol", () => {
  for (const place of everywhere(hosted)) conformance(...place)

  it.live("an agent that cannot be served is a defect of the program, and says which", () =>
    Effect.gen(function* () {
      const bad = Tool.make("bad", { description: "", params: { at: Schema.DateFromSelf }, handler: () => Effect.void })
      for (const [ref, agent, why] of [
        ["acme/bad", { coreApp: obedient.app, tools: [bad] }, "tools.bad.params"],
        ["bad", { coreApp: obedient.app }, "agents.bad: expected a reference of the form namespace/name"],
        ["acme/bad", { coreApp: "acme/unheard_of" }, "agents.acme/bad.core_app"]
      ] as const) {
        const served = NodeInference.layerLocal({ apps: [obedient], agents: { [ref]: agent } })
        const exit = yield* Effect.exit(Effect.provide(Effect.void, served))
        if (Exit.isSuccess(exit)) return assert.fail("it was served")
        assert.isTrue(Cause.isDie(exit.cause))
        assert.include(Cause.pretty(exit.cause), why)
      }
    })
  )
})
