/** What the official JavaScript SDK does with tasks, files and sessions of a server, over a port. */
import { createServer } from "node:http"
import * as HttpServer from "@effect/platform/HttpServer"
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { assert, layer } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as LocalServer from "effect-inferencesh/LocalServer"
import * as Apps from "./support/apps.js"
import { quiet } from "./support/hosts.js"
import * as Sdk from "./support/officialSdk.js"
import type { Json } from "./support/wire.js"

interface Server {
  readonly baseUrl: string
  readonly client: Sdk.Client
  readonly clientWith: (key: string) => Sdk.Client
}

const Official = Context.GenericTag<Server>("test/Official")

const server = Layer.scoped(
  Official,
  Effect.gen(function* () {
    const { address } = yield* HttpServer.HttpServer
    const baseUrl = `http://127.0.0.1:${address._tag === "TcpAddress" ? address.port : 0}`
    const { inference } = yield* Sdk.load
    const clientWith = (apiKey: string) => inference({ apiKey, baseUrl })
    return { baseUrl, client: clientWith("inf_test"), clientWith }
  })
).pipe(
  Layer.provide(LocalServer.layer({ apps: Apps.all, apiKey: Redacted.make("inf_test") })),
  Layer.provide(NodeHttpServer.layer(() => createServer(), { host: "127.0.0.1", port: 0 })),
  Layer.provideMerge(Layer.mergeAll(Apps.layerJournal, NodeContext.layer, NodeHttpClient.layerUndici)),
  quiet
)

const use = <A>(f: (client: Sdk.Client) => Promise<A>) =>
  Effect.flatMap(Official, ({ client }) => Effect.promise(() => f(client)))

/** What the client throws. */
const refusal = (f: (client: Sdk.Client) => Promise<unknown>, client?: Sdk.Client) =>
  Effect.flatMap(Official, (official) =>
    Effect.flip(Effect.tryPromise({ try: () => f(client ?? official.client), catch: String }))
  )

const until = (client: Sdk.Client, id: string, status: string): Promise<Json> =>
  client.tasks.get(id).then(({ data }) => (data.status_text === status ? data : until(client, id, status)))

layer(server, { excludeTestServices: true })("the official SDK", (it) => {
  it.effect("runs an app and waits, over a stream and by polling", () =>
    use(async (client) => {
      for (const stream of [true, false]) {
        const updates: Array<Json> = []
        const task = await client.run(
          { app: "acme/counter", input: { to: 2, every: 50 } },
          { stream, pollIntervalMs: 10, onUpdate: (task) => void updates.push(task) }
        )
        assert.deepStrictEqual(task.output, { count: 2 })
        assert.isNotEmpty(updates)
      }
    })
  )

  it.effect("hears of partial outputs", () =>
    use(async (client) => {
      const counts: Array<number> = []
      const seen = (task: Json) => {
        if (task.output) counts.push(task.output.count)
      }
      const input = { to: 4, every: 20 }
      await client.run({ app: "acme/counter", input }, { onUpdate: seen, onPartialUpdate: seen })
      assert.deepStrictEqual(Array.from(new Set(counts)), [1, 2, 3, 4])
    })
  )

  it.effect("fires and forgets, looks again, cancels, lists, and reads the log", () =>
    use(async (client) => {
      const task = await client.run({ app: "acme/never", input: {} }, { wait: false })
      assert.notProperty(task, "done")
      await until(client, task.id, "running")
      const ended = client.tasks.watch(task).done.catch((error) => error)
      await client.tasks.cancel(task.id)
      assert.include(String(await ended), "cancelled")
      await until(client, task.id, "cancelled")
      const prompt = await client.run({ app: "acme/model", input: { prompt: "a" } })
      const { data: listed } = await client.tasks.list({ limit: 1 })
      assert.deepStrictEqual([listed.items[0].id, listed.items.length, listed.has_next], [prompt.id, 1, true])
      const { data } = await client.tasks.getLogs(prompt.id)
      assert.isTrue(data.logs.some(({ content }: Json) => content === "prompt: a"))
    })
  )

  it.effect("calls each function of an app", () =>
    use(async (client) => {
      const sum = await client.run({ app: "acme/arithmetic", function: "add", input: { a: 1, b: 2 } })
      const negated = await client.run({ app: "acme/arithmetic:negate", input: { a: 1 } })
      assert.deepStrictEqual([sum.output, negated.output], [{ sum: 3 }, { negated: -1 }])
    })
  )

  it.effect("uploads a file, and a Blob in an input", () =>
    use(async (client) => {
      const file = await client.uploadFile(new Blob(["abc"], { type: "text/plain" }), { filename: "a.txt" })
      for (const given of [file.uri, new Blob(["abc"])]) {
        const task = await client.run({ app: "acme/reverse", input: { file: given } })
        assert.strictEqual(await (await fetch(task.output.file)).text(), "cba")
      }
    })
  )

  it.effect("keeps a session: new, continued, kept alive, ended, and lost", () =>
    use(async (client) => {
      const run = (session: string, more: Json = {}) =>
        client.run({ app: "acme/model", input: { prompt: "a" }, session, ...more })
      const first = await run("new", { session_timeout: 60 })
      const id: string = first.session_id
      assert.strictEqual((await run(id)).output.runs, 2)
      const before = (await client.sessions.get(id)).data
      const after = (await client.sessions.keepalive(id)).data
      assert.deepStrictEqual([before.status, before.call_count], ["active", 2])
      assert.isAtLeast(Date.parse(after.expires_at), Date.parse(before.expires_at))
      assert.isTrue((await client.sessions.list()).data.some((session: Json) => session.id === id))
      await client.sessions.end(id)
      assert.strictEqual((await client.sessions.get(id)).data.status, "ended")
      const short = (await run("new", { session_timeout: 1 })).session_id
      while ((await client.sessions.get(short)).data.status === "active") {
        await new Promise((resolve) => setTimeout(resolve, 50))
      }
      const errors = await Promise.all(
        [id, short, "unknown"].map((session) => run(session).catch((error: Json) => [error.statusCode, error.message]))
      )
      assert.deepStrictEqual(errors, [
        [410, `HTTP 410: session ${id} was ended`],
        [410, `HTTP 410: session ${short} has expired`],
        [404, "HTTP 404: session unknown not found"]
      ])
    })
  )

  it.effect("is told of an unknown app, a bad input, a failed task and a wrong key", () =>
    Effect.gen(function* () {
      const { clientWith } = yield* Official
      const run = (app: string, input: unknown) => (client: Sdk.Client) => client.run({ app, input })
      assert.include(yield* refusal(run("acme/unknown", {})), "HTTP 404: app acme/unknown not found")
      assert.include(yield* refusal(run("acme/echo", { text: 1 })), "HTTP 400: the input does not fit acme/echo")
      assert.include(yield* refusal(run("acme/failing", { message: "no luck" })), "no luck")
      assert.include(yield* refusal(run("acme/echo", { text: "a" }), clientWith("wrong")), "HTTP 401")
    })
  )

  it.effect("could read streams of either kind to their end", () =>
    Effect.gen(function* () {
      const { baseUrl, client } = yield* Official
      yield* Effect.promise(async () => {
        const { id } = await client.run({ app: "acme/counter", input: { to: 2, every: 50 } }, { wait: false })
        const read = async (accept: string) => {
          const headers = { accept, authorization: "Bearer inf_test" }
          const response = await fetch(`${baseUrl}/tasks/${id}/stream`, { headers })
          return { type: response.headers.get("content-type"), text: await response.text() }
        }
        const [lines, events] = await Promise.all([read("application/x-ndjson"), read("text/event-stream")])
        assert.deepStrictEqual([lines.type, events.type], ["application/x-ndjson", "text/event-stream"])
        const last: Json = JSON.parse(lines.text.trim().split("\n").at(-1) ?? "")
        assert.strictEqual(last.data.status_text, "completed")
        assert.include(events.text, '"status_text":"completed"')
        assert.isTrue(events.text.endsWith("event: done\ndata: {}\n\n"))
      })
    })
  )
})
