import type * as FileSystem from "@effect/platform/FileSystem"
import type * as HttpClient from "@effect/platform/HttpClient"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import * as BaseApp from "effect-inferencesh/BaseApp"
import * as File from "effect-inferencesh/File"
import * as Llm from "effect-inferencesh/Llm"
import * as NodeInference from "effect-inferencesh/NodeInference"
import * as Task from "effect-inferencesh/Task"
import * as Tasks from "effect-inferencesh/Tasks"
import { describe, expectTypeOf, it } from "vitest"

class Facts extends Context.Tag("test/Facts")<Facts, { readonly about: (text: string) => Effect.Effect<string> }>() {}

const Model = Llm.make("acme/llm@v1")

describe("Llm.make", () => {
  it("is run with a text alone, or with any of its settings, and gives a typed output", () => {
    expectTypeOf(Tasks.run(Model, { input: { text: "hi" } })).toEqualTypeOf<
      Effect.Effect<Task.Completed<Llm.Output>, Tasks.RunError, Tasks.Tasks>
    >()
    Tasks.run(Model, {
      input: {
        text: "what is on it?",
        images: [File.fromPath("./cat.png")],
        context: [{ role: "assistant", text: "", toolCalls: [{ id: "c1", name: "add", arguments: { a: 1 } }] }],
        tools: [{ name: "add", parameters: { type: "object" } }],
        toolChoice: { mode: "auto" },
        temperature: 0
      }
    })
    // @ts-expect-error a number is no text
    Tasks.run(Model, { input: { text: 1 } })
    // @ts-expect-error a message says something
    Tasks.run(Model, { input: { context: [{ role: "user" }] } })
  })

  it("has code of one's own put behind it, on decoded input", () => {
    const own = BaseApp.make(Model, {
      run: (input) => {
        expectTypeOf(input.text).toEqualTypeOf<string>()
        expectTypeOf(input.context).toEqualTypeOf<ReadonlyArray<Llm.ContextMessage>>()
        expectTypeOf(input.temperature).toEqualTypeOf<number | undefined>()
        return Stream.make({ response: input.text })
      }
    })
    expectTypeOf<BaseApp.Requirements<typeof own>>().toEqualTypeOf<never>()
  })

  it("names what goes in and out", () => {
    expectTypeOf<Llm.Output["response"]>().toEqualTypeOf<string>()
    expectTypeOf<NonNullable<Llm.Output["toolCalls"]>[number]>().toExtend<Llm.ToolCall>()
    expectTypeOf<Llm.ToolCall["arguments"]>().toEqualTypeOf<string | { readonly [name: string]: unknown }>()
    expectTypeOf<NonNullable<Llm.Output["usage"]>["promptTokens"]>().toEqualTypeOf<number>()
  })
})

describe("Llm.append", () => {
  it("is a step of a fold over deltas", () => {
    const texts = Tasks.events("t1").pipe(
      Stream.filter(Task.Event.$is("Delta")),
      Stream.scan(Llm.empty, (output, { delta }) => Llm.append(output, delta))
    )
    expectTypeOf<Stream.Stream.Success<typeof texts>>().toEqualTypeOf<Llm.Output>()
  })
})

describe("Llm.scripted", () => {
  it("needs nothing for a list of steps", () => {
    const model = Llm.scripted("acme/llm", [{ response: "hi" }, { toolCalls: [{ name: "add" }] }], { pace: 50 })
    expectTypeOf(model).toEqualTypeOf<BaseApp.BaseApp<Llm.Llm, never>>()
    expectTypeOf<BaseApp.Requirements<typeof model>>().toEqualTypeOf<never>()
    // @ts-expect-error no part of a step
    Llm.scripted("acme/llm", [{ text: "hi" }])
  })

  it("needs what its function needs, other than what the host provides", () => {
    const parrot = Llm.scripted("acme/parrot", ({ text }) => ({ response: text }))
    expectTypeOf<BaseApp.Requirements<typeof parrot>>().toEqualTypeOf<never>()
    const model = Llm.scripted("acme/llm", ({ text, context }) =>
      Effect.gen(function* () {
        expectTypeOf(context).toEqualTypeOf<ReadonlyArray<Llm.ContextMessage>>()
        const { taskId } = yield* BaseApp.Context
        const facts = yield* Facts
        return { response: taskId + (yield* facts.about(text)) }
      })
    )
    expectTypeOf<BaseApp.Requirements<typeof model>>().toEqualTypeOf<Facts>()
    const local = NodeInference.layerLocal({ apps: [parrot, model] })
    expectTypeOf<Layer.Layer.Context<typeof local>>().toEqualTypeOf<Facts>()
  })
})

describe("Llm.openAi", () => {
  it("needs an HTTP client and the disk, which its host has", () => {
    const model = Llm.openAi("acme/gpt", { model: "m1", apiKey: Redacted.make("sk"), body: { user: "u1" } })
    expectTypeOf<BaseApp.Requirements<typeof model>>().toEqualTypeOf<HttpClient.HttpClient | FileSystem.FileSystem>()
    expectTypeOf(model.app).toEqualTypeOf<Llm.Llm>()
    const local = NodeInference.layerLocal({ apps: [model] })
    expectTypeOf<Layer.Layer.Context<typeof local>>().toEqualTypeOf<never>()
    // @ts-expect-error a key in the open
    Llm.openAi("acme/gpt", { model: "m1", apiKey: "sk" })
    // @ts-expect-error no model
    Llm.openAi("acme/gpt", {})
  })
})
