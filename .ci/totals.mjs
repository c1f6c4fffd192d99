// Prints the totals of vitest's JSON report. A file that could not be loaded, or an error outside any test, counts as a failure.
import { existsSync, readFileSync } from "node:fs"

const [report, status] = process.argv.slice(2)
let passed = 0
let failed = 0
if (existsSync(report)) {
  const { numPassedTests, numFailedTests, success, testResults } = JSON.parse(readFileSync(report, "utf8"))
  const broken = testResults.filter(
    (file) => file.status === "failed" && !file.assertionResults.some((test) => test.status === "failed")
  )
  passed = numPassedTests
  failed = numFailedTests + broken.length || (success ? 0 : 1)
}
console.log(`${passed} passed, ${failed} failed`)
