import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import * as FileSystem from "@effect/platform/FileSystem"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as NodeContext from "@effect/platform-node/NodeContext"
import { assert, describe, it } from "@effect/vitest"
import * as Chunk from "effect/Chunk"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import * as LocalServer from "effect-inferencesh/LocalServer"
import * as Apps from "./support/apps.js"
import {
  del,
  events,
  get,
  type Json,
  lines,
  merge,
  origin,
  post,
  request,
  runTask,
  send,
  onPort as servedOnPort,
  submit,
  task
} from "./support/wire.js"

type Options = Omit<LocalServer.Options, "apps">

const surroundings = Layer.mergeAll(Layer.provideMerge(FetchHttpClient.layer, Apps.layerJournal), NodeContext.layer)

const inProcess = (options: Options = {}) =>
  Layer.provideMerge(LocalServer.layerHttpClient({ ...options, apps: Apps.all }), surroundings)

const onPort = (options: Options = {}) =>
  Layer.provideMerge(servedOnPort(LocalServer.layer({ ...options, apps: Apps.all })), surroundings)

const bytes = new TextEncoder().encode("forwards")

const createFile = (file: Json = {}) =>
  Effect.map(
    post("/files", { files: [{ uri: "", filename: "words.txt", content_type: "text/plain", size: 8, ...file }] }),
    ({ data }) => data[0]
  )

const put = (url: string, body: Uint8Array, type = "text/plain") =>
  send(HttpClientRequest.put(url).pipe(HttpClientRequest.bodyUint8Array(body, type)))

const upload = Effect.gen(function* () {
  const file = yield* createFile()
  assert.strictEqual((yield* put(file.upload_url, bytes)).status, 200)
  return file
})

const statuses = (task: Json, names = current): ReadonlyArray<string> =>
  task.events.map((event: Json) => names[event.status])

const current =
  "unknown received queued scheduled preparing serving setting_up running cancelling uploading completed failed cancelled".split(
    " "
  )

const cold = ["received", "queued", "scheduled", "preparing", "serving", "setting_up", "running"]

for (const [name, serve] of [
  ["in process", inProcess],
  ["on a port", onPort]
] as const) {
  describe(`LocalServer ${name}`, () => {
    it.live("runs a task, and tells its story", () =>
      Effect.gen(function* () {
        const reply = yield* post("/apps/run", { app: "acme/echo", input: { text: "ab", times: 2 } })
        assert.strictEqual(reply.status, 200)
        assert.strictEqual(reply.data.status_text, "received")
        assert.isNull(reply.json.messages)
        const state = merge(yield* Stream.runCollect(events(reply.data.id)))
        assert.strictEqual(state.status, 10)
        assert.strictEqual(state.status_text, "completed")
        assert.deepStrictEqual(state.output, { text: "abab" })
        assert.deepStrictEqual(statuses(state), [...cold, "completed"])
        const warm = yield* runTask("acme/echo@7k2m9qd4", { text: "c" })
        assert.deepStrictEqual(warm.output, { text: "c" })
        assert.deepStrictEqual(statuses(yield* task(warm.id)), [
          ...cold.filter((s) => !s.startsWith("se")),
          "completed"
        ])
        assert.strictEqual((yield* get(`/tasks/${warm.id}/status`)).data.status, 10)
      }).pipe(Effect.provide(serve()))
    )

    it.live("answers SSE unless asked for lines", () =>
      Effect.gen(function* () {
        const { id } = yield* runTask("acme/echo", { text: "a" })
        const all = Chunk.toReadonlyArray(yield* Stream.runCollect(lines(`/tasks/${id}/stream`, "text/event-stream")))
        assert.strictEqual(JSON.parse(all[0]?.slice("data: ".length) ?? "").id, id)
        assert.deepStrictEqual(all.slice(-3), ["event: done", "data: {}", ""])
      }).pipe(Effect.provide(serve()))
    )

    it.live("takes files in, and gives files out", () =>
      Effect.gen(function* () {
        const file = yield* upload
        const run = yield* runTask("acme/reverse", { file: file.uri })
        assert.strictEqual(run.status_text, "completed")
        assert.strictEqual(run.output.size, 8)
        assert.match(run.output.file, /^https?:.*\/app\/files\/[0-9a-z]{26}\/reversed-words\.txt$/)
        assert.include(statuses(yield* task(run.id)), "uploading")
        const plain = HttpClientRequest.get(run.output.file)
        const reply = yield* send(plain)
        assert.strictEqual(reply.text, "sdrawrof")
        assert.strictEqual(reply.headers["content-length"], "8")
        assert.strictEqual(reply.headers["content-type"], "text/plain")
        const head = yield* send(HttpClientRequest.head(run.output.file))
        assert.strictEqual(head.headers["content-length"], "8")
        assert.strictEqual(head.text, "")
      }).pipe(Effect.provide(serve()))
    )

    it.live("guards its upload URLs", () =>
      Effect.gen(function* () {
        const file = yield* createFile()
        assert.strictEqual((yield* put(file.upload_url, bytes, "text/html")).status, 403)
        assert.strictEqual((yield* put(`${file.upload_url}0`, bytes)).status, 403)
        assert.strictEqual((yield* put(file.upload_url.replace(/expires=\d/, "expires=9"), bytes)).status, 403)
        assert.strictEqual((yield* put(file.upload_url, bytes.slice(1))).status, 400)
        const chunked = HttpClientRequest.bodyStream(Stream.make(bytes), { contentType: "text/plain" })
        assert.strictEqual((yield* send(chunked(HttpClientRequest.put(file.upload_url)))).status, 411)
        assert.strictEqual((yield* send(HttpClientRequest.get(file.uri))).status, 404)
        const streamed = HttpClientRequest.bodyStream(Stream.make(bytes.slice(0, 3), bytes.slice(3)), {
          contentType: "text/plain",
          contentLength: 8
        })
        assert.strictEqual((yield* send(streamed(HttpClientRequest.put(file.upload_url)))).status, 200)
        assert.strictEqual((yield* send(HttpClientRequest.get(file.uri))).text, "forwards")
        const large = yield* createFile({ size: undefined })
        assert.strictEqual((yield* put(large.upload_url, new Uint8Array(1001))).status, 413)
        assert.strictEqual((yield* post("/files", { files: [{ uri: "", size: 1001 }] })).status, 413)
      }).pipe(Effect.provide(serve({ maxFileSize: 1000 })))
    )

    it.live("cancels a task, and runs the app's finalizers", () =>
      Effect.gen(function* () {
        const journal = yield* Apps.Journal
        const id = yield* submit("acme/never", {})
        const fiber = yield* Effect.fork(Stream.runCollect(events(id)))
        yield* Effect.repeat(task(id), { until: (task) => task.status_text === "running" })
        assert.strictEqual((yield* post(`/tasks/${id}/cancel`)).status, 200)
        const state = merge(yield* Fiber.join(fiber))
        assert.strictEqual(state.status, 12)
        assert.deepStrictEqual(statuses(state).slice(-3), ["running", "cancelling", "cancelled"])
        assert.deepStrictEqual(journal.events(), ["never started", "never released"])
        assert.strictEqual((yield* post(`/tasks/${id}/cancel`)).status, 200)
        assert.strictEqual((yield* task(id)).status_text, "cancelled")
      }).pipe(Effect.provide(serve()))
    )

    it.live("closes with streams still open", () =>
      Effect.gen(function* () {
        const scope = yield* Scope.make()
        const context = yield* Layer.buildWithScope(serve(), scope)
        yield* Effect.gen(function* () {
          const journal = yield* Apps.Journal
          const id = yield* submit("acme/never", {})
          const open = yield* Deferred.make<void>()
          const seen = Stream.tap(events(id), () => Deferred.succeed(open, undefined))
          const fiber = yield* Effect.fork(Stream.runCollect(seen))
          yield* Deferred.await(open)
          yield* Effect.repeat(task(id), { until: (task) => task.status_text === "running" })
          yield* Scope.close(scope, Exit.void)
          assert.deepStrictEqual(journal.events(), ["never started", "never released"])
          assert.strictEqual(merge(yield* Fiber.join(fiber)).status_text, "cancelled")
        }).pipe(Effect.provide(context))
      })
    )

    it.live("limits the size of bodies", () =>
      Effect.gen(function* () {
        const body = { app: "acme/echo", input: { text: "x".repeat(2000) } }
        assert.strictEqual((yield* post("/apps/run", body)).status, 413)
        const chunks = Stream.make(new TextEncoder().encode(JSON.stringify(body)))
        const chunked = request("POST", "/apps/run").pipe(HttpClientRequest.bodyStream(chunks))
        assert.strictEqual((yield* send(chunked)).status, 413)
        const broken = request("POST", "/apps/run").pipe(HttpClientRequest.bodyText("{"))
        assert.strictEqual((yield* send(broken)).status, 400)
      }).pipe(Effect.provide(serve({ maxBodySize: 1000 })))
    )
  })
}

describe("LocalServer", () => {
  it.effect("sends partial outputs and heartbeats as time passes", () =>
    Effect.gen(function* () {
      const id = yield* submit("acme/counter", { to: 3, every: 15_000 })
      const fiber = yield* Effect.fork(Stream.runCollect(events(id)))
      yield* TestClock.adjust("45 seconds")
      const all = Chunk.toReadonlyArray(yield* Fiber.join(fiber))
      assert.strictEqual(all.filter((event) => event.type === "heartbeat").length, 3)
      assert.strictEqual(all[0].id, id)
      const outputs = all.filter((event) => event.fields?.[0] === "output")
      assert.deepStrictEqual(
        outputs.map((event) => [event.data.output, event.fields, event.data.id]),
        [1, 2, 3].map((count) => [{ count }, ["output", "updated_at"], id])
      )
      assert.strictEqual(merge(all).status_text, "completed")
      const { data } = yield* get(`/tasks/${id}/timings`)
      assert.strictEqual(data.total_duration_ms, 45_000)
      assert.strictEqual(data.events.at(-2).status, "running")
      assert.strictEqual(data.events.at(-2).duration_ms, 45_000)
    }).pipe(Effect.provide(inProcess()))
  )

  it.effect("stops serving a stream as soon as its reader stops", () =>
    Effect.gen(function* () {
      const id = yield* submit("acme/never", {})
      const few = yield* Stream.runCollect(Stream.take(events(id), 1))
      assert.strictEqual(few.length, 1)
      const fiber = yield* Effect.fork(Stream.runDrain(events(id)))
      yield* TestClock.adjust("1 second")
      yield* Fiber.interrupt(fiber)
      const scoped = Effect.scoped(
        Effect.gen(function* () {
          const client = HttpClient.withScope(yield* HttpClient.HttpClient)
          const accept = HttpClientRequest.setHeader("accept", "application/x-ndjson")
          return yield* client.execute(accept(request("GET", `/tasks/${id}/stream`)))
        })
      )
      const closed = yield* Effect.exit(Stream.runDrain((yield* scoped).stream))
      assert.isTrue(Exit.isFailure(closed))
      assert.strictEqual((yield* task(id)).status_text, "running")
    }).pipe(Effect.provide(inProcess()))
  )

  it.effect("fails tasks with the app's own words", () =>
    Effect.gen(function* () {
      const failed = yield* post("/apps/run", { app: "acme/failing", input: { message: "no luck" }, wait: true })
      assert.strictEqual(failed.status, 422)
      assert.strictEqual(failed.json.detail, "no luck")
      const { logs } = (yield* get(`/tasks/${failed.json.task.id}/logs`)).data
      assert.strictEqual(logs[0].content, "about to fail")
      assert.strictEqual(logs[0].log_type, 1)
      assert.strictEqual((yield* runTask("acme/dying", {})).error, "a defect")
      assert.match((yield* runTask("acme/liar", {})).error, /^output: even/)
      assert.match((yield* runTask("acme/model", { prompt: "" }, { setup: { fail: true } })).error, /^setup: no model/)
      assert.strictEqual((yield* runTask("acme/echo", { text: "still here" })).status_text, "completed")
    }).pipe(Effect.provide(inProcess()))
  )

  it.effect("refuses what it cannot run, before there is a task", () =>
    Effect.gen(function* () {
      const refused = (body: Json) => Effect.map(post("/apps/run", body), ({ status, json }) => [status, json])
      const [unknown, problem] = yield* refused({ app: "acme/nothing", input: {} })
      assert.strictEqual(unknown, 404)
      assert.strictEqual(problem.type, "https://api.inference.sh/errors/not_found")
      const [bad, invalid] = yield* refused({ app: "acme/echo", input: { text: 1, times: 1.5 } })
      assert.strictEqual(bad, 400)
      assert.deepStrictEqual(
        invalid.errors.map((error: Json) => error.field),
        ["input.text", "input.times"]
      )
      const [, setup] = yield* refused({ app: "acme/model", input: { prompt: "" }, setup: { name: 1 } })
      assert.strictEqual(setup.errors[0].field, "setup.name")
      const [, fn] = yield* refused({ app: "acme/arithmetic:toString", input: {} })
      assert.strictEqual(fn.errors[0].field, "function")
      for (const body of [{}, { app: "acme" }, { app: "acme/echo@other", input: {} }, { app: 3, input: {} }]) {
        assert.include([400, 404], (yield* refused(body))[0])
      }
      assert.strictEqual((yield* get("/nowhere")).status, 404)
      assert.strictEqual((yield* get("/tasks/nope")).status, 404)
      assert.strictEqual((yield* get("/tasks/%zz")).status, 404)
      assert.strictEqual((yield* post("/tasks/list")).data.total_items, 0)
    }).pipe(Effect.provide(inProcess()))
  )

  it.effect("knows apps by every form of their reference", () =>
    Effect.gen(function* () {
      for (const app of ["acme/echo", "app/acme/echo", "acme/echo@latest", "acme/echo@7k2m9qd4", "acme/echo:run"]) {
        assert.deepStrictEqual((yield* runTask(app, { text: "a" })).output, { text: "a" })
      }
      assert.deepStrictEqual((yield* runTask("acme/arithmetic@any:negate", { a: 1 })).output, { negated: -1 })
      assert.deepStrictEqual((yield* runTask("acme/arithmetic", { a: 1 }, { function: "negate" })).output, {
        negated: -1
      })
      const prefixed = yield* post("/v1//run", { app: "acme/echo", input: { text: "a" }, wait: true })
      assert.strictEqual(prefixed.status, 200)
    }).pipe(Effect.provide(inProcess()))
  )

  it.effect("wants a bearer token, the right one where a key is set", () =>
    Effect.gen(function* () {
      const withToken = (token?: string) =>
        Effect.map(
          send(
            HttpClientRequest.get(`${origin}/tasks/x`).pipe(
              token === undefined ? (self) => self : HttpClientRequest.bearerToken(token)
            )
          ),
          ({ status }) => status
        )
      const ask = Effect.all([withToken(), withToken("key"), withToken("secret")])
      assert.deepStrictEqual(yield* Effect.provide(ask, inProcess()), [401, 404, 404])
      const locked = inProcess({ apiKey: Redacted.make("secret") })
      assert.deepStrictEqual(yield* Effect.provide(ask, locked), [401, 401, 404])
    })
  )

  it.effect("speaks both status numberings, and all envelopes", () =>
    Effect.gen(function* () {
      const run = Effect.gen(function* () {
        const done = (yield* post("/apps/run", { app: "acme/reverse", input: { file: "data:,ab" }, wait: true })).json
        const id = yield* submit("acme/never", {})
        return [done, id] as const
      })
      const [documented] = yield* Effect.provide(run, inProcess({ statusNumbering: "documented" }))
      assert.deepStrictEqual([documented.data.status, documented.data.status_text], [9, "completed"])
      const [v1] = yield* Effect.provide(run, inProcess({ envelope: "v1" }))
      assert.deepStrictEqual([v1.success, v1.data.status], [true, 10])
      const [v2] = yield* Effect.provide(run, inProcess({ envelope: "v2" }))
      assert.strictEqual(v2.status, 10)
    })
  )

  it.effect("has no integer for cancelling in the documented numbering", () =>
    Effect.gen(function* () {
      const id = yield* submit("acme/never", {})
      const fiber = yield* Effect.fork(Stream.runCollect(events(id)))
      yield* TestClock.adjust("1 second")
      yield* post(`/tasks/${id}/cancel`)
      const seen = Chunk.toReadonlyArray(yield* Fiber.join(fiber)).map((event) => event.data ?? event)
      const codes = seen.map((state) => [state.status, state.status_text])
      assert.deepStrictEqual(codes.slice(-2), [
        [7, "cancelling"],
        [11, "cancelled"]
      ])
    }).pipe(Effect.provide(inProcess({ statusNumbering: "documented" })))
  )

  it.effect("lists tasks in pages", () =>
    Effect.gen(function* () {
      const ids = yield* Effect.forEach(["a", "b", "c", "d", "e"], (text) => submit("acme/echo", { text }))
      yield* runTask("acme/dying", {})
      const page = (cursor?: string) =>
        Effect.map(
          post("/tasks/list", {
            limit: 2,
            cursor,
            filters: [{ field: "app", operator: "eq", value: "acme/echo@7k2m9qd4" }]
          }),
          ({ data }) => data
        )
      const first = yield* page()
      assert.strictEqual(first.total_items, 5)
      assert.isTrue(first.has_next)
      yield* submit("acme/echo", { text: "newer" })
      const second = yield* page(first.next_cursor)
      const third = yield* page(second.next_cursor)
      assert.isFalse(third.has_next)
      const seen = [first, second, third].flatMap(({ items }) => items.map((item: Json) => item.id))
      assert.deepStrictEqual(seen, ids.reverse())
      const failed = yield* post("/tasks/list", {
        filters: [{ field: "status", operator: "in", value: [11, "cancelled"] }]
      })
      assert.strictEqual(failed.data.items.length, 1)
      const count = (field: string, operator: string, value: string) =>
        Effect.map(post("/tasks/list", { filters: [{ field, operator, value }] }), ({ data }) => data.total_items)
      assert.strictEqual(yield* count("app_id", "contains", "acme/ech"), 6)
      assert.strictEqual(yield* count("app", "not_contains", "acme"), 0)
      assert.strictEqual(yield* count("status", "contains", "comp"), 6)
      const named = yield* post("/tasks/list", { search: { term: "DYING" } })
      assert.deepStrictEqual(
        named.data.items.map(({ app_id }: Json) => app_id),
        ["acme/dying"]
      )
      assert.strictEqual((yield* post("/tasks/list", { sort: [{ field: "rating", dir: "asc" }] })).status, 400)
      assert.strictEqual((yield* post("/tasks/list", { cursor: "?" })).status, 400)
    }).pipe(Effect.provide(inProcess()))
  )

  it.effect("gives up a task that does not let itself be cancelled", () =>
    Effect.gen(function* () {
      const id = yield* submit("acme/stubborn", {})
      yield* TestClock.adjust("1 second")
      yield* post(`/tasks/${id}/cancel`)
      yield* TestClock.adjust("29 seconds")
      assert.strictEqual((yield* task(id)).status_text, "cancelling")
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* task(id)).status_text, "cancelled")
      const next = yield* submit("acme/stubborn", {})
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* task(next)).status_text, "queued")
      yield* post(`/tasks/${next}/cancel`, { force: true })
      yield* TestClock.adjust("1 hour")
      assert.strictEqual((yield* task(next)).status_text, "cancelled")
    }).pipe(Effect.provide(inProcess()))
  )

  it.effect("waits for run_at", () =>
    Effect.gen(function* () {
      const id = yield* submit("acme/echo", { text: "later" }, { run_at: new Date(60_000).toISOString() })
      yield* TestClock.adjust("59 seconds")
      assert.strictEqual((yield* task(id)).status_text, "received")
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* task(id)).status_text, "completed")
    }).pipe(Effect.provide(inProcess()))
  )

  it.effect("answers with the end of a task where the request waits for it", () =>
    Effect.gen(function* () {
      const wait = (body: Json) => post("/apps/run", { ...body, wait: true })
      const later = new Date(60_000).toISOString()
      const waiting = yield* Effect.fork(wait({ app: "acme/echo", input: { text: "later" }, run_at: later }))
      yield* TestClock.adjust("59 seconds")
      assert.isTrue(Option.isNone(yield* Fiber.poll(waiting)))
      yield* TestClock.adjust("1 second")
      const { status, data } = yield* Fiber.join(waiting)
      assert.deepStrictEqual([status, data.status_text, data.output], [200, "completed", { text: "later" }])
      const failed = yield* wait({ app: "acme/failing", input: { message: "out of luck" } })
      assert.deepStrictEqual([failed.status, failed.json.detail], [422, "out of luck"])
      assert.strictEqual(failed.json.task.status_text, "failed")
      const never = yield* Effect.fork(wait({ app: "acme/never", input: {} }))
      yield* TestClock.adjust("1 second")
      yield* post(`/tasks/${(yield* post("/tasks/list")).data.items[0].id}/cancel`)
      yield* TestClock.adjust("1 second")
      const cancelled = yield* Fiber.join(never)
      assert.deepStrictEqual([cancelled.status, cancelled.json.detail], [422, "the task was cancelled"])
    }).pipe(Effect.provide(inProcess()))
  )

  it.effect("refuses a run_at that is no time, and runs at once what was to run earlier", () =>
    Effect.gen(function* () {
      const body = { app: "acme/echo", input: { text: "" } }
      const { status, json } = yield* post("/apps/run", { ...body, run_at: "tomorrow" })
      assert.deepStrictEqual([status, json.errors[0].field], [400, "run_at"])
      yield* TestClock.adjust("1 hour")
      const run = yield* runTask("acme/echo", { text: "now" }, { run_at: new Date(0).toISOString() })
      assert.strictEqual(run.status_text, "completed")
    }).pipe(Effect.provide(inProcess()))
  )

  it.effect("removes tasks and files", () =>
    Effect.gen(function* () {
      const journal = yield* Apps.Journal
      const id = yield* submit("acme/never", {})
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* del(`/tasks/${id}`)).status, 204)
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(journal.events(), ["never started", "never released"])
      assert.strictEqual((yield* get(`/tasks/${id}`)).status, 404)
      const file = yield* upload
      assert.strictEqual((yield* get(`/files/${file.id}`)).data.size, 8)
      assert.strictEqual((yield* post("/files/list")).data.items[0].filename, "words.txt")
      assert.strictEqual((yield* del(`/files/${file.id}`)).status, 204)
      assert.strictEqual((yield* send(HttpClientRequest.get(file.uri))).status, 404)
      const { data } = yield* post(`/tasks/${yield* submit("acme/echo", { text: "" })}/visibility`, {
        visibility: "public"
      })
      assert.strictEqual(data.visibility, "public")
    }).pipe(Effect.provide(inProcess()))
  )

  it.effect("lets upload URLs expire", () =>
    Effect.gen(function* () {
      const file = yield* createFile()
      yield* TestClock.adjust("15 minutes")
      assert.strictEqual((yield* put(file.upload_url, bytes)).status, 403)
    }).pipe(Effect.provide(inProcess()))
  )

  it.effect("reads no file of the disk for an input, and writes none outside of its directory", () =>
    Effect.gen(function* () {
      for (const file of [
        "/etc/hostname",
        "file:///etc/hostname",
        { uri: "https://x.test/a", path: "/etc/hostname" }
      ]) {
        const run = yield* Effect.fork(runTask("acme/reverse", { file }))
        // The disk takes its own time between the attempts to fetch the file.
        yield* Effect.repeat(TestClock.adjust("5 minutes"), { until: () => Effect.map(Fiber.poll(run), Option.isSome) })
        assert.strictEqual((yield* Fiber.join(run)).status_text, "failed")
      }
      const escaping = yield* createFile({ filename: "../../../evil name\u0000.txt" })
      assert.match(escaping.uri, /\/[0-9a-z]{26}\/evil%20name_\.txt$/)
      assert.strictEqual((yield* put(escaping.upload_url, bytes)).status, 200)
      const run = yield* runTask("acme/reverse", { file: { uri: escaping.uri } })
      assert.strictEqual(run.output.size, 8)
    }).pipe(Effect.provide(inProcess()))
  )

  it.scoped("leaves nothing behind when its scope closes", () =>
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const journal = yield* Apps.Journal
      const parent = yield* fs.makeTempDirectoryScoped()
      const made: Array<string> = []
      const watched = {
        ...fs,
        makeTempDirectoryScoped: () =>
          Effect.tap(fs.makeTempDirectoryScoped({ directory: parent }), (path) => Effect.sync(() => made.push(path)))
      }
      const scope = yield* Scope.make()
      const client = yield* LocalServer.layerHttpClient({ apps: Apps.all }).pipe(
        Layer.provide(Layer.succeed(FileSystem.FileSystem, watched)),
        Layer.buildWithScope(scope)
      )
      yield* Effect.gen(function* () {
        yield* upload
        yield* runTask("acme/model", { prompt: "" })
        yield* submit("acme/never", {})
        yield* TestClock.adjust("1 second")
        assert.strictEqual((yield* fs.readDirectory(parent)).length, 1)
      }).pipe(Effect.provide(client))
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual(made.length, 1)
      assert.deepStrictEqual(yield* fs.readDirectory(parent), [])
      assert.deepStrictEqual(journal.events().slice(2), ["never released", "unload small", "finalizer small"])
    }).pipe(Effect.provide(surroundings))
  )
})
