/** What the command is asked to do, read from its arguments. */
import { type ParseArgsConfig, parseArgs } from "node:util"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"

/** The variable that the key is read from, where no option says it: those show in lists of processes. */
export const keyName = "INFERENCE_SERVER_KEY"

export const usage = `Usage: effect-inferencesh serve [options] <module>

Serves the apps that a JavaScript or TypeScript module exports: a BaseApp, a list of them, or the App of an inference.sh Node app.
An exported \`agents\` record is served too, and an exported \`layer\` provides what the apps need.

  <module>          the file
  --port <number>   default 8080; 0 takes one that is free
  --host <address>  default 127.0.0.1, which only this machine reaches
  --api-key <key>   the key that callers must send (default: what ${keyName} holds; without it any will do)
  --data <folder>   where tasks, files and chats are kept (default: nowhere, they go with the server)
  --output-dir <folder>
                    where a Node app may put its files, besides the usual places; may be repeated
  --help            prints this`

export class UsageError extends Data.TaggedError("UsageError")<{ readonly message: string }> {}

export interface Serve {
  readonly _tag: "Serve"
  readonly module: string
  readonly port: number
  readonly host: string
  readonly apiKey: Redacted.Redacted<string> | undefined
  readonly data: string | undefined
  readonly outputDirectories: ReadonlyArray<string>
}

export type Command = { readonly _tag: "Help" } | Serve

const options = {
  port: { type: "string" },
  host: { type: "string" },
  "api-key": { type: "string" },
  data: { type: "string" },
  "output-dir": { type: "string", multiple: true },
  help: { type: "boolean", short: "h" }
} as const satisfies ParseArgsConfig["options"]

/** Node follows it up with advice that does not apply here. */
const firstSentence = (error: unknown): string =>
  (error instanceof Error ? error.message : String(error)).replace(/\.\s.*/s, "").concat(".")

const misused = (message: string) => new UsageError({ message: `${message}\n\n${usage}` })

export const parse = (args: ReadonlyArray<string>): Effect.Effect<Command, UsageError> =>
  Effect.gen(function* () {
    const { values, positionals } = yield* Effect.try({
      try: () => parseArgs({ args: [...args], options, allowPositionals: true }),
      catch: (error) => misused(firstSentence(error))
    })
    const [command, module, ...more] = positionals
    if (values.help || (command === undefined && args.length === 0)) return { _tag: "Help" }
    if (command !== "serve") return yield* misused(`There is no command "${command ?? ""}".`)
    if (module === undefined || module === "") return yield* misused("Name the module whose apps are to be served.")
    if (more.length > 0) return yield* misused("One module can be served at a time: export several apps from it.")
    const port = values.port === undefined ? 8080 : /^\d+$/.test(values.port) ? Number(values.port) : Number.NaN
    if (!(port <= 65_535)) return yield* misused(`--port is a number from 0 to 65535, and not "${values.port}".`)
    // An empty key would be one that nobody can send.
    if (values["api-key"] === "") return yield* misused("--api-key is empty.")
    return {
      _tag: "Serve",
      module,
      port,
      host: values.host ?? "127.0.0.1",
      apiKey: values["api-key"] === undefined ? undefined : Redacted.make(values["api-key"]),
      data: values.data,
      outputDirectories: values["output-dir"] ?? []
    }
  })
