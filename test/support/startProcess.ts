/** Programs in processes of their own, as their users see them. */
import { type SpawnOptionsWithoutStdio, spawn } from "node:child_process"
import { createRequire } from "node:module"
import { pathToFileURL } from "node:url"
import * as Effect from "effect/Effect"

/** By its address, since the working directory may be another. */
const tsx = pathToFileURL(createRequire(import.meta.url).resolve("tsx")).href

export interface Ended {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** Starts a TypeScript file, with its arguments. It has ended by the end of the scope. */
export const startProcess = (args: ReadonlyArray<string>, options: SpawnOptionsWithoutStdio) =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => spawn(process.execPath, ["--import", tsx, ...args], options)),
      (child) => Effect.sync(() => child.kill("SIGKILL"))
    ),
    (child) => {
      let [stdout, stderr] = ["", ""]
      const listeners = new Set<() => void>()
      const heard = () => {
        for (const listener of listeners) listener()
      }
      child.stdout.setEncoding("utf8").on("data", (text) => {
        stdout += text
        heard()
      })
      child.stderr.setEncoding("utf8").on("data", (text) => {
        stderr += text
      })
      const ended = new Promise<Ended>((resolve) => child.on("close", (code) => resolve({ code, stdout, stderr })))
      return {
        child,
        ended: Effect.promise(() => ended),
        /** What was printed, once it fits. */
        printed: (pattern: RegExp) =>
          Effect.async<RegExpExecArray>((resume) => {
            const listener = () => {
              const match = pattern.exec(stdout)
              if (match !== null) resume(Effect.succeed(match))
            }
            listeners.add(listener)
            void ended.then(() => resume(Effect.die(new Error(stdout + stderr))))
            listener()
            return Effect.sync(() => listeners.delete(listener))
          })
      }
    }
  )
