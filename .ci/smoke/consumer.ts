// Type-checked against the packed package, under module nodenext and under moduleResolution bundler.

import * as Schema from "effect/Schema"
import { App, File } from "effect-inferencesh"
import * as AppModule from "effect-inferencesh/App"

const upscale = App.make("acme/upscale@v1", {
  input: { image: File.File, factor: Schema.optionalWith(Schema.Int, { default: () => 2 }) },
  output: { image: File.File }
})

export const input: App.Input<typeof upscale> = { image: File.fromUri("https://example.com/cat.png") }
export const sameModule: typeof App.make = AppModule.make

// @ts-expect-error the types are not any
export const wrong: App.Input<typeof upscale> = { image: 1 }
