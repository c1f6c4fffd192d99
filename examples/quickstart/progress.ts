/** Tells how far an upload is: a bar on a terminal, a line for each quarter in a pipe. */

import * as Effect from "effect/Effect"
import { identity } from "effect/Function"
import * as Stream from "effect/Stream"
import type { Files } from "effect-inferencesh"
import * as Terminal from "../support/terminal.js"

const fraction = ({ sent, total }: { readonly sent: number; readonly total: number }) =>
  total === 0 ? 1 : sent / total

const isSameQuarter = (a: Files.UploadEvent, b: Files.UploadEvent) =>
  a._tag === "Progress" && b._tag === "Progress" && Math.floor(fraction(a) * 4) === Math.floor(fraction(b) * 4)

const tell = (name: string, event: Files.UploadEvent): Effect.Effect<unknown> => {
  if (event._tag === "Done") {
    const size = Terminal.bytes(event.file.size ?? 0)
    return Terminal.settle(
      Terminal.isTerminal ? `${name}  ${Terminal.bar(1)}  ${size} uploaded` : `uploaded ${name}: ${size}`
    )
  }
  const done = Terminal.percent(fraction(event))
  const sizes = `${Terminal.bytes(event.sent)} of ${Terminal.bytes(event.total)}`
  if (Terminal.isTerminal) return Terminal.draw(`${name}  ${Terminal.bar(fraction(event))}  ${done}  ${sizes}`)
  // In a pipe the start and the end of it would be lines that say no more than the last one does.
  return Terminal.print(`uploading ${name}: ${done.trim()} (${sizes})`).pipe(
    Effect.when(() => event.sent > 0 && event.sent < event.total)
  )
}

/** Tells of the progress that passes through. */
export const show =
  (name: string) =>
  <E, R>(events: Stream.Stream<Files.UploadEvent, E, R>): Stream.Stream<Files.UploadEvent, E, R> =>
    events.pipe(
      Terminal.isTerminal ? identity : Stream.changesWith(isSameQuarter),
      Stream.tap((event) => tell(name, event))
    )
