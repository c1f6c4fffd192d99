/** Answers the calls of a turn that wait for this program: each once, several at a time, and always with some result. */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberSet from "effect/FiberSet"
import type { ChatError } from "../../Agents.js"
import * as Chat from "../../Chat.js"
import type * as Files from "../../Files.js"
import { type ApiFailure, isTransient } from "../../InferenceError.js"
import { Attribute } from "../../Telemetry.js"
import * as Tool from "../../Tool.js"
import * as Payload from "../payload.js"
import * as Retry from "../retry.js"
import * as Telemetry from "../telemetry.js"
import { type ChatApi, isRefusal } from "./chatApi.js"
import type { ChatState } from "./chatState.js"
import * as Tools from "./tools.js"
import { type Turn, waitsForClient } from "./turn.js"

/** Which calls this program has taken on. The last of them are remembered, so that stale news of one does not have it handled again. */
export interface Claims {
  /** Whether nobody has taken the call on before. */
  readonly take: (id: string) => boolean
  readonly isInterrupted: (id: string) => boolean
  readonly interrupt: (id: string) => void
  /** Gives a call back with which nothing was done. */
  readonly release: (id: string) => void
}

const maxClaims = 10_000

export const makeClaims = (): Claims => {
  const claims = new Map<string, { isInterrupted: boolean }>()
  return {
    take: (id) => {
      if (claims.has(id)) return false
      claims.set(id, { isInterrupted: false })
      for (const oldest of claims.keys()) {
        if (claims.size <= maxClaims) break
        claims.delete(oldest)
      }
      return true
    },
    isInterrupted: (id) => claims.get(id)?.isInterrupted === true,
    interrupt: (id) => {
      claims.set(id, { isInterrupted: true })
    },
    release: (id) => {
      claims.delete(id)
    }
  }
}

/** What went wrong in a handler is told to the model. Where nobody looks at the events, it would not be seen here. */
const log = (name: string, cause: Cause.Cause<unknown>) =>
  Cause.isFailure(cause)
    ? Effect.logDebug(`The tool ${name} failed`, cause)
    : Effect.logWarning(`The tool ${name} died`, cause)

/** The failure of a call as its span tells of it: without what is in it, which may be the arguments. */
class CallFailed<E> extends Error {
  constructor(
    readonly _tag: string,
    // A function, which is not printed with the error.
    readonly failure: () => Tool.Failure<E>
  ) {
    super(`the call failed: ${_tag}`)
  }
}

/** The tag of the handler's own error, or else what kind of failure it is. */
const tagOf = (failure: Tool.Failure): string =>
  (failure._tag === "HandlerFailed" ? Telemetry.errorTypeOf(Exit.failCause(failure.cause)) : undefined) ?? failure._tag

const spanned = <A, E, R>(about: Telemetry.Attributes, result: Effect.Effect<A, Tool.Failure<E>, R>) =>
  Effect.mapError(result, (failure) => new CallFailed(tagOf(failure), () => failure)).pipe(
    Telemetry.operation("Agents.toolCall", {
      ...about,
      [Attribute.operation]: "execute_tool",
      [Attribute.toolType]: "function"
    }),
    Effect.mapError((error) => error.failure())
  )

type ClientSpec<E, R> = Extract<Tool.Spec<E, R>, { readonly type: "client" }>

export interface Calls<R> {
  /** Takes a call on, in a fiber of its own. A call of another turn is answered only if there is a handler for it. */
  readonly answer: (invocation: Chat.ToolInvocation, isOurs: boolean) => Effect.Effect<void, never, R>
  /** Ends the handlers that still run when the turn is over. Results that are on their way arrive. */
  readonly settle: Effect.Effect<void>
}

export const make = <E, R>(options: {
  readonly chats: ChatApi
  readonly files: Files.Service
  readonly policy: Retry.Resolved
  readonly claims: Claims
  readonly tools: ReadonlyMap<string, ClientSpec<E, R>>
  readonly semaphore: Effect.Semaphore
  readonly fibers: FiberSet.FiberSet<void>
  readonly chatId: string
  readonly state: ChatState
  readonly turn: Turn
  readonly look: Effect.Effect<void, ApiFailure>
  readonly tell: (event: Chat.Event<E>) => Effect.Effect<void>
  readonly fail: (error: ChatError) => Effect.Effect<void>
}): Calls<R> => {
  const { chats, files, policy, claims, tools, semaphore, fibers, chatId, state, turn, look, tell, fail } = options

  /** The calls that were taken on in this turn, and those of them whose result is on its way. */
  const handlers = new Map<string, Fiber.Fiber<void>>()
  const submitting = new Set<string>()

  /** Whether a call still waits, as far as is known: its own state says so, and no message after it has its result. */
  const isWaiting = (id: string): boolean => {
    const messages = Array.from(state.entries()).flatMap(({ message }) => message ?? [])
    return messages.some(({ order, toolInvocations }) =>
      toolInvocations.some(
        (invocation) =>
          invocation.id === id &&
          waitsForClient(invocation) &&
          !messages.some((later) => later.order > order && later.toolCallId === (invocation.callId ?? id))
      )
    )
  }

  /**
   * Gives a result. Where it is not known whether it arrived, it is given again only if the call still waits for one. A refusal is no
   * failure if the call waits no more, since then the turn went on without it.
   */
  const submit = (id: string, result: string): Effect.Effect<void, ApiFailure> =>
    Effect.suspend(() => {
      submitting.add(id)
      return Retry.retrying<ApiFailure>(
        policy,
        isTransient
      )((failures) =>
        failures === 0
          ? chats.submit(id, result)
          : Effect.flatMap(look, () => (isWaiting(id) ? chats.submit(id, result) : Effect.void))
      )
    }).pipe(
      Effect.catchIf(isRefusal, (error) =>
        Effect.flatMap(look, () => (isWaiting(id) && turn.ending() === undefined ? Effect.fail(error) : Effect.void))
      ),
      Effect.ensuring(Effect.sync(() => submitting.delete(id)))
    )

  /** The text that the model reads. */
  const toText = (name: string, value: unknown): Effect.Effect<string, Tool.Failure<never>> =>
    typeof value === "string"
      ? Effect.succeed(value)
      : Effect.suspend(() => Payload.withFilesUploaded(name, value, files.upload)).pipe(
          Effect.mapBoth({
            onSuccess: (json) => JSON.stringify(json ?? null),
            onFailure: (error) =>
              Tool.Failure.InvalidResult({
                issues: error._tag === "InvalidRequest" ? error.issues : [{ path: [], message: error.message }]
              })
          }),
          Tools.orDefect(Tool.Failure.InvalidResult)
        )

  const resultOf = (invocation: Chat.ToolInvocation): Effect.Effect<string, Tool.Failure<E>, R> => {
    const { id, name, messageId, arguments: args } = invocation
    const spec = tools.get(name)
    if (spec === undefined) return Effect.fail(Tool.Failure.NotAvailable({ name }))
    const runId = Array.from(state.entries()).find((entry) => entry.id === messageId)?.message?.runId
    return Effect.flatMap(Tools.handle(spec, args, { id, name, chatId, messageId, runId }), (value) =>
      toText(name, value)
    )
  }

  const handle = (invocation: Chat.ToolInvocation, isOurs: boolean): Effect.Effect<void, never, R> => {
    const { id, name } = invocation
    const about = { [Attribute.toolName]: name, [Attribute.toolCallId]: id, [Attribute.chatId]: chatId }
    return Effect.gen(function* () {
      const outcome = yield* Effect.either(spanned(about, resultOf(invocation)))
      const failure = Either.isLeft(outcome) ? outcome.left : undefined
      const result = Either.isRight(outcome) ? outcome.right : Tools.tell(outcome.left)
      if (failure?._tag === "HandlerFailed") yield* log(name, failure.cause)
      // Told before it is submitted: the turn may be over before the reply to that is here.
      if (isOurs && turn.answered(id)) yield* tell(Chat.Event.ToolResult({ id, name, result, failure, invocation }))
      yield* Effect.catchAll(submit(id, result), fail)
    }).pipe(Effect.annotateLogs(about))
  }

  /** What an earlier turn began and did not come to an end with must not be begun again, and must not hold up the chat either. */
  const giveUp = (id: string) =>
    Effect.catchAll(submit(id, JSON.stringify({ error: "the call was interrupted" })), fail)

  const fork = <R>(id: string, effect: Effect.Effect<void, never, R>) =>
    Effect.suspend(() => {
      let hasBegun = false
      const begun = Effect.suspend(() => {
        hasBegun = true
        return effect
      })
      const work = Effect.onInterrupt(Effect.interruptible(semaphore.withPermits(1)(begun)), () =>
        Effect.sync(() => (hasBegun ? claims.interrupt(id) : claims.release(id)))
      )
      return Effect.map(Effect.uninterruptible(FiberSet.run(fibers, work)), (fiber) => {
        handlers.set(id, fiber)
      })
    })

  return {
    answer: (invocation, isOurs) =>
      Effect.suspend(() => {
        const { id, name } = invocation
        if (!isOurs && !tools.has(name)) return Effect.void
        if (claims.take(id)) return fork(id, handle(invocation, isOurs))
        return claims.isInterrupted(id) ? fork(id, giveUp(id)) : Effect.void
      }),

    settle: Effect.suspend(() =>
      Effect.forEach(handlers, ([id, fiber]) => (submitting.has(id) ? Fiber.await(fiber) : Fiber.interrupt(fiber)), {
        concurrency: "unbounded",
        discard: true
      })
    )
  }
}
