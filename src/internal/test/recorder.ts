/** Services that note what is asked of them. */
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Stream from "effect/Stream"
import * as App from "../../App.js"
import type * as InferenceTest from "../../InferenceTest.js"

export type Note = (call: InferenceTest.Call) => void

export const isStream = (u: unknown): u is Stream.Stream<unknown, unknown, unknown> =>
  Predicate.hasProperty(u, Stream.StreamTypeId)

/**
 * The same service, which notes a call whenever the effect or stream is run that its method gave. `inner` may change what the
 * effect succeeds with.
 */
export const recorded = <Service extends object>(
  name: string,
  service: Service,
  note: Note,
  inner: (value: unknown, method: string) => unknown = (value) => value
): Service => {
  const record = (method: string, args: ReadonlyArray<unknown>, returned: unknown): unknown => {
    const call = { method: `${name}.${method}`, args: args.map((arg) => (App.isApp(arg) ? arg.name : arg)) }
    const noting = Effect.sync(() => note(call))
    if (Effect.isEffect(returned)) {
      return Effect.zipRight(noting, returned).pipe(Effect.map((value) => inner(value, method)))
    }
    return isStream(returned) ? Stream.unwrap(Effect.as(noting, returned)) : returned
  }
  const entries = Object.entries(service).map(([method, value]: [string, unknown]) => [
    method,
    Predicate.isFunction(value) ? (...args: ReadonlyArray<never>) => record(method, args, value(...args)) : value
  ])
  // Each method is there under its name, and gives what it gave before.
  return Object.fromEntries(entries) as Service
}
