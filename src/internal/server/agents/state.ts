/**
 * What the server knows of chats. A chat is a mutable cell, which only the modules beside this one write to: each time in one
 * step, so that nobody sees half of it.
 */
import * as Data from "effect/Data"
import type * as Deferred from "effect/Deferred"
import type * as Tracer from "effect/Tracer"
import type { Json } from "../../wire.js"
import type * as EventStream from "../eventStream.js"
import type * as Feed from "../feed.js"
import type { Config } from "./config.js"

/** An agent as chats run on it: a configuration, and the template that it is of. */
export interface Agent {
  readonly config: Config
  readonly id: string | undefined
  readonly versionId: string | undefined
  readonly name: string
}

/** What a user says. */
export interface Content {
  readonly text: string
  readonly images: ReadonlyArray<string>
  readonly files: ReadonlyArray<string>
  /** Those of the images and files that came with more than their address. */
  readonly attachments: ReadonlyArray<Json>
}

/** A message to answer, and how. */
export interface Order {
  /** Without one, that which the chat has when its turn begins. */
  readonly agent: Agent | undefined
  readonly content: Content
  /** What else the caller tells the model: its settings, and messages before those of the chat. */
  readonly settings: Json
  readonly context: ReadonlyArray<unknown>
  /** Where the request reached the server, for the URLs of files. */
  readonly origin: string
  /** The span of the request. */
  readonly parent?: Tracer.AnySpan | undefined
}

export interface ToolCall {
  /** Its place, for as long as pieces of it come. */
  readonly index: number | undefined
  readonly id: string
  readonly name: string
  /** A text while the model still writes them. */
  readonly arguments: Json | string
}

export interface Invocation {
  readonly id: string
  readonly callId: string
  readonly type: string
  readonly name: string
  readonly displayName: string | undefined
  readonly arguments: Json
  readonly status: "in_progress" | "awaiting_approval" | "completed" | "failed" | "cancelled"
  readonly result: string | undefined
  /** The task or chat that does what was called for. */
  readonly executionId: string | undefined
  readonly createdAt: number
  readonly updatedAt: number
}

export interface Message extends Content {
  readonly id: string
  readonly order: number
  readonly runId: string | undefined
  readonly role: "user" | "assistant" | "tool"
  readonly status: "pending" | "queued" | "ready" | "failed" | "cancelled"
  /** The task of the model that says it. */
  readonly taskId: string | undefined
  readonly reasoning: string
  readonly toolCalls: ReadonlyArray<ToolCall>
  readonly invocations: ReadonlyArray<Invocation>
  /** The call that a message of a tool answers. */
  readonly toolCallId: string | undefined
  readonly error: string | undefined
  readonly createdAt: number
  readonly updatedAt: number
}

/** What a run waits for that only a client can do. */
export interface Wait {
  readonly reason: "client_tool" | "tool_approval"
  readonly invocationId: string
}

/** One turn as the protocol tells of it. */
export interface Run {
  readonly id: string
  readonly userMessageId: string
  readonly agentId: string | undefined
  readonly agentVersionId: string | undefined
  readonly state: "submitted" | "working" | "input_required" | "completed" | "failed" | "canceled"
  readonly waitsFor: Wait | undefined
  readonly output: unknown
  readonly error: string | undefined
  readonly createdAt: number
  readonly updatedAt: number
}

/** A question whether a tool may be called. */
export interface Interrupt {
  readonly id: string
  readonly runId: string
  readonly invocationId: string
  readonly toolName: string
  readonly arguments: Json
  readonly status: "pending" | "resolved" | "cancelled"
  readonly resolution: "allow" | "deny" | undefined
  readonly createdAt: number
  readonly updatedAt: number
}

/** What a call waits for from outside. */
export interface Call {
  readonly decided: Deferred.Deferred<boolean>
  readonly answered: Deferred.Deferred<void>
}

/** A run while it is under way. */
export interface Turn {
  readonly chat: Chat
  readonly runId: string
  readonly agent: Agent
  readonly order: Order
  /** The message that the model answers with first. */
  readonly firstMessageId: string
  readonly calls: Map<string, Call>
  readonly ended: Deferred.Deferred<Run>
  /** Its end, from the moment that this is being recorded: nobody is told before. */
  ending: End | undefined
}

/** How a run ends. */
export type End =
  | { readonly state: "completed"; readonly output: unknown }
  | { readonly state: "failed"; readonly error: string }
  | { readonly state: "canceled" }

/** Why a turn ends in a failed run, in words for the user. */
export class TurnFailed extends Data.TaggedError("TurnFailed")<{ readonly message: string }> {}

/** What is said about a chat, other than what is said in it. */
export interface Info {
  readonly agent: Agent
  readonly name: string
  readonly description: string
  readonly visibility: string
  readonly allowAllTools: boolean
  /** Of this chat's agent, and of those that work for it. */
  readonly alwaysAllowed: ReadonlyArray<{ readonly agentId: string | undefined; readonly name: string }>
  readonly updatedAt: number
}

/** A chat, as one mutable cell. */
export interface Chat {
  /** Grows with each chat, for paging. */
  readonly ordinal: number
  readonly id: string
  readonly createdAt: number
  readonly context: Json
  readonly channelContext: Json | undefined
  /** The chat whose agent uses this one's as a tool. */
  readonly parent: Chat | undefined
  /** Those that this one's agent uses as tools just now. */
  readonly children: Set<Chat>
  info: Info
  /** In their order. */
  readonly messages: Array<Message>
  /** The last one is the one that the chat is said to run. */
  readonly runs: Array<Run>
  readonly interrupts: Array<Interrupt>
  turn: Turn | undefined
  readonly queue: Array<{ readonly messageId: string; readonly order: Order }>
  /** Whether the server has forgotten it. */
  closed: boolean
  readonly feed: Feed.Feed<EventStream.Event>
  /** To find the chat by the id of anything in it. */
  readonly index: Map<string, Chat>
  /** Has it recorded soon, as it is then. */
  readonly touch: () => void
}

/** A chat, and those that its agent works for. */
export const lineage = (chat: Chat): ReadonlyArray<Chat> =>
  chat.parent === undefined ? [chat] : [chat, ...lineage(chat.parent)]
