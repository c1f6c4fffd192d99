import * as HttpRouter from "@effect/platform/HttpRouter"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Effect from "effect/Effect"
import type { Json } from "../wire.js"
import { base } from "./agents/wire.js"
import { success } from "./reply.js"
import type { Sessions, State } from "./sessions.js"
import type { Settings } from "./settings.js"
import { iso } from "./taskWire.js"

/** A session as it goes over the wire: protocol.md §9. */
const wire = (state: State): Json => ({
  ...base(state),
  worker_id: state.workerId,
  app_id: state.appId,
  app_version_id: state.appVersionId,
  status: state.status,
  expires_at: iso(state.expiresAt),
  ended_at: state.endedAt === undefined ? null : iso(state.endedAt),
  task_id: state.taskId ?? null,
  call_count: state.callCount,
  last_call_at: state.lastCallAt === undefined ? null : iso(state.lastCallAt),
  idle_timeout: state.idleTimeout
})

export const make = <R>(options: { readonly sessions: Sessions<R>; readonly settings: Settings }) => {
  const { sessions, settings } = options
  const ok = (data: unknown) => success(settings.envelope, data)
  const id = Effect.map(HttpRouter.params, ({ id = "" }) => id)

  return HttpRouter.empty.pipe(
    HttpRouter.get(
      "/sessions",
      Effect.sync(() => ok(sessions.all().map(wire)))
    ),
    HttpRouter.get(
      "/sessions/:id",
      Effect.map(Effect.flatMap(id, sessions.get), (state) => ok(wire(state)))
    ),
    HttpRouter.post(
      "/sessions/:id/keepalive",
      Effect.map(Effect.flatMap(id, sessions.keepalive), (state) => ok(wire(state)))
    ),
    HttpRouter.del(
      "/sessions/:id",
      Effect.as(Effect.flatMap(id, sessions.end), HttpServerResponse.empty({ status: 204 }))
    )
  )
}
