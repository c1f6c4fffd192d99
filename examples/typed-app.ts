/** A contract for an app: calls with defaults, a typed output, and what does not fit is named. */
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { App, BaseApp, Tasks } from "effect-inferencesh"
import { NodeInference } from "effect-inferencesh/node"
import * as Main from "./support/main.js"
import { print } from "./support/terminal.js"

// Callers give what the schemas decode to, and may leave out what has a default.
const Remind = App.make("acme/remind", {
  input: {
    text: Schema.NonEmptyString,
    at: Schema.DateTimeUtc,
    repeat: Schema.optionalWith(Schema.Literal("never", "daily", "weekly"), { default: () => "never" as const })
  },
  output: { next: Schema.Array(Schema.DateTimeUtc) }
})

const remind = BaseApp.make(Remind, {
  run: ({ at, repeat }) =>
    Effect.succeed({
      next:
        repeat === "never"
          ? [at]
          : [0, 1, 2].map((n) => DateTime.add(at, { [repeat === "daily" ? "days" : "weeks"]: n }))
    })
})

const at = DateTime.unsafeMake("2027-03-01T09:00:00Z")

const program = Effect.gen(function* () {
  const once = yield* Tasks.run(Remind, { input: { text: "Water the plants", at } })
  yield* print(`once:   ${once.output.next.map(DateTime.formatIso).join(" ")}`)

  const weekly = yield* Tasks.run(Remind, { input: { text: "Water the plants", at, repeat: "weekly" } })
  yield* print(`weekly: ${weekly.output.next.map(DateTime.formatIsoDateUtc).join(" ")}`)

  // Input that does not fit is refused before anything is sent.
  yield* Tasks.run(Remind, { input: { text: "", at } }).pipe(
    Effect.catchTag("InvalidRequest", ({ issues }) =>
      print(`wrong:  ${issues.map(({ path }) => path.join(".")).join(" ")}`)
    )
  )
})

Main.run(Effect.provide(program, NodeInference.layerLocal({ apps: [remind] })))
