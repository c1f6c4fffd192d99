/** The one place where failures of HTTP, files and schemas become the errors of this package. */
import type * as PlatformError from "@effect/platform/Error"
import type * as HttpClientError from "@effect/platform/HttpClientError"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Inspectable from "effect/Inspectable"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import * as InferenceError from "../InferenceError.js"
import { isJsonObject } from "./wire.js"

/** What is known of the request that failed, beyond the reply. */
export interface About {
  readonly taskId?: string | undefined
}

/** An address that is safe to show: a query may hold a signature. */
export const withoutQuery = (url: string): string =>
  /^data:/i.test(url) ? `${url.slice(0, 32)}…` : url.replace(/[?#].*$/s, "").replace(/\/\/[^/@]*@/, "//")

const text = (u: unknown): string | undefined => (typeof u === "string" && u !== "" ? u : undefined)

/** Codes of system errors that say that no byte of the request reached a server. */
const neverSent = new Set([
  "ECONNREFUSED",
  "ENOTFOUND",
  "EAI_AGAIN",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "UND_ERR_CONNECT_TIMEOUT",
  "ERR_TLS_CERT_ALTNAME_INVALID",
  "DEPTH_ZERO_SELF_SIGNED_CERT"
])

const systemError = (cause: unknown, depth = 0): { readonly code?: string; readonly message?: string } => {
  if (!isJsonObject(cause) || depth > 4) return {}
  const code = text(cause.code)
  const inner = systemError(cause.cause, depth + 1)
  const message = inner.message ?? text(cause.message)
  const found = code ?? inner.code
  return { ...(found !== undefined && { code: found }), ...(message !== undefined && { message }) }
}

/** Marks a request that the authorised client refuses to send. */
export class ForeignOrigin extends Error {}

/** Marks the failures of a platform that has no files. */
export class NoFileSystem extends Error {}

/** Only the text and code of the cause are kept: the error of the HTTP client holds the whole request, and its key. */
export const fromHttpClientError = (
  error: HttpClientError.HttpClientError,
  about: About = {}
): InferenceError.TransportError => {
  const cause = systemError(error.cause)
  return new InferenceError.TransportError({
    method: error.request.method,
    url: withoutQuery(error.request.url),
    reason:
      error._tag === "ResponseError"
        ? "Disconnected"
        : error.cause instanceof ForeignOrigin
          ? "ForeignOrigin"
          : error.reason === "InvalidUrl"
            ? "InvalidUrl"
            : error.reason === "Encode"
              ? "Encode"
              : cause.code !== undefined && neverSent.has(cause.code)
                ? "Connect"
                : "Disconnected",
    code: cause.code,
    detail: cause.message,
    taskId: about.taskId
  })
}

/** `Retry-After` in seconds or as a date, else `X-RateLimit-Reset` in Unix seconds. */
export const retryAfter = (headers: Readonly<Record<string, string | undefined>>, status: number) =>
  Effect.map(Clock.currentTimeMillis, (now): Duration.Duration | undefined => {
    const after = headers["retry-after"]?.trim()
    if (after !== undefined && /^\d+(\.\d+)?$/.test(after)) return Duration.seconds(Number(after))
    const date = after === undefined ? Number.NaN : Date.parse(after)
    if (!Number.isNaN(date)) return Duration.millis(Math.max(0, date - now))
    const reset = status === 429 ? Number(headers["x-ratelimit-reset"] || Number.NaN) : Number.NaN
    return Number.isNaN(reset) ? undefined : Duration.millis(Math.max(0, reset * 1000 - now))
  })

const parseJson = (body: string): unknown => {
  try {
    return JSON.parse(body)
  } catch {
    return undefined
  }
}

const decodeRequirements = Schema.decodeUnknownEither(Schema.Array(InferenceError.Requirement))

const sessionReasons: Record<string, InferenceError.SessionLost["reason"]> = {
  SESSION_NOT_FOUND: "NotFound",
  SESSION_EXPIRED: "Expired",
  SESSION_ENDED: "Ended",
  WORKER_LOST: "WorkerLost"
}

/** What a problem+json, legacy or plain body says of a failure: the three generations of protocol.md §1.5. */
export const readProblem = (body: string) => {
  const parsed = parseJson(body)
  const root = isJsonObject(parsed) ? parsed : {}
  const error = isJsonObject(root.error) ? root.error : {}
  const rawCode = text(root.type)?.split("/").at(-1) ?? text(error.code) ?? text(root.code)
  const detail =
    text(root.detail) ??
    text(error.message) ??
    text(root.error) ??
    text(root.message) ??
    text(root.title) ??
    text(
      body
        .replace(/<[^>]*>/g, " ")
        .replace(/\s+/g, " ")
        .trim()
        .slice(0, 500)
    )
  const nested = isJsonObject(root.data) ? root.data : {}
  return {
    code: rawCode === "about:blank" ? undefined : rawCode,
    detail,
    errors: Array.isArray(root.errors) ? root.errors : Array.isArray(nested.errors) ? nested.errors : undefined,
    meta: root.meta ?? error.meta,
    status: typeof root.status === "number" ? root.status : undefined
  }
}

const toIssues = (errors: ReadonlyArray<unknown> | undefined, detail: string): Array<InferenceError.Issue> => {
  const issues = (errors ?? []).map((error): InferenceError.Issue => {
    const issue = isJsonObject(error) ? error : { message: String(error) }
    const where = text(issue.field) ?? text(issue.path) ?? text(issue.pointer)
    return {
      path: where === undefined ? [] : where.split(/[./]/).filter((part) => part !== ""),
      message: text(issue.message) ?? text(issue.detail) ?? JSON.stringify(error)
    }
  })
  return issues.length === 0 ? [{ path: [], message: detail }] : issues
}

/** The error that a status and a body stand for. */
export const fromStatus = (
  status: number,
  body: string,
  known: {
    readonly method: string
    readonly url: string
    readonly requestId?: string | undefined
    readonly retryAfter?: Duration.Duration | undefined
    readonly location?: string | undefined
  },
  about: About = {}
): InferenceError.ApiFailure => {
  const problem = readProblem(body)
  const { location, ...request } = known
  const fields = {
    ...request,
    url: withoutQuery(known.url),
    status,
    code: problem.code,
    detail: problem.detail,
    taskId: about.taskId
  }
  switch (status) {
    case 400:
    case 422:
      return new InferenceError.InvalidRequest({
        ...fields,
        issues: toIssues(problem.errors, problem.detail ?? "the service gave no reason")
      })
    case 401:
      return new InferenceError.Unauthorized(fields)
    case 403:
      return new InferenceError.Forbidden({ ...fields, meta: problem.meta })
    case 404:
      return new InferenceError.NotFound(fields)
    case 412: {
      const requirements = Either.getOrUndefined(decodeRequirements(problem.errors))
      if (requirements !== undefined) return new InferenceError.RequirementsNotMet({ ...fields, requirements })
      break
    }
    case 429:
      return new InferenceError.RateLimited(fields)
    case 502:
    case 503:
    case 504:
      return new InferenceError.ServiceUnavailable(fields)
  }
  // What fetch makes of a redirect that it is not to follow has no status in browsers.
  const redirected =
    status === 0 || (status >= 300 && status < 400)
      ? `the server redirects${location === undefined ? "" : ` to ${withoutQuery(location)}`}, and requests are not sent on`
      : undefined
  return new InferenceError.ApiError({ ...fields, detail: redirected ?? fields.detail, meta: problem.meta })
}

/** Tells the loss of the session that a request involved from other failures. With `only`, it named nothing else that can be missing. */
export const sessionLost =
  (session: string, only?: "only") =>
  (error: InferenceError.ApiFailure): InferenceError.ApiFailure | InferenceError.SessionLost => {
    const told = sessionReasons[error.code?.toUpperCase().replace(/-/g, "_") ?? ""]
    const known = told ?? (only && error._tag === "NotFound" ? "NotFound" : undefined)
    if (known === undefined && error.status !== 410) return error
    const { method, url, status, code, detail, requestId, retryAfter, taskId } = error
    return new InferenceError.SessionLost({
      ...{ method, url, status, code, detail, requestId, retryAfter, taskId },
      reason: known ?? "Unknown",
      sessionId: session === "new" ? undefined : session
    })
  }

/**
 * The issues in a schema's words. Of the value that was there only numbers and the like are shown: a text or an object may be a
 * secret, or long.
 */
export const issuesOf = (error: ParseResult.ParseError): Array<InferenceError.Issue> => {
  const issues = ParseResult.ArrayFormatter.formatErrorSync(error).map((issue) => ({
    path: issue.path.map((part) => (typeof part === "number" ? part : String(part))),
    message: issue.message.replace(/, actual (?!(?:[\d.e+-]+|true|false|null|undefined)$).*$/s, "")
  }))
  // That an optional field could be left out as well is no help beside what it should be.
  const isAlone = ({ path }: InferenceError.Issue) =>
    issues.filter((other) => other.path.join() === path.join()).length === 1
  return issues.filter((issue) => !/^Expected (undefined|null)\b/.test(issue.message) || isAlone(issue))
}

/** Issues as one line. */
export const formatIssues = (issues: ReadonlyArray<InferenceError.Issue>): string =>
  issues.map(InferenceError.formatIssue).join("; ")

/** What an error of whatever kind says of itself: its message, or else its tag and its fields. */
export const messageOf = (error: unknown): string => {
  if (!isJsonObject(error)) return Inspectable.toStringUnknown(error, 0)
  const { _tag: tag, name: _, message: __, stack: ___, cause: ____, ...fields } = error
  const { message } = error
  // Errors made by Schema.TaggedError say their fields in place of a message.
  if (typeof message === "string" && message !== "" && !(tag !== undefined && message.startsWith("{"))) return message
  const rest = Inspectable.toStringUnknown(fields, 0)
  const title = typeof tag === "string" ? tag : error instanceof Error ? error.name : undefined
  return title === undefined ? rest : rest === "{}" ? title : `${title} ${rest}`
}

/** A payload that does not fit its schema. */
export const decodeError = (
  subject: string,
  error: ParseResult.ParseError,
  about: About & { readonly url?: string | undefined; readonly method?: string | undefined } = {}
): InferenceError.DecodeError => {
  const [first] = issuesOf(error)
  return new InferenceError.DecodeError({
    subject,
    path: first?.path ?? [],
    detail: first?.message ?? error.message,
    taskId: about.taskId,
    url: about.url,
    method: about.method
  })
}

/** A failure of the file system. */
export const fromPlatformError = (
  error: PlatformError.PlatformError,
  file: string,
  otherwise: "Read" | "Write" = "Read"
): InferenceError.FileError =>
  new InferenceError.FileError({
    file,
    reason:
      error.cause instanceof NoFileSystem
        ? "Unsupported"
        : error._tag === "SystemError" && (error.reason === "NotFound" || error.reason === "PermissionDenied")
          ? error.reason
          : error._tag === "SystemError" && error.reason === "BadResource" && /EISDIR/.test(error.message)
            ? "NotAFile"
            : otherwise,
    detail:
      error._tag === "SystemError" && (error.reason === "NotFound" || error.reason === "PermissionDenied")
        ? undefined
        : (error.description ?? error.message)
  })
