/** Uploads a picture, runs an app on it and saves the result, with no account. With one, runs any app. */
import { basename } from "node:path"
import { fileURLToPath } from "node:url"
import * as Clock from "effect/Clock"
import * as Config from "effect/Config"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Stream from "effect/Stream"
import { File, Files, type Task, Tasks } from "effect-inferencesh"
import { NodeInference } from "effect-inferencesh/node"
import * as Args from "./quickstart/args.js"
import { filesIn } from "./quickstart/filesIn.js"
import { Palette, palette } from "./quickstart/palette.js"
import * as Progress from "./quickstart/progress.js"
import * as Timeline from "./quickstart/timeline.js"
import * as Main from "./support/main.js"
import * as Terminal from "./support/terminal.js"

const { bold, bytes, dim, green, print } = Terminal

/** Uploads a file, with a progress bar. */
const upload = (path: string) =>
  Files.uploadStream(File.fromPath(path)).pipe(
    Progress.show(basename(path)),
    Files.uploaded,
    Terminal.onInterrupt("Interrupted: no task was started.")
  )

/** Follows a task to its end, with its statuses and its log. The stream owns the task: interrupting it cancels the task. */
const follow = <Out>(tasks: Stream.Stream<Task.Task<Out>, Tasks.RunError, Tasks.Tasks>) =>
  tasks.pipe(Timeline.show, Tasks.completed, Terminal.onInterrupt("Interrupted: the task was cancelled."))

/** The demo: our own app, on a server inside of this program. */
const demo = Effect.fn(
  function* ({ picture, width, slow, out }: Args.Demo) {
    const startedAt = yield* Clock.currentTimeMillis
    const original = yield* upload(picture ?? fileURLToPath(new URL("assets/landscape.jpg", import.meta.url)))

    // Typed by the contract: the input is checked before anything is sent, the output is decoded.
    const pause = Duration.seconds(slow ? 1.5 : 0)
    const { output } = yield* follow(Tasks.runStream(Palette, { input: { image: original, width, pause } }))

    const saved = yield* Files.downloadTo(output.image, out)
    const took = (yield* Clock.currentTimeMillis) - startedAt

    const [before, after] = [original.size ?? 0, saved.size]
    const change = `${after > before ? "+" : "−"}${Math.round((Math.abs(after - before) / before) * 100)}%`
    yield* print(`\n${green("✓")} ${bold(saved.path)}\n`)
    yield* print(`  ${dim("picture")}  ${output.width}×${output.height}, in greys`)
    yield* print(`  ${dim("size")}     ${bytes(before)} → ${bytes(after)} (${change})`)
    yield* print(`  ${dim("colours")}  ${output.colors.map((hex) => `${Terminal.swatch(hex)}${hex}`).join("  ")}`)
    yield* print(`  ${dim("took")}     ${Terminal.seconds(took)}`)
  },
  Effect.provide(NodeInference.layerLocal({ apps: [palette] }))
)

/** Any app, on the live service: by its name alone, so that its input and output are just JSON. */
const live = Effect.fn(
  function* ({ app, input, files, out }: Args.Live) {
    const uploaded = yield* Effect.forEach(files, ({ field, path }) =>
      Effect.map(upload(path), (file) => [field, file] as const)
    )
    const { output } = yield* follow(Tasks.runStream(app, { input: { ...input, ...Object.fromEntries(uploaded) } }))

    yield* print(`\n${JSON.stringify(output, null, 2)}`)
    for (const file of filesIn(output)) {
      const saved = yield* Files.downloadTo(file, out)
      yield* print(`${green("✓")} ${bold(saved.path)} ${dim(bytes(saved.size))}`)
    }
  },
  Effect.provide(NodeInference.layerConfig()),
  Effect.catchTag("ConfigError", () => new NoApiKey())
)

class NoApiKey extends Data.TaggedError("NoApiKey") {
  override readonly message =
    "--app needs an API key in INFERENCE_API_KEY: create one at https://app.inference.sh/settings/keys."
}

const program = Effect.gen(function* () {
  const command = yield* Args.parse(process.argv.slice(2))
  switch (command._tag) {
    case "Help":
      return yield* print(command.text)
    case "Live":
      yield* print(`${bold(command.app)} on the live service\n`)
      return yield* live(command)
    case "Demo": {
      const key = yield* Config.string("INFERENCE_API_KEY").pipe(Config.withDefault(""))
      yield* print(`${bold(Palette.name)} on a server inside of this program: no account, no network`)
      if (key !== "")
        yield* print(dim("INFERENCE_API_KEY is set: to run an app on the live service, name it with --app, see --help"))
      yield* print()
      return yield* demo(command)
    }
  }
})

Main.run(program)
