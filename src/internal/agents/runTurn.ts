/** Takes a turn: posts the message, follows the chat until the turn is over, and answers its calls meanwhile. */
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Fiber from "effect/Fiber"
import * as FiberSet from "effect/FiberSet"
import * as Mailbox from "effect/Mailbox"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { ChatError } from "../../Agents.js"
import type * as ApiClient from "../../ApiClient.js"
import * as Chat from "../../Chat.js"
import type * as Files from "../../Files.js"
import { type ApiFailure, type ChatInterrupted, chatInterrupted, DecodeError } from "../../InferenceError.js"
import { Attribute } from "../../Telemetry.js"
import type * as Tool from "../../Tool.js"
import { decodeError } from "../failure.js"
import { briefly, failWithoutProgress, follow, type Subject, synced } from "../follow.js"
import { startOwned } from "../owned.js"
import * as Telemetry from "../telemetry.js"
import { type Json, JsonObject } from "../wire.js"
import * as Calls from "./calls.js"
import { type ChatApi, isRefusal, pathOf } from "./chatApi.js"
import * as ChatEvents from "./chatEvents.js"
import { lookAt } from "./chatLook.js"
import * as ChatState from "./chatState.js"
import * as Turn from "./turn.js"

/** How many events wait for a consumer that is slow, before the chat is followed no further. */
const capacity = 64

/** How often, and how far apart, messages are asked for that should be finished and are not. */
const patience = { looks: 10, pause: "500 millis" } as const

const Posted = Schema.Struct({
  user_message: Schema.optionalWith(JsonObject, { nullable: true }),
  assistant_message: Schema.optionalWith(JsonObject, { nullable: true })
})

export interface Options<E, R> {
  readonly api: ApiClient.Service
  readonly chats: ChatApi
  readonly files: Files.Service
  readonly claims: Calls.Claims
  readonly tools: ReadonlyMap<string, Extract<Tool.Spec<E, R>, { readonly type: "client" }>>
  readonly toolConcurrency: number
  /** The chat to go on with, if there is one yet. */
  readonly chatId: string | undefined
  readonly body: Json
  readonly wantsOutput: boolean
  readonly onChat: (chatId: string) => void
}

const isLast = (step: Turn.Step): boolean =>
  step._tag === "Tell" && step.event._tag === "Status" && Chat.isOver(step.event.status)

const unknown = (event: string | undefined, data: unknown): Turn.Step => ({
  _tag: "Tell",
  event: Chat.Event.Unknown({ event, data })
})

const isProgress = (step: Turn.Step): boolean => step._tag === "Answer" || step.event._tag !== "Unknown"

/** The events of the turn. They belong to the scope: closing it early interrupts handlers and stops the turn. */
export const runTurn = <E, R>(
  options: Options<E, R>
): Effect.Effect<Stream.Stream<Chat.Event<E>, ChatError>, ChatError, R | Scope.Scope> =>
  Effect.gen(function* () {
    const { api, chats } = options
    const { settings } = api
    const state = ChatState.make()
    const turn = Turn.make(state, { isNewChat: options.chatId === undefined, wantsOutput: options.wantsOutput })
    const events = yield* Mailbox.make<Chat.Event<E>, ChatError>(capacity)
    const fibers = yield* FiberSet.make<void>()
    const semaphore = yield* Effect.makeSemaphore(options.toolConcurrency)
    const context = yield* Effect.context<R>()
    // What the connection brings waits for the reply to the message, which tells what of it belongs to the turn.
    const begun = yield* Deferred.make<void>()
    let isPosting = false
    const ids: ChatEvents.Ids = new Set()
    // How it ended, as seen from here.
    let outcome: Turn.Ending | "lost" | undefined

    const tell = (event: Chat.Event<E>) => Effect.asVoid(events.offer(event))

    const read = (reply: typeof Posted.Type): Effect.Effect<string, ApiFailure> =>
      Effect.gen(function* () {
        const take = (data: Json | undefined) =>
          data === undefined
            ? Effect.succeed(undefined)
            : Effect.flatMap(
                Effect.mapError(Schema.decodeUnknown(Chat.Message)(data), (error) =>
                  decodeError("reply to POST /agents/run", error)
                ),
                (message) =>
                  Effect.sync(() => {
                    state.apply({ _tag: "Message", data, fields: undefined }, "reply")
                    return message
                  })
              )
        const userMessage = yield* take(reply.user_message)
        const assistantMessage = yield* take(reply.assistant_message)
        const chatId = assistantMessage?.chatId ?? userMessage?.chatId ?? options.chatId
        if (chatId === undefined) {
          return yield* new DecodeError({
            subject: "reply to POST /agents/run",
            path: ["assistant_message", "chat_id"],
            detail: "it does not say which chat the message went to"
          })
        }
        yield* Telemetry.annotate({ [Attribute.chatId]: chatId })
        ids.add(chatId)
        turn.begin({ chatId, userMessage, assistantMessage })
        options.onChat(chatId)
        yield* Deferred.succeed(begun, undefined)
        return chatId
      })

    const isKnown = ({ id, order }: Json): boolean => {
      const user = turn.userMessage()
      return user === undefined || id === user.id || (typeof order === "number" && order <= user.order)
    }
    const lookAtChat = (chatId: string) => lookAt(chats, chatId, state, isKnown)

    /** Stops the turn, or takes the message back while it is in the queue: what is under way then is another's. */
    const undo = (chatId: string): Effect.Effect<void, ApiFailure> =>
      Effect.suspend(() => {
        const message = turn.userMessage()
        if (message === undefined || !turn.isQueued()) return chats.stop(chatId)
        const stopIfBegun = Effect.flatMap(lookAtChat(chatId), () =>
          turn.isQueued() || turn.ending() !== undefined ? Effect.void : chats.stop(chatId)
        )
        return Effect.catchIf(chats.withdraw(message.id), isRefusal, () => stopIfBegun)
      })

    const chatIdOf = (reply: typeof Posted.Type) =>
      reply.assistant_message?.chat_id ?? reply.user_message?.chat_id ?? options.chatId

    const post = Effect.flatMap(
      startOwned<typeof Posted.Type, ApiFailure>({
        start: api.request({ method: "POST", path: "/agents/run", body: options.body, schema: Posted }),
        isSettled: () => outcome !== undefined,
        undo: (reply) => {
          const chatId = chatIdOf(reply)
          const known = Effect.flatMap(Deferred.isDone(begun), (isDone) =>
            isDone ? Effect.void : Effect.ignore(read(reply))
          )
          return typeof chatId === "string" ? Effect.zipRight(known, undo(chatId)) : Effect.void
        },
        about: (reply) => ({ [Attribute.chatId]: chatIdOf(reply) }),
        otherwise: "The turn of an interrupted chat may go on: the service did not confirm that it is stopped"
      }),
      read
    )

    /** Follows the chat, and does what the turn leads to. */
    const pump = (chatId: string, onOpen: Effect.Effect<void>) => {
      const interrupted = (reason: ChatInterrupted["reason"], detail: string | undefined): ChatInterrupted =>
        chatInterrupted({ reason, detail, chatId })

      ids.add(chatId)
      const look = lookAtChat(chatId)
      let connections = 0

      const calls = Calls.make<E, R>({
        ...options,
        policy: settings.retry,
        semaphore,
        fibers,
        chatId,
        state,
        turn,
        look,
        tell,
        fail: (error) => Effect.asVoid(events.fail(error))
      })

      type Steps = ReadonlyArray<Turn.Step>

      /** The last steps, once it is sure that the turn is over and all of its messages are known. `looks` are those that succeeded. */
      const close = (looks: number, tries: number): Effect.Effect<Steps> =>
        Effect.suspend(() => {
          const steps = turn.steps()
          const end = turn.ending()
          if (end === undefined || outcome !== undefined) return Effect.succeed(steps)
          const isWhole = end.ending !== "completed" || turn.isComplete()
          const isDone = turn.isSettled() && (looks > 0 || (end.isSure && isWhole))
          const isEnough = looks >= (end.ending === "completed" ? patience.looks : 1)
          if (isDone || isEnough) {
            outcome = end.ending
            return Effect.succeed([...steps, ...turn.close(end.ending)])
          }
          // If it cannot be seen now, it is tried again when there is news, or when there is none for long.
          if (tries >= patience.looks) return Effect.succeed(steps)
          return briefly(Effect.as(look, 1), 0).pipe(
            Effect.delay(tries === 0 ? 0 : patience.pause),
            Effect.flatMap((seen) => close(looks + seen, tries + 1)),
            Effect.map((more) => [...steps, ...more])
          )
        })

      const advance = close(0, 0)
      const taken = Effect.zipRight(look, advance)
      const takenOnceBegun = Effect.zipRight(Deferred.await(begun), taken)
      /** Before it has begun there is nothing to be seen, and what holds it up may be that there is no connection. */
      const takenIfBegun = Effect.flatMap(Deferred.isDone(begun), (isDone) =>
        isDone ? taken : Effect.succeed<Steps>([])
      )

      const subject: Subject<Turn.Step, ChatEvents.Update, ChatInterrupted> = {
        path: pathOf(chatId),
        read: (frame) => ChatEvents.read(ids, frame),
        look: takenIfBegun,
        poll: takenOnceBegun,
        end: (found) => (outcome === undefined ? undefined : found),
        unknown: ({ event, data }) => [unknown(event, data)],
        isProgress,
        interrupted: (reason, detail, error) =>
          isPosting || error === undefined ? interrupted(reason, detail) : error,
        opened: (connection) =>
          Effect.suspend(() => {
            state.connected()
            connections++
            // What happened while there was none.
            return Effect.zipRight(
              onOpen,
              connections === 1 ? Effect.succeed<Steps>([]) : synced(takenIfBegun, connection)
            )
          }),
        update: (update, connection) =>
          Effect.flatMap(Deferred.await(begun), () => {
            // Nothing to merge it into.
            if (!state.isKnown(update)) return taken
            const outcome = state.apply(update, "stream")
            const odd = Either.isLeft(outcome) ? [unknown(ChatEvents.tableOf(update), update)] : []
            if (update._tag === "Message" && update.fields === undefined) connection.isSynced = true
            const next = !connection.isSynced && state.isPuzzling() ? synced(taken, connection) : advance
            return Effect.map(next, (steps) => [...odd, ...steps])
          })
      }

      const followed = follow(api, settings.transport, subject)
      const { progressTimeout } = settings
      const bounded =
        progressTimeout === undefined
          ? followed
          : failWithoutProgress(
              followed,
              Duration.decode(progressTimeout),
              isProgress,
              () => interrupted("NoProgress", undefined),
              turn.isWaiting
            )
      return bounded.pipe(
        Stream.takeUntil(isLast),
        Stream.runForEach((step) => {
          if (step._tag === "Answer") return calls.answer(step.invocation, step.isOurs)
          const { event } = step
          if (event._tag !== "Status" || !Chat.isOver(event.status)) return tell(event)
          const noted = Telemetry.annotate({ [Attribute.runId]: event.run?.id, [Attribute.runStatus]: event.status })
          const settled = outcome === "completed" ? calls.settle : Effect.void
          return Effect.zipRight(Effect.zipRight(noted, settled), tell(event))
        }),
        Effect.flatMap(
          (): Effect.Effect<void, ChatError> =>
            outcome === undefined || outcome === "lost" || outcome === "completed"
              ? Effect.void
              : Effect.fail(turn.failure(outcome))
        ),
        Effect.tapError(() =>
          Effect.sync(() => {
            outcome ??= "lost"
          })
        ),
        Mailbox.into(events),
        Effect.provide(context),
        Effect.interruptible,
        (effect) => FiberSet.run(fibers, effect)
      )
    }

    if (options.chatId === undefined) {
      isPosting = true
      yield* pump(yield* post, Effect.void)
    } else {
      // Listening before the message is posted: nothing of the turn can be missed.
      const isOpen = yield* Deferred.make<void>()
      yield* pump(options.chatId, Effect.asVoid(Deferred.succeed(isOpen, undefined)))
      if (settings.transport === "stream") yield* Effect.raceFirst(Deferred.await(isOpen), events.await)
      isPosting = true
      yield* post
    }
    // Handlers must not go on while the service is told to stop; waiting for them comes last.
    yield* Effect.addFinalizer(() =>
      Effect.flatMap(Effect.fiberId, (id) =>
        Effect.forEach(fibers, (fiber) => Fiber.interruptAsFork(fiber, id), { discard: true })
      )
    )
    return Mailbox.toStream(events)
  })
