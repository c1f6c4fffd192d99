/** Plain requests to a server, as any client could make them. */
import { createServer } from "node:http"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import type { HttpMethod } from "@effect/platform/HttpMethod"
import * as HttpServer from "@effect/platform/HttpServer"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"

// biome-ignore lint/suspicious/noExplicitAny: the tests look into JSON of many shapes
export type Json = any

export const origin = "https://api.inference.sh"

/** A server on a port of its own, and a client that finds it there. */
export const onPort = <E, R>(server: Layer.Layer<never, E, R | HttpServer.HttpServer>) =>
  Layer.effect(
    HttpClient.HttpClient,
    Effect.gen(function* () {
      const { address } = yield* HttpServer.HttpServer
      const port = address._tag === "TcpAddress" ? address.port : 0
      return HttpClient.mapRequest(
        yield* HttpClient.HttpClient,
        HttpClientRequest.updateUrl((url) => url.replace(origin, `http://127.0.0.1:${port}`))
      )
    })
  ).pipe(
    Layer.provideMerge(server),
    Layer.provide(NodeHttpServer.layer(() => createServer(), { host: "127.0.0.1", port: 0 })),
    Layer.provide(NodeHttpClient.layerUndici)
  )

export const request = (method: HttpMethod, path: string, body?: unknown) =>
  HttpClientRequest.make(method)(path.startsWith("http") ? path : origin + path).pipe(
    HttpClientRequest.bearerToken("key"),
    body === undefined ? (self) => self : HttpClientRequest.bodyUnsafeJson(body)
  )

export const send = (request: HttpClientRequest.HttpClientRequest) =>
  Effect.gen(function* () {
    const response = yield* HttpClient.execute(request)
    const text = yield* response.text
    const json: Json = /json/.test(response.headers["content-type"] ?? "") ? JSON.parse(text) : undefined
    return { status: response.status, headers: response.headers, text, json, data: json?.data as Json }
  })

export const get = (path: string) => send(request("GET", path))
export const post = (path: string, body?: unknown) => send(request("POST", path, body))
export const del = (path: string) => send(request("DELETE", path))

export const submit = (app: string, input: unknown, more: Json = {}) =>
  Effect.flatMap(post("/apps/run", { app, input, ...more }), ({ status, text, json, data }) =>
    status === 200 ? Effect.succeed((data ?? json).id as string) : Effect.die(new Error(text))
  )

export const runTask = (app: string, input: unknown, more: Json = {}) =>
  Effect.map(post("/apps/run", { app, input, wait: true, ...more }), ({ json, data }) => data ?? json.task)

export const task = (id: string) => Effect.map(get(`/tasks/${id}`), ({ data }) => data)

/** The lines of a task's stream. */
export const lines = (path: string, accept = "application/x-ndjson") =>
  Stream.unwrap(
    Effect.map(HttpClient.execute(HttpClientRequest.setHeader(request("GET", path), "accept", accept)), (response) =>
      Stream.splitLines(Stream.decodeText(response.stream))
    )
  )

export const events = (id: string) => Stream.map(lines(`/tasks/${id}/stream`), (line): Json => JSON.parse(line))

/** The last state that the events of a stream add up to. */
export const merge = (events: Iterable<Json>): Json => {
  let state: Json = {}
  for (const event of events) {
    if (event.fields) for (const field of event.fields) state = { ...state, [field]: event.data[field] }
    else if (event.id) state = event
  }
  return state
}
