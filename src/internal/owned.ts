/** Work at the service that belongs to a scope here: when that closes early, the service is told to stop. */
import * as HttpClient from "@effect/platform/HttpClient"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import { ClientTransform } from "./clientTransform.js"
import { lastly } from "./lastly.js"
import { OnReply, type ReplyInfo } from "./reply.js"

/**
 * Starts work that the scope owns: unless it is settled, closing the scope undoes it. The request goes on in a fiber of its own
 * when this is interrupted, since only its reply tells what to undo. One that was refused and waits to be sent again does not.
 */
export const startOwned = <A, E>(options: {
  readonly start: Effect.Effect<A, E>
  /** Whether it is over, or no longer this scope's to stop. */
  readonly isSettled: () => boolean
  readonly undo: (started: A) => Effect.Effect<void, unknown>
  /** What the log says it is about. */
  readonly about: (started: A) => Readonly<Record<string, unknown>>
  /** What is logged where undoing was not confirmed. */
  readonly otherwise: string
}): Effect.Effect<A, E, Scope.Scope> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function* () {
      let isRefused = false
      const note = (refused: boolean) =>
        Effect.sync(() => {
          isRefused = refused
        })
      const transform = yield* ClientTransform
      const noted = (client: HttpClient.HttpClient) =>
        HttpClient.transform(transform(client), (effect) =>
          Effect.zipRight(note(false), effect).pipe(
            Effect.tapBoth({ onFailure: () => note(true), onSuccess: ({ status }) => note(status >= 300) })
          )
        )
      // Told of later: what listens may fail or take its time, and must not stand between the reply and its id.
      const tell = yield* OnReply
      const replies: Array<ReplyInfo> = []
      const starting = yield* options.start.pipe(
        Effect.provideService(ClientTransform, noted),
        Effect.provideService(OnReply, (reply) => Effect.sync(() => void replies.push(reply))),
        Effect.interruptible,
        Effect.forkScoped
      )
      yield* Effect.addFinalizer(() =>
        options.isSettled() || isRefused
          ? Effect.void
          : Effect.suspend(() => {
              let about: Readonly<Record<string, unknown>> = {}
              return Effect.flatMap(Fiber.await(starting), (exit) => {
                if (!Exit.isSuccess(exit)) return Effect.void
                about = options.about(exit.value)
                return options.undo(exit.value)
              }).pipe(lastly(options.otherwise, () => about))
            })
      )
      return yield* restore(
        Effect.zipLeft(
          Fiber.await(starting),
          Effect.suspend(() => Effect.forEach(replies, tell, { discard: true }))
        )
      ).pipe(Effect.flatten)
    })
  )
