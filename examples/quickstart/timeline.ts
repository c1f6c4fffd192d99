/** Tells what becomes of a task: its statuses and the lines of its log, each once. */

import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { Task } from "effect-inferencesh"
import * as Terminal from "../support/terminal.js"

interface Seen {
  readonly status: Task.TaskStatus | undefined
  /** By the id of a log row, how much of its content. */
  readonly logs: ReadonlyMap<string, number>
}

const nothing: Seen = { status: undefined, logs: new Map() }

/** What an app wrote. Rows of the type `task` are the server's own notes, such as the stack trace of a failure. */
const logsOf = (task: Task.Task) => (task.logs ?? []).filter((log) => log.type !== "task")

/** The lines of the log that are new in a snapshot. Rows are added, and a row may grow. */
const newLines = (seen: Seen, task: Task.Task): ReadonlyArray<string> =>
  logsOf(task)
    .map((log) => log.content.slice(seen.logs.get(log.id ?? "") ?? 0).replace(/\n$/, ""))
    .filter((text) => text !== "")
    .flatMap((text) => text.split("\n"))

const remember = (task: Task.Task): Seen => ({
  status: task.status,
  logs: new Map(logsOf(task).map((log) => [log.id ?? "", log.content.length]))
})

const colors: { readonly [Status in Task.TaskStatus]?: (text: string) => string } = {
  completed: Terminal.green,
  failed: Terminal.red,
  cancelled: Terminal.red
}

/** Prints what is new in each snapshot of a task that passes through. */
export const show = <Out, E, R>(tasks: Stream.Stream<Task.Task<Out>, E, R>): Stream.Stream<Task.Task<Out>, E, R> =>
  Stream.unwrapScoped(
    Effect.gen(function* () {
      const startedAt = yield* Clock.currentTimeMillis
      const elapsed = Effect.map(Clock.currentTimeMillis, (now) =>
        Terminal.dim(Terminal.seconds(now - startedAt).padStart(8))
      )
      let seen = nothing
      yield* Terminal.animate(
        Effect.map(elapsed, (time) => `${time}  ${Terminal.dim(`${seen.status ?? "submitting"} …`)}`)
      )

      return Stream.tap(tasks, (task) =>
        Effect.gen(function* () {
          const time = yield* elapsed
          const { status } = task
          const log = newLines(seen, task).map((line) => `${" ".repeat(8)}  ${Terminal.dim("│")} ${line}`)
          const color = colors[status] ?? Terminal.cyan
          const entered = status === seen.status ? [] : [`${time}  ${color(status.replace("_", " "))}`]
          const id = seen.status === undefined ? [`${time}  task ${task.id}`] : []
          seen = remember(task)
          // What an app writes, it writes before its end and after any other change of its status.
          const news = status === "completed" || status === "failed" ? [...log, ...entered] : [...entered, ...log]
          yield* Effect.forEach([...id, ...news], Terminal.print, { discard: true })
        })
      )
    })
  )
