/** How a server tells of the ends of tasks. */
import * as FileSystem from "@effect/platform/FileSystem"
import * as NodeContext from "@effect/platform-node/NodeContext"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as TestClock from "effect/TestClock"
import * as LocalServer from "effect-inferencesh/LocalServer"
import * as Agents from "./support/agents.js"
import * as Apps from "./support/apps.js"
import * as Http from "./support/http.js"
import { post, submit, task } from "./support/wire.js"

type Options = Omit<LocalServer.Options, "apps">

const surroundings = Layer.merge(Apps.layerJournal, NodeContext.layer)

/** A server that reaches others with this client. */
const serve = (network: Http.Recorder, options: Options = {}) =>
  LocalServer.layerHttpClient({ ...options, apps: Apps.all }).pipe(
    Layer.provide(network.layer),
    Layer.provide(surroundings)
  )

const hook = "http://127.0.0.1:9000/done?token=secret"

const notes = (id: string) =>
  Effect.map(task(id), ({ logs }) => logs.map(({ content }: { content: string }) => content))

const run = (webhook: string, app = "acme/echo", input: unknown = { text: "hi" }) => submit(app, input, { webhook })

describe("a webhook", () => {
  it.effect("is told of the end of a task, as it can be read then", () => {
    const network = Http.recorder(() => Http.reply(204))
    return Effect.gen(function* () {
      const completed = yield* run(hook)
      const failed = yield* run("http://hooks.localhost/", "acme/failing", { message: "out of luck" })
      const cancelled = yield* run("http://[::1]:9000/", "acme/never", {})
      yield* TestClock.adjust("1 second")
      yield* post(`/tasks/${cancelled}/cancel`)
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(
        network.sent.map(({ method, url }) => `${method} ${url}`),
        [`POST ${hook}`, "POST http://hooks.localhost/", "POST http://[::1]:9000/"]
      )
      assert.match(network.sent[0]?.headers["content-type"] ?? "", /^application\/json/)
      for (const [i, id] of [completed, failed, cancelled].entries()) {
        assert.deepStrictEqual(JSON.parse(network.sent[i]?.text ?? ""), yield* task(id))
      }
    }).pipe(Effect.provide(serve(network)))
  })

  it.effect("is told again where it could not answer", () => {
    const network = Http.recorder([
      Http.fails("ECONNREFUSED"),
      Http.reply(503, "", { "retry-after": "20" }),
      Http.never,
      Http.reply(200, "thanks")
    ])
    return Effect.gen(function* () {
      const id = yield* run(hook)
      for (let i = 0; i < 60; i++) yield* TestClock.adjust("1 second")
      assert.strictEqual(network.sent.length, 4)
      assert.isTrue((network.sent[2]?.at ?? 0) - (network.sent[1]?.at ?? 0) >= 20_000)
      assert.isTrue((network.sent[3]?.at ?? 0) - (network.sent[2]?.at ?? 0) >= 10_000)
      assert.deepStrictEqual(yield* notes(id), [])
    }).pipe(Effect.provide(serve(network)))
  })

  it.effect("does not keep the task from its end, whose log says where it was not told", () => {
    const network = Http.recorder(() => Http.reply(500, "no"))
    return Effect.gen(function* () {
      const id = yield* run(hook)
      yield* TestClock.adjust("0 seconds")
      assert.strictEqual((yield* task(id)).status_text, "completed")
      for (let i = 0; i < 60; i++) yield* TestClock.adjust("1 second")
      assert.strictEqual(network.sent.length, 5)
      assert.deepStrictEqual(yield* notes(id), [
        "the webhook http://127.0.0.1:9000/done was not told of the end: it was answered with status 500"
      ])
    }).pipe(Effect.provide(serve(network)))
  })

  for (const [what, answer] of [
    ["refuses", Http.reply(400)],
    ["redirects", Http.reply(302, undefined, { location: "http://example.com/" })]
  ] as const) {
    it.effect(`is told once where it ${what}`, () => {
      const network = Http.recorder([answer])
      return Effect.gen(function* () {
        const id = yield* run(hook)
        yield* TestClock.adjust("1 minute")
        assert.match((yield* notes(id)).join(), /it was answered with status [34]0/)
      }).pipe(Effect.provide(serve(network)))
    })
  }

  it.effect("is on this machine, or a host that the server is to reach", () => {
    const network = Http.recorder(() => Http.reply(200))
    return Effect.gen(function* () {
      const reached = ["https://Hooks.example.com/a", "http://example.com:8080/b"]
      const others = [
        "http://example.com/",
        "http://10.0.0.1/",
        "http://localhost.evil.test/",
        "http://127.0.0.1.evil.test/"
      ]
      const ids = yield* Effect.forEach([...reached, ...others], (url) => run(url))
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(
        network.sent.map(({ url }) => url),
        reached.map((url) => url.toLowerCase())
      )
      for (const id of ids.slice(reached.length)) {
        assert.match((yield* notes(id)).join(), /is neither this machine nor among the server's webhookHosts$/)
      }
    }).pipe(Effect.provide(serve(network, { webhookHosts: ["hooks.example.com", "example.com:8080"] })))
  })

  it.effect("needs an HttpClient", () =>
    Effect.gen(function* () {
      const id = yield* run(hook)
      yield* TestClock.adjust("1 second")
      assert.match((yield* notes(id)).join(), /the server has no HttpClient$/)
    }).pipe(Effect.provide(LocalServer.layerHttpClient({ apps: [Apps.echo] }).pipe(Layer.provide(surroundings))))
  )

  it.effect("is an address, or the request is refused", () => {
    const network = Http.recorder([])
    return Effect.gen(function* () {
      for (const webhook of ["somewhere", "ftp://127.0.0.1/", "https://", 7, { url: hook }]) {
        const { status, json } = yield* post("/apps/run", { app: "acme/echo", input: { text: "" }, webhook })
        assert.deepStrictEqual([status, json.errors?.[0]?.field], [400, "webhook"])
      }
      assert.strictEqual((yield* post("/tasks/list")).data.items.length, 0)
    }).pipe(Effect.provide(serve(network)))
  })

  it.scoped("is told of tasks that a restart has ended", () =>
    Effect.gen(function* () {
      const network = Http.recorder(() => Http.reply(200))
      const dataDirectory = yield* Effect.flatMap(FileSystem.FileSystem, (fs) => fs.makeTempDirectoryScoped())
      const before = yield* Layer.build(serve(network, { dataDirectory }))
      const id = yield* Effect.provide(run(hook, "acme/never", {}), before)
      assert.strictEqual(network.sent.length, 0)
      yield* Agents.until(Effect.provide(task(id), before), ({ status_text }) => status_text === "running")
      const after = yield* Layer.build(Layer.fresh(serve(network, { dataDirectory })))
      yield* Agents.until(
        Effect.sync(() => network.sent.length),
        (count) => count === 1
      )
      assert.strictEqual(JSON.parse(network.sent[0]?.text ?? "").status_text, "failed")
      assert.strictEqual((yield* Effect.provide(task(id), after)).status_text, "failed")
    }).pipe(Effect.provide(NodeContext.layer))
  )
})
