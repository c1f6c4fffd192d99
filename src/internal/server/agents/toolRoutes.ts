/** How clients answer calls: with results, approvals and rejections. Protocol.md §7.9, §7.10. */
import * as HttpRouter from "@effect/platform/HttpRouter"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import { invalid, notFound, Problem, readBody, success } from "../reply.js"
import type { Settings } from "../settings.js"
import * as Approvals from "./approvals.js"
import type { Chats } from "./chats.js"
import { type Chat, lineage } from "./state.js"
import * as Wire from "./wire.js"

const isWithin = (chat: Chat, id: string | undefined): boolean =>
  id === undefined || lineage(chat).some((each) => each.id === id)

export const make = (options: { readonly chats: Chats; readonly settings: Settings }) => {
  const { chats, settings } = options
  const ok = (data: unknown) => success(settings.envelope, data)

  const bodyOf = readBody(settings.maxBodySize)

  /** The call that a path names, in the chat that it names, if any: those who watch a chat see what its agents ask. */
  const call = Effect.flatMap(HttpRouter.params, ({ id = "", chatId }) => {
    const chat = chats.holding(id)
    const invocation = chat?.messages.flatMap(({ invocations }) => invocations).find((each) => each.id === id)
    return chat === undefined || invocation === undefined || !isWithin(chat, chatId)
      ? Effect.fail(notFound(`tool invocation ${id}`))
      : Effect.succeed({ chat, invocation })
  })

  const answer = Effect.gen(function* () {
    const { chat, invocation } = yield* call
    const { result } = yield* bodyOf
    if (typeof result !== "string") {
      return yield* invalid("this is no result of a tool", [{ field: "result", message: "expected a text" }])
    }
    yield* Approvals.answer(chat, yield* Clock.currentTimeMillis, invocation.id, result)
    return ok(null)
  })

  const approve = Effect.gen(function* () {
    const { chat, invocation } = yield* call
    yield* Approvals.decide(chat, yield* Clock.currentTimeMillis, invocation.id, { allow: true })
    return ok(null)
  })

  const reject = Effect.gen(function* () {
    const { chat, invocation } = yield* call
    const { reason } = yield* bodyOf
    yield* Approvals.decide(chat, yield* Clock.currentTimeMillis, invocation.id, {
      allow: false,
      reason: typeof reason === "string" ? reason : undefined
    })
    return ok(null)
  })

  const alwaysAllow = Effect.gen(function* () {
    const { chat, invocation } = yield* call
    const body = yield* bodyOf
    const { name } = invocation
    const wanted = body.option ?? body.tool_name ?? name
    if (wanted !== name) {
      const detail = `tool invocation ${invocation.id} calls "${name}", not "${wanted}"`
      return yield* new Problem({ status: 409, code: "conflict", detail })
    }
    const now = yield* Clock.currentTimeMillis
    yield* Approvals.decide(chat, now, invocation.id, { allow: true })
    Approvals.alwaysAllow(chat, now, name)
    Approvals.settleAllowed(chats.all(), now)
    return ok(null)
  })

  const resolve = Effect.gen(function* () {
    const { id = "" } = yield* HttpRouter.params
    const { decision } = yield* bodyOf
    const chat = chats.holding(id)
    const interrupt = chat?.interrupts.find((each) => each.id === id)
    if (chat === undefined || interrupt === undefined) return yield* notFound(`interrupt ${id}`)
    if (decision !== "allow" && decision !== "deny") {
      return yield* invalid("this is no decision", [{ field: "decision", message: "expected allow or deny" }])
    }
    const now = yield* Clock.currentTimeMillis
    const decided = decision === "allow" ? { allow: true as const } : { allow: false as const, reason: undefined }
    return ok(Wire.interrupt(chat, yield* Approvals.decide(chat, now, interrupt.invocationId, decided)))
  })

  const interrupts = Effect.flatMap(HttpRouter.params, ({ id = "" }) => {
    const chat = chats.holding(id)
    return chat?.runs.some((run) => run.id === id)
      ? Effect.succeed(
          ok(chat.interrupts.filter(({ runId }) => runId === id).map((interrupt) => Wire.interrupt(chat, interrupt)))
        )
      : Effect.fail(notFound(`agent run ${id}`))
  })

  return HttpRouter.empty.pipe(
    HttpRouter.post("/tools/:id", answer),
    HttpRouter.post("/tools/:id/invoke", approve),
    HttpRouter.post("/tools/:id/reject", reject),
    HttpRouter.get(
      "/chats/:chatId/tools/:id/always-allow/options",
      Effect.map(call, ({ invocation }) => ok([invocation.name]))
    ),
    HttpRouter.post("/chats/:chatId/tools/:id/always-allow", alwaysAllow),
    HttpRouter.post("/interrupts/:id/resolve", resolve),
    HttpRouter.get("/agent-runs/:id/interrupts", interrupts)
  )
}
