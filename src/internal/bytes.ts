import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"

/** One array of the bytes of several. */
export const concat = (parts: ReadonlyArray<Uint8Array>): Uint8Array<ArrayBuffer> => {
  const all = new Uint8Array(parts.reduce((length, part) => length + part.length, 0))
  let at = 0
  for (const part of parts) {
    all.set(part, at)
    at += part.length
  }
  return all
}

/** The text of a body, or of its first `limit` bytes: what is left is not read, the connection is closed instead. */
export const readText = <E>(
  bytes: Stream.Stream<Uint8Array, E>,
  limit = Number.POSITIVE_INFINITY
): Effect.Effect<string, E> =>
  Effect.suspend(() => {
    let left = limit
    return bytes.pipe(
      Stream.takeUntil((chunk) => {
        left -= chunk.length
        return left <= 0
      }),
      Stream.decodeText(),
      Stream.mkString
    )
  })
