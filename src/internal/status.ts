/** The statuses in the order of the `current` integers. */
export const names = [
  "unknown",
  "received",
  "queued",
  "scheduled",
  "preparing",
  "serving",
  "setting_up",
  "running",
  "cancelling",
  "uploading",
  "completed",
  "failed",
  "cancelled"
] as const

type Name = (typeof names)[number]
type Numbering = "current" | "documented"

const tables: Record<Numbering, ReadonlyArray<Name>> = {
  current: names,
  documented: names.filter((name) => name !== "cancelling")
}

const synonyms: Record<string, Name> = { dispatched: "scheduled", canceled: "cancelled" }

export const statusCode = (status: Name, numbering: Numbering): number => {
  const code = tables[numbering].indexOf(status)
  return code === -1 ? tables[numbering].indexOf("running") : code
}

export const statusFromCode = (code: number, numbering: Numbering): Name => tables[numbering][code] ?? "unknown"

export const statusFromName = (text: string): Name | undefined => {
  const lower = text.toLowerCase()
  return synonyms[lower] ?? names.find((name) => name === lower)
}
