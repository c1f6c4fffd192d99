/** A tool that asks before it acts, a policy that answers, and a model that hears of it. */
import * as Effect from "effect/Effect"
import * as Ref from "effect/Ref"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { Agents, Chat, Llm, Tool } from "effect-inferencesh"
import { NodeInference } from "effect-inferencesh/node"
import * as Main from "./support/main.js"
import { print } from "./support/terminal.js"

/** Asks to delete two files, and says what came of it. */
const model = Llm.scripted("demo/janitor", ({ role, context, text }) =>
  role === "tool"
    ? {
        response: `Done. ${[...context.filter(({ role }) => role === "tool").map(({ text }) => text), text].join("; ")}`
      }
    : { toolCalls: ["draft.txt", "thesis.txt"].map((path) => ({ name: "remove_file", arguments: { path } })) }
)

const Target = Schema.Struct({ path: Schema.String })

const program = Effect.gen(function* () {
  const files = yield* Ref.make(["draft.txt", "notes.txt", "thesis.txt"])
  const remove = Tool.make("remove_file", {
    description: "Deletes a file",
    params: Target,
    requireApproval: true,
    handler: ({ path }) =>
      Effect.as(
        Ref.update(files, (all) => all.filter((each) => each !== path)),
        `${path} is gone`
      )
  })
  const agent = yield* Agents.create({ coreApp: model.app.name, tools: [remove] })

  /** Nothing runs before this has answered. A user could be asked instead. */
  const decide = (id: string, { path }: typeof Target.Type) =>
    path.startsWith("draft")
      ? Effect.zipRight(print(`approved  ${path}`), agent.approve(id))
      : Effect.zipRight(print(`denied    ${path}`), agent.deny(id, `${path} is to be kept`))

  const { text } = yield* agent.chat("Clean up, please.").pipe(
    Stream.tap((event) =>
      event._tag === "ApprovalRequired"
        ? Effect.flatMap(Schema.decodeUnknown(Target)(event.arguments), (target) => decide(event.id, target))
        : Effect.void
    ),
    Chat.reply
  )
  yield* print(`model     ${text}`)
  yield* print(`left      ${(yield* Ref.get(files)).join(" ")}`)
})

Main.run(Effect.provide(program, NodeInference.layerLocal({ apps: [model] })))
