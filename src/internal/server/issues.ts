import type * as ParseResult from "effect/ParseResult"
import type { Issue } from "../../InferenceError.js"
import { issuesOf } from "../failure.js"

/** What is wrong, and in which field, as the problem+json member `errors` says it: each field once. */
export const fieldErrors = (prefix: string, error: ParseResult.ParseError) => {
  const fields = new Map<string, ReadonlyArray<string>>()
  for (const { path, message } of issuesOf(error)) {
    const field = [prefix, ...path].filter((part) => part !== "").join(".")
    fields.set(field, [...(fields.get(field) ?? []), message])
  }
  return Array.from(fields, ([field, messages]) => ({ field, message: messages.join("; ") }))
}

/** The same as one line. */
export const formatIssues = (error: ParseResult.ParseError): string =>
  fieldErrors("", error)
    .map(({ field, message }) => (field === "" ? message : `${field}: ${message}`))
    .join("; ")

/** Issues as one line, in which fields are named as in `errors`. */
export const dotted = (issues: ReadonlyArray<Issue>): string =>
  issues.map(({ path, message }) => [path.join("."), message].filter(Boolean).join(": ")).join("; ")
