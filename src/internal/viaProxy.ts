/** The client's side of proxy mode, protocol.md §13.1. */
import * as HttpClientError from "@effect/platform/HttpClientError"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as UrlParams from "@effect/platform/UrlParams"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"

/** The header and the parameter that tell a proxy which address of the service is meant. */
export const targetHeader = "x-inf-target-url"
export const targetParameter = "__inf_target"

/** Where the proxy is: a relative address is one of the page's. */
const resolve = (proxyUrl: string): string | undefined => {
  const page: unknown = globalThis.location?.href
  const base = typeof page === "string" ? page : undefined
  return URL.canParse(proxyUrl, base) ? new URL(proxyUrl, base).toString() : undefined
}

/** The same request, to the proxy. Streams name their target in the address as well, as an `EventSource` would have to. */
export const viaProxy = (
  request: HttpClientRequest.HttpClientRequest,
  proxyUrl: string
): Effect.Effect<HttpClientRequest.HttpClientRequest, HttpClientError.RequestError> => {
  const proxy = resolve(proxyUrl)
  const target = UrlParams.makeUrl(request.url, request.urlParams, request.hash)
  if (proxy === undefined || Either.isLeft(target)) {
    const why =
      proxy === undefined
        ? `the proxy URL ${proxyUrl} is not absolute, and there is no page to resolve it against`
        : "the address is not valid"
    return new HttpClientError.RequestError({ request, reason: "InvalidUrl", cause: new Error(why) })
  }
  const url = target.right.toString()
  const isStream = request.headers.accept === "application/x-ndjson"
  return Effect.succeed(
    HttpClientRequest.make(request.method)(proxy, {
      headers: { ...request.headers, [targetHeader]: url },
      body: request.body,
      ...(isStream && { urlParams: { [targetParameter]: url } })
    })
  )
}
