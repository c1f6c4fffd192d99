/** Apps to host in tests. */

import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as App from "effect-inferencesh/App"
import * as BaseApp from "effect-inferencesh/BaseApp"
import * as File from "effect-inferencesh/File"

/** Notes what happened inside of apps, in order. */
export class Journal extends Context.Tag("test/Journal")<
  Journal,
  { readonly note: (event: string) => Effect.Effect<void>; readonly events: () => ReadonlyArray<string> }
>() {}

export const layerJournal = Layer.sync(Journal, () => {
  const events: Array<string> = []
  return { note: (event) => Effect.sync(() => void events.push(event)), events: () => [...events] }
})

export const note = (event: string) => Effect.flatMap(Journal, (journal) => journal.note(event))

export const Echo = App.make("acme/echo@7k2m9qd4", {
  input: { text: Schema.String, times: Schema.optionalWith(Schema.Int, { default: () => 1 }) },
  output: { text: Schema.String }
})

export const echo = BaseApp.make(Echo, {
  run: ({ text, times }) => Effect.succeed({ text: text.repeat(times) })
})

/** Emits 1, 2, … one each `every` milliseconds. */
export const Counter = App.make("acme/counter", {
  input: { to: Schema.Int, every: Schema.optionalWith(Schema.Int, { default: () => 1000 }) },
  output: { count: Schema.Int }
})

export const counter = BaseApp.make(Counter, {
  concurrency: 4,
  run: ({ to, every }) =>
    Stream.range(1, to).pipe(
      Stream.rechunk(1),
      Stream.mapEffect((count) => Effect.as(Effect.sleep(every), { count }))
    )
})

/** Never ends. Notes when it starts and when its finalizer runs. */
export const Never = App.make("acme/never", { input: {}, output: {} })

export const never = BaseApp.make(Never, {
  run: () =>
    Effect.acquireUseRelease(
      note("never started"),
      () => Effect.never,
      () => note("never released")
    )
})

/** Cannot be cancelled for an hour. */
export const Stubborn = App.make("acme/stubborn", { input: {}, output: {} })

export const stubborn = BaseApp.make(Stubborn, {
  run: () => Effect.uninterruptible(Effect.as(Effect.sleep("1 hour"), {}))
})

class Unlucky extends Data.TaggedError("Unlucky")<{ readonly message: string }> {}

export const Failing = App.make("acme/failing", { input: { message: Schema.String }, output: {} })

export const failing = BaseApp.make(Failing, {
  run: ({ message }) => Effect.zipRight(Effect.log("about to fail"), new Unlucky({ message }))
})

export const Dying = App.make("acme/dying", { input: {}, output: {} })

export const dying = BaseApp.make(Dying, {
  run: () => {
    throw new Error("a defect")
  }
})

/** Reverses the bytes of a file. */
export const Reverse = App.make("acme/reverse", {
  input: { file: File.File },
  output: { file: File.File, size: Schema.Int }
})

export const reverse = BaseApp.make(Reverse, {
  run: ({ file }) =>
    Effect.map(File.bytes(file), (bytes) => ({
      file: File.fromBytes(bytes.slice().reverse(), { filename: `reversed-${file.filename}` }),
      size: bytes.length
    }))
})

export const Arithmetic = App.make("acme/arithmetic", {
  functions: {
    add: { input: { a: Schema.Number, b: Schema.Number }, output: { sum: Schema.Number } },
    negate: { input: { a: Schema.Number }, output: { negated: Schema.Number } }
  }
})

export const arithmetic = BaseApp.make(Arithmetic, {
  run: {
    add: ({ a, b }) => Effect.succeed({ sum: a + b }),
    negate: ({ a }) => Effect.succeed({ negated: -a })
  }
})

/** Counts its own runs, and notes setup and unload. */
export const Model = App.make("acme/model", {
  input: { prompt: Schema.String },
  output: { answer: Schema.String, runs: Schema.Int },
  setup: { name: Schema.optionalWith(Schema.String, { default: () => "small" }), fail: Schema.optional(Schema.Boolean) }
})

export const model = BaseApp.make(Model, {
  setup: ({ name, fail }) =>
    Effect.gen(function* () {
      if (fail) return yield* new Unlucky({ message: `no model ${name}` })
      yield* Effect.acquireRelease(note(`setup ${name}`), () => note(`finalizer ${name}`))
      return { name, runs: 0 }
    }),
  run: ({ prompt }, state) =>
    Effect.gen(function* () {
      const context = yield* BaseApp.Context
      yield* context.log(`prompt: ${prompt}`)
      state.runs++
      return { answer: `${state.name}: ${prompt}`, runs: state.runs }
    }),
  unload: ({ name }) => note(`unload ${name}`)
})

/** Says one thing, and its output schema another. */
export const Liar = App.make("acme/liar", { input: {}, output: { even: Schema.Int.pipe(Schema.multipleOf(2)) } })

export const liar = BaseApp.make(Liar, { run: () => Effect.succeed({ even: 3 }) })

export const all = [echo, counter, never, stubborn, failing, dying, reverse, arithmetic, model, liar] as const
