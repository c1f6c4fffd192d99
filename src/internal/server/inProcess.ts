/**
 * An HttpClient that calls an HttpApp directly. No port, no web streams, no fibers of its own: reading the response runs
 * the server's stream in the reader's fiber, so that whatever ends the one ends the other.
 */
import * as Cookies from "@effect/platform/Cookies"
import * as Headers from "@effect/platform/Headers"
import type * as HttpApp from "@effect/platform/HttpApp"
import type * as HttpBody from "@effect/platform/HttpBody"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientError from "@effect/platform/HttpClientError"
import type * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as HttpIncomingMessage from "@effect/platform/HttpIncomingMessage"
import * as HttpServerError from "@effect/platform/HttpServerError"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import type * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Multipart from "@effect/platform/Multipart"
import * as UrlParams from "@effect/platform/UrlParams"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Inspectable from "effect/Inspectable"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { concat } from "../bytes.js"

interface Body {
  readonly stream: Stream.Stream<Uint8Array, unknown>
  readonly length: number | undefined
  readonly type: string | undefined
}

const ofWeb = (body: Response): Body => ({
  stream:
    body.body === null
      ? Stream.empty
      : Stream.fromReadableStream(
          () => body.body ?? new ReadableStream(),
          (error) => error
        ),
  length: undefined,
  type: body.headers.get("content-type") ?? undefined
})

const bodyOf = (body: HttpBody.HttpBody): Body => {
  switch (body._tag) {
    case "Empty":
      return { stream: Stream.empty, length: undefined, type: undefined }
    case "Uint8Array":
      return { stream: Stream.make(body.body), length: body.body.length, type: body.contentType }
    case "Stream":
      return { stream: body.stream, length: body.contentLength, type: body.contentType }
    case "FormData":
      return ofWeb(new Response(body.formData))
    case "Raw":
      return typeof body.body === "string" || body.body instanceof Blob
        ? ofWeb(new Response(body.body))
        : { stream: Stream.fail(new Error("this body cannot be sent in process")), length: undefined, type: undefined }
  }
}

/** The ways to read a message, from its stream. */
abstract class Message<E> extends Inspectable.Class {
  readonly [HttpIncomingMessage.TypeId]: HttpIncomingMessage.TypeId = HttpIncomingMessage.TypeId
  abstract readonly headers: Headers.Headers
  abstract readonly stream: Stream.Stream<Uint8Array, E>
  protected abstract unreadable(cause: unknown): E
  get remoteAddress(): Option.Option<string> {
    return Option.none()
  }
  get bytes(): Effect.Effect<Uint8Array<ArrayBuffer>, E> {
    return Effect.map(Stream.runCollect(this.stream), (chunks) => concat(Chunk.toReadonlyArray(chunks)))
  }
  get arrayBuffer(): Effect.Effect<ArrayBuffer, E> {
    return Effect.map(this.bytes, (bytes) => bytes.buffer)
  }
  get text(): Effect.Effect<string, E> {
    return Effect.map(this.bytes, (bytes) => new TextDecoder().decode(bytes))
  }
  get json(): Effect.Effect<unknown, E> {
    return Effect.flatMap(this.text, (text) =>
      Effect.try({
        try: (): unknown => (text === "" ? null : JSON.parse(text)),
        catch: (cause) => this.unreadable(cause)
      })
    )
  }
  get urlParamsBody(): Effect.Effect<UrlParams.UrlParams, E> {
    return Effect.map(this.text, (text) => UrlParams.fromInput(new URLSearchParams(text)))
  }
}

class ServerRequest extends Message<HttpServerError.RequestError> implements HttpServerRequest.HttpServerRequest {
  readonly [HttpServerRequest.TypeId]: HttpServerRequest.TypeId = HttpServerRequest.TypeId
  constructor(
    readonly source: HttpClientRequest.HttpClientRequest,
    readonly originalUrl: string,
    readonly url: string,
    readonly headers: Headers.Headers,
    private readonly body: Body
  ) {
    super()
  }
  get method() {
    return this.source.method
  }
  get cookies() {
    return Cookies.parseHeader(this.headers.cookie ?? "")
  }
  get stream(): Stream.Stream<Uint8Array, HttpServerError.RequestError> {
    return Stream.mapError(this.body.stream, (cause) => this.unreadable(cause))
  }
  get multipartStream() {
    return Stream.pipeThroughChannel(
      Stream.mapError(this.stream, (cause) => new Multipart.MultipartError({ reason: "InternalError", cause })),
      Multipart.makeChannel<Multipart.MultipartError>(this.headers)
    )
  }
  get multipart() {
    return Multipart.toPersisted(this.multipartStream)
  }
  get upgrade() {
    return Effect.fail(this.unreadable("there is no socket in process"))
  }
  modify(options: { readonly url?: string; readonly headers?: Headers.Headers }): ServerRequest {
    const { url = this.url, headers = this.headers } = options
    return new ServerRequest(this.source, this.originalUrl, url, headers, this.body)
  }
  protected unreadable(cause: unknown): HttpServerError.RequestError {
    return new HttpServerError.RequestError({ request: this, reason: "Decode", cause })
  }
  toJSON() {
    return { _id: "@effect/platform/HttpServerRequest", method: this.method, url: this.url.replace(/\?.*/s, "") }
  }
}

class ClientResponse extends Message<HttpClientError.ResponseError> implements HttpClientResponse.HttpClientResponse {
  readonly [HttpClientResponse.TypeId]: HttpClientResponse.TypeId = HttpClientResponse.TypeId
  constructor(
    readonly request: HttpClientRequest.HttpClientRequest,
    private readonly response: HttpServerResponse.HttpServerResponse,
    private readonly signal: AbortSignal
  ) {
    super()
  }
  get status() {
    return this.response.status
  }
  get headers() {
    return this.response.headers
  }
  get cookies() {
    return this.response.cookies
  }
  get stream(): Stream.Stream<Uint8Array, HttpClientError.ResponseError> {
    const { body } = this.response
    const stream = Stream.mapError(bodyOf(body).stream, (cause) => this.unreadable(cause))
    if (this.request.method === "HEAD") return Stream.empty
    // Only a stream can still be under way when the client's scope closes.
    return body._tag === "Stream" ? Stream.interruptWhen(stream, this.aborted) : stream
  }
  private get aborted(): Effect.Effect<never, HttpClientError.ResponseError> {
    return Effect.async((resume) => {
      const abort = () => resume(Effect.fail(this.unreadable("the request was aborted")))
      if (this.signal.aborted) return abort()
      this.signal.addEventListener("abort", abort, { once: true })
      return Effect.sync(() => this.signal.removeEventListener("abort", abort))
    })
  }
  get formData(): Effect.Effect<FormData, HttpClientError.ResponseError> {
    return Effect.flatMap(this.bytes, (bytes) =>
      Effect.tryPromise({
        try: () => new Response(bytes, { headers: { "content-type": this.headers["content-type"] ?? "" } }).formData(),
        catch: (cause) => this.unreadable(cause)
      })
    )
  }
  protected unreadable(cause: unknown): HttpClientError.ResponseError {
    return new HttpClientError.ResponseError({ request: this.request, response: this, reason: "Decode", cause })
  }
  toJSON() {
    return {
      _id: "@effect/platform/HttpClientResponse",
      status: this.status,
      headers: Inspectable.redact(this.headers)
    }
  }
}

const headersOf = (request: HttpClientRequest.HttpClientRequest, url: URL, body: Body): Headers.Headers => {
  const length = request.headers["content-length"] ?? (body.length === undefined ? undefined : String(body.length))
  return Headers.fromInput({
    ...request.headers,
    host: url.host,
    "x-forwarded-proto": url.protocol.replace(":", ""),
    "content-type": request.headers["content-type"] ?? body.type,
    ...(length !== undefined
      ? { "content-length": length }
      : request.body._tag !== "Empty" && { "transfer-encoding": "chunked" })
  })
}

/** The client, for requests to any origin. */
export const make = (app: HttpApp.Default): HttpClient.HttpClient =>
  HttpClient.make((request, url, signal) => {
    const body = bodyOf(request.body)
    const path = url.pathname + url.search
    return app.pipe(
      Effect.provideService(
        HttpServerRequest.HttpServerRequest,
        new ServerRequest(request, url.toString(), path, headersOf(request, url, body), body)
      ),
      Effect.scoped,
      Effect.map((response) => new ClientResponse(request, response, signal))
    )
  })
