/**
 * A text that is being written, known from pieces of it and from states of the whole, in whatever order connections bring them: what is
 * read of it is never repeated and never lost.
 */
export interface Writing {
  /** The text as far as it is known. */
  readonly text: () => string
  /** Takes the next piece. Whether it fits to what else is known. */
  readonly append: (piece: string) => boolean
  /** Takes the text as a whole, as it was at some time, or as it is in the end. */
  readonly replace: (whole: string, isFinal: boolean) => void
  /** How the sum of the pieces compares with a state of the whole: pieces may come before the states that they lead to, and after. */
  readonly compare: (whole: string) => "same" | "behind" | "other"
  /** Takes pieces as of this state of the whole from now on. */
  readonly restart: (whole: string) => void
  /** What is new since it was read last. The piece is empty where the text has become another one. */
  readonly read: () => { readonly delta: string; readonly text: string } | undefined
}

export const make = (): Writing => {
  let known = ""
  // The sum of the pieces. Mostly it is what is known; a state of the whole may have run ahead of it.
  let sum = ""
  let isLevel = true
  let unread = ""
  let isRewritten = false

  const learn = (whole: string) => {
    unread += whole.slice(known.length)
    known = whole
  }

  return {
    text: () => known,

    append: (piece) => {
      sum += piece
      if (isLevel) {
        unread += piece
        known = sum
        return true
      }
      if (known.startsWith(sum)) {
        isLevel = sum.length === known.length
        return true
      }
      if (!sum.startsWith(known)) return false
      learn(sum)
      isLevel = true
      return true
    },

    replace: (whole, isFinal) => {
      if (whole === known || (!isFinal && known.startsWith(whole))) return
      if (whole.startsWith(known)) learn(whole)
      else {
        known = whole
        unread = ""
        isRewritten = true
      }
      isLevel = sum === known
    },

    compare: (whole) => (whole === sum ? "same" : sum.startsWith(whole) ? "behind" : "other"),

    restart: (whole) => {
      sum = whole
      isLevel = sum === known
    },

    read: () => {
      if (unread === "" && !isRewritten) return undefined
      const news = { delta: isRewritten ? "" : unread, text: known }
      unread = ""
      isRewritten = false
      return news
    }
  }
}
