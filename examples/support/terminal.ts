/** What the examples print with. On a terminal there are colours and lines redrawn in place; in a pipe, plain lines. */
import { stripVTControlCharacters } from "node:util"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"

/** Whether lines can be redrawn in place. */
export const isTerminal = process.stdout.isTTY === true && process.env.TERM !== "dumb"

/** https://no-color.org: any value but the empty one turns colours off. */
const hasColors = isTerminal && !process.env.NO_COLOR

// ---- Text ---------------------------------------------------------------------------------------------------------------

const style = (code: string) => (text: string) => (hasColors ? `\u001b[${code}m${text}\u001b[0m` : text)

export const bold = style("1")
export const dim = style("2")
export const red = style("31")
export const green = style("32")
export const cyan = style("36")

/** A block of a colour given as `#rrggbb`; nothing where there are no colours. */
export const swatch = (hex: string): string => {
  const [red, green, blue] = [1, 3, 5].map((at) => Number.parseInt(hex.slice(at, at + 2), 16))
  return hasColors ? `${style(`48;2;${red};${green};${blue}`)("  ")} ` : ""
}

export const bar = (fraction: number): string => {
  const width = Math.max(10, Math.min(32, (process.stdout.columns || 80) - 48))
  const full = Math.round(Math.min(1, Math.max(0, fraction)) * width)
  return cyan("█".repeat(full)) + dim("░".repeat(width - full))
}

export const percent = (fraction: number): string => `${Math.floor(fraction * 100)}%`.padStart(4)

export const bytes = (count: number): string => {
  const units = ["B", "kB", "MB", "GB", "TB"]
  const power = Math.min(units.length - 1, count < 1 ? 0 : Math.floor(Math.log10(count) / 3))
  const value = count / 1000 ** power
  return `${value.toFixed(power === 0 || value >= 99.95 ? 0 : 1)} ${units[power]}`
}

export const seconds = (millis: number): string => `${(millis / 1000).toFixed(2)} s`

// ---- Output -------------------------------------------------------------------------------------------------------------

// The reader of a pipe may go away, as in `npm start | head -1`. The write says so too: the event alone must not end the program.
for (const stream of [process.stdout, process.stderr]) stream.on("error", () => {})

/** With nobody left to read, there is no point in going on. */
const write = (stream: NodeJS.WriteStream, text: string): Effect.Effect<void> =>
  Effect.async((resume) => {
    stream.write(text, (error) => resume(error ? Effect.interrupt : Effect.void))
  })

const clear = isTerminal ? "\r\u001b[2K" : ""

/** The last line, while it is being redrawn. */
let live = ""

/** Whether the last line has text that was printed as it came. */
let isOpen = false

/** Prints text as it comes, without ending the line. */
export const text = (text: string): Effect.Effect<void> =>
  Effect.suspend(() => {
    isOpen = !text.endsWith("\n")
    return write(process.stdout, text)
  })

/** Prints a line, above the one that is being redrawn. Without one it ends that of text that was printed as it came. */
export const print = (line = ""): Effect.Effect<void> =>
  Effect.suspend(() => {
    const start = isOpen ? (line === "" ? "" : "\n") : clear
    isOpen = false
    return write(process.stdout, `${start}${line}\n${live}`)
  })

/** Prints a line in place of the one that was being redrawn. */
export const settle = (line: string): Effect.Effect<void> => Effect.zipRight(draw(""), print(line))

/** Prints a line to standard error. */
export const printError = (line: string): Effect.Effect<void> =>
  Effect.zipRight(
    draw(""),
    Effect.suspend(() => write(process.stderr, `${isOpen ? "\n" : ""}${line}\n`))
  )

/** Redraws the last line. Does nothing in a pipe. */
export const draw = (line: string): Effect.Effect<void> =>
  Effect.suspend(() => {
    if (!isTerminal || line === live) return Effect.void
    const columns = process.stdout.columns || 80
    const plain = stripVTControlCharacters(line)
    // A line that wraps could not be redrawn.
    live = plain.length < columns ? line : plain.slice(0, columns - 1)
    return write(process.stdout, clear + live)
  })

/** Keeps redrawing the last line as long as the scope is open. */
export const animate = (frame: Effect.Effect<string>): Effect.Effect<void, never, Scope.Scope> =>
  Effect.flatMap(frame, draw).pipe(
    Effect.repeat(Schedule.spaced("80 millis")),
    Effect.forkScoped,
    Effect.zipRight(Effect.addFinalizer(() => draw(""))),
    Effect.when(() => isTerminal)
  )

/** Says something if an effect is interrupted, after it has cleaned up. */
export const onInterrupt =
  (line: string) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.onInterrupt(effect, () => printError(line))
