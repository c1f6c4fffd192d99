/** Streams of events as replies, as lines of JSON or as Server-Sent Events: protocol.md §4.2, §4.3. */
import type * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Stream from "effect/Stream"
import type { Json } from "../wire.js"

export type Event =
  | { readonly _tag: "Heartbeat" }
  /** `name` is that of a typed event. Others are bare. */
  | { readonly _tag: "Data"; readonly name?: string; readonly data: Json }

export const heartbeat: Event = { _tag: "Heartbeat" }

/** Whether the client wants lines of JSON. Any other is sent Server-Sent Events. */
export const wantsLines = (request: HttpServerRequest.HttpServerRequest): boolean =>
  /application\/(x-ndjson|jsonl)/i.test(request.headers.accept ?? "")

/** Whether the client wants a stream where it could have a whole reply too. */
export const wantsStream = (request: HttpServerRequest.HttpServerRequest): boolean =>
  wantsLines(request) || /text\/event-stream/i.test(request.headers.accept ?? "")

const toLine = (event: Event): string => {
  if (event._tag === "Heartbeat") return '{"type":"heartbeat"}\n'
  const { name, data } = event
  return `${JSON.stringify(name === undefined ? data : { event: name, data })}\n`
}

const toSse = (event: Event): string => {
  if (event._tag === "Heartbeat") return ": heartbeat\n\n"
  const { name, data } = event
  return `${name === undefined ? "" : `event: ${name}\n`}data: ${JSON.stringify(data)}\n\n`
}

/** A reply with these events. `done` says to clients of Server-Sent Events that the end is meant to be one. */
export const respond = (
  request: HttpServerRequest.HttpServerRequest,
  events: Stream.Stream<Event>,
  options: { readonly done: boolean }
): HttpServerResponse.HttpServerResponse => {
  const encoder = new TextEncoder()
  const lines = wantsLines(request)
  const end: Event = { _tag: "Data", name: "done", data: {} }
  const all = options.done && !lines ? Stream.concat(events, Stream.make(end)) : events
  return HttpServerResponse.stream(
    Stream.map(all, (event) => encoder.encode(lines ? toLine(event) : toSse(event))),
    {
      contentType: lines ? "application/x-ndjson" : "text/event-stream",
      headers: { "cache-control": "no-cache", "x-accel-buffering": "no" }
    }
  )
}
