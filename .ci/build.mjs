// Builds dist from src, and makes sure that every file that package.json points at is in it.
import { execFileSync } from "node:child_process"
import { existsSync, readFileSync, rmSync } from "node:fs"
import { fileURLToPath } from "node:url"

process.chdir(fileURLToPath(new URL("..", import.meta.url)))

rmSync("dist", { recursive: true, force: true })
try {
  execFileSync(process.execPath, ["node_modules/typescript/bin/tsc", "-p", "src/tsconfig.json"], { stdio: "inherit" })
} catch {
  process.exit(1)
}

const { browser, exports } = JSON.parse(readFileSync("package.json", "utf8"))
const targets = [browser, ...Object.values(exports)].flatMap((entry) =>
  typeof entry === "object" && entry !== null ? [...Object.keys(entry), ...Object.values(entry)] : []
)
const missing = targets.filter((path) => path.startsWith("./dist/") && !path.includes("*") && !existsSync(path))
if (missing.length > 0) {
  console.error(`package.json names files that the build did not make: ${missing.join(", ")}`)
  process.exit(1)
}
