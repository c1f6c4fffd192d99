/** Follows something through its event stream or by polling, whatever happens to the connections: protocol.md §3.9, §7.7. */
import * as Chunk from "effect/Chunk"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type * as ApiClient from "../ApiClient.js"
import { type ApiFailure, isTransient, type StreamInterrupted, TransportError } from "../InferenceError.js"
import { fromStatus, readProblem } from "./failure.js"
import * as Retry from "./retry.js"
import type { Incoming } from "./streamEvents.js"

/** What is known of a connection while it lasts. */
export interface Connection {
  /** Whether it has shown the state as a whole: changes can be merged into that. */
  isSynced: boolean
}

/** What is followed. Its state is kept outside: here it is only known what is news. */
export interface Subject<Event, Update, Interrupted extends StreamInterrupted> {
  /** Its stream is at `<path>/stream`. */
  readonly path: string
  readonly taskId?: string
  readonly read: (frame: ApiClient.Frame) => Incoming<Update>
  /** Takes what a connection tells of it. */
  readonly update: (update: Update, connection: Connection) => Effect.Effect<ReadonlyArray<Event>, ApiFailure>
  /** Asks for its state, and takes it. */
  readonly look: Effect.Effect<ReadonlyArray<Event>, ApiFailure>
  /** The same when polling, where it may be lighter. */
  readonly poll: Effect.Effect<ReadonlyArray<Event>, ApiFailure>
  /** What ends the stream of events, once there is nothing more to come, given what was found last. */
  readonly end: (found: ReadonlyArray<Event>) => ReadonlyArray<Event> | undefined
  readonly unknown: (event: Extract<Incoming<Update>, { readonly _tag: "Unknown" }>) => ReadonlyArray<Event>
  /** Whether an event tells that it goes on. */
  readonly isProgress: (event: Event) => boolean
  /** What to fail with where it is lost from sight, given the last error if there was one. */
  readonly interrupted: (
    reason: StreamInterrupted["reason"],
    detail: string,
    error: ApiFailure | undefined
  ) => Interrupted | ApiFailure
  /** What follows from a connection having been made, before anything comes over it. */
  readonly opened?: (connection: Connection) => Effect.Effect<ReadonlyArray<Event>>
}

/** How long a look may hold up what is known already. */
const glance = "10 seconds"

/** After so long without news on a live connection a look is taken. A connection that lived for so long counts as good. */
const longTime = Duration.toMillis("30 seconds")

/** The same look, where it may fail or take too long without harm. */
export const briefly = <A, B>(look: Effect.Effect<A, ApiFailure>, otherwise: B): Effect.Effect<A | B> =>
  look.pipe(
    Effect.timeout(glance),
    Effect.orElseSucceed(() => otherwise)
  )

/** The same look, after which a connection has nothing to show that is not known. */
export const synced = <Event>(
  look: Effect.Effect<ReadonlyArray<Event>, ApiFailure>,
  connection: Connection
): Effect.Effect<ReadonlyArray<Event>> => {
  const noted = Effect.tap(look, () =>
    Effect.sync(() => {
      connection.isSynced = true
    })
  )
  return briefly<ReadonlyArray<Event>, ReadonlyArray<Event>>(noted, [])
}

/**
 * The events of a subject. They do not end by themselves: whoever consumes them knows which is the last.
 *
 * When a connection breaks off, stalls or ends early, the subject is looked at, and then a new connection is opened. The retry
 * policy says how often, counted from the last news.
 */
export const follow = <Event, Update, Interrupted extends StreamInterrupted>(
  api: ApiClient.Service,
  transport: "stream" | "poll",
  subject: Subject<Event, Update, Interrupted>
): Stream.Stream<Event, ApiFailure | Interrupted> => {
  const { settings } = api
  const { path, taskId, end, interrupted } = subject
  const streamPath = `${path}/stream`
  let failures = 0

  type Events = ReadonlyArray<Event>

  const counted = <E>(events: Effect.Effect<Events, E>): Effect.Effect<Events, E> =>
    Effect.map(events, (found) => {
      if (found.some(subject.isProgress)) failures = 0
      return found
    })

  const look = counted(subject.look)
  const lookBriefly = briefly<Events, Events>(look, [])

  const orInterrupted = Effect.mapError((error: ApiFailure) =>
    isTransient(error) ? interrupted("Disconnected", error.message, error) : error
  )

  const polling = Stream.fromIterableEffect(orInterrupted(subject.poll)).pipe(
    Stream.concat(Stream.execute(Effect.sleep(settings.pollInterval))),
    Stream.forever
  )

  const streaming = Stream.suspend(() => {
    const connection: Connection = { isSynced: false }
    let openedAt: number | undefined
    let heardAt = 0
    let newsAt = 0
    let broken: ApiFailure | undefined

    /** For what comes while nothing is new. */
    const lookIfDue = (isDue: boolean): Effect.Effect<Events> => {
      if (!isDue && heardAt - newsAt < longTime) return Effect.succeed([])
      newsAt = heardAt
      return lookBriefly
    }

    const handle = (incoming: Incoming<Update>, now: number): Effect.Effect<Events, ApiFailure> => {
      if (openedAt === undefined || incoming._tag === "Update") newsAt = now
      openedAt ??= now
      heardAt = now
      switch (incoming._tag) {
        case "Update":
          return counted(subject.update(incoming.update, connection))
        case "Heartbeat": {
          const isDue = !connection.isSynced
          connection.isSynced = true
          return lookIfDue(isDue)
        }
        case "Error": {
          const error = failureIn(incoming.data, streamPath, taskId)
          return Effect.flatMap(lookBriefly, (events) =>
            end(events) === undefined ? Effect.fail(error) : Effect.succeed(events)
          )
        }
        case "Unknown":
          return Effect.map(lookIfDue(false), (events) => [...subject.unknown(incoming), ...events])
        case "Done":
          return Effect.succeed([])
      }
    }

    const received = (frames: Stream.Stream<ApiClient.Frame, ApiFailure>) =>
      frames.pipe(
        withoutCutLine,
        Stream.map(subject.read),
        Stream.takeUntil((incoming) => incoming._tag === "Done"),
        Stream.mapConcatEffect((incoming) => Effect.flatMap(Clock.currentTimeMillis, (now) => handle(incoming, now)))
      )

    const opened = subject.opened && Stream.fromIterableEffect(counted(subject.opened(connection)))

    const events = api.openStream({ path: streamPath, ...(taskId && { taskId }) }).pipe(
      Effect.map((frames) => (opened ? Stream.concat(opened, received(frames)) : received(frames))),
      Stream.unwrapScoped,
      Stream.catchAll((error) => {
        broken = error
        return isTransient(error) ? Stream.empty : Stream.fail(error)
      })
    )

    const giveUp = (): Stream.Stream<never, ApiFailure | Interrupted> | undefined => {
      const wait = broken?.retryAfter
      if (broken !== undefined && wait !== undefined && Duration.greaterThan(wait, settings.retry.maxRetryAfter)) {
        return Stream.fail(broken)
      }
      return failures < settings.retry.attempts
        ? undefined
        : Stream.fail(interrupted("Disconnected", broken?.message ?? "it ended too early", broken))
    }

    const reconnect = Effect.gen(function* () {
      if (heardAt - (openedAt ?? heardAt) >= longTime) failures = 0
      const found = yield* orInterrupted(look)
      const last = end(found)
      if (last !== undefined) return Stream.fromIterable(last)
      failures += 1
      const pause = Effect.flatMap(Retry.delay(settings.retry, failures, broken?.retryAfter), Effect.sleep)
      return Stream.concat(Stream.fromIterable(found), giveUp() ?? Stream.execute(pause))
    })

    return Stream.concat(events, Stream.unwrap(reconnect))
  }).pipe(Stream.forever)

  return transport === "poll" ? polling : streaming
}

/**
 * Counts the time that is spent waiting for the stream: not that which its consumer takes, nor that in which it is somebody else's turn.
 */
export const failWithoutProgress = <Event, E>(
  events: Stream.Stream<Event, E>,
  timeout: Duration.Duration,
  isProgress: (event: Event) => boolean,
  error: () => E,
  isExcused: () => boolean = () => false
): Stream.Stream<Event, E> =>
  Stream.unwrapScoped(
    Effect.map(Stream.toPull(events), (pull) => {
      let left = timeout
      const next = Effect.gen(function* () {
        if (isExcused()) {
          left = timeout
          return yield* pull
        }
        const before = yield* Clock.currentTimeMillis
        const chunk = yield* Effect.timeoutFail(pull, { duration: left, onTimeout: () => Option.some(error()) })
        const took = (yield* Clock.currentTimeMillis) - before
        left = Chunk.some(chunk, isProgress) ? timeout : Duration.subtract(left, took)
        return chunk
      })
      return Stream.repeatEffectChunkOption(next)
    })
  )

/** Leaves out what a connection ended in the middle of: it comes again. That it is that, and no bad line, shows in that nothing follows. */
const withoutCutLine = <E>(frames: Stream.Stream<ApiClient.Frame, E>): Stream.Stream<ApiClient.Frame, E> =>
  Stream.mapConcat(
    Stream.mapAccum(frames, undefined, (held: ApiClient.Frame | undefined, frame) => {
      const before = held === undefined ? [] : [held]
      return frame._tag === "Malformed" ? [frame, before] : [undefined, [...before, frame]]
    }),
    (frames) => frames
  )

/** The failure that an `error` event tells of. Without the status of an HTTP error it is one of the connection. */
const failureIn = (data: unknown, path: string, taskId: string | undefined): ApiFailure => {
  const body = JSON.stringify(data) ?? ""
  const { status, detail, code } = readProblem(body)
  return status === undefined || status < 400
    ? new TransportError({ taskId, reason: "Disconnected", code, detail })
    : fromStatus(status, body, { method: "GET", url: path }, { taskId })
}
