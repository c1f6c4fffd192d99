/** Tells of the ends of tasks at the addresses that their requests name. */
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as Data from "effect/Data"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { plainClient } from "../download.js"
import { fromHttpClientError, retryAfter, withoutQuery } from "../failure.js"
import * as Retry from "../retry.js"
import { invalid, type Problem } from "./reply.js"
import * as Tasks from "./tasks.js"
import type { Wire } from "./taskWire.js"

export interface Webhooks {
  /** Tells of a task once it has ended. Where it cannot, the task's log says why. */
  readonly deliver: (entry: Tasks.Entry, url: string) => Effect.Effect<void>
}

class NotDelivered extends Data.TaggedError("NotDelivered")<{
  readonly detail: string
  readonly isTransient: boolean
  readonly retryAfter?: Duration.Duration | undefined
}> {}

/** How long each attempt may take. */
const timeout: Duration.DurationInput = "10 seconds"

const policy = Retry.resolve()

/** The address that a request names, if any. */
export const read = (value: unknown): Effect.Effect<string | undefined, Problem> => {
  if (value == null || value === "") return Effect.succeed(undefined)
  return typeof value === "string" && /^https?:/i.test(value) && URL.canParse(value)
    ? Effect.succeed(value)
    : Effect.fail(
        invalid("the webhook is no address", [{ field: "webhook", message: "expected an http or https URL" }])
      )
}

/** Whether an address is on this machine, as far as it says so itself. */
const isLoopback = ({ hostname }: URL): boolean => /^((.+\.)?localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(hostname)

/** Reaches this machine, and the other hosts that are named, with the `HttpClient` from the context. */
export const make = (options: {
  readonly hosts: ReadonlyArray<string>
  readonly wire: Wire
}): Effect.Effect<Webhooks> =>
  Effect.map(Effect.serviceOption(HttpClient.HttpClient), (client) => {
    const { wire } = options
    const hosts = new Set(options.hosts.map((host) => host.toLowerCase()))
    const isAllowed = (url: URL) => isLoopback(url) || hosts.has(url.host) || hosts.has(url.hostname)

    const send = (client: HttpClient.HttpClient, request: HttpClientRequest.HttpClientRequest) =>
      Effect.gen(function* () {
        const response = yield* HttpClient.withScope(plainClient(client)).execute(request)
        const { status, headers } = response
        if (status >= 200 && status < 300) return
        return yield* new NotDelivered({
          detail: `it was answered with status ${status}`,
          isTransient: status === 408 || status === 429 || status >= 500,
          retryAfter: yield* retryAfter(headers, status)
        })
      }).pipe(
        Effect.scoped,
        // The host that was asked for was checked, and not where it may redirect to.
        Effect.provideService(FetchHttpClient.RequestInit, { redirect: "manual" }),
        Effect.catchTags({
          RequestError: (error) => lost(error),
          ResponseError: (error) => lost(error)
        }),
        Effect.timeoutFail({
          duration: timeout,
          onTimeout: () => new NotDelivered({ detail: "there was no answer in time", isTransient: true })
        })
      )

    const lost = (error: Parameters<typeof fromHttpClientError>[0]) => {
      const { detail, reason, code } = fromHttpClientError(error)
      return new NotDelivered({ detail: detail ?? code ?? reason, isTransient: true })
    }

    return {
      deliver: (entry, text) =>
        Effect.gen(function* () {
          const state = yield* Tasks.ended(entry)
          const url = new URL(text)
          if (!isAllowed(url)) {
            return yield* new NotDelivered({
              detail: `${url.host} is neither this machine nor among the server's webhookHosts`,
              isTransient: false
            })
          }
          if (Option.isNone(client)) {
            return yield* new NotDelivered({ detail: "the server has no HttpClient", isTransient: false })
          }
          const request = HttpClientRequest.bodyUnsafeJson(HttpClientRequest.post(url), wire.full(state))
          yield* Retry.retrying<NotDelivered>(
            policy,
            ({ isTransient }) => isTransient
          )(() => send(client.value, request))
        }).pipe(
          Effect.catchAll(({ detail }) =>
            Tasks.note(entry, `the webhook ${withoutQuery(text)} was not told of the end: ${detail}`)
          )
        )
    }
  })
