/** What the snippets of the README talk with: apps, models and agents of the names in it. */
import type * as HttpApp from "@effect/platform/HttpApp"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { type AgentConfig, App, BaseApp, File, Llm, Tool } from "effect-inferencesh"

/** An app that gives back what it makes of any input. */
const anyApp = (name: string, output: unknown) =>
  BaseApp.make(App.make(name, { input: Schema.Unknown, output: Schema.Unknown }), {
    run: () => Effect.succeed(output)
  })

const Upscale = App.make("acme/upscaler@7k2m9qd4", {
  input: { image: File.File, scale: Schema.optional(Schema.Int) },
  output: { image: File.File }
})

const Browser = App.make("acme/browser", {
  functions: {
    open: { input: { url: Schema.String }, output: { title: Schema.String } },
    click: { input: { selector: Schema.String }, output: { title: Schema.String } }
  }
})

/** A model that calls each tool it is offered, with the arguments that the README's tools take, and then has an answer. */
const model = Llm.scripted("openrouter/claude-sonnet-5", ({ role, text, tools = [] }) => {
  const args: { readonly [tool: string]: { readonly [name: string]: unknown } } = {
    get_weather: { city: "Oslo" },
    remove_file: { path: "draft.txt" },
    finish: { total: 42, due: "2027-05-31T00:00:00.000Z" }
  }
  return role === "tool" || tools.length === 0
    ? { response: `About "${text}": yes.` }
    : { toolCalls: tools.map(({ name }) => ({ name, arguments: args[name] ?? {} })) }
})

export const apps = [
  BaseApp.make(Upscale, {
    run: () =>
      Effect.succeed({ image: File.fromBytes(new TextEncoder().encode("a larger cat"), { filename: "cat.png" }) })
  }),
  BaseApp.make(App.make("acme/echo", { input: Schema.Unknown, output: Schema.Unknown }), { run: Effect.succeed }),
  BaseApp.make(Browser, {
    run: {
      open: ({ url }) => Effect.succeed({ title: url }),
      click: ({ selector }) => Effect.succeed({ title: selector })
    }
  }),
  anyApp("acme/story", { text: "A cat went to sea." }),
  anyApp("acme/flux", { image: "https://example.com/cat.png" }),
  anyApp("acme/painter", { image: "https://example.com/cat.png" }),
  anyApp("acme/sketcher", { image: "https://example.com/cat.png" }),
  anyApp("acme/caption", { text: "A cat." }),
  anyApp("other/flux", { image: "https://example.com/cat.png" }),
  Llm.scripted("acme/model", () => ({ response: "Hello yourself." })),
  model
]

const removeFile = Tool.make("remove_file", {
  description: "Deletes a file",
  params: { path: Schema.String },
  requireApproval: true,
  handler: () => Effect.void // handlers run where the callers are
})

export const agents: { readonly [ref: string]: AgentConfig.Any } = {
  "acme/janitor": { coreApp: model.app.name, tools: [removeFile] }
}

/** Answers what goes to OpenAI's API. */
export const withOpenAi = (app: HttpApp.Default): HttpApp.Default =>
  Effect.flatMap(HttpServerRequest.HttpServerRequest, ({ url }) =>
    url === "/openai/chat/completions"
      ? HttpServerResponse.json({ choices: [{ message: { content: "Hello yourself." }, finish_reason: "stop" }] })
      : app
  ).pipe(Effect.orDie)
