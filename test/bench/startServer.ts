import { spawn } from "node:child_process"
import * as Effect from "effect/Effect"

/** Starts `server.ts` in a process of its own, which ends with the scope, and gives its address. */
export const startServer = Effect.acquireRelease(
  Effect.sync(() =>
    spawn(process.execPath, ["--import", "tsx", new URL("server.ts", import.meta.url).pathname], {
      stdio: ["ignore", "pipe", "inherit"]
    })
  ),
  (child) => Effect.sync(() => child.kill("SIGTERM"))
).pipe(
  Effect.flatMap((child) =>
    Effect.async<string>((resume) => {
      let text = ""
      child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
        text += chunk
        const address = /http:\/\/\S+/.exec(text)?.[0]
        if (address !== undefined) resume(Effect.succeed(address))
      })
      child.once("exit", (code) => resume(Effect.die(new Error(`the server ended with code ${code}`))))
    })
  )
)
