/** A language model behind an API like OpenAI's. */
import type * as FileSystem from "@effect/platform/FileSystem"
import * as HttpClient from "@effect/platform/HttpClient"
import * as Chunk from "effect/Chunk"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { type ApiFailure, AppFailed, type FileError, TransportError } from "../../InferenceError.js"
import type * as Llm from "../../Llm.js"
import { Attribute } from "../../Telemetry.js"
import { concat, readText } from "../bytes.js"
import * as Failure from "../failure.js"
import { defaultMaxLineBytes, type Frame, frames } from "../framing.js"
import { parsed } from "../functionCall.js"
import * as Telemetry from "../telemetry.js"
import { isJsonObject, type Json } from "../wire.js"
import { callIds } from "./callIds.js"
import * as Http from "./openAiHttp.js"
import * as Reply from "./openAiReply.js"
import { bodyOf } from "./openAiRequest.js"

type Failed = ApiFailure | AppFailed | FileError

/** Bytes that may come before what a body has to say: white space, and the mark of UTF-8. */
const blanks = new Set([0x09, 0x0a, 0x0d, 0x20, 0xef, 0xbb, 0xbf])

const trimStart = <E>(bytes: Stream.Stream<Uint8Array, E>): Stream.Stream<Uint8Array, E> =>
  bytes.pipe(
    Stream.mapAccum(false, (hasBegun, chunk) => {
      const at = hasBegun ? 0 : chunk.findIndex((byte) => !blanks.has(byte))
      return [at !== -1, chunk.subarray(at === -1 ? chunk.length : at)]
    }),
    Stream.dropWhile((chunk) => chunk.length === 0)
  )

/** Told by the body itself, since servers do not agree on its type: no event begins like this. */
const isJson = (start: Chunk.Chunk<Uint8Array>): boolean => Option.exists(Chunk.head(start), ([byte]) => byte === 0x7b)

const isDoneMark = (frame: Frame): boolean => frame._tag === "Malformed" && frame.text.trim() === "[DONE]"

/** As much of an event as a log needs. */
const excerpt = (text: string): string => text.slice(0, 200)

/** How long a server may be silent after the end of an answer, in milliseconds: some neither mark the end of the reply nor close. */
const patienceAfterEnd = 3000

/** The same where nothing was said before: some servers tell an end with each piece, and this may be the first of them. */
const patienceAfterEarlyEnd = 30_000

const failed = (app: string, detail: string) => new AppFailed({ app, phase: "run", detail })

/** The failure that a reply tells of in its body, after a status that promised success. */
const failureIn = (app: string, api: Http.Api, data: unknown, event?: string): Failed | undefined => {
  const reply: Json = isJsonObject(data) ? data : {}
  const [choice]: ReadonlyArray<unknown> = Array.isArray(reply.choices) ? reply.choices : []
  const error = reply.error || (isJsonObject(choice) && choice.finish_reason === "error" && (choice.error ?? choice))
  if (!error && reply.object !== "error" && event !== "error") return undefined
  const told = error ? { error } : (data ?? "")
  const body = api.scrub(typeof told === "string" ? told : JSON.stringify(told))
  const status = isJsonObject(error) ? error.code : reply.code
  if (typeof status === "number" && status >= 400 && status < 600) return Failure.fromStatus(status, body, api.about)
  const { detail = "it gave no reason", code } = Failure.readProblem(body)
  return failed(app, `the model's server ended the reply with an error: ${detail}${code ? ` (${code})` : ""}`)
}

/** Servers that do not count tokens are taken to say 0. */
const noteUsage = ({ usage }: Llm.Output) =>
  Effect.annotateCurrentSpan({
    ...(usage?.promptTokens && { [Attribute.inputTokens]: usage.promptTokens }),
    ...(usage?.completionTokens && { [Attribute.outputTokens]: usage.completionTokens })
  })

/** Asks the model, and emits its answer as it grows, with the usage at the end. */
export const run = (
  app: string,
  options: Llm.OpenAiOptions,
  input: Llm.Input
): Stream.Stream<Llm.Output, Failed, HttpClient.HttpClient | FileSystem.FileSystem> =>
  Stream.unwrapScoped(
    Effect.gen(function* () {
      const api = Http.make(yield* HttpClient.HttpClient, options)
      const { bytes, contentType, sentAt } = yield* api.post(yield* bodyOf(app, options, input, api.isOpenAi))
      const idsOf = callIds(input.context)
      const tools = new Set(input.tools?.map(({ name }) => name))
      let reply = Reply.nothing
      let isDone = false
      let lastAt = sentAt
      // None before an end was told, and none after one that was not the end: the idle timeout alone holds then.
      let patience: number | undefined
      let waitedAfterEnd = 0

      const take = (data: unknown, event?: string): Effect.Effect<ReadonlyArray<Llm.Output>, Failed> =>
        Effect.gen(function* () {
          const failure = failureIn(app, api, data, event)
          if (failure !== undefined) return yield* Effect.fail(failure)
          if (!isJsonObject(data)) return []
          const before = reply
          reply = Reply.read(before, data, lastAt, tools)
          const isEnd = before.stopReason === undefined && reply.stopReason !== undefined
          if (isEnd) patience = before.output === Reply.nothing.output ? patienceAfterEarlyEnd : patienceAfterEnd
          if (reply.output === before.output) return []
          if (!isEnd) patience = undefined
          return [Reply.partial(reply, idsOf)]
        })

      const handle = (frame: Frame): Effect.Effect<ReadonlyArray<Llm.Output>, Failed> =>
        Effect.gen(function* () {
          if (frame._tag === "Heartbeat") return []
          lastAt = yield* Clock.currentTimeMillis
          isDone = isDoneMark(frame)
          if (isDone) return []
          if (frame._tag === "Message") return yield* take(frame.data, frame.event)
          if (frame.event === "error") return yield* take(frame.text, frame.event)
          yield* Effect.logWarning("an event of the reply is no JSON and was left out:", excerpt(api.scrub(frame.text)))
          return []
        })

      const pull = yield* Stream.toPull(trimStart(bytes))
      const start = yield* Effect.catchAll(
        pull,
        Option.match({ onNone: () => Effect.succeed(Chunk.empty<Uint8Array>()), onSome: Effect.fail })
      )
      const logSilence = Effect.logDebug(
        "the model's server neither went on nor closed: what it sent is taken as the whole reply"
      )
      const end = Effect.zipRight(logSilence, Effect.fail(Option.none()))
      /** The next bytes, or the end after some silence, if all of the reply is there then. */
      const next = (silence: number, isWhole: () => boolean) =>
        Effect.raceFirst(
          pull,
          Effect.delay(
            Effect.suspend(() => (isWhole() ? end : Effect.never)),
            silence
          )
        )
      const bytesFrom = (more: typeof pull) =>
        Chunk.isEmpty(start)
          ? Stream.empty
          : Stream.concat(Stream.fromChunk(start), Stream.repeatEffectChunkOption(more))

      const nextEvents = Effect.gen(function* () {
        if (patience === undefined) return yield* pull
        const from = yield* Clock.currentTimeMillis
        const chunk = yield* next(patience - waitedAfterEnd, () => true)
        waitedAfterEnd += (yield* Clock.currentTimeMillis) - from
        return chunk
      })

      const streamed = bytesFrom(nextEvents).pipe(
        frames("sse"),
        Stream.catchAll((error) => {
          // After the model has finished only the usage may follow: without it the answer is no less complete.
          if (patience !== undefined) return Stream.empty
          const isIdle = error._tag === "TransportError" && error.reason === "Idle"
          return isIdle && reply.stopReason !== undefined ? Stream.execute(logSilence) : Stream.fail(error)
        }),
        Stream.takeUntil(isDoneMark),
        Stream.mapConcatEffect(handle)
      )

      const whole = Effect.gen(function* () {
        const parts: Array<Uint8Array> = []
        const isWhole = () => isJsonObject(parsed(new TextDecoder().decode(concat(parts))))
        const keep = (part: Uint8Array) =>
          Effect.map(Clock.currentTimeMillis, (now) => {
            parts.push(part)
            lastAt = now
          })
        const bytes = bytesFrom(next(patienceAfterEnd, isWhole)).pipe(
          Stream.tap(keep),
          Stream.catchAll((error) => (isWhole() ? Stream.empty : Stream.fail(error)))
        )
        const data = parsed(yield* readText(bytes, defaultMaxLineBytes))
        yield* take(data)
        isDone = isJsonObject(data)
      })

      const finish = Effect.gen(function* () {
        if (reply.isAnswer && (isDone || reply.stopReason !== undefined)) {
          const output = Reply.final(reply, idsOf, sentAt, lastAt)
          yield* noteUsage(output)
          return output
        }
        if (isDone || (!reply.isAnswer && !/event-stream/i.test(contentType))) {
          const type = contentType === "" ? "" : ` (${api.scrub(contentType)})`
          return yield* failed(app, `the reply of ${api.about.url}${type} is no chat completion`)
        }
        return yield* new TransportError({
          ...api.about,
          reason: "Disconnected",
          detail: "the reply ended before the model had finished"
        })
      })
      return Stream.concat(isJson(start) ? Stream.execute(whole) : streamed, Stream.fromEffect(finish))
    })
  ).pipe(
    Telemetry.streamOperation(
      "Llm.openAi",
      {
        [Attribute.app]: app,
        [Attribute.operation]: "chat",
        [Attribute.provider]: "openai",
        [Attribute.model]: options.model
      },
      { kind: "client" }
    )
  )
