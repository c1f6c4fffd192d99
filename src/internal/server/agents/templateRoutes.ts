/** The agents that have a name, for clients to keep: protocol.md §7.12. */
import * as HttpRouter from "@effect/platform/HttpRouter"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Effect from "effect/Effect"
import { isJsonObject, type Json, sameJson } from "../../wire.js"
import { page } from "../listing.js"
import { invalid, notFound, Problem, readBody, success } from "../reply.js"
import { originOf, type Settings } from "../settings.js"
import { readVisibility } from "../visibility.js"
import type { Agents } from "./agents.js"
import { finishTool } from "./config.js"
import { current, type Info, type Templates, versionOf } from "./templates.js"
import * as Wire from "./templateWire.js"

const internalTools = [
  {
    id: finishTool,
    name: "Finish",
    description: "Lets the agent end its turn with a structured output.",
    tools: [finishTool],
    scope: "agent",
    default_enabled: false
  }
]

/** What a request says of a template. */
const infoOf = (body: Json): Effect.Effect<Partial<Info>, Problem> =>
  Effect.gen(function* () {
    for (const field of ["namespace", "name", "title", "team_id"]) {
      const value = body[field]
      if (value == null) continue
      if (typeof value !== "string") {
        return yield* invalid(`this is no ${field}`, [{ field, message: "expected a text" }])
      }
      if ((field === "namespace" || field === "name") && !/^[\w.-]+$/.test(value)) {
        const message = "expected letters, digits, dots, dashes and underscores"
        return yield* invalid(`this is no ${field}`, [{ field, message }])
      }
    }
    return {
      ...(typeof body.namespace === "string" && { namespace: body.namespace }),
      ...(typeof body.name === "string" && { name: body.name }),
      ...(typeof body.title === "string" && { title: body.title }),
      ...(typeof body.team_id === "string" && { teamId: body.team_id }),
      ...(isJsonObject(body.images) && { images: body.images }),
      ...(body.visibility != null && { visibility: yield* readVisibility(body.visibility) })
    }
  })

export const make = (options: {
  readonly agents: Agents
  readonly templates: Templates
  readonly settings: Settings
}) => {
  const { agents, templates, settings } = options
  const ok = (data: unknown) => success(settings.envelope, data)

  const bodyOf = readBody(settings.maxBodySize)
  const withId = (id: string) => {
    const found = templates.find(id)
    return found === undefined ? Effect.fail(notFound(`agent ${id}`)) : Effect.succeed(found)
  }
  const template = Effect.flatMap(HttpRouter.params, ({ id = "" }) => withId(id))

  const unused = ({ namespace = "local", name }: Partial<Info>, self?: string) =>
    Effect.suspend(() => {
      const other = name === undefined ? undefined : templates.named(namespace, name)
      return other === undefined || other.id === self
        ? Effect.void
        : new Problem({ status: 409, code: "conflict", detail: `there is an agent ${namespace}/${name}` })
    })

  const create = Effect.gen(function* () {
    const body = yield* bodyOf
    const { version: config } = body
    const given = isJsonObject(config) ? config : undefined
    if (config != null) yield* agents.parse(config, "version")
    const info = yield* infoOf(body)
    if (typeof body.id === "string" && body.id !== "") {
      const known = yield* withId(body.id)
      yield* unused({ namespace: info.namespace ?? known.namespace, name: info.name ?? known.name }, known.id)
      const changed = yield* templates.change(known, info)
      return ok(Wire.agent(given === undefined ? changed : yield* templates.addVersion(changed, given)))
    }
    const { name } = info
    if (name === undefined) {
      return yield* invalid("the agent has no name", [{ field: "name", message: "is missing" }])
    }
    yield* unused(info)
    return ok(Wire.agent(yield* templates.create({ ...info, name }, given ?? {})))
  })

  const update = (...required: ReadonlyArray<string>) =>
    Effect.gen(function* () {
      const found = yield* template
      const body = yield* bodyOf
      const missing = required.filter((field) => body[field] == null)
      if (missing.length > 0) {
        const errors = missing.map((field) => ({ field, message: "is missing" }))
        return yield* invalid("the request does not say what to change", errors)
      }
      // A client that sends back what it has read changes no version.
      if (body.version != null && !sameJson(body.version, Wire.version(found, current(found)))) {
        const message = "versions are not changed: POST /agents with the agent's id adds one"
        return yield* invalid("the request cannot change the version", [{ field: "version", message }])
      }
      const info = yield* infoOf(body)
      yield* unused({ namespace: info.namespace ?? found.namespace, name: info.name ?? found.name }, found.id)
      return ok(Wire.agent(yield* templates.change(found, info)))
    })

  const freeName = (namespace: string, name: string, tries = 1): string => {
    const wanted = `${name}-copy${tries === 1 ? "" : tries}`
    return templates.named(namespace, wanted) === undefined ? wanted : freeName(namespace, name, tries + 1)
  }

  const duplicate = Effect.gen(function* () {
    const found = yield* template
    const { namespace, title, images, visibility, teamId } = found
    const name = freeName(namespace, found.name)
    const info = { namespace, name, title, images, visibility, teamId }
    return ok(Wire.agent(yield* templates.create(info, current(found).config)))
  })

  const withName = (namespace: string, name: string) => {
    const found = templates.resolve(`${namespace}/${name}`)
    return found === undefined
      ? Effect.fail(notFound(`agent ${namespace}/${name}`))
      : Effect.succeed(ok(Wire.agent(found.template, found.version)))
  }
  const named = Effect.flatMap(HttpRouter.params, ({ namespace = "", name = "" }) => withName(namespace, name))

  const version = Effect.gen(function* () {
    const found = yield* template
    const { versionId = "" } = yield* HttpRouter.params
    const version = versionOf(found, versionId)
    return version === undefined ? yield* notFound(`version ${versionId}`) : ok(Wire.version(found, version))
  })

  const list = Effect.gen(function* () {
    const body = yield* bodyOf
    return ok(
      yield* page(templates.all(), body, { wire: (each) => Wire.agent(each), texts: ["name", "title", "namespace"] })
    )
  })

  const versions = Effect.gen(function* () {
    const found = yield* template
    const body = yield* bodyOf
    return ok(
      yield* page([...found.versions].reverse(), body, {
        wire: (each) => Wire.version(found, each),
        texts: ["description"]
      })
    )
  })

  const card = Effect.gen(function* () {
    const { id = "" } = yield* HttpRouter.params
    const found = templates.find(id)
    // What is no id is a namespace, with an agent of this name.
    if (found === undefined) return yield* withName(id, "card")
    const request = yield* HttpServerRequest.HttpServerRequest
    return HttpServerResponse.unsafeJson(Wire.card(found, originOf(settings, request)))
  })

  return HttpRouter.empty.pipe(
    HttpRouter.get("/agents/internal-tools", Effect.succeed(ok(internalTools))),
    HttpRouter.post("/agents/list", list),
    HttpRouter.post("/agents", create),
    HttpRouter.get(
      "/agents/:id",
      Effect.map(template, (found) => ok(Wire.agent(found)))
    ),
    HttpRouter.post("/agents/:id", update()),
    HttpRouter.patch("/agents/:id", update()),
    HttpRouter.del(
      "/agents/:id",
      Effect.map(template, ({ id }) => {
        templates.remove(id)
        return HttpServerResponse.empty({ status: 204 })
      })
    ),
    HttpRouter.get("/agents/:namespace/:name", named),
    HttpRouter.post("/agents/:id/duplicate", duplicate),
    HttpRouter.post("/agents/:id/versions/list", versions),
    HttpRouter.get("/agents/:id/versions/:versionId", version),
    HttpRouter.post("/agents/:id/transfer", update("team_id")),
    HttpRouter.post("/agents/:id/visibility", update("visibility")),
    HttpRouter.get("/agents/:id/card", card)
  )
}
