/** The way to an API like OpenAI's: what goes there, what the key may not do, and which errors it comes to. */
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import * as Headers from "@effect/platform/Headers"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import type * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { type ApiFailure, TransportError } from "../../InferenceError.js"
import type * as Llm from "../../Llm.js"
import { readText } from "../bytes.js"
import { plainClient } from "../download.js"
import * as Failure from "../failure.js"
import * as Retry from "../retry.js"
import { leastLength, scrubber } from "./scrub.js"

const defaultBaseUrl = "https://api.openai.com/v1"

/** Long, since a model may think for minutes without a word, or has to be loaded first. */
const patience = "5 minutes"

const maxErrorBytes = 64 * 1024

/** The address of completions below a base URL, whose query is kept. */
const addressOf = (baseUrl: string): URL | undefined => {
  if (!URL.canParse(baseUrl.trim())) return undefined
  const url = new URL(baseUrl.trim())
  // HTTP clients refuse a password in an address, and some of them quote it then.
  if (!/^https?:$/.test(url.protocol) || url.username !== "" || url.password !== "") return undefined
  url.pathname = `${url.pathname.replace(/\/+$/, "")}/chat/completions`
  return url
}

/** Headers that hold no secret, and what may be in any text. */
const neverSecret = new Set(["accept", "content-type", "user-agent", "http-referer", "x-title"])

/** Any other header may be the one with the key. Servers quote it with or without the scheme before it. */
const secretsIn = (headers: Headers.Headers): ReadonlyArray<string> =>
  Object.entries(headers)
    .filter(([name]) => !neverSecret.has(name))
    .flatMap(([name, value]) => (name.endsWith("authorization") ? [value, value.replace(/^\s*\S+\s/, "")] : [value]))
    .map((value) => value.trim())
    .filter((value) => value.length >= leastLength)

/** A reply, and the time at which it was asked for. */
export interface Opened {
  readonly sentAt: number
  readonly contentType: string
  readonly bytes: Stream.Stream<Uint8Array, TransportError>
}

export interface Api {
  /** Whether it is OpenAI itself, which is stricter than those that are compatible. */
  readonly isOpenAi: boolean
  /** The request, as its errors tell of it. */
  readonly about: { readonly method: string; readonly url: string }
  /** Sends a request, again where it was turned away for now, and waits for the headers of the reply. The connection lives in the scope. */
  readonly post: (body: unknown) => Effect.Effect<Opened, ApiFailure, Scope.Scope>
  /** Takes the key, and what else was in the headers, out of a text that the server sent. */
  readonly scrub: (text: string) => string
}

export const make = (http: HttpClient.HttpClient, options: Llm.OpenAiOptions): Api => {
  const { baseUrl = defaultBaseUrl, requestTimeout = patience, idleTimeout = patience } = options
  const address = addressOf(baseUrl)
  const about = { method: "POST", url: Failure.withoutQuery(address?.toString() ?? baseUrl) }
  const key = options.apiKey === undefined ? "" : Redacted.value(options.apiKey).trim()
  // No span of its own, which would show all headers and the query. Redirects are not followed: they could lead the key elsewhere.
  const client = HttpClient.withScope(plainClient(http)).pipe(
    HttpClient.transformResponse(Effect.provideService(FetchHttpClient.RequestInit, { redirect: "manual" }))
  )
  const headers = Headers.fromInput(options.headers)
  const scrub = scrubber([key, ...secretsIn(headers)])

  const transportError = (error: Parameters<typeof Failure.fromHttpClientError>[0]) => {
    const failure = Failure.fromHttpClientError(error)
    return new TransportError({ ...failure, ...about, detail: failure.detail && scrub(failure.detail) })
  }

  const request = (body: unknown) =>
    Effect.gen(function* () {
      if (address === undefined) return yield* new TransportError({ ...about, reason: "InvalidUrl" })
      const made = HttpClientRequest.post(address.toString()).pipe(
        HttpClientRequest.setHeader("accept", "text/event-stream, application/json"),
        HttpClientRequest.setHeaders(headers),
        key === "" ? (self) => self : HttpClientRequest.bearerToken(key)
      )
      // Found out here, since some HTTP clients quote the value that they refuse.
      if (!Object.values(made.headers).every((value) => /^[\t\x20-\x7e]*$/.test(value))) {
        const detail = "the API key or another header has characters that no header can hold"
        return yield* new TransportError({ ...about, reason: "Encode", detail })
      }
      return yield* Effect.mapError(
        HttpClientRequest.bodyJson(made, body),
        () => new TransportError({ ...about, reason: "Encode", detail: "it cannot be written as JSON" })
      )
    })

  const bytesOf = (response: HttpClientResponse.HttpClientResponse): Opened["bytes"] =>
    response.stream.pipe(
      Stream.catchAll((error) =>
        error.reason === "EmptyBody"
          ? Stream.empty
          : Stream.fail(new TransportError({ ...transportError(error), reason: "Disconnected" }))
      ),
      Stream.timeoutFail(() => new TransportError({ ...about, reason: "Idle" }), idleTimeout)
    )

  const refusal = (response: HttpClientResponse.HttpClientResponse) =>
    Effect.gen(function* () {
      const { status, headers } = response
      const body = yield* readText(Stream.interruptAfter(bytesOf(response), "10 seconds"), maxErrorBytes).pipe(
        Effect.orElseSucceed(() => "")
      )
      const { location, "x-request-id": requestId } = headers
      return Failure.fromStatus(status, scrub(body), {
        ...about,
        requestId: requestId && scrub(requestId),
        retryAfter: yield* Failure.retryAfter(headers, status),
        location: location && scrub(location)
      })
    })

  const attempt = (body: unknown): Effect.Effect<Opened, ApiFailure, Scope.Scope> =>
    Effect.gen(function* () {
      const made = yield* request(body)
      const sentAt = yield* Clock.currentTimeMillis
      const response = yield* client.execute(made).pipe(
        Effect.mapError(transportError),
        Effect.timeoutFail({
          duration: requestTimeout,
          onTimeout: () => new TransportError({ ...about, reason: "Timeout" })
        })
      )
      if (response.status < 200 || response.status >= 300) return yield* Effect.fail(yield* refusal(response))
      return { sentAt, contentType: response.headers["content-type"] ?? "", bytes: bytesOf(response) }
    })

  return {
    isOpenAi: /(^|\.)openai\.(azure\.)?com$/.test(address?.hostname ?? ""),
    about,
    scrub,
    post: (body) => Retry.retrying<ApiFailure>(Retry.resolve(options.retry), isTurnedAway)(() => attempt(body))
  }
}

/** The server has not begun with an answer, and may well give one later. It never will where the account has run dry. */
const isTurnedAway = (error: ApiFailure): boolean =>
  (error.status === 429 || error.status === 503) && error.code !== "insufficient_quota"
