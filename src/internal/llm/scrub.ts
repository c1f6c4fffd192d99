/** Keeps secrets out of what a server says. */

const mark = "<redacted>"

/** The least length of what is taken for a secret, or for a part of one: shorter ones are in any text. */
export const leastLength = 8

/** What is left of a secret at the end of a text that was cut within it. */
const withoutStart = (text: string, secret: string): string => {
  for (let length = Math.min(text.length, secret.length - 1); length >= leastLength; length--) {
    if (text.endsWith(secret.slice(0, length))) return text.slice(0, -length) + mark
  }
  return text
}

const unicode = (char: string): string => char.charCodeAt(0).toString(16).padStart(4, "0")

/** A secret as it is, and as it may be written in JSON: PHP escapes slashes, Go and .NET what means something in HTML. */
const formsOf = (secret: string): ReadonlyArray<string> => {
  const json = JSON.stringify(secret).slice(1, -1)
  return [
    secret,
    json,
    json.replaceAll("/", "\\/"),
    json.replace(/[&<>]/g, (char) => `\\u${unicode(char)}`),
    secret.replace(/["&'+<>`]/g, (char) => `\\u${unicode(char).toUpperCase()}`)
  ]
}

/** Takes secrets out of a text, as they are and as they are written in JSON. */
export const scrubber = (secrets: ReadonlyArray<string>): ((text: string) => string) => {
  const forms = Array.from(new Set(secrets.filter((secret) => secret !== "").flatMap(formsOf)))
    // One may be a part of another.
    .sort((a, b) => b.length - a.length)
  return (text) => forms.reduce((rest, form) => withoutStart(rest.replaceAll(form, mark), form), text)
}
