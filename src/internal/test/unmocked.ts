import * as Data from "effect/Data"
import * as Effect from "effect/Effect"

/** Code under test has asked for something that its test has not said the answer to. */
export class Unmocked extends Data.TaggedError("Unmocked")<{ readonly call: string; readonly hint: string }> {
  override get message(): string {
    return `${this.call} is not mocked: ${this.hint}`
  }
}

/** All that was asked for so far: on its way to the call under test, a defect may be told to a model or become the failure of a task. */
export type Raised = Array<Unmocked>

export const raise = (raised: Raised, unmocked: Unmocked): Effect.Effect<never> =>
  Effect.suspend(() => {
    raised.push(unmocked)
    return Effect.die(unmocked)
  })
