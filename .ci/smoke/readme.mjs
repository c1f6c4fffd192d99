// Run against the packed package: the first example of the README that comes with it, pasted as it is.
import { execFileSync } from "node:child_process"
import { readFileSync, writeFileSync } from "node:fs"
import { serving } from "./serving.js"

const [, example] = /^```ts\n(.*?)^```$/ms.exec(readFileSync("node_modules/effect-inferencesh/README.md", "utf8")) ?? []
if (example === undefined) throw new Error("the README has no example")
// It has no types of its own, so that any Node runs it.
writeFileSync("upscale.mjs", example)
writeFileSync("cat.png", "a cat")

const { url, stop } = await serving("upscaler.js")
const env = { ...process.env, INFERENCE_API_KEY: "inf_test", INFERENCE_BASE_URL: url }
const printed = execFileSync(process.execPath, ["upscale.mjs"], { encoding: "utf8", env })
await stop()

const [address] = printed.trim().split("\n")
if (!/^http:\S+\/large-cat\.png$/.test(address)) throw new Error(`it printed ${printed}`)
console.log(`it printed ${address}`)
