/**
 * Tools of agents. The handler of a client tool is an Effect that runs in this program, with whatever services it needs; the other
 * kinds are carried out by the service.
 *
 * @module
 * @since 0.1.0
 */
import type * as Cause from "effect/Cause"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import type * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type * as App from "./App.js"
import type { Issue } from "./InferenceError.js"
import type * as Tasks from "./Tasks.js"

/**
 * The mark of a {@link Tool}.
 *
 * @since 0.1.0
 * @category type ids
 */
export const TypeId: unique symbol = Symbol.for("effect-inferencesh/Tool")

/**
 * The mark of a {@link Tool}.
 *
 * @since 0.1.0
 * @category type ids
 */
export type TypeId = typeof TypeId

/**
 * A tool that an agent may call. `E` is what its handler fails with, `R` what it needs; both are `never` for tools without a handler
 * here.
 *
 * @since 0.1.0
 * @category models
 */
export interface Tool<out Name extends string = string, out E = unknown, out R = unknown> {
  readonly [TypeId]: TypeId
  /** The name that the model calls it by. */
  readonly name: Name
  readonly type: "client" | "app" | "agent" | "http" | "hook" | "mcp" | "internal"
  readonly description: string
  /** The name that people see. */
  readonly displayName: string
  readonly requireApproval: boolean
  /** @internal */
  readonly spec: Spec<E, R>
}

/**
 * What there is to say of each kind of tool.
 *
 * @internal
 */
export type Spec<E = unknown, R = unknown> =
  | {
      readonly type: "client"
      readonly params: App.SchemaOrFields
      readonly output: App.SchemaOrFields | undefined
      readonly handler: (args: never, call: Call) => Effect.Effect<unknown, E, R>
    }
  | {
      readonly type: "app"
      readonly app: Tasks.AppOrName
      readonly function: string | undefined
      readonly input: unknown
      readonly setup: unknown
      readonly sessionEnabled: boolean | undefined
    }
  | { readonly type: "agent"; readonly ref: string }
  | ({ readonly type: "http" } & HttpOptions)
  | ({ readonly type: "hook" } & WebhookOptions)
  | { readonly type: "mcp"; readonly integrationId: string; readonly tool: string }
  | { readonly type: "internal"; readonly category: string; readonly operation: string }

const tool = <const Name extends string, E, R>(
  name: Name,
  { description, displayName = name, requireApproval = false }: Common,
  spec: Spec<E, R>
): Tool<Name, E, R> => ({ [TypeId]: TypeId, name, type: spec.type, description, displayName, requireApproval, spec })

/**
 * Any tool.
 *
 * @since 0.1.0
 * @category models
 */
export interface Any extends Tool<string, unknown, unknown> {}

/**
 * What the handler of a tool, or of any of several, needs.
 *
 * @since 0.1.0
 * @category types
 */
export type Requirements<T extends Any> = T extends Tool<string, unknown, infer R> ? R : never

/**
 * What the handler of a tool, or of any of several, fails with.
 *
 * @since 0.1.0
 * @category types
 */
export type Errors<T extends Any> = T extends Tool<string, infer E, unknown> ? E : never

/**
 * Why a call that this program was to answer got no result. The model is told so, and the turn goes on.
 *
 * - `HandlerFailed`: the handler failed or died.
 * - `InvalidArguments`: the model's arguments do not fit the tool's parameters. The handler did not run.
 * - `InvalidResult`: what the handler gave cannot be written as JSON, or does not fit the tool's output.
 * - `NotAvailable`: the agent has no handler for a tool of this name.
 *
 * @since 0.1.0
 * @category errors
 */
export type Failure<E = unknown> = Data.TaggedEnum<{
  HandlerFailed: { readonly cause: Cause.Cause<E> }
  InvalidArguments: { readonly issues: ReadonlyArray<Issue> }
  InvalidResult: { readonly issues: ReadonlyArray<Issue> }
  NotAvailable: { readonly name: string }
}>

interface FailureDefinition extends Data.TaggedEnum.WithGenerics<1> {
  readonly taggedEnum: Failure<this["A"]>
}

/**
 * Constructors and matchers for {@link Failure}.
 *
 * @since 0.1.0
 * @category errors
 */
export const Failure = Data.taggedEnum<FailureDefinition>()

/**
 * What a handler can find out about the call that it answers.
 *
 * @since 0.1.0
 * @category models
 */
export interface Call {
  /** The id of the call. It is the same whenever the call is heard of: use it to keep side effects from happening twice. */
  readonly id: string
  readonly name: string
  readonly chatId: string
  readonly messageId: string | undefined
  readonly runId: string | undefined
}

/**
 * What every kind of tool may say.
 *
 * @since 0.1.0
 * @category models
 */
export interface Common {
  /** What the tool does and when to use it, for the model. */
  readonly description: string
  /** The name that people see. Default: the tool's name. */
  readonly displayName?: string | undefined
  /** Whether each call waits for `agent.approve`. Default `false`. */
  readonly requireApproval?: boolean | undefined
}

/**
 * The decoded arguments of a tool with these parameters.
 *
 * @since 0.1.0
 * @category types
 */
export type Arguments<Params extends App.SchemaOrFields> = App.SchemaOrFields extends Params
  ? NameTheSchemaOrUsePipe
  : Schema.Schema.Type<App.ToSchema<Params>>

/**
 * What the arguments of a handler are where TypeScript cannot tell: beside a handler it does not look into calls of functions that could
 * also stand in a pipe, such as `Schema.optionalWith(Schema.Int, { default: () => 2 })`, `Schema.transform` and `Schema.annotations`.
 * Write `Schema.Int.pipe(Schema.optionalWith(…))`, or make the schema in a `const` of its own.
 *
 * @since 0.1.0
 * @category types
 */
export interface NameTheSchemaOrUsePipe {
  readonly [nameTheSchemaOrUsePipe]: never
}

declare const nameTheSchemaOrUsePipe: unique symbol

/**
 * What the handler of a tool gives: what its `output` says, or else any JSON value, with files.
 *
 * @since 0.1.0
 * @category types
 */
export type Result<Output extends App.SchemaOrFields> = App.SchemaOrFields extends Output
  ? unknown
  : Schema.Schema.Type<App.ToSchema<Output>>

/**
 * A tool whose calls are answered by this program.
 *
 * `params` are the fields of a struct, or a schema of an object; their descriptions, defaults and limits are what the model is told.
 * The arguments are decoded before the handler runs. What the handler gives is what the model reads: a text as it is, anything else as
 * JSON; a `File`, `Uint8Array` or `Blob` in it is uploaded and replaced by its URL. If the handler fails or dies, or the arguments do not
 * fit, the model reads why. The handler runs in a scope of its own, which closes when the call is answered, and is interrupted with the
 * turn.
 *
 * @example
 * ```ts
 * import { Context, Effect, Schema } from "effect"
 * import { Tool } from "effect-inferencesh"
 *
 * class Weather extends Context.Tag("Weather")<Weather, { readonly at: (city: string) => Effect.Effect<string> }>() {}
 *
 * const getWeather = Tool.make("get_weather", {
 *   description: "Today's weather in a city",
 *   params: {
 *     city: Schema.String.annotations({ description: "Name of the city" }),
 *     unit: Schema.Literal("celsius", "fahrenheit").pipe(Schema.optionalWith({ default: () => "celsius" }))
 *   },
 *   handler: ({ city, unit }) =>
 *     Effect.gen(function* () {
 *       const weather = yield* Weather
 *       return { unit, sky: yield* weather.at(city) }
 *     })
 * })
 * ```
 * @since 0.1.0
 * @category constructors
 */
export const make: {
  <
    const Name extends string,
    const Params extends App.SchemaOrFields,
    E = never,
    R = never,
    const Output extends App.SchemaOrFields = App.SchemaOrFields
  >(
    name: Name,
    options: Common & {
      readonly params: Params
      /** The form of the result. Values are encoded by it. */
      readonly output?: Output
      readonly handler: (args: Arguments<Params>, call: Call) => Effect.Effect<Result<Output>, E, R>
    }
  ): Tool<Name, E, Exclude<R, Scope.Scope>>
  <const Name extends string, E = never, R = never, const Output extends App.SchemaOrFields = App.SchemaOrFields>(
    name: Name,
    options: Common & {
      readonly params?: undefined
      readonly output?: Output
      readonly handler: (args: object, call: Call) => Effect.Effect<Result<Output>, E, R>
    }
  ): Tool<Name, E, Exclude<R, Scope.Scope>>
} = <const Name extends string, E, R>(
  name: Name,
  options: Common & {
    readonly params?: App.SchemaOrFields | undefined
    readonly output?: App.SchemaOrFields
    readonly handler: (args: never, call: Call) => Effect.Effect<unknown, E, R>
  }
): Tool<Name, E, Exclude<R, Scope.Scope>> =>
  tool(name, options, {
    type: "client",
    params: options.params ?? {},
    output: options.output,
    handler: (args, call) => Effect.scoped(options.handler(args, call))
  })

/**
 * What is preset for an app that is a tool. The model gives the rest of the input.
 *
 * @since 0.1.0
 * @category models
 */
export type AppOptions<A extends Tasks.AppOrName, Name> = Omit<Common, "description"> & {
  /** What the tool does and when to use it, for the model. Default: the description of the app's contract. */
  readonly description?: string | undefined
  /** Fields of the input that are not left to the model. */
  readonly input?: (A extends App.Any ? Partial<Tasks.InputOf<A, Name>> : unknown) | undefined
  /** Parameters of the app's setup. */
  readonly setup?: (A extends App.Any ? App.Setup<A> : unknown) | undefined
  /** Whether the model may keep a worker between calls. */
  readonly sessionEnabled?: boolean | undefined
} & Tasks.FunctionParam<A, Name>

/**
 * An app as a tool: its contract, or its name alone. The service runs it.
 *
 * @example
 * ```ts
 * import { Schema } from "effect"
 * import { App, File, Tool } from "effect-inferencesh"
 *
 * const Flux = App.make("infsh/flux", {
 *   input: { prompt: Schema.String, width: Schema.optionalWith(Schema.Int, { default: () => 1024 }) },
 *   output: { image: File.File }
 * })
 *
 * const draw = Tool.app("draw", Flux, { description: "Draws a picture", input: { width: 512 }, requireApproval: true })
 * ```
 * @since 0.1.0
 * @category constructors
 */
export const app = <
  const Name extends string,
  A extends Tasks.AppOrName,
  const Fn extends Tasks.FunctionNameOf<A> = Tasks.DefaultFunctionOf<A>
>(
  name: Name,
  app: A,
  options: AppOptions<A, Fn>
): Tool<Name, never, never> => {
  const { input, setup, sessionEnabled } = options
  const description = options.description ?? (typeof app === "string" ? undefined : app.description) ?? ""
  return tool(
    name,
    { ...options, description },
    { type: "app", app, function: options.function, input, setup, sessionEnabled }
  )
}

/**
 * Another agent as a tool, by its reference `namespace/name@version`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const agent = <const Name extends string>(
  name: Name,
  agent: string,
  options: Common
): Tool<Name, never, never> => tool(name, options, { type: "agent", ref: agent })

/**
 * Where the credentials of an HTTP tool come from: an integration, or a secret of the team that is named here and sent in a header
 * (default `X-API-Key`) or as a bearer token.
 *
 * @since 0.1.0
 * @category models
 */
export type HttpAuth =
  | { readonly integration: string; readonly integrationId?: string | undefined }
  | { readonly apiKey: string; readonly header?: string | undefined }
  | { readonly bearer: string }

/**
 * What the service asks, and what the model gives to it.
 *
 * @since 0.1.0
 * @category models
 */
export interface HttpOptions extends Common {
  readonly url: string
  /** Default `POST`. */
  readonly method?: "GET" | "POST" | "PUT" | "PATCH" | "DELETE" | undefined
  readonly auth?: HttpAuth | undefined
  readonly headers?: { readonly [name: string]: string } | undefined
  readonly params?: App.SchemaOrFields | undefined
  readonly output?: App.SchemaOrFields | undefined
}

/**
 * A request that the service makes, and whose answer the model reads. `{{context.NAME}}` in the URL stands for a value of the chat's
 * context.
 *
 * @example
 * ```ts
 * import { Schema } from "effect"
 * import { Tool } from "effect-inferencesh"
 *
 * const lookup = Tool.http("crm", {
 *   description: "Looks a customer up",
 *   url: "https://crm.example/{{context.customer}}",
 *   method: "GET",
 *   auth: { bearer: "CRM_KEY" },
 *   params: { fields: Schema.Array(Schema.String) }
 * })
 * ```
 * @since 0.1.0
 * @category constructors
 */
export const http = <const Name extends string>(name: Name, options: HttpOptions): Tool<Name, never, never> =>
  tool(name, options, { ...options, type: "http" })

/**
 * What the service calls, and what the model gives to it.
 *
 * @since 0.1.0
 * @category models
 */
export interface WebhookOptions extends Common {
  readonly url: string
  /** The name of the team's secret that signs the call. */
  readonly secret?: string | undefined
  readonly params?: App.SchemaOrFields | undefined
  readonly output?: App.SchemaOrFields | undefined
}

/**
 * A webhook that the service calls, and whose result arrives later: with `Agents.submitToolResult` and the id that the webhook was
 * told.
 *
 * @since 0.1.0
 * @category constructors
 */
export const webhook = <const Name extends string>(name: Name, options: WebhookOptions): Tool<Name, never, never> =>
  tool(name, options, { ...options, type: "hook" })

/**
 * A tool of an MCP server that the team has connected.
 *
 * @since 0.1.0
 * @category constructors
 */
export const mcp = <const Name extends string>(
  name: Name,
  options: Common & { readonly integrationId: string; readonly tool: string }
): Tool<Name, never, never> => tool(name, options, { ...options, type: "mcp" })

/**
 * One operation of the service's own tools. To give an agent all of a group, use `internalTools` of its configuration instead.
 *
 * @since 0.1.0
 * @category constructors
 */
export const internal = <const Name extends string>(
  name: Name,
  options: Common & { readonly category: string; readonly operation: string }
): Tool<Name, never, never> => tool(name, options, { ...options, type: "internal" })

/**
 * Whether a value is a tool.
 *
 * @since 0.1.0
 * @category guards
 */
export const isTool = (u: unknown): u is Any => Predicate.hasProperty(u, TypeId)
