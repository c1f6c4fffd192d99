import * as os from "node:os"
import * as path from "node:path"
import { pathToFileURL } from "node:url"
import * as FileSystem from "@effect/platform/FileSystem"
import * as Effect from "effect/Effect"
import { build } from "esbuild"
import type { Json } from "./wire.js"

/** As much of the official client as the tests and benchmarks use. */
export interface Client {
  readonly run: (
    params: { readonly app: string; readonly input: unknown } & Json,
    options?: {
      readonly wait?: boolean
      readonly stream?: boolean
      readonly pollIntervalMs?: number
      readonly onUpdate?: (task: Json) => void
      readonly onPartialUpdate?: (task: Json, fields: ReadonlyArray<string>) => void
    }
  ) => Promise<Json>
  readonly uploadFile: (data: Blob, options?: { readonly filename?: string }) => Promise<Json>
  readonly tasks: {
    readonly get: (id: string) => Promise<Answer>
    readonly list: (query: Json) => Promise<Answer>
    readonly cancel: (id: string) => Promise<unknown>
    readonly getLogs: (id: string) => Promise<Answer>
    readonly watch: (task: Json, options?: Json) => { readonly done: Promise<Json> }
  }
  readonly sessions: {
    readonly get: (id: string) => Promise<Answer>
    readonly list: () => Promise<Answer>
    readonly keepalive: (id: string) => Promise<Answer>
    readonly end: (id: string) => Promise<unknown>
  }
  readonly agents: {
    readonly create: (config: Json, options?: { readonly context?: Readonly<Record<string, string>> }) => Agent
    readonly resolveInterrupt: (id: string, decision: "allow" | "deny") => Promise<unknown>
  }
  readonly chats: {
    readonly list: (query: Json) => Promise<Answer>
    readonly delete: (id: string) => Promise<unknown>
  }
}

/** What the client makes of a reply. */
interface Answer {
  readonly data: Json
}

export interface Agent {
  readonly currentChatId: string | null
  readonly sendMessage: (
    text: string,
    options?: {
      readonly stream?: boolean
      readonly pollIntervalMs?: number
      readonly onMessage?: (message: Json) => void
      readonly onChat?: (chat: Json) => void
      readonly onDelta?: (event: Json) => void
      readonly onToolCall?: (call: { readonly id: string; readonly name: string; readonly args: Json }) => void
    }
  ) => Promise<{ readonly userMessage: Json; readonly assistantMessage: Json }>
  readonly run: (text: string, options?: { readonly pollIntervalMs?: number }) => Promise<unknown>
  readonly submitToolResult: (id: string, result: string) => Promise<void>
  readonly stopChat: () => Promise<void>
  readonly disconnect: () => void
}

interface Module {
  readonly inference: (
    options: { readonly apiKey: string; readonly baseUrl: string } | { readonly proxyUrl: string }
  ) => Client
  readonly pendingApprovals: (chat: Json) => ReadonlyArray<{
    readonly interruptId: string
    readonly toolInvocationId: string
    readonly toolName: string
    readonly arguments: Json
  }>
}

/** The official JavaScript SDK. Its published ESM does not load on Node: a bundle of it does. */
export const load = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  const directory = yield* fs.makeTempDirectoryScoped({ directory: os.tmpdir(), prefix: "inferencesh-sdk-" })
  const outfile = path.join(directory, "sdk.mjs")
  const entry = "@inferencesh/sdk"
  yield* Effect.promise(() =>
    build({ entryPoints: [entry], outfile, bundle: true, format: "esm", platform: "node", logLevel: "error" })
  )
  return yield* Effect.promise((): Promise<Module> => import(pathToFileURL(outfile).href))
})
