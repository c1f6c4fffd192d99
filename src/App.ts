/**
 * The typed contract of an app: its name and the schemas of its input, output and setup. Callers and hosts share it.
 *
 * @module
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import * as AST from "effect/SchemaAST"
import { DecodeError } from "./InferenceError.js"
import { decodeError } from "./internal/failure.js"
import type * as Task from "./Task.js"

/**
 * The mark of an {@link App}.
 *
 * @since 0.1.0
 * @category type ids
 */
export const TypeId: unique symbol = Symbol.for("effect-inferencesh/App")

/**
 * The mark of an {@link App}.
 *
 * @since 0.1.0
 * @category type ids
 */
export type TypeId = typeof TypeId

/**
 * The schemas of one function of an app.
 *
 * @since 0.1.0
 * @category models
 */
export interface Signature<
  Input extends Schema.Schema.AnyNoContext = Schema.Schema.AnyNoContext,
  Output extends Schema.Schema.AnyNoContext = Schema.Schema.AnyNoContext
> {
  readonly input: Input
  readonly output: Output
}

/**
 * The functions of an app by name. An app with one input and one output has just `run`.
 *
 * @since 0.1.0
 * @category models
 */
export interface Signatures {
  readonly [name: string]: Signature
}

/**
 * The contract of an app. It is a description only: it runs nothing. Make one with {@link make}.
 *
 * @since 0.1.0
 * @category models
 */
export interface App<
  out Functions extends Signatures = Signatures,
  out Setup extends Schema.Schema.AnyNoContext = Schema.Schema.AnyNoContext
> {
  readonly [TypeId]: TypeId
  /** The reference given to {@link make}: `namespace/name`, possibly with `@version`. */
  readonly name: string
  readonly functions: Functions
  readonly setup: Setup
  readonly description: string | undefined
}

/**
 * Any app contract.
 *
 * @since 0.1.0
 * @category models
 */
export type Any = App

/**
 * The names of an app's functions.
 *
 * @since 0.1.0
 * @category types
 */
export type FunctionName<A extends Any> = keyof A["functions"] & string

/**
 * What a caller gives to a function: decoded values, where fields with a default may be left out.
 *
 * @since 0.1.0
 * @category types
 */
export type Input<A extends Any, Name extends FunctionName<A> = DefaultFunction<A>> = ConstructorOf<
  A["functions"][Name]["input"]
>

/**
 * What a handler receives: the decoded input, with every default filled in.
 *
 * @since 0.1.0
 * @category types
 */
export type DecodedInput<A extends Any, Name extends FunctionName<A> = DefaultFunction<A>> = Schema.Schema.Type<
  A["functions"][Name]["input"]
>

/**
 * The decoded output of a function.
 *
 * @since 0.1.0
 * @category types
 */
export type Output<A extends Any, Name extends FunctionName<A> = DefaultFunction<A>> = Schema.Schema.Type<
  A["functions"][Name]["output"]
>

/**
 * What a caller gives as setup: decoded values, where fields with a default may be left out.
 *
 * @since 0.1.0
 * @category types
 */
export type Setup<A extends Any> = ConstructorOf<A["setup"]>

/**
 * The function that is meant when none is named: `run` where there is one.
 *
 * @since 0.1.0
 * @category types
 */
export type DefaultFunction<A extends Any> = "run" extends FunctionName<A> ? "run" : FunctionName<A>

/**
 * What the constructor of a schema takes: for a struct, also one with a filter, the fields without those that have a default.
 *
 * @since 0.1.0
 * @category types
 */
export type ConstructorOf<S extends Schema.Schema.AnyNoContext> = S extends {
  readonly fields: infer Fields extends Schema.Struct.Fields
  readonly records: infer Records extends Schema.IndexSignature.Records
}
  ? Schema.Simplify<Schema.TypeLiteral.Constructor<Fields, Records>>
  : S extends { readonly fields: infer Fields extends Schema.Struct.Fields }
    ? Schema.Simplify<Schema.Struct.Constructor<Fields>>
    : S extends { readonly from: infer From extends Schema.Schema.AnyNoContext; readonly filter: unknown }
      ? ConstructorOf<From>
      : Schema.Schema.Type<S>

/**
 * A schema, or the fields of a struct.
 *
 * @since 0.1.0
 * @category types
 */
export type SchemaOrFields = Schema.Schema.AnyNoContext | Fields

/**
 * The fields of a struct, of schemas that need no services.
 *
 * @since 0.1.0
 * @category types
 */
export interface Fields {
  readonly [name: PropertyKey]:
    | Schema.Schema.AnyNoContext
    | Schema.PropertySignature<
        Schema.PropertySignature.Token,
        Schema.Schema.Type<Schema.Schema.AnyNoContext>,
        PropertyKey,
        Schema.PropertySignature.Token,
        Schema.Schema.Encoded<Schema.Schema.AnyNoContext>,
        boolean,
        never
      >
}

/**
 * The schema that a {@link SchemaOrFields} stands for.
 *
 * @since 0.1.0
 * @category types
 */
export type ToSchema<S extends SchemaOrFields> = S extends Schema.Schema.AnyNoContext
  ? S
  : S extends Fields
    ? Schema.Struct<S> extends infer Struct extends Schema.Schema.AnyNoContext
      ? Struct
      : never
    : never

/**
 * The functions that a record of schemas or fields describes.
 *
 * @since 0.1.0
 * @category types
 */
export type ToSignatures<F extends SignatureInputs> = {
  readonly [Name in keyof F]: Signature<ToSchema<F[Name]["input"]>, ToSchema<F[Name]["output"]>>
}

/**
 * What {@link make} takes for the functions of an app.
 *
 * @since 0.1.0
 * @category types
 */
export interface SignatureInputs {
  readonly [name: string]: { readonly input: SchemaOrFields; readonly output: SchemaOrFields }
}

/**
 * The setup schema of an app: `Unknown` where it has none.
 *
 * @since 0.1.0
 * @category types
 */
// The parameter of `make` defaults to its own constraint, not to `Unknown`: fields are typed by what they may be.
export type ToSetup<S extends SchemaOrFields> = SchemaOrFields extends S ? typeof Schema.Unknown : ToSchema<S>

/** @internal */
export const toSchema = (schema: SchemaOrFields): Schema.Schema.AnyNoContext =>
  isSchema(schema) ? schema : Schema.Struct(schema)

const isSchema = (schema: SchemaOrFields): schema is Schema.Schema.AnyNoContext => Schema.isSchema(schema)

/**
 * Describes an app: its name, `namespace/name` or `namespace/name@version`, and the schemas of what goes in and out. Each is
 * a schema or the fields of a struct. `functions` describes further functions of an app that has several.
 *
 * Schemas have wire names on their encoded side: use `Schema.fromKey` for a field whose wire name differs.
 *
 * @example
 * ```ts
 * import { Schema } from "effect"
 * import { App, File } from "effect-inferencesh"
 *
 * const Upscale = App.make("acme/upscaler@7k2m9qd4", {
 *   input: {
 *     image: File.File,
 *     scale: Schema.optionalWith(Schema.Int, { default: () => 2 })
 *   },
 *   output: { image: File.File },
 *   setup: { model: Schema.Literal("x2", "x4") }
 * })
 * ```
 * @since 0.1.0
 * @category constructors
 */
export const make: {
  <
    const Input extends SchemaOrFields,
    const Output extends SchemaOrFields,
    const Setup extends SchemaOrFields = SchemaOrFields,
    // biome-ignore lint/complexity/noBannedTypes: no further functions
    const Functions extends SignatureInputs = {}
  >(
    name: string,
    contract: {
      readonly input: Input
      readonly output: Output
      readonly setup?: Setup
      readonly functions?: Functions
      readonly description?: string
    }
  ): App<{ readonly run: Signature<ToSchema<Input>, ToSchema<Output>> } & ToSignatures<Functions>, ToSetup<Setup>>
  <const Functions extends SignatureInputs, const Setup extends SchemaOrFields = SchemaOrFields>(
    name: string,
    contract: {
      readonly functions: Functions
      readonly setup?: Setup
      readonly description?: string
    }
  ): App<ToSignatures<Functions>, ToSetup<Setup>>
} = (
  name: string,
  contract: {
    readonly input?: SchemaOrFields
    readonly output?: SchemaOrFields
    readonly setup?: SchemaOrFields
    readonly functions?: SignatureInputs
    readonly description?: string
  }
): App<never, never> => {
  const { input, output } = contract
  const run = input && output ? { run: { input, output } } : {}
  const signatures = Object.entries({ ...run, ...contract.functions }).map(
    ([fn, signature]) => [fn, { input: toSchema(signature.input), output: toSchema(signature.output) }] as const
  )
  const app: App = {
    [TypeId]: TypeId,
    name,
    functions: Object.fromEntries(signatures),
    setup: contract.setup === undefined ? Schema.Unknown : toSchema(contract.setup),
    description: contract.description
  }
  // The overloads say what the record holds; from here it is only known to hold signatures.
  return app as App<never, never>
}

/**
 * Whether a value is an app contract.
 *
 * @since 0.1.0
 * @category guards
 */
export const isApp = (u: unknown): u is App => Predicate.hasProperty(u, TypeId)

/**
 * The function that is meant when none is named: `run`, or else the first.
 *
 * @since 0.1.0
 * @category getters
 */
export const defaultFunction = (app: Any): string =>
  "run" in app.functions ? "run" : (Object.keys(app.functions)[0] ?? "run")

/**
 * Whether the contract has setup parameters.
 *
 * @internal
 */
export const hasSetup = (app: Any): boolean => !AST.isUnknownKeyword(app.setup.ast)

/**
 * The schemas of a function by its name, which may come from anywhere.
 *
 * @internal
 */
export const signature = (app: Any, name: string): Signature | undefined =>
  Object.hasOwn(app.functions, name) ? app.functions[name] : undefined

/**
 * Types a completed task that was got by its id: decodes its output with the contract's schema.
 *
 * Fails with `DecodeError` if the output does not fit, or if the task has not completed.
 *
 * @example
 * ```ts
 * import { Effect, Schema } from "effect"
 * import { App, Tasks } from "effect-inferencesh"
 *
 * const Echo = App.make("acme/echo", { input: { text: Schema.String }, output: { text: Schema.String } })
 *
 * const echoed = Effect.gen(function* () {
 *   const task = yield* Tasks.waitForCompletion("7k2m9qd4r8v1x5c3b6n0zthwpa")
 *   const completed = yield* App.decodeOutput(Echo, task)
 *   return completed.output.text
 * })
 * ```
 * @since 0.1.0
 * @category decoding
 */
export const decodeOutput = <A extends Any, const Name extends FunctionName<A> = DefaultFunction<A>>(
  app: A,
  task: Task.Task,
  options?: { readonly function?: Name | undefined }
): Effect.Effect<Task.Completed<Output<A, Name>>, DecodeError> => {
  const subject = `output of ${app.name}`
  if (task.status !== "completed") {
    return Effect.fail(
      new DecodeError({ subject, path: [], taskId: task.id, detail: `the task is ${task.status}, not completed` })
    )
  }
  const name = options?.function ?? (task.function || defaultFunction(app))
  const [first, ...others] = Object.values(app.functions)
  // A task names its function, which a contract with just one need not do: it is `run` there, whatever the app calls it.
  const found = signature(app, name) ?? (options?.function === undefined && others.length === 0 ? first : undefined)
  if (found === undefined) {
    return Effect.fail(
      new DecodeError({ subject, path: [], taskId: task.id, detail: `the contract has no function "${name}"` })
    )
  }
  return Effect.map(
    Effect.mapError(Schema.decodeUnknown(found.output)(task.output), (error) =>
      decodeError(subject, error, { taskId: task.id })
    ),
    (output): Task.Completed<Output<A, Name>> => ({ ...task, status: "completed", output })
  )
}
