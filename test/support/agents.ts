/** Models to host in tests, and a client of chats that speaks plain JSON. */
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import * as App from "effect-inferencesh/App"
import * as BaseApp from "effect-inferencesh/BaseApp"
import * as LocalServer from "effect-inferencesh/LocalServer"
import * as Apps from "./apps.js"
import { get, type Json, lines, post } from "./wire.js"

type Returned = Effect.Effect<unknown, unknown, Apps.Journal> | Stream.Stream<unknown, unknown, Apps.Journal>

/** A model that answers by a function of what it is asked, and of how often it was asked before. */
export const makeModel = (answer: (input: Json, before: number) => Returned, name = "acme/model") => {
  const inputs: Array<Json> = []
  const app = BaseApp.make(App.make(name, { input: Schema.Unknown, output: Schema.Unknown }), {
    concurrency: 100,
    run: (input) =>
      Stream.unwrap(
        Effect.sync(() => {
          const returned = answer(input, inputs.push(input) - 1)
          return Effect.isEffect(returned) ? Stream.fromEffect(returned) : returned
        })
      )
  })
  return { app, inputs }
}

/** A model that gives these answers, one each time that it is asked, and then says that it has no more. */
export const scripted = (...answers: ReadonlyArray<Returned>) => scriptedAs("acme/model", ...answers)

export const scriptedAs = (name: string, ...answers: ReadonlyArray<Returned>) =>
  makeModel((_, before) => answers[before] ?? says("no more"), name)

export const says = (response: string) => Effect.succeed({ response })

export const call = (name: string, args: unknown, id = "call_1") => ({
  id,
  type: "function",
  function: { name, arguments: args }
})

/** An output that calls tools. */
export const calls = (...toolCalls: ReadonlyArray<unknown>) => Effect.succeed({ response: "", tool_calls: toolCalls })

/** The output so far, once for each word. */
export const words = (text: string): Stream.Stream<unknown> => {
  const parts = text.split(/(?<= )/)
  return Stream.fromIterable(parts.map((_, i) => ({ response: parts.slice(0, i + 1).join("") })))
}

export const clientTool = (name: string, more: Json = {}): Json => ({
  name,
  description: `The tool ${name}`,
  type: "client",
  client: { input_schema: { type: "object", properties: { x: { type: "number" } }, required: ["x"] } },
  ...more
})

export const appTool = (name: string, app: Json, more: Json = {}): Json => ({
  name,
  description: "",
  type: "app",
  app,
  ...more
})

export const config = (more: Json = {}): Json => ({ core_app: { ref: "acme/model" }, ...more })

export const message = (text: string): Json => ({
  text,
  role: "user",
  context: [],
  system_prompt: "",
  context_size: 0
})

export const run = (body: Json) => post("/agents/run", body)

/** Says something, in a new chat or in one that there is, and gives the messages of the answer. */
export const say = (text: string, agentConfig: Json = config(), chatId: string | null = null) =>
  Effect.flatMap(run({ chat_id: chatId, agent_config: agentConfig, input: message(text) }), ({ status, text, data }) =>
    status === 200
      ? Effect.succeed({
          chatId: data.user_message.chat_id as string,
          user: data.user_message as Json,
          assistant: data.assistant_message as Json
        })
      : Effect.die(new Error(text))
  )

export const chat = (id: string) => Effect.map(get(`/chats/${id}`), ({ data }) => data)

/** The messages of a chat in their order. */
export const messages = (id: string) =>
  Effect.map(get(`/chats/${id}/messages?limit=100`), ({ data }) => (data.items as ReadonlyArray<Json>).toReversed())

/** Lets whatever is due go on, also on the disk: fibers that only yield to each other can keep it from that. */
const tick = Effect.async<void>((resume) => void setImmediate(() => resume(Effect.void)))

/** Waits until a look at something shows what is expected. */
export const until = <A, E, R>(look: Effect.Effect<A, E, R>, expected: (value: A) => unknown) =>
  Effect.repeat(Effect.zipLeft(look, tick), { until: (value) => Boolean(expected(value)) })

export const untilIdle = (id: string) => until(chat(id), ({ status }) => status === "idle")

export const events = (id: string) => Stream.map(lines(`/chats/${id}/stream`), (line): Json => JSON.parse(line))

/** Follows a chat in the background, and gives what was seen so far. */
export const follow = (id: string) =>
  Effect.gen(function* () {
    const seen: Array<Json> = []
    yield* Effect.forkScoped(Stream.runForEach(events(id), (event) => Effect.sync(() => void seen.push(event))))
    yield* until(
      Effect.sync(() => seen.length),
      (length) => length > 0
    )
    return seen
  })

/** Waits until a follower has seen what is expected. */
export const untilSeen = (seen: ReadonlyArray<Json>, expected: (event: Json) => unknown) =>
  until(
    Effect.sync(() => seen),
    (events) => events.some((event) => expected(event))
  )

/** Lets so many seconds pass, one after the other. */
export const pass = (seconds: number) =>
  Effect.replicateEffect(TestClock.adjust("1 second"), seconds, { discard: true })

/** What a chat waits for from its client. */
export const pending = (id: string) =>
  Effect.map(messages(id), (all) =>
    all
      .flatMap(({ tool_invocations }) => tool_invocations ?? [])
      .filter(({ status }: Json) => status === "in_progress" || status === "awaiting_approval")
  )

/** Waits until a chat waits for so many calls, and gives them. */
export const untilPending = (id: string, count = 1) => until(pending(id), (all) => all.length === count)

export const textOf = (message: Json): string =>
  (message.content ?? []).flatMap((item: Json) => (item.type === "text" ? [item.text ?? item.error] : [])).join("")

/** An event in a few words. */
const brief = ({ event, data }: Json): string => {
  switch (event) {
    case "chats":
      return `chat ${data.status} (${data.active_run?.state})`
    case "agent_runs":
      return ["run", data.state, data.interrupt_reason].filter(Boolean).join(" ")
    case "delta":
      return `delta ${data.seq} ${data.delta.response ?? data.delta.tool_calls?.[0].function.arguments}`
    default: {
      const calls = data.tool_invocations?.map(({ status }: Json) => status) ?? []
      return [`${data.order} ${data.role} ${data.status}`, textOf(data), ...calls].filter(Boolean).join(" ")
    }
  }
}

/** The same without the events that only say again what was said. */
export const briefly = (events: ReadonlyArray<Json>) => events.map(brief).filter((text, i, all) => text !== all[i - 1])

/** A server in process with these apps. */
export const serve = (
  apps: ReadonlyArray<BaseApp.BaseApp<App.Any, Apps.Journal>>,
  options: Omit<LocalServer.Options, "apps"> = {}
) =>
  LocalServer.layerHttpClient({ ...options, apps: [...Apps.all, ...apps] }).pipe(
    Layer.provideMerge(Layer.mergeAll(FetchHttpClient.layer, Apps.layerJournal, NodeContext.layer))
  )
