/** Calls that find what the ones before them left in the memory of their worker. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { Sessions, Tasks } from "effect-inferencesh"
import { NodeInference } from "effect-inferencesh/node"
import { Stock, stock } from "./session/stock.js"
import * as Main from "./support/main.js"
import { bold, dim, print } from "./support/terminal.js"

/** Fills a store, and takes from it. The session is kept alive meanwhile, and ended when the scope closes. */
const fill = Effect.gen(function* () {
  const session = yield* Sessions.make(Stock, { timeout: "1 minute" })
  yield* session.run({ function: "put", input: { item: "pears", count: 5 } })
  yield* session.run({ function: "put", input: { item: "plums", count: 12 } })
  const taken = yield* session.run({ function: "take", input: { item: "pears", count: 2 } })
  yield* print(`pears left: ${taken.output.left}`)

  yield* session
    .run({ function: "take", input: { item: "plums", count: 20 } })
    .pipe(Effect.catchTag("TaskFailed", ({ task }) => print(`20 plums:   ${task.error}`)))

  const { output } = yield* session.run({ function: "list", input: {} })
  yield* print(`in store:   ${JSON.stringify(output.items)}`)
  return Option.getOrThrow(yield* session.id)
}).pipe(Effect.scoped)

const program = Effect.gen(function* () {
  yield* print(bold("One session"))
  const id = yield* fill
  const { status, callCount } = yield* Sessions.get(id)
  yield* print(dim(`after it: ${status}, ${callCount} calls\n`))

  yield* print(bold("Another"))
  const { output } = yield* Effect.scoped(
    Effect.flatMap(Sessions.make(Stock), (session) => session.run({ function: "list", input: {} }))
  )
  yield* print(`in store:   ${JSON.stringify(output.items)}\n`)

  yield* print(bold("The first one again"))
  yield* Tasks.run(Stock, { function: "list", input: {}, session: id }).pipe(
    Effect.catchTag("SessionLost", ({ message }) => print(message))
  )
})

Main.run(Effect.provide(program, NodeInference.layerLocal({ apps: [stock] })))
