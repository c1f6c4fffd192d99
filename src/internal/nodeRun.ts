/** A run as JavaScript sees it: a promise of the output that is also an async generator of the outputs on the way. */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import type { NodeRun } from "../NodeModule.js"

interface Request<A> {
  readonly resolve: (result: IteratorResult<A, undefined>) => void
  readonly reject: (error: unknown) => void
}

/**
 * Starts when it is awaited or iterated. `fork` owns the fiber; `reason` is what a failure rejects with. Like an async generator it
 * goes on only when it is asked to, but it can be stopped while it is at work.
 */
export const make = <A, E>(options: {
  readonly outputs: Stream.Stream<A, E>
  readonly fork: (effect: Effect.Effect<void, E>) => Fiber.RuntimeFiber<void, E>
  readonly reason: (exit: Exit.Failure<void, E>) => unknown
}): NodeRun<A> => {
  const asked = Effect.unsafeMakeLatch(false)
  const requests: Array<Request<A>> = []
  let fiber: Fiber.RuntimeFiber<void, E> | undefined
  let end: { readonly error?: unknown } | undefined

  const finish = (request: Request<A>) => {
    const error = end !== undefined && "error" in end ? end : undefined
    // It is told once. After that there is just nothing more.
    end = {}
    return error === undefined ? request.resolve({ done: true, value: undefined }) : request.reject(error.error)
  }

  const give = (value: A) =>
    asked.whenOpen(
      Effect.sync(() => {
        requests.shift()?.resolve({ done: false, value })
        if (requests.length === 0) asked.unsafeClose()
      })
    )

  const begin = () => {
    fiber = options.fork(Stream.runForEach(options.outputs, give))
    fiber.addObserver((exit) => {
      end ??= Exit.isFailure(exit) ? { error: options.reason(exit) } : {}
      for (const request of requests.splice(0)) finish(request)
    })
  }

  const next = () =>
    new Promise<IteratorResult<A, undefined>>((resolve, reject) => {
      const request = { resolve, reject }
      if (end !== undefined) return finish(request)
      requests.push(request)
      asked.unsafeOpen()
      if (fiber === undefined) begin()
    })

  const stop = async () => {
    end = {}
    if (fiber !== undefined) await Effect.runPromise(Fiber.interrupt(fiber))
  }

  const drain = async (): Promise<A> => {
    const first = await next()
    if (first.done) throw new Error("the run was stopped before there was an output")
    let last = first.value
    for (let result = await next(); !result.done; result = await next()) last = result.value
    return last
  }
  let drained: Promise<A> | undefined
  const output = () => {
    drained ??= drain()
    return drained
  }

  const run: NodeRun<A> = {
    next,
    return: async () => {
      await stop()
      return { done: true, value: undefined }
    },
    throw: async (error) => {
      await stop()
      throw error
    },
    [Symbol.asyncIterator]: () => run,
    then: (onFulfilled, onRejected) => output().then(onFulfilled, onRejected),
    catch: (onRejected) => output().catch(onRejected),
    finally: (onFinally) => output().finally(onFinally)
  }
  return run
}
