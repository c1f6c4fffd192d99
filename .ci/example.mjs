// npm run example            lists the examples
// npm run example NAME …     runs examples/NAME.ts
import { spawnSync } from "node:child_process"
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { basename } from "node:path"
import { fileURLToPath } from "node:url"

const path = (name) => fileURLToPath(new URL(`../${name}`, import.meta.url))
const [name, ...args] = process.argv.slice(2)
const file = path(`examples/${basename(name ?? "", ".ts")}.ts`)

if (name !== undefined && existsSync(file)) {
  const tsx = [path("node_modules/tsx/dist/cli.mjs"), "--tsconfig", path("tsconfig.json")]
  const { status, signal } = spawnSync(process.execPath, [...tsx, file, ...args], { stdio: "inherit" })
  process.exit(status ?? (signal === "SIGINT" ? 130 : 1))
}

if (name !== undefined) console.error(`There is no example "${name}".`)
console.log("Run one with: npm run example NAME\n")
const names = readdirSync(path("examples"))
  .filter((file) => /^[^.]+\.ts$/.test(file))
  .map((file) => basename(file, ".ts"))
for (const name of names) {
  const [, comment = ""] = /^\s*\/\*\*([\s\S]*?)\*\//.exec(readFileSync(path(`examples/${name}.ts`), "utf8")) ?? []
  const [line = ""] = comment.split("\n").flatMap((line) => line.replace(/^\s*\*?\s*/, "").trim() || [])
  console.log(`  ${name.padEnd(Math.max(...names.map(({ length }) => length)))}  ${line}`)
}
console.log(
  "\nexamples/testing.test.ts shows how to test: npx vitest run --config test/vitest.config.ts examples/testing.test.ts"
)
process.exit(name === undefined ? 0 : 1)
