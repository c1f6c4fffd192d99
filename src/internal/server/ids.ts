import * as Effect from "effect/Effect"

// 32 signs, so that a byte modulo 32 favours none.
const alphabet = "0123456789abcdefghjkmnpqrstvwxyz"

/** 26 signs of 5 random bits each: nobody guesses one. */
export const unsafeRandomId = (): string =>
  Array.from(crypto.getRandomValues(new Uint8Array(26)), (byte) => alphabet[byte % 32]).join("")

export const randomId: Effect.Effect<string> = Effect.sync(unsafeRandomId)

/** Whether two texts are the same, in a time that does not tell where they differ. */
export const safeEqual = (left: string, right: string): boolean => {
  const a = new TextEncoder().encode(left)
  const b = new TextEncoder().encode(right)
  let difference = a.length ^ b.length
  for (let i = 0; i < a.length; i++) difference |= (a[i] ?? 0) ^ (b[i % Math.max(1, b.length)] ?? 0)
  return difference === 0
}
