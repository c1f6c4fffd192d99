/** The zod schemas of Node apps, of any version, as schemas of Effect. */
import * as Effect from "effect/Effect"
import * as ParseResult from "effect/ParseResult"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import type * as AST from "effect/SchemaAST"
import type { Issue } from "../InferenceError.js"
import { issuesOf, messageOf } from "./failure.js"
import * as NodeSchema from "./nodeSchema.js"
import { isJson, isJsonObject, type Json } from "./wire.js"
import { inlined } from "./zodJsonSchema.js"

export type Method = (...args: ReadonlyArray<unknown>) => unknown

export const isMethod = (u: unknown): u is Method => typeof u === "function"

/** What is asked of a zod schema, of version 3 or 4. */
export interface Zod {
  readonly safeParseAsync: (value: unknown) => PromiseLike<unknown>
}

export const isZod = (u: unknown): u is Zod => Predicate.hasProperty(u, "safeParseAsync") && isMethod(u.safeParseAsync)

type Parsed = { readonly value: unknown } | { readonly issues: ReadonlyArray<Issue> }

const issueOf = (issue: unknown): Issue => {
  const { path, message } = isJsonObject(issue) ? issue : {}
  const parts: ReadonlyArray<unknown> = Array.isArray(path) ? path : []
  return {
    path: parts.map((part) => (typeof part === "number" ? part : String(part))),
    message: typeof message === "string" ? message : "it is not valid"
  }
}

export const parse = (schema: Zod, value: unknown): Effect.Effect<Parsed> => {
  const contract = NodeSchema.schemaOf(schema)
  // One that was made here takes the paths of files from its host, and must not from callers.
  return contract === undefined
    ? parseZod(schema, value)
    : Effect.match(NodeSchema.complete(contract, value), {
        onSuccess: (value): Parsed => {
          if (typeof value === "object" && value !== null) NodeSchema.hosted.add(value)
          return { value }
        },
        onFailure: (error): Parsed => ({ issues: issuesOf(error) })
      })
}

const parseZod = (schema: Zod, value: unknown): Effect.Effect<Parsed> =>
  Effect.tryPromise(async () => schema.safeParseAsync(value)).pipe(
    Effect.map((result): Parsed => {
      if (!isJsonObject(result)) return { issues: [{ path: [], message: "its schema gives no result" }] }
      if (result.success === true) return { value: result.data }
      const issues = isJsonObject(result.error) && Array.isArray(result.error.issues) ? result.error.issues : []
      return { issues: issues.length === 0 ? [issueOf(undefined)] : issues.map(issueOf) }
    }),
    // A refinement of the schema threw.
    Effect.catchAll(({ error }) => Effect.succeed({ issues: [{ path: [], message: messageOf(error) }] }))
  )

/** Marks the fields that the platform's package has made file fields. */
const markFiles = ({ zodSchema, jsonSchema }: { readonly zodSchema: unknown; readonly jsonSchema: unknown }) => {
  const def = isJsonObject(zodSchema) ? zodSchema._def : undefined
  if (isJsonObject(def) && isJsonObject(jsonSchema) && Reflect.get(def, NodeSchema.fileMarker) === true) {
    Object.assign(jsonSchema, { type: "string", format: "file" })
  }
}

/** By the Standard JSON Schema that zod offers since 4.2, of what it takes: outputs are not parsed. Not every schema can be one. */
export const jsonSchemaOf = (schema: Zod): Json | undefined => {
  const standard: unknown = Reflect.get(schema, "~standard")
  const offers = isJsonObject(standard) && isJsonObject(standard.jsonSchema) ? standard.jsonSchema : {}
  if (!isMethod(offers.input)) return undefined
  try {
    const json = offers.input({
      target: "draft-2020-12",
      libraryOptions: { override: markFiles, unrepresentable: "any" }
    })
    return isJsonObject(json) ? inlined(json) : undefined
  } catch {
    return undefined
  }
}

export const withJsonSchema = (schema: Schema.Schema<unknown>, json: Json | undefined): Schema.Schema<unknown> =>
  json === undefined ? schema : schema.annotations({ jsonSchema: json })

/** Setup parameters that a schema has made out of what was given. */
export const complete = new WeakSet<object>()

/** What comes in as its schema makes it, so that the same setup is the same, whether its defaults are spelled out or not. */
export const completed = (schema: Zod): Schema.Schema<unknown> =>
  withJsonSchema(
    Schema.transformOrFail(Schema.Unknown, Schema.Unknown, {
      strict: true,
      decode: (value, _, ast) =>
        Effect.flatMap(parse(schema, value ?? {}), (parsed) => {
          if ("issues" in parsed) return ParseResult.fail(misfitOf(ast, value, parsed.issues))
          if (!isJsonObject(parsed.value)) return ParseResult.succeed(value)
          complete.add(parsed.value)
          return ParseResult.succeed(parsed.value)
        }),
      // As JSON, what is none could look like something else.
      encode: (value, _, ast) =>
        isJsonObject(value) && complete.has(value) && !isJson(value)
          ? ParseResult.fail(new ParseResult.Type(ast, value, "it is no JSON"))
          : ParseResult.succeed(value)
    }),
    jsonSchemaOf(schema)
  )

/** Checks what comes in, and leaves it as it is: the app gets what the schema makes of it, its callers need not give that. */
export const checked = (schema: Zod): Schema.Schema<unknown> => {
  const contract = NodeSchema.schemaOf(schema)
  return withJsonSchema(
    Schema.transformOrFail(Schema.Unknown, Schema.Unknown, {
      strict: true,
      decode: (value, options, ast) =>
        // One that was made here takes the paths of files from its host, and must not from callers.
        contract === undefined
          ? Effect.flatMap(parse(schema, value ?? {}), (parsed) =>
              "value" in parsed ? ParseResult.succeed(value) : ParseResult.fail(misfitOf(ast, value, parsed.issues))
            )
          : Effect.as(ParseResult.decodeUnknown(contract)(value ?? {}, options), value),
      encode: (value) => ParseResult.succeed(value)
    }),
    jsonSchemaOf(schema)
  )
}

const misfitOf = (ast: AST.AST, value: unknown, issues: ReadonlyArray<Issue>): ParseResult.ParseIssue => {
  const [first, ...others] = issues.map(({ path: [head, ...rest], message }) => {
    const issue = new ParseResult.Type(ast, value, message)
    return head === undefined ? issue : new ParseResult.Pointer([head, ...rest], value, issue)
  })
  return first === undefined
    ? new ParseResult.Type(ast, value)
    : new ParseResult.Composite(ast, value, [first, ...others])
}
