/** The calls of tools that a message of a model makes, each from its beginning to its result. */
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as FiberId from "effect/FiberId"
import { isJsonObject } from "../../wire.js"
import { unsafeRandomId } from "../ids.js"
import type { Launcher } from "../launcher.js"
import * as Tasks from "../tasks.js"
import * as Approvals from "./approvals.js"
import { firstMisfits } from "./arguments.js"
import * as Chat from "./chat.js"
import { appRequest, isFinish, type Tool } from "./config.js"
import { describe, sourceOf, withTask } from "./model.js"
import type { CallOutput } from "./output.js"
import type { Invocation, Turn } from "./state.js"

/** What came of a call. */
export type Outcome = Pick<Invocation, "status" | "result">

export const completed = (result: string): Outcome => ({ status: "completed", result })

export const failed = (error: string): Outcome => ({ status: "failed", result: JSON.stringify({ error }) })

/** What calls are made with. */
export interface Means {
  readonly launcher: Launcher
  readonly delegate: (turn: Turn, tool: Tool, invocation: Invocation) => Effect.Effect<Outcome>
}

const toolOf = (turn: Turn, name: string): Tool | undefined =>
  turn.agent.config.tools.find((tool) => tool.name === name)

/** Whether a call ends the turn, and gives its output. */
export const hasFinished = (turn: Turn, { name, status }: Invocation): boolean => {
  const tool = toolOf(turn, name)
  return status === "completed" && tool !== undefined && isFinish(tool)
}

const beginning = (turn: Turn, tool: Tool | undefined, call: CallOutput): Outcome => {
  if (tool === undefined) return failed(`there is no tool "${call.name}"`)
  if (call.arguments === undefined) return failed(`the arguments are no JSON object: ${call.written.slice(0, 200)}`)
  const wrong = isFinish(tool) ? firstMisfits(tool.parameters, call.arguments) : []
  if (wrong.length > 0) return failed(`the arguments do not fit the schema: ${wrong.join("; ")}`)
  const asks = tool.requireApproval && !Approvals.isAllowed(turn.chat, tool.name)
  return { status: asks ? "awaiting_approval" : "in_progress", result: undefined }
}

/** The calls as they begin: what cannot be made has failed already. */
export const begin = (turn: Turn, now: number, calls: ReadonlyArray<CallOutput>): ReadonlyArray<Invocation> =>
  calls.map((call) => {
    const tool = toolOf(turn, call.name)
    const invocation: Invocation = {
      id: unsafeRandomId(),
      callId: call.id,
      type: tool?.type ?? "internal",
      name: call.name,
      displayName: tool?.displayName,
      arguments: call.arguments ?? {},
      executionId: undefined,
      createdAt: now,
      updatedAt: now,
      ...beginning(turn, tool, call)
    }
    turn.chat.index.set(invocation.id, turn.chat)
    turn.calls.set(invocation.id, {
      decided: Deferred.unsafeMake(FiberId.none),
      answered: Deferred.unsafeMake(FiberId.none)
    })
    if (invocation.status === "awaiting_approval") Approvals.ask(turn, now, invocation)
    return invocation
  })

const change = (turn: Turn, id: string, patch: Partial<Invocation>) =>
  Effect.map(Clock.currentTimeMillis, (now) => Chat.changeInvocation(turn, now, id, patch))

/** Says which task or chat does what was called for. */
export const setExecution = (turn: Turn, { id }: Invocation, executionId: string) => change(turn, id, { executionId })

const runApp = (turn: Turn, { settings }: Tool, invocation: Invocation, launcher: Launcher): Effect.Effect<Outcome> =>
  Effect.gen(function* () {
    const input = { ...(isJsonObject(settings.input) && settings.input), ...invocation.arguments }
    const start = yield* Effect.either(launcher.prepare({ ...appRequest(settings), input }, sourceOf(turn)))
    if (Either.isLeft(start)) return failed(describe(start.left))
    return yield* withTask(launcher, start.right, (entry) =>
      Effect.gen(function* () {
        yield* setExecution(turn, invocation, entry.state.id)
        const { status, output, error } = yield* Tasks.ended(entry)
        if (status !== "completed") return failed(error ?? `the task was ${status}`)
        return completed(typeof output === "string" ? output : (JSON.stringify(output) ?? "null"))
      })
    )
  })

const make = (turn: Turn, tool: Tool, invocation: Invocation, means: Means): Effect.Effect<Outcome> => {
  switch (tool.type) {
    case "app":
      return runApp(turn, tool, invocation, means.launcher)
    case "agent":
      return means.delegate(turn, tool, invocation)
    case "client": {
      const message = `nobody is there to run the tool "${tool.name}"`
      return Effect.succeed({ status: "failed", result: JSON.stringify({ status: "not_available", message }) })
    }
    default:
      return Effect.succeed(
        isFinish(tool)
          ? completed(JSON.stringify({ status: "finished" }))
          : failed(`this server makes no calls of type "${tool.type}"`)
      )
  }
}

/** Sees a call through to its result. */
export const handle = (turn: Turn, invocation: Invocation, means: Means): Effect.Effect<void> =>
  Effect.gen(function* () {
    const tool = toolOf(turn, invocation.name)
    const call = turn.calls.get(invocation.id)
    if (tool === undefined || call === undefined || invocation.status === "failed") return
    if (invocation.status === "awaiting_approval" && !(yield* Deferred.await(call.decided))) return
    // The client of a chat answers for it. Chats of agents that are tools have none.
    if (tool.type === "client" && turn.chat.parent === undefined) return yield* Deferred.await(call.answered)
    yield* change(turn, invocation.id, yield* make(turn, tool, invocation, means))
  })
