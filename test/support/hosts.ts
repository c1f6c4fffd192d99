/** The places that apps and agents run in: the same tests are run over each of them. */
import { createServer } from "node:http"
import type * as FileSystem from "@effect/platform/FileSystem"
import type * as HttpClient from "@effect/platform/HttpClient"
import * as HttpServer from "@effect/platform/HttpServer"
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { assert } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import type { AgentConfig } from "effect-inferencesh/AgentConfig"
import type * as BaseApp from "effect-inferencesh/BaseApp"
import * as Inference from "effect-inferencesh/Inference"
import * as InferenceTest from "effect-inferencesh/InferenceTest"
import * as LocalServer from "effect-inferencesh/LocalServer"
import * as NodeInference from "effect-inferencesh/NodeInference"
import type * as Task from "effect-inferencesh/Task"
import * as Apps from "./apps.js"
import * as Proxied from "./proxied.js"

export interface Variant {
  readonly transport: "stream" | "poll"
  readonly statusNumbering: Task.StatusNumbering
}

export interface Hosted {
  readonly apps: ReadonlyArray<
    BaseApp.BaseApp<BaseApp.Any["app"], Apps.Journal | HttpClient.HttpClient | FileSystem.FileSystem>
  >
  readonly agents?: { readonly [ref: string]: AgentConfig }
}

type Services = Layer.Layer<Inference.Services | Apps.Journal, unknown>

const common = { pollInterval: "10 millis" } as const

/** What apps log is part of their tasks: it need not be printed as well. */
export const quiet = Layer.provide(Logger.remove(Logger.defaultLogger))

const inProcess = (hosted: Hosted, variant: Variant): Services =>
  NodeInference.layerLocal({ ...hosted, ...variant, ...common }).pipe(Layer.provideMerge(Apps.layerJournal))

const onPort = (hosted: Hosted, { transport, statusNumbering }: Variant): Services =>
  Layer.unwrapEffect(
    Effect.map(HttpServer.addressFormattedWith(Effect.succeed), (baseUrl) =>
      NodeInference.layer({ apiKey: Redacted.make("inf_test"), baseUrl, transport, statusNumbering, ...common })
    )
  ).pipe(
    Layer.provideMerge(LocalServer.layer({ ...hosted, statusNumbering, apiKey: Redacted.make("inf_test") })),
    Layer.provide(NodeHttpServer.layer(createServer, { host: "127.0.0.1", port: 0 })),
    Layer.provide([NodeContext.layer, NodeHttpClient.layerUndici]),
    Layer.provideMerge(Apps.layerJournal)
  )

const throughProxy = (hosted: Hosted, { transport, statusNumbering }: Variant): Services =>
  Layer.unwrapScoped(
    Effect.map(Proxied.make({ ...hosted, statusNumbering }), ({ proxyUrl }) =>
      Inference.layerProxy({ proxyUrl, transport, statusNumbering, ...common })
    )
  ).pipe(Layer.provide([NodeContext.layer, NodeHttpClient.layerUndici]), Layer.provideMerge(Apps.layerJournal))

const mocked = (hosted: Hosted, { transport, statusNumbering }: Variant): Services =>
  InferenceTest.layer({ ...hosted, client: { transport, statusNumbering, ...common } }).pipe(
    Layer.provideMerge(Apps.layerJournal)
  )

/** What the service says of a call of an app that it does not have. */
export type Refusal = <A, E extends { readonly _tag: string }, R>(
  call: Effect.Effect<A, E, R>,
  tag: E["_tag"]
) => Effect.Effect<void, unknown, R>

const fails: Refusal = (call, tag) => Effect.map(Effect.flip(call), (error) => assert.strictEqual(error._tag, tag))

const dies: Refusal = (call) =>
  Effect.map(Effect.exit(call), (exit) =>
    assert.instanceOf(
      Exit.isFailure(exit) && Option.getOrUndefined(Cause.dieOption(exit.cause)),
      InferenceTest.Unmocked
    )
  )

type Place = readonly [name: string, services: Services, refusal: Refusal]

/** Each host with each transport and each numbering of statuses, once through a proxy, and the layer for tests, which must not drift from them. */
export const everywhere = (hosted: Hosted): ReadonlyArray<Place> => [
  ...[["in process", inProcess] as const, ["on a port", onPort] as const].flatMap(([host, services]) =>
    (["stream", "poll"] as const).flatMap((transport) =>
      (["current", "documented"] as const).map(
        (statusNumbering): Place => [
          `${host}, by ${transport}, with ${statusNumbering} statuses`,
          quiet(services(hosted, { transport, statusNumbering })),
          fails
        ]
      )
    )
  ),
  [
    "through a proxy, by stream, with current statuses",
    quiet(throughProxy(hosted, { transport: "stream", statusNumbering: "current" })),
    fails
  ],
  ["in the layer for tests", quiet(mocked(hosted, { transport: "stream", statusNumbering: "current" })), dies]
]
