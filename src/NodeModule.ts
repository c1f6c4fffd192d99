/**
 * The modules in which the platform's Node runtime finds an app: what their types are. `BaseApp.toNodeModule` makes one, and
 * `BaseApp.fromNodeModule` hosts one.
 *
 * @module
 * @since 0.1.0
 */
import type * as Schema from "effect/Schema"
import type * as App from "./App.js"
import type * as BaseApp from "./BaseApp.js"
import type { Issue } from "./InferenceError.js"

/**
 * A schema as a module for the platform's Node runtime exports it. It has what is known to be looked at of a zod schema:
 * `parse` and its kin, the shape and the `_def` of zod 4, and the ways to a JSON Schema (`z.toJSONSchema`, Standard JSON
 * Schema). What is parsed keeps the form that it has on the wire, with the defaults filled in.
 *
 * @since 0.1.0
 * @category models
 */
export interface NodeSchema<out A> {
  /** What kind of schema it is, as zod 4 names it. */
  readonly type: unknown
  readonly description: string | undefined
  readonly def: { readonly [key: string]: unknown }
  readonly _def: { readonly [key: string]: unknown }
  readonly _zod: { readonly def: { readonly [key: string]: unknown }; readonly toJSONSchema: () => BaseApp.JsonSchema }
  /** The schemas of the fields, where it is one of an object. */
  readonly shape?: unknown
  readonly parse: (value: unknown) => A
  readonly parseAsync: (value: unknown) => Promise<A>
  readonly safeParse: (value: unknown) => NodeSchema.Result<A>
  readonly safeParseAsync: (value: unknown) => Promise<NodeSchema.Result<A>>
  readonly toJSONSchema: () => BaseApp.JsonSchema
  readonly "~standard": {
    readonly version: 1
    readonly vendor: string
    readonly types?: { readonly input: A; readonly output: A } | undefined
    readonly validate: (
      value: unknown
    ) => Promise<{ readonly value: A; readonly issues?: undefined } | { readonly issues: ReadonlyArray<Issue> }>
    readonly jsonSchema: { readonly input: () => BaseApp.JsonSchema; readonly output: () => BaseApp.JsonSchema }
  }
}

/**
 * What a {@link NodeSchema} gives.
 *
 * @since 0.1.0
 * @category models
 */
export declare namespace NodeSchema {
  /**
   * What became of a value: it fits, or what is wrong with it.
   *
   * @since 0.1.0
   * @category models
   */
  export type Result<A> =
    | { readonly success: true; readonly data: A }
    | { readonly success: false; readonly error: Error & { readonly issues: ReadonlyArray<Issue> } }
}

/**
 * A run on Node: await it for the output, or iterate it for the partial outputs and, last, the output. It starts when either
 * is done, unless it was cancelled before. `return` stops it. It rejects with `AppFailed`.
 *
 * @since 0.1.0
 * @category models
 */
export interface NodeRun<out A> extends PromiseLike<A> {
  next(): Promise<IteratorResult<A, undefined>>
  return(): Promise<IteratorResult<A, undefined>>
  throw(error: unknown): Promise<IteratorResult<A, undefined>>
  catch<B = never>(onRejected?: ((error: unknown) => B | PromiseLike<B>) | null): Promise<A | B>
  finally(onFinally?: (() => void) | null): Promise<A>
  [Symbol.asyncIterator](): NodeRun<A>
}

/**
 * An app on Node: an object of the class that `BaseApp.toNodeModule` gives. Values are in their wire form.
 *
 * @since 0.1.0
 * @category models
 */
export type NodeApp<A extends App.Any> = {
  /** Where the platform says that the run is cancelled. */
  readonly context: { cancelRequested: boolean }
  /** Loads the app. Where it is loaded already, that is unloaded first. Rejects with `AppFailed`, of whichever fails. */
  setup(config?: Schema.Schema.Encoded<A["setup"]>): Promise<void>
  /** Stops what runs, and closes the scope of setup and the layer. */
  unload(): Promise<void>
  /** Interrupts what runs, and is not kept by its finalizers. */
  onCancel(): Promise<boolean>
} & {
  readonly [Name in App.FunctionName<A>]: (
    input: Schema.Schema.Encoded<A["functions"][Name]["input"]>
  ) => NodeRun<Schema.Schema.Encoded<A["functions"][Name]["output"]>>
}

/**
 * The name that the schemas of a function have in a Node module, before `Input` and `Output`: `run` is `Run`, `remove_bg` and
 * `removeBg` are `RemoveBg`.
 *
 * @since 0.1.0
 * @category types
 */
export type PascalCase<Name extends string> = Name extends `${infer Head}_${infer Tail}`
  ? `${Capitalize<Head>}${PascalCase<Tail>}`
  : Capitalize<Name>

/**
 * What a Node module exports for an app: the class `App`, the schemas of each function, and `AppSetup` where it has setup
 * parameters.
 *
 * @since 0.1.0
 * @category models
 */
export type NodeModule<A extends App.Any> = { readonly App: new () => NodeApp<A> } & {
  readonly [Name in App.FunctionName<A> as `${PascalCase<Name>}Input`]: NodeSchema<
    Schema.Schema.Encoded<A["functions"][Name]["input"]>
  >
} & {
  readonly [Name in App.FunctionName<A> as `${PascalCase<Name>}Output`]: NodeSchema<
    Schema.Schema.Encoded<A["functions"][Name]["output"]>
  >
} & (unknown extends Schema.Schema.Type<A["setup"]>
    ? unknown
    : { readonly AppSetup: NodeSchema<Schema.Schema.Encoded<A["setup"]>> })

/**
 * Any module that could be one: the functions of its class `App` are those for which it exports schemas, made with zod.
 *
 * @since 0.1.0
 * @category models
 */
export interface Any {
  readonly App: new () => object
}

/**
 * The functions of a Node module: the methods of its class for which it exports both schemas. `setup`, `unload` and `onCancel`
 * are none, methods with a second parameter talk over a socket, and names with a leading `_` are left out. A field that holds a
 * function is none either, but TypeScript does not tell it from a method.
 *
 * @since 0.1.0
 * @category types
 */
export type FunctionName<M extends Any> = {
  [Name in keyof InstanceType<M["App"]> & string]: IsFunction<Name, InstanceType<M["App"]>[Name]> extends true
    ? `${PascalCase<Name>}Input` | `${PascalCase<Name>}Output` extends keyof M
      ? Name
      : never
    : never
}[keyof InstanceType<M["App"]> & string]

// In JavaScript, parameters count as optional.
/**
 * Whether a member of the class of a Node module can be a function of the app.
 *
 * @since 0.1.0
 * @category types
 */
export type IsFunction<Name, Member> = Name extends "setup" | "unload" | "onCancel" | "context" | "then" | `_${string}`
  ? false
  : Member extends (...args: infer Parameters) => unknown
    ? Required<Parameters> extends readonly [unknown, unknown, ...ReadonlyArray<unknown>]
      ? false
      : true
    : false

/**
 * The contract that a Node module holds. Inputs and outputs are typed as zod takes them, where fields with a default may be left
 * out: outputs are not parsed. Of a module whose types are not known any function may be called, with anything.
 *
 * @since 0.1.0
 * @category types
 */
export type Contract<M extends Any> = App.App<
  [FunctionName<M>] extends [never]
    ? { readonly [name: string]: App.Signature<Schema.Schema<unknown>, Schema.Schema<unknown>> }
    : {
        readonly [Name in FunctionName<M>]: App.Signature<
          Schema.Schema<Accepted<M, `${PascalCase<Name>}Input`>, unknown>,
          Schema.Schema<Accepted<M, `${PascalCase<Name>}Output`>, unknown>
        >
      },
  "AppSetup" extends keyof M ? Schema.Schema<Accepted<M, "AppSetup">, unknown> : typeof Schema.Unknown
>

/**
 * What a schema takes that a module exports under a name. `unknown` if it exports none, or one that does not say.
 *
 * @since 0.1.0
 * @category types
 */
export type Accepted<M, Name extends string> = M extends {
  readonly [Key in Name]: { readonly "~standard": { readonly types?: { readonly input: infer In } | undefined } }
}
  ? In
  : unknown
