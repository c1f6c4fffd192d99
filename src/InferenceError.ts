/**
 * The errors of this package, named by what a caller does next.
 *
 * Each is a `Schema.TaggedError`: catch it by its tag, send it over a wire, compare it. None of them holds the API key.
 *
 * @module
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import { DurationFromMillis, openEnum } from "./internal/wire.js"
import { Task } from "./Task.js"

const reply = {
  /** The HTTP method of the request that failed. */
  method: Schema.optional(Schema.String),
  /** The address of the request, without its query. */
  url: Schema.optional(Schema.String),
  /** The HTTP status of the reply. */
  status: Schema.optional(Schema.Number),
  /** The service's own code for the failure, such as `not_found`. */
  code: Schema.optional(Schema.String),
  /** What the service said. */
  detail: Schema.optional(Schema.String),
  /** What to quote when asking the service's support about this request. */
  requestId: Schema.optional(Schema.String),
  /** How long the service asked to wait before the next request. */
  retryAfter: Schema.optional(DurationFromMillis),
  /** The task that the request was about. */
  taskId: Schema.optional(Schema.String)
}

interface Reply {
  readonly method?: string | undefined
  readonly url?: string | undefined
  readonly status?: number | undefined
  readonly code?: string | undefined
  readonly detail?: string | undefined
  readonly requestId?: string | undefined
  readonly retryAfter?: Duration.Duration | undefined
  readonly taskId?: string | undefined
}

const describe = (error: Reply, what: string, next: string): string => {
  const request = error.url === undefined ? "The request" : `${error.method ?? "GET"} ${error.url}`
  const codes = [error.status, error.code].filter((part) => part !== undefined).join(" ")
  const said = error.detail ? `: ${error.detail}` : ""
  const id = error.requestId ? ` (request ${error.requestId})` : ""
  return `${request} ${what}${codes && ` (${codes})`}${said.replace(/\.?$/, ".")} ${next}${id}`
}

/**
 * The service does not accept the API key. Nothing was done.
 *
 * @since 0.1.0
 * @category errors
 */
export class Unauthorized extends Schema.TaggedError<Unauthorized>()("Unauthorized", reply) {
  override get message() {
    return describe(this, "was refused", "Check the API key: the one in use is missing, wrong or expired.")
  }
}

/**
 * The key is valid and may not do this: a missing scope, another team's resource, or a limit of the plan.
 *
 * @since 0.1.0
 * @category errors
 */
export class Forbidden extends Schema.TaggedError<Forbidden>()("Forbidden", {
  ...reply,
  /** Details of the refusal, for a limit of the plan its name, the limit and the present use. */
  meta: Schema.optional(Schema.Unknown)
}) {
  override get message() {
    return describe(this, "is not allowed", "Check the scopes of the API key and the limits of the plan.")
  }
}

/**
 * There is no such app, task, file or endpoint, or it is not visible with this key.
 *
 * @since 0.1.0
 * @category errors
 */
export class NotFound extends Schema.TaggedError<NotFound>()("NotFound", reply) {
  override get message() {
    return describe(this, "found nothing", "Check the name or id, and that the key's team can see it.")
  }
}

/**
 * One thing wrong with an input.
 *
 * @since 0.1.0
 * @category models
 */
export const Issue = Schema.Struct({
  /** Where: `input`, `setup` or `metadata`, then names of fields and positions in arrays; or the name of an option. */
  path: Schema.Array(Schema.Union(Schema.String, Schema.Number)),
  message: Schema.String
})

/**
 * One thing wrong with an input.
 *
 * @since 0.1.0
 * @category models
 */
export interface Issue extends Schema.Schema.Type<typeof Issue> {}

/**
 * What was asked is wrong. Without a `status` the mistake was found here and nothing was sent.
 *
 * @since 0.1.0
 * @category errors
 */
export class InvalidRequest extends Schema.TaggedError<InvalidRequest>()("InvalidRequest", {
  ...reply,
  /** The app whose input it is. */
  app: Schema.optional(Schema.String),
  issues: Schema.Array(Issue)
}) {
  override get message() {
    const issues = this.issues.map(formatIssue).filter((issue) => issue !== this.detail)
    return this.status === undefined
      ? `The request${this.app ? ` to ${this.app}` : ""} was not sent: ${issues.join("; ").replace(/[.?]?$/, ".")} Correct the input.`
      : describe(
          { ...this, detail: [this.detail, issues.join("; ")].filter(Boolean).join(": ") },
          "was refused",
          "Correct the input."
        )
  }
}

const formatPath = (path: ReadonlyArray<string | number>): string =>
  path.map((part, i) => (typeof part === "number" ? `[${part}]` : i === 0 ? part : `.${part}`)).join("")

/** @internal */
export const formatIssue = (issue: Issue): string =>
  issue.path.length === 0 ? issue.message : `${formatPath(issue.path)}: ${issue.message}`

/**
 * Something that the app needs and the team has not set up yet.
 *
 * @since 0.1.0
 * @category models
 */
export const Requirement = Schema.Struct({
  type: Schema.optionalWith(openEnum("secret", "integration", "scope"), { default: () => "secret", nullable: true }),
  key: Schema.optionalWith(Schema.String, { default: () => "", nullable: true }),
  message: Schema.optionalWith(Schema.String, { default: () => "", nullable: true }),
  /** What to do about it, as the service describes it. */
  action: Schema.optionalWith(Schema.Unknown, { nullable: true })
})

/**
 * Something that the app needs and the team has not set up yet.
 *
 * @since 0.1.0
 * @category models
 */
export interface Requirement extends Schema.Schema.Type<typeof Requirement> {}

/**
 * The app needs secrets, integrations or scopes that the team lacks. Nothing ran.
 *
 * @since 0.1.0
 * @category errors
 */
export class RequirementsNotMet extends Schema.TaggedError<RequirementsNotMet>()("RequirementsNotMet", {
  ...reply,
  requirements: Schema.Array(Requirement)
}) {
  override get message() {
    const missing = this.requirements.map((requirement) => requirement.message || requirement.key).join("; ")
    return describe(
      { ...this, detail: missing },
      "needs something that is not set up",
      "Add it in the team's settings."
    )
  }
}

/**
 * Too many requests. Nothing was done; the client has already waited and tried again as its retry policy says.
 *
 * @since 0.1.0
 * @category errors
 */
export class RateLimited extends Schema.TaggedError<RateLimited>()("RateLimited", reply) {
  /** @internal */
  get isTransient() {
    return true
  }
  override get message() {
    return describe(this, "was rate limited", "Wait, or send fewer requests at a time.")
  }
}

/**
 * The service or a gateway before it cannot answer now: 502, 503 or 504.
 *
 * @since 0.1.0
 * @category errors
 */
export class ServiceUnavailable extends Schema.TaggedError<ServiceUnavailable>()("ServiceUnavailable", reply) {
  /** @internal */
  get isTransient() {
    return true
  }
  override get message() {
    return describe(this, "found the service unavailable", "Try again later.")
  }
}

/**
 * The service answered with a status that has no error of its own here.
 *
 * @since 0.1.0
 * @category errors
 */
export class ApiError extends Schema.TaggedError<ApiError>()("ApiError", {
  ...reply,
  status: Schema.Number,
  /** Further details, as the service sent them. */
  meta: Schema.optional(Schema.Unknown)
}) {
  /** @internal */
  get isTransient() {
    return this.status === 408 || this.status >= 500
  }
  override get message() {
    return describe(
      this,
      "failed",
      this.isTransient ? "Try again later." : "See the status and code for what the service objects to."
    )
  }
}

/**
 * Why no reply arrived. `Connect`: the server was never reached. `Timeout`: no reply headers in time. `Idle`: no byte in
 * time. `Disconnected`: the connection broke. `InvalidUrl` and `ForeignOrigin`: not sent, the address is not one to which
 * this client may send the key. `Encode`: not sent, the body could not be written.
 *
 * @since 0.1.0
 * @category models
 */
export const TransportReason = Schema.Literal(
  "Connect",
  "Timeout",
  "Idle",
  "Disconnected",
  "InvalidUrl",
  "ForeignOrigin",
  "Encode"
)

/**
 * No usable reply: the request may or may not have been carried out, except where `reason` says that it was not sent.
 *
 * @since 0.1.0
 * @category errors
 */
export class TransportError extends Schema.TaggedError<TransportError>()("TransportError", {
  ...reply,
  reason: TransportReason
}) {
  /** @internal */
  get isTransient() {
    return !["InvalidUrl", "ForeignOrigin", "Encode"].includes(this.reason)
  }
  override get message() {
    const [what, next] = transportText[this.reason]
    return describe(this, what, next)
  }
}

const transportText: Record<typeof TransportReason.Type, readonly [what: string, next: string]> = {
  Connect: ["could not reach the server", "Check the base URL and the network."],
  Timeout: ["got no reply in time", "Try again, or raise requestTimeout."],
  Idle: ["received no byte in time", "Try again, or raise idleTimeout."],
  Disconnected: ["lost its connection", "Try again."],
  InvalidUrl: ["has an address that is no URL", "Correct it."],
  ForeignOrigin: [
    "was not sent: the address is not on the base URL's origin",
    "Use a plain HttpClient for other hosts; this one carries the API key."
  ],
  Encode: ["has a body that could not be written", "Correct it."]
}

/**
 * A payload is not what its schema says: a reply of the service, or the output of an app. `path` says where.
 *
 * @since 0.1.0
 * @category errors
 */
export class DecodeError extends Schema.TaggedError<DecodeError>()("DecodeError", {
  ...reply,
  /** What was decoded, such as `output of acme/echo`. */
  subject: Schema.String,
  path: Schema.Array(Schema.Union(Schema.String, Schema.Number)),
  /** The chat that keeps what the model gave as its structured output. */
  chatId: Schema.optional(Schema.String)
}) {
  override get message() {
    const where = this.path.length === 0 ? "" : ` at ${formatPath(this.path)}`
    const next = this.taskId
      ? `The task keeps its output: read it as it came with Tasks.get("${this.taskId}").`
      : this.chatId
        ? `Ask again, or say more of it in the descriptions of its fields. It is as it came in Agents.getChat("${this.chatId}").`
        : "If the service changed, update this package."
    return `The ${this.subject} is not as expected${where}: ${(this.detail ?? "").replace(/\.?$/, ".")} ${next}`
  }
}

/**
 * The task ended as `failed`. The task is attached with all that the service knows of it.
 *
 * @since 0.1.0
 * @category errors
 */
export class TaskFailed extends Schema.TaggedError<TaskFailed>()("TaskFailed", { task: Task }) {
  override get message() {
    const why = (this.task.error || "the app gave no reason").replace(/\.?$/, ".")
    return `Task ${this.task.id} failed: ${why} See Tasks.logs("${this.task.id}") for what the app wrote.`
  }
}

/**
 * The task was cancelled, by this program or by someone else.
 *
 * @since 0.1.0
 * @category errors
 */
export class TaskCancelled extends Schema.TaggedError<TaskCancelled>()("TaskCancelled", { task: Task }) {
  override get message() {
    return `Task ${this.task.id} was cancelled before it completed.`
  }
}

/**
 * A task or a turn of a chat could not be followed to its end: connections kept failing, or nothing new happened within
 * `progressTimeout`. It may still be running.
 *
 * @since 0.1.0
 * @category errors
 */
export class StreamInterrupted extends Schema.TaggedError<StreamInterrupted>()("StreamInterrupted", {
  /** The task that was followed. */
  taskId: Schema.optional(Schema.String),
  /** The chat that was followed. */
  chatId: Schema.optional(Schema.String),
  reason: Schema.Literal("Disconnected", "NoProgress"),
  /** What ended the last attempt. */
  detail: Schema.optional(Schema.String),
  /** The task as it was seen last. */
  lastSeen: Schema.optional(Task)
}) {
  override get message() {
    const seen = this.lastSeen === undefined ? "" : ` It was ${this.lastSeen.status} when last seen.`
    const why =
      this.reason === "NoProgress" ? "nothing new happened within progressTimeout" : "its stream kept breaking off"
    const detail = this.detail ? ` (${this.detail})` : ""
    const [what, next] =
      this.taskId === undefined
        ? [`Chat ${this.chatId}`, "look at it with Agents.getChat"]
        : [`Task ${this.taskId}`, `attach again with Tasks.waitForCompletion("${this.taskId}")`]
    return `${what} could not be followed to its end: ${why}${detail}.${seen} It may still be running: ${next}.`
  }
}

/**
 * A {@link StreamInterrupted} of a task: attach again with `Tasks.waitForCompletion(error.taskId)`.
 *
 * @since 0.1.0
 * @category unions
 */
export type TaskInterrupted = StreamInterrupted & { readonly taskId: string }

/**
 * Makes a {@link TaskInterrupted}, as a stand-in for the service may have to.
 *
 * @since 0.1.0
 * @category constructors
 */
export const taskInterrupted = (
  props: ConstructorParameters<typeof StreamInterrupted>[0] & { readonly taskId: string }
): TaskInterrupted => Object.assign(new StreamInterrupted(props), { taskId: props.taskId })

/**
 * A {@link StreamInterrupted} of a turn: look at the chat with `Agents.getChat(error.chatId)`.
 *
 * @since 0.1.0
 * @category unions
 */
export type ChatInterrupted = StreamInterrupted & { readonly chatId: string }

/**
 * Makes a {@link ChatInterrupted}, as a stand-in for the service may have to.
 *
 * @since 0.1.0
 * @category constructors
 */
export const chatInterrupted = (
  props: ConstructorParameters<typeof StreamInterrupted>[0] & { readonly chatId: string }
): ChatInterrupted => Object.assign(new StreamInterrupted(props), { chatId: props.chatId })

/**
 * A turn of a chat did not come to its end as it should. `Failed`: the agent or its model failed. `Cancelled`: somebody stopped it,
 * or took the message back before its turn. `Rejected`: the service did not take the turn on. `NoOutput`: it ended without the
 * structured output that was asked for.
 *
 * @since 0.1.0
 * @category errors
 */
export class ChatFailed extends Schema.TaggedError<ChatFailed>()("ChatFailed", {
  reason: Schema.Literal("Failed", "Cancelled", "Rejected", "NoOutput"),
  chatId: Schema.optional(Schema.String),
  runId: Schema.optional(Schema.String),
  /** The message that says why, if one does. */
  messageId: Schema.optional(Schema.String),
  /** Why, in the words of the model or the service. */
  detail: Schema.optional(Schema.String),
  /** The text that the agent had written by then. */
  text: Schema.String
}) {
  override get message() {
    const [what, next] = chatText[this.reason]
    const chat = this.chatId === undefined ? "The chat" : `Chat ${this.chatId}`
    const said = this.detail ? `: ${this.detail}` : ""
    return `${chat} ${what}${said.replace(/\.?$/, ".")} ${next}`
  }
}

const chatText: Record<ChatFailed["reason"], readonly [what: string, next: string]> = {
  Failed: ["had a turn that failed", "Its messages are kept: see Agents.getChat."],
  Cancelled: ["had a turn that was cancelled before it was over", "Send the message again to go on."],
  Rejected: ["had a turn that was rejected", "See what the service objects to."],
  NoOutput: [
    "had a turn that ended without a structured output",
    "Tell the agent to call finish, or read the text of its reply."
  ]
}

/**
 * The worker session that a task was meant for is gone.
 *
 * @since 0.1.0
 * @category errors
 */
export class SessionLost extends Schema.TaggedError<SessionLost>()("SessionLost", {
  ...reply,
  reason: Schema.Literal("NotFound", "Expired", "Ended", "WorkerLost", "Unknown"),
  sessionId: Schema.optional(Schema.String)
}) {
  override get message() {
    const session = this.sessionId ? `Session ${this.sessionId}` : "The session"
    const said = this.detail ? `: ${this.detail}` : ""
    return `${session} is gone (${this.reason})${said.replace(/\.?$/, ".")} Its state is lost: start a new one with session: "new".`
  }
}

/**
 * A file could not be read, written, uploaded or downloaded.
 *
 * @since 0.1.0
 * @category errors
 */
export class FileError extends Schema.TaggedError<FileError>()("FileError", {
  ...reply,
  reason: Schema.Literal(
    "NotFound",
    "PermissionDenied",
    "NotAFile",
    "Read",
    "Write",
    "InvalidUri",
    "Unsupported",
    "SizeMismatch",
    "Upload",
    "Download"
  ),
  /** The path or URL (without its query) of the file, or its name. */
  file: Schema.String
}) {
  /** @internal */
  get isTransient() {
    return (
      (this.reason === "Upload" || this.reason === "Download" || this.reason === "SizeMismatch") &&
      (this.status === undefined || this.status === 408 || this.status === 429 || this.status >= 500)
    )
  }
  override get message() {
    const [what, next] = fileText[this.reason]
    const codes = this.status === undefined ? "" : ` (${this.status})`
    const said = this.detail ? `: ${this.detail}` : ""
    return `${what} ${this.file}${codes}${said.replace(/\.?$/, ".")} ${next}`
  }
}

const fileText: Record<FileError["reason"], readonly [what: string, next: string]> = {
  NotFound: ["There is no file", "Check the path."],
  PermissionDenied: ["There is no permission to use the file", "Check its owner and mode."],
  NotAFile: ["This is not a file:", "Give the path of a regular file."],
  Read: ["Could not read the file", "Try again."],
  Write: ["Could not write the file", "Check the directory and the free space."],
  InvalidUri: ["Could not make sense of the file", "Give a path, an http(s) URL or a data: URI."],
  Unsupported: [
    "This platform cannot use the file",
    "Give its bytes instead: a Blob, a File of the page or a Uint8Array."
  ],
  SizeMismatch: ["Received another number of bytes than announced for", "Try again."],
  Upload: ["Could not upload", "Try again."],
  Download: ["Could not download", "Check that the URL is still valid."]
}

/**
 * Code of an app failed, in the part of its life that `phase` names. `input` and `output` are values that do not fit the
 * app's schemas.
 *
 * @since 0.1.0
 * @category errors
 */
export class AppFailed extends Schema.TaggedError<AppFailed>()("AppFailed", {
  app: Schema.String,
  phase: Schema.Literal("setup", "input", "run", "output", "unload"),
  detail: Schema.String,
  cause: Schema.optional(Schema.Defect)
}) {
  override get message() {
    return `${this.app} failed in ${this.phase}: ${this.detail}`
  }
}

/**
 * All that any request to the service can fail with.
 *
 * @since 0.1.0
 * @category unions
 */
export type ApiFailure =
  | Unauthorized
  | Forbidden
  | NotFound
  | InvalidRequest
  | RequirementsNotMet
  | RateLimited
  | ServiceUnavailable
  | ApiError
  | TransportError
  | DecodeError

/**
 * Whether the same request may well succeed if it is sent again later. It says nothing on whether sending it again is
 * safe: each task costs, and may run although its reply was lost. {@link wasNotCarriedOut} says that.
 *
 * @example
 * ```ts
 * import { Effect, Schedule } from "effect"
 * import { InferenceError, Tasks } from "effect-inferencesh"
 *
 * const patient = Tasks.get("7k2m9qd4r8v1x5c3b6n0zthwpa").pipe(
 *   Effect.retry({ while: InferenceError.isTransient, schedule: Schedule.spaced("1 minute"), times: 10 })
 * )
 * ```
 * @since 0.1.0
 * @category predicates
 */
export const isTransient = (error: unknown): boolean =>
  Predicate.hasProperty(error, "isTransient") && error.isTransient === true

/**
 * Whether a request was certainly not carried out, so that sending it again has no second effect: the service could not be
 * connected to, or it was too busy and said so. Where a reply was lost it may have been, and a task may run and cost.
 *
 * @example
 * ```ts
 * import { Effect, Schedule } from "effect"
 * import { InferenceError, Tasks } from "effect-inferencesh"
 *
 * const patient = Tasks.run("acme/flux", { input: { prompt: "a cat" } }).pipe(
 *   Effect.retry({ while: InferenceError.wasNotCarriedOut, schedule: Schedule.spaced("1 minute"), times: 10 })
 * )
 * ```
 * @since 0.1.0
 * @category predicates
 */
export const wasNotCarriedOut = (error: unknown): boolean =>
  (error instanceof TransportError && error.reason === "Connect") ||
  error instanceof RateLimited ||
  (error instanceof ServiceUnavailable && error.status === 503 && error.retryAfter !== undefined)
