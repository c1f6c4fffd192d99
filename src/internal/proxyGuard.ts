/** Which apps and agents a request asks for, and whether it may: protocol.md §13.3. */
import * as Effect from "effect/Effect"
import { isOf, type Target } from "./proxyTarget.js"
import { parseRef } from "./server/registry.js"
import { invalid, Problem, parseJson } from "./server/reply.js"
import { isJsonObject, type Json } from "./wire.js"

const refused = (detail: string) => new Problem({ status: 403, code: "forbidden", detail })

/** Whether a reference is of a glob such as `acme/*`. A glob without a version is of every version. */
const matches = (reference: string, glob: string): boolean => {
  // No name has other characters: what the service would make of them cannot be told.
  if (!/^[\w.-]+(\/[\w.-]+){1,2}(@[\w.-]+)?(:[\w.-]+)?$/.test(reference)) return false
  const ref = parseRef(reference)
  if (ref === undefined || [ref.namespace, ref.name].some((part) => /^\.+$/.test(part))) return false
  const name = `${ref.namespace}/${ref.name}`
  const [, version] = reference.replace(/:.*$/s, "").split("@")
  const pattern = glob.replace(/[\\^$.|?+()[\]{}]/g, "\\$&").replace(/\*/g, "[^/@]*")
  return new RegExp(`^${pattern}$`).test(glob.includes("@") ? `${name}@${version ?? "latest"}` : name)
}

const check = (apps: ReadonlyArray<string>, field: string, value: unknown): Effect.Effect<void, Problem> =>
  typeof value !== "string"
    ? refused(`the body must name what to run in "${field}", such as "acme/echo"`)
    : apps.some((glob) => matches(value, glob))
      ? Effect.void
      : refused(`the proxy does not allow ${value}: it must be among the \`apps\` of Proxy.httpApp`)

/** Fields that name something to run otherwise than by its reference. */
const isOtherName = (key: string): boolean =>
  (key.endsWith("_id") && key !== "chat_id" && key !== "session_id") || key === "agent_config" || key === "core_app"

/** The service takes a key in whatever case it is written: only one that is written as it should be can be judged. */
const checkKeys = (body: Json): Effect.Effect<void, Problem> =>
  Effect.forEach(
    Object.keys(body),
    (key) =>
      !/^[a-z][a-z0-9_]*$/.test(key)
        ? refused(`the body has the key ${JSON.stringify(key)}: the proxy takes only keys in snake_case`)
        : isOtherName(key)
          ? refused(`the proxy does not take "${key}": name the app or the agent by its reference in "app" or "agent"`)
          : Effect.void,
    { discard: true }
  )

const runApp = ["POST /apps/run", "POST /run"]
const runAgent = "POST /agents/run"
const startChat = ["POST /chats", "POST /chats/:id/agent"]
const readAgent = "GET /agents/:namespace/:name"
const settings = "POST /chats/:id/settings"

/** What is sent on of a request. */
interface Passed {
  readonly body: Uint8Array<ArrayBuffer>
  readonly search: string
}

/**
 * What may be sent on of a request. Where its body was judged, it is what was judged and that alone: read and written anew, so that a
 * key that is there twice cannot mean one thing here and another at the service.
 */
export const guard = (
  target: Target,
  bytes: Uint8Array<ArrayBuffer>,
  apps: ReadonlyArray<string> | undefined
): Effect.Effect<Passed, Problem> => {
  const passed: Passed = { body: bytes, search: target.search }
  const is = isOf(target)
  const judged = (judge: (body: Json) => Effect.Effect<void, Problem>) =>
    Effect.flatMap(parseJson(bytes), (body) =>
      isJsonObject(body)
        ? Effect.as(judge(body), { body: new TextEncoder().encode(JSON.stringify(body)), search: "" })
        : Effect.fail(invalid("the body is not a JSON object"))
    )
  if (is(settings)) {
    return judged((body) =>
      Object.keys(body).every((key) => key === "allow_all_tools")
        ? Effect.void
        : refused('the proxy lets only the setting "allow_all_tools" of a chat be changed')
    )
  }
  if (apps === undefined) return Effect.succeed(passed)
  if (is(readAgent)) return Effect.as(check(apps, "agent", target.parts.slice(1).join("/")), passed)
  if (runApp.some(is)) return judged((body) => Effect.zipRight(checkKeys(body), check(apps, "app", body.app)))
  if (startChat.some(is)) return judged((body) => Effect.zipRight(checkKeys(body), check(apps, "agent", body.agent)))
  if (is(runAgent)) {
    return judged((body) =>
      Effect.zipRight(
        checkKeys(body),
        body.agent == null && typeof body.chat_id === "string" && body.chat_id !== ""
          ? Effect.void
          : check(apps, "agent", body.agent)
      )
    )
  }
  return Effect.succeed(passed)
}
