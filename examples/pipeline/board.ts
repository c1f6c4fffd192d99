/** What each item of a batch is at: a line that is redrawn on a terminal, a line for each step in a pipe. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Ref from "effect/Ref"
import * as Terminal from "../support/terminal.js"

type Step = "waiting" | "describing" | "painting" | "rating" | "done" | "failed"

export class Board extends Context.Tag("example/Board")<
  Board,
  { readonly at: (item: string, step: Step) => Effect.Effect<void> }
>() {}

/** Says that an item has come to a step. */
export const at = (item: string, step: Step) => Effect.flatMap(Board, (board) => board.at(item, step))

const isOver = (step: Step) => step === "done" || step === "failed"

const draw = (steps: ReadonlyMap<string, Step>): string => {
  const all = Array.from(steps)
  const over = all.filter(([, step]) => isOver(step)).length
  const busy = all.flatMap(([item, step]) => (isOver(step) || step === "waiting" ? [] : [`${item}: ${step}`]))
  return `${Terminal.bar(over / all.length)}  ${over} of ${all.length}  ${Terminal.dim(busy.join(", "))}`
}

export const layer = (items: ReadonlyArray<string>) =>
  Layer.scoped(
    Board,
    Effect.gen(function* () {
      const steps = yield* Ref.make<ReadonlyMap<string, Step>>(new Map(items.map((item) => [item, "waiting"])))
      yield* Terminal.animate(Effect.map(Ref.get(steps), draw))
      return {
        at: (item, step) =>
          Effect.zipRight(
            Ref.update(steps, (all) => new Map([...all, [item, step]])),
            Effect.unless(Terminal.print(`${item.padEnd(12)}  ${step}`), () => Terminal.isTerminal)
          )
      }
    })
  )
