/**
 * The one place that turns schemas into JSON Schemas, in the subset that the service reads: everything inline, and objects open to
 * further fields.
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as JSONSchema from "effect/JSONSchema"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as AST from "effect/SchemaAST"
import { InvalidRequest, type Issue } from "../InferenceError.js"
import { isJson, isJsonObject, type Json, sameJson } from "./wire.js"

/** The default of an optional field as it is on the wire, where it is the same each time. */
const defaultOf = (
  field: AST.PropertySignature,
  { decode }: AST.PropertySignatureTransformation
): Option.Option<unknown> => {
  const encode = Schema.encodeUnknownOption(Schema.make<unknown>(field.type))
  const once = () => Option.flatMap(decode(Option.none()), encode)
  return Option.filter(once(), (value) => isJson(value) && Option.exists(once(), (again) => sameJson(value, again)))
}

const isTimeText = (ast: AST.AST): boolean =>
  [Schema.DateFromString.ast, Schema.DateTimeUtc.ast].some(
    (time) => time._tag === "Transformation" && time.from === ast
  )

/** What is said of a schema itself. JSONSchema looks only at the wire form where the two are not the same. */
const described = (ast: AST.Annotated, json: unknown): unknown => {
  const description = Option.getOrUndefined(AST.getDescriptionAnnotation(ast))
  const title = Option.getOrUndefined(AST.getTitleAnnotation(ast))
  return isJsonObject(json) ? { ...json, ...(title && { title }), ...(description && { description }) } : json
}

/** Adds what JSONSchema leaves out: defaults that the schema fills in, and what is said of schemas of other wire forms. */
const withDetails = (ast: AST.AST, json: unknown): unknown => {
  if (!isJsonObject(json)) return json
  if (isTimeText(ast)) return { type: "string", format: "date-time" }
  switch (ast._tag) {
    case "Refinement":
      return described(ast, withDetails(ast.from, json))
    case "Transformation": {
      // It tells its own.
      if (Option.isSome(AST.getJSONSchemaAnnotation(ast))) return described(ast, json)
      const from = described(ast, withDetails(ast.from, json))
      if (ast.from._tag !== "TypeLiteral" || ast.transformation._tag !== "TypeLiteralTransformation") return from
      if (!isJsonObject(from) || !isJsonObject(from.properties)) return from
      const properties: { [name: string]: unknown } = { ...from.properties }
      for (const transformation of ast.transformation.propertySignatureTransformations) {
        const name = transformation.from
        const field = ast.from.propertySignatures.find((property) => property.name === name)
        const property = typeof name === "string" ? properties[name] : undefined
        if (field === undefined || !isJsonObject(property) || "default" in property) continue
        const found = defaultOf(field, transformation)
        if (Option.isSome(found)) properties[String(name)] = { ...property, default: found.value }
      }
      return { ...from, properties }
    }
    case "TypeLiteral": {
      if (!isJsonObject(json.properties)) return json
      const properties = Object.entries(json.properties).map(([name, property]) => {
        const signature = ast.propertySignatures.find((each) => each.name === name)
        return [
          name,
          signature === undefined ? property : described(signature, withDetails(signature.type, property))
        ] as const
      })
      return { ...json, properties: Object.fromEntries(properties) }
    }
    case "TupleType": {
      const [rest] = ast.rest
      return rest !== undefined && isJsonObject(json.items)
        ? { ...json, items: withDetails(rest.type, json.items) }
        : json
    }
    case "Union": {
      // Where nothing was left out or put together, the alternatives are in the same order.
      const { anyOf } = json
      const members = ast.types.filter((type) => type._tag !== "UndefinedKeyword")
      if (!Array.isArray(anyOf)) return members.length === 1 && members[0] ? withDetails(members[0], json) : json
      if (anyOf.length !== members.length) return json
      return { ...json, anyOf: members.map((member, i) => withDetails(member, anyOf[i])) }
    }
    default:
      return json
  }
}

/** How `effect/Schema` titles its filters, and what it says of those that a keyword stands for. */
const filterTitle =
  /^(?:(?:minLength|maxLength|length|startsWith|endsWith|includes|greaterThan|greaterThanOrEqualTo|lessThan|lessThanOrEqualTo|between|multipleOf|minItems|maxItems|itemsCount)\(.*\)|int|finite|nonNaN|nonEmptyString|trimmed|lowercased|uppercased|capitalized|uncapitalized|parseJson)$/s
const filterDescription =
  /^(?:an integer|a finite number|a number excluding NaN|a (?:non-)?(?:positive|negative) number|a number (?:between|greater than|less than|divisible by) [-\w. ]+|a non empty string|a single character|a string (?:at least|at most)? ?\d+ character\(s\)[\w() ]* long|an array of (?:at least|at most|exactly) \d+ item\(s\))$/

const isRepetition = (key: string, value: unknown, { type }: Json): boolean =>
  typeof value === "string" &&
  type !== "boolean" &&
  type !== "object" &&
  ((key === "title" && filterTitle.test(value)) || (key === "description" && filterDescription.test(value)))

/** Leaves out what says nothing, and writes out what only JSON Schema validators understand. */
const tidy = (json: unknown, definitions: Json, isRoot = false): unknown => {
  if (Array.isArray(json)) return json.map((item: unknown) => tidy(item, definitions))
  if (!isJsonObject(json)) return json
  const { $id, $ref, $comment, ...rest } = json
  if (typeof $ref === "string") {
    // A schema that contains itself: inside of it, all that is said is what kind of value it is.
    const definition = definitions[$ref.slice($ref.lastIndexOf("/") + 1)]
    const { type, title, description } = isJsonObject(definition) ? definition : {}
    return JSON.parse(JSON.stringify({ type, title, description }))
  }
  if (typeof $id === "string") {
    const { title: _, anyOf: __, ...annotations } = rest
    const isEmptyStruct = $id === "/schemas/%7B%7D" || $id === "/schemas/object"
    return isEmptyStruct
      ? { type: "object", properties: {}, ...(isRoot && { required: [] }), ...annotations }
      : annotations
  }
  if ($comment === "/schemas/enums" && Array.isArray(rest.anyOf)) {
    const members: ReadonlyArray<unknown> = rest.anyOf
    const { anyOf: _, ...annotations } = rest
    const values = members.flatMap((member) => (isJsonObject(member) && Array.isArray(member.enum) ? member.enum : []))
    const types = new Set(values.map((value) => typeof value))
    return { ...(types.size === 1 && { type: Array.from(types)[0] }), enum: values, ...annotations }
  }
  const tidied = Object.entries(rest).flatMap(([key, value]): ReadonlyArray<readonly [string, unknown]> => {
    if (key === "additionalProperties" && value === true) return []
    if (key === "required" && Array.isArray(value) && value.length === 0 && !isRoot) return []
    if (isRepetition(key, value, json)) return []
    if (key === "default" || key === "enum" || key === "examples" || key === "required") return [[key, value]]
    if (key === "properties" && isJsonObject(value)) {
      const properties = Object.entries(value).map(([name, property]) => [name, tidy(property, definitions)] as const)
      return [[key, Object.fromEntries(properties)]]
    }
    return [[key, tidy(value, definitions)]]
  })
  return Object.fromEntries(tidied)
}

/**
 * The JSON Schema of the wire form of a schema, or why it has none. It holds no `$ref`: named schemas are written out where they are
 * used.
 */
export const toJsonSchema = (schema: Schema.Schema.AnyNoContext): Either.Either<Json, string> =>
  Either.try({
    try: () => {
      const definitions = {}
      const json = JSONSchema.fromAST(schema.ast, {
        definitions,
        topLevelReferenceStrategy: "skip",
        additionalPropertiesStrategy: "allow"
      })
      // A schema that contains itself comes as a reference to its definition.
      const id = "$ref" in json ? json.$ref.slice(json.$ref.lastIndexOf("/") + 1) : undefined
      const all: Json = definitions
      const root = id === undefined ? json : all[id]
      const tidied = tidy(withDetails(schema.ast, root), all, true)
      return isJsonObject(tidied) ? tidied : {}
    },
    // The first line says it; what follows are hints for the developer of the schema.
    catch: (error) => (error instanceof Error ? error.message : String(error)).replace(/\s*\n\s*/g, " ")
  })

/** The same as an Effect, for what a user has written: `path` tells which schema it is. */
export const jsonSchemaOf = (
  path: Issue["path"],
  schema: Schema.Schema.AnyNoContext
): Effect.Effect<Json, InvalidRequest> =>
  Effect.mapError(toJsonSchema(schema), (message) => new InvalidRequest({ issues: [{ path, message }] }))
