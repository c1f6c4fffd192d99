/** An app of our own: picks the sentences of a text that say the most. `npm run serve -- examples/base-app/summary.ts` serves it. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { App, BaseApp, File } from "effect-inferencesh"

/** The contract. It types the code below and whoever calls it; by itself it runs nothing. */
export const Summary = App.make("acme/summary", {
  input: {
    text: File.File.annotations({ description: "A plain text in English" }),
    sentences: Schema.Int.pipe(
      Schema.between(1, 20),
      Schema.annotations({ description: "How many sentences to keep" }),
      Schema.optionalWith({ default: () => 2 })
    )
  },
  output: {
    read: Schema.Int.annotations({ description: "How many sentences were read" }),
    summary: Schema.Array(Schema.String)
  },
  setup: {
    ignore: Schema.String.pipe(
      Schema.optionalWith({ default: () => "the a an of to in and is it that was he she they" })
    )
  }
})

const sentencesOf = (text: string): ReadonlyArray<string> =>
  Array.from(new Intl.Segmenter("en", { granularity: "sentence" }).segment(text), ({ segment }) =>
    segment.trim()
  ).filter((sentence) => sentence !== "")

const wordsOf = (sentence: string): ReadonlyArray<string> => sentence.toLowerCase().match(/\p{L}+/gu) ?? []

/** The best sentences in their order: those whose words come up often. */
const best = (sentences: ReadonlyArray<string>, count: number, ignored: ReadonlySet<string>): ReadonlyArray<string> => {
  const counts = new Map<string, number>()
  const telling = (sentence: string) => wordsOf(sentence).filter((word) => !ignored.has(word))
  for (const word of sentences.flatMap(telling)) counts.set(word, (counts.get(word) ?? 0) + 1)
  const score = (sentence: string) => {
    const words = telling(sentence)
    return words.reduce((sum, word) => sum + (counts.get(word) ?? 0), 0) / Math.max(4, words.length)
  }
  const kept = new Set([...sentences].sort((a, b) => score(b) - score(a)).slice(0, count))
  return sentences.filter((sentence) => kept.has(sentence))
}

export const summary = BaseApp.make(Summary, {
  // Once for each instance: the runs share what it gives. What it acquires is let go of when the instance goes.
  setup: ({ ignore }) => Effect.succeed({ ignored: new Set(ignore.split(" ")) }),
  // Each value of the stream is the output so far. The bytes of the file are read as they are asked for.
  run: ({ text, sentences }, { ignored }) =>
    File.stream(text).pipe(
      Stream.decodeText(),
      Stream.mapAccum("", (before, piece) => [before + piece, before + piece]),
      Stream.map((soFar) => {
        const all = sentencesOf(soFar)
        return { read: all.length, summary: best(all, sentences, ignored) }
      }),
      Stream.tap(({ read }) =>
        Effect.flatMap(BaseApp.Context, ({ log }) => log(`read ${read} ${read === 1 ? "sentence" : "sentences"}`))
      )
    )
})
