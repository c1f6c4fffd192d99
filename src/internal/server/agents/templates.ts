/** The agents that have a name: their configurations, every version of them. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type { Json } from "../../wire.js"
import { unsafeRandomId } from "../ids.js"
import { parseRef } from "../registry.js"

export interface Version {
  readonly ordinal: number
  readonly id: string
  readonly createdAt: number
  readonly config: Json
}

/** What may be set about a template. */
export interface Info {
  readonly namespace: string
  readonly name: string
  readonly title: string
  readonly images: Json
  readonly visibility: string
  readonly teamId: string
}

export interface Template extends Info {
  readonly ordinal: number
  readonly id: string
  readonly createdAt: number
  readonly updatedAt: number
  /** The last one is current. */
  readonly versions: readonly [Version, ...ReadonlyArray<Version>]
}

export interface Found {
  readonly template: Template
  readonly version: Version
}

export const current = ({ versions: [first, ...later] }: Template): Version => later.at(-1) ?? first

export interface Templates {
  readonly find: (id: string) => Template | undefined
  readonly named: (namespace: string, name: string) => Template | undefined
  /** What a reference means: `[agent/]namespace/name[@version]`. */
  readonly resolve: (ref: string) => Found | undefined
  readonly create: (info: Partial<Info> & { readonly name: string }, config: Json) => Effect.Effect<Template>
  readonly addVersion: (template: Template, config: Json) => Effect.Effect<Template>
  readonly change: (template: Template, patch: Partial<Info>) => Effect.Effect<Template>
  readonly remove: (id: string) => void
  /** The newest first. */
  readonly all: () => ReadonlyArray<Template>
}

/** The version of this id, or of its short form. */
export const versionOf = (template: Template, id: string): Version | undefined =>
  template.versions.findLast((version) => version.id === id || version.id.slice(0, 8) === id)

export const make = (given: ReadonlyArray<{ readonly ref: string; readonly config: Json }>): Effect.Effect<Templates> =>
  Effect.map(Clock.currentTimeMillis, (start) => {
    const templates = new Map<string, Template>()
    let ordinal = 0

    const put = (template: Template): Template => {
      templates.set(template.id, template)
      return template
    }
    const named = (namespace: string, name: string) =>
      Array.from(templates.values()).find((each) => each.namespace === namespace && each.name === name)

    const newVersion = (now: number, config: Json, id = unsafeRandomId()): Version => ({
      ordinal: ++ordinal,
      id,
      createdAt: now,
      config
    })
    const add = (now: number, info: Partial<Info> & { readonly name: string }, version: Version): Template =>
      put({
        namespace: "local",
        title: "",
        images: { card: "", thumbnail: "", banner: "" },
        visibility: "private",
        teamId: "local",
        ...info,
        ordinal: ++ordinal,
        id: unsafeRandomId(),
        createdAt: now,
        updatedAt: now,
        versions: [version]
      })
    const update = (template: Template, now: number, patch: Partial<Template>): Template =>
      put({ ...template, ...patch, updatedAt: now })

    for (const { ref, config } of given) {
      const { namespace, name, version: id } = parseRef(ref) ?? { namespace: "local", name: ref, version: undefined }
      const version = newVersion(start, config, id)
      const known = named(namespace, name)
      if (known === undefined) add(start, { namespace, name }, version)
      else update(known, start, { versions: [...known.versions, version] })
    }

    return {
      find: (id) => templates.get(id),
      named,
      resolve: (text) => {
        const ref = parseRef(text)
        const template = ref && named(ref.namespace, ref.name)
        if (template === undefined) return undefined
        const version = ref?.version === undefined ? current(template) : versionOf(template, ref.version)
        return version && { template, version }
      },
      create: (info, config) => Effect.map(Clock.currentTimeMillis, (now) => add(now, info, newVersion(now, config))),
      addVersion: (template, config) =>
        Effect.map(Clock.currentTimeMillis, (now) =>
          update(template, now, { versions: [...template.versions, newVersion(now, config)] })
        ),
      change: (template, patch) => Effect.map(Clock.currentTimeMillis, (now) => update(template, now, patch)),
      remove: (id) => {
        templates.delete(id)
      },
      all: () => Array.from(templates.values()).reverse()
    }
  })
