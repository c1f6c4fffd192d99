// Served by readme.mjs: the app that the README's first example calls.
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { App, BaseApp, File } from "effect-inferencesh"

const Upscale = App.make("acme/upscaler@7k2m9qd4", {
  input: { image: File.File, scale: Schema.Int },
  output: { image: File.File }
})

export const upscaler = BaseApp.make(Upscale, {
  run: ({ image, scale }) =>
    Effect.map(File.bytes(image), (bytes) => ({
      image: File.fromBytes(Buffer.concat(Array(scale).fill(bytes)), { filename: "large-cat.png" })
    }))
})
