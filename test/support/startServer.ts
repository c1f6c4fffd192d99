/** Starts a script that serves and prints its address, in a process of its own that ends with the scope. */
import { spawn } from "node:child_process"
import * as Effect from "effect/Effect"

export const startServer = (script: URL, args: ReadonlyArray<string> = []) =>
  Effect.gen(function* () {
    const child = yield* Effect.acquireRelease(
      Effect.sync(() =>
        spawn(process.execPath, ["--expose-gc", "--import", "tsx", script.pathname, ...args], {
          stdio: ["ignore", "pipe", "inherit"]
        })
      ),
      (child) => Effect.sync(() => child.kill("SIGTERM"))
    )
    const address = yield* Effect.async<string>((resume) => {
      let text = ""
      child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
        text += chunk
        const found = /http:\/\/\S+/.exec(text)?.[0]
        if (found !== undefined) resume(Effect.succeed(found))
      })
      child.once("exit", (code) => resume(Effect.dieMessage(`the server ended with code ${code}`)))
    })
    const exited = Effect.async<number | null>((resume) => {
      if (child.exitCode !== null || child.signalCode !== null) return resume(Effect.succeed(child.exitCode))
      child.once("exit", (code) => resume(Effect.succeed(code)))
    })
    return {
      address,
      /** Done once the process has ended. */
      stop: (signal: NodeJS.Signals) =>
        Effect.zipRight(
          Effect.sync(() => child.kill(signal)),
          exited
        )
    }
  })
