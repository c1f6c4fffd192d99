/**
 * The modules of this package, as namespaces.
 *
 * @module
 * @since 0.1.0
 */
export * as AgentConfig from "./AgentConfig.js"
export * as Agents from "./Agents.js"
export * as ApiClient from "./ApiClient.js"
export * as App from "./App.js"
export * as BaseApp from "./BaseApp.js"
export * as BrowserInference from "./BrowserInference.js"
export * as Chat from "./Chat.js"
export * as File from "./File.js"
export * as Files from "./Files.js"
export * as Inference from "./Inference.js"
export * as InferenceError from "./InferenceError.js"
export * as InferenceTest from "./InferenceTest.js"
export * as Llm from "./Llm.js"
export * as LocalServer from "./LocalServer.js"
export * as NodeModule from "./NodeModule.js"
export * as OutputMeta from "./OutputMeta.js"
export * as Proxy from "./Proxy.js"
export * as Sessions from "./Sessions.js"
export * as Task from "./Task.js"
export * as Tasks from "./Tasks.js"
export * as Telemetry from "./Telemetry.js"
export * as Tool from "./Tool.js"
