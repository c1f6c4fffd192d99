/**
 * A service that answers from a script, in process and by the clock of the test: what it says of one task, request by request and
 * connection by connection.
 */
import type * as HttpApp from "@effect/platform/HttpApp"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as NodePath from "@effect/platform-node/NodePath"
import * as Chunk from "effect/Chunk"
import * as Clock from "effect/Clock"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import * as Inference from "effect-inferencesh/Inference"
import type * as Task from "effect-inferencesh/Task"
import * as InProcess from "../../src/internal/server/inProcess.js"

export interface Json {
  readonly [key: string]: unknown
}

export interface Sent {
  /** Such as `GET /tasks/t1`. */
  readonly route: string
  readonly headers: Readonly<Record<string, string | undefined>>
  readonly text: string
  /** When it came, in milliseconds by the clock of the test. */
  readonly at: number
}

/** The JSON of a request. */
export const jsonOf = (sent: Sent | undefined): Json => JSON.parse(sent?.text ?? "null")

export type Answer = Effect.Effect<HttpServerResponse.HttpServerResponse>

/** What is answered at a route: always the same, one after the other with the last repeated, or as a function says. */
export type Script = Readonly<
  Record<string, Answer | ReadonlyArray<Answer> | ((sent: Sent, before: number) => Answer) | undefined>
>

export interface Service {
  readonly layer: Layer.Layer<Inference.Services>
  readonly sent: ReadonlyArray<Sent>
  readonly count: (route: string) => number
  /** Streams that are being read now. */
  readonly open: () => number
}

export const baseUrl = "http://service.test"

/** A request that the script does not foresee is a defect of the test. */
export const service = (script: Script, options: Partial<Inference.Options> = {}): Service => {
  const sent: Array<Sent> = []
  let open = 0
  const opened = (response: HttpServerResponse.HttpServerResponse) =>
    response.body._tag === "Stream"
      ? HttpServerResponse.setBody(response, {
          ...response.body,
          stream: Stream.acquireRelease(
            Effect.sync(() => {
              open++
            }),
            () =>
              Effect.sync(() => {
                open--
              })
          ).pipe(Stream.flatMap(() => (response.body._tag === "Stream" ? response.body.stream : Stream.empty)))
        })
      : response
  const app: HttpApp.Default = Effect.gen(function* () {
    const request = yield* HttpServerRequest.HttpServerRequest
    const route = `${request.method} ${request.url}`
    const entry: Sent = {
      route,
      headers: request.headers,
      text: yield* Effect.orDie(request.text),
      at: yield* Clock.currentTimeMillis
    }
    const before = sent.filter((earlier) => earlier.route === route).length
    sent.push(entry)
    const answers = script[route]
    const answer =
      typeof answers === "function"
        ? answers(entry, before)
        : Effect.isEffect(answers)
          ? answers
          : answers?.[Math.min(before, answers.length - 1)]
    if (answer === undefined) return yield* Effect.dieMessage(`the script has no answer to ${route}`)
    return opened(yield* answer)
  })
  const layer = Inference.layer({ apiKey: Redacted.make("inf_secret"), baseUrl, ...options }).pipe(
    Layer.provide([Layer.succeed(HttpClient.HttpClient, InProcess.make(app)), NodeFileSystem.layer, NodePath.layer])
  )
  return { layer, sent, count: (route) => sent.filter((entry) => entry.route === route).length, open: () => open }
}

/** A JSON reply as it stands. */
export const json = (value: unknown, status = 200): Answer =>
  Effect.sync(() => HttpServerResponse.unsafeJson(value, { status }))

/** A successful reply. */
export const data = (value: unknown): Answer => json({ data: value, messages: null })

export const problem = (status: number, code: string, headers: Readonly<Record<string, string>> = {}): Answer =>
  Effect.sync(() =>
    HttpServerResponse.unsafeJson(
      { type: `https://api.inference.sh/errors/${code}`, title: code, status, detail: `because of ${code}` },
      { status, headers, contentType: "application/problem+json" }
    )
  )

type Bytes = Stream.Stream<Uint8Array, unknown>

const isBytes = (part: unknown): part is Bytes =>
  typeof part === "object" && part !== null && Stream.StreamTypeId in part

const encode = (text: string): Bytes => Stream.make(new TextEncoder().encode(text))

/** A stream of NDJSON: values are lines of JSON, strings are lines as they are. It ends after the last part. */
export const ndjson = (...parts: ReadonlyArray<unknown>): Answer => {
  const bytes = parts.map((part) =>
    isBytes(part) ? part : encode(`${typeof part === "string" ? part : JSON.stringify(part)}\n`)
  )
  return body(Stream.concatAll(Chunk.fromIterable(bytes)), "application/x-ndjson")
}

/** A stream of Server-Sent Events, as the texts that are sent. */
export const sse = (...parts: ReadonlyArray<string | Bytes>): Answer =>
  body(
    Stream.concatAll(Chunk.fromIterable(parts.map((part) => (isBytes(part) ? part : encode(part))))),
    "text/event-stream"
  )

export const body = (bytes: Bytes, contentType: string): Answer =>
  Effect.sync(() => HttpServerResponse.stream(bytes, { contentType }))

export const pause = (duration: Duration.DurationInput): Bytes => Stream.execute(Effect.sleep(duration))

/** The connection stays open and silent. */
export const silence: Bytes = Stream.never

/** The connection breaks. */
export const broken: Bytes = Stream.fail(new Error("the connection broke"))

export const heartbeat = { type: "heartbeat" }

/** A heartbeat now and then, for ever. */
export const heartbeats = (every: Duration.DurationInput = "10 seconds"): Bytes =>
  Stream.forever(Stream.concat(pause(every), encode('{"type":"heartbeat"}\n')))

/** A whole task as the service sends it. */
export const task = (fields: Json = {}): Json => ({ id: "t1", status: 7, ...fields })

export const patch = (fields: Json, names: ReadonlyArray<string> = Object.keys(fields)): Json => ({
  data: { id: "t1", ...fields },
  fields: names
})

export const completed = task({ status: 10, output: { text: "done" } })

/** Runs an effect while the given time passes. It is a defect if it is not over by then. */
export const within = <A, E, R>(
  duration: Duration.DurationInput,
  effect: Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> => Effect.flatten(exitWithin(duration, effect))

/** As {@link within}, giving how the effect ended. */
export const exitWithin = <A, E, R>(
  duration: Duration.DurationInput,
  effect: Effect.Effect<A, E, R>
): Effect.Effect<Exit.Exit<A, E>, never, R> =>
  Effect.gen(function* () {
    const fiber = yield* Effect.fork(effect)
    yield* TestClock.adjust(duration)
    const exit = yield* Fiber.poll(fiber)
    if (Option.isSome(exit)) return exit.value
    yield* Fiber.interruptFork(fiber)
    return yield* Effect.dieMessage(`it was not over within ${String(duration)}`)
  })

/** All that a stream gives, and the error that ends it if one does. */
export const record = <A, E, R>(
  stream: Stream.Stream<A, E, R>
): Effect.Effect<{ readonly items: ReadonlyArray<A>; readonly error: E | undefined }, never, R> =>
  Effect.gen(function* () {
    const items: Array<A> = []
    const error = yield* Stream.runForEach(stream, (item) => Effect.sync(() => void items.push(item))).pipe(
      Effect.flip,
      Effect.orElseSucceed(() => undefined)
    )
    return { items, error }
  })

export const statuses = (tasks: ReadonlyArray<Task.Task>): ReadonlyArray<Task.TaskStatus> =>
  tasks.map(({ status }) => status)
