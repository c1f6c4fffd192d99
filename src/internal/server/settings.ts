import type * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import type * as Duration from "effect/Duration"
import type * as Redacted from "effect/Redacted"
import type { Envelope } from "./reply.js"

/** The options of a server with their defaults filled in. */
export interface Settings {
  readonly apiKey: Redacted.Redacted<string> | undefined
  readonly baseUrl: string | undefined
  readonly envelope: Envelope
  readonly heartbeatInterval: Duration.DurationInput
  readonly maxBodySize: number
  readonly maxFileSize: number
  readonly uploadExpiry: Duration.Duration
}

/** Where the client reached the server: what the URLs of files begin with. */
export const originOf = (settings: Settings, request: HttpServerRequest.HttpServerRequest): string => {
  if (settings.baseUrl !== undefined) return settings.baseUrl.replace(/\/+$/, "")
  const protocol = request.headers["x-forwarded-proto"] === "https" ? "https" : "http"
  const host = request.headers.host ?? ""
  return `${protocol}://${/^[\w.[\]:-]+$/.test(host) ? host : "localhost"}`
}
