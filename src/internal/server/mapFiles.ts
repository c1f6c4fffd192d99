import * as File from "../../File.js"

/** What has an entry for each byte, or none that matters. */
export const isBytes = (value: object): boolean =>
  ArrayBuffer.isView(value) || value instanceof ArrayBuffer || value instanceof Blob

/**
 * Replaces each `File` in a value. What holds no file stays the same object; what does is copied with its prototype, so
 * that class instances remain such. Where it contains itself, it stays as it is.
 */
export const mapFiles = (
  value: unknown,
  f: (file: File.File) => unknown,
  above: ReadonlyArray<unknown> = []
): unknown => {
  if (typeof value !== "object" || value === null) return value
  if (File.isFile(value)) return f(value)
  if (isBytes(value) || above.includes(value)) return value
  const below = [...above, value]
  if (Array.isArray(value)) {
    const items = value.map((item) => mapFiles(item, f, below))
    return items.some((item, i) => item !== value[i]) ? items : value
  }
  const entries = Object.entries(value)
  const changed = entries.flatMap(([key, item]) => {
    const mapped = mapFiles(item, f, below)
    return mapped === item ? [] : [[key, mapped] as const]
  })
  if (changed.length === 0) return value
  const descriptors = Object.getOwnPropertyDescriptors(value)
  const replaced = Object.fromEntries(
    changed.map(([key, item]) => [key, { value: item, enumerable: true, configurable: true, writable: true }])
  )
  return Object.create(Object.getPrototypeOf(value), { ...descriptors, ...replaced })
}
