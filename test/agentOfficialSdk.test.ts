/** Conversations that the official JavaScript SDK has with agents of a server, over a port. */
import { createServer } from "node:http"
import * as HttpServer from "@effect/platform/HttpServer"
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as LocalServer from "effect-inferencesh/LocalServer"
import * as Agents from "./support/agents.js"
import * as Apps from "./support/apps.js"
import * as Sdk from "./support/officialSdk.js"
import type { Json } from "./support/wire.js"

/** Does what it is told, and says what came of it. */
const makeModel = () =>
  Agents.makeModel(({ role, text }) => {
    if (role === "tool") return Agents.words(`It says ${text} .`)
    const [name = "", args = "{}"] = text.split(/ (.*)/)
    return name === "say" ? Agents.words(args) : Agents.calls(Agents.call(name, JSON.parse(args)))
  })

const agent = Agents.config({
  tools: [Agents.clientTool("add"), Agents.appTool("shout", { ref: "acme/echo" }, { require_approval: true })],
  internal_tools: { finish: true },
  output_schema: { type: "object", properties: { sum: { type: "number" } }, required: ["sum"] }
})

/** A server with a model, and the official client of it. */
const client = Effect.gen(function* () {
  const model = makeModel()
  const context = yield* Layer.build(
    LocalServer.layer({ apps: [model.app, Apps.echo] }).pipe(
      Layer.provideMerge(NodeHttpServer.layer(() => createServer(), { host: "127.0.0.1", port: 0 })),
      Layer.provide(Layer.merge(Apps.layerJournal, NodeContext.layer))
    )
  )
  const { address } = yield* Effect.provide(HttpServer.HttpServer, context)
  const baseUrl = `http://127.0.0.1:${address._tag === "TcpAddress" ? address.port : 0}`
  const sdk = yield* Sdk.load
  return { sdk, inference: sdk.inference({ apiKey: "key", baseUrl }) }
}).pipe(Effect.provide(NodeContext.layer))

describe("the official SDK", () => {
  it.scopedLive(
    "talks with an agent, runs its tools and approves others, over streams",
    () =>
      Effect.gen(function* () {
        const { sdk, inference } = yield* client
        const chat = yield* Effect.acquireRelease(
          Effect.sync(() => inference.agents.create(agent)),
          (chat) => Effect.sync(() => chat.disconnect())
        )
        const messages = new Map<string, Json>()
        const pieces: Array<string> = []
        const approved = new Set<string>()
        const say = (text: string) =>
          Effect.promise(() =>
            chat.sendMessage(text, {
              onMessage: (message) => void messages.set(message.id, message),
              onDelta: ({ delta }) => void pieces.push(delta.response ?? ""),
              onToolCall: ({ id, name, args }) => {
                assert.strictEqual(name, "add")
                void chat.submitToolResult(id, String(args.a + args.b))
              },
              onChat: (chat) => {
                for (const { interruptId, toolName, arguments: args } of sdk.pendingApprovals(chat)) {
                  if (approved.has(interruptId)) continue
                  approved.add(interruptId)
                  assert.deepStrictEqual([toolName, args], ["shout", { text: "hi" }])
                  void inference.agents.resolveInterrupt(interruptId, "allow")
                }
              }
            })
          )
        // Where the turn was over before its stream was opened, the client resolves on the first line of that: what was said
        // follows.
        const last = (order: number) =>
          Agents.until(
            Effect.sync(() => Array.from(messages.values()).find((message) => message.order === order)),
            (message) => message?.status === "ready"
          )

        const first = yield* say("say Hello there.")
        assert.strictEqual(chat.currentChatId, first.assistantMessage.chat_id)
        assert.strictEqual(Agents.textOf(yield* last(2)), "Hello there.")

        pieces.length = 0
        yield* say('add {"a":1,"b":2}')
        assert.strictEqual(Agents.textOf(yield* last(6)), "It says 3 .")
        assert.strictEqual(pieces.join(""), "It says 3 .")

        yield* say('shout {"text":"hi"}')
        assert.strictEqual(Agents.textOf(yield* last(10)), 'It says {"text":"hi"} .')
        assert.strictEqual(approved.size, 1)
        assert.strictEqual(messages.size, 10)
        const { data } = yield* Effect.promise(() => inference.chats.list({}))
        assert.strictEqual((data.items ?? data).length, 1)
      }),
    60_000
  )

  it.scopedLive(
    "talks with an agent and approves its tools, asking again and again",
    () =>
      Effect.gen(function* () {
        const { sdk, inference } = yield* client
        const chat = inference.agents.create(agent)
        const seen: Array<Json> = []
        const approved = new Set<string>()
        yield* Effect.promise(() =>
          chat.sendMessage('shout {"text":"hi"}', {
            stream: false,
            pollIntervalMs: 5,
            onChat: (chat) => {
              seen.push(chat)
              for (const { interruptId } of sdk.pendingApprovals(chat)) {
                if (approved.has(interruptId)) continue
                approved.add(interruptId)
                void inference.agents.resolveInterrupt(interruptId, "allow")
              }
            }
          })
        )
        assert.strictEqual(approved.size, 1)
        assert.deepStrictEqual([seen.at(-1).status, seen.at(-1).active_run.state], ["idle", "completed"])
        // In a chat that there is already, the client does not see a turn that is over before it asks again.
        const other = inference.agents.create(agent)
        const output = yield* Effect.promise(() => other.run('finish {"sum":3}', { pollIntervalMs: 5 }))
        assert.deepStrictEqual(output, { sum: 3 })
      }),
    60_000
  )
})
