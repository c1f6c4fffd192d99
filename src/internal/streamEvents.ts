/** What the lines of an event stream are, before it is known what they are about: protocol.md §4.4. */
import type { Frame } from "./framing.js"
import { isJsonObject, type Json } from "./wire.js"

/** What a frame means to whoever follows something. `Update` is about that. */
export type Incoming<Update> =
  | { readonly _tag: "Update"; readonly update: Update }
  | { readonly _tag: "Done" }
  | { readonly _tag: "Error"; readonly data: unknown }
  | { readonly _tag: "Heartbeat" }
  | { readonly _tag: "Unknown"; readonly event: string | undefined; readonly data: unknown }

/** A resource: as a whole, or only the named fields of it. `event` is its table, where the stream says so. */
export interface Resource {
  readonly _tag: "Resource"
  readonly event: string | undefined
  readonly data: Json
  readonly fields: ReadonlyArray<string> | undefined
}

/** A piece of a text that is being generated. */
export interface Delta {
  readonly _tag: "Delta"
  readonly delta: unknown
  readonly seq: number
  readonly resourceId: string | undefined
}

/** Names that say only that this is what the stream is about. */
const unnamed = new Set(["", "message", "update"])

/** The name of an event and what it carries, whether SSE or the JSON itself gives the name. */
const fold = ({ event, data }: Extract<Frame, { readonly _tag: "Message" }>) => {
  const name = event === undefined || unnamed.has(event) ? undefined : event
  const inner = name === undefined && isJsonObject(data) && typeof data.event === "string" ? data.event : name
  const wrapped = isJsonObject(data) && data.id === undefined && "data" in data
  return {
    event: inner === undefined || unnamed.has(inner) ? undefined : inner,
    payload: wrapped ? data.data : data,
    fields: wrapped && Array.isArray(data.fields) ? data.fields.filter((name) => typeof name === "string") : undefined
  }
}

/** Reads a frame. `pick` says what an event about a resource or a delta is an update of, if of anything that is followed. */
export const read = <Update>(frame: Frame, pick: (event: Resource | Delta) => Update | undefined): Incoming<Update> => {
  if (frame._tag === "Heartbeat") return frame
  if (frame._tag === "Malformed") return { _tag: "Unknown", event: frame.event, data: frame.text }
  const { event, payload, fields } = fold(frame)
  if (event === "done") return { _tag: "Done" }
  if (event === "error") return { _tag: "Error", data: payload }
  const unknown = { _tag: "Unknown", event, data: payload } as const
  if (!isJsonObject(payload)) return unknown
  const { delta, seq, resource_id: resourceId } = payload
  const update =
    "delta" in payload && typeof seq === "number"
      ? pick({
          _tag: "Delta",
          delta,
          seq,
          resourceId: typeof resourceId === "string" && resourceId ? resourceId : undefined
        })
      : pick({ _tag: "Resource", event, data: payload, fields })
  return update === undefined ? unknown : { _tag: "Update", update }
}
