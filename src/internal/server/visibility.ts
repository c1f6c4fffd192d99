import * as Effect from "effect/Effect"
import { invalid, type Problem } from "./reply.js"

const visibilities: ReadonlyArray<string> = ["private", "team", "org", "public", "unlisted"]

/** Who may see a resource, as a request says it. */
export const readVisibility = (value: unknown): Effect.Effect<string, Problem> =>
  typeof value === "string" && visibilities.includes(value)
    ? Effect.succeed(value)
    : Effect.fail(
        invalid("this is no visibility", [
          { field: "visibility", message: `expected one of: ${visibilities.join(", ")}` }
        ])
      )
