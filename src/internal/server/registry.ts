import * as Effect from "effect/Effect"
import * as App from "../../App.js"
import type * as BaseApp from "../../BaseApp.js"
import { text as optionalText } from "./fields.js"
import { invalid, notFound } from "./reply.js"

/** The parts of `[type/]namespace/name[@version][:function]`. */
export interface Ref {
  readonly namespace: string
  readonly name: string
  readonly version: string | undefined
  readonly function: string | undefined
}

const types = new Set(["app", "agent", "skill", "knowledge"])

export const parseRef = (text: string): Ref | undefined => {
  const at = text.lastIndexOf("@")
  // A colon before the last @ belongs to the name.
  const colon = text.indexOf(":", at + 1)
  const fn = colon === -1 ? undefined : text.slice(colon + 1)
  const rest = colon === -1 ? text : text.slice(0, colon)
  const version = at === -1 ? undefined : rest.slice(at + 1)
  const parts = (at === -1 ? rest : rest.slice(0, at)).split("/")
  const [namespace, name, ...more] = parts.length === 3 && types.has(parts[0] ?? "") ? parts.slice(1) : parts
  if (!namespace || !name || more.length > 0 || fn === "" || version === "") return undefined
  return { namespace, name, version: version === "latest" ? undefined : version, function: fn }
}

/** Whether two references may mean the same app: one without a version means any. */
export const isSameApp = (one: Omit<Ref, "function">, other: Omit<Ref, "function">): boolean =>
  one.namespace === other.namespace &&
  one.name === other.name &&
  (one.version === undefined || other.version === undefined || one.version === other.version)

/** An app under the names that requests use for it. */
export interface Hosted<out R = unknown> {
  readonly base: BaseApp.BaseApp<App.Any, R>
  readonly id: string
  readonly versionId: string
  readonly namespace: string
  readonly name: string
  readonly version: string | undefined
}

export const host = <R>(base: BaseApp.BaseApp<App.Any, R>): Hosted<R> => {
  const ref = parseRef(base.app.name) ?? { namespace: "local", name: base.app.name, version: undefined }
  const id = `${ref.namespace}/${ref.name}`
  return {
    base,
    id,
    versionId: `${id}@${ref.version ?? "latest"}`,
    namespace: ref.namespace,
    name: ref.name,
    version: ref.version
  }
}

/** The app and function that a run request means. */
export const resolve = <H extends Hosted>(apps: ReadonlyArray<H>, body: { readonly [key: string]: unknown }) =>
  Effect.suspend(() => {
    const text = optionalText(body.app)
    const appId = optionalText(body.app_id)
    const versionId = optionalText(body.version_id)
    const ref = text === undefined ? undefined : parseRef(text)
    if (text !== undefined && ref === undefined) {
      return invalid(`"${text}" is no app reference`, [
        { field: "app", message: "expected namespace/name, possibly with @version and :function" }
      ])
    }
    if (ref === undefined && appId === undefined && versionId === undefined) {
      return invalid("the request names no app", [{ field: "app", message: "is missing" }])
    }
    const app = apps.findLast((app) =>
      ref === undefined
        ? versionId === undefined
          ? app.id === appId
          : app.versionId === versionId
        : isSameApp(app, ref)
    )
    if (app === undefined) return notFound(`app ${text ?? appId ?? versionId}`)
    const name = ref?.function ?? optionalText(body.function) ?? App.defaultFunction(app.base.app)
    const signature = Object.hasOwn(app.base.app.functions, name) ? app.base.app.functions[name] : undefined
    if (signature === undefined) {
      const known = Object.keys(app.base.app.functions).join(", ")
      return invalid(`${app.id} has no function "${name}"`, [
        { field: "function", message: `expected one of: ${known}` }
      ])
    }
    return Effect.succeed({ app, function: name, signature })
  })
