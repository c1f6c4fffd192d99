/** What an agent makes of a text, decoded by a Schema, and corrected by the model if it does not fit. */
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { Agents, Llm } from "effect-inferencesh"
import { NodeInference } from "effect-inferencesh/node"
import * as Main from "./support/main.js"
import { print } from "./support/terminal.js"

const Invoice = Schema.Struct({
  from: Schema.NonEmptyString.annotations({ description: "Who sends the invoice" }),
  total: Schema.Number.pipe(Schema.positive()),
  due: Schema.DateTimeUtc.annotations({ description: "When it is to be paid" })
})

const text = "Plums and Sons: 12 boxes at 3.50, to be paid by the end of May 2027."

/**
 * Here the model plays a script: it forgets the date. What does not fit the schema comes back to it as the error of a call, so that a
 * model can correct itself before anybody else sees it.
 */
const model = Llm.scripted("demo/reader", ({ role, text }) =>
  role === "tool"
    ? Effect.as(print(`the model is told: ${text}`), {
        toolCalls: [{ name: "finish", arguments: { ...answer, due: "2027-05-31T00:00:00Z" } }]
      })
    : { toolCalls: [{ name: "finish", arguments: answer }] }
)

const answer = { from: "Plums and Sons", total: 42 }

const program = Effect.gen(function* () {
  const agent = yield* Agents.create({ coreApp: model.app.name, systemPrompt: "You read invoices." })
  const { from, total, due } = yield* agent.run(text, Invoice)
  yield* print(`${from}: ${total.toFixed(2)} by ${DateTime.formatIsoDateUtc(due)}`)
})

Main.run(Effect.provide(program, NodeInference.layerLocal({ apps: [model] })))
