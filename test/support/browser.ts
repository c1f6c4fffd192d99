import { spawn } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import * as FileSystem from "@effect/platform/FileSystem"
import * as Effect from "effect/Effect"

const names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"]

/** A Chromium that is installed here, if there is one. */
export const executable: string | undefined = (process.env.PATH ?? "")
  .split(path.delimiter)
  .flatMap((directory) => names.map((name) => path.join(directory, name)))
  .find((file) => fs.existsSync(file))

const flags = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--disable-dev-shm-usage",
  "--remote-debugging-port=0"
]

/** Shows a page as long as the scope is open. What is given back fails when the browser ends before. */
export const show = (file: string, url: string) =>
  Effect.gen(function* () {
    const { makeTempDirectoryScoped } = yield* FileSystem.FileSystem
    const profile = yield* makeTempDirectoryScoped({ prefix: "inferencesh-browser-" })
    const { ended } = yield* Effect.acquireRelease(
      Effect.sync(() => {
        // A group of its own, since a browser is many processes.
        const child = spawn(file, [...flags, `--user-data-dir=${profile}`, url], { stdio: "ignore", detached: true })
        const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()).once("error", () => resolve()))
        return { child, ended }
      }),
      ({ child, ended }) =>
        Effect.promise(async () => {
          if (child.pid !== undefined) process.kill(-child.pid, "SIGKILL")
          await ended
        })
    )
    return Effect.zipRight(
      Effect.promise(() => ended),
      Effect.dieMessage(`${file} ended without a report of the page`)
    )
  })
