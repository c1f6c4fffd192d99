/** All routes as one HttpApp: authentication before them, problems after them. */
import type * as FileSystem from "@effect/platform/FileSystem"
import type * as HttpApp from "@effect/platform/HttpApp"
import * as HttpRouter from "@effect/platform/HttpRouter"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as Path from "@effect/platform/Path"
import * as Cause from "effect/Cause"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import type * as App from "../../App.js"
import type * as BaseApp from "../../BaseApp.js"
import type { FileError } from "../../InferenceError.js"
import type * as Task from "../../Task.js"
import type { Json } from "../wire.js"
import * as AgentRoutes from "./agents/routes.js"
import * as AppRoutes from "./appRoutes.js"
import * as FileRoutes from "./fileRoutes.js"
import * as Files from "./files.js"
import { safeEqual } from "./ids.js"
import * as Launcher from "./launcher.js"
import * as Pool from "./pool.js"
import * as Records from "./records.js"
import { host } from "./registry.js"
import { failure, notFound, Problem } from "./reply.js"
import * as SessionRoutes from "./sessionRoutes.js"
import * as Sessions from "./sessions.js"
import type { Settings } from "./settings.js"
import * as Shutdown from "./shutdown.js"
import * as TaskRoutes from "./taskRoutes.js"
import * as Tasks from "./tasks.js"
import * as TaskWire from "./taskWire.js"
import * as Webhooks from "./webhooks.js"

/** Signed URLs and unguessable ones: their holders need no key. */
const open = /^\/(uploads|app\/files)\//

const authenticate = (settings: Settings, request: HttpServerRequest.HttpServerRequest) => {
  const token = /^bearer +(\S+) *$/i.exec(request.headers.authorization ?? "")?.[1]
  const valid =
    token !== undefined && (settings.apiKey === undefined || safeEqual(token, Redacted.value(settings.apiKey)))
  return valid
    ? Effect.void
    : Effect.fail(
        new Problem({
          status: 401,
          code: "unauthorized",
          detail: token === undefined ? "the request has no bearer token" : "the API key is not valid"
        })
      )
}

/** The path as routes know it: a former prefix and doubled slashes are tolerated. */
const normalise = (url: string): string => {
  const [path = "", ...query] = url.split("?")
  const clean = path.replace(/\/{2,}/g, "/").replace(/^\/v1(?=\/)/, "")
  const bare = clean.length > 1 ? clean.replace(/\/$/, "") : clean
  return [bare, ...query].join("?")
}

/** Whether an address must not be known to others. */
export const isSecret = (url: string): boolean => open.test(normalise(url))

/** The methods that a path has. */
const methodsOf = <E, R>(router: HttpRouter.HttpRouter<E, R>, path: string): ReadonlyArray<string> =>
  Array.from(router.routes)
    .filter((route) => new RegExp(`^${route.path.replace(/:[^/]+/g, "[^/]+")}$`).test(path))
    .flatMap(({ method }) => (method === "GET" ? ["GET", "HEAD"] : [method]))
    .sort()

const notAllowed = (what: string, methods: ReadonlyArray<string>) =>
  new Problem({
    status: 405,
    code: "method_not_allowed",
    detail: `${what} is not allowed`,
    headers: { allow: methods.join(", ") }
  })

export interface Options<R> {
  readonly apps: ReadonlyArray<BaseApp.BaseApp<App.Any, R>>
  /** The agents that there are from the start: `ref` is `namespace/name` or `namespace/name@version`. */
  readonly templates: ReadonlyArray<{ readonly ref: string; readonly config: Json }>
  readonly directory: string
  /** Whether what is in the directory outlives the server. */
  readonly isPersistent: boolean
  readonly numbering: Task.StatusNumbering
  readonly instances: Pool.Limits
  readonly maxSessions: number
  readonly maxTasks: number
  readonly maxChats: number
  readonly shutdownTimeout: Duration.Duration
  readonly webhookHosts: ReadonlyArray<string>
  readonly settings: Settings
}

export const make = <R>(
  options: Options<R>
): Effect.Effect<HttpApp.Default, FileError, R | FileSystem.FileSystem | Path.Path | Scope.Scope> =>
  Effect.gen(function* () {
    const { directory, settings } = options
    const path = yield* Path.Path
    const recordsOf = (kind: string) =>
      options.isPersistent ? Records.make(path.join(directory, "records", kind)) : Effect.succeed(Records.none)
    const files = yield* Files.make(directory, yield* recordsOf("files"))
    // Made before the tasks, and so unloaded after them.
    const apps = yield* Effect.forEach(options.apps, (base) =>
      Effect.map(Pool.make(base, options.instances), (pool) => ({ ...host(base), pool }))
    )
    const sessions = yield* Sessions.make<R>(options.maxSessions)
    const store = yield* Tasks.makeStore(options.maxTasks, yield* recordsOf("tasks"))
    const wire = TaskWire.make(options.numbering)
    const webhooks = yield* Webhooks.make({ hosts: options.webhookHosts, wire })
    const launcher = yield* Launcher.make<R>({ apps, sessions, store, files, webhooks })
    const shutdown = Shutdown.make(options.shutdownTimeout)
    const { admit } = shutdown
    const taskRoutes = TaskRoutes.make({ launcher, store, wire, admit, settings })
    const fileRoutes = FileRoutes.make({ files, settings })
    // Made after the tasks, and so stopped before them.
    const agents = yield* AgentRoutes.make({
      templates: options.templates,
      maxChats: options.maxChats,
      launcher,
      records: yield* recordsOf("chats"),
      admit,
      settings
    })
    const appRoutes = yield* AppRoutes.make({ apps, settings })
    const sessionRoutes = SessionRoutes.make({ sessions, settings })
    const routes = HttpRouter.concatAll(taskRoutes, fileRoutes, appRoutes, agents.router, sessionRoutes)
    const router = yield* HttpRouter.toHttpApp(routes)
    yield* Effect.addFinalizer(() =>
      shutdown.drain((until) =>
        // Turns before tasks, which they start.
        Effect.all([launcher.cancelLater(until), agents.drain, launcher.drain], { discard: true })
      )
    )

    return Effect.gen(function* () {
      const original = yield* HttpServerRequest.HttpServerRequest
      const request = original.modify({ url: normalise(original.url) })
      if (!open.test(request.url)) yield* authenticate(settings, request)
      return yield* Effect.provideService(router, HttpServerRequest.HttpServerRequest, request)
    }).pipe(
      Effect.catchTag("RouteNotFound", ({ request }) => {
        const path = request.url.replace(/\?.*/s, "")
        const methods = methodsOf(routes, path)
        return Effect.fail(
          methods.length === 0 || methods.includes(request.method)
            ? notFound(`${request.method} ${path}`)
            : notAllowed(`${request.method} ${path}`, methods)
        )
      }),
      Effect.catchTag("Problem", (problem) => Effect.succeed(failure(settings.envelope, problem))),
      Effect.catchAllCause((cause) =>
        Cause.isInterrupted(cause)
          ? Effect.failCause(cause)
          : Effect.as(
              Effect.logError("a request failed unexpectedly", cause),
              failure(
                settings.envelope,
                new Problem({ status: 500, code: "internal_error", detail: "see the server's log" })
              )
            )
      )
    )
  })
