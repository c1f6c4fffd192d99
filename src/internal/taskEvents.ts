/** What the lines of a task stream mean: protocol.md §4.4. */
import type { Frame } from "./framing.js"
import * as StreamEvents from "./streamEvents.js"
import type { Json } from "./wire.js"

/** Every event with another name is about something else. */
const isTaskName = (event: string | undefined): boolean => event === undefined || event === "tasks"

const isAbout = (id: string, data: Json, fields: ReadonlyArray<string> | undefined): boolean =>
  data.id === undefined ? fields !== undefined : data.id === id

export type Update = StreamEvents.Resource | StreamEvents.Delta

/** Reads a frame of the stream of the given task. What is not surely about the task is `Unknown`, never merged into it. */
export const read = (id: string, frame: Frame): StreamEvents.Incoming<Update> =>
  StreamEvents.read(frame, (event) =>
    event._tag === "Delta" || (isTaskName(event.event) && isAbout(id, event.data, event.fields)) ? event : undefined
  )
