/** An HttpClient that answers from a script and records what it was asked: no network, no real time. */
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientError from "@effect/platform/HttpClientError"
import type * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"

export interface Sent {
  readonly method: string
  /** With its query. */
  readonly url: string
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: Uint8Array
  /** The body as text. */
  readonly text: string
  /** When it was sent, by the clock of the test. */
  readonly at: number
}

/** What happens to one request. */
export type Answer = (
  request: HttpClientRequest.HttpClientRequest,
  sent: Sent
) => Effect.Effect<HttpClientResponse.HttpClientResponse, HttpClientError.HttpClientError>

type Body = string | Uint8Array<ArrayBuffer> | Stream.Stream<Uint8Array, unknown> | undefined

const isText = (body: Body): body is string => typeof body === "string"

/** Any reply. A `Stream` as the body is sent as it comes, by the clock of the test. */
export const reply =
  (status: number, body?: Body, headers: Readonly<Record<string, string>> = {}): Answer =>
  (request) =>
    Effect.map(
      body === undefined || isText(body) || body instanceof Uint8Array
        ? Effect.succeed<BodyInit | null>(body ?? null)
        : Effect.map(Stream.toReadableStreamEffect(body), (stream): BodyInit => stream),
      (body) => HttpClientResponse.fromWeb(request, new Response(body, { status, headers }))
    )

/** A JSON reply, as it stands. */
export const json = (value: unknown, status = 200, headers: Readonly<Record<string, string>> = {}): Answer =>
  reply(status, JSON.stringify(value), { "content-type": "application/json", ...headers })

/** A successful reply in today's envelope. */
export const data = (value: unknown): Answer => json({ data: value, messages: null })

/** An error reply as the service writes it. */
export const problem = (
  status: number,
  code: string,
  detail: string,
  headers: Readonly<Record<string, string>> = {}
): Answer =>
  json({ type: `https://api.inference.sh/errors/${code}`, title: code, status, detail }, status, {
    "content-type": "application/problem+json",
    ...headers
  })

/** A stream of NDJSON lines: values are written as JSON, strings as they are. It ends after the last. */
export const ndjson = (...lines: ReadonlyArray<unknown>): Answer =>
  reply(200, lines.map((line) => `${typeof line === "string" ? line : JSON.stringify(line)}\n`).join(""), {
    "content-type": "application/x-ndjson"
  })

/** The connection fails before a reply: `ECONNREFUSED` says that nothing was sent, `ECONNRESET` leaves it open. */
export const fails =
  (code: string): Answer =>
  (request) =>
    Effect.fail(
      new HttpClientError.RequestError({
        request,
        reason: "Transport",
        cause: Object.assign(new Error(`connect ${code}`), { code })
      })
    )

/** No reply, ever. */
export const never: Answer = () => Effect.never

/** The reply comes after some time of the test's clock. */
export const after =
  (millis: number, answer: Answer): Answer =>
  (request, sent) =>
    Effect.delay(answer(request, sent), millis)

/** A body that says something and then nothing more. */
export const stalled = (text: string, headers: Readonly<Record<string, string>> = {}): Answer =>
  reply(200, Stream.concat(Stream.encodeText(Stream.make(text)), Stream.never), headers)

/** A body that says something and then breaks. */
export const broken =
  (text: string, headers: Readonly<Record<string, string>> = {}): Answer =>
  (request) =>
    Effect.sync(() => {
      // Breaks only once the text was read: a broken stream drops what waits in it.
      const steps = [
        (to: ReadableStreamDefaultController) => to.enqueue(new TextEncoder().encode(text)),
        (to: ReadableStreamDefaultController) => to.error(new Error("the connection broke"))
      ]
      const body = new ReadableStream({ pull: (to) => steps.shift()?.(to) }, { highWaterMark: 0 })
      return HttpClientResponse.fromWeb(request, new Response(body, { headers }))
    })

const bodyOf = (request: HttpClientRequest.HttpClientRequest): Effect.Effect<Uint8Array> => {
  const { body } = request
  switch (body._tag) {
    case "Empty":
      return Effect.succeed(new Uint8Array())
    case "Uint8Array":
      return Effect.succeed(body.body)
    case "Stream":
      return Effect.map(
        Effect.orDie(Stream.runCollect(body.stream)),
        (chunks) => new Uint8Array(Buffer.concat([...chunks]))
      )
    case "Raw":
    case "FormData":
      return Effect.map(
        Effect.promise(() => new Response(body._tag === "Raw" ? (body.body as BodyInit) : body.formData).arrayBuffer()),
        (buffer) => new Uint8Array(buffer)
      )
  }
}

export interface Recorder {
  readonly client: HttpClient.HttpClient
  readonly layer: Layer.Layer<HttpClient.HttpClient>
  readonly sent: ReadonlyArray<Sent>
}

/**
 * Answers by a function of the request and of how many came before it, or by a list in order. A list that has come to its end is a
 * defect: the test did not expect this request.
 */
export const recorder = (script: ReadonlyArray<Answer> | ((sent: Sent, before: number) => Answer)): Recorder => {
  const sent: Array<Sent> = []
  const client = HttpClient.make((request, url) =>
    Effect.gen(function* () {
      const body = yield* bodyOf(request)
      const entry: Sent = {
        method: request.method,
        url: url.toString(),
        path: url.pathname + url.search,
        headers: { ...request.headers },
        body,
        text: new TextDecoder().decode(body),
        at: yield* Effect.clockWith((clock) => clock.currentTimeMillis)
      }
      const before = sent.length
      sent.push(entry)
      const answer = typeof script === "function" ? script(entry, before) : script[before]
      if (answer === undefined) {
        return yield* Effect.dieMessage(`no answer for request ${before + 1}: ${entry.method} ${entry.url}`)
      }
      return yield* answer(request, entry)
    })
  )
  return { client, layer: Layer.succeed(HttpClient.HttpClient, client), sent }
}
