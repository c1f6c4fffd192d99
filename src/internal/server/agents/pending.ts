/** What a chat waits for. What the agents that it uses as tools ask, it asks too: nobody may be watching their chats. */
import type { Chat, Interrupt, Wait } from "./state.js"

/** The questions that are open. */
export const pendingInterrupts = (
  chat: Chat
): ReadonlyArray<{ readonly chat: Chat; readonly interrupt: Interrupt }> => [
  ...chat.interrupts.filter(({ status }) => status === "pending").map((interrupt) => ({ chat, interrupt })),
  ...Array.from(chat.children).flatMap(pendingInterrupts)
]

/** What the current turn waits for, in the order of the calls. */
export const waits = (chat: Chat): ReadonlyArray<Wait> => {
  const { turn } = chat
  if (turn === undefined) return []
  // Calls are answered before the model says more: only its last message can have open ones.
  const last = chat.messages.findLast(({ role, runId }) => role === "assistant" && runId === turn.runId)
  const own = (last?.invocations ?? []).flatMap(({ id, status, type }): ReadonlyArray<Wait> => {
    if (status === "awaiting_approval") return [{ reason: "tool_approval", invocationId: id }]
    return status === "in_progress" && type === "client" && chat.parent === undefined
      ? [{ reason: "client_tool", invocationId: id }]
      : []
  })
  return [...own, ...Array.from(chat.children).flatMap(waits)]
}
