// Prints the totals of vitest's JSON report: node .ci/totals.mjs REPORT STATUS, where STATUS is vitest's exit status. A file
// that did not load counts as a failure, and so does whatever else made vitest fail (a type error, an unhandled rejection).
import { existsSync, readFileSync } from "node:fs"

const [report, status] = process.argv.slice(2)
const { numPassedTests, numFailedTests, testResults } = existsSync(report)
  ? JSON.parse(readFileSync(report, "utf8"))
  : { numPassedTests: 0, numFailedTests: 0, testResults: [] }
const broken = testResults.filter(
  (file) => file.status === "failed" && !file.assertionResults.some((test) => test.status === "failed")
)
const failed = numFailedTests + broken.length || (status === "0" ? 0 : 1)
console.log(`${numPassedTests} passed, ${failed} failed`)
