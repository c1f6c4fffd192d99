/** The only network that code under test can reach: the server with the mocks, and the files that the test has put at addresses. */
import type * as HttpApp from "@effect/platform/HttpApp"
import * as HttpClient from "@effect/platform/HttpClient"
import type * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import { withoutQuery } from "../failure.js"
import { contentTypeOf } from "../mime.js"
import * as InProcess from "../server/inProcess.js"
import { isJsonObject } from "../wire.js"
import { type Raised, raise, Unmocked } from "./unmocked.js"

/** A name that no real host can have. */
export const origin = "http://inference.test"

export interface Options {
  readonly server: HttpApp.Default
  /** JSON replies, by `METHOD /path`. `undefined` is an empty one. */
  readonly endpoints: { readonly [endpoint: string]: unknown }
  /** Bytes by URL. */
  readonly contents: ReadonlyMap<string, Uint8Array>
  readonly raised: Raised
}

/** All that a refusal says. */
const textsOf = (problem: unknown): ReadonlyArray<string> => {
  if (!isJsonObject(problem)) return []
  const messages = Array.isArray(problem.errors)
    ? problem.errors.map((error) => isJsonObject(error) && error.message)
    : []
  return [problem.detail, ...messages].filter(Predicate.isString)
}

/** What the server says that it does not have, and how a test gives it. */
const unmocked = (detail: string, asked: string): Unmocked | undefined => {
  const [, what, name = ""] = /(?:^|: )(app|agent) (\S+\/\S+) not found$/.exec(detail) ?? []
  if (what === "app") {
    const hint = `InferenceTest.layer({ apps: [InferenceTest.app(contract, (input) => output)] })`
    return new Unmocked({ call: `the app ${name}`, hint })
  }
  if (what === "agent") {
    const hint = `InferenceTest.layer({ apps: [], agents: { "${name}": [{ response: "Hello." }] } })`
    return new Unmocked({ call: `the agent ${name}`, hint })
  }
  return detail.startsWith(`${asked} `)
    ? new Unmocked({ call: asked, hint: `InferenceTest.layer({ apps: [], endpoints: { "${asked}": reply } })` })
    : undefined
}

export const make = ({ server, endpoints, contents, raised }: Options): HttpClient.HttpClient => {
  const local = InProcess.make(server)

  const execute = (request: HttpClientRequest.HttpClientRequest, asked: string) =>
    Effect.tap(local.execute(request), (response) =>
      response.status >= 400 && response.status < 500
        ? Effect.flatMap(
            Effect.orElseSucceed(response.json, () => undefined),
            (problem) => {
              const [missing] = textsOf(problem).flatMap((text) => unmocked(text, asked) ?? [])
              return missing === undefined ? Effect.void : raise(raised, missing)
            }
          )
        : Effect.void
    )

  const elsewhere = (request: HttpClientRequest.HttpClientRequest, url: string) => {
    const address = withoutQuery(url)
    const bytes = contents.get(url) ?? contents.get(address)
    return bytes !== undefined && (request.method === "GET" || request.method === "HEAD")
      ? Effect.succeed(
          HttpClientResponse.fromWeb(
            request,
            new Response(request.method === "HEAD" ? null : bytes.slice(), {
              headers: {
                "content-length": String(bytes.length),
                "content-type": contentTypeOf(new URL(url).pathname) ?? "application/octet-stream"
              }
            })
          )
        )
      : raise(
          raised,
          new Unmocked({
            call: `${request.method} ${address}`,
            hint: `InferenceTest.layer({ apps: [], contents: { "${address}": bytes } })`
          })
        )
  }

  return HttpClient.make((request, url) => {
    if (url.origin !== origin) return elsewhere(request, url.toString())
    const asked = `${request.method} ${url.pathname}`
    if (Object.hasOwn(endpoints, asked)) {
      const reply = endpoints[asked]
      const response = reply === undefined ? new Response(null, { status: 204 }) : Response.json(reply)
      return Effect.succeed(HttpClientResponse.fromWeb(request, response))
    }
    return execute(request, asked)
  })
}
