/**
 * For the tests of your code: the services of this package over mocks of the apps and agents that it calls. No network, no port and
 * no disk; time is the clock of the test.
 *
 * It is the real client, over the real server in this process. What is mocked is what the apps and agents do.
 *
 * @module
 * @since 0.1.0
 */
import * as FileSystem from "@effect/platform/FileSystem"
import type * as HttpApp from "@effect/platform/HttpApp"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as Path from "@effect/platform/Path"
import * as Array from "effect/Array"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Predicate from "effect/Predicate"
import * as Record from "effect/Record"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import type * as AgentConfig from "./AgentConfig.js"
import * as Agents from "./Agents.js"
import * as ApiClient from "./ApiClient.js"
import type * as App from "./App.js"
import * as BaseApp from "./BaseApp.js"
import * as Files from "./Files.js"
import type * as Inference from "./Inference.js"
import type { ApiFailure } from "./InferenceError.js"
import * as Scripted from "./internal/llm/scripted.js"
import * as Registry from "./internal/server/registry.js"
import * as MemoryDisk from "./internal/test/memoryDisk.js"
import * as Network from "./internal/test/network.js"
import { isStream, recorded } from "./internal/test/recorder.js"
import * as Player from "./internal/test/script.js"
import * as ScriptedApi from "./internal/test/scriptedApi.js"
import { type Raised, raise, Unmocked } from "./internal/test/unmocked.js"
import * as Llm from "./Llm.js"
import * as LocalServer from "./LocalServer.js"
import * as Sessions from "./Sessions.js"
import type * as Task from "./Task.js"
import * as Tasks from "./Tasks.js"

/**
 * What a mock of an app does with a decoded input: it gives an output, or an Effect or a Stream of outputs as a {@link BaseApp} does.
 *
 * @since 0.1.0
 * @category models
 */
export type Mock<A extends App.Any, Name extends App.FunctionName<A>> = (
  input: App.DecodedInput<A, Name>
) => App.Output<A, Name> | BaseApp.Returned<App.Output<A, Name>>

/**
 * The mocks of an app: one where it has one function, or a record of one for each.
 *
 * @since 0.1.0
 * @category models
 */
export type Mocks<A extends App.Any> =
  | Mock<A, App.DefaultFunction<A>>
  | { readonly [Name in App.FunctionName<A>]: Mock<A, Name> }

/**
 * What mocks that give no promises fit. Where the output of an app is unknown, a promise would be one.
 *
 * @since 0.1.0
 * @category types
 */
export type NoPromise<H> = H extends (...args: ReadonlyArray<never>) => PromiseLike<unknown>
  ? "a mock gives no promise: wrap it with Effect.promise"
  : H extends (...args: ReadonlyArray<never>) => unknown
    ? unknown
    : { readonly [Name in keyof H]: NoPromise<H[Name]> }

/**
 * Mocks an app with a function from its decoded input to its output. What it gives is checked by the contract, and what it throws or
 * fails with fails the task. It takes any number of runs at a time.
 *
 * @example
 * ```ts
 * import { Effect, Schema } from "effect"
 * import { App, InferenceTest } from "effect-inferencesh"
 *
 * const Shout = App.make("acme/shout", { input: { text: Schema.String }, output: { text: Schema.String } })
 *
 * const loud = InferenceTest.app(Shout, ({ text }) => ({ text: text.toUpperCase() }))
 * const slow = InferenceTest.app(Shout, ({ text }) => Effect.delay(Effect.succeed({ text }), "1 minute"))
 * const broken = InferenceTest.app(Shout, () => Effect.fail("out of memory"))
 * ```
 * @since 0.1.0
 * @category mocks
 */
export const app = <const A extends App.Any, H = unknown>(
  contract: A,
  mock: H & Mocks<A> & NoPromise<H>
): BaseApp.BaseApp<A, Exclude<BaseApp.HandlersContext<H>, BaseApp.Context | Scope.Scope>> => {
  // The contract's schemas guard what comes in and goes out, so in between the types of the mocks can be forgotten.
  const lift =
    (one: (input: never) => unknown) =>
    (input: unknown): BaseApp.Returned<never, unknown, R> => {
      const given = one(input as never)
      return (Effect.isEffect(given) || isStream(given) ? given : Effect.succeed(given)) as Effect.Effect<
        never,
        unknown,
        R
      >
    }
  type R = Exclude<BaseApp.HandlersContext<H>, BaseApp.Context | Scope.Scope>
  return BaseApp.make(contract, {
    concurrency: Number.MAX_SAFE_INTEGER,
    run: Predicate.isFunction(mock) ? lift(mock) : Record.map(mock, lift)
  })
}

/**
 * The mark of a {@link Script}.
 *
 * @since 0.1.0
 * @category type ids
 */
export const ScriptTypeId: unique symbol = Symbol.for("effect-inferencesh/InferenceTest/Script")

/**
 * The mark of a {@link Script}.
 *
 * @since 0.1.0
 * @category type ids
 */
export type ScriptTypeId = typeof ScriptTypeId

/**
 * Something that happens in a run, in this order: time passes, a line is added to the log, an output comes, or the run ends before
 * its time.
 *
 * @since 0.1.0
 * @category models
 */
export interface Step<out Output> {
  /** How long it takes until this happens. `Duration.infinity` is for ever. Default no time. */
  readonly after?: Duration.DurationInput | undefined
  readonly log?: string | undefined
  /** The output so far, in full. The last one of a run is its result. */
  readonly output?: Output | undefined
  /** The app fails with this error, and the caller with `TaskFailed`. */
  readonly fail?: string | undefined
  /** Somebody cancels the task: the caller fails with `TaskCancelled`. */
  readonly cancelled?: boolean | undefined
}

/**
 * How a run goes: its steps, or just one. With `error` no task is started, and this is what the caller fails with.
 *
 * @since 0.1.0
 * @category models
 */
export type Run<Output> = Step<Output> | ReadonlyArray<Step<Output>> | { readonly error: ApiFailure }

/**
 * An app that plays a script. Made by {@link script}.
 *
 * @since 0.1.0
 * @category models
 */
export interface Script<out A extends App.Any = App.Any> {
  readonly [ScriptTypeId]: ScriptTypeId
  readonly app: A
  readonly runs: ReadonlyArray<Run<unknown>>
}

/**
 * Mocks an app with a script: how its first run goes, its second, and so on, in the order in which they are asked for, whichever begins
 * first. Runs that a client asks for beyond the last one die with {@link Unmocked}. Each layer plays a script from its start.
 *
 * @example
 * ```ts
 * import { Schema } from "effect"
 * import { App, InferenceError, InferenceTest } from "effect-inferencesh"
 *
 * const Caption = App.make("acme/caption", { input: { text: Schema.String }, output: { caption: Schema.String } })
 *
 * const moody = InferenceTest.script(Caption, [
 *   { error: new InferenceError.RateLimited({ status: 429 }) },
 *   [{ log: "loading the model" }, { after: "20 seconds", fail: "out of memory" }],
 *   [
 *     { after: "1 second", output: { caption: "a" } },
 *     { after: "1 second", output: { caption: "a cat" } }
 *   ]
 * ])
 * ```
 * @since 0.1.0
 * @category mocks
 */
export const script = <const A extends App.Any>(
  contract: A,
  runs: ReadonlyArray<Run<App.Output<A, App.FunctionName<A>>>>
): Script<A> => ({ [ScriptTypeId]: ScriptTypeId, app: contract, runs })

/**
 * Any mock of an app that needs no more than `R`. A helper that makes layers of mocks that need nothing takes `AnyApp<never>`.
 *
 * @example
 * ```ts
 * import { InferenceTest } from "effect-inferencesh"
 *
 * const layerOf = (...apps: ReadonlyArray<InferenceTest.AnyApp<never>>) =>
 *   InferenceTest.layer({ apps, client: { transport: "poll" } })
 * ```
 * @since 0.1.0
 * @category mocks
 */
export type AnyApp<R = unknown> = BaseApp.BaseApp<App.Any, R> | Script

/**
 * What the mocks of agents are: what the agent is, with its model among the apps, or just what its model says.
 *
 * @since 0.1.0
 * @category mocks
 */
export type AnyAgent = AgentConfig.Any | Llm.Script

/**
 * What the code under test finds.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options<Apps extends ReadonlyArray<AnyApp> = ReadonlyArray<AnyApp>> {
  /** Apps of any kind: real ones, {@link app} and {@link script}, and models of agents, such as `Llm.scripted`. Each only once. */
  readonly apps: Apps
  /** Agents that are named by their references. Of agents that callers describe, the models are among the apps. */
  readonly agents?: { readonly [ref: string]: AnyAgent } | undefined
  /**
   * Methods of the service to be used in place of its own. Each is replaced alone: `run` does not go through a `runStream` that is given
   * here. What apps do is better mocked by `apps`.
   */
  readonly tasks?: Partial<Tasks.Service> | undefined
  /** Methods of the service to be used in place of its own. */
  readonly files?: Partial<Files.Service> | undefined
  /** Files by their path in a disk in memory, or by their URL; one without a query is for any. A text is written as UTF-8. */
  readonly contents?: { readonly [pathOrUrl: string]: Uint8Array | string } | undefined
  /**
   * JSON replies of endpoints that the server in this process does not have: `"GET /entitlements/usage": { concurrency: 4 }`.
   * `undefined` is an empty one.
   */
  readonly endpoints?: { readonly [endpoint: string]: unknown } | undefined
  /** How the client behaves. */
  readonly client?: Omit<Inference.Options, "apiKey" | "baseUrl"> | undefined
}

/**
 * What the mocks need from their surroundings.
 *
 * @since 0.1.0
 * @category types
 */
export type Requirements<Apps extends ReadonlyArray<AnyApp>> = Exclude<
  BaseApp.Requirements<Extract<Apps[number], BaseApp.Any>>,
  FileSystem.FileSystem | Path.Path | HttpClient.HttpClient
>

/**
 * Everything that the layer provides: the services, with a disk in memory and an `HttpClient` that reaches no network.
 *
 * @since 0.1.0
 * @category services
 */
export type Services = InferenceTest | Inference.Services | FileSystem.FileSystem | Path.Path | HttpClient.HttpClient

/**
 * Something that was asked of a service: its method, such as `Tasks.run`, `ApiClient.request` or `Agent.sendMessage`, and the arguments,
 * in which contracts are the names of their apps. The arguments are not copies: what the code changes in them later is changed here.
 *
 * @since 0.1.0
 * @category models
 */
export interface Call {
  readonly method: string
  readonly args: ReadonlyArray<unknown>
}

/**
 * What was asked of the services.
 *
 * @since 0.1.0
 * @category services
 */
export interface Service {
  /**
   * All that the code asked of the services so far, in order. Not what they and their mocks ask in turn of the server and of each other,
   * such as the runs of an agent's tools that are apps, and not what went through the `client` of `ApiClient`. The one exception are the
   * runs of a session, which are calls of `Tasks`.
   */
  readonly calls: Effect.Effect<ReadonlyArray<Call>>
  /** Forgets what was asked so far. */
  readonly forget: Effect.Effect<void>
}

/**
 * The tag of the service that knows what was asked of the others.
 *
 * @since 0.1.0
 * @category services
 */
export class InferenceTest extends Context.Tag("effect-inferencesh/InferenceTest")<InferenceTest, Service>() {}

const isScript = (mock: AnyApp): mock is Script => ScriptTypeId in mock

const isLlmScript = (mock: AnyAgent): mock is Llm.Script => Array.isArray(mock) || Predicate.isFunction(mock)

const bytesOf = (content: Uint8Array | string): Uint8Array =>
  typeof content === "string" ? new TextEncoder().encode(content) : content

const isUrl = (name: string): boolean => /^https?:\/\//.test(name)

const checkNames = (apps: ReadonlyArray<AnyApp>) => {
  const names = apps.map(({ app: { name } }) => {
    const ref = Registry.parseRef(name)
    return ref === undefined ? name : `${ref.namespace}/${ref.name}@${ref.version ?? "latest"}`
  })
  const twice = names.find((name, i) => names.indexOf(name) !== i)
  return twice === undefined
    ? Effect.void
    : Effect.dieMessage(`InferenceTest.layer has two mocks of the app ${twice}: leave one of them out`)
}

/** Agents that are scripts have a model of their own, which plays it. */
const withModels = (agents: { readonly [ref: string]: AnyAgent }) => {
  const models = Object.entries(agents).flatMap(([ref, mock], i) =>
    isLlmScript(mock) ? [{ ref, model: Llm.scripted(`inference-test/model-${i + 1}`, mock) }] : []
  )
  const described = Object.entries(agents).flatMap(([ref, mock]) => (isLlmScript(mock) ? [] : [[ref, mock] as const]))
  return {
    models: models.map(({ model }) => model),
    agentOf: new Map(models.map(({ ref, model }) => [model.app.name, ref])),
    agents: Object.fromEntries<AgentConfig.Any>([
      ...described,
      ...models.map(({ ref, model }) => [ref, { coreApp: model.app }] as const)
    ])
  }
}

/**
 * The services, over these mocks. What the code under test asks of an app, agent, address or endpoint that is not mocked dies with
 * {@link Unmocked}, which says what to add; code that catches failures does not hide that. Where mocks and the handlers of tools ask, it
 * is the calls of services under way that die, when they end. What mocks ask while there is none only fails their task, and an app that an
 * agent has for a tool and that is not among `apps` only fails its call. Tasks, files, chats and sessions are those of a server in this
 * process: what ran can be got, listed and followed.
 *
 * Paths are those of a disk in memory, which `contents` fills, and which the `FileSystem` of the layer reads and writes too.
 *
 * @example
 * ```ts
 * import { it } from "@effect/vitest"
 * import { Effect, Schema } from "effect"
 * import { expect } from "vitest"
 * import { App, File, InferenceTest, Tasks } from "effect-inferencesh"
 *
 * const Caption = App.make("acme/caption", { input: { image: File.File }, output: { caption: Schema.String } })
 *
 * // The code under test.
 * const describe = (path: string) =>
 *   Tasks.run(Caption, { input: { image: File.fromPath(path) } }).pipe(Effect.map((task) => task.output.caption))
 *
 * it.effect("describes a picture", () =>
 *   Effect.gen(function* () {
 *     expect(yield* describe("/cat.png")).toBe("a cat")
 *     expect(yield* InferenceTest.runsOf(Caption)).toHaveLength(1)
 *   }).pipe(
 *     Effect.provide(
 *       InferenceTest.layer({
 *         apps: [InferenceTest.app(Caption, () => ({ caption: "a cat" }))],
 *         contents: { "/cat.png": new Uint8Array([137, 80, 78, 71]) }
 *       })
 *     )
 *   )
 * )
 * ```
 * @since 0.1.0
 * @category layers
 */
export const layer = <const Apps extends ReadonlyArray<AnyApp>>(
  options: Options<Apps>
): Layer.Layer<Services, never, Requirements<Apps>> =>
  Layer.scopedContext(
    // Built here: layers that are built together would share one disk.
    Effect.flatMap(Layer.build(MemoryDisk.layer), (disk) =>
      Effect.map(Effect.provide(make(options), disk), Context.merge(disk))
    )
  )

const make = <const Apps extends ReadonlyArray<AnyApp>>(options: Options<Apps>) =>
  Effect.gen(function* () {
    const { contents = {}, client = {} } = options
    yield* checkNames(options.apps)
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const [atPaths, atUrls] = Array.partition(Object.entries(contents), ([name]) => isUrl(name))
    yield* Effect.forEach(atPaths, ([name, content]) =>
      Effect.zipRight(
        fs.makeDirectory(path.dirname(path.resolve(name)), { recursive: true }),
        fs.writeFile(name, bytesOf(content))
      )
    )

    const apiKey = Redacted.make("test")
    // Apps fetch files with the client that also calls them.
    const ready = yield* Deferred.make<HttpApp.Default>()
    const cancel = (taskId: string) =>
      HttpClientRequest.post(`${Network.origin}/tasks/${taskId}/cancel`).pipe(
        HttpClientRequest.bearerToken(apiKey),
        network.execute,
        Effect.ignore
      )
    const raised: Raised = []
    const players = options.apps.filter(isScript).map((script) => Player.play(script, { cancel, raised }))
    const network = Network.make({
      server: Effect.flatten(Deferred.await(ready)),
      endpoints: options.endpoints ?? {},
      contents: new Map(atUrls.map(([url, content]) => [new URL(url).href, bytesOf(content)])),
      raised
    })
    const { agents, models, agentOf } = withModels(options.agents ?? {})
    const server = yield* LocalServer.make({
      apps: [...hostable<Apps>(options.apps), ...players.map(({ base }) => base), ...models],
      agents,
      apiKey,
      baseUrl: Network.origin,
      statusNumbering: client.statusNumbering
    }).pipe(
      Effect.provideService(HttpClient.HttpClient, network),
      Effect.provideService(Scripted.OnEnd, ({ app, detail }) => {
        const agent = agentOf.get(app)
        const call = agent === undefined ? `the app ${app}` : `the agent ${agent}`
        return raise(raised, new Unmocked({ call, hint: detail }))
      })
    )
    yield* Deferred.succeed(ready, server)

    const calls: Array<Call> = []
    const recorder = { calls, raised }
    const services = Context.make(HttpClient.HttpClient, network)
    const real = yield* Effect.provide(ApiClient.make({ ...client, apiKey, baseUrl: Network.origin }), services)
    const api = ScriptedApi.make(real, players)
    const base = Context.add(services, ApiClient.ApiClient, api)
    const files: Files.Service = { ...(yield* Effect.provide(Files.make, base)), ...options.files }
    const withFiles = Context.add(base, Files.Files, files)
    const tasks = recorded("Tasks", { ...(yield* Effect.provide(Tasks.make, withFiles)), ...options.tasks }, recorder)
    const withTasks = Context.add(withFiles, Tasks.Tasks, tasks)
    return withTasks.pipe(
      Context.add(ApiClient.ApiClient, recorded("ApiClient", api, recorder)),
      Context.add(Files.Files, recorded("Files", files, recorder)),
      Context.add(
        Agents.Agents,
        recorded("Agents", yield* Effect.provide(Agents.make, withTasks), recorder, (value, method) =>
          method === "create" && Predicate.isObject(value) ? recorded("Agent", value, recorder) : value
        )
      ),
      Context.add(
        Sessions.Sessions,
        recorded("Sessions", yield* Effect.provide(Sessions.makeService, withTasks), recorder)
      ),
      Context.add(InferenceTest, {
        calls: Effect.sync(() => [...calls]),
        forget: Effect.sync(() => void calls.splice(0))
      })
    )
  }).pipe(Effect.orDie)

// Each app needs no more than all of them together, which TypeScript does not see through the conditional type.
const hostable = <Apps extends ReadonlyArray<AnyApp>>(apps: Apps) =>
  apps.filter((mock) => !isScript(mock)) as unknown as ReadonlyArray<BaseApp.BaseApp<App.Any, Requirements<Apps>>>

/**
 * All that was asked of the services so far, in order. A call is noted whenever its effect or stream is run.
 *
 * @since 0.1.0
 * @category getters
 */
export const calls: Effect.Effect<ReadonlyArray<Call>, never, InferenceTest> = Effect.flatMap(
  InferenceTest,
  ({ calls }) => calls
)

/**
 * Forgets what was asked so far.
 *
 * @since 0.1.0
 * @category getters
 */
export const forget: Effect.Effect<void, never, InferenceTest> = Effect.flatMap(InferenceTest, ({ forget }) => forget)

const running: ReadonlySet<string> = new Set(["Tasks.run", "Tasks.runStream", "Tasks.submit"])

/** Whether a name means the same app, as the server takes it. */
const names = (app: string) => {
  const ref = Registry.parseRef(app)
  return (name: unknown): boolean => {
    const other = typeof name === "string" ? Registry.parseRef(name) : undefined
    return ref === undefined || other === undefined ? name === app : Registry.isSameApp(ref, other)
  }
}

/**
 * What each run of an app was asked for with: the parameters given to `Tasks.run`, `runStream` and `submit`, also by sessions. Names are
 * compared as mocks are found: one without a version means any.
 *
 * @since 0.1.0
 * @category getters
 */
export const runsOf = <A extends Tasks.AppOrName>(
  app: A
): Effect.Effect<ReadonlyArray<Tasks.Params<A, Tasks.FunctionNameOf<A>>>, never, InferenceTest> =>
  Effect.map(calls, (calls) => {
    const isNamed = names(typeof app === "string" ? app : app.name)
    const runs = calls.filter(({ method, args }) => running.has(method) && isNamed(args[0]))
    // Those were checked against the contract of that name by whoever called.
    return runs.map(({ args }) => args[1] as Tasks.Params<A, Tasks.FunctionNameOf<A>>)
  })

/**
 * A task with these fields, for mocks of `Tasks` methods and for testing functions that take tasks. Without an
 * `id` it has the id `task`, and without a `status` it is `completed`, by its type too.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import { InferenceTest } from "effect-inferencesh"
 *
 * const layer = InferenceTest.layer({
 *   apps: [],
 *   tasks: { get: (id) => Effect.succeed(InferenceTest.task({ id, status: "failed", error: "out of memory" })) }
 * })
 * ```
 * @since 0.1.0
 * @category mocks
 */
export function task<Output = unknown>(fields?: Partial<Task.Completed<Output>>): Task.Completed<Output>
export function task<Output = unknown>(fields: Partial<Task.Task<Output>>): Task.Task<Output>
export function task(fields: Partial<Task.Task> = {}): Task.Task {
  return { id: "task", status: "completed", ...fields }
}

export {
  /**
   * What code dies with that asks for something that is not mocked: `call` says what that is, and `hint` what to add.
   *
   * @since 0.1.0
   * @category errors
   */
  Unmocked
} from "./internal/test/unmocked.js"
