/** What a request to the proxy asks of the service, and whether that may be asked: protocol.md §13.2. */
import type * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import { invalid, type Problem } from "./server/reply.js"
import { targetHeader, targetParameter } from "./viaProxy.js"

export interface Target {
  readonly method: string
  /** The parts of the path below the base URL, decoded. */
  readonly parts: ReadonlyArray<string>
  /** With its question mark, as it came. */
  readonly search: string
}

/** As long as what it is made of cannot be taken for anything else, a part means the same to this proxy and to the service. */
const isPlain = (part: string): boolean => /^[\w.@:~+-]+$/.test(part) && !/^\.+$/.test(part)

const decode = (part: string): string | undefined => Either.getOrUndefined(Either.try(() => decodeURIComponent(part)))

const addressOf = (request: HttpServerRequest.HttpServerRequest): string | undefined => {
  const header = request.headers[targetHeader]
  // A request without the header can be made by a page of any site, with the user's cookies: it must not change anything.
  if (header !== undefined || request.method !== "GET") return header
  const query = request.url.indexOf("?")
  return query === -1 ? undefined : (new URLSearchParams(request.url.slice(query)).get(targetParameter) ?? undefined)
}

export const targetOf = (request: HttpServerRequest.HttpServerRequest, base: URL): Effect.Effect<Target, Problem> =>
  Effect.suspend(() => {
    const address = addressOf(request)
    if (address === undefined) {
      return Effect.fail(
        invalid(
          `the request names no target: send the address at the API in the header ${targetHeader}, or with GET in the parameter ${targetParameter}`
        )
      )
    }
    if (!/^https?:/i.test(address) || !URL.canParse(address)) {
      return Effect.fail(
        invalid(`the target is no http(s) address: send one such as ${base.origin}/apps/run in ${targetHeader}`)
      )
    }
    const { pathname, search } = new URL(address)
    const prefix = base.pathname.replace(/\/+$/, "")
    const path = pathname.startsWith(`${prefix}/`) ? pathname.slice(prefix.length) : pathname
    const parts = path.slice(1).split("/").map(decode)
    return parts.every((part) => part !== undefined && isPlain(part))
      ? Effect.succeed({ method: request.method, parts: parts.filter((part) => part !== undefined), search })
      : Effect.fail(
          invalid("the path of the target has a part that is empty or holds characters that no endpoint and no id has")
        )
  })

export const pathOf = ({ parts }: Target): string => `/${parts.map(encodeURIComponent).join("/")}`

/** Whether the target is of an endpoint such as `GET /tasks/:id`. */
export const isOf =
  ({ method, parts }: Target) =>
  (endpoint: string): boolean => {
    const [verb, path = ""] = endpoint.split(" ")
    const pattern = path.split("/").slice(1)
    return (
      verb === method &&
      pattern.length === parts.length &&
      pattern.every((part, i) => part.startsWith(":") || part === parts[i])
    )
  }
