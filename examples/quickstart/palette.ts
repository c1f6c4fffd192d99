/** The quickstart's app: a contract that callers and hosts share, and the code behind it. */

import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as App from "effect-inferencesh/App"
import * as BaseApp from "effect-inferencesh/BaseApp"
import * as File from "effect-inferencesh/File"
import sharp, { type Sharp } from "sharp"

export const Palette = App.make("demo/palette", {
  description: "Makes a small grey version of a picture, and finds its dominant colours.",
  input: {
    image: File.File,
    width: Schema.optionalWith(Schema.Int.pipe(Schema.between(16, 4096)), { default: () => 640 }),
    /** How long to wait between steps, so that there is something to watch. */
    pause: Schema.optionalWith(Schema.DurationFromMillis, { default: () => Duration.zero })
  },
  output: { image: File.File, width: Schema.Int, height: Schema.Int, colors: Schema.Array(Schema.String) }
})

class NotAPicture extends Data.TaggedError("NotAPicture")<{ readonly message: string }> {}

export const palette = BaseApp.make(Palette, {
  run: ({ image, width, pause }) =>
    Effect.gen(function* () {
      const { log } = yield* BaseApp.Context
      const name = image.filename ?? "picture"
      const process = <A>(step: (input: Sharp) => Promise<A>) =>
        Effect.tryPromise({
          try: () => step(sharp(original).autoOrient().flatten({ background: "white" })),
          catch: (error) => new NotAPicture({ message: `${name} is not a picture that can be read (${reason(error)})` })
        })

      const original = yield* File.bytes(image)
      const { format, autoOrient } = yield* process((input) => input.metadata())
      yield* log(`${name} is a ${format?.toUpperCase()} of ${autoOrient.width}×${autoOrient.height} pixels`)
      yield* Effect.sleep(pause)

      const sample = yield* process((input) =>
        input.resize(128, 128, { fit: "inside" }).toColourspace("srgb").raw().toBuffer()
      )
      const colors = dominant(sample, 5)
      yield* log(`its main colours are ${colors.join(" ")}`)
      yield* Effect.sleep(pause)

      const small = yield* process((input) =>
        input.resize({ width, withoutEnlargement: true }).grayscale().jpeg().toBuffer({ resolveWithObject: true })
      )
      yield* log(`resized it to ${small.info.width}×${small.info.height} pixels, in greys`)
      yield* Effect.sleep(pause)

      const filename = `${name.replace(/\.\w+$/, "")}-grey.jpg`
      return {
        image: File.fromBytes(small.data, { filename }),
        width: small.info.width,
        height: small.info.height,
        colors
      }
    })
})

const reason = (error: unknown): string =>
  (error instanceof Error ? error.message.split("\n")[0] : undefined) ?? String(error)

/** The most frequent colours among RGB pixels that are not too much like a more frequent one. */
const dominant = (pixels: Uint8Array, count: number): ReadonlyArray<string> => {
  const groups = new Map<number, { size: number; sum: [number, number, number] }>()
  for (let i = 0; i + 2 < pixels.length; i += 3) {
    const [r = 0, g = 0, b = 0] = pixels.subarray(i, i + 3)
    const key = ((r >> 5) << 10) | ((g >> 5) << 5) | (b >> 5)
    const { size, sum } = groups.get(key) ?? { size: 0, sum: [0, 0, 0] }
    groups.set(key, { size: size + 1, sum: [sum[0] + r, sum[1] + g, sum[2] + b] })
  }
  const means = Array.from(groups.values())
    .sort((a, b) => b.size - a.size)
    .map(({ size, sum }) => sum.map((channel) => Math.round(channel / size)))
  const found: Array<ReadonlyArray<number>> = []
  for (const mean of means) {
    const isNew = found.every((other) => Math.hypot(...mean.map((channel, i) => channel - (other[i] ?? 0))) > 64)
    if (isNew && found.length < count) found.push(mean)
  }
  return found.map((mean) => `#${mean.map((channel) => channel.toString(16).padStart(2, "0")).join("")}`)
}
