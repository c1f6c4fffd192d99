/** What the quickstart is asked to do, read from the command line. */
import { type ParseArgsConfig, parseArgs } from "node:util"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

export const usage = `Usage: npm start -- [options] [picture]

Processes a picture with a demo app on a server inside of this program. No account, no network.
  picture              any JPEG, PNG, WebP, AVIF, GIF, TIFF or SVG (default: a landscape that comes with the examples)
  --width <pixels>     the width of the result, 16 to 4096 (default: 640)
  --slow               pauses between the steps: time to watch, and to press Ctrl-C

Runs any app on the live service, with your key in INFERENCE_API_KEY.
  --app <ns/name>      the app
  --input <json>       its input, a JSON object (default: {})
  --file <field=path>  a file to upload and to put into that field of the input; may be repeated

Both:
  --out <directory>    where results are saved (default: output)
  --help               prints this`

export class UsageError extends Data.TaggedError("UsageError")<{ readonly message: string }> {}

export type Command = Data.TaggedEnum<{
  Help: { readonly text: string }
  Demo: { readonly picture: string | undefined; readonly width: number; readonly slow: boolean; readonly out: string }
  Live: {
    readonly app: string
    readonly input: { readonly [field: string]: unknown }
    readonly files: ReadonlyArray<{ readonly field: string; readonly path: string }>
    readonly out: string
  }
}>

export type Demo = Data.TaggedEnum.Value<Command, "Demo">
export type Live = Data.TaggedEnum.Value<Command, "Live">

export const Command = Data.taggedEnum<Command>()

const options = {
  width: { type: "string" },
  slow: { type: "boolean" },
  app: { type: "string" },
  input: { type: "string" },
  file: { type: "string", multiple: true },
  out: { type: "string" },
  help: { type: "boolean", short: "h" }
} as const satisfies ParseArgsConfig["options"]

const Width = Schema.NumberFromString.pipe(Schema.int(), Schema.between(16, 4096))
const Input = Schema.parseJson(Schema.Record({ key: Schema.String, value: Schema.Unknown }))
const FieldAndPath = Schema.String.pipe(Schema.pattern(/^[^=]+=./))

/** Node follows it up with advice that does not apply here. */
const firstSentence = (error: unknown): string =>
  (error instanceof Error ? error.message : "").replace(/\.\s.*/s, "").concat(".")

/** Decodes the value of an option, or says what it should have been. */
const decode = <A, I>(schema: Schema.Schema<A, I>, value: I, message: string): Effect.Effect<A, UsageError> =>
  Effect.mapError(Schema.decode(schema)(value), () => new UsageError({ message }))

/**
 * Reads the arguments.
 *
 * Fails with `UsageError`.
 */
export const parse = (args: ReadonlyArray<string>): Effect.Effect<Command, UsageError> =>
  Effect.gen(function* () {
    const { values, positionals } = yield* Effect.try({
      try: () => parseArgs({ args: [...args], options, allowPositionals: true }),
      catch: (error) => new UsageError({ message: `${firstSentence(error)}\n\n${usage}` })
    })
    const { app, out = "output" } = values
    if (values.help) return Command.Help({ text: usage })

    const misplaced = (app === undefined ? (["input", "file"] as const) : (["width", "slow"] as const)).find(
      (name) => values[name] !== undefined
    )
    if (misplaced !== undefined) {
      return yield* new UsageError({
        message: `--${misplaced} ${app === undefined ? "needs" : "cannot go with"} --app.`
      })
    }

    if (app === undefined) {
      const [picture, ...others] = positionals
      if (others.length > 0) return yield* new UsageError({ message: "There can be only one picture." })
      const width = yield* decode(Width, values.width ?? "640", "--width takes a whole number from 16 to 4096.")
      return Command.Demo({ picture, width, slow: values.slow ?? false, out })
    }

    if (positionals.length > 0) {
      return yield* new UsageError({ message: `With --app, name the field for a file: --file image=${positionals[0]}` })
    }
    const input = yield* decode(Input, values.input ?? "{}", `--input takes a JSON object, like '{"prompt": "a cat"}'.`)
    const files = yield* Effect.forEach(values.file ?? [], (file) =>
      decode(FieldAndPath, file, "--file takes a field and a path, like image=photo.jpg.").pipe(
        Effect.map((text) => ({ field: text.slice(0, text.indexOf("=")), path: text.slice(text.indexOf("=") + 1) }))
      )
    )
    return Command.Live({ app, input, files, out })
  })
