/** What all that carries the API key has in common: it is sent with care, and hidden from whoever looks at the traffic. */
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import * as Headers from "@effect/platform/Headers"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientError from "@effect/platform/HttpClientError"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import { withoutSpans } from "./httpSpan.js"

export const trimmed = (apiKey: Redacted.Redacted<string>): Redacted.Redacted<string> =>
  Redacted.make(Redacted.value(apiKey).trim())

/** Replies may quote the key: it must not come back in an error or a log. */
export const scrub =
  (apiKey: Redacted.Redacted<string>) =>
  (text: string): string =>
    Redacted.value(apiKey) === "" ? text : text.replaceAll(Redacted.value(apiKey), "<redacted>")

export const bearer = (
  request: HttpClientRequest.HttpClientRequest,
  apiKey: Redacted.Redacted<string>
): Effect.Effect<HttpClientRequest.HttpClientRequest, HttpClientError.RequestError> =>
  // Found out here, since some HTTP clients quote the value that they refuse.
  /^[\x20-\x7e]*$/.test(Redacted.value(apiKey))
    ? Effect.succeed(HttpClientRequest.bearerToken(request, apiKey))
    : new HttpClientError.RequestError({
        request,
        reason: "Encode",
        cause: new Error("the API key has characters that no header can hold")
      })

/** The client for requests to the service: it follows no redirects, and makes no spans of its own. */
export const discreet = (
  client: HttpClient.HttpClient,
  init: Pick<RequestInit, "credentials"> = {}
): HttpClient.HttpClient =>
  HttpClient.transformResponse(withoutSpans(client), (send) =>
    send.pipe(
      Effect.provideService(FetchHttpClient.RequestInit, { ...init, redirect: "manual" }),
      Effect.locally(Headers.currentRedactedNames, [/./])
    )
  )
