/** The API client, where what becomes of a call of an app that plays a script is up to that. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type * as ApiClient from "../../ApiClient.js"
import { decodeError } from "../failure.js"
import * as Registry from "../server/registry.js"
import { isJsonObject } from "../wire.js"
import type * as Script from "./script.js"

export const make = (api: ApiClient.Service, players: ReadonlyArray<Script.Player>): ApiClient.Service => {
  const hosted = players.map((player) => ({ ...Registry.host(player.base), player }))
  return {
    ...api,
    request: (request) =>
      Effect.gen(function* () {
        const { method, path, body } = request
        // With `wait` the reply comes once the task has ended, so that it cannot say beforehand which one that is.
        const starts = method === "POST" && path === "/apps/run" && isJsonObject(body) && body.wait !== true
        const found = starts ? yield* Effect.option(Registry.resolve(hosted, body)) : Option.none()
        if (Option.isNone(found)) return yield* api.request(request)
        const task = yield* found.value.app.player.next(api.request({ ...request, schema: Schema.Unknown }))
        return yield* Effect.mapError(Schema.decodeUnknown(request.schema)(task), (error) =>
          decodeError("reply to POST /apps/run", error)
        )
      })
  }
}
