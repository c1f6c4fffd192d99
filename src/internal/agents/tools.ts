/** Tools as they go over the wire, and the answering of their calls: protocol.md §8, §7.9. */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as App from "../../App.js"
import { InvalidRequest, type Issue } from "../../InferenceError.js"
import * as Tool from "../../Tool.js"
import { formatIssues, issuesOf, messageOf } from "../failure.js"
import { jsonSchemaOf } from "../jsonSchema.js"
import * as Payload from "../payload.js"
import { isJsonObject, type Json } from "../wire.js"

const invalid = (path: Issue["path"], message: string) => new InvalidRequest({ issues: [{ path, message }] })

export const jsonSchema = (part: string, schema: App.SchemaOrFields): Effect.Effect<Json, InvalidRequest> =>
  jsonSchemaOf([part], App.toSchema(schema))

/** The schema of an object, which is what models can give. */
export const objectSchema = (part: string, schema: App.SchemaOrFields): Effect.Effect<Json, InvalidRequest> =>
  Effect.filterOrFail(
    jsonSchema(part, schema),
    (json) => json.type === "object",
    () => invalid([part], "it must describe an object: wrap it in a struct")
  )

const schemas = (options: {
  readonly params?: App.SchemaOrFields | undefined
  readonly output?: App.SchemaOrFields | undefined
}): Effect.Effect<Json, InvalidRequest> =>
  Effect.all({
    input_schema: objectSchema("params", options.params ?? {}),
    ...(options.output && { output_schema: jsonSchema("output", options.output) })
  })

/** Encodes what is preset of an input by the schemas of those fields: that of the whole would miss the others. */
const preset = (app: App.Any, fn: string, input: unknown): Effect.Effect<unknown, InvalidRequest> => {
  const schema = App.signature(app, fn)?.input
  if (schema === undefined) return Effect.fail(invalid(["function"], `${app.name} has no function "${fn}"`))
  const fields = "fields" in schema && isJsonObject(schema.fields) ? schema.fields : undefined
  if (fields === undefined || !isJsonObject(input)) return Payload.encode(app.name, "input", schema, input)
  const unknown = Object.keys(input).filter((key) => !Object.hasOwn(fields, key))
  if (unknown.length > 0) return Effect.fail(invalid(["input"], `${app.name} has no field ${unknown.join(", ")}`))
  const given = Object.fromEntries(Object.entries(fields).filter(([key]) => Object.hasOwn(input, key)))
  // They are fields of a contract, which are such.
  return Payload.encode(app.name, "input", App.toSchema(given as App.Fields), input)
}

const appConfig = (spec: Extract<Tool.Spec, { readonly type: "app" }>): Effect.Effect<Json, InvalidRequest> => {
  const { app, input, setup } = spec
  const ref = typeof app === "string" ? app : app.name
  if (ref.trim() === "") return Effect.fail(invalid(["app"], "the name of the app is empty"))
  const named =
    spec.function ?? (typeof app === "string" || "run" in app.functions ? undefined : App.defaultFunction(app))
  const encoded =
    typeof app === "string"
      ? Effect.succeed({ input, setup })
      : Effect.all({
          input: input === undefined ? Effect.void : preset(app, named ?? App.defaultFunction(app), input),
          setup: setup === undefined ? Effect.void : Payload.encode(app.name, "setup", app.setup, setup)
        })
  return Effect.map(encoded, ({ input, setup }) => ({
    ref,
    function: named,
    session_enabled: spec.sessionEnabled || undefined,
    setup,
    input
  }))
}

const toAuth = (auth: Tool.HttpAuth): Json =>
  "integration" in auth
    ? { type: "integration", provider: auth.integration, integration_id: auth.integrationId }
    : "apiKey" in auth
      ? { type: "api_key", secret: auth.apiKey, header: auth.header ?? "X-API-Key" }
      : { type: "bearer", secret: auth.bearer }

const configOf = (spec: Tool.Spec): Effect.Effect<Json, InvalidRequest> => {
  switch (spec.type) {
    case "client":
      return schemas(spec)
    case "app":
      return appConfig(spec)
    case "agent":
      return Effect.succeed({ ref: spec.ref })
    case "http":
      return Effect.map(schemas(spec), (schemas) => ({
        url: spec.url,
        method: spec.method === "POST" ? undefined : spec.method,
        auth: spec.auth && toAuth(spec.auth),
        headers: spec.headers,
        ...schemas
      }))
    case "hook":
      return Effect.map(schemas(spec), (schemas) => ({ url: spec.url, secret: spec.secret, ...schemas }))
    case "mcp":
      return Effect.succeed({ integration_id: spec.integrationId, tool_name: spec.tool })
    case "internal":
      return Effect.succeed({ category: spec.category, operation: spec.operation })
  }
}

/** What all models take as the name of a tool, and some no other. */
const isName = (name: string): boolean => /^[\w-]{1,64}$/.test(name)

const badName = 'the name of a tool is made of letters, digits, "_" and "-", and is at most 64 characters long'

/** A tool on the wire, in which files may still have to be uploaded. */
export const definition = (tool: Tool.Any): Effect.Effect<Json, InvalidRequest> =>
  (isName(tool.name) ? configOf(tool.spec) : Effect.fail(invalid([], badName))).pipe(
    Effect.map((config) => ({
      name: tool.name,
      display_name: tool.displayName,
      description: tool.description,
      type: tool.type,
      require_approval: tool.requireApproval || undefined,
      [tool.type]: config
    })),
    Effect.mapError(({ issues }) => {
      const inTool = issues.map(({ path, message }) => ({ path: ["tools", tool.name, ...path], message }))
      return new InvalidRequest({ issues: inTool })
    })
  )

/** Takes what a schema throws for an issue, as it depends on what the model wrote. */
export const orDefect =
  (failure: (why: { readonly issues: ReadonlyArray<Issue> }) => Tool.Failure<never>) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E | Tool.Failure<never>, R> =>
    Effect.catchAllDefect(effect, (defect) =>
      Effect.fail(failure({ issues: [{ path: [], message: messageOf(defect) }] }))
    )

/** Answers a call of a client tool: its result in encoded form. */
export const handle = <E, R>(
  spec: Extract<Tool.Spec<E, R>, { readonly type: "client" }>,
  args: unknown,
  call: Tool.Call
): Effect.Effect<unknown, Tool.Failure<E>, R> =>
  Effect.gen(function* () {
    const decode = Schema.decodeUnknown(App.toSchema(spec.params), { errors: "all" })
    const decoded: unknown = yield* Effect.suspend(() => decode(args)).pipe(
      Effect.mapError((error) => Tool.Failure.InvalidArguments({ issues: issuesOf(error) })),
      orDefect(Tool.Failure.InvalidArguments)
    )
    // Decoded by the schema that the handler's parameter is typed by.
    const result = yield* Effect.suspend(() => spec.handler(decoded as never, call)).pipe(
      Effect.catchAllCause((cause) => Effect.fail(Tool.Failure.HandlerFailed({ cause })))
    )
    if (spec.output === undefined) return result
    const encode = Schema.encodeUnknown(App.toSchema(spec.output), { errors: "all" })
    return yield* Effect.suspend(() => encode(result)).pipe(
      Effect.mapError((error) => Tool.Failure.InvalidResult({ issues: issuesOf(error) })),
      orDefect(Tool.Failure.InvalidResult)
    )
  })

/** What the model reads where a call has no result. */
export const tell = (failure: Tool.Failure): string => {
  switch (failure._tag) {
    case "NotAvailable":
      return JSON.stringify({ status: "not_available", message: `the tool "${failure.name}" is not available here` })
    case "InvalidArguments":
      return JSON.stringify({ error: `the arguments do not fit: ${formatIssues(failure.issues)}` })
    case "InvalidResult":
      return JSON.stringify({ error: `the tool gave no usable result: ${formatIssues(failure.issues)}` })
    case "HandlerFailed": {
      const { cause } = failure
      const why = Cause.isInterruptedOnly(cause) ? "it was interrupted" : messageOf(Cause.squash(cause))
      return JSON.stringify({ error: why })
    }
  }
}
