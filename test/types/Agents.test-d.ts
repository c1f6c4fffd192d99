import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type * as AgentConfig from "effect-inferencesh/AgentConfig"
import * as Agents from "effect-inferencesh/Agents"
import * as App from "effect-inferencesh/App"
import * as Chat from "effect-inferencesh/Chat"
import * as File from "effect-inferencesh/File"
import type * as Inference from "effect-inferencesh/Inference"
import * as InferenceError from "effect-inferencesh/InferenceError"
import * as NodeInference from "effect-inferencesh/NodeInference"
import type * as Tasks from "effect-inferencesh/Tasks"
import * as Tool from "effect-inferencesh/Tool"
import { describe, expectTypeOf, it } from "vitest"

class Storm extends Data.TaggedError("Storm") {}
class Full extends Data.TaggedError("Full") {}
class Weather extends Context.Tag("test/Weather")<
  Weather,
  { readonly at: (city: string) => Effect.Effect<string, Storm> }
>() {}
class Calendar extends Context.Tag("test/Calendar")<
  Calendar,
  { readonly add: (title: string) => Effect.Effect<void, Full> }
>() {}

const getWeather = Tool.make("get_weather", {
  description: "Weather",
  params: { city: Schema.String, days: Schema.Int.pipe(Schema.optionalWith({ default: () => 1 })) },
  handler: ({ city }) => Effect.flatMap(Weather, (weather) => weather.at(city))
})

const addEvent = Tool.make("add_event", {
  description: "Adds an event",
  params: { title: Schema.String },
  requireApproval: true,
  handler: ({ title }) => Effect.flatMap(Calendar, (calendar) => calendar.add(title))
})

const Draw = App.make("acme/draw", {
  input: { prompt: Schema.String, width: Schema.optionalWith(Schema.Int, { default: () => 512 }) },
  output: { image: File.File },
  setup: { model: Schema.Literal("fast", "good") }
})

const Several = App.make("acme/several", {
  functions: {
    add: { input: { a: Schema.Number, b: Schema.Number }, output: { sum: Schema.Number } },
    shout: { input: { text: Schema.String }, output: { text: Schema.String } }
  }
})

describe("Tool.make", () => {
  it("infers the arguments from the parameters, decoded and with their defaults", () => {
    Tool.make("t", {
      description: "",
      params: {
        city: Schema.String.annotations({ description: "The city" }),
        at: Schema.Date,
        unit: Schema.Literal("c", "f").pipe(Schema.optionalWith({ default: () => "c" })),
        note: Schema.optional(Schema.String),
        tags: Schema.Array(Schema.Struct({ name: Schema.String }))
      },
      handler: (args, call) => {
        expectTypeOf(args).toEqualTypeOf<{
          readonly city: string
          readonly at: Date
          readonly unit: "c" | "f"
          readonly note?: string | undefined
          readonly tags: ReadonlyArray<{ readonly name: string }>
        }>()
        expectTypeOf(call).toEqualTypeOf<Tool.Call>()
        return Effect.succeed(args.city)
      }
    })
  })

  it("takes a schema, with all that belongs to it", () => {
    Tool.make("t", {
      description: "",
      params: Schema.Struct({ n: Schema.optionalWith(Schema.Int, { default: () => 2 }) }),
      handler: ({ n }) => {
        expectTypeOf(n).toEqualTypeOf<number>()
        return Effect.succeed(n)
      }
    })
    // Beside a handler TypeScript does not look into such a call: the name of the type says what to write instead.
    Tool.make("t", {
      description: "",
      params: { n: Schema.optionalWith(Schema.Int, { default: () => 2 }) },
      // @ts-expect-error
      handler: (args) => {
        expectTypeOf(args).toEqualTypeOf<Tool.NameTheSchemaOrUsePipe>()
        return Effect.void
      }
    })
  })

  it("takes a schema that has a name", () => {
    const times = Schema.optionalWith(Schema.Int, { default: () => 2 })
    Tool.make("t", {
      description: "",
      params: { times },
      handler: ({ times }) => {
        expectTypeOf(times).toEqualTypeOf<number>()
        return Effect.void
      }
    })
  })

  it("needs no parameters", () => {
    const now = Tool.make("now", { description: "The time", handler: () => Effect.succeed("noon") })
    expectTypeOf(now).toEqualTypeOf<Tool.Tool<"now", never, never>>()
  })

  it("knows what its handler needs and fails with, and gives it a scope", () => {
    expectTypeOf(getWeather).toEqualTypeOf<Tool.Tool<"get_weather", Storm, Weather>>()
    const scoped = Tool.make("scoped", {
      description: "",
      handler: () =>
        Effect.zipRight(
          Effect.addFinalizer(() => Effect.void),
          Weather
        )
    })
    expectTypeOf<Tool.Requirements<typeof scoped>>().toEqualTypeOf<Weather>()
    expectTypeOf<Tool.Requirements<typeof getWeather | typeof addEvent>>().toEqualTypeOf<Weather | Calendar>()
    expectTypeOf<Tool.Errors<typeof getWeather | typeof addEvent>>().toEqualTypeOf<Storm | Full>()
  })

  it("checks the result against the output", () => {
    Tool.make("t", {
      description: "",
      output: { at: Schema.Date },
      handler: () => Effect.succeed({ at: new Date() })
    })
    // @ts-expect-error a text is no date
    Tool.make("t", {
      description: "",
      output: { at: Schema.Date },
      handler: () => Effect.succeed({ at: "noon" })
    })
  })
})

describe("Tool.app", () => {
  it("types what is preset by the contract", () => {
    const draw = Tool.app("draw", Draw, { description: "", input: { width: 100 }, setup: { model: "fast" } })
    expectTypeOf(draw).toEqualTypeOf<Tool.Tool<"draw", never, never>>()
    Tool.app("any", "acme/any", { description: "", input: { whatever: 1 } })
    Tool.app("add", Several, { description: "", function: "add", input: { a: 1 } })
    // @ts-expect-error there is no such field
    Tool.app("draw", Draw, { description: "", input: { height: 100 } })
    // @ts-expect-error there is no such model
    Tool.app("draw", Draw, { description: "", setup: { model: "best" } })
    // @ts-expect-error it has several functions
    Tool.app("several", Several, { description: "" })
  })
})

describe("Agents.create", () => {
  it("needs the service alone, and cannot fail", () => {
    const created = Agents.create({ coreApp: "acme/llm" })
    expectTypeOf(created).toEqualTypeOf<Effect.Effect<Agents.Agent<never, never>, never, Agents.Agents>>()
    expectTypeOf(Agents.create("acme/helper", { context: { customer: "42" } })).toEqualTypeOf(created)
  })

  it("shows what the handlers of its tools need where the agent is used", () => {
    const program = Effect.gen(function* () {
      const agent = yield* Agents.create({
        coreApp: "acme/llm",
        tools: [getWeather, addEvent, Tool.app("d", Draw, { description: "" })]
      })
      expectTypeOf(agent).toEqualTypeOf<Agents.Agent<Weather | Calendar, Storm | Full>>()
      expectTypeOf(agent.chat("hi")).toEqualTypeOf<
        Stream.Stream<Chat.Event<Storm | Full>, Agents.ChatError, Weather | Calendar>
      >()
      expectTypeOf(agent.sendMessage("hi")).toEqualTypeOf<
        Effect.Effect<Chat.Reply, Agents.ChatError, Weather | Calendar>
      >()
      expectTypeOf(agent.getChat()).toExtend<Effect.Effect<Chat.Chat, Agents.ChatError>>()
      return yield* agent.sendMessage("hi")
    })
    expectTypeOf<Effect.Effect.Context<typeof program>>().toEqualTypeOf<Weather | Calendar | Agents.Agents>()
    // After providing them they are gone.
    const provided = program.pipe(
      Effect.provideService(Weather, { at: () => Effect.succeed("sun") }),
      Effect.provideService(Calendar, { add: () => Effect.void })
    )
    expectTypeOf<Effect.Effect.Context<typeof provided>>().toEqualTypeOf<Agents.Agents>()
    const run = Effect.provide(provided, NodeInference.layerConfig())
    expectTypeOf<Effect.Effect.Context<typeof run>>().toEqualTypeOf<never>()
    // @ts-expect-error a service is missing
    const _missing: Effect.Effect<Chat.Reply, unknown, Agents.Agents> = program
  })

  it("types the handlers of a stored agent's tools as well", () => {
    const created = Agents.create("acme/helper", { tools: [getWeather] })
    expectTypeOf(created).toEqualTypeOf<Effect.Effect<Agents.Agent<Weather, Storm>, never, Agents.Agents>>()
  })

  it("takes an agent that is kept in a variable, and one that is stored or not", () => {
    const plain: AgentConfig.AgentConfig = { coreApp: "acme/llm" }
    expectTypeOf(Agents.create(plain)).toEqualTypeOf<Effect.Effect<Agents.Agent<never, never>, never, Agents.Agents>>()
    // @ts-expect-error its tools would be forgotten
    const forgetful: AgentConfig.AgentConfig = { coreApp: "acme/llm", tools: [getWeather] }
    const config = { coreApp: "acme/llm", tools: [getWeather] } satisfies AgentConfig.Any
    expectTypeOf(Agents.create(config)).toEqualTypeOf<
      Effect.Effect<Agents.Agent<Weather, Storm>, never, Agents.Agents>
    >()
    const choose = (agent: string | typeof config) => Agents.create(agent)
    expectTypeOf(choose).returns.toEqualTypeOf<Effect.Effect<Agents.Agent<Weather, Storm>, never, Agents.Agents>>()
    return [plain, forgetful]
  })

  it("has errors that stand-ins of the service can make", () => {
    const lost = InferenceError.chatInterrupted({ chatId: "c1", reason: "Disconnected" })
    expectTypeOf(Effect.fail(lost)).toExtend<Effect.Effect<never, Agents.ChatError>>()
    const task = InferenceError.taskInterrupted({ taskId: "t1", reason: "NoProgress" })
    expectTypeOf(Effect.fail(task)).toExtend<Effect.Effect<never, Tasks.RunError>>()
  })

  it("lets an agent stand where one is asked for that needs as much", () => {
    const ask = (agent: Agents.Agent<Weather>) => agent.sendMessage("hi")
    Effect.flatMap(Agents.create({ coreApp: "acme/llm", tools: [getWeather] }), ask)
    Effect.flatMap(Agents.create({ coreApp: "acme/llm" }), ask)
    // @ts-expect-error this one needs more
    Effect.flatMap(Agents.create({ coreApp: "acme/llm", tools: [addEvent] }), ask)
  })

  it("takes contracts as its model, and no unknown options", () => {
    Agents.create({ coreApp: Draw })
    Agents.create({ coreApp: { app: "acme/llm", setup: { temperature: 0 } } })
    // @ts-expect-error there is no such option
    Agents.create({ coreApp: "acme/llm", system: "Be brief." })
    // @ts-expect-error an agent has a model
    Agents.create({ systemPrompt: "Be brief." })
  })

  it("types the structured output by its schema", () => {
    const program = Effect.flatMap(Agents.create("acme/helper"), (agent) =>
      agent.run("1+2?", { sum: Schema.Number, at: Schema.Date })
    )
    expectTypeOf<Effect.Effect.Success<typeof program>>().toEqualTypeOf<{ readonly sum: number; readonly at: Date }>()
    const whole = Effect.flatMap(Agents.create("acme/helper"), (agent) => agent.run("?", Schema.NumberFromString))
    expectTypeOf<Effect.Effect.Success<typeof whole>>().toEqualTypeOf<number>()
  })

  it("tells by its error which chat was lost from sight", () => {
    Effect.flatMap(Agents.create("acme/helper"), (agent) =>
      agent.sendMessage("hi").pipe(Effect.catchTag("StreamInterrupted", ({ chatId }) => Agents.getChat(chatId)))
    )
  })

  it("is among the services of the layers", () => {
    expectTypeOf<Agents.Agents>().toExtend<Inference.Services>()
  })
})

describe("the events of a turn", () => {
  it("carry the errors of the handlers", () => {
    Effect.flatMap(Agents.create({ coreApp: "acme/llm", tools: [getWeather] }), (agent) =>
      Stream.runForEach(agent.chat("hi"), (event) => {
        if (event._tag === "ToolResult" && event.failure?._tag === "HandlerFailed") {
          expectTypeOf(event.failure.cause).toExtend<import("effect/Cause").Cause<Storm>>()
        }
        return Effect.void
      })
    )
  })

  it("are folded to a reply", () => {
    const reply = Effect.flatMap(Agents.create({ coreApp: "acme/llm", tools: [getWeather] }), (agent) =>
      Chat.reply(agent.chat("hi"))
    )
    expectTypeOf(reply).toEqualTypeOf<Effect.Effect<Chat.Reply, Agents.ChatError, Weather | Agents.Agents>>()
  })
})
