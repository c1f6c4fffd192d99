/** What is known of one task that is followed: snapshots accumulate here, and each state comes out once. */
import * as Either from "effect/Either"
import type * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import * as EffectString from "effect/String"
import * as Task from "../Task.js"
import { schemas } from "./taskSchemas.js"
import { isOlder, type Json, sameJson } from "./wire.js"

/** Whether an update was news, or why it is no task. */
export type Outcome = Either.Either<boolean, ParseResult.ParseError>

export interface TaskState {
  /** The last state, if any was seen. */
  readonly task: () => Task.Task | undefined
  /** Takes a whole task, which replaces what was known. One that is older than that is not news. */
  readonly replace: (wire: Json) => Outcome
  /** Takes the named fields of an update: a field that is named and not there, or `null`, is cleared; others keep their value. */
  readonly merge: (wire: Json, fields: ReadonlyArray<string>) => Outcome
  /** Takes the number of a delta. One that is not above the last for its resource is a repetition. */
  readonly isNewDelta: (seq: number, resourceId: string | undefined) => boolean
}

const nothingNew: Outcome = Either.right(false)

export const make = (numbering: Task.StatusNumbering): TaskState => {
  const decodeTask = Schema.decodeUnknownEither(schemas[numbering].Task)
  const decodePatch = Schema.decodeUnknownEither(schemas[numbering].Patch)
  const deltas = new Map<string | undefined, number>()
  let task: Task.Task | undefined
  let raw: Json = {}

  /** Different JSON may say the same: another form of the status, `null` for a missing field, a field that is not known here. */
  const change = (next: Task.Task, wire: Json): boolean => {
    const isNew = !sameJson(next, task)
    task = next
    raw = wire
    return isNew
  }

  const isOver = () => task !== undefined && Task.isTerminal(task.status)

  return {
    task: () => task,

    replace: (wire) => {
      if (task !== undefined && sameJson(wire, raw)) return nothingNew
      return Either.map(decodeTask(wire), (decoded) => {
        if (isOlder(decoded, task) || (isOver() && !Task.isTerminal(decoded.status))) return false
        return change(decoded, wire)
      })
    },

    merge: (wire, fields) => {
      const before = task
      if (before === undefined || isOver()) return nothingNew
      const named = new Set(fields)
      if (wire.updated_at !== undefined) named.add("updated_at")
      if (named.has("status") && wire.status_text !== undefined) named.add("status_text")
      named.delete("id")
      const update = Object.fromEntries(Array.from(named, (name) => [name, wire[name] ?? null]))
      if (Object.keys(update).every((name) => sameJson(update[name], raw[name] ?? null))) return nothingNew
      return Either.map(decodePatch(update), (patch) => {
        if (isOlder(patch, before)) return false
        const merged = { ...before, ...patch }
        for (const name of named) {
          if (update[name] === null) Reflect.deleteProperty(merged, EffectString.snakeToCamel(name))
        }
        return change({ ...merged, id: before.id, status: patch.status ?? before.status }, { ...raw, ...update })
      })
    },

    isNewDelta: (seq, resourceId) => {
      const last = deltas.get(resourceId)
      if (last !== undefined && seq <= last) return false
      deltas.set(resourceId, seq)
      return true
    }
  }
}
