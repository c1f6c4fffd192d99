/** The apps of the pipeline. Some of them have their days: that is what the pipeline is made for. */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Ref from "effect/Ref"
import * as Schema from "effect/Schema"
import { App, BaseApp, File } from "effect-inferencesh"

export const Image = File.image

export const Describe = App.make("acme/describe", {
  input: { subject: Schema.String },
  output: { prompt: Schema.String }
})
export const Painter = App.make("acme/painter", { input: { prompt: Schema.String }, output: { image: Image } })
export const Sketcher = App.make("acme/sketcher", { input: { prompt: Schema.String }, output: { image: Image } })
export const Rate = App.make("acme/rate", { input: { image: Image }, output: { stars: Schema.Int } })

class Refused extends Data.TaggedError("Refused")<{ readonly message: string }> {}

/** A file that says what is on it. */
const picture = (by: string, prompt: string) => ({
  image: File.fromBytes(
    new TextEncoder().encode(`<svg xmlns="http://www.w3.org/2000/svg"><text>${prompt}</text></svg>`),
    {
      filename: `${prompt.replaceAll(" ", "-")}-${by}.svg`
    }
  )
})

export const all = [
  // Too busy for each subject once, and always for secrets.
  BaseApp.make(Describe, {
    concurrency: 3,
    setup: () => Ref.make<ReadonlySet<string>>(new Set()),
    run: ({ subject }, seen) =>
      Effect.flatMap(
        Ref.getAndUpdate(seen, (before) => new Set([...before, subject])),
        (before) =>
          before.has(subject) && !subject.includes("secret")
            ? Effect.succeed({ prompt: subject })
            : new Refused({ message: `no words for ${subject}` })
      )
  }),
  // Takes its time over storms, and refuses to paint the moon.
  BaseApp.make(Painter, {
    concurrency: 3,
    run: ({ prompt }) =>
      prompt.includes("moon")
        ? new Refused({ message: "too dark to paint" })
        : Effect.delay(Effect.succeed(picture("oil", prompt)), prompt.includes("stormy") ? "1 minute" : "30 millis")
  }),
  BaseApp.make(Sketcher, { concurrency: 3, run: ({ prompt }) => Effect.succeed(picture("sketch", prompt)) }),
  BaseApp.make(Rate, {
    concurrency: 3,
    run: ({ image }) => Effect.succeed({ stars: image.filename?.includes("oil") ? 5 : 3 })
  })
]
