import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { Open } from "../ApiClient.js"

/** The schema of an {@link Open} enum. */
export const openEnum = <const Known extends string>(..._known: ReadonlyArray<Known>): Schema.Schema<Open<Known>> =>
  Schema.declare((u: unknown): u is Open<Known> => typeof u === "string", { title: "open enum" })

/** An optional field: absent or `null` on the wire is absent in the decoded value. */
export const field = <const Name extends string, A, I>(wireName: Name, schema: Schema.Schema<A, I>) =>
  Schema.optionalWith(schema, { nullable: true }).pipe(Schema.fromKey(wireName))

/** An optional field holding an RFC 3339 time. A text that is no time is taken as absent: it must not cost the payload. */
export const timestamp = <const Name extends string>(wireName: Name) =>
  Schema.optionalToOptional(Schema.NullishOr(Schema.String), Schema.UndefinedOr(Schema.DateTimeUtcFromSelf), {
    decode: Option.flatMap((text) => (text == null ? Option.none() : DateTime.make(text))),
    encode: Option.map((time) => time && DateTime.formatIso(time))
  }).pipe(Schema.fromKey(wireName))

/** Whole seconds on the wire. */
export const DurationFromSeconds = Schema.transform(Schema.Number, Schema.DurationFromSelf, {
  strict: true,
  decode: (seconds) => Duration.seconds(seconds),
  encode: (duration) => Math.round(Duration.toSeconds(duration))
})

/** Milliseconds on the wire. */
export const DurationFromMillis = Schema.transform(Schema.Number, Schema.DurationFromSelf, {
  strict: true,
  decode: (millis) => Duration.millis(millis),
  encode: Duration.toMillis
})

/** A JSON object whose fields are not looked into. */
export const JsonObject = Schema.Record({ key: Schema.String, value: Schema.Unknown })

export type Json = { readonly [key: string]: unknown }

export const isJsonObject = (u: unknown): u is Json => typeof u === "object" && u !== null && !Array.isArray(u)

/** Whether a value stays the same on its way through JSON. */
export const isJson = (u: unknown): boolean =>
  u === null ||
  typeof u === "string" ||
  typeof u === "boolean" ||
  (typeof u === "number" && Number.isFinite(u)) ||
  (Array.isArray(u) ? u.every(isJson) : isJsonObject(u) && isPlainObject(u) && Object.values(u).every(isJson))

/** Whether an object is one of no class. */
export const isPlainObject = (value: object): boolean => {
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === null || prototype === Object.prototype
}

/** Whether two JSON values are equal. A field that is `undefined` is the same as none. */
export const sameJson = (a: unknown, b: unknown): boolean => {
  if (a === b) return true
  if (Array.isArray(a)) return Array.isArray(b) && a.length === b.length && a.every((item, i) => sameJson(item, b[i]))
  if (!isJsonObject(a) || !isJsonObject(b)) return false
  return (
    Object.keys(a).every((key) => sameJson(a[key], b[key])) &&
    Object.keys(b).every((key) => b[key] === undefined || a[key] !== undefined)
  )
}

interface Dated {
  readonly updatedAt?: DateTime.Utc | undefined
}

/** Whether a state of something is surely from before another one. */
export const isOlder = (a: Dated, b: Dated | undefined): boolean =>
  a.updatedAt !== undefined && b?.updatedAt !== undefined && DateTime.lessThan(a.updatedAt, b.updatedAt)
