/** An agent whose tools use a service of this program; with INFERENCE_API_KEY, on the live service. */
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { Agents, Chat, Tool } from "effect-inferencesh"
import { NodeInference } from "effect-inferencesh/node"
import * as Calendar from "./agent-chat/calendar.js"
import { model, questions } from "./agent-chat/script.js"
import * as Main from "./support/main.js"
import * as Terminal from "./support/terminal.js"

const { bold, dim, green, print } = Terminal

const Day = Schema.String.annotations({ description: "Name of a weekday" })
const Time = Schema.String.pipe(Schema.pattern(/^\d\d:\d\d$/)).annotations({ description: "Like 09:30" })

// The handlers need the calendar, and so does whoever talks with an agent that has these tools.
const tools = [
  Tool.make("list_appointments", {
    description: "Lists the appointments of a day",
    params: { day: Day },
    handler: ({ day }) => Effect.flatMap(Calendar.Calendar, (calendar) => calendar.on(day))
  }),
  Tool.make("add_appointment", {
    description: "Adds an appointment to the calendar",
    params: { day: Day, from: Time, to: Time, title: Schema.NonEmptyString },
    requireApproval: true,
    handler: (appointment) =>
      Effect.flatMap(Calendar.Calendar, (calendar) => Effect.as(calendar.add(appointment), "added"))
  })
] as const

const shortened = (text = "") => (text.length > 100 ? `${text.slice(0, 99)}…` : text)

/** Shows an event, and lets the call go ahead that waits for approval. */
const show =
  (approve: (id: string) => Effect.Effect<void, Agents.ChatError>) =>
  (event: Chat.Event): Effect.Effect<void, Agents.ChatError> => {
    switch (event._tag) {
      case "TextDelta":
        return Terminal.text(event.delta)
      case "Message":
        return event.message.role === "assistant" && Chat.text(event.message) !== "" ? print() : Effect.void
      case "ToolCall":
        return print(dim(`  → ${event.name} ${shortened(JSON.stringify(event.arguments))}`))
      case "ApprovalRequired":
        return Effect.zipRight(print(`  ${green("✓")} ${dim(`allowed: ${event.name}`)}`), approve(event.id))
      case "ToolResult":
        return print(dim(`  ← ${shortened(event.result)}`))
      default:
        return Effect.void
    }
  }

/** Where the agent runs is not its business: it needs a model, the calendar, and the service that talks with agents. */
const talk = (coreApp: string) =>
  Effect.gen(function* () {
    const agent = yield* Agents.create({
      coreApp,
      name: "assistant",
      systemPrompt: "You keep the user's calendar. Be brief. Look at a day before you add to it.",
      tools
    })
    for (const question of questions) {
      yield* print(`\n${bold(`> ${question}`)}`)
      const { text } = yield* agent.chat(question).pipe(Stream.tap(show(agent.approve)), Chat.reply)
      if (text === "") yield* print(dim("(no answer in words)"))
    }
    const friday = yield* Effect.flatMap(Calendar.Calendar, (calendar) => calendar.on("Friday"))
    yield* print(`\n${bold("Friday")}`)
    for (const { from, to, title } of [...friday].sort((a, b) => a.from.localeCompare(b.from)))
      yield* print(`  ${from}–${to}  ${title}`)
  }).pipe(Terminal.onInterrupt("Interrupted: the turn was stopped."), Effect.provide(Calendar.layer))

const program = Effect.gen(function* () {
  const key = yield* Config.string("INFERENCE_API_KEY").pipe(Config.withDefault(""))
  const live = yield* Config.string("INFERENCE_MODEL").pipe(Config.withDefault("openrouter/claude-sonnet-5"))
  if (key.trim() === "") {
    yield* print(`${bold("An agent")} on a server inside of this program, with a model that plays a script: no account`)
    return yield* Effect.provide(talk(model.app.name), NodeInference.layerLocal({ apps: [model] }))
  }
  yield* print(`${bold("An agent")} on the live service, with the model ${live} (INFERENCE_MODEL names another)`)
  yield* Effect.provide(talk(live), NodeInference.layerConfig())
})

Main.run(program)
