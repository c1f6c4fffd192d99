/** The span of one HTTP request. That of the HTTP client would have the query and every header. */
import * as HttpClient from "@effect/platform/HttpClient"
import type * as HttpClientError from "@effect/platform/HttpClientError"
import type * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import type * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberRef from "effect/FiberRef"
import * as Option from "effect/Option"
import type * as Tracer from "effect/Tracer"
import { TransportError } from "../InferenceError.js"
import { Attribute } from "../Telemetry.js"
import { fromHttpClientError, fromStatus, withoutQuery } from "./failure.js"
import { Resends } from "./retry.js"
import { errorTypeOf } from "./telemetry.js"

type Response = HttpClientResponse.HttpClientResponse

const attributesOf = ({ method, url }: HttpClientRequest.HttpClientRequest, resends: number) => {
  const parsed = URL.canParse(url) ? new URL(url) : undefined
  return {
    "http.request.method": method,
    "url.full": withoutQuery(url),
    ...(parsed && {
      "url.scheme": parsed.protocol.slice(0, -1),
      "url.path": parsed.pathname,
      "server.address": parsed.hostname,
      ...(parsed.port !== "" && { "server.port": Number(parsed.port) })
    }),
    ...(resends > 0 && { "http.request.resend_count": resends })
  }
}

/** The end as the span tells of it. The error of the HTTP client would quote the query, and one of the service the request. */
const endOf = (
  { method, url }: HttpClientRequest.HttpClientRequest,
  exit: Exit.Exit<Response, HttpClientError.HttpClientError>
): Exit.Exit<unknown, unknown> => {
  const about = { method, url: withoutQuery(url) }
  if (Exit.isSuccess(exit)) {
    const { status } = exit.value
    return status < 400 ? Exit.void : Exit.fail(fromStatus(status, "", about))
  }
  return Option.match(Cause.failureOption(exit.cause), {
    onNone: () => exit,
    onSome: (error) => {
      const { reason, code } = fromHttpClientError(error)
      return Exit.fail(new TransportError({ ...about, reason, code }))
    }
  })
}

const end = (
  span: Tracer.Span,
  request: HttpClientRequest.HttpClientRequest,
  exit: Exit.Exit<Response, HttpClientError.HttpClientError>
) =>
  Effect.map(Clock.currentTimeNanos, (now) => {
    if (Exit.isSuccess(exit)) span.attribute("http.response.status_code", exit.value.status)
    const told = endOf(request, exit)
    const errorType = errorTypeOf(told)
    if (errorType !== undefined) span.attribute(Attribute.errorType, errorType)
    span.end(now, told)
  })

/** Puts the span around a request, which lasts until the headers of the reply. Its name and whether there is one can be changed as for others. */
export const withSpan = <R>(
  request: HttpClientRequest.HttpClientRequest,
  send: Effect.Effect<Response, HttpClientError.HttpClientError, R>
): Effect.Effect<Response, HttpClientError.HttpClientError, R> =>
  Effect.gen(function* () {
    const isDisabled = yield* FiberRef.get(HttpClient.currentTracerDisabledWhen)
    if (isDisabled(request)) return yield* send
    const nameOf = yield* HttpClient.SpanNameGenerator
    const span = Effect.makeSpan(nameOf(request), {
      kind: "client",
      captureStackTrace: false,
      attributes: attributesOf(request, yield* Resends)
    })
    return yield* Effect.acquireUseRelease(
      span,
      (span) => Effect.withParentSpan(send, span),
      (span, exit) => end(span, request, exit)
    )
  })

/** A client that makes no span of its own and sends no trace headers. */
export const withoutSpans = (client: HttpClient.HttpClient): HttpClient.HttpClient =>
  client.pipe(
    HttpClient.withTracerDisabledWhen(() => true),
    HttpClient.withTracerPropagation(false)
  )
