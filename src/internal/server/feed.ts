/** What happens to one thing, for those who follow it: the last changes, kept only while someone does. */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as FiberId from "effect/FiberId"
import * as Stream from "effect/Stream"

interface Change<A> {
  readonly version: number
  readonly item: A
}

/** As one mutable cell. Only the functions of this module write to it. */
export interface Feed<A> {
  /** The number of changes so far. */
  version: number
  readonly recent: Array<Change<A>>
  /** How many of them are kept. */
  readonly limit: number
  /** The version of the last change that was dropped from them. */
  dropped: number
  followers: number
  /** Done at the next change, and then replaced. */
  changed: Deferred.Deferred<void>
}

export const make = <A>(limit: number): Feed<A> => ({
  version: 0,
  recent: [],
  limit,
  dropped: 0,
  followers: 0,
  changed: Deferred.unsafeMake(FiberId.none)
})

/** Adds a change, in the place of the last one where that says no more than the new one does. */
export const unsafePublish = <A>(feed: Feed<A>, item: () => A, supersedes?: (last: A, next: A) => boolean): void => {
  feed.version++
  if (feed.followers > 0) {
    const next = { version: feed.version, item: item() }
    const last = feed.recent.at(-1)
    if (last !== undefined && supersedes?.(last.item, next.item)) feed.recent.pop()
    feed.recent.push(next)
    if (feed.recent.length > feed.limit) feed.dropped = feed.recent.shift()?.version ?? feed.dropped
  }
  wake(feed)
}

/** Has followers look whether there is something new. */
export const wake = <A>(feed: Feed<A>): void => {
  const { changed } = feed
  feed.changed = Deferred.unsafeMake(FiberId.none)
  Deferred.unsafeDone(changed, Effect.void)
}

/** Waits for the change that is next at the time of the call, so that none is missed between looking and waiting. */
export const changed = <A>(feed: Feed<A>): Effect.Effect<void> => Deferred.await(feed.changed)

/** The changes after a version, or `undefined` where some of them are not there any more. */
export const since = <A>(feed: Feed<A>, version: number): ReadonlyArray<A> | undefined =>
  version < feed.dropped
    ? undefined
    : feed.recent.filter((change) => change.version > version).map((change) => change.item)

/** A stream that follows: changes are kept for as long as it runs. */
export const following = <A, B>(feed: Feed<A>, stream: () => Stream.Stream<B>): Stream.Stream<B> => {
  const subscribe = Effect.acquireRelease(
    Effect.sync(() => {
      feed.followers++
    }),
    () =>
      Effect.sync(() => {
        feed.followers--
        if (feed.followers === 0) feed.recent.length = 0
      })
  )
  return Stream.unwrapScoped(Effect.map(subscribe, () => Stream.suspend(stream)))
}
