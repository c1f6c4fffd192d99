// Run against the packed package: its command serves a module, answers, and stops when it is told to.
import { spawn } from "node:child_process"
import { once } from "node:events"

const child = spawn("node_modules/.bin/effect-inferencesh", ["serve", "echoApp.js", "--port", "0"], {
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

const response = await fetch(`${url}/apps/run`, {
  method: "POST",
  headers: { authorization: "Bearer any", "content-type": "application/json" },
  body: JSON.stringify({ app: "smoke/echo", input: { text: "hi" }, wait: true })
})
const { data } = await response.json()
if (data?.output?.text !== "hi") throw new Error(`it answered ${response.status} ${JSON.stringify(data)}`)

child.kill("SIGINT")
const [code] = await once(child, "exit")
if (code !== 0) throw new Error(`it ended with ${code}`)
console.log("served, called and stopped")
