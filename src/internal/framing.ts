/** NDJSON and Server-Sent Events, byte by byte: the one place that takes streams of events apart. */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { DecodeError } from "../InferenceError.js"
import { isJsonObject } from "./wire.js"

/**
 * One event of a stream. `Message` is JSON, with the name that SSE gave it. `Heartbeat` says only that the connection lives.
 * `Malformed` is a line that is not JSON, cut to 500 characters.
 *
 * @since 0.1.0
 * @category models
 */
export type Frame =
  | { readonly _tag: "Message"; readonly event: string | undefined; readonly data: unknown }
  | { readonly _tag: "Heartbeat" }
  | { readonly _tag: "Malformed"; readonly text: string }

export type Format = "ndjson" | "sse"

export const defaultMaxLineBytes = 16 * 1024 * 1024

/** The format that a reply's content type stands for: anything but SSE is read as NDJSON. */
export const formatOf = (contentType: string | undefined): Format =>
  contentType?.toLowerCase().includes("text/event-stream") ? "sse" : "ndjson"

const LF = 0x0a
const CR = 0x0d

const heartbeat: Frame = { _tag: "Heartbeat" }

const toFrame = (text: string, event: string | undefined): Frame => {
  try {
    const data: unknown = text === "" ? undefined : JSON.parse(text)
    return isJsonObject(data) && data.type === "heartbeat" ? heartbeat : { _tag: "Message", event, data }
  } catch {
    return { _tag: "Malformed", text: text.slice(0, 500) }
  }
}

interface Parser {
  /** The frames that a whole line completes. */
  readonly line: (line: string) => ReadonlyArray<Frame>
  /** The frames that the end of the stream completes. */
  readonly end: () => ReadonlyArray<Frame>
  /** Bytes held for a frame that is not complete. */
  readonly held: () => number
}

const ndjson = (): Parser => ({
  line: (line) => (line.trim() === "" ? [] : [toFrame(line, undefined)]),
  end: () => [],
  held: () => 0
})

const sse = (): Parser => {
  let event: string | undefined
  let data: Array<string> = []
  let held = 0
  const dispatch = (): ReadonlyArray<Frame> => {
    const frames = data.length === 0 ? [] : [toFrame(data.join("\n"), event)]
    event = undefined
    data = []
    held = 0
    return frames
  }
  return {
    line: (line) => {
      if (line === "") return dispatch()
      if (line.startsWith(":")) return [heartbeat]
      const colon = line.indexOf(":")
      const name = colon === -1 ? line : line.slice(0, colon)
      const value = colon === -1 ? "" : line.slice(line[colon + 1] === " " ? colon + 2 : colon + 1)
      if (name === "data") {
        data.push(value)
        held += value.length
      } else if (name === "event") {
        event = value === "" ? undefined : value
      }
      return []
    },
    // The last event counts even without the blank line after it: servers that close at once leave it out.
    end: dispatch,
    held: () => held
  }
}

/**
 * Cuts bytes into lines at LF, CR LF, and for SSE at a lone CR. A line is decoded as a whole, so characters that are split
 * across chunks cannot be damaged.
 */
const lineSplitter = (atCarriageReturn: boolean) => {
  const decoder = new TextDecoder()
  let pending: Array<Uint8Array> = []
  let pendingBytes = 0
  let afterCarriageReturn = false

  const take = (last: Uint8Array): string => {
    const line = pending.length === 0 ? last : concat([...pending, last], pendingBytes + last.length)
    pending = []
    pendingBytes = 0
    const end = line[line.length - 1] === CR ? line.length - 1 : line.length
    return decoder.decode(line.subarray(0, end))
  }

  const nextBreak = (chunk: Uint8Array, from: number): number => {
    const lf = chunk.indexOf(LF, from)
    if (!atCarriageReturn) return lf
    const cr = chunk.indexOf(CR, from)
    return cr === -1 || (lf !== -1 && lf < cr) ? lf : cr
  }

  return {
    pending: () => pendingBytes,
    push: (chunk: Uint8Array): ReadonlyArray<string> => {
      const lines: Array<string> = []
      let start = afterCarriageReturn && chunk[0] === LF ? 1 : 0
      if (chunk.length > 0) afterCarriageReturn = false
      for (let at = nextBreak(chunk, start); at !== -1; at = nextBreak(chunk, start)) {
        lines.push(take(chunk.subarray(start, at)))
        start = at + 1
        if (chunk[at] === CR) {
          if (chunk[start] === LF) start += 1
          else if (start === chunk.length) afterCarriageReturn = true
        }
      }
      if (start < chunk.length) {
        pending.push(chunk.subarray(start))
        pendingBytes += chunk.length - start
      }
      return lines
    },
    end: (): ReadonlyArray<string> => (pendingBytes === 0 ? [] : [take(new Uint8Array(0))])
  }
}

const concat = (parts: ReadonlyArray<Uint8Array>, length: number): Uint8Array => {
  const all = new Uint8Array(length)
  let at = 0
  for (const part of parts) {
    all.set(part, at)
    at += part.length
  }
  return all
}

/**
 * The frames in a stream of bytes. Fails with `DecodeError` on a line, or an SSE event, of more than `maxLineBytes`.
 */
export const frames =
  (format: Format, maxLineBytes: number = defaultMaxLineBytes) =>
  <E, R>(bytes: Stream.Stream<Uint8Array, E, R>): Stream.Stream<Frame, E | DecodeError, R> =>
    Stream.suspend(() => {
      const splitter = lineSplitter(format === "sse")
      const parser = format === "sse" ? sse() : ndjson()
      const tooLong = new DecodeError({
        subject: "event stream",
        path: [],
        detail: `one event has more than ${maxLineBytes} bytes; raise maxLineBytes to allow it`
      })
      const read = (chunk: Uint8Array): Effect.Effect<ReadonlyArray<Frame>, DecodeError> => {
        const lines = splitter.push(chunk)
        if (splitter.pending() > maxLineBytes || lines.some((line) => line.length > maxLineBytes)) return tooLong
        const found = lines.flatMap(parser.line)
        return parser.held() > maxLineBytes ? tooLong : Effect.succeed(found)
      }
      return bytes.pipe(
        Stream.mapConcatEffect(read),
        Stream.concat(
          Stream.suspend(() => Stream.fromIterable([...splitter.end().flatMap(parser.line), ...parser.end()]))
        )
      )
    })
