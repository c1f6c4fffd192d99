/** NDJSON and Server-Sent Events, byte by byte: the one place that takes streams of events apart. */
import * as Chunk from "effect/Chunk"
import * as Stream from "effect/Stream"
import * as Take from "effect/Take"
import { DecodeError } from "../InferenceError.js"
import { concat } from "./bytes.js"
import { isJsonObject } from "./wire.js"

/**
 * One event of a stream. `Message` is JSON, with the name that SSE gave it. `Heartbeat` says only that the connection lives.
 * `Malformed` is one that is not JSON, cut to 500 characters.
 *
 * @since 0.1.0
 * @category models
 */
export type Frame =
  | { readonly _tag: "Message"; readonly event: string | undefined; readonly data: unknown }
  | { readonly _tag: "Heartbeat" }
  | { readonly _tag: "Malformed"; readonly event: string | undefined; readonly text: string }

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
    return { _tag: "Malformed", event, text: text.slice(0, 500) }
  }
}

interface Parser {
  /** The frames that a whole line completes. */
  readonly line: (line: string, bytes: number) => ReadonlyArray<Frame>
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
    line: (line, bytes) => {
      if (line === "") return dispatch()
      if (line.startsWith(":")) return [heartbeat]
      const colon = line.indexOf(":")
      const name = colon === -1 ? line : line.slice(0, colon)
      const value = colon === -1 ? "" : line.slice(line[colon + 1] === " " ? colon + 2 : colon + 1)
      if (name === "data") {
        data.push(value)
        held += bytes
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

/** Finds a byte from a place that only moves on. What was found ahead of it is kept, so that no byte is looked at again. */
const finder = (chunk: Uint8Array, byte: number) => {
  let at = chunk.indexOf(byte)
  return (from: number): number => {
    if (at !== -1 && at < from) at = chunk.indexOf(byte, from)
    return at
  }
}

/** Cuts bytes into lines at LF, and for SSE also at CR LF and at a lone CR. */
const lineSplitter = (atCarriageReturn: boolean) => {
  let pending: Array<Uint8Array> = []
  let pendingBytes = 0
  let afterCarriageReturn = false

  const take = (last: Uint8Array): Uint8Array => {
    const line = pending.length === 0 ? last : concat([...pending, last])
    pending = []
    pendingBytes = 0
    return line
  }

  const breaks = (chunk: Uint8Array) => {
    const nextLineFeed = finder(chunk, LF)
    if (!atCarriageReturn) return nextLineFeed
    const nextCarriageReturn = finder(chunk, CR)
    return (from: number): number => {
      const lf = nextLineFeed(from)
      const cr = nextCarriageReturn(from)
      return cr === -1 || (lf !== -1 && lf < cr) ? lf : cr
    }
  }

  return {
    pending: () => pendingBytes,
    push: (chunk: Uint8Array): ReadonlyArray<Uint8Array> => {
      const lines: Array<Uint8Array> = []
      let start = afterCarriageReturn && chunk[0] === LF ? 1 : 0
      if (chunk.length > 0) afterCarriageReturn = false
      const nextBreak = breaks(chunk)
      for (let at = nextBreak(start); at !== -1; at = nextBreak(start)) {
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
    end: (): ReadonlyArray<Uint8Array> => (pendingBytes === 0 ? [] : [take(new Uint8Array(0))])
  }
}

/** A line is decoded as a whole, so characters that are split across chunks cannot be damaged. */
const decodeLine = (decoder: TextDecoder, line: Uint8Array): string =>
  decoder.decode(line[line.length - 1] === CR ? line.subarray(0, -1) : line)

/**
 * The frames in a stream of bytes. Fails with `DecodeError` on a line, or an SSE event, of more than `maxLineBytes`, after the
 * frames before it.
 */
export const frames =
  (format: Format, maxLineBytes: number = defaultMaxLineBytes) =>
  <E, R>(bytes: Stream.Stream<Uint8Array, E, R>): Stream.Stream<Frame, E | DecodeError, R> =>
    Stream.suspend(() => {
      const splitter = lineSplitter(format === "sse")
      const parser = format === "sse" ? sse() : ndjson()
      const decoder = new TextDecoder()
      const read = (lines: ReadonlyArray<Uint8Array>): Array<Take.Take<Frame, DecodeError>> => {
        const found: Array<Frame> = []
        let longest = splitter.pending()
        for (const line of lines) {
          if (line.length <= maxLineBytes) found.push(...parser.line(decodeLine(decoder, line), line.length))
          longest = Math.max(longest, line.length, parser.held())
          if (line.length > maxLineBytes || parser.held() > maxLineBytes) break
        }
        const frames = Take.chunk(Chunk.unsafeFromArray(found))
        return longest > maxLineBytes ? [frames, Take.fail(tooLong(maxLineBytes))] : [frames]
      }
      return bytes.pipe(
        Stream.mapConcat((chunk) => read(splitter.push(chunk))),
        Stream.concat(
          Stream.suspend(() =>
            Stream.fromIterable([...read(splitter.end()), Take.chunk(Chunk.unsafeFromArray(parser.end()))])
          )
        ),
        Stream.flattenTake
      )
    })

const tooLong = (maxLineBytes: number): DecodeError =>
  new DecodeError({
    subject: "event stream",
    path: [],
    detail: `one event has more than ${maxLineBytes} bytes; raise maxLineBytes to allow it`
  })
