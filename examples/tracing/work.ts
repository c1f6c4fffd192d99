/** Something to trace: an app that is run, one that fails, one that is too slow, and an agent that calls a tool. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { Agents, App, BaseApp, Llm, Tasks, Tool } from "effect-inferencesh"
import { NodeInference } from "effect-inferencesh/node"

const Caption = App.make("demo/caption", { input: { text: Schema.String }, output: { caption: Schema.String } })

const caption = BaseApp.make(Caption, {
  concurrency: 4,
  run: ({ text }) =>
    Effect.gen(function* () {
      if (text === "") return yield* Effect.fail(new Error("there is nothing to caption"))
      // A span of the app's own, and a nap that stands for its work.
      yield* Effect.withSpan(Effect.sleep(text.length * 10), "caption.think")
      return { caption: text.toUpperCase() }
    })
})

const model = Llm.scripted("demo/model", [
  { toolCalls: [{ name: "get_weather", arguments: { city: "Lisbon" } }] },
  { response: "It is sunny in Lisbon." }
])

const getWeather = Tool.make("get_weather", {
  description: "Tells the weather of a city",
  params: { city: Schema.String },
  handler: ({ city }) => Effect.succeed(`sunny in ${city}`)
})

/** What is said and asked for. None of it may be in a trace. */
export const prompts = ["the ferryman crossed the river", "Do I need an umbrella in Lisbon?"] as const

export const work = Effect.gen(function* () {
  yield* Tasks.run(Caption, { input: { text: prompts[0] } })
  yield* Effect.ignore(Tasks.run(Caption, { input: { text: "" } }))
  yield* Effect.timeoutOption(Tasks.run(Caption, { input: { text: prompts[0].repeat(100) } }), "200 millis")

  const agent = yield* Agents.create({ coreApp: model.app.name, name: "forecaster", tools: [getWeather] })
  yield* agent.sendMessage(prompts[1])
}).pipe(Effect.withSpan("work"))

/** Layers with a server inside of this program. The tracer goes around them: `Effect.provide(tracer)` comes after this. */
export const layer = NodeInference.layerLocal({ apps: [caption, model] })
