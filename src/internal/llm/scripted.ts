/** A language model that says what it is told to. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { AppFailed } from "../../InferenceError.js"
import type * as Llm from "../../Llm.js"
import { callIds } from "./callIds.js"
import { Usage } from "./schemas.js"

/** Words with the white space before them: the pieces add up to the text. */
const words = (text = ""): ReadonlyArray<string> => text.match(/\s+\S*|\S+/g) ?? []

const failed = (app: string, detail: string) => new AppFailed({ app, phase: "run", detail })

/** What becomes of a conversation that goes on after the last step. */
export class OnEnd extends Context.Reference<OnEnd>()("effect-inferencesh/Llm/OnEnd", {
  defaultValue: (): ((error: AppFailed) => Effect.Effect<never, AppFailed>) => Effect.fail
}) {}

const stepOf = <R>(app: string, script: Llm.Script<R>, input: Llm.Input): Effect.Effect<Llm.Step, unknown, R> => {
  if (typeof script === "function") {
    const step = script(input)
    return Effect.isEffect(step) ? step : Effect.succeed(step)
  }
  const answers = input.context.filter(({ role }) => role === "assistant").length
  const step = script[answers]
  const steps = `${script.length} step${script.length === 1 ? "" : "s"}`
  return step === undefined
    ? Effect.flatMap(OnEnd, (onEnd) =>
        onEnd(failed(app, `the script has ended: it has ${steps}, and this would be step ${answers + 1}`))
      )
    : Effect.succeed(step)
}

interface Piece {
  readonly response?: string
  readonly reasoning?: string
  readonly toolCall?: Llm.ToolCall
}

const piecesOf = (step: Llm.Step, input: Llm.Input): ReadonlyArray<Piece> => {
  const calls = step.toolCalls ?? []
  const ids = callIds(input.context)(calls)
  const pieces: ReadonlyArray<Piece> = [
    ...words(step.reasoning).map((reasoning) => ({ reasoning })),
    ...words(step.response).map((response) => ({ response })),
    ...calls.map(({ name, arguments: args = {} }, i) => ({ toolCall: { id: ids[i] ?? "", name, arguments: args } }))
  ]
  return pieces.length === 0 && step.fail === undefined ? [{}] : pieces
}

const add = (output: Llm.Output, { response = "", reasoning, toolCall }: Piece): Llm.Output => ({
  ...output,
  response: output.response + response,
  ...(reasoning !== undefined && { reasoning: (output.reasoning ?? "") + reasoning }),
  ...(toolCall !== undefined && { toolCalls: [...(output.toolCalls ?? []), toolCall] })
})

/** Plays the step that the script has for an input: the output after each piece, with the usage at the end. */
export const play = <R>(
  app: string,
  script: Llm.Script<R>,
  options: Llm.ScriptedOptions,
  input: Llm.Input
): Stream.Stream<Llm.Output, unknown, R> => {
  const { pace } = options
  const wait = pace === undefined ? Effect.void : Effect.sleep(pace)
  const outputs = (step: Llm.Step): Stream.Stream<Llm.Output, AppFailed> => {
    const { fail, usage } = step
    const pieces = piecesOf(step, input)
    const said = Stream.fromIterable(pieces).pipe(
      Stream.mapAccum({ response: "" }, (output: Llm.Output, piece) => {
        const next = add(output, piece)
        return [next, next]
      }),
      Stream.zipWithIndex,
      Stream.mapEffect(([output, i]) => (i === 0 ? Effect.succeed(output) : Effect.as(wait, output))),
      Stream.zipWithIndex,
      Stream.map(([output, i]) =>
        usage !== undefined && i === pieces.length - 1 ? { ...output, usage: Usage.make(usage) } : output
      )
    )
    return fail === undefined ? said : Stream.concat(said, Stream.fail(failed(app, fail)))
  }
  return Stream.unwrap(
    Effect.map(
      Effect.suspend(() => stepOf(app, script, input)),
      outputs
    )
  )
}
