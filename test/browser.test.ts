/** The client in a real browser: a page that talks to a server through the proxy on its own host, and with the storage itself. */
import { fileURLToPath } from "node:url"
import * as HttpMiddleware from "@effect/platform/HttpMiddleware"
import * as HttpRouter from "@effect/platform/HttpRouter"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Redacted from "effect/Redacted"
import * as App from "effect-inferencesh/App"
import * as BaseApp from "effect-inferencesh/BaseApp"
import * as LocalServer from "effect-inferencesh/LocalServer"
import * as Proxy from "effect-inferencesh/Proxy"
import * as Tool from "effect-inferencesh/Tool"
import { build } from "esbuild"
import * as Agents from "./support/agents.js"
import * as Apps from "./support/apps.js"
import * as Browser from "./support/browser.js"
import * as Proxied from "./support/proxied.js"
import type { Json } from "./support/wire.js"

const source = fileURLToPath(new URL("../src/", import.meta.url))

/** The page's program, bundled as a bundler of the package would: by the "browser" field of its package.json. */
const script = Effect.promise(async () => {
  const { outputFiles } = await build({
    entryPoints: [fileURLToPath(new URL("support/browserPage.ts", import.meta.url))],
    alias: { "effect-inferencesh": `${source}index.ts` },
    bundle: true,
    format: "esm",
    platform: "browser",
    write: false,
    logLevel: "error",
    plugins: [
      {
        name: "browser",
        setup: ({ onResolve }) =>
          onResolve({ filter: /\/mime\.js$/ }, () => ({ path: `${source}internal/mimeBrowser.ts` }))
      }
    ]
  })
  return outputFiles[0]?.text ?? ""
})

/** Asks for the time, and then says it. */
const model = Agents.makeModel(({ role, text }) =>
  role === "tool" ? Agents.words(`It was ${text} .`) : Agents.calls(Agents.call("time", {}))
)

const secret = BaseApp.make(App.make("other/secret", { input: {}, output: {} }), { run: () => Effect.succeed({}) })

const time = Tool.make("time", { description: "", params: {}, handler: () => Effect.dieMessage("it runs in the page") })

const untilNoted = (event: string) =>
  Effect.flatMap(Apps.Journal, (journal) => Agents.until(Effect.sync(journal.events), (all) => all.includes(event)))

const key = Redacted.make("inf_of_the_server")

const requireBrowser = process.env.REQUIRE_BROWSER !== undefined

describe("a page in a browser", () => {
  it.scopedLive.skipIf(Browser.executable === undefined && !requireBrowser)(
    `runs apps, chats with an agent and is told of failures${Browser.executable ? "" : " (skipped: no chromium on the PATH)"}`,
    () =>
      Effect.gen(function* () {
        if (Browser.executable === undefined) return yield* Effect.dieMessage("there is no chromium on the PATH")
        const reported = yield* Deferred.make<Json>()
        const page = yield* script
        const local = yield* LocalServer.make({
          apps: [...Apps.all, model.app, secret],
          agents: { "acme/helper": { coreApp: model.app.app, tools: [time] } },
          apiKey: key,
          // What a storage must allow to pages of other hosts.
          middleware: HttpMiddleware.cors({ allowedMethods: ["GET", "PUT"], allowedHeaders: ["content-type"] })
        })
        const proxy = Proxy.httpApp({
          apiKey: key,
          baseUrl: yield* Proxied.serve(local),
          authorize: ({ cookies }) => Effect.succeed(cookies.session === "known"),
          apps: ["acme/*"]
        })
        const html = HttpServerResponse.html('<!doctype html><script type="module" src="/page.js"></script>').pipe(
          HttpServerResponse.unsafeSetCookie("session", "known", { httpOnly: true, sameSite: "strict", path: "/" })
        )
        const origin = yield* Proxied.serve(
          HttpRouter.empty.pipe(
            HttpRouter.get("/", Effect.succeed(html)),
            HttpRouter.get(
              "/page.js",
              Effect.succeed(HttpServerResponse.text(page, { contentType: "text/javascript" }))
            ),
            HttpRouter.all("/api/inference/proxy", proxy),
            HttpRouter.get(
              "/started",
              Effect.as(untilNoted("never started"), HttpServerResponse.text("it has started"))
            ),
            HttpRouter.post(
              "/report",
              Effect.gen(function* () {
                const text = yield* Effect.flatMap(HttpServerRequest.HttpServerRequest, ({ text }) => text)
                yield* Deferred.succeed(reported, JSON.parse(text))
                return HttpServerResponse.empty()
              })
            )
          )
        )
        const ended = yield* Browser.show(Browser.executable, origin)
        const { counts, events, failed, refused, path, ...rest } = yield* Effect.raceFirst(
          Deferred.await(reported),
          ended
        )
        assert.deepStrictEqual(rest, {
          blob: "cba",
          file: "fed",
          bytes: "ihg",
          polled: { text: "hi" },
          reply: "It was read in object .",
          left: "it has started"
        })
        assert.deepStrictEqual([counts.at(-1), [...counts].sort()], [3, counts])
        assert.includeMembers(events, ["Message", "ToolCall", "ToolResult", "TextDelta"])
        assert.strictEqual(failed._tag, "TaskFailed")
        assert.include(failed.message, "no luck")
        assert.strictEqual(refused._tag, "Forbidden")
        assert.include(refused.message, "the proxy does not allow other/secret")
        assert.strictEqual(path._tag, "FileError")
        assert.include(path.message, "there is no file system here")
        // What the page gives up is cancelled, down to the app.
        yield* untilNoted("never released")
      }).pipe(
        Effect.provide(
          Layer.mergeAll(
            NodeContext.layer,
            NodeHttpClient.layerUndici,
            Apps.layerJournal,
            Logger.remove(Logger.defaultLogger)
          )
        )
      ),
    180_000
  )
})
