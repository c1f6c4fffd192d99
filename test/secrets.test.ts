/** Looks for the API key everywhere it could come out. */
import { inspect } from "node:util"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as NodePath from "@effect/platform-node/NodePath"
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as HashMap from "effect/HashMap"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as Metric from "effect/Metric"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Tracer from "effect/Tracer"
import { Agents, ApiClient, File, Files, Inference, Tasks, Tool } from "../src/index.js"
import * as Bad from "./support/badServer.js"

const key = "inf_5ecr3tK3yDoNotShow"

/** A value that is sent in the body of a request. */
const token = "5ecr3tT0ken"

/** All that a program tells the world, as text. */
const witness = () => {
  const heard: Array<string> = []
  const say = (what: string, value: unknown) => {
    heard.push(`${what}: ${String(value)}`)
    heard.push(`${what} inspected: ${inspect(value, { depth: 10, showHidden: true })}`)
    heard.push(`${what} as JSON: ${JSON.stringify(value)}`)
  }
  const spans: Array<string> = []
  const tracer = Tracer.make({
    context: (run) => run(),
    span: (name, parent, context, links, startTime, kind) => {
      const attributes = new Map<string, unknown>()
      spans.push(name)
      say("span", name)
      return {
        _tag: "Span",
        name,
        parent,
        context,
        links: [...links],
        kind,
        attributes,
        status: { _tag: "Started", startTime },
        spanId: "0123456789abcdef",
        traceId: "0123456789abcdef0123456789abcdef",
        sampled: true,
        attribute: (name, value) => {
          attributes.set(name, value)
          say(`attribute ${name}`, value)
        },
        event: (name, _, attributes) => say(`event ${name}`, attributes),
        addLinks: (links) => say("links", links),
        end: (_, exit) => {
          if (Exit.isFailure(exit)) {
            say("exit", exit)
            say("exit", Cause.pretty(exit.cause, { renderErrorCause: true }))
          }
        }
      }
    }
  })
  const logger = Logger.make<unknown, void>((entry) => {
    say("log", entry.message)
    say("log", HashMap.toEntries(entry.annotations))
    say("log", Cause.pretty(entry.cause, { renderErrorCause: true }))
    heard.push(Logger.structuredLogger.log(entry).message + Logger.logfmtLogger.log(entry))
    heard.push(Logger.jsonLogger.log(entry))
  })
  const failed = (cause: Cause.Cause<unknown>) => {
    say("cause", Cause.pretty(cause, { renderErrorCause: true }))
    say("cause", cause)
    for (const error of [...Cause.failures(cause), ...Cause.defects(cause)]) {
      say("error", error)
      if (error instanceof Error) {
        say("error", error.message)
        say("error", error.stack)
        say("error", { ...error })
        say("error", error.cause)
      }
    }
  }
  return {
    heard,
    spans,
    say,
    failed,
    layer: Layer.mergeAll(
      Layer.setTracer(tracer),
      Logger.replace(Logger.defaultLogger, logger),
      Logger.minimumLogLevel(LogLevel.All)
    )
  }
}

const assertSilent = (heard: ReadonlyArray<string>, secrets = [key, btoa(key), btoa(`Bearer ${key}`), token]) => {
  const told = heard.flatMap((text) =>
    secrets.flatMap((secret) => {
      const at = text.indexOf(secret)
      return at === -1 ? [] : [`${text.slice(0, 60)} … ${text.slice(Math.max(0, at - 300), at + 100)}`]
    })
  )
  assert.deepStrictEqual(told.slice(0, 2), [])
}

/** Servers that tell the key back, each in its own way. */
const echoes = (other: string): Readonly<Record<string, Bad.Handler>> => {
  const bearer = `Bearer ${key}`
  const headers = { "x-request-id": bearer, "x-echo": bearer, "set-cookie": `k=${key}`, "www-authenticate": bearer }
  return {
    "problem+json": Bad.json(
      {
        type: `https://x.test/errors/${key}`,
        title: key,
        detail: `got ${bearer}`,
        meta: { key },
        errors: [{ field: key, message: key }]
      },
      400,
      headers
    ),
    "a refusal": Bad.json({ detail: key, meta: { headers: { authorization: bearer } } }, 403, headers),
    "the requirements": Bad.json({ errors: [{ type: "secret", key, message: key, action: { key } }] }, 412, headers),
    "the legacy error": Bad.json(
      { success: false, error: { code: key, message: bearer, meta: { key } } },
      200,
      headers
    ),
    "plain text": Bad.reply(401, `bad key ${key}`, headers),
    "an HTML page": Bad.reply(503, `<html>${bearer}</html>`, headers),
    "a redirect": Bad.reply(302, "", { ...headers, location: `${other}/${key}?key=${key}` }),
    "a body that is no JSON": Bad.reply(200, `<html>${bearer}</html>`, headers),
    "a payload of another shape": Bad.json(
      { data: { [key]: bearer, id: { key: bearer } }, messages: [] },
      200,
      headers
    ),
    "a list of another shape": Bad.json({ data: [bearer], messages: [] }, 200, headers),
    "a notice": Bad.json(
      { data: { id: 7 }, messages: [{ level: key, code: key, message: bearer, meta: { key } }] },
      200,
      headers
    ),
    "event lines": Bad.trickle([`{"broken": "${bearer}\n`, `${bearer}\n`, `"${key}"\n`, "null\n"], "end", headers),
    "a broken body": Bad.trickle([`{"broken": "${bearer}`], "reset", headers),
    "a broken connection": Bad.reset,
    "a stalled body": Bad.trickle([`{"broken": "${bearer}`], "stall", headers),
    "no reply": Bad.hang
  }
}

const any = { schema: Schema.Struct({ id: Schema.String }) }

const look = Tool.make("look", {
  description: "Looks",
  params: { at: Schema.String },
  handler: () => Effect.succeed("rain")
})

const talk = (options: Agents.Options) =>
  Agents.create({ coreApp: "acme/model", tools: [look] }, { ...options, context: { token } }).pipe(
    Effect.flatMap((agent) => agent.sendMessage("hi")),
    Effect.timeout(300)
  )

/** One of each kind of operation. None is expected to succeed. */
const operations = (other: string) => ({
  get: ApiClient.request({ path: "/x", query: { cursor: "c" }, ...any }),
  post: ApiClient.request({ method: "POST", path: "/x", body: { a: 1 }, ...any }),
  delete: ApiClient.request({ method: "DELETE", path: "/x", ...any }),
  foreign: ApiClient.request({ path: `${other}/x?key=1`, ...any }),
  // What the server says is in a raw reply, and its business. What was sent is in it too.
  raw: Effect.flatMap(ApiClient.ApiClient, ({ client }) =>
    Effect.flatMap(Effect.timeout(client.get("/x"), 200), ({ request }) => Effect.fail(request))
  ),
  rawBody: Effect.flatMap(ApiClient.ApiClient, ({ client }) =>
    Effect.flatMap(client.get("/x"), (response) => response.json).pipe(
      Effect.timeout(200),
      Effect.mapError((error) => ("request" in error ? error.request : error)),
      Effect.flatMap(() => Effect.fail("it was JSON"))
    )
  ),
  rawForeign: Effect.flatMap(ApiClient.ApiClient, ({ client }) => client.get(`${other}/x`)),
  events: Stream.runDrain(ApiClient.stream({ path: "/tasks/t1/stream" })),
  run: Tasks.run("acme/echo", { input: { a: 1 } }),
  submit: Tasks.submit("acme/echo", { input: { a: 1 } }),
  task: Tasks.get("t1"),
  follow: Effect.timeout(Stream.runDrain(Tasks.stream("t1")), 300),
  wait: Effect.timeout(Tasks.waitForCompletion("t1"), 300),
  tasks: Stream.runDrain(Tasks.list()),
  cancel: Tasks.cancel("t1"),
  upload: Files.upload(new TextEncoder().encode("hello")),
  file: Files.get("f1"),
  files: Stream.runDrain(Files.list()),
  turn: talk({}),
  nextTurn: talk({ chatId: "c1" }),
  chat: Agents.getChat("c1"),
  chats: Stream.runDrain(Agents.listChats()),
  stop: Agents.stopChat("c1"),
  messages: Effect.timeout(Stream.runDrain(Agents.streamMessages("c1")), 300),
  result: Agents.submitToolResult("i1", "rain"),
  approve: Agents.approve("i1"),
  agent: Agents.get("acme/weather"),
  agents: Stream.runDrain(Agents.list()),
  saveAgent: Agents.save({ name: "weather" }, { coreApp: "acme/model" })
})

for (const [name, transport] of Object.entries(Bad.transports)) {
  const platform = Layer.mergeAll(transport, NodeFileSystem.layer, NodePath.layer)
  const live = (baseUrl: string, apiKey = `${key}\n`) =>
    Inference.layer({
      apiKey: Redacted.make(apiKey),
      baseUrl,
      requestTimeout: 200,
      idleTimeout: 100,
      retry: { attempts: 2, baseDelay: 1 }
    }).pipe(Layer.provide(platform))

  describe(`the API key over ${name}`, () => {
    it.scopedLive(
      "and what is sent are in no log, span, error or metric of any operation, whatever the server says",
      () =>
        Effect.gen(function* () {
          const ears = witness()
          const other = yield* Bad.make(Bad.reply(200, "stolen"))
          let failures = 0
          for (const [echo, handler] of Object.entries(echoes(other.origin))) {
            const server = yield* Bad.make(handler)
            const everything = Effect.forEach(
              Object.entries<Effect.Effect<unknown, unknown, Inference.Services>>(operations(other.origin)),
              ([operation, effect]) =>
                Effect.withSpan(effect, `${echo} ${operation}`).pipe(
                  Effect.tapErrorCause((cause) => Effect.logError("it failed", cause)),
                  Effect.sandbox,
                  Effect.match({
                    onSuccess: () => undefined,
                    onFailure: (cause) => {
                      failures += 1
                      ears.failed(cause)
                    }
                  })
                ),
              { concurrency: "unbounded" }
            )
            const services = Effect.map(Effect.context<Inference.Services>(), (context) => {
              if (failures === 0) ears.say("context", context)
            })
            yield* Effect.zipRight(services, everything).pipe(
              Effect.provide(Layer.provideMerge(live(server.origin), ears.layer))
            )
            assert.isAbove(server.seen.length, 5, echo)
            for (const { headers, url, body } of server.seen) {
              const { authorization, ...rest } = headers
              assert.strictEqual(authorization, `Bearer ${key}`)
              assertSilent([url, body.toString().replaceAll(token, ""), JSON.stringify(rest)])
            }
          }
          assert.strictEqual(other.seen.length, 0)
          assert.isAbove(failures, 200)
          assert.isAbove(ears.spans.length, 400)
          ears.say("metrics", yield* Metric.snapshot)
          assertSilent(ears.heard)
        }),
      60_000
    )

    it.scopedLive("is in no error where there is no server, or where it makes no header", () =>
      Effect.gen(function* () {
        const ears = witness()
        const gone = yield* Effect.scoped(Bad.make(Bad.hang))
        const fails = (effect: Effect.Effect<unknown, unknown, Inference.Services>, apiKey: string, baseUrl: string) =>
          Effect.flatMap(
            Effect.exit(Effect.provide(effect, Layer.provideMerge(live(baseUrl, apiKey), ears.layer))),
            (exit) =>
              Exit.isFailure(exit) ? Effect.sync(() => ears.failed(exit.cause)) : Effect.dieMessage("it did not fail")
          )
        for (const effect of Object.values(operations("http://127.0.0.1:9"))) {
          yield* fails(effect, key, gone.origin)
          yield* fails(effect, `${key}\nx${key}`, gone.origin)
          yield* fails(effect, `${key}☃`, gone.origin)
          yield* fails(effect, key, "no url")
        }
        assertSilent(ears.heard)
      })
    )

    it.scopedLive("goes neither to the storage of an upload nor to the hosts of a download", () =>
      Effect.gen(function* () {
        const ears = witness()
        const third = yield* Bad.make(Bad.reply(200, "bytes"))
        const storage = yield* Bad.make(
          Bad.routes({ "/put": Bad.reply(200), "/get": Bad.redirect(`${third.origin}/moved?sig=1`) })
        )
        const record = {
          id: "f1",
          uri: `${storage.origin}/get?sig=hidden`,
          upload_url: `${storage.origin}/put?X-Sig=hidden`
        }
        const server = yield* Bad.make(Bad.data([record]))
        const program = Effect.gen(function* () {
          const file = yield* Files.upload(new TextEncoder().encode("hello"), { filename: "a.txt" })
          yield* Stream.runDrain(Files.download(file))
          return file
        })
        yield* Effect.provide(program, Layer.provideMerge(live(server.origin), ears.layer))
        assert.deepStrictEqual(
          [...storage.seen, ...third.seen].map(({ method, url }) => `${method} ${url}`),
          ["PUT /put?X-Sig=hidden", "GET /get?sig=hidden", "GET /moved?sig=1"]
        )
        for (const { headers, body } of [...storage.seen, ...third.seen]) {
          assert.notProperty(headers, "authorization")
          for (const trace of ["traceparent", "b3", "x-client-source"]) assert.notProperty(headers, trace)
          assertSilent([JSON.stringify(headers), body.toString()])
        }
        assert.strictEqual(server.seen[0]?.headers.authorization, `Bearer ${key}`)
        assertSilent(ears.heard)
        assertSilent(ears.heard, ["hidden"])
      })
    )

    it.scopedLive("the signature of an address is in no log, span or error of a transfer that fails", () =>
      Effect.gen(function* () {
        const ears = witness()
        for (const handler of [Bad.reply(403, "no"), Bad.reset, Bad.hang, Bad.redirect("ftp://x.test/?sig=hidden")]) {
          const storage = yield* Bad.make(handler)
          const upload_url = `${storage.origin}/put?X-Sig=hidden`
          const server = yield* Bad.make(Bad.data([{ id: "f1", uri: "inf://f1", upload_url }]))
          const program = Effect.all(
            [
              Files.upload(new TextEncoder().encode("hello")),
              Stream.runDrain(Files.download(File.fromUri(`${storage.origin}/get?sig=hidden`))),
              Stream.runDrain(Files.download(File.fromUri("ftp://u:hidden@x.test/f?sig=hidden#hidden")))
            ],
            { mode: "validate", discard: true }
          )
          const error = yield* Effect.flip(
            Effect.provide(program, Layer.provideMerge(live(server.origin), ears.layer)).pipe(
              Effect.tapErrorCause((cause) => Effect.sync(() => ears.failed(cause)))
            )
          )
          for (const each of error) {
            assert.isTrue(Option.isSome(each))
            ears.say("error", each)
          }
        }
        assertSilent(ears.heard, ["hidden"])
      })
    )
  })
}
