/** Services that note what is asked of them. */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Predicate from "effect/Predicate"
import * as Stream from "effect/Stream"
import * as App from "../../App.js"
import type * as InferenceTest from "../../InferenceTest.js"
import type { Raised } from "./unmocked.js"

export interface Recorder {
  readonly calls: Array<InferenceTest.Call>
  readonly raised: Raised
}

export const isStream = (u: unknown): u is Stream.Stream<unknown, unknown, unknown> =>
  Predicate.hasProperty(u, Stream.StreamTypeId)

/**
 * The same service, which notes a call whenever the effect or stream is run that its method gave. What was raised during a call is what
 * it ends with, whoever has caught it. `inner` may change what the effect succeeds with.
 */
export const recorded = <Service extends object>(
  name: string,
  service: Service,
  recorder: Recorder,
  inner: (value: unknown, method: string) => unknown = (value) => value
): Service => {
  const { calls, raised } = recorder
  const record = (method: string, args: ReadonlyArray<unknown>, returned: unknown): unknown => {
    const call = { method: `${name}.${method}`, args: args.map((arg) => (App.isApp(arg) ? arg.name : arg)) }
    /** Notes the call, and gives what was raised since. */
    const begin = Effect.sync(() => {
      calls.push(call)
      const before = raised.length
      return Effect.suspend(() => {
        const unmocked = raised[before]
        return unmocked === undefined ? Effect.void : Effect.die(unmocked)
      })
    })
    if (Effect.isEffect(returned)) {
      return Effect.flatMap(begin, (check) =>
        Effect.flatMap(Effect.exit(returned), (exit) =>
          Effect.zipRight(
            check,
            Exit.map(exit, (value) => inner(value, method))
          )
        )
      )
    }
    return isStream(returned)
      ? Stream.unwrap(
          Effect.map(begin, (check) =>
            returned.pipe(
              Stream.concat(Stream.execute(check)),
              Stream.catchAllCause((cause) => Stream.concat(Stream.execute(check), Stream.failCause(cause)))
            )
          )
        )
      : returned
  }
  const entries = Object.entries(service).map(([method, value]: [string, unknown]) => [
    method,
    Predicate.isFunction(value)
      ? (...args: ReadonlyArray<never>) => record(method, args, value(...args))
      : record(method, [], value)
  ])
  // Each method is there under its name, and gives what it gave before.
  return Object.fromEntries(entries) as Service
}
