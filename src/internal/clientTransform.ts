import type * as HttpClient from "@effect/platform/HttpClient"
import * as Context from "effect/Context"
import { identity } from "effect/Function"

/** The change that `Inference.withClientTransform` makes to the HTTP client of the calls inside it. */
export class ClientTransform extends Context.Reference<ClientTransform>()("effect-inferencesh/ClientTransform", {
  defaultValue: (): ((client: HttpClient.HttpClient) => HttpClient.HttpClient) => identity
}) {}
