/** What the headers of a reply say: protocol.md §1.7. */
import type * as Headers from "@effect/platform/Headers"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { retryAfter } from "./failure.js"
import { DurationFromMillis } from "./wire.js"

const RateLimit = Schema.Struct({
  /** How many requests there may be in a window of time. */
  limit: Schema.optional(Schema.Number),
  /** How many of them are left. */
  remaining: Schema.optional(Schema.Number),
  /** When the next window begins. */
  reset: Schema.optional(Schema.DateTimeUtc)
})

export const ReplyInfo = Schema.Struct({
  method: Schema.String,
  /** The address of the request, without its query. */
  url: Schema.String,
  status: Schema.Number,
  /** What to quote when asking the service's support about this request. */
  requestId: Schema.optional(Schema.String),
  /** How much may still be asked for. */
  rateLimit: Schema.optional(RateLimit),
  /** How long the service asks to wait before the next request. */
  retryAfter: Schema.optional(DurationFromMillis),
  /** The task that the request is about. */
  taskId: Schema.optional(Schema.String)
})

export type ReplyInfo = typeof ReplyInfo.Type

/** A number of the header, of which newer drafts tell more behind it: `100, 100;w=60`. */
const Amount = Schema.transform(Schema.String, Schema.String, {
  strict: true,
  decode: (text) => text.split(/[,;]/)[0]?.trim() ?? "",
  encode: (text) => text
}).pipe(Schema.compose(Schema.NonEmptyString), Schema.compose(Schema.NumberFromString), Schema.nonNegative())

const decodeAmount = Schema.decodeUnknownOption(Amount)

const rateLimitOf = (headers: Headers.Headers, now: number): ReplyInfo["rateLimit"] => {
  const read = (name: string) => Option.getOrUndefined(decodeAmount(headers[name]))
  const limit = read("x-ratelimit-limit") ?? read("ratelimit-limit")
  const remaining = read("x-ratelimit-remaining") ?? read("ratelimit-remaining")
  // Unix seconds in the service's own header, and seconds from now in the one of the drafts.
  const at = read("x-ratelimit-reset")
  const wait = read("ratelimit-reset")
  const millis = at !== undefined ? at * 1000 : wait !== undefined ? now + wait * 1000 : Number.NaN
  const reset = Option.getOrUndefined(DateTime.make(millis))
  return limit === undefined && remaining === undefined && reset === undefined ? undefined : { limit, remaining, reset }
}

/** A header that cannot be read is as good as none. */
export const read = (
  reply: { readonly headers: Headers.Headers; readonly status: number },
  about: Pick<ReplyInfo, "method" | "url" | "taskId">,
  requestId: string | undefined
): Effect.Effect<ReplyInfo> =>
  Effect.zipWith(Clock.currentTimeMillis, retryAfter(reply.headers, reply.status), (now, retryAfter) => ({
    ...about,
    status: reply.status,
    requestId,
    rateLimit: rateLimitOf(reply.headers, now),
    retryAfter
  }))

/** What is done with each reply to the requests inside, in the fiber that waits for it. */
export class OnReply extends Context.Reference<OnReply>()("effect-inferencesh/OnReply", {
  defaultValue: (): ((reply: ReplyInfo) => Effect.Effect<void>) => () => Effect.void
}) {}
