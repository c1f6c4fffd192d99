/** A text in a request. An empty one is none. */
export const text = (u: unknown): string | undefined => (typeof u === "string" && u !== "" ? u : undefined)
