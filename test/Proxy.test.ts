import { createServer } from "node:http"
import * as HttpApp from "@effect/platform/HttpApp"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpServer from "@effect/platform/HttpServer"
import type * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"

import * as Queue from "effect/Queue"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import * as Proxy from "effect-inferencesh/Proxy"
import * as Http from "./support/http.js"

const api = "https://api.inference.sh"
const key = "inf_of_the_server"

type Options = Partial<Proxy.Options>

interface Call {
  readonly method?: string
  readonly body?: unknown
  readonly headers?: Readonly<Record<string, string>>
  readonly signal?: AbortSignal
}

/** A proxy as a web handler: what a framework would mount. */
const handlerOf = (client: HttpClient.HttpClient, options: Options = {}) =>
  Proxy.httpApp({ apiKey: Redacted.make(key), authorize: () => Effect.succeed(true), ...options }).pipe(
    Effect.provideService(HttpClient.HttpClient, client),
    HttpApp.toWebHandler
  )

const requestTo = (url: string, { method = "GET", body, headers = {}, signal }: Call = {}) =>
  new Request(url, {
    method,
    headers: { ...(body !== undefined && { "content-type": "application/json" }), ...headers },
    ...(body !== undefined && { body: typeof body === "string" ? body : JSON.stringify(body) }),
    ...(signal && { signal })
  })

const proxyUrl = "https://example.com/api/inference/proxy"

/** One request by the header, and what came of it. */
const ask = (target: string, call: Call = {}, options: Options = {}, answer: Http.Answer = Http.data("ok")) =>
  Effect.gen(function* () {
    const recorder = Http.recorder(() => answer)
    const handler = handlerOf(recorder.client, options)
    const request = requestTo(proxyUrl, { ...call, headers: { "x-inf-target-url": target, ...call.headers } })
    const response = yield* Effect.promise(() => handler(request))
    const text = yield* Effect.promise(() => response.text())
    return { status: response.status, headers: response.headers, text, sent: recorder.sent }
  })

const run = { method: "POST", body: { app: "acme/echo", input: { text: "hi" } } }

describe("Proxy.httpApp", () => {
  it.effect("sends a request on with the key of the server", () =>
    Effect.gen(function* () {
      const { status, text, sent } = yield* ask(`${api}/apps/run`, run)
      assert.deepStrictEqual([status, text], [200, '{"data":"ok","messages":null}'])
      assert.strictEqual(sent.length, 1)
      const { method, url, headers, text: body } = sent[0] ?? assert.fail()
      assert.deepStrictEqual([method, url], ["POST", `${api}/apps/run`])
      assert.deepStrictEqual(JSON.parse(body), run.body)
      assert.strictEqual(headers.authorization, `Bearer ${key}`)
      assert.strictEqual(headers["content-type"], "application/json")
      assert.strictEqual(headers["x-inf-proxy"], "effect-inferencesh")
    })
  )

  it.effect("takes the target of a GET from the query, decoded once", () =>
    Effect.gen(function* () {
      const recorder = Http.recorder(() => Http.data("ok"))
      const target = `${api}/chats/c1/messages?cursor=${encodeURIComponent("a+b/c%2F=")}`
      yield* Effect.promise(() =>
        handlerOf(recorder.client)(requestTo(`${proxyUrl}?tenant=1&__inf_target=${encodeURIComponent(target)}`))
      )
      assert.deepStrictEqual(
        recorder.sent.map(({ url }) => url),
        [target]
      )
    })
  )

  it.effect("takes nothing but a GET by the query, which pages of other sites could send as well", () =>
    Effect.gen(function* () {
      const recorder = Http.recorder(() => Http.data("ok"))
      const response = yield* Effect.promise(() =>
        handlerOf(recorder.client)(
          requestTo(`${proxyUrl}?__inf_target=${encodeURIComponent(`${api}/apps/run`)}`, {
            ...run,
            headers: { "content-type": "text/plain" }
          })
        )
      )
      assert.strictEqual(response.status, 400)
      assert.include(yield* Effect.promise(() => response.text()), "x-inf-target-url")
      assert.isEmpty(recorder.sent)
    })
  )

  it.effect("says what is wrong with a target", () =>
    Effect.gen(function* () {
      for (const target of ["", "/tasks/t1", "ftp://api.inference.sh/tasks/t1", "https://", "javascript:alert(1)"]) {
        const { status, text, headers, sent } = yield* ask(target)
        assert.deepStrictEqual([target, status, sent.length], [target, 400, 0])
        assert.strictEqual(headers.get("content-type"), "application/problem+json")
        assert.include(JSON.parse(text).detail, "x-inf-target-url")
      }
    })
  )

  it.effect("calls no other place than its base URL, whatever the target names", () =>
    Effect.gen(function* () {
      const targets = [
        "https://evil.example/tasks/t1?a=1",
        "https://evil.example:8443/tasks/t1?a=1",
        "https://user:password@api.inference.sh:8443/tasks/t1?a=1#x",
        "http://gateway.example:8080/inference/tasks/t1?a=1"
      ]
      for (const target of targets) {
        const { sent } = yield* ask(target, {}, { baseUrl: "http://gateway.example:8080/inference/" })
        assert.deepStrictEqual(
          sent.map(({ url }) => url),
          ["http://gateway.example:8080/inference/tasks/t1?a=1"]
        )
      }
    })
  )

  it.effect("says on the server's side that its base URL is none", () =>
    Effect.gen(function* () {
      const { status, text } = yield* ask(`${api}/tasks/t1`, {}, { baseUrl: "api.inference.sh" })
      assert.strictEqual(status, 500)
      assert.include(JSON.parse(text).detail, "baseUrl")
    })
  )

  it.effect("sends on neither the browser's authorization nor its cookies nor where it came from", () =>
    Effect.gen(function* () {
      const { sent } = yield* ask(`${api}/tasks/t1/stream`, {
        headers: {
          authorization: "Bearer of-the-browser",
          cookie: "session=1",
          origin: "https://example.com",
          "x-team-id": "other",
          "x-forwarded-for": "10.0.0.1",
          "x-http-method-override": "DELETE",
          "x-inf-proxy": "someone",
          accept: "application/x-ndjson",
          "user-agent": "Browser/1",
          "x-client-source": "effect-inferencesh",
          "x-inf-trace": "a"
        }
      })
      assert.deepStrictEqual(sent[0]?.headers, {
        accept: "application/x-ndjson",
        "accept-encoding": "identity",
        authorization: `Bearer ${key}`,
        "user-agent": "Browser/1",
        "x-client-source": "effect-inferencesh",
        "x-inf-proxy": "effect-inferencesh",
        "x-inf-trace": "a"
      })
    })
  )

  it.effect("asks who sends a request before anything else is looked at, and tells it what is meant", () =>
    Effect.gen(function* () {
      const asked: Array<unknown> = []
      const authorize = (request: HttpServerRequest.HttpServerRequest, target: Proxy.Target) => {
        asked.push([target, request.cookies.session])
        return Effect.succeed(request.cookies.session === "good")
      }
      const apiKey = Effect.dieMessage("the key was looked up")
      const refused = yield* ask(`${api}/secrets`, { headers: { cookie: "session=bad" } }, { authorize, apiKey })
      assert.deepStrictEqual([refused.status, refused.sent.length], [401, 0])
      assert.include(JSON.parse(refused.text).detail, "authorize")
      const accepted = yield* ask(`${api}/tasks/t1`, { headers: { cookie: "session=good" } }, { authorize })
      assert.strictEqual(accepted.status, 200)
      assert.deepStrictEqual(asked, [
        [{ method: "GET", path: "/secrets" }, "bad"],
        [{ method: "GET", path: "/tasks/t1" }, "good"]
      ])
    })
  )

  it.effect("finds the key for each request, with what that needs", () =>
    Effect.gen(function* () {
      class Keys extends Context.Tag("test/Keys")<Keys, { readonly next: () => string }>() {}
      const recorder = Http.recorder(() => Http.data("ok"))
      const keys = ["inf_1", " inf_2\n", ""]
      const handler = Proxy.httpApp({
        apiKey: Effect.map(Keys, ({ next }) => Redacted.make(next())),
        authorize: () => Effect.succeed(true)
      }).pipe(
        Effect.provideService(Keys, { next: () => keys.shift() ?? "" }),
        Effect.provideService(HttpClient.HttpClient, recorder.client),
        HttpApp.toWebHandler
      )
      const statuses = yield* Effect.forEach([1, 2, 3], () =>
        Effect.promise(() =>
          handler(requestTo(proxyUrl, { headers: { "x-inf-target-url": `${api}/tasks/t1` } })).then((it) => it.status)
        )
      )
      assert.deepStrictEqual(statuses, [200, 200, 401])
      assert.deepStrictEqual(
        recorder.sent.map(({ headers }) => headers.authorization),
        ["Bearer inf_1", "Bearer inf_2"]
      )
    })
  )

  it.effect("fails with what its options fail with", () =>
    Effect.gen(function* () {
      class Broken extends Data.TaggedError("Broken") {}
      const app = Proxy.httpApp({ apiKey: Redacted.make(key), authorize: () => new Broken() })
      const handler = app.pipe(
        Effect.catchTag("Broken", () => Effect.succeed(HttpServerResponse.text("broken"))),
        Effect.provideService(HttpClient.HttpClient, Http.recorder([]).client),
        HttpApp.toWebHandler
      )
      const response = yield* Effect.promise(() =>
        handler(requestTo(proxyUrl, { headers: { "x-inf-target-url": `${api}/tasks/t1` } }))
      )
      assert.strictEqual(yield* Effect.promise(() => response.text()), "broken")
    })
  )

  it.effect("shows the key to nobody, even where the service quotes it or the client cannot send it", () =>
    Effect.gen(function* () {
      const quoted = yield* ask(`${api}/tasks/t1`, {}, {}, Http.problem(401, "unauthorized", `no such key: ${key}`))
      assert.strictEqual(quoted.status, 401)
      assert.include(quoted.text, "no such key: <redacted>")
      const strange = yield* ask(`${api}/tasks/t1`, {}, { apiKey: Redacted.make(`${key}\u2603`) })
      assert.deepStrictEqual([strange.status, strange.sent.length], [502, 0])
      assert.notInclude(strange.text, key)
    })
  )

  it.effect("sends on bodies as they are, and none where there is none", () =>
    Effect.gen(function* () {
      const odd = '{ "app" : "acme/echo", "input": 12345678901234567890 }'
      const { sent } = yield* ask(`${api}/apps/run`, { method: "POST", body: odd })
      assert.strictEqual(sent[0]?.text, odd)
      const none = yield* ask(`${api}/chats/c1/stop`, { method: "POST" })
      assert.strictEqual(none.sent[0]?.text, "")
      assert.notProperty(none.sent[0]?.headers, "content-type")
    })
  )

  it.effect("refuses too large a body", () =>
    Effect.gen(function* () {
      for (const headers of [{}, { "content-length": "1000" }]) {
        const body = JSON.stringify({ app: "acme/echo", input: "x".repeat(100) })
        const { status, text, sent } = yield* ask(
          `${api}/apps/run`,
          { method: "POST", body, headers },
          { maxBodySize: 100 }
        )
        assert.deepStrictEqual([status, sent.length], [413, 0])
        assert.include(text, "larger than 100 bytes")
      }
    })
  )
})

describe("the endpoints of a proxy", () => {
  it.effect("are those that a client needs by default", () =>
    Effect.gen(function* () {
      for (const endpoint of Proxy.defaultEndpoints) {
        const [method = "", path = ""] = endpoint.replace(/:\w+/g, "x1").split(" ")
        const body = method === "GET" ? {} : { body: {} }
        const { status, sent } = yield* ask(api + path, { method, ...body })
        assert.deepStrictEqual([endpoint, status, sent[0]?.path], [endpoint, 200, path])
      }
    })
  )

  it.effect("are no others", () =>
    Effect.gen(function* () {
      const refused = [
        ["GET", "/apps/run"],
        ["DELETE", "/tasks/t1"],
        ["POST", "/tasks/list"],
        ["GET", "/secrets"],
        ["POST", "/agents"],
        ["DELETE", "/files/f1"],
        ["GET", "/sessions"],
        ["GET", "/tasks/t1/stream/more"],
        ["GET", "/Tasks/t1"],
        ["GET", "/TASKS/t1"],
        ["HEAD", "/tasks/t1"],
        ["OPTIONS", "/tasks/t1"],
        ["PUT", "/apps/run"]
      ] as const
      for (const [method, path] of refused) {
        const { status, text, sent } = yield* ask(api + path, { method })
        assert.deepStrictEqual([method, path, status, sent.length], [method, path, 403, 0])
        if (method !== "HEAD") assert.include(JSON.parse(text).detail, `${method} ${path}`)
      }
    })
  )

  it.effect("are met by no path that the service could read as another", () =>
    Effect.gen(function* () {
      const refused = [
        "/tasks/../secrets",
        "/tasks/%2e%2e/secrets",
        "/tasks/%2E./secrets",
        "/tasks/..%2fsecrets",
        "/tasks/..%2Fsecrets",
        "/tasks/..%5csecrets",
        "/tasks/..\\secrets",
        "/tasks/%252e%252e%252fsecrets",
        "/tasks/t1%2fstream",
        "/tasks//secrets",
        "//secrets",
        "//tasks/t1",
        "/tasks/t1/",
        "/tasks/",
        "/tasks/t1;x=1",
        "/tasks/t1%00",
        "/tasks/t1%0d%0aHost:%20evil",
        "/tasks/t1%3Fx",
        "/tasks/t1%23x",
        "/tasks/%E2%80%A5",
        "/tasks/%zz",
        "/v1/secrets"
      ]
      for (const path of refused) {
        const { status, sent } = yield* ask(api + path)
        assert.deepStrictEqual([path, sent.length], [path, 0])
        assert.isTrue(status === 400 || status === 403, `${path}: ${status}`)
      }
    })
  )

  it.effect("may be given", () =>
    Effect.gen(function* () {
      const endpoints = [...Proxy.sessionEndpoints, "POST /tasks/list"] as const
      const seen = yield* Effect.forEach(
        [
          ["GET", "/sessions"],
          ["POST", "/sessions/s1/keepalive"],
          ["DELETE", "/sessions/s1"],
          ["POST", "/tasks/list"],
          ["GET", "/tasks/t1"]
        ] as const,
        ([method, path]) => Effect.map(ask(api + path, { method }, { endpoints }), ({ status }) => status)
      )
      assert.deepStrictEqual(seen, [200, 200, 200, 200, 403])
    })
  )

  it.effect("change no setting of a chat but the one that lets tools run", () =>
    Effect.gen(function* () {
      const change = (body: unknown) => ask(`${api}/chats/c1/settings`, { method: "POST", body })
      assert.strictEqual((yield* change({ allow_all_tools: true })).status, 200)
      for (const body of [{ hooks: [] }, { allow_all_tools: true, visibility: "public" }, { Hooks: [] }, []]) {
        const { status, sent } = yield* change(body)
        assert.isTrue(status === 403 || status === 400)
        assert.isEmpty(sent)
      }
    })
  )
})

describe("the apps of a proxy", () => {
  const apps = ["acme/*", "other/one", "third/pinned@v2"]
  const post = (path: string, body: unknown) => ask(api + path, { method: "POST", body }, { apps })

  it.effect("are run, in any version unless one is named", () =>
    Effect.gen(function* () {
      const refs = ["acme/echo", "acme/echo@v1", "acme/echo@v1:fn", "acme/a.b-c:fn", "app/acme/echo", "other/one@x"]
      for (const app of [...refs, "third/pinned@v2", "third/pinned@v2:fn"]) {
        const { status, sent } = yield* post("/apps/run", { app, input: {}, session: "new" })
        assert.deepStrictEqual([app, status], [app, 200])
        assert.deepStrictEqual(JSON.parse(sent[0]?.text ?? ""), { app, input: {}, session: "new" })
      }
    })
  )

  it.effect("are the only ones", () =>
    Effect.gen(function* () {
      const refused = [
        "evil/echo",
        "acme",
        "acme/",
        "acme/../evil/x",
        "acme/..",
        "acme/a/b",
        "acme%2Fecho",
        "acme/echo%00",
        "acme/echo\n",
        " acme/echo",
        "xacme/echo",
        "Acme/echo",
        "evil/acme/echo",
        "other/one-more",
        "third/pinned",
        "third/pinned@v1",
        "third/pinned@latest",
        "acme/x@v1@v2",
        "",
        null,
        ["acme/echo"],
        undefined
      ]
      for (const app of refused) {
        const { status, sent } = yield* post("/apps/run", { app, input: {} })
        assert.deepStrictEqual([app, status, sent.length], [app, 403, 0])
      }
      const { text } = yield* post("/apps/run", { app: "evil/echo" })
      assert.include(JSON.parse(text).detail, "the proxy does not allow evil/echo")
    })
  )

  it.effect("are named by their references alone, in keys as they are written", () =>
    Effect.gen(function* () {
      const more = [
        { app_id: "a1" },
        { version_id: "v1" },
        { agent_config: { core_app: { ref: "evil/model" } } },
        { App: "evil/echo" },
        { APP_ID: "a1" },
        { Version_Id: "v1" },
        { "ver\u017fion_id": "v1" },
        { agent_Config: {} },
        { core_app: { ref: "evil/model" } },
        { agent_id: "g1" },
        { "app ": "evil/echo" }
      ]
      for (const fields of more) {
        for (const [path, named] of [
          ["/apps/run", { app: "acme/echo" }],
          ["/agents/run", { agent: "acme/helper" }],
          ["/chats", { agent: "acme/helper" }]
        ] as const) {
          const { status, sent } = yield* post(path, { ...named, ...fields })
          assert.deepStrictEqual([path, fields, status, sent.length], [path, fields, 403, 0])
        }
      }
    })
  )

  it.effect("are what is sent on, not what a key that is there twice could make of them", () =>
    Effect.gen(function* () {
      const { sent } = yield* post("/apps/run?app=evil/x", '{"app":"evil/echo","input":{},"app":"acme/echo"}')
      assert.strictEqual(sent[0]?.text, '{"app":"acme/echo","input":{}}')
      assert.strictEqual(sent[0]?.path, "/apps/run")
      for (const body of ["", "[]", "null", "{", '"acme/echo"']) {
        const { status, sent } = yield* post("/apps/run", body)
        assert.deepStrictEqual([body, status, sent.length], [body, 400, 0])
      }
    })
  )

  it.effect("are agents as well, of chats and by their names", () =>
    Effect.gen(function* () {
      const status = (path: string, body: unknown) => Effect.map(post(path, body), ({ status }) => status)
      const agent = (agent: string) => ({ agent, input: { text: "hi" } })
      for (const path of ["/agents/run", "/chats", "/chats/c1/agent"]) {
        assert.deepStrictEqual(
          [yield* status(path, agent("acme/helper")), yield* status(path, agent("evil/helper"))],
          [200, 403]
        )
      }
      assert.strictEqual(yield* status("/agents/run", { chat_id: "c1", input: { text: "go on" } }), 200)
      assert.strictEqual(yield* status("/agents/run", { chat_id: null, input: { text: "go on" } }), 403)
      const read = (path: string) => Effect.map(ask(api + path, {}, { apps }), ({ status }) => status)
      assert.strictEqual(yield* read("/agents/acme/helper@v1"), 200)
      assert.strictEqual(yield* read("/agents/evil/helper"), 403)
    })
  )
})

describe("the replies of a proxy", () => {
  it.effect("are the service's, without what is about its host or the connection", () =>
    Effect.gen(function* () {
      const answer = Http.problem(429, "rate_limited", "slow down", {
        "retry-after": "3",
        "x-request-id": "r1",
        "x-ratelimit-remaining": "0",
        "content-encoding": "gzip",
        "content-length": "7",
        "transfer-encoding": "chunked",
        connection: "close",
        "set-cookie": "a=b",
        "access-control-allow-origin": "*",
        "strict-transport-security": "max-age=1",
        "www-authenticate": "Basic",
        server: "x"
      })
      const { status, headers, text } = yield* ask(`${api}/tasks/t1`, {}, {}, answer)
      assert.strictEqual(status, 429)
      assert.strictEqual(JSON.parse(text).detail, "slow down")
      assert.deepStrictEqual(Array.from(headers.keys()).sort(), [
        "cache-control",
        "content-length",
        "content-security-policy",
        "content-type",
        "retry-after",
        "x-accel-buffering",
        "x-content-type-options",
        "x-ratelimit-remaining",
        "x-request-id"
      ])
      assert.strictEqual(headers.get("content-length"), String(text.length))
    })
  )

  it.effect("may be empty", () =>
    Effect.gen(function* () {
      for (const status of [200, 204]) {
        const { text, ...reply } = yield* ask(`${api}/tasks/t1/cancel`, { method: "POST" }, {}, Http.reply(status))
        assert.deepStrictEqual([reply.status, text], [status, ""])
      }
    })
  )

  it.effect("are no redirects, which would take the browser or the key elsewhere", () =>
    Effect.gen(function* () {
      const answer = Http.reply(307, undefined, { location: "https://evil.example/" })
      const { status, headers, text, sent } = yield* ask(`${api}/tasks/t1`, {}, {}, answer)
      assert.deepStrictEqual([status, headers.get("location"), sent.length], [502, null, 1])
      assert.include(JSON.parse(text).detail, "baseUrl")
    })
  )

  it.effect("say so where the service cannot be reached", () =>
    Effect.gen(function* () {
      const { status, text } = yield* ask(`${api}/tasks/t1`, {}, {}, Http.fails("ECONNREFUSED"))
      assert.strictEqual(status, 502)
      assert.include(JSON.parse(text).detail, "ECONNREFUSED")
    })
  )

  it.effect("are sent on as they come", () =>
    Effect.gen(function* () {
      const lines = yield* Queue.unbounded<string>()
      const answer = Http.reply(200, Stream.encodeText(Stream.fromQueue(lines)), {
        "content-type": "application/x-ndjson"
      })
      const handler = handlerOf(Http.recorder([answer]).client)
      const response = yield* Effect.promise(() =>
        handler(requestTo(proxyUrl, { headers: { "x-inf-target-url": `${api}/tasks/t1/stream` } }))
      )
      assert.strictEqual(response.headers.get("content-type"), "application/x-ndjson")
      assert.strictEqual(response.headers.get("content-length"), null)
      const reader = (response.body ?? assert.fail()).getReader()
      for (const line of ["one\n", "two\n"]) {
        yield* Queue.offer(lines, line)
        const { value } = yield* Effect.promise(() => reader.read())
        assert.strictEqual(new TextDecoder().decode(value), line)
      }
      yield* Effect.promise(() => reader.cancel())
    })
  )
})

/** A service that never answers, or never ends its answer, and knows when it is left. */
const patient = Effect.gen(function* () {
  const asked = yield* Deferred.make<void>()
  const left = yield* Deferred.make<void>()
  const isLeft = Deferred.succeed(left, undefined)
  const silent = HttpClient.make(() =>
    Effect.onInterrupt(Effect.zipRight(Deferred.succeed(asked, undefined), Effect.never), () => isLeft)
  )
  const endless = Http.recorder(() =>
    Http.reply(200, Stream.ensuring(Stream.concat(Stream.encodeText(Stream.make("first\n")), Stream.never), isLeft), {
      "content-type": "application/x-ndjson"
    })
  ).client
  return { asked: Deferred.await(asked), left: Deferred.await(left), silent, endless }
})

const streamOf = { headers: { "x-inf-target-url": `${api}/tasks/t1/stream` } }

describe("a client of a proxy that goes away", () => {
  it.live("takes its request along that waits for the service", () =>
    Effect.gen(function* () {
      const { asked, left, silent } = yield* patient
      const controller = new AbortController()
      const request = requestTo(proxyUrl, { ...streamOf, signal: controller.signal })
      void handlerOf(silent)(request)
      yield* asked
      controller.abort()
      yield* left
    })
  )

  it.live("takes its stream along", () =>
    Effect.gen(function* () {
      const { left, endless } = yield* patient
      const response = yield* Effect.promise(() => handlerOf(endless)(requestTo(proxyUrl, streamOf)))
      const reader = (response.body ?? assert.fail()).getReader()
      yield* Effect.promise(() => reader.read())
      yield* Effect.promise(() => reader.cancel())
      yield* left
    })
  )

  it.scopedLive("does so over a port as well, before the reply and after", () =>
    Effect.gen(function* () {
      for (const kind of ["silent", "endless"] as const) {
        const service = yield* patient
        yield* Effect.scoped(
          Effect.gen(function* () {
            yield* HttpServer.serveEffect(
              Proxy.httpApp({ apiKey: Redacted.make(key), authorize: () => Effect.succeed(true) }).pipe(
                Effect.provideService(HttpClient.HttpClient, service[kind])
              )
            )
            const url = yield* HttpServer.addressFormattedWith(Effect.succeed)
            const controller = new AbortController()
            const response = fetch(requestTo(url, { ...streamOf, signal: controller.signal }))
            if (kind === "silent") {
              response.catch(() => undefined)
              yield* service.asked
            } else {
              const reader = (yield* Effect.promise(() => response)).body?.getReader()
              yield* Effect.promise(async () => void (await reader?.read()))
            }
            controller.abort()
            yield* service.left
          }).pipe(Effect.provide(NodeHttpServer.layer(createServer, { host: "127.0.0.1", port: 0 })))
        )
      }
    })
  )
})
