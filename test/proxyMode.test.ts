/** Clients in proxy mode: this package's, and the official SDK. */
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as ApiClient from "effect-inferencesh/ApiClient"
import * as BrowserInference from "effect-inferencesh/BrowserInference"
import * as File from "effect-inferencesh/File"
import * as Files from "effect-inferencesh/Files"
import * as Inference from "effect-inferencesh/Inference"
import * as Tasks from "effect-inferencesh/Tasks"
import * as Agents from "./support/agents.js"
import * as Apps from "./support/apps.js"
import * as Http from "./support/http.js"
import * as Sdk from "./support/officialSdk.js"
import * as Proxied from "./support/proxied.js"
import type { Json } from "./support/wire.js"

const proxyUrl = "https://example.com/api/proxy?tenant=1"

const platform = Layer.mergeAll(NodeContext.layer, NodeHttpClient.layerUndici, Apps.layerJournal).pipe(
  Layer.merge(Logger.remove(Logger.defaultLogger))
)

const client = (answer: Http.Answer, options: Partial<ApiClient.ProxyOptions> = {}) => {
  const recorder = Http.recorder(() => answer)
  const layer = Layer.provide(ApiClient.layer({ proxyUrl, retry: false, ...options }), recorder.layer)
  return { layer, sent: recorder.sent }
}

const ask = ApiClient.request({
  method: "POST",
  path: "/chats/c%2F1/messages",
  query: { cursor: "a+b/c=" },
  body: { text: "hi" },
  schema: Schema.Unknown
})

const target = "https://api.inference.sh/chats/c%2F1/messages?cursor=a%2Bb%2Fc%3D"

describe("a client in proxy mode", () => {
  it.effect("sends each request to the proxy, with its target in a header and without a key", () =>
    Effect.gen(function* () {
      const { layer, sent } = client(Http.data("ok"))
      yield* Effect.provide(ask, layer)
      const { url, method, headers, text } = sent[0] ?? assert.fail()
      assert.deepStrictEqual([method, url, text], ["POST", proxyUrl, '{"text":"hi"}'])
      assert.strictEqual(headers["x-inf-target-url"], target)
      assert.notProperty(headers, "authorization")
    })
  )

  it.effect("names the target of a stream in the address as well", () =>
    Effect.gen(function* () {
      const { layer, sent } = client(Http.ndjson({ id: "t1" }))
      yield* Effect.provide(Stream.runDrain(ApiClient.stream({ path: "/tasks/t1/stream" })), layer)
      const address = new URL(sent[0]?.url ?? "")
      assert.strictEqual(address.searchParams.get("__inf_target"), "https://api.inference.sh/tasks/t1/stream")
      assert.strictEqual(address.searchParams.get("tenant"), "1")
      assert.strictEqual(sent[0]?.headers["x-inf-target-url"], "https://api.inference.sh/tasks/t1/stream")
    })
  )

  it.effect("proves who the user is with headers of its own", () =>
    Effect.gen(function* () {
      const { layer, sent } = client(Http.data("ok"), { headers: { authorization: "Bearer of the user" } })
      yield* Effect.provide(ask, layer)
      assert.strictEqual(sent[0]?.headers.authorization, "Bearer of the user")
    })
  )

  it.effect("has fetch send the page's cookies", () =>
    Effect.gen(function* () {
      const inits: Array<RequestInit | undefined> = []
      const fetched: typeof fetch = (_, init) => {
        inits.push(init)
        return Promise.resolve(Response.json({ data: "ok", messages: null }))
      }
      yield* ask.pipe(
        Effect.provide(BrowserInference.layerProxy({ proxyUrl })),
        Effect.provideService(FetchHttpClient.Fetch, fetched)
      )
      assert.deepInclude(inits[0], { credentials: "include", redirect: "manual" })
    })
  )

  it.effect("says what is wrong with a relative proxy URL where there is no page", () =>
    Effect.gen(function* () {
      const { layer, sent } = client(Http.data("ok"), { proxyUrl: "/api/proxy" })
      const error = yield* Effect.flip(Effect.provide(ask, layer))
      assert.deepInclude(error, { _tag: "TransportError", reason: "InvalidUrl" })
      assert.include(error.message, "the proxy URL /api/proxy is not absolute")
      assert.isEmpty(sent)
    })
  )

  it.effect("says that the proxy redirects, also where a browser does not show where to", () =>
    Effect.gen(function* () {
      const opaque = Response.json({})
      Object.defineProperty(opaque, "status", { value: 0 })
      const error = yield* ask.pipe(
        Effect.provide(BrowserInference.layerProxy({ proxyUrl, retry: false })),
        Effect.provideService(FetchHttpClient.Fetch, () => Promise.resolve(opaque)),
        Effect.flip
      )
      assert.include(error.message, "the server redirects")
    })
  )

  it.effect("still refuses addresses of other hosts", () =>
    Effect.gen(function* () {
      const { layer, sent } = client(Http.data("ok"))
      const get = Effect.flatMap(ApiClient.ApiClient, ({ client }) => client.get("https://evil.example/x"))
      const error = yield* Effect.flip(Effect.provide(get, layer))
      assert.strictEqual(error._tag, "RequestError")
      assert.isEmpty(sent)
    })
  )

  it.scopedLive("hears from the proxy what it does not allow", () =>
    Effect.gen(function* () {
      const { proxyUrl } = yield* Proxied.make({ apps: [Apps.echo] }, { apps: ["other/*"] })
      const error = yield* Effect.flip(
        Effect.provide(
          Tasks.run(Apps.Echo, { input: { text: "hi" } }),
          Layer.provide(Inference.layerProxy({ proxyUrl }), [NodeContext.layer, NodeHttpClient.layerUndici])
        )
      )
      assert.strictEqual(error._tag, "Forbidden")
      assert.include(error.message, "the proxy does not allow acme/echo")
    }).pipe(Effect.provide(platform))
  )
})

describe("BrowserInference.layerProxy", () => {
  it.scopedLive("runs apps with the files that browsers have, which go straight to their storage", () =>
    Effect.gen(function* () {
      const { api, proxyUrl } = yield* Proxied.make({ apps: [Apps.reverse] })
      const asked: Array<string> = []
      const fetched: typeof fetch = (input, init) => {
        asked.push(`${init?.method} ${new URL(String(input)).origin}`)
        return fetch(input, init)
      }
      yield* Effect.gen(function* () {
        const bytes = new TextEncoder().encode("abc")
        for (const file of [new Blob(["abc"]), new globalThis.File(["abc"], "a.txt"), bytes, File.fromBytes(bytes)]) {
          const { output } = yield* Tasks.run("acme/reverse", { input: { file } })
          const [uri] = Object.values(output ?? {}).filter((value) => typeof value === "string")
          assert.strictEqual(new TextDecoder().decode(yield* File.bytes(File.fromUri(uri ?? ""))), "cba")
        }
      }).pipe(
        Effect.provide(BrowserInference.layerProxy({ proxyUrl })),
        Effect.provideService(FetchHttpClient.Fetch, fetched)
      )
      const proxy = new URL(proxyUrl).origin
      assert.sameMembers(Array.from(new Set(asked)), [`POST ${proxy}`, `GET ${proxy}`, `PUT ${api}`, `GET ${api}`])
    }).pipe(Effect.provide(platform))
  )

  it.effect("says what to do instead of what needs a disk", () =>
    Effect.gen(function* () {
      const bytes = File.fromBytes(new Uint8Array(3))
      const attempts = {
        upload: Files.upload(File.fromPath("./cat.png")),
        input: Tasks.run("acme/reverse", { input: { file: File.fromPath("./cat.png") } }),
        stream: Files.upload(Stream.make(new Uint8Array(3))),
        save: Files.downloadTo(bytes, "./downloads"),
        read: File.bytes(File.fromPath("./cat.png")),
        exists: File.exists(File.fromPath("./cat.png")),
        metadata: File.refreshMetadata(File.fromPath("./cat.png"))
      }
      for (const [name, attempt] of Object.entries<Effect.Effect<unknown, unknown, BrowserInference.Services>>(
        attempts
      )) {
        const error = yield* Effect.flip(attempt)
        assert.deepInclude(error, { _tag: "FileError", reason: "Unsupported" }, name)
        assert.match(String(error), /there is no file system here. Give its bytes instead: a Blob/)
      }
    }).pipe(
      Effect.provide(BrowserInference.layerProxy({ proxyUrl })),
      Effect.provideService(FetchHttpClient.Fetch, () => Promise.reject(new Error("nothing is to be sent")))
    )
  )
})

describe("the official SDK in proxy mode", () => {
  const words = Agents.makeModel(({ text }) => Agents.words(`You said ${text} .`))

  it.scopedLive("runs apps by streams and by polling, uploads, cancels, and keeps sessions", () =>
    Effect.gen(function* () {
      const { proxyUrl } = yield* Proxied.make({ apps: Apps.all })
      const { inference } = yield* Sdk.load
      yield* Effect.promise(async () => {
        const client = inference({ proxyUrl })
        for (const stream of [true, false]) {
          const counts: Array<number> = []
          const seen = ({ output }: Json) => void (output && counts.push(output.count))
          const task = await client.run(
            { app: "acme/counter", input: { to: 3, every: 50 } },
            { stream, pollIntervalMs: 10, onUpdate: seen, onPartialUpdate: seen }
          )
          assert.deepStrictEqual(task.output, { count: 3 })
          assert.isNotEmpty(counts)
        }
        const reversed = await client.run({ app: "acme/reverse", input: { file: new Blob(["abc"]) } })
        assert.strictEqual(await (await fetch(reversed.output.file)).text(), "cba")
        const task = await client.run({ app: "acme/never", input: {} }, { wait: false })
        while ((await client.tasks.get(task.id)).data.status_text !== "running") {}
        const ended = client.tasks.watch(task).done.catch((error) => error)
        await client.tasks.cancel(task.id)
        assert.include(String(await ended), "cancelled")
        const first = await client.run({ app: "acme/model", input: { prompt: "a" }, session: "new" })
        const second = await client.run({ app: "acme/model", input: { prompt: "a" }, session: first.session_id })
        assert.strictEqual(second.output.runs, 2)
        await client.sessions.end(first.session_id)
        const { data } = await client.tasks.list({ limit: 2 })
        assert.strictEqual((await client.tasks.list({ cursor: data.next_cursor })).data.items.length, 4)
      })
    }).pipe(Effect.provide(platform))
  )

  it.scopedLive("talks with agents, by streams and by polling", () =>
    Effect.gen(function* () {
      const { proxyUrl } = yield* Proxied.make({ apps: [words.app] })
      const { inference } = yield* Sdk.load
      const agent = yield* Effect.acquireRelease(
        Effect.sync(() => inference({ proxyUrl }).agents.create(Agents.config())),
        (agent) => Effect.sync(() => agent.disconnect())
      )
      const messages = new Map<string, Json>()
      const onMessage = (message: Json) => void messages.set(message.id, message)
      yield* Effect.promise(() => agent.sendMessage("hi", { onMessage }))
      const { text } = yield* Agents.until(
        Effect.sync(() => {
          const last = Array.from(messages.values()).find(({ order }) => order === 2)
          return { status: last?.status, text: last && Agents.textOf(last) }
        }),
        ({ status }) => status === "ready"
      )
      assert.strictEqual(text, "You said hi .")
      const states: Array<string> = []
      const onChat = (chat: Json) => void states.push(chat.status)
      const polled = inference({ proxyUrl }).agents.create(Agents.config())
      yield* Effect.promise(() => polled.sendMessage("hi", { stream: false, pollIntervalMs: 10, onChat }))
      assert.strictEqual(states.at(-1), "idle")
    }).pipe(Effect.provide(platform))
  )

  it.scopedLive("is told what the proxy does not allow, in its own errors", () =>
    Effect.gen(function* () {
      const { proxyUrl } = yield* Proxied.make({ apps: [Apps.echo] }, { apps: ["b/*"] })
      const { inference } = yield* Sdk.load
      const run = { app: "acme/echo", input: { text: "a" } }
      const error = yield* Effect.promise(() => inference({ proxyUrl }).run(run).catch(String))
      assert.include(String(error), "HTTP 403: the proxy does not allow acme/echo")
    }).pipe(Effect.provide(platform))
  )
})
