/** A recorded turn whose connection breaks at each byte: what is seen of it stays the same. */
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Agents from "effect-inferencesh/Agents"
import * as Chat from "effect-inferencesh/Chat"
import * as Tool from "effect-inferencesh/Tool"
import * as C from "./support/chats.js"
import type { Json } from "./support/tasks.js"
import * as T from "./support/tasks.js"

// With few fields, since there are as many runs of this test as the session has bytes.
const call = (id: string, city: string, fields: Json) => ({
  id,
  type: "client",
  function: { name: "weather", arguments: { city } },
  ...fields
})

const at = (second: number) => ({ updated_at: `2026-10-01T10:00:0${second}Z` })

const waiting = { status: "in_progress" }

const calls = (second: Json) => ({ tool_invocations: [call("i1", "Oslo", waiting), call("i2", "Zürich", second)] })

/** The turn, line by line. What a line waits for is a request that must have come before the service goes on. */
const session: ReadonlyArray<{ readonly line: Json; readonly after?: string }> = [
  { line: C.chat({ active_run: { id: "r1", chat_id: "c1", user_message_id: "m1", state: "working", ...at(0) } }) },
  { line: C.message("m2", { content: [] }) },
  { line: C.delta("m2", 1, { reasoning: "Zwei Städte" }) },
  { line: C.delta("m2", 2, { reasoning: " 🌦" }) },
  { line: C.delta("m2", 3, { response: "I " }) },
  { line: C.delta("m2", 4, { response: "look." }) },
  {
    line: C.message("m2", {
      status: "ready",
      content: [C.part("reasoning", { text: "Zwei Städte 🌦" }), ...C.text("I look.")],
      ...calls({ status: "awaiting_approval" })
    })
  },
  { line: C.run("input_required", at(1)) },
  { line: C.message("m2", calls(waiting), ["tool_invocations"]), after: "POST /tools/i2/invoke" },
  { line: { type: "heartbeat" }, after: "POST /tools/i1" },
  { line: { type: "heartbeat" }, after: "POST /tools/i2" },
  { line: C.run("working", at(2)) },
  { line: C.message("m3", { role: "tool", status: "ready", tool_call_id: "i1", content: C.text("rain") }) },
  { line: C.message("m4", { content: null }) },
  { line: C.delta("m4", 1, { response: "Rain in Oslo, " }) },
  { line: C.delta("m4", 2, { response: "snow in Zürich." }) },
  { line: C.ready("m4", "Rain in Oslo, snow in Zürich.") },
  { line: C.run("completed", { output: { wet: 2 }, ...at(3) }) },
  { line: C.idle }
]

/** Without the fields that are `null`, which decode as if they were not there: fewer bytes to cut at. */
const slim = (value: unknown): string =>
  JSON.stringify(value, (_, field: unknown) => (field === null ? undefined : field))

const lines = session.map(({ line }) => new TextEncoder().encode(`${slim(line)}\n`))

const ends = lines.map((_, i) => lines.slice(0, i + 1).reduce((sum, { length }) => sum + length, 0))

const total = ends.at(-1) ?? 0

/** What the service knows after the given number of lines, with the text that is being written or without. */
const stateAfter = (count: number, withText: boolean) => {
  let chat: Json = { id: "c1", status: "busy" }
  let run: Json = { id: "r1", chat_id: "c1", user_message_id: "m1", state: "working" }
  const messages = new Map<string, Json>([["m1", C.userMessage()]])
  for (const { line } of session.slice(0, count)) {
    const { event, data } = line as { event?: string; data: Json }
    if (event === "chats") {
      chat = { ...chat, ...data }
      run = { ...run, ...(data.active_run as Json | null) }
    }
    if (event === "agent_runs") run = { ...run, ...data }
    if (event === "chat_messages") messages.set(String(data.id), { ...messages.get(String(data.id)), ...data })
    if (event === "delta" && withText) {
      const { resource_id: id, delta } = data as {
        resource_id: string
        delta: { response?: string; reasoning?: string }
      }
      const before = messages.get(id) ?? {}
      const old = (before.content ?? []) as ReadonlyArray<{ type: string; text: string }>
      const text = (type: string) => old.find((part) => part.type === type)?.text ?? ""
      messages.set(id, {
        ...before,
        content: [
          C.part("reasoning", { text: text("reasoning") + (delta.reasoning ?? "") }),
          C.part("text", { text: text("text") + (delta.response ?? "") })
        ]
      })
    }
  }
  return { chat: { ...chat, active_run: run }, run, messages: Array.from(messages.values()) }
}

interface Variant {
  /** How many lines the service has come to when the connection breaks. */
  readonly known: (cut: number) => number
  /** Whether its states hold the text that is being written. */
  readonly withText: boolean
  /** What a new connection begins with. */
  readonly start: "states" | "nothing" | "replay"
  /** How the first connection ends. */
  readonly end: "broken" | "ended"
}

const fullLines = (cut: number) => ends.filter((end) => end <= cut).length

const resumed: Variant = { known: fullLines, withText: true, start: "states", end: "broken" }

const oneFurther = (cut: number) => Math.min(session.length, fullLines(cut) + 1)

const variants: Record<string, Variant> = {
  "where it was, after an end without an error": { ...resumed, end: "ended" },
  "one line further on": { ...resumed, known: oneFurther },
  "telling all of it again": { ...resumed, start: "replay" },
  "saying nothing of what was before": { ...resumed, withText: false, start: "nothing", end: "ended" },
  "with a line lost, and with no text before the end": { ...resumed, known: oneFurther, withText: false }
}

const weather = Tool.make("weather", {
  description: "",
  params: { city: Schema.String },
  handler: ({ city }) => Effect.succeed(city === "Oslo" ? "rain" : "snow")
})

/** Plays the turn, with the first connection cut at the given byte. */
const play = (cut: number | undefined, variant: Variant) =>
  Effect.gen(function* () {
    const gates = new Map<string, Deferred.Deferred<void>>()
    for (const { after } of session) if (after !== undefined) gates.set(after, yield* Deferred.make<void>())
    const passed = (route: string): T.Answer =>
      Effect.zipRight(
        Deferred.succeed(gates.get(route) ?? Deferred.unsafeMake<void>(0 as never), undefined),
        T.data(null)
      )
    const from = (index: number, bytes = Number.POSITIVE_INFINITY): Stream.Stream<Uint8Array> =>
      Stream.fromIterable(session.slice(index).map(({ after }, i) => ({ after, at: index + i }))).pipe(
        Stream.mapEffect(({ after, at }) => {
          const gate = after === undefined ? undefined : gates.get(after)
          const line = lines[at] ?? new Uint8Array()
          const start = at === 0 ? 0 : (ends[at - 1] ?? 0)
          // Not before the request has come, but the bytes that are cut off are not waited for.
          const open = gate === undefined || start >= bytes ? Effect.void : Deferred.await(gate)
          return Effect.as(open, line.subarray(0, Math.max(0, bytes - start)))
        }),
        Stream.takeUntil((chunk) => chunk.length === 0)
      )
    const known = cut === undefined ? 0 : variant.known(cut)
    const state = stateAfter(known, variant.withText)
    const initial =
      variant.start === "states"
        ? [
            { event: "chats", data: state.chat },
            ...state.messages.map((data) => ({ event: "chat_messages", data })),
            { event: "agent_runs", data: state.run }
          ]
        : []
    const again = Stream.concat(
      Stream.fromIterable(initial.map((line) => new TextEncoder().encode(`${slim(line)}\n`))),
      from(variant.start === "replay" ? 0 : known)
    )
    const service = T.service(
      {
        "POST /agents/run": T.data(C.posted()),
        "GET /chats/c1/stream": [
          cut === undefined
            ? T.body(from(0), "application/x-ndjson")
            : T.body(
                Stream.concat(from(0, cut), variant.end === "broken" ? T.broken : Stream.empty),
                "application/x-ndjson"
              ),
          T.body(Stream.concat(again, T.silence), "application/x-ndjson")
        ],
        "GET /chats/c1": T.data(state.chat),
        "GET /chats/c1/messages?limit=100": T.data({ items: [...state.messages].reverse() }),
        "POST /tools/i1": passed("POST /tools/i1"),
        "POST /tools/i2": passed("POST /tools/i2"),
        "POST /tools/i2/invoke": passed("POST /tools/i2/invoke")
      },
      { retry: { baseDelay: 0 } }
    )
    const events: Array<Chat.Event> = []
    const reply = yield* Effect.flatMap(Agents.create({ coreApp: "acme/llm", tools: [weather] }), (agent) =>
      agent.chat("hi").pipe(
        Stream.tap((event) => {
          events.push(event)
          return event._tag === "ApprovalRequired" ? agent.approve(event.id) : Effect.void
        }),
        Chat.reply
      )
    ).pipe(Effect.provide(service.layer))
    assert.strictEqual(service.open(), 0)
    const count = (route: string) => service.count(route)
    assert.deepStrictEqual(
      [count("POST /tools/i1"), count("POST /tools/i2"), count("POST /tools/i2/invoke"), count("POST /chats/c1/stop")],
      [1, 1, 1, 0]
    )
    return { events, reply }
  })

/** The events, with pieces of one text put together, and the answers of handlers, which come in their own time, apart. */
const essence = (events: ReadonlyArray<Chat.Event>) => {
  const rest: Array<unknown> = []
  const results: Array<unknown> = []
  let last: { tag: string; id: string; text: string } | undefined
  for (const event of events) {
    if (event._tag === "ToolResult") {
      results.push([event.id, event.result])
      continue
    }
    if (event._tag === "TextDelta" || event._tag === "ReasoningDelta") {
      if (last?.tag === event._tag && last.id === event.messageId) last.text += event.delta
      else {
        last = { tag: event._tag, id: event.messageId, text: event.delta }
        rest.push(last)
      }
      continue
    }
    last = undefined
    if (event._tag === "Message") rest.push(["message", event.message.id, event.message.role, Chat.text(event.message)])
    if (event._tag === "ToolCall") rest.push(["call", event.id, event.arguments])
    if (event._tag === "ApprovalRequired") rest.push(["approval", event.id, event.arguments])
    if (event._tag === "Status") rest.push(["status", event.status, event.output])
    if (event._tag === "Unknown") rest.push(["unknown", event.data])
  }
  return { rest, results: results.sort() }
}

const expected = [
  ["message", "m1", "user", "hi"],
  ["status", "working", undefined],
  { tag: "ReasoningDelta", id: "m2", text: "Zwei Städte 🌦" },
  { tag: "TextDelta", id: "m2", text: "I look." },
  ["message", "m2", "assistant", "I look."],
  ["call", "i1", { city: "Oslo" }],
  ["call", "i2", { city: "Zürich" }],
  ["approval", "i2", { city: "Zürich" }],
  ["status", "input_required", undefined],
  ["status", "working", undefined],
  ["message", "m3", "tool", "rain"],
  { tag: "TextDelta", id: "m4", text: "Rain in Oslo, snow in Zürich." },
  ["message", "m4", "assistant", "Rain in Oslo, snow in Zürich."],
  ["status", "completed", { wet: 2 }]
]

const results = [
  ["i1", "rain"],
  ["i2", "snow"]
]

const check = (cut: number | undefined, variant: Variant) =>
  Effect.map(play(cut, variant), ({ events, reply }) => {
    const seen = essence(events)
    assert.deepStrictEqual(seen.rest, expected, `cut at ${cut}`)
    assert.deepStrictEqual(seen.results, results, `cut at ${cut}`)
    assert.deepInclude(reply, { text: "Rain in Oslo, snow in Zürich.", output: { wet: 2 }, runId: "r1" })
    for (const event of events) {
      if (event._tag === "TextDelta" && event.messageId === "m4") assert.isTrue(reply.text.startsWith(event.text))
    }
  })

/** The beginning, the second byte, the middle and the last two of each line. */
const places = ends.flatMap((end, i) => {
  const start = i === 0 ? 0 : (ends[i - 1] ?? 0)
  return [start, start + 1, Math.floor((start + end) / 2), end - 2, end - 1]
})

describe("a turn whose connection is cut", { timeout: 300_000 }, () => {
  it.live("is the same without a cut", () => check(undefined, resumed))

  it.live("is the same wherever it is cut, byte by byte", () =>
    Effect.forEach(
      Array.from({ length: total }, (_, i) => i),
      (cut) => check(cut, resumed),
      { discard: true }
    ).pipe(Effect.withTracerEnabled(false))
  )

  for (const [name, variant] of Object.entries(variants)) {
    it.live(`is the same if the service is found ${name}`, () =>
      Effect.forEach(places, (cut) => check(cut, variant), { discard: true })
    )
  }
})
