/** Agents and chats, put together. */
import * as HttpRouter from "@effect/platform/HttpRouter"
import * as Effect from "effect/Effect"
import type { Json } from "../../wire.js"
import type { Launcher } from "../launcher.js"
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

/** How many chats are kept. */
const maxChats = 1000

export const make = (options: {
  readonly templates: ReadonlyArray<{ readonly ref: string; readonly config: Json }>
  readonly launcher: Launcher
  readonly settings: Settings
}) =>
  Effect.gen(function* () {
    const { launcher, settings } = options
    const templates = yield* Templates.make(options.templates)
    const agents = Agents.make({ templates, launcher })
    const chats = Chats.make(maxChats)
    const turns = yield* Turns.make(chats, (turn, turns) => {
      const delegate = Delegate.make({ agents, chats, turns })
      return Turn.perform(turn, { launcher, delegate }, settings.heartbeatInterval)
    })
    return HttpRouter.concatAll(
      RunRoutes.make({ agents, chats, turns, settings }),
      ChatRoutes.make({ agents, templates, chats, turns, settings }),
      ToolRoutes.make({ chats, settings }),
      TemplateRoutes.make({ agents, templates, settings })
    )
  })
