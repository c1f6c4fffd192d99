// Starts the command of the packed package, for serve.mjs and readme.mjs.
import { spawn } from "node:child_process"
import { once } from "node:events"

/** Serves a module on a free port. `stop` asks the server to end, and gives its exit code. */
export const serving = async (module) => {
  const child = spawn("node_modules/.bin/effect-inferencesh", ["serve", module, "--port", "0"], {
    stdio: ["ignore", "pipe", "inherit"]
  })
  let printed = ""
  const url = await new Promise((resolve, reject) => {
    child.stdout.setEncoding("utf8").on("data", (text) => {
      printed += text
      const [, found] = /at (http:\S+)/.exec(printed) ?? []
      if (found !== undefined) resolve(found)
    })
    child.on("exit", () => reject(new Error(`the command printed ${printed}`)))
  })
  const stop = async () => {
    child.kill("SIGINT")
    return (await once(child, "exit"))[0]
  }
  return { url, stop }
}
