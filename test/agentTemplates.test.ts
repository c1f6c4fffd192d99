/** The agents that a server knows by name, and what it makes of configurations. */
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import * as HttpClient from "@effect/platform/HttpClient"
import * as NodeContext from "@effect/platform-node/NodeContext"
import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Server from "../src/internal/server/httpApp.js"
import * as InProcess from "../src/internal/server/inProcess.js"
import * as Agents from "./support/agents.js"
import * as Apps from "./support/apps.js"
import { del, get, type Json, post, request, send } from "./support/wire.js"

const prompted = (prompt: string, more: Json = {}) => Agents.config({ system_prompt: prompt, ...more })

const ask = (body: Json) => Agents.run({ input: Agents.message("hi"), ...body })

/** The fields that a request is refused for. */
const refused = (body: Json) =>
  Effect.map(ask(body), ({ status, json }) => {
    assert.strictEqual(status, 400)
    return (json.errors as ReadonlyArray<Json>).map(({ field }) => field as string)
  })

/** Lets an agent answer, and gives the prompt that it had. */
const promptOf = (model: { readonly inputs: ReadonlyArray<Json> }, body: Json) =>
  Effect.gen(function* () {
    const { status, data } = yield* ask(body)
    assert.strictEqual(status, 200)
    yield* Agents.untilIdle(data.user_message.chat_id)
    return model.inputs.at(-1).system_prompt
  })

describe("a request to an agent", () => {
  it.effect("names one agent", () => {
    const model = Agents.scripted()
    return Effect.gen(function* () {
      assert.deepStrictEqual(yield* refused({}), ["agent"])
      assert.deepStrictEqual(yield* refused({ agent: "acme/a", agent_config: Agents.config() }), ["agent_config"])
      assert.deepStrictEqual(yield* refused({ agent: "acme/a", agent_id: "x" }), ["agent_id"])
      assert.strictEqual((yield* ask({ agent: "acme/unknown" })).status, 404)
      assert.strictEqual((yield* ask({ agent: "what" })).status, 404)
      assert.strictEqual((yield* ask({ agent_id: "unknown" })).status, 404)
      assert.strictEqual((yield* ask({ chat_id: "unknown", agent_config: Agents.config() })).status, 404)
      assert.strictEqual((yield* post("/chats", { agent: "acme/unknown" })).status, 404)
      assert.strictEqual((yield* post("/chats/list")).data.total_items, 0)
    }).pipe(Effect.provide(Agents.serve([model.app])))
  })

  it.effect("is told which fields of a configuration are wrong", () => {
    const model = Agents.scripted()
    const withConfig = (config: unknown) => refused({ agent_config: config })
    return Effect.gen(function* () {
      assert.deepStrictEqual(yield* withConfig("acme/model"), ["agent_config"])
      assert.deepStrictEqual(yield* withConfig({}), ["agent_config.core_app.ref"])
      assert.deepStrictEqual(yield* withConfig({ core_app: { ref: "acme/unknown" } }), ["agent_config.core_app.ref"])
      assert.deepStrictEqual(yield* withConfig({ core_app: { ref: "acme/model:no" } }), ["agent_config.core_app.ref"])
      assert.deepStrictEqual(yield* withConfig(Agents.config({ tools: {} })), ["agent_config.tools"])
      const tools = [
        { type: "client" },
        { name: "a", type: "client" },
        { name: "b", type: "magic", magic: {} },
        { name: "c", type: "toString" },
        Agents.clientTool("d"),
        Agents.clientTool("d"),
        Agents.appTool("e", {}),
        Agents.appTool("f", { ref: "acme/unknown" }),
        { name: "g", type: "agent", agent: {} },
        null,
        Agents.clientTool("finish")
      ]
      const at = (path: string) => `agent_config.tools.${path}`
      assert.deepStrictEqual(yield* withConfig(Agents.config({ tools, internal_tools: { finish: true } })), [
        at("0.name"),
        at("1.client"),
        at("2.type"),
        at("3.type"),
        at("5.name"),
        at("6.app.ref"),
        at("7.app.ref"),
        at("8.agent.ref"),
        at("9"),
        at("10.name")
      ])
      const internal_tools = { finish: true }
      for (const output_schema of ["object", { type: "array", items: {} }]) {
        assert.deepStrictEqual(yield* withConfig(Agents.config({ internal_tools, output_schema })), [
          "agent_config.output_schema"
        ])
      }
      assert.deepStrictEqual(yield* withConfig(Agents.config({ context: [{}] })), ["agent_config.context.0.name"])
      assert.strictEqual((yield* post("/chats/list")).data.total_items, 0)
    }).pipe(Effect.provide(Agents.serve([model.app])))
  })

  it.effect("says something", () => {
    const model = Agents.scripted()
    return Effect.gen(function* () {
      const said = (input: unknown) => refused({ agent_config: Agents.config(), input })
      assert.deepStrictEqual(yield* said(undefined), ["input"])
      assert.deepStrictEqual(yield* said({}), ["input.text"])
      assert.deepStrictEqual(yield* said({ text: 1 }), ["input.text"])
      assert.deepStrictEqual(yield* said({ images: "x", files: [1], attachments: [{ filename: "a" }], text: "" }), [
        "input.images",
        "input.files.0",
        "input.attachments.0"
      ])
      const { chatId } = yield* Agents.say("hi")
      for (const message of [undefined, 1, "", " \n"]) {
        const { status, json } = yield* post(`/chats/${chatId}/messages`, { message })
        assert.deepStrictEqual([status, json.errors[0].field], [400, "message"])
      }
    }).pipe(Effect.provide(Agents.serve([model.app])))
  })

  it.effect("gives the context that the agent declares, when the chat begins", () => {
    const model = Agents.scripted()
    const context = [
      { name: "customer", required: true },
      { name: "language", required: true, default: "en" },
      { name: "note" }
    ]
    const agent_config = Agents.config({ context })
    return Effect.gen(function* () {
      assert.deepStrictEqual(yield* refused({ agent_config }), ["context.customer"])
      assert.deepStrictEqual(yield* refused({ agent_config, context: [] }), ["context"])
      assert.deepStrictEqual(yield* refused({ agent_config, context: { customer: 42 } }), ["context.customer"])
      const { data } = yield* ask({ agent_config, context: { customer: "42", other: "x" } })
      const chatId = data.user_message.chat_id
      assert.deepStrictEqual((yield* Agents.untilIdle(chatId)).context, {
        customer: "42",
        other: "x",
        language: "en"
      })
      assert.strictEqual((yield* ask({ agent_config, chat_id: chatId })).status, 200)
    }).pipe(Effect.provide(Agents.serve([model.app])))
  })
})

describe("templates", () => {
  it.effect("are made, changed, and known by every version", () => {
    const model = Agents.scripted()
    return Effect.gen(function* () {
      const created = yield* post("/agents", { namespace: "acme", name: "helper", version: prompted("one") })
      assert.strictEqual(created.status, 200)
      const { id, version_id } = created.data
      assert.deepStrictEqual([created.data.namespace, created.data.name], ["acme", "helper"])
      assert.strictEqual(created.data.version.system_prompt, "one")
      const second = (yield* post("/agents", { id, name: "helper", version: prompted("two") })).data
      assert.strictEqual(second.id, id)
      assert.notStrictEqual(second.version_id, version_id)

      assert.strictEqual(yield* promptOf(model, { agent: "acme/helper" }), "two")
      assert.strictEqual(yield* promptOf(model, { agent: "agent/acme/helper@latest" }), "two")
      assert.strictEqual(yield* promptOf(model, { agent: `acme/helper@${version_id}` }), "one")
      assert.strictEqual(yield* promptOf(model, { agent: `acme/helper@${version_id.slice(0, 8)}` }), "one")
      assert.strictEqual(yield* promptOf(model, { agent_id: id }), "two")
      assert.strictEqual((yield* ask({ agent: "acme/helper@unknown" })).status, 404)

      const { data } = yield* ask({ agent: `acme/helper@${version_id}` })
      const { active_run, agent_id, agent_version_id } = yield* Agents.untilIdle(data.user_message.chat_id)
      assert.deepStrictEqual([agent_id, agent_version_id], [id, version_id])
      assert.deepStrictEqual([active_run.agent_id, active_run.agent_version_id], [id, version_id])

      const found = (yield* get("/agents/acme/helper")).data
      assert.strictEqual(found.version.system_prompt, "two")
      assert.strictEqual((yield* get(`/agents/acme/helper@${version_id}`)).data.version.system_prompt, "one")
      assert.strictEqual((yield* get(`/agents/${id}`)).data.version.id, second.version_id)
      const versions = (yield* post(`/agents/${id}/versions/list`)).data
      assert.deepStrictEqual(
        versions.items.map(({ system_prompt }: Json) => system_prompt),
        ["two", "one"]
      )
      assert.strictEqual((yield* get(`/agents/${id}/versions/${version_id}`)).data.system_prompt, "one")
      assert.strictEqual((yield* get(`/agents/${id}/versions/unknown`)).status, 404)
    }).pipe(Effect.provide(Agents.serve([model.app])))
  })

  it.effect("are listed, described, copied, moved and deleted", () => {
    const model = Agents.scripted()
    return Effect.gen(function* () {
      const { data } = yield* post("/agents", {
        name: "helper",
        title: "Helper",
        version: prompted("x", { description: "Helps" })
      })
      const path = `/agents/${data.id}`
      assert.strictEqual((yield* post("/agents", { name: "helper", version: prompted("y") })).status, 409)
      assert.strictEqual((yield* post("/agents", { version: prompted("y") })).json.errors[0].field, "name")
      assert.strictEqual((yield* post("/agents", { name: "a/b" })).json.errors[0].field, "name")
      const bad = yield* post("/agents", { name: "other", version: { tools: [{}], core_app: { ref: "acme/model" } } })
      assert.strictEqual(bad.json.errors[0].field, "version.tools.0.name")
      assert.strictEqual((yield* post(path, { title: "New title" })).data.title, "New title")
      assert.strictEqual((yield* send(request("PATCH", path, { name: "renamed" }))).data.name, "renamed")
      assert.strictEqual((yield* post(`${path}/visibility`, { visibility: "public" })).data.visibility, "public")
      assert.strictEqual((yield* post(`${path}/visibility`, { visibility: "all" })).status, 400)
      assert.strictEqual((yield* post(`${path}/transfer`, { team_id: "other" })).data.team_id, "other")
      assert.strictEqual((yield* post(`${path}/transfer`, {})).json.errors[0].field, "team_id")
      const same = yield* get(path)
      assert.strictEqual((yield* post(path, same.data)).status, 200)
      const newVersion = yield* post(path, { title: "Other", version: prompted("y") })
      assert.deepStrictEqual([newVersion.status, newVersion.json.errors[0].field], [400, "version"])
      assert.include(newVersion.json.errors[0].message, "POST /agents")
      const { data: unchanged } = yield* get(path)
      assert.deepStrictEqual([unchanged.title, unchanged.version.system_prompt], ["New title", "x"])
      const card = yield* get(`${path}/card`)
      assert.deepStrictEqual([card.json.name, card.json.description], ["New title", "Helps"])
      assert.strictEqual((yield* get("/agents/local/card")).status, 404)
      const named = (yield* post("/agents", { name: "card", version: prompted("z") })).data
      assert.strictEqual((yield* get("/agents/local/card")).data.id, named.id)
      assert.strictEqual((yield* get(`/agents/${named.id}/card`)).json.name, "card")
      assert.strictEqual((yield* del(`/agents/${named.id}`)).status, 204)
      const copy = (yield* post(`${path}/duplicate`)).data
      const again = (yield* post(`${path}/duplicate`)).data
      assert.deepStrictEqual([copy.name, again.name], ["renamed-copy", "renamed-copy2"])
      assert.strictEqual(yield* promptOf(model, { agent: "local/renamed-copy" }), "x")
      assert.strictEqual((yield* post(`/agents/${copy.id}`, { name: "renamed" })).status, 409)
      const list = (yield* post("/agents/list", { filters: [{ field: "name", operator: "neq", value: "renamed" }] }))
        .data
      assert.deepStrictEqual(
        list.items.map(({ name }: Json) => name),
        ["renamed-copy2", "renamed-copy"]
      )
      const { user_message } = (yield* ask({ agent_id: data.id })).data
      assert.strictEqual((yield* del(path)).status, 204)
      assert.strictEqual((yield* get(path)).status, 404)
      assert.strictEqual((yield* ask({ agent_id: data.id })).status, 404)
      // Chats keep the agent that they run on.
      yield* Agents.untilIdle(user_message.chat_id)
      assert.strictEqual((yield* post(`/chats/${user_message.chat_id}/messages`, { message: "hi" })).status, 200)
      const { active_run } = yield* Agents.untilIdle(user_message.chat_id)
      assert.strictEqual(active_run.state, "completed")
    }).pipe(Effect.provide(Agents.serve([model.app])))
  })

  it.effect("take over a chat", () => {
    const model = Agents.scripted()
    return Effect.gen(function* () {
      const created = (yield* post("/agents", { namespace: "acme", name: "helper", version: prompted("helper") })).data
      const { chatId } = yield* Agents.say("hi", prompted("first"))
      yield* Agents.untilIdle(chatId)
      yield* post("/agents", { id: created.id, version: prompted("newer") })
      const taken = yield* post(`/chats/${chatId}/agent`, { agent: `acme/helper@${created.version_id}` })
      assert.deepStrictEqual([taken.status, taken.data.id], [200, created.id])
      assert.strictEqual(taken.data.version.system_prompt, "helper")
      assert.strictEqual((yield* Agents.chat(chatId)).agent_id, created.id)
      yield* post(`/chats/${chatId}/messages`, { message: "hi" })
      yield* Agents.untilIdle(chatId)
      assert.strictEqual(model.inputs.at(-1).system_prompt, "helper")
      assert.strictEqual((yield* post(`/chats/${chatId}/agent`, { agent: "acme/unknown" })).status, 404)
      assert.strictEqual((yield* post(`/chats/${chatId}/agent`, {})).status, 400)
    }).pipe(Effect.provide(Agents.serve([model.app])))
  })

  it.effect("can be there from the start", () => {
    const model = Agents.scripted()
    const templates = [
      { ref: "acme/helper@1", config: prompted("one") },
      { ref: "acme/helper@2", config: prompted("two") }
    ]
    const server = Effect.gen(function* () {
      const app = yield* Server.make<Apps.Journal>({
        apps: [model.app],
        templates,
        directory: "unused",
        isPersistent: false,
        numbering: "current",
        instances: { maxInstances: 4, idleTimeout: Duration.minutes(1) },
        maxSessions: 1,
        maxTasks: 100,
        maxChats: 100,
        shutdownTimeout: Duration.zero,
        webhookHosts: [],
        settings: {
          apiKey: undefined,
          baseUrl: undefined,
          envelope: "v3",
          heartbeatInterval: "10 seconds",
          maxBodySize: 1024 ** 2,
          maxFileSize: 1024 ** 2,
          uploadExpiry: Duration.minutes(1)
        }
      })
      return InProcess.make(app)
    })
    const surroundings = Layer.mergeAll(FetchHttpClient.layer, Apps.layerJournal, NodeContext.layer)
    return Effect.gen(function* () {
      assert.strictEqual(yield* promptOf(model, { agent: "acme/helper" }), "two")
      assert.strictEqual(yield* promptOf(model, { agent: "acme/helper@1" }), "one")
      assert.strictEqual((yield* get("/agents/acme/helper@1")).data.version.system_prompt, "one")
      assert.strictEqual((yield* post("/agents/list")).data.total_items, 1)
    }).pipe(Effect.provide(Layer.scoped(HttpClient.HttpClient, server).pipe(Layer.provide(surroundings))))
  })
})
