/** Agents and chats, put together. */
import * as HttpRouter from "@effect/platform/HttpRouter"
import * as Effect from "effect/Effect"
import { InvalidRequest, type Issue } from "../../../InferenceError.js"
import type { Json } from "../../wire.js"
import type { Launcher } from "../launcher.js"
import type { Records } from "../records.js"
import { parseRef } from "../registry.js"
import type { Problem } from "../reply.js"
import type { Settings } from "../settings.js"
import * as Agents from "./agents.js"
import * as ChatRoutes from "./chatRoutes.js"
import * as Chats from "./chats.js"
import * as Delegate from "./delegate.js"
import * as RunRoutes from "./runRoutes.js"
import * as TemplateRoutes from "./templateRoutes.js"
import * as Templates from "./templates.js"
import * as ToolRoutes from "./toolRoutes.js"
import * as Turn from "./turn.js"
import * as Turns from "./turns.js"

/** What could not be run is a mistake in the program that serves it. */
const checked = (agents: Agents.Agents, ref: string, config: Json) => {
  const invalid = (issues: ReadonlyArray<Issue>) =>
    new InvalidRequest({ issues: issues.map(({ path, message }) => ({ path: ["agents", ...path], message })) })
  return parseRef(ref) === undefined
    ? Effect.die(invalid([{ path: [ref], message: "expected a reference of the form namespace/name" }]))
    : Effect.orDie(
        Effect.mapError(agents.parse(config, ref), ({ detail, errors }) =>
          invalid(
            errors?.map(({ field, message }) => ({ path: [field], message })) ?? [{ path: [ref], message: detail }]
          )
        )
      )
}

export const make = (options: {
  readonly templates: ReadonlyArray<{ readonly ref: string; readonly config: Json }>
  readonly maxChats: number
  readonly launcher: Launcher
  readonly records: Records
  /** Whether turns may be started. */
  readonly admit: Effect.Effect<void, Problem>
  readonly settings: Settings
}) =>
  Effect.gen(function* () {
    const { admit, launcher, settings } = options
    const templates = yield* Templates.make(options.templates)
    const agents = Agents.make({ templates, launcher })
    yield* Effect.forEach(options.templates, ({ ref, config }) => checked(agents, ref, config), { discard: true })
    const chats = yield* Chats.load(options.maxChats, options.records)
    const turns = yield* Turns.make(chats, (turn, turns) => {
      const delegate = Delegate.make({ agents, chats, turns })
      return Turn.perform(turn, { launcher, delegate }, settings.heartbeatInterval)
    })
    const router = HttpRouter.concatAll(
      RunRoutes.make({ agents, chats, turns, admit, settings }),
      ChatRoutes.make({ agents, templates, chats, turns, settings }),
      ToolRoutes.make({ chats, settings }),
      TemplateRoutes.make({ agents, templates, settings })
    )
    return { router, drain: turns.drain }
  })
