/** What the lines of a task stream mean: protocol.md §4.4. */
import type { Frame } from "./framing.js"
import { isJsonObject, type Json } from "./wire.js"

/** `fields` names what changed; without it the data is the whole task. */
export type TaskEvent =
  | { readonly _tag: "State"; readonly data: Json; readonly fields: ReadonlyArray<string> | undefined }
  | { readonly _tag: "Delta"; readonly delta: unknown; readonly seq: number; readonly resourceId: string | undefined }
  | { readonly _tag: "Done" }
  | { readonly _tag: "Error"; readonly data: unknown }
  | { readonly _tag: "Heartbeat" }
  | { readonly _tag: "Unknown"; readonly event: string | undefined; readonly data: unknown }

/** Names under which the task itself is sent; every other named event is about something else. */
const isTaskName = (event: string | undefined): boolean =>
  event === undefined || event === "" || event === "message" || event === "update" || event === "tasks"

const isAbout = (id: string, data: Json, fields: ReadonlyArray<string> | undefined): boolean =>
  data.id === undefined ? fields !== undefined : data.id === id

/** The name of an event and what it carries, whether SSE or the JSON itself gives the name. */
const fold = ({ event, data }: Extract<Frame, { readonly _tag: "Message" }>) => {
  const named = isTaskName(event) && isJsonObject(data) && typeof data.event === "string" ? data.event : event
  const wrapped = isJsonObject(data) && data.id === undefined && "data" in data
  return {
    event: named,
    payload: wrapped ? data.data : data,
    fields: wrapped && Array.isArray(data.fields) ? data.fields.filter((name) => typeof name === "string") : undefined
  }
}

/** Reads a frame of the stream of the given task. What is not surely about the task is `Unknown`, never merged into it. */
export const read = (id: string, frame: Frame): TaskEvent => {
  if (frame._tag === "Heartbeat") return frame
  if (frame._tag === "Malformed") return { _tag: "Unknown", event: undefined, data: frame.text }
  const { event, payload, fields } = fold(frame)
  if (event === "done") return { _tag: "Done" }
  if (event === "error") return { _tag: "Error", data: payload }
  if (isJsonObject(payload) && "delta" in payload && typeof payload.seq === "number") {
    const { delta, seq, resource_id: resourceId } = payload
    return {
      _tag: "Delta",
      delta,
      seq,
      resourceId: typeof resourceId === "string" && resourceId ? resourceId : undefined
    }
  }
  if (isTaskName(event) && isJsonObject(payload) && isAbout(id, payload, fields)) {
    return { _tag: "State", data: payload, fields }
  }
  return { _tag: "Unknown", event, data: payload }
}
