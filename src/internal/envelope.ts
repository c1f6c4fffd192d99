/** The three generations of reply envelopes: protocol.md §1.4. */
import * as Effect from "effect/Effect"
import type { ApiFailure } from "../InferenceError.js"
import { DecodeError } from "../InferenceError.js"
import { fromStatus } from "./failure.js"
import { isJsonObject } from "./wire.js"

/**
 * A notice that came with a successful reply: a limit reached, a deprecation.
 *
 * @since 0.1.0
 * @category models
 */
export interface Notice {
  readonly level: string
  readonly code: string
  readonly message: string
  readonly meta: unknown
}

const toNotice = (message: unknown): ReadonlyArray<Notice> =>
  isJsonObject(message)
    ? [
        {
          level: String(message.level ?? "info"),
          code: String(message.code ?? ""),
          message: String(message.message ?? ""),
          meta: message.meta
        }
      ]
    : []

const isWrapper = (body: { readonly [key: string]: unknown }): boolean =>
  "data" in body && Object.keys(body).every((key) => key === "data" || key === "messages" || key === "status")

/** The payload of a successful reply, and the notices that came with it. */
export const unwrap = (
  text: string,
  known: {
    readonly method: string
    readonly url: string
    readonly status: number
    readonly taskId: string | undefined
  }
): Effect.Effect<{ readonly data: unknown; readonly notices: ReadonlyArray<Notice> }, ApiFailure> =>
  Effect.gen(function* () {
    if (text.trim() === "") return { data: undefined, notices: [] }
    const body = yield* Effect.try({
      try: (): unknown => JSON.parse(text),
      catch: () =>
        new DecodeError({
          ...known,
          subject: `reply to ${known.method} ${known.url}`,
          path: [],
          detail: `it is not JSON: ${text.slice(0, 500)}`
        })
    })
    if (!isJsonObject(body)) return { data: body, notices: [] }
    if (body.success === false) {
      const status = typeof body.status === "number" && body.status >= 400 ? body.status : known.status
      return yield* Effect.fail(fromStatus(status, text, known, known))
    }
    const notices = Array.isArray(body.messages) ? body.messages.flatMap(toNotice) : []
    return body.success === true || isWrapper(body) ? { data: body.data, notices } : { data: body, notices: [] }
  })
