// Type-checked against the packed package, as each way to resolve modules finds it.

import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { ApiClient, App, Chat, File, InferenceError, Llm, type Task, Tasks } from "effect-inferencesh"
import * as AppModule from "effect-inferencesh/App"

const upscale = App.make("acme/upscale@v1", {
  input: { image: File.File, factor: Schema.optionalWith(Schema.Int, { default: () => 2 }) },
  output: { image: File.File }
})

export const input: App.Input<typeof upscale> = { image: File.fromUri("https://example.com/cat.png") }
export const sameModule: typeof App.make = AppModule.make

// @ts-expect-error the types are not any
export const wrong: App.Input<typeof upscale> = { image: 1 }

// Types that are inferred can be written into the declarations of a project that uses the package.
export const pages = Tasks.list
export const settings = Effect.map(ApiClient.ApiClient, (client) => client.settings)
export const infra = (task: Task.Task) => task.infra
export const role = (message: Chat.Message) => message.role
export const schemas = [Llm.Input, Chat.Message, InferenceError.RequirementsNotMet] as const
