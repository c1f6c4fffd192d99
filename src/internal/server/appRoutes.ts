import * as HttpRouter from "@effect/platform/HttpRouter"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as AppWire from "./appWire.js"
import { page } from "./listing.js"
import { type Hosted, resolve } from "./registry.js"
import { readBody, success } from "./reply.js"
import type { Settings } from "./settings.js"

export const make = (options: { readonly apps: ReadonlyArray<Hosted>; readonly settings: Settings }) =>
  Effect.map(Clock.currentTimeMillis, (start) => {
    const { apps, settings } = options
    const wire = (app: Hosted) => AppWire.app(app, start)

    const get = Effect.gen(function* () {
      const { namespace, name } = yield* HttpRouter.params
      const { app } = yield* resolve(apps, { app: `${namespace}/${name}` })
      return success(settings.envelope, wire(app))
    })

    const list = Effect.gen(function* () {
      const items = apps.map((app, ordinal) => ({ app, ordinal })).reverse()
      const body = yield* readBody(settings.maxBodySize)
      const texts = ["namespace", "name", "title", "description"]
      return success(settings.envelope, yield* page(items, body, { wire: ({ app }) => wire(app), texts }))
    })

    return HttpRouter.empty.pipe(HttpRouter.post("/apps/list", list), HttpRouter.get("/apps/:namespace/:name", get))
  })
