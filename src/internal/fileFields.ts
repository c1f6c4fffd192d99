/** The fields of a value that are files, as its schema says. */
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as AST from "effect/SchemaAST"
import * as File from "../File.js"
import { isJsonObject } from "./wire.js"

const isFileField = (ast: AST.AST): boolean =>
  AST.getJSONSchemaAnnotation(ast).pipe(
    Option.exists((jsonSchema) => Predicate.hasProperty(jsonSchema, "format") && jsonSchema.format === "file")
  )

/** Replaces what is in the fields of an encoded value that are files. A `File` there stays what it is. */
export const mapFileFields = (ast: AST.AST, value: unknown, f: (value: unknown) => unknown): unknown => {
  if (File.isFile(value)) return value
  if (isFileField(ast)) return f(value)
  switch (ast._tag) {
    case "Union":
      return ast.types.reduce((value, member) => mapFileFields(member, value, f), value)
    case "Refinement":
    case "Transformation":
      return mapFileFields(ast.from, value, f)
    case "Suspend":
      return typeof value === "object" && value !== null ? mapFileFields(ast.f(), value, f) : value
    case "TupleType":
      return Array.isArray(value)
        ? value.map((item: unknown, i) => {
            const type = ast.elements[i]?.type ?? ast.rest[0]?.type
            return type === undefined ? item : mapFileFields(type, item, f)
          })
        : value
    case "TypeLiteral": {
      if (!isJsonObject(value)) return value
      const typeOf = (key: string) =>
        ast.propertySignatures.find((property) => property.name === key)?.type ?? ast.indexSignatures[0]?.type
      return Object.fromEntries(
        Object.entries(value).map(([key, item]) => {
          const type = typeOf(key)
          return [key, type === undefined ? item : mapFileFields(type, item, f)]
        })
      )
    }
    default:
      return value
  }
}
