/** Servers in processes of their own. */
import { spawn } from "node:child_process"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as LocalServer from "effect-inferencesh/LocalServer"
import { origin } from "./wire.js"

/** Starts a script that serves and prints its address. The process ends with the scope. */
export const startServer = (script: URL, args: ReadonlyArray<string> = []) =>
  Effect.gen(function* () {
    const child = yield* Effect.acquireRelease(
      Effect.sync(() =>
        spawn(process.execPath, ["--expose-gc", "--import", "tsx", script.pathname, ...args], {
          stdio: ["ignore", "pipe", "inherit"]
        })
      ),
      (child) => Effect.sync(() => child.kill("SIGTERM"))
    )
    const address = yield* Effect.async<string>((resume) => {
      let text = ""
      child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
        text += chunk
        const found = /http:\/\/\S+/.exec(text)?.[0]
        if (found !== undefined) resume(Effect.succeed(found))
      })
      child.once("exit", (code) => resume(Effect.dieMessage(`the server ended with code ${code}`)))
    })
    const exited = Effect.async<number | null>((resume) => {
      if (child.exitCode !== null || child.signalCode !== null) return resume(Effect.succeed(child.exitCode))
      child.once("exit", (code) => resume(Effect.succeed(code)))
    })
    return {
      address,
      /** Done once the process has ended. */
      stop: (signal: NodeJS.Signals) =>
        Effect.zipRight(
          Effect.sync(() => child.kill(signal)),
          exited
        )
    }
  })

/** The apps of `serve.ts`, with these options, and a client of them. */
export const serveApps = (options: Omit<LocalServer.Options, "apps">) =>
  Effect.map(startServer(new URL("serve.ts", import.meta.url), [JSON.stringify(options)]), ({ address, stop }) => ({
    stop,
    client: Layer.map(NodeHttpClient.layerUndici, (context) =>
      Context.make(
        HttpClient.HttpClient,
        HttpClient.mapRequest(
          Context.get(context, HttpClient.HttpClient),
          HttpClientRequest.updateUrl((url) => url.replace(origin, address))
        )
      )
    )
  }))
