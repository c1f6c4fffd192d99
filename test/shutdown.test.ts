/** How a server comes to its end. */
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as NodeContext from "@effect/platform-node/NodeContext"
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import * as App from "effect-inferencesh/App"
import * as BaseApp from "effect-inferencesh/BaseApp"
import * as LocalServer from "effect-inferencesh/LocalServer"
import * as Agents from "./support/agents.js"
import * as Apps from "./support/apps.js"
import { events, get, merge, post, request, send, onPort as servedOnPort, submit, task } from "./support/wire.js"

type Options = Omit<LocalServer.Options, "apps">
type Hosted = ReadonlyArray<BaseApp.BaseApp<BaseApp.Any["app"], Apps.Journal>>

const surroundings = Layer.mergeAll(FetchHttpClient.layer, Apps.layerJournal, NodeContext.layer)

/** An app and a model that end when they are told to. */
const gated = Effect.gen(function* () {
  const gate = yield* Deferred.make<void>()
  const app = BaseApp.make(App.make("acme/gated", { input: {}, output: { said: Schema.String } }), {
    setup: () => Effect.acquireRelease(Effect.void, () => Apps.note("unloaded")),
    run: () => Effect.as(Deferred.await(gate), { said: "hello" })
  })
  const model = Agents.makeModel(() => Effect.zipRight(Deferred.await(gate), Agents.says("hello")))
  return { apps: [app, model.app, Apps.never, Apps.echo], open: Deferred.succeed(gate, undefined) }
})

/** A server, and what closes it. */
const start = (serve: (typeof hosts)[number][1], apps: Hosted, options: Options) =>
  Effect.gen(function* () {
    const scope = yield* Effect.acquireRelease(Scope.make(), (scope) => Scope.close(scope, Exit.void))
    const context = yield* Layer.buildWithScope(serve(apps, options), scope)
    return { context, close: Scope.close(scope, Exit.void) }
  })

const inProcess = (apps: Hosted, options: Options) => LocalServer.layerHttpClient({ ...options, apps })

const onPort = (apps: Hosted, options: Options) => servedOnPort(LocalServer.layer({ ...options, apps }))

const hosts = [
  ["in process", inProcess],
  ["on a port", onPort]
] as const

const untilStatus = (id: string, status: string) => Agents.until(task(id), ({ status_text }) => status_text === status)

for (const [name, serve] of hosts) {
  describe(`a server ${name} that is closed`, () => {
    for (const shutdownTimeout of ["1 hour", 0] as const) {
      it.scopedLive(
        `unloads the instance of a session after the task that uses it, with ${shutdownTimeout} for it`,
        () =>
          Effect.gen(function* () {
            const gate = yield* Deferred.make<void>()
            const app = BaseApp.make(App.make("acme/kept", { input: {}, output: {} }), {
              setup: () => Effect.acquireRelease(Effect.void, () => Apps.note("unloaded")),
              run: () =>
                Effect.as(Effect.ensuring(Deferred.await(gate), Effect.delay(Apps.note("run over"), "20 millis")), {})
            })
            const { context, close } = yield* start(serve, [app, Apps.echo], { shutdownTimeout })
            const closing = yield* Effect.gen(function* () {
              const id = yield* submit("acme/kept", {}, { session: "new" })
              yield* untilStatus(id, "running")
              const closing = yield* Effect.fork(close)
              if (shutdownTimeout === 0) return closing
              const asked = post("/apps/run", { app: "acme/echo", input: { text: "" } })
              yield* Agents.until(asked, ({ status }) => status === 503)
              yield* Deferred.succeed(gate, undefined)
              return closing
            }).pipe(Effect.provide(context))
            yield* Fiber.join(closing)
            assert.deepStrictEqual((yield* Apps.Journal).events(), ["run over", "unloaded"])
          }).pipe(Effect.provide(surroundings))
      )
    }

    it.scopedLive("lets what runs finish, tells of it, and takes nothing new", () =>
      Effect.gen(function* () {
        const { apps, open } = yield* gated
        const { context, close } = yield* start(serve, apps, { shutdownTimeout: "1 hour" })
        const closing = yield* Effect.gen(function* () {
          const running = yield* submit("acme/gated", {})
          const queued = yield* submit("acme/gated", {})
          const later = yield* submit("acme/echo", { text: "" }, { run_at: new Date(Date.now() + 1e9).toISOString() })
          const { chatId } = yield* Agents.say("hi")
          yield* post(`/chats/${chatId}/messages`, { message: "and again" })
          yield* untilStatus(running, "running")
          const following = yield* Effect.fork(Stream.runCollect(events(queued)))
          const chat = yield* Effect.fork(
            Agents.until(Agents.messages(chatId), ([, , , last]) => last?.status === "ready")
          )
          const closing = yield* Effect.fork(close)
          const refused = yield* Agents.until(
            post("/apps/run", { app: "acme/echo", input: { text: "" } }),
            ({ status }) => status === 503
          )
          assert.match(refused.json.detail, /being stopped/)
          assert.isTrue(Number(refused.headers["retry-after"]) > 3500)
          assert.strictEqual((yield* post(`/chats/${chatId}/messages`, { message: "no" })).status, 503)
          assert.strictEqual((yield* post("/agents/run", {})).status, 503)
          assert.strictEqual((yield* get(`/tasks/${running}`)).data.status_text, "running")
          yield* untilStatus(later, "cancelled")
          yield* open
          const last = merge(yield* Fiber.join(following))
          assert.deepStrictEqual([last.status_text, last.output], ["completed", { said: "hello" }])
          yield* Fiber.join(chat)
          return closing
        }).pipe(Effect.provide(context))
        yield* Fiber.join(closing)
        assert.deepStrictEqual((yield* Apps.Journal).events(), ["unloaded"])
      }).pipe(Effect.provide(surroundings))
    )

    it.scopedLive("cancels what runs at once where it has no time", () =>
      Effect.gen(function* () {
        const { apps } = yield* gated
        const { context, close } = yield* start(serve, apps, {})
        const id = yield* Effect.provide(submit("acme/gated", {}), context)
        const following = yield* Effect.fork(Stream.runCollect(Stream.provideSomeContext(events(id), context)))
        yield* Effect.provide(untilStatus(id, "running"), context)
        yield* close
        assert.strictEqual(merge(yield* Fiber.join(following)).status_text, "cancelled")
        assert.deepStrictEqual((yield* Apps.Journal).events(), ["unloaded"])
      }).pipe(Effect.provide(surroundings))
    )
  })
}

describe("a request whose body comes after the server has closed", () => {
  it.scopedLive("is refused, whatever it would start", () =>
    Effect.gen(function* () {
      const { context, close } = yield* start(inProcess, [Apps.echo], {})
      const gate = yield* Deferred.make<void>()
      const late = (path: string) => {
        const bytes = Stream.concat(
          Stream.fromEffect(Effect.as(Deferred.await(gate), "{")),
          Stream.make('"app":"acme/echo","input":{"text":"a"},"wait":true}')
        )
        return send(HttpClientRequest.bodyStream(request("POST", path), Stream.encodeText(bytes)))
      }
      const answers = yield* Effect.fork(
        Effect.all([late("/apps/run"), late("/agents/run"), late("/chats/x/messages")], {
          concurrency: "unbounded"
        }).pipe(Effect.provide(context))
      )
      yield* Effect.yieldNow()
      yield* close
      yield* Deferred.succeed(gate, undefined)
      assert.deepStrictEqual(
        (yield* Fiber.join(answers)).map(({ status }) => status),
        [503, 503, 503]
      )
    }).pipe(Effect.provide(surroundings))
  )
})

describe("a server that is closed", () => {
  it.scoped("cancels what has not ended in time", () =>
    Effect.gen(function* () {
      const { apps, open } = yield* gated
      const { context, close } = yield* start(inProcess, apps, { shutdownTimeout: "30 seconds" })
      yield* Effect.gen(function* () {
        const never = yield* submit("acme/never", {})
        const gated = yield* submit("acme/gated", {})
        const { chatId } = yield* Agents.say("hi")
        yield* TestClock.adjust("1 second")
        const closing = yield* Effect.fork(close)
        yield* TestClock.adjust("10 seconds")
        const refused = yield* post("/run", {})
        assert.deepStrictEqual([refused.status, refused.headers["retry-after"]], [503, "20"])
        yield* open
        yield* TestClock.adjust("19 seconds")
        assert.strictEqual((yield* task(gated)).status_text, "completed")
        assert.strictEqual((yield* task(never)).status_text, "running")
        assert.strictEqual((yield* Agents.chat(chatId)).status, "idle")
        assert.isTrue(Option.isNone(yield* Fiber.poll(closing)))
        yield* TestClock.adjust("1 second")
        yield* Fiber.join(closing)
        assert.strictEqual((yield* task(never)).status_text, "cancelled")
      }).pipe(Effect.provide(context))
    }).pipe(Effect.provide(surroundings))
  )

  it.scoped("does not wait where nothing runs", () =>
    Effect.gen(function* () {
      const { apps } = yield* gated
      const { context, close } = yield* start(inProcess, apps, { shutdownTimeout: "30 seconds" })
      yield* Effect.provide(submit("acme/echo", { text: "" }), context)
      yield* TestClock.adjust("1 second")
      yield* close
    }).pipe(Effect.provide(surroundings))
  )
})
