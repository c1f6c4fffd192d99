import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Schema from "effect/Schema"
import type { Any } from "effect-inferencesh/AgentConfig"
import * as App from "effect-inferencesh/App"
import * as File from "effect-inferencesh/File"
import * as Tool from "effect-inferencesh/Tool"
import * as Config from "../src/internal/agents/config.js"
import * as Tools from "../src/internal/agents/tools.js"

/** As it goes over the wire: fields that are `undefined` are none. */
const wire = (tool: Tool.Any) => Effect.map(Tools.definition(tool), (json): unknown => JSON.parse(JSON.stringify(json)))

const issueOf = (tool: Tool.Any) =>
  Effect.map(Effect.flip(Tools.definition(tool)), ({ issues }) => {
    const [issue, ...others] = issues
    assert.deepStrictEqual(others, [])
    return issue
  })

const Draw = App.make("acme/draw@7k2m9qd4", {
  input: {
    prompt: Schema.String,
    size: Schema.optionalWith(Schema.Int, { default: () => 512 }),
    at: Schema.optional(Schema.Date)
  },
  output: { image: File.File },
  setup: { model: Schema.Literal("fast", "good"), warm: Schema.optionalWith(Schema.Boolean, { default: () => true }) }
})

const Several = App.make("acme/several", {
  functions: {
    add: { input: { a: Schema.Number, b: Schema.Number }, output: { sum: Schema.Number } },
    shout: { input: { text: Schema.String }, output: { text: Schema.String } }
  }
})

const empty = { type: "object", properties: {}, required: [] }

describe("a tool on the wire", () => {
  it.effect("of a handler says what its parameters are", () =>
    Effect.gen(function* () {
      const tool = Tool.make("get_weather", {
        description: "Weather by city",
        params: {
          city: Schema.String.annotations({ description: "City" }),
          unit: Schema.Literal("c", "f").pipe(Schema.optionalWith({ default: () => "c" })),
          places: Schema.Array(Schema.Struct({ lat: Schema.Number, note: Schema.optional(Schema.String) }))
        },
        handler: ({ city }) => Effect.succeed(city)
      })
      assert.deepStrictEqual(yield* wire(tool), {
        name: "get_weather",
        display_name: "get_weather",
        description: "Weather by city",
        type: "client",
        client: {
          input_schema: {
            type: "object",
            required: ["city", "places"],
            properties: {
              city: { type: "string", description: "City" },
              unit: { type: "string", enum: ["c", "f"], default: "c" },
              places: {
                type: "array",
                items: {
                  type: "object",
                  required: ["lat"],
                  properties: { lat: { type: "number" }, note: { type: "string" } }
                }
              }
            }
          }
        }
      })
    })
  )

  it.effect("says whether it needs approval, what people call it, and what comes out", () =>
    Effect.gen(function* () {
      const tool = Tool.make("now", {
        description: "The time",
        displayName: "Clock",
        requireApproval: true,
        output: { at: Schema.Date },
        handler: () => Effect.succeed({ at: new Date(0) })
      })
      const { client, ...rest } = (yield* Tools.definition(tool)) as { client: { [key: string]: unknown } }
      assert.deepInclude(rest, { display_name: "Clock", require_approval: true })
      assert.deepStrictEqual(client.input_schema, empty)
      assert.deepNestedInclude(client, {
        "output_schema.required": ["at"],
        "output_schema.properties.at.type": "string"
      })
    })
  )

  it.effect("of every other kind has the form that the service reads", () =>
    Effect.gen(function* () {
      const description = "d"
      const common = (name: string, type: string) => ({ name, display_name: name, description, type })
      assert.deepStrictEqual(
        yield* wire(Tool.app("draw", "acme/draw", { description, requireApproval: true, sessionEnabled: true })),
        { ...common("draw", "app"), require_approval: true, app: { ref: "acme/draw", session_enabled: true } }
      )
      assert.deepStrictEqual(yield* wire(Tool.agent("research", "acme/researcher@7k2m9qd4", { description })), {
        ...common("research", "agent"),
        agent: { ref: "acme/researcher@7k2m9qd4" }
      })
      assert.deepStrictEqual(
        yield* wire(Tool.webhook("notify", { description, url: "https://ops.example/hook", secret: "OPS" })),
        {
          ...common("notify", "hook"),
          hook: { url: "https://ops.example/hook", secret: "OPS", input_schema: empty }
        }
      )
      assert.deepStrictEqual(yield* wire(Tool.mcp("issues", { description, integrationId: "i1", tool: "list" })), {
        ...common("issues", "mcp"),
        mcp: { integration_id: "i1", tool_name: "list" }
      })
      assert.deepStrictEqual(
        yield* wire(Tool.internal("plan", { description, category: "plan", operation: "create" })),
        { ...common("plan", "internal"), internal: { category: "plan", operation: "create" } }
      )
    })
  )

  it.effect("of an HTTP request takes each way to authorise it", () =>
    Effect.gen(function* () {
      const http = (options: Partial<Tool.HttpOptions>) =>
        Effect.map(
          wire(Tool.http("crm", { description: "", url: "https://crm.example/{{context.customer}}", ...options })),
          (json) => (json as { http: { [key: string]: unknown } }).http
        )
      const plain = yield* http({})
      assert.deepStrictEqual(plain, { url: "https://crm.example/{{context.customer}}", input_schema: empty })
      assert.notProperty(yield* http({ method: "POST" }), "method")
      assert.deepInclude(yield* http({ method: "GET", headers: { "X-Env": "prod" } }), {
        method: "GET",
        headers: { "X-Env": "prod" }
      })
      const auths: ReadonlyArray<readonly [Tool.HttpAuth, unknown]> = [
        [{ bearer: "CRM_KEY" }, { type: "bearer", secret: "CRM_KEY" }],
        [{ apiKey: "CRM_KEY" }, { type: "api_key", secret: "CRM_KEY", header: "X-API-Key" }],
        [
          { apiKey: "CRM_KEY", header: "X-Crm" },
          { type: "api_key", secret: "CRM_KEY", header: "X-Crm" }
        ],
        [{ integration: "google" }, { type: "integration", provider: "google" }],
        [
          { integration: "google", integrationId: "i1" },
          { type: "integration", provider: "google", integration_id: "i1" }
        ]
      ]
      for (const [auth, expected] of auths) assert.deepStrictEqual((yield* http({ auth })).auth, expected)
    })
  )

  it.effect("of a typed app encodes what is preset, field by field", () =>
    Effect.gen(function* () {
      const tool = Tool.app("draw", Draw, {
        description: "",
        input: { at: new Date(0), size: 64 },
        setup: { model: "fast" }
      })
      const { app } = (yield* wire(tool)) as { app: unknown }
      assert.deepStrictEqual(app, {
        ref: "acme/draw@7k2m9qd4",
        setup: { model: "fast", warm: true },
        input: { at: "1970-01-01T00:00:00.000Z", size: 64 }
      })
      const named = yield* wire(Tool.app("add", Several, { description: "", function: "add", input: { a: 1 } }))
      assert.deepStrictEqual((named as { app: unknown }).app, {
        ref: "acme/several",
        function: "add",
        input: { a: 1 }
      })
    })
  )

  it.effect("says in an InvalidRequest what of it cannot be sent", () =>
    Effect.gen(function* () {
      const handler = () => Effect.void
      const noSchema = Tool.make("t", { description: "", params: { when: Schema.DateFromSelf }, handler })
      assert.deepNestedInclude(yield* issueOf(noSchema), { path: ["tools", "t", "params"] })
      const noObject = Tool.make("t", { description: "", params: Schema.String, handler })
      assert.include((yield* issueOf(noObject))?.message, "object")
      assert.deepStrictEqual((yield* issueOf(Tool.make(" ", { description: "", handler })))?.path, ["tools", " "])
      const wrong = Tool.app("draw", Draw, { description: "", input: { size: 1.5 } })
      assert.deepStrictEqual((yield* issueOf(wrong))?.path, ["tools", "draw", "input", "size"])
      assert.include((yield* issueOf(Tool.app("x", "", { description: "" })))?.message, "empty")
      const other: { readonly input: object } = { input: { height: 1 } }
      const unknown = Tool.app("draw", Draw, { description: "", ...other })
      assert.include((yield* issueOf(unknown))?.message, "height")
    })
  )
})

const call = { id: "i1", name: "t", chatId: "c1", messageId: "m1", runId: "r1" }

const handle = <E, R>(tool: Tool.Tool<string, E, R>, args: unknown) =>
  tool.spec.type === "client" ? Tools.handle(tool.spec, args, call) : Effect.dieMessage("no client tool")

class Broken extends Data.TaggedError("Broken")<{ readonly message: string }> {}

class Prefix extends Context.Tag("test/Prefix")<Prefix, string>() {}

describe("a handler", () => {
  it.effect("gets decoded arguments, the call and its services", () =>
    Effect.gen(function* () {
      const tool = Tool.make("t", {
        description: "",
        params: { at: Schema.Date, n: Schema.Int.pipe(Schema.optionalWith({ default: () => 7 })) },
        handler: ({ at, n }, { id, chatId }) =>
          Effect.map(Prefix, (prefix) => [prefix, at.getTime(), n, id, chatId].join(" "))
      })
      const result = yield* Effect.provideService(handle(tool, { at: "1970-01-01T00:00:01Z" }), Prefix, "p")
      assert.strictEqual(result, "p 1000 7 i1 c1")
    })
  )

  it.effect("does not run on arguments that do not fit, and the model reads which", () =>
    Effect.gen(function* () {
      const ran: Array<unknown> = []
      const tool = Tool.make("t", {
        description: "",
        params: { a: Schema.Number, b: Schema.Number },
        handler: (args) => Effect.sync(() => ran.push(args))
      })
      for (const args of [{ a: "x", b: 1 }, {}, [], "not json", null]) {
        const failure = yield* Effect.flip(handle(tool, args))
        assert.strictEqual(failure._tag, "InvalidArguments")
        assert.include(JSON.parse(Tools.tell(failure)).error, "the arguments do not fit")
      }
      const failure = yield* Effect.flip(handle(tool, { a: "x" }))
      assert.include(Tools.tell(failure), "a: ")
      assert.include(Tools.tell(failure), "b: ")
      assert.deepStrictEqual(ran, [])
    })
  )

  it.effect("that fails, dies, throws or interrupts itself tells the model why", () =>
    Effect.gen(function* () {
      const ways: ReadonlyArray<readonly [Effect.Effect<never, unknown>, string]> = [
        [Effect.fail(new Broken({ message: "no luck" })), "no luck"],
        [Effect.fail("plain"), "plain"],
        [Effect.die(new Error("a defect")), "a defect"],
        [
          Effect.suspend(() => {
            throw new Error("thrown")
          }),
          "thrown"
        ],
        [Effect.interrupt, "it was interrupted"]
      ]
      for (const [way, expected] of ways) {
        const tool = Tool.make("t", { description: "", handler: () => way })
        const failure = yield* Effect.flip(handle(tool, {}))
        assert.strictEqual(failure._tag, "HandlerFailed")
        assert.deepStrictEqual(JSON.parse(Tools.tell(failure)), { error: expected })
      }
      const throwing = Tool.make("t", {
        description: "",
        handler: (): Effect.Effect<void> => {
          throw new Error("before any effect")
        }
      })
      assert.deepStrictEqual(JSON.parse(Tools.tell(yield* Effect.flip(handle(throwing, {})))), {
        error: "before any effect"
      })
    })
  )

  it.effect("has a scope that closes when the call is answered", () =>
    Effect.gen(function* () {
      const events: Array<string> = []
      const tool = Tool.make("t", {
        description: "",
        handler: () =>
          Effect.zipRight(
            Effect.acquireRelease(
              Effect.sync(() => events.push("open")),
              (_, exit) => Effect.sync(() => events.push(Exit.isSuccess(exit) ? "closed" : "broken"))
            ),
            Effect.sync(() => events.push("used"))
          )
      })
      yield* handle(tool, {})
      assert.deepStrictEqual(events, ["open", "used", "closed"])
    })
  )

  it.effect("gives its result in the form of its output", () =>
    Effect.gen(function* () {
      const tool = Tool.make("t", {
        description: "",
        output: { at: Schema.Date, n: Schema.NumberFromString },
        handler: () => Effect.succeed({ at: new Date(0), n: 3 })
      })
      assert.deepStrictEqual(yield* handle(tool, {}), { at: "1970-01-01T00:00:00.000Z", n: "3" })
      const wrong = Tool.make("t", {
        description: "",
        output: { even: Schema.Int.pipe(Schema.multipleOf(2)) },
        handler: () => Effect.succeed({ even: 3 })
      })
      const failure = yield* Effect.flip(handle(wrong, {}))
      assert.strictEqual(failure._tag, "InvalidResult")
      assert.include(Tools.tell(failure), "even")
    })
  )
})

describe("an agent on the wire", () => {
  const encode = (config: Any) => Effect.map(Config.encode(config), (json): unknown => JSON.parse(JSON.stringify(json)))

  it.effect("says all that there is to say of it", () =>
    Effect.gen(function* () {
      const config = yield* encode({
        coreApp: { app: Draw, setup: { model: "good" }, input: { temperature: 0 } },
        name: "helper",
        description: "helps",
        systemPrompt: "Be brief.",
        examplePrompts: ["hi"],
        tools: [Tool.agent("research", "acme/researcher", { description: "" })],
        internalTools: { finish: true, hostContext: false },
        skills: [{ name: "s", description: "d", skillId: "s1", preload: true }],
        hooks: [
          { event: "agent.tool_call", type: "gate", defaultResolution: "deny", timeout: Duration.minutes(1) },
          { event: "agent.complete", type: "webhook", handler: "https://ops.example", async: true }
        ],
        contextFields: [{ name: "customer", required: true }],
        outputSchema: { sum: Schema.Number }
      })
      assert.deepStrictEqual(config, {
        name: "helper",
        description: "helps",
        system_prompt: "Be brief.",
        example_prompts: ["hi"],
        core_app: { ref: "acme/draw@7k2m9qd4", setup: { model: "good", warm: true }, input: { temperature: 0 } },
        tools: [
          {
            name: "research",
            display_name: "research",
            description: "",
            type: "agent",
            agent: { ref: "acme/researcher" }
          }
        ],
        internal_tools: { finish: true, host_context: false },
        skills: [{ name: "s", description: "d", skill_id: "s1", preload: true }],
        hooks: [
          { event: "agent.tool_call", type: "gate", default_resolution: "deny", timeout: 60 },
          { event: "agent.complete", type: "webhook", handler: "https://ops.example", async: true }
        ],
        context: [{ name: "customer", required: true }],
        output_schema: { type: "object", required: ["sum"], properties: { sum: { type: "number" } } }
      })
      assert.deepStrictEqual(yield* encode({ coreApp: "acme/llm" }), { core_app: { ref: "acme/llm" }, tools: [] })
    })
  )

  it.effect("is refused where two of its tools have one name, or its model has none", () =>
    Effect.gen(function* () {
      const tool = Tool.agent("twice", "acme/a", { description: "" })
      const twice = yield* Effect.flip(Config.encode({ coreApp: "acme/llm", tools: [tool, tool] }))
      assert.include(twice.message, "twice")
      const unnamed = yield* Effect.flip(Config.encode({ coreApp: "" }))
      assert.deepStrictEqual(unnamed.issues[0]?.path, ["coreApp"])
    })
  )

  it.effect("is refused where a tool of its own would stand for the one that gives its output", () =>
    Effect.gen(function* () {
      const tools = [Tool.make("finish", { description: "", handler: () => Effect.void })]
      for (const more of [{ internalTools: { finish: true } }, { outputSchema: { sum: Schema.Number } }]) {
        const error = yield* Effect.flip(Config.encode({ coreApp: "acme/llm", tools, ...more }))
        assert.deepStrictEqual(error.issues[0]?.path, ["tools", "finish"])
      }
      yield* Config.encode({ coreApp: "acme/llm", tools })
    })
  )

  it.effect("is refused where its output is no object", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(Config.encode({ coreApp: "acme/llm", outputSchema: Schema.Array(Schema.Int) }))
      assert.deepStrictEqual(error.issues[0]?.path, ["outputSchema"])
    })
  )

  it.effect("has hooks whose timeouts are whole seconds, and never none", () =>
    Effect.gen(function* () {
      const hook = { event: "agent.start", type: "gate", timeout: "30 millis" } as const
      const config = yield* Config.encode({ coreApp: "acme/llm", hooks: [hook] })
      assert.deepNestedPropertyVal(config, "hooks[0].timeout", 1)
    })
  )
})
