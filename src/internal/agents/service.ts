import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { type AgentConfig, InternalToolGroup, Stored, Version } from "../../AgentConfig.js"
import type * as Agents from "../../Agents.js"
import type * as ApiClient from "../../ApiClient.js"
import * as Chat from "../../Chat.js"
import type * as Files from "../../Files.js"
import { Attribute } from "../../Telemetry.js"
import type * as Tool from "../../Tool.js"
import { list } from "../pagination.js"
import * as Payload from "../payload.js"
import * as Telemetry from "../telemetry.js"
import { field, type Json, JsonObject } from "../wire.js"
import * as Calls from "./calls.js"
import * as ChatApi from "./chatApi.js"
import * as Config from "./config.js"
import * as Conversation from "./conversation.js"
import * as Observe from "./observe.js"

const ChatStatus = Schema.Struct({ status: field("status", Schema.String) })

// Each tool needs no more than all of them together, which TypeScript does not see through the conditional types.
const typed = <Tools extends ReadonlyArray<Tool.Any>>(tools: Tools | undefined) =>
  (tools ?? []) as ReadonlyArray<Tool.Tool<string, Tool.Errors<Tools[number]>, Tool.Requirements<Tools[number]>>>

export const make = (api: ApiClient.Service, files: Files.Service): Agents.Service => {
  const chats = ChatApi.make(api)
  const stored = (ref: string) => api.request({ path: refPath(ref), schema: Stored })
  const dependencies = { api, stored, chats, files, claims: Calls.makeClaims() }

  const chatPath = ChatApi.pathOf
  const agentPath = (id: string) => `/agents/${encodeURIComponent(id)}`
  /** A reference keeps its slash: it is two parts of the path. */
  const refPath = (ref: string) => `/agents/${ref.split("/").map(encodeURIComponent).join("/")}`

  const aboutChat = (id: string) => ({ [Attribute.chatId]: id })
  const aboutAgent = (id: string) => ({ [Attribute.agentId]: id })

  const post = <A, I>(path: string, schema: Schema.Schema<A, I>, body?: unknown) =>
    api.request({ method: "POST", path, body, schema })

  const remove = (path: string) => Effect.asVoid(api.request({ method: "DELETE", path, schema: Schema.Unknown }))

  /** An update replaces all that it does not name by nothing: what is there is sent along. */
  const change = <A, I>(path: string, changes: Json, schema: Schema.Schema<A, I>) =>
    Effect.flatMap(api.request({ path, schema: JsonObject }), (before) => post(path, schema, { ...before, ...changes }))

  return {
    create: <Tools extends ReadonlyArray<Tool.Any>>(
      agent: string | AgentConfig<Tools>,
      options: Agents.Options & { readonly tools?: Tools } = {}
    ) => Conversation.make(dependencies, agent, typed((typeof agent === "string" ? options : agent).tools), options),

    getChat: (id) => chats.get(id).pipe(Telemetry.operation("Agents.getChat", aboutChat(id))),

    listChats: (query) =>
      list(api, { method: "POST", path: "/chats/list" }, Chat.Chat, query).pipe(
        Telemetry.streamOperation("Agents.listChats")
      ),

    updateChat: (id, changes) =>
      change(chatPath(id), changes, Chat.Chat).pipe(Telemetry.operation("Agents.updateChat", aboutChat(id))),

    removeChat: (id) => remove(chatPath(id)).pipe(Telemetry.operation("Agents.removeChat", aboutChat(id))),

    stopChat: (id) => chats.stop(id).pipe(Telemetry.operation("Agents.stopChat", aboutChat(id))),

    chatStatus: (id) =>
      Effect.map(
        api.request({ path: `${chatPath(id)}/status`, schema: ChatStatus }),
        ({ status }) => status ?? "idle"
      ).pipe(Telemetry.operation("Agents.chatStatus", aboutChat(id))),

    chatTrace: (id) =>
      api
        .request({ path: `${chatPath(id)}/trace`, schema: Schema.Unknown })
        .pipe(Telemetry.operation("Agents.chatTrace", aboutChat(id))),

    cancelMessage: (id) => chats.cancelMessage(id).pipe(Telemetry.operation("Agents.cancelMessage")),

    streamMessages: (id) =>
      Observe.messages(api, chats, id).pipe(Telemetry.streamOperation("Agents.streamMessages", aboutChat(id))),

    streamChat: (id) =>
      Observe.chat(api, chats, id).pipe(Telemetry.streamOperation("Agents.streamChat", aboutChat(id))),

    interrupts: (runId) =>
      Effect.map(
        api.request({
          path: `/agent-runs/${encodeURIComponent(runId)}/interrupts`,
          schema: Schema.NullishOr(Schema.Array(Chat.Interrupt))
        }),
        (interrupts) => interrupts ?? []
      ).pipe(Telemetry.operation("Agents.interrupts", { [Attribute.runId]: runId })),

    submitToolResult: (id, result) => chats.submit(id, result).pipe(Telemetry.operation("Agents.submitToolResult")),

    approve: (id) => chats.approve(id).pipe(Telemetry.operation("Agents.approve")),

    deny: (id, reason) => chats.deny(id, reason).pipe(Telemetry.operation("Agents.deny")),

    list: (query) =>
      list(api, { method: "POST", path: "/agents/list" }, Stored, query).pipe(Telemetry.streamOperation("Agents.list")),

    get: (idOrRef) => stored(idOrRef).pipe(Telemetry.operation("Agents.get", aboutAgent(idOrRef))),

    save: (options, config) =>
      Effect.gen(function* () {
        const encoded = config && (yield* Config.encode(config))
        const version = yield* Payload.withFilesUploaded(options.name, encoded, files.upload)
        return yield* post("/agents", Stored, { ...options, version })
      }).pipe(Telemetry.operation("Agents.save", { [Attribute.agentName]: options.name })),

    update: (id, changes) =>
      change(agentPath(id), changes, Stored).pipe(Telemetry.operation("Agents.update", aboutAgent(id))),

    remove: (id) => remove(agentPath(id)).pipe(Telemetry.operation("Agents.remove", aboutAgent(id))),

    duplicate: (id) =>
      post(`${agentPath(id)}/duplicate`, Stored).pipe(Telemetry.operation("Agents.duplicate", aboutAgent(id))),

    versions: (id, query) =>
      list(api, { method: "POST", path: `${agentPath(id)}/versions/list` }, Version, query).pipe(
        Telemetry.streamOperation("Agents.versions", aboutAgent(id))
      ),

    version: (id, versionId) =>
      api
        .request({ path: `${agentPath(id)}/versions/${encodeURIComponent(versionId)}`, schema: Version })
        .pipe(Telemetry.operation("Agents.version", aboutAgent(id))),

    transfer: (id, teamId) =>
      post(`${agentPath(id)}/transfer`, Stored, { team_id: teamId }).pipe(
        Telemetry.operation("Agents.transfer", aboutAgent(id))
      ),

    setVisibility: (id, visibility) =>
      post(`${agentPath(id)}/visibility`, Stored, { visibility }).pipe(
        Telemetry.operation("Agents.setVisibility", aboutAgent(id))
      ),

    internalTools: Effect.map(
      api.request({ path: "/agents/internal-tools", schema: Schema.NullishOr(Schema.Array(InternalToolGroup)) }),
      (groups) => groups ?? []
    ).pipe(Telemetry.operation("Agents.internalTools")),

    card: (id) =>
      api
        .request({ path: `${agentPath(id)}/card`, schema: Schema.Unknown })
        .pipe(Telemetry.operation("Agents.card", aboutAgent(id)))
  }
}
