import type * as HttpApp from "@effect/platform/HttpApp"
import type * as HttpClient from "@effect/platform/HttpClient"
import * as Config from "effect/Config"
import type * as ConfigError from "effect/ConfigError"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import * as BrowserInference from "effect-inferencesh/BrowserInference"
import * as Proxy from "effect-inferencesh/Proxy"
import { describe, expectTypeOf, it } from "vitest"

class Users extends Context.Tag("test/Users")<
  Users,
  { readonly know: (cookie: string) => Effect.Effect<boolean, "no database"> }
>() {}

describe("a proxy", () => {
  it("needs an HttpClient and no more", () => {
    const app = Proxy.httpApp({ apiKey: Redacted.make("inf_1"), authorize: () => Effect.succeed(true) })
    expectTypeOf(app).toEqualTypeOf<HttpApp.Default<never, HttpClient.HttpClient | Scope.Scope>>()
  })

  it("needs and fails with what its options do", () => {
    const app = Proxy.httpApp({
      apiKey: Config.redacted("INFERENCE_API_KEY"),
      authorize: (request) => Effect.flatMap(Users, ({ know }) => know(request.cookies.session ?? ""))
    })
    expectTypeOf(app).toEqualTypeOf<
      HttpApp.Default<ConfigError.ConfigError | "no database", Users | HttpClient.HttpClient | Scope.Scope>
    >()
  })

  it("is told who may use it, and which endpoints there are", () => {
    // @ts-expect-error nobody is let in by accident
    Proxy.httpApp({ apiKey: Redacted.make("inf_1") })
    // @ts-expect-error an answer is missing
    Proxy.httpApp({ apiKey: Redacted.make("inf_1"), authorize: () => Effect.void })
    // @ts-expect-error no endpoint without a method
    Proxy.httpApp({ apiKey: Redacted.make("inf_1"), authorize: () => Effect.succeed(true), endpoints: ["/tasks"] })
  })

  it("is all that a browser needs, which has no key", () => {
    expectTypeOf(Effect.provide(BrowserInference.layerProxy({ proxyUrl: "/proxy" }))).toBeFunction()
    // @ts-expect-error the key is not for browsers
    BrowserInference.layerProxy({ proxyUrl: "/proxy", apiKey: Redacted.make("inf_1") })
  })
})
