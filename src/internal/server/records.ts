/** What outlives the server: records of one kind, each a file of JSON. */
import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import * as Option from "effect/Option"
import * as RcMap from "effect/RcMap"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type { FileError } from "../../InferenceError.js"
import { fromPlatformError } from "../failure.js"
import { formatIssues } from "./issues.js"

interface Identified {
  readonly id: string
  readonly ordinal: number
}

/** Gives a record as it is at the time of the call, or `undefined` where there is none any more. */
export type Current = () => unknown

export interface Records {
  /** The records that there are, the oldest first. Files that are no records are left alone. */
  readonly read: <A extends Identified, I>(schema: Schema.Schema<A, I>) => Effect.Effect<ReadonlyArray<A>, FileError>
  /**
   * Makes the file of a record what the record is now. Done when it is: later calls never bring back what was before. Where the
   * disk fails there is a warning, and no more.
   */
  readonly save: (id: string, current: Current) => Effect.Effect<void>
  /** The same soon, and surely before the scope closes. */
  readonly touch: (id: string, current: Current) => void
}

/** Keeps nothing. */
export const none: Records = {
  read: () => Effect.succeed([]),
  save: () => Effect.void,
  touch: () => {}
}

const suffix = ".json"
/** What a process that was killed left half written. */
const partial = ".part"
const recordName = /^[0-9a-z]{26}\.json$/

const concurrency = 16

/** Keeps records in the directory, which it makes where there is none. */
export const make = (
  directory: string
): Effect.Effect<Records, FileError, FileSystem.FileSystem | Path.Path | Scope.Scope> =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    yield* Effect.mapError(fs.makeDirectory(directory, { recursive: true }), (error) =>
      fromPlatformError(error, directory, "Write")
    )
    const locks = yield* RcMap.make({ lookup: (_: string) => Effect.makeSemaphore(1) })
    const fork = yield* FiberSet.makeRuntime()
    const touched = new Map<string, Current>()

    const write = (id: string, current: Current) =>
      Effect.suspend(() => {
        const record = current()
        const file = path.join(directory, id + suffix)
        if (record === undefined) return fs.remove(file, { force: true })
        return Effect.zipRight(
          fs.writeFileString(file + partial, JSON.stringify(record)),
          fs.rename(file + partial, file)
        )
      }).pipe(
        Effect.catchAllCause((cause) =>
          Effect.zipRight(
            Effect.logWarning(
              `could not keep ${path.join(directory, id + suffix)}: it will be lost at a restart`,
              cause
            ),
            Effect.ignore(fs.remove(path.join(directory, id + suffix + partial), { force: true }))
          )
        )
      )

    const save: Records["save"] = (id, current) =>
      Effect.flatMap(RcMap.get(locks, id), (lock) => lock.withPermits(1)(write(id, current))).pipe(
        Effect.scoped,
        Effect.uninterruptible
      )

    const saveTouched = (id: string) =>
      Effect.suspend(() => {
        const current = touched.get(id)
        touched.delete(id)
        return current === undefined ? Effect.void : save(id, current)
      })

    yield* Effect.addFinalizer(() =>
      Effect.suspend(() => Effect.forEach([...touched.keys()], saveTouched, { concurrency, discard: true }))
    )

    const readOne = <A extends Identified, I>(schema: Schema.Schema<A, I>, name: string) => {
      const decode = Schema.decode(Schema.parseJson(schema))
      return (recordName.test(name) ? Effect.void : Effect.fail("it is no record")).pipe(
        Effect.zipRight(fs.readFileString(path.join(directory, name))),
        Effect.flatMap(decode),
        Effect.filterOrFail(
          ({ id }) => id + suffix === name,
          () => "it is the record of something else"
        ),
        Effect.asSome,
        Effect.catchAll((error) => {
          const reason =
            typeof error === "string" ? error : error._tag === "ParseError" ? formatIssues(error) : error.message
          return Effect.as(Effect.logWarning(`skipped ${path.join(directory, name)}: ${reason}`), Option.none<A>())
        })
      )
    }

    return {
      read: (schema) =>
        Effect.gen(function* () {
          const names = yield* Effect.mapError(fs.readDirectory(directory), (error) =>
            fromPlatformError(error, directory)
          )
          const isPartial = (name: string) => name.endsWith(suffix + partial)
          const partials = names.filter(isPartial)
          yield* Effect.forEach(partials, (name) => Effect.ignore(fs.remove(path.join(directory, name))), {
            concurrency,
            discard: true
          })
          const whole = names.filter((name) => !isPartial(name))
          const found = yield* Effect.forEach(whole, (name) => readOne(schema, name), { concurrency })
          return found.flatMap(Option.toArray).sort((a, b) => a.ordinal - b.ordinal)
        }),
      save,
      touch: (id, current) => {
        const isWaiting = touched.has(id)
        touched.set(id, current)
        // Not on the stack of whoever changes the record: it may still be about to change more of it.
        if (!isWaiting) fork(saveTouched(id), { immediate: false })
      }
    }
  })
