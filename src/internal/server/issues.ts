import type * as ParseResult from "effect/ParseResult"
import { issuesOf } from "../failure.js"

/** What is wrong, and in which field, as the problem+json member `errors` says it. */
export const fieldErrors = (prefix: string, error: ParseResult.ParseError) =>
  issuesOf(error).map((issue) => ({ field: [prefix, ...issue.path].join("."), message: issue.message }))

/** The same as one line. */
export const formatIssues = (error: ParseResult.ParseError): string =>
  issuesOf(error)
    .map((issue) => (issue.path.length === 0 ? issue.message : `${issue.path.join(".")}: ${issue.message}`))
    .join("; ")
