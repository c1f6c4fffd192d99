/** A real HTTP server on a free port of the loopback interface that can be told to misbehave, and counts what it sees. */
import * as Http from "node:http"
import type { Socket } from "node:net"
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"

/** The HTTP clients that users run on. */
export const transports = {
  undici: NodeHttpClient.layerUndici,
  "node-http": NodeHttpClient.layer,
  fetch: FetchHttpClient.layer
} as const

export interface Seen {
  readonly method: string
  /** Path and query. */
  readonly url: string
  readonly headers: Http.IncomingHttpHeaders
  /** Filled as the handler reads it: the handlers here do, unless they say otherwise. */
  body: Buffer
  /** Whether the connection that it came on is closed. Clients may open new ones for later requests on their own. */
  readonly closed: () => boolean
}

export type Handler = (request: Http.IncomingMessage, response: Http.ServerResponse, seen: Seen) => void

export interface BadServer {
  /** Such as `http://127.0.0.1:41234`. */
  readonly origin: string
  readonly seen: ReadonlyArray<Seen>
  /** Connections that are open now. */
  readonly openSockets: () => number
  /** Connections that were ever opened. */
  readonly allSockets: () => number
}

/** Starts the server. A handler gets each request; with several, each gets one, and the last all that follow. */
export const make = (
  ...handlers: readonly [Handler, ...ReadonlyArray<Handler>]
): Effect.Effect<BadServer, never, Scope.Scope> =>
  Effect.gen(function* () {
    const seen: Array<Seen> = []
    const sockets = new Set<Socket>()
    let count = 0
    const server = Http.createServer({ keepAliveTimeout: 60_000 }, (request, response) => {
      const entry: Seen = {
        method: request.method ?? "",
        url: request.url ?? "",
        headers: request.headers,
        body: Buffer.alloc(0),
        closed: () => request.socket.destroyed
      }
      seen.push(entry)
      request.on("error", () => undefined)
      response.on("error", () => undefined)
      const handler = handlers[Math.min(seen.length, handlers.length) - 1] ?? handlers[0]
      handler(request, response, entry)
    })
    server.on("connection", (socket) => {
      count += 1
      sockets.add(socket)
      socket.on("error", () => undefined)
      socket.on("close", () => sockets.delete(socket))
    })
    yield* Effect.acquireRelease(
      Effect.async<void>((resume) => {
        server.listen(0, "127.0.0.1", () => resume(Effect.void))
      }),
      () =>
        Effect.async<void>((resume) => {
          server.close(() => resume(Effect.void))
          for (const socket of sockets) socket.destroy()
        })
    )
    const address = server.address()
    const port = typeof address === "object" && address !== null ? address.port : 0
    return {
      origin: `http://127.0.0.1:${port}`,
      seen,
      openSockets: () => sockets.size,
      allSockets: () => count
    }
  })

/** Chooses the handler by the path, without the query. */
export const routes =
  (table: Readonly<Record<string, Handler>>): Handler =>
  (request, response, seen) => {
    const handler = table[(request.url ?? "").split("?")[0] ?? ""] ?? reply(404, "no such route")
    handler(request, response, seen)
  }

/** Reads the whole request, then does the rest. */
export const reading =
  (then: Handler): Handler =>
  (request, response, seen) => {
    const chunks: Array<Buffer> = []
    request.on("data", (chunk: Buffer) => chunks.push(chunk))
    request.on("end", () => {
      seen.body = Buffer.concat(chunks)
      then(request, response, seen)
    })
  }

/** An ordinary reply. The request is read first. */
export const reply = (status: number, body: string | Buffer = "", headers: Http.OutgoingHttpHeaders = {}): Handler =>
  reading((_, response) => {
    response.writeHead(status, { "content-length": Buffer.byteLength(body), ...headers }).end(body)
  })

export const json = (value: unknown, status = 200, headers: Http.OutgoingHttpHeaders = {}): Handler =>
  reply(status, JSON.stringify(value), { "content-type": "application/json", ...headers })

export const data = (value: unknown): Handler => json({ data: value, messages: null })

export const redirect = (location: string, status = 302): Handler => reply(status, "", { location })

/** Headers, the chunks one by one, then whatever is to come: the end, nothing more (`stall`), or a reset. */
export const trickle = (
  chunks: Iterable<string | Uint8Array>,
  end: "end" | "stall" | "reset" = "end",
  headers: Http.OutgoingHttpHeaders = {}
): Handler =>
  reading((request, response) => {
    response.writeHead(200, headers)
    response.flushHeaders()
    const iterator = chunks[Symbol.iterator]()
    const next = () => {
      const chunk = iterator.next()
      if (chunk.done !== true) {
        response.write(chunk.value, () => setImmediate(next))
      } else if (end === "end") {
        response.end()
      } else if (end === "reset") {
        request.socket.resetAndDestroy()
      }
    }
    next()
  })

/** Takes the request and never replies. */
export const hang: Handler = reading(() => undefined)

/** Takes the request and breaks the connection. */
export const reset: Handler = reading((request) => {
  request.socket.resetAndDestroy()
})

/** Looks again until something holds, for what other threads and sockets do in their own time. Gives up as a defect. */
export const eventually = (what: string, holds: () => boolean): Effect.Effect<void> =>
  Effect.suspend(() => (holds() ? Effect.void : Effect.fail("not yet"))).pipe(
    Effect.retry({ schedule: Schedule.spaced("25 millis"), times: 400 }),
    Effect.orElse(() => Effect.dieMessage(`never happened: ${what}`))
  )
