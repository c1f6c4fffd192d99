/** How the server answers: envelopes, problems, and the reading of bodies. */
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { concat } from "../bytes.js"
import { isJsonObject } from "../wire.js"
import { isTooDeep, maxDepth } from "./depth.js"

/** The generations of protocol.md §1.4. */
export type Envelope = "v1" | "v2" | "v3"

export interface FieldError {
  readonly field: string
  readonly message: string
}

/** A request that is answered with an error. */
export class Problem extends Data.TaggedError("Problem")<{
  readonly status: number
  readonly code: string
  readonly detail: string
  readonly errors?: ReadonlyArray<FieldError>
  readonly members?: { readonly [name: string]: unknown }
  readonly headers?: { readonly [name: string]: string }
}> {}

export const notFound = (what: string) => new Problem({ status: 404, code: "not_found", detail: `${what} not found` })

export const invalid = (detail: string, errors?: ReadonlyArray<FieldError>) =>
  new Problem({ status: 400, code: "invalid_request", detail, ...(errors && { errors }) })

const titles: Record<number, string> = {
  400: "Bad Request",
  401: "Unauthorized",
  403: "Forbidden",
  404: "Not Found",
  405: "Method Not Allowed",
  409: "Conflict",
  410: "Gone",
  411: "Length Required",
  413: "Content Too Large",
  422: "Unprocessable Content",
  429: "Too Many Requests",
  500: "Internal Server Error",
  502: "Bad Gateway",
  503: "Service Unavailable"
}

export const success = (envelope: Envelope, data: unknown): HttpServerResponse.HttpServerResponse =>
  HttpServerResponse.unsafeJson(
    envelope === "v1" ? { success: true, status: 200, data } : envelope === "v2" ? data : { data, messages: null }
  )

export const failure = (envelope: Envelope, problem: Problem): HttpServerResponse.HttpServerResponse => {
  const { status, code, detail, errors, members, headers } = problem
  return envelope === "v1"
    ? HttpServerResponse.unsafeJson(
        { success: false, status, error: { code, message: detail, suggestions: [] }, errors, ...members },
        { status, headers }
      )
    : HttpServerResponse.unsafeJson(
        {
          type: `https://api.inference.sh/errors/${code}`,
          title: titles[status] ?? "Error",
          status,
          detail,
          errors,
          ...members
        },
        { status, headers, contentType: "application/problem+json" }
      )
}

const tooLarge = (limit: number) =>
  new Problem({ status: 413, code: "content_too_large", detail: `the body is larger than ${limit} bytes` })

/** The length that the request announces. */
export const contentLength = (request: HttpServerRequest.HttpServerRequest): number | undefined => {
  const header = request.headers["content-length"]
  return header !== undefined && /^\d+$/.test(header) ? Number(header) : undefined
}

/** Whether the headers of HTTP/1.1 say that there is a body. */
const isAnnounced = (request: HttpServerRequest.HttpServerRequest): boolean => {
  const length = contentLength(request)
  return length === undefined ? request.headers["transfer-encoding"] !== undefined : length > 0
}

/** The bytes of the body, no more than `limit` of them. */
export const readBytes = (
  request: HttpServerRequest.HttpServerRequest,
  limit: number
): Effect.Effect<Uint8Array<ArrayBuffer>, Problem> =>
  Effect.suspend(() => {
    const length = contentLength(request)
    if (length !== undefined && length > limit) return Effect.fail(tooLarge(limit))
    // What is too long is read on for a while, and dropped: a client that still sends would not see the answer.
    const patience = limit + Math.max(limit, 1024 ** 2)
    const parts: Array<Uint8Array> = []
    let size = 0
    return request.stream.pipe(
      Stream.takeUntil((bytes) => {
        size += bytes.length
        if (size <= limit) parts.push(bytes)
        return size > patience
      }),
      Stream.runDrain,
      // Web requests without a body fail to be read.
      Effect.catchAll(() => (size === 0 && !isAnnounced(request) ? Effect.void : invalid("the body broke off"))),
      Effect.flatMap(() => (size > limit ? Effect.fail(tooLarge(limit)) : Effect.succeed(concat(parts))))
    )
  })

/** The JSON that bytes are. Nothing but blanks is `undefined`. */
export const parseJson = (bytes: Uint8Array): Effect.Effect<unknown, Problem> => {
  const text = new TextDecoder().decode(bytes)
  return text.trim() === ""
    ? Effect.succeed(undefined)
    : Effect.try({ try: (): unknown => JSON.parse(text), catch: () => invalid("the body is not JSON") }).pipe(
        Effect.filterOrFail(
          (body) => !isTooDeep(body),
          () => invalid(`the body nests deeper than ${maxDepth} levels`)
        )
      )
}

/** The JSON body, of no more than `limit` bytes. No body is `undefined`. */
export const readJson = (
  request: HttpServerRequest.HttpServerRequest,
  limit: number
): Effect.Effect<unknown, Problem> =>
  Effect.suspend(() =>
    isAnnounced(request) ? Effect.flatMap(readBytes(request, limit), parseJson) : Effect.succeed(undefined)
  )

/** The body where it must be an object. No body stands for `{}`. */
export const readObject = (
  request: HttpServerRequest.HttpServerRequest,
  limit: number
): Effect.Effect<{ readonly [key: string]: unknown }, Problem> =>
  Effect.flatMap(readJson(request, limit), (body) =>
    body == null
      ? Effect.succeed({})
      : isJsonObject(body)
        ? Effect.succeed(body)
        : Effect.fail(invalid("the body is not a JSON object"))
  )

/** The same of the request that is being answered. */
export const readBody = (limit: number) =>
  Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) => readObject(request, limit))
