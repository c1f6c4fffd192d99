// Run against the packed package: its command serves a module, answers, and stops when it is told to.
import { serving } from "./serving.js"

const { url, stop } = await serving("echoApp.js")

const response = await fetch(`${url}/apps/run`, {
  method: "POST",
  headers: { authorization: "Bearer any", "content-type": "application/json" },
  body: JSON.stringify({ app: "smoke/echo", input: { text: "hi" }, wait: true })
})
const { data } = await response.json()
if (data?.output?.text !== "hi") throw new Error(`it answered ${response.status} ${JSON.stringify(data)}`)

const code = await stop()
if (code !== 0) throw new Error(`it ended with ${code}`)
console.log("served, called and stopped")
