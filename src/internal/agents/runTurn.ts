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
import { type ApiFailure, type ChatInterrupted, DecodeError, StreamInterrupted } from "../../InferenceError.js"
import type * as Tool from "../../Tool.js"
import { decodeError } from "../failure.js"
import { briefly, failWithoutProgress, follow, type Subject } from "../follow.js"
import { startOwned } from "../owned.js"
import { type Json, JsonObject } from "../wire.js"
import * as Calls from "./calls.js"
import { type ChatApi, pathOf } from "./chatApi.js"
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
    const turn = Turn.make(state, options.chatId === undefined)
    const events = yield* Mailbox.make<Chat.Event<E>, ChatError>(capacity)
    const fibers = yield* FiberSet.make<void>()
    const semaphore = yield* Effect.makeSemaphore(options.toolConcurrency)
    const context = yield* Effect.context<R>()
    // What the connection brings waits for the reply to the message, which tells what of it belongs to the turn.
    const begun = yield* Deferred.make<void>()
    // How it ended, as seen from here.
    let outcome: Turn.Ending | "lost" | undefined

    const tell = (event: Chat.Event<E>) => Effect.asVoid(events.offer(event))

    const read = (reply: typeof Posted.Type): Effect.Effect<Turn.Posted, ApiFailure> =>
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
        const posted = { chatId, userMessage, assistantMessage }
        turn.begin(posted)
        options.onChat(chatId)
        yield* Deferred.succeed(begun, undefined)
        return posted
      })

    const post = startOwned<Turn.Posted, ApiFailure>({
      start: Effect.flatMap(
        api.request({ method: "POST", path: "/agents/run", body: options.body, schema: Posted }),
        read
      ),
      isSettled: () => outcome !== undefined,
      undo: ({ chatId, userMessage }) =>
        turn.isQueued() && userMessage !== undefined
          ? Effect.catchAll(chats.cancelMessage(userMessage.id), () => chats.stop(chatId))
          : chats.stop(chatId),
      otherwise: "The turn of an interrupted chat may go on: the service did not confirm that it is stopped"
    })

    /** Follows the chat, and does what the turn leads to. */
    const pump = (chatId: string, onOpen: Effect.Effect<void>) => {
      const interrupted = (reason: StreamInterrupted["reason"], detail?: string): ChatInterrupted =>
        Object.assign(new StreamInterrupted({ reason, detail }), { chatId })

      const isKnown = ({ id, order }: Json): boolean => {
        const user = turn.userMessage()
        return user === undefined || id === user.id || (typeof order === "number" && order <= user.order)
      }
      const look = lookAt(chats, chatId, state, isKnown)

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

      /** The last steps, once it is sure that the turn is over and all of its messages are known. */
      const close = (looks: number): Effect.Effect<Steps> =>
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
          const again = briefly(Effect.as(look, [])).pipe(Effect.delay(looks === 0 ? 0 : patience.pause))
          return Effect.map(Effect.zipRight(again, close(looks + 1)), (more) => [...steps, ...more])
        })

      const advance = close(0)
      const taken = Effect.zipRight(Deferred.await(begun), Effect.zipRight(look, advance))

      const subject: Subject<Turn.Step, ChatEvents.Update, ChatInterrupted> = {
        path: pathOf(chatId),
        read: (frame) => ChatEvents.read(chatId, frame),
        look: taken,
        poll: taken,
        end: (found) => (outcome === undefined ? undefined : found),
        unknown: ({ event, data }) => [unknown(event, data)],
        isProgress,
        interrupted,
        onOpen: Effect.zipRight(
          Effect.sync(() => state.connected()),
          onOpen
        ),
        update: (update, connection) =>
          Effect.flatMap(Deferred.await(begun), () => {
            if (update._tag === "Chat" && update.fields === undefined) connection.isSynced = true
            // Nothing to merge it into.
            if (!state.isKnown(update)) return taken
            const outcome = state.apply(update, "stream")
            const odd = Either.isLeft(outcome) ? [unknown(ChatEvents.tableOf(update), update)] : []
            return Effect.map(advance, (steps) => [...odd, ...steps])
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
              () => interrupted("NoProgress"),
              turn.isWaiting
            )
      return bounded.pipe(
        Stream.takeUntil(isLast),
        Stream.runForEach((step) => {
          if (step._tag === "Answer") return calls.answer(step.invocation, step.isOurs)
          const settled = isLast(step) && outcome === "completed" ? calls.settle : Effect.void
          return Effect.zipRight(settled, tell(step.event))
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
      const { chatId } = yield* post
      yield* pump(chatId, Effect.void)
    } else {
      // Listening before the message is posted: nothing of the turn can be missed.
      const isOpen = yield* Deferred.make<void>()
      yield* pump(options.chatId, Effect.asVoid(Deferred.succeed(isOpen, undefined)))
      if (settings.transport === "stream") yield* Effect.raceFirst(Deferred.await(isOpen), events.await)
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
