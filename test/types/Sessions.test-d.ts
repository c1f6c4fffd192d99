import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as App from "effect-inferencesh/App"
import * as Sessions from "effect-inferencesh/Sessions"
import type * as Tasks from "effect-inferencesh/Tasks"
import { describe, expectTypeOf, it } from "vitest"

const Browser = App.make("acme/browser", {
  functions: {
    open: { input: { url: Schema.String }, output: { title: Schema.String } },
    back: { input: { steps: Schema.optionalWith(Schema.Int, { default: () => 1 }) }, output: { url: Schema.String } }
  },
  setup: { width: Schema.Int }
})

describe("a session", () => {
  it("knows the functions of its app", () => {
    const program = Effect.gen(function* () {
      const session = yield* Sessions.make(Browser, { timeout: "1 minute", setup: { width: 800 } })
      const opened = yield* session.run({ function: "open", input: { url: "https://example.com" } })
      expectTypeOf(opened.output).toEqualTypeOf<{ readonly title: string }>()
      const back = yield* session.run({ function: "back", input: {} })
      expectTypeOf(back.output).toEqualTypeOf<{ readonly url: string }>()
      // @ts-expect-error the function takes something else
      yield* session.run({ function: "back", input: { url: "x" } })
      // @ts-expect-error the contract has no such function
      yield* session.run({ function: "close", input: {} })
      // @ts-expect-error the session is given
      yield* session.run({ function: "back", input: {}, session: "new" })
    })
    expectTypeOf(program).toEqualTypeOf<Effect.Effect<void, Tasks.RunError, Sessions.Sessions | Scope.Scope>>()
  })

  it("checks the setup", () => {
    // @ts-expect-error the width is a number
    Sessions.make(Browser, { setup: { width: "wide" } })
  })

  it("takes anything with the name of an app alone", () => {
    const output = Effect.gen(function* () {
      const session = yield* Sessions.make("acme/browser")
      return (yield* session.run({ function: "open", input: { anything: true } })).output
    })
    expectTypeOf<Effect.Effect.Success<typeof output>>().toEqualTypeOf<unknown>()
  })
})
