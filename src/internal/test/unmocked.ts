import * as Data from "effect/Data"

/** Code under test has asked for something that its test has not said the answer to. */
export class Unmocked extends Data.TaggedError("Unmocked")<{ readonly call: string; readonly hint: string }> {
  override get message(): string {
    return `${this.call} is not mocked: ${this.hint}`
  }
}
