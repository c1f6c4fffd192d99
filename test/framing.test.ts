import { assert, describe, it } from "@effect/vitest"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Fc from "effect/FastCheck"
import * as Stream from "effect/Stream"
import { DecodeError } from "../src/InferenceError.js"
import { type Format, type Frame, formatOf, frames } from "../src/internal/framing.js"

const utf8 = new TextEncoder()

/** Cuts bytes at the given places, in any order. Equal places give empty chunks. */
const cut = (bytes: Uint8Array, places: ReadonlyArray<number>): Array<Uint8Array> => {
  const sorted = places.map((place) => place % (bytes.length + 1)).sort((a, b) => a - b)
  const ends = [...sorted, bytes.length]
  return ends.map((end, i) => bytes.slice(i === 0 ? 0 : ends[i - 1], end))
}

const read = (format: Format, chunks: ReadonlyArray<Uint8Array>, max?: number) =>
  Effect.map(Stream.runCollect(frames(format, max)(Stream.fromIterable(chunks))), Chunk.toReadonlyArray)

const readText = (format: Format, text: string, max?: number) => read(format, [utf8.encode(text)], max)

/** The frames before the end, and the failure if that is how it ended. */
const trace = (format: Format, chunks: ReadonlyArray<Uint8Array>, max: number) =>
  Effect.suspend(() => {
    const seen: Array<Frame> = []
    return frames(
      format,
      max
    )(Stream.fromIterable(chunks)).pipe(
      Stream.runForEach((frame) => Effect.sync(() => seen.push(frame))),
      Effect.match({
        onSuccess: () => ({ seen, failed: undefined }),
        onFailure: (error) => ({ seen, failed: error._tag })
      })
    )
  })

const message = (data: unknown, event?: string): Frame => ({ _tag: "Message", event, data })
const malformed = (text: string, event?: string): Frame => ({ _tag: "Malformed", event, text })
const heartbeat: Frame = { _tag: "Heartbeat" }

const places = Fc.array(Fc.nat(), { maxLength: 12 })

const json = Fc.jsonValue({ maxDepth: 1, stringUnit: "binary" }).map((value) => JSON.parse(JSON.stringify(value)))

const isHeartbeat = (value: unknown) =>
  typeof value === "object" && value !== null && "type" in value && value.type === "heartbeat"

/** One line of an NDJSON session and the frame it stands for. */
const ndjsonLine = Fc.oneof(
  { weight: 5, arbitrary: json.filter((v) => !isHeartbeat(v)).map((v) => [JSON.stringify(v), [message(v)]] as const) },
  { weight: 1, arbitrary: Fc.constant(['{"type":"heartbeat"}', [heartbeat]] as const) },
  { weight: 1, arbitrary: Fc.constantFrom("", "  ", "\t").map((blank) => [blank, []] as const) },
  {
    weight: 1,
    arbitrary: Fc.constantFrom("{oops", "🙂", '"ü', "undefined").map((text) => [text, [malformed(text)]] as const)
  }
)

/** One event of an SSE session: its lines and the frames it stands for. */
const sseEvent = Fc.oneof(
  {
    weight: 5,
    arbitrary: Fc.tuple(
      json.filter((v) => !isHeartbeat(v)),
      Fc.option(Fc.constantFrom("update", "done", "naïve 🙂"), { nil: undefined }),
      Fc.boolean(),
      Fc.boolean(),
      Fc.constantFrom("", " ")
    ).map(([value, name, pretty, meta, space]) => {
      const data = JSON.stringify(value, null, pretty ? 2 : 0).split("\n")
      const lines = [
        ...(name === undefined ? [] : [`event:${space}${name}`]),
        ...(meta ? ["id: 7", "retry: 100", "nonsense", "nonsense: x"] : []),
        ...data.map((line) => `data: ${line}`),
        ""
      ]
      return [lines, [message(value, name)]] as const
    })
  },
  { weight: 1, arbitrary: Fc.constantFrom(":", ": ping 🙂").map((line) => [[line], [heartbeat]] as const) },
  { weight: 1, arbitrary: Fc.constant([['data: {"type":"heartbeat"}', ""], [heartbeat]] as const) },
  { weight: 1, arbitrary: Fc.constant([["retry: 5", ""], []] as const) },
  { weight: 1, arbitrary: Fc.constant([["id: 5"], []] as const) },
  { weight: 1, arbitrary: Fc.constant([["data: {no", ""], [malformed("{no")]] as const) }
)

describe("framing", () => {
  it.effect.prop(
    "an NDJSON session gives the same frames however its bytes are cut",
    [Fc.array(ndjsonLine, { maxLength: 8 }), places, Fc.constantFrom("\n", "\r\n"), Fc.boolean(), Fc.boolean()],
    ([lines, places, newline, terminated, bom]) =>
      Effect.gen(function* () {
        const text = (bom ? "\ufeff" : "") + lines.map(([line]) => line).join(newline) + (terminated ? newline : "")
        const expected = lines.flatMap(([, frames]) => frames)
        assert.deepStrictEqual(yield* read("ndjson", cut(utf8.encode(text), places)), expected)
      })
  )

  it.effect.prop(
    "an SSE session gives the same frames however its bytes are cut and its lines end",
    [Fc.array(sseEvent, { maxLength: 6 }), places, Fc.constantFrom("\n", "\r\n", "\r"), Fc.boolean(), Fc.boolean()],
    ([events, places, newline, terminated, bom]) =>
      Effect.gen(function* () {
        const lines = events.flatMap(([lines]) => lines)
        const text = (bom ? "\ufeff" : "") + lines.map((line) => line + newline).join("")
        const cutOff = terminated || !text.endsWith(newline) ? text : text.slice(0, -newline.length)
        const expected = events.flatMap(([, frames]) => frames)
        assert.deepStrictEqual(yield* read("sse", cut(utf8.encode(cutOff), places)), expected)
      })
  )

  for (const format of ["ndjson", "sse"] as const) {
    it.effect.prop(
      `a bound on ${format} events ends a session at the same place however its bytes are cut`,
      [
        Fc.array(
          Fc.oneof(
            ndjsonLine.map(([line]) => line),
            Fc.string({ unit: "binary", maxLength: 40 })
          ),
          { maxLength: 8 }
        ),
        places
      ],
      ([lines, places]) =>
        Effect.gen(function* () {
          const bytes = utf8.encode(lines.map((line) => (format === "sse" ? `data: ${line}\n` : `${line}\n`)).join(""))
          const whole = yield* trace(format, [bytes], 24)
          assert.deepStrictEqual(yield* trace(format, cut(bytes, places), 24), whole)
        })
    )

    it.effect(`an ${format} line that never ends fails instead of filling the memory`, () =>
      Effect.gen(function* () {
        const kib = utf8.encode("x".repeat(1024))
        let sent = 0
        const error = yield* Effect.flip(
          Stream.runDrain(
            frames(
              format,
              64 * 1024
            )(Stream.tap(Stream.forever(Stream.make(kib)), () => Effect.sync(() => void sent++)))
          )
        )
        assert.instanceOf(error, DecodeError)
        assert.include(error.message, "65536 bytes")
        assert.isBelow(sent, 100)
      })
    )
  }

  it.effect("the bound is in bytes, and holds for a line that comes whole", () =>
    Effect.gen(function* () {
      const line = JSON.stringify("é".repeat(30))
      assert.strictEqual(utf8.encode(line).length, 62)
      assert.deepStrictEqual(yield* readText("ndjson", `${line}\n`, 62), [message("é".repeat(30))])
      const error = yield* Effect.flip(readText("ndjson", `${line}\n`, 61))
      assert.strictEqual(error._tag, "DecodeError")
      const last = yield* Effect.flip(readText("ndjson", line, 61))
      assert.strictEqual(last._tag, "DecodeError")
    })
  )

  it.effect("the bound holds for the lines of one SSE event together", () =>
    Effect.gen(function* () {
      const event = `${"data: 11111111\n".repeat(10)}\n`
      assert.strictEqual((yield* readText("sse", event, 150)).length, 1)
      const whole = yield* Effect.flip(readText("sse", event, 60))
      assert.strictEqual(whole._tag, "DecodeError")
      const open = yield* Effect.flip(readText("sse", "data: 1\n".repeat(100), 60))
      assert.strictEqual(open._tag, "DecodeError")
      assert.strictEqual((yield* readText("sse", `${"data: 11111111\n\n".repeat(100)}`, 60)).length, 100)
    })
  )

  it.effect("frames before an event that is too long are not lost", () =>
    Effect.gen(function* () {
      const { seen, failed } = yield* trace("ndjson", [utf8.encode(`1\n2\n"${"x".repeat(100)}"\n3\n`)], 50)
      assert.deepStrictEqual(seen, [message(1), message(2)])
      assert.strictEqual(failed, "DecodeError")
    })
  )

  it.effect("the default bound is 16 MiB", () =>
    Effect.gen(function* () {
      const mib = new Uint8Array(1024 * 1024).fill(0x20)
      const fits = yield* read("ndjson", [
        utf8.encode("1"),
        ...Array.from({ length: 15 }, () => mib),
        utf8.encode("\n")
      ])
      assert.deepStrictEqual(fits, [message(1)])
      const error = yield* Effect.flip(read("ndjson", [utf8.encode("1"), ...Array.from({ length: 16 }, () => mib)]))
      assert.include(error.message, "16777216 bytes")
    })
  )

  it.effect("null, primitives and lines that are no JSON leave the stream alive", () =>
    Effect.map(readText("ndjson", 'null\n7\n"x"\n{bad\n[1]\n{"id":"t"}\n'), (found) =>
      assert.deepStrictEqual(found, [
        message(null),
        message(7),
        message("x"),
        malformed("{bad"),
        message([1]),
        message({ id: "t" })
      ])
    )
  )

  it.effect("what is kept of a malformed line is short", () =>
    Effect.map(readText("ndjson", `{${"x".repeat(10_000)}\n`), ([frame]) =>
      assert.deepStrictEqual(frame, malformed(`{${"x".repeat(499)}`))
    )
  )

  for (const newline of ["\n", "\r\n", "\r"]) {
    it.effect(`looks at each byte of a chunk about once where lines end in ${JSON.stringify(newline)}`, () =>
      Effect.gen(function* () {
        let looked = 0
        class Counted extends Uint8Array {
          override indexOf(byte: number, from = 0): number {
            const at = super.indexOf(byte, from)
            looked += (at === -1 ? this.length : at + 1) - from
            return at
          }
        }
        const chunk = Counted.from(utf8.encode(`data: 1${newline}${newline}`.repeat(1000)))
        assert.strictEqual((yield* read("sse", [chunk])).length, 1000)
        // Once for each of the two bytes that may end a line.
        assert.isAtMost(looked, 2 * chunk.length)
      })
    )
  }

  it.effect("only a top-level type makes a heartbeat", () =>
    Effect.map(
      readText("ndjson", '{"data":{"type":"heartbeat"}}\n{"type":"heartbeats"}\n{"type":"heartbeat","n":1}\n'),
      (found) =>
        assert.deepStrictEqual(
          found.map((frame) => frame._tag),
          ["Message", "Message", "Heartbeat"]
        )
    )
  )

  it.effect("an SSE event name holds for one event only, also where that event has no data", () =>
    Effect.map(readText("sse", "event: done\n\ndata: 1\n\nevent: update\ndata: 2\n\ndata: 3\n\n"), (found) =>
      assert.deepStrictEqual(found, [message(1), message(2, "update"), message(3)])
    )
  )

  it.effect("an SSE event that is no JSON still has its name", () =>
    Effect.map(readText("sse", "event: error\ndata: overloaded\n\n"), (found) =>
      assert.deepStrictEqual(found, [malformed("overloaded", "error")])
    )
  )

  it.effect("an SSE event with empty data still has its name", () =>
    Effect.map(readText("sse", "event: done\ndata:\n\n"), (found) =>
      assert.deepStrictEqual(found, [message(undefined, "done")])
    )
  )

  it.effect("each run of a stream starts with an empty buffer", () =>
    Effect.gen(function* () {
      const stream = frames("ndjson")(Stream.make(utf8.encode('{"a":1}\n{"b"')))
      const expected = [message({ a: 1 }), malformed('{"b"')]
      assert.deepStrictEqual(Chunk.toReadonlyArray(yield* Stream.runCollect(stream)), expected)
      assert.deepStrictEqual(Chunk.toReadonlyArray(yield* Stream.runCollect(stream)), expected)
    })
  )

  it("anything but the SSE media type is read as NDJSON", () => {
    assert.strictEqual(formatOf("Text/Event-Stream; charset=utf-8"), "sse")
    assert.strictEqual(formatOf("application/x-ndjson"), "ndjson")
    assert.strictEqual(formatOf("application/jsonl"), "ndjson")
    assert.strictEqual(formatOf(undefined), "ndjson")
  })
})
