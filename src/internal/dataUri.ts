import * as Option from "effect/Option"

export interface DataUri {
  readonly contentType: string
  readonly bytes: Uint8Array
}

const bytesOfBase64 = (payload: string): Uint8Array =>
  Uint8Array.from(
    atob(decodeURIComponent(payload).replace(/\s/g, "").replace(/-/g, "+").replace(/_/g, "/").replace(/=+$/, "")),
    (char) => char.charCodeAt(0)
  )

// decodeURIComponent reads the octets as UTF-8, and a data: URI may hold any octets.
const bytesOfPercent = (payload: string): Uint8Array => {
  const utf8 = new TextEncoder().encode(payload)
  const out: Array<number> = []
  for (let i = 0; i < utf8.length; i++) {
    const hex = utf8[i] === 0x25 ? escapedByte(utf8, i) : undefined
    if (hex === undefined) {
      out.push(utf8[i] ?? 0)
    } else {
      out.push(hex)
      i += 2
    }
  }
  return Uint8Array.from(out)
}

const escapedByte = (utf8: Uint8Array, at: number): number | undefined => {
  const digits = String.fromCharCode(utf8[at + 1] ?? 0, utf8[at + 2] ?? 0)
  return /^[0-9a-f]{2}$/i.test(digits) ? Number.parseInt(digits, 16) : undefined
}

/** `data:[<media type>][;param=value]*[;base64],<data>`, base64 in either alphabet and with or without padding. */
export const parseDataUri = (uri: string): Option.Option<DataUri> => {
  const match = /^data:([^,]*),(.*)$/is.exec(uri)
  if (match === null) return Option.none()
  const [type = "", ...parameters] = (match[1] ?? "").split(";").map((part) => part.trim())
  const base64 = parameters.at(-1)?.toLowerCase() === "base64"
  const payload = match[2] ?? ""
  return Option.liftThrowable(
    (): DataUri => ({
      contentType: [type || "text/plain", ...(base64 ? parameters.slice(0, -1) : parameters)].join(";"),
      bytes: base64 ? bytesOfBase64(payload) : bytesOfPercent(payload)
    })
  )()
}
