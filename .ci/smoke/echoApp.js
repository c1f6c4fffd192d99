// Served by serve.mjs.
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { App, BaseApp } from "effect-inferencesh"

const Echo = App.make("smoke/echo", { input: { text: Schema.String }, output: { text: Schema.String } })

export const echo = BaseApp.make(Echo, { run: Effect.succeed })
