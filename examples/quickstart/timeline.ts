/** Tells what becomes of a task: its statuses and the lines of its log, each once. */

import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { Task } from "effect-inferencesh"
import * as Terminal from "../support/terminal.js"

/** What is new in the log. Rows of the type `task` are the server's own notes, such as the stack trace of a failure. */
const newLines = (task: Task.Task, before: Task.Task | undefined): ReadonlyArray<string> =>
  Task.newLogs(task, before)
    .filter((log) => log.type !== "task")
    .flatMap((log) => log.content.replace(/\n$/, "").split("\n"))

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
      let seen: Task.Task | undefined
      yield* Terminal.animate(
        Effect.map(elapsed, (time) => `${time}  ${Terminal.dim(`${seen?.status ?? "submitting"} …`)}`)
      )

      return Stream.tap(tasks, (task) =>
        Effect.gen(function* () {
          const time = yield* elapsed
          const { status } = task
          const log = newLines(task, seen).map((line) => `${" ".repeat(8)}  ${Terminal.dim("│")} ${line}`)
          const color = colors[status] ?? Terminal.cyan
          const entered = status === seen?.status ? [] : [`${time}  ${color(status.replace("_", " "))}`]
          const id = seen === undefined ? [`${time}  task ${task.id}`] : []
          seen = task
          // What an app writes, it writes before its end and after any other change of its status.
          const news = status === "completed" || status === "failed" ? [...log, ...entered] : [...entered, ...log]
          yield* Effect.forEach([...id, ...news], Terminal.print, { discard: true })
        })
      )
    })
  )
