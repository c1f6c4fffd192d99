import * as Effect from "effect/Effect"
import * as Support from "../support/startServer.js"

/** Starts `server.ts` in a process of its own, which ends with the scope, and gives its address. */
export const startServer = Effect.map(
  Support.startServer(new URL("server.ts", import.meta.url)),
  ({ address }) => address
)
