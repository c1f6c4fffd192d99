import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import type * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { FileError, isTransient } from "../InferenceError.js"
import { fromHttpClientError, readProblem, retryAfter, withoutQuery } from "./failure.js"
import * as HttpSpan from "./httpSpan.js"
import * as Retry from "./retry.js"

/** How patient transfers outside of the API are. */
export interface Patience {
  readonly requestTimeout: Duration.DurationInput
  readonly idleTimeout: Duration.DurationInput
  readonly retry: Retry.Resolved
}

export const defaultPatience: Patience = {
  requestTimeout: "60 seconds",
  idleTimeout: "35 seconds",
  retry: Retry.resolve()
}

export interface Opened {
  /** Bytes, where the server announced them. */
  readonly size: number | undefined
  readonly contentType: string | undefined
  readonly stream: Stream.Stream<Uint8Array, FileError>
}

const maxRedirects = 10

/**
 * The client for addresses outside of the API, with or without a signature in their query: it has no key to give away,
 * sends no trace headers, and does not record the query.
 */
export const plainClient = (client: HttpClient.HttpClient): HttpClient.HttpClient =>
  HttpClient.transform(HttpSpan.withoutSpans(client), (send, request) => HttpSpan.withSpan(request, send))

/** Opens a GET of an http(s) address, following redirects. The connection is closed with the scope. */
export const open = (
  client: HttpClient.HttpClient,
  uri: string,
  patience: Patience = defaultPatience
): Effect.Effect<Opened, FileError, Scope.Scope> => {
  const file = withoutQuery(uri)
  const scoped = HttpClient.withScope(plainClient(client))

  // The library's followRedirects writes the query anew, which may break its signature.
  const get = (
    url: string,
    redirects: number
  ): Effect.Effect<HttpClientResponse.HttpClientResponse, FileError, Scope.Scope> =>
    Effect.gen(function* () {
      if (!/^https?:/i.test(url) || !URL.canParse(url)) {
        return yield* new FileError({
          file,
          reason: "InvalidUri",
          detail: "only http and https addresses can be fetched"
        })
      }
      const request = HttpClientRequest.get(url).pipe(HttpClientRequest.setHeader("accept-encoding", "identity"))
      const response = yield* scoped.execute(request).pipe(
        Effect.mapError((error) => {
          const cause = fromHttpClientError(error)
          return new FileError({ file, reason: "Download", code: cause.code, detail: cause.detail ?? cause.reason })
        }),
        Effect.timeoutFail({
          duration: patience.requestTimeout,
          onTimeout: () => new FileError({ file, reason: "Download", detail: "no reply in time" })
        })
      )
      const location = response.headers.location
      if (response.status < 300 || response.status >= 400 || location === undefined) return response
      if (redirects >= maxRedirects) {
        return yield* new FileError({ file, reason: "Download", detail: `more than ${maxRedirects} redirects` })
      }
      return yield* get(URL.canParse(location, url) ? new URL(location, url).toString() : location, redirects + 1)
    })

  const attempt = Effect.gen(function* () {
    const response = yield* get(uri, 0)
    if (response.status >= 200 && response.status < 300) return response
    const body = yield* response.stream.pipe(
      Stream.take(1),
      Stream.decodeText(),
      Stream.mkString,
      Effect.timeout(patience.idleTimeout),
      Effect.orElseSucceed(() => "")
    )
    return yield* new FileError({
      file,
      reason: response.status === 404 || response.status === 410 ? "NotFound" : "Download",
      status: response.status,
      code: readProblem(body).code,
      retryAfter: yield* retryAfter(response.headers, response.status)
    })
  })

  return Effect.map(
    Retry.retrying<FileError>(patience.retry, isTransient)(() => attempt),
    (response) => {
      const length = response.headers["content-encoding"] === undefined ? response.headers["content-length"] : undefined
      const size = length === undefined ? undefined : Number(length)
      return {
        size,
        contentType: response.headers["content-type"],
        stream: response.stream.pipe(
          Stream.catchAll((error) => {
            if (error.reason === "EmptyBody") return Stream.empty
            const cause = fromHttpClientError(error)
            return new FileError({ file, reason: "Download", code: cause.code, detail: cause.detail ?? cause.reason })
          }),
          Stream.timeoutFail(
            () => new FileError({ file, reason: "Download", detail: "no byte in time" }),
            patience.idleTimeout
          ),
          ofSize(file, size)
        )
      }
    }
  )
}

/** Fails where a stream ends before, or goes on after, the announced number of bytes. */
const ofSize =
  (file: string, size: number | undefined) =>
  (stream: Stream.Stream<Uint8Array, FileError>): Stream.Stream<Uint8Array, FileError> => {
    if (size === undefined) return stream
    const mismatch = (received: number) =>
      new FileError({ file, reason: "SizeMismatch", detail: `${received} of ${size} bytes` })
    return Stream.suspend(() => {
      let received = 0
      return stream.pipe(
        Stream.mapEffect((bytes) => {
          received += bytes.length
          return received > size ? mismatch(received) : Effect.succeed(bytes)
        }),
        Stream.concat(
          Stream.unwrap(Effect.sync(() => (received < size ? Stream.fail(mismatch(received)) : Stream.empty)))
        )
      )
    })
  }

/** The bytes behind an http(s) address. */
export const download = (
  client: HttpClient.HttpClient,
  uri: string,
  patience?: Patience
): Stream.Stream<Uint8Array, FileError> =>
  Stream.unwrapScoped(Effect.map(open(client, uri, patience), (opened) => opened.stream))
