/** Runs an example as a user would, in a pipe. */
import { spawn } from "node:child_process"
import * as Effect from "effect/Effect"

const root = new URL("../..", import.meta.url)

export interface Result {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

export interface Options {
  /** It gets the signal once it has printed the text. */
  readonly until?: { readonly text: string; readonly signal: NodeJS.Signals }
  readonly env?: Readonly<Record<string, string>>
}

/** What `examples/<name>.ts` prints, and how it ends. Without a key in `env` there is none. */
export const runExample = (
  name: string,
  args: ReadonlyArray<string> = [],
  { until, env = {} }: Options = {}
): Effect.Effect<Result> =>
  Effect.async<Result>((resume) => {
    const { INFERENCE_API_KEY: _, INFERENCE_BASE_URL: __, INFERENCE_MODEL: ___, ...inherited } = process.env
    const child = spawn(process.execPath, ["--import", "tsx", `examples/${name}.ts`, ...args], {
      cwd: root,
      env: { ...inherited, ...env }
    })
    let stdout = ""
    let stderr = ""
    let isSignalled = false
    child.stdout.setEncoding("utf8").on("data", (text) => {
      stdout += text
      if (until !== undefined && !isSignalled && stdout.includes(until.text)) {
        isSignalled = true
        child.kill(until.signal)
      }
    })
    child.stderr.setEncoding("utf8").on("data", (text) => {
      stderr += text
    })
    child.on("close", (code) => resume(Effect.succeed({ code, stdout, stderr })))
    return Effect.sync(() => child.kill("SIGKILL"))
  })
