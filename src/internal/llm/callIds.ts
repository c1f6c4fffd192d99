import type * as Llm from "../../Llm.js"

/**
 * Names tool calls that have no id: by their number in the conversation, past the ids that are in use there. The same conversation
 * gives the same ids.
 */
export const callIds = (
  context: ReadonlyArray<Llm.ContextMessage>,
  calls: ReadonlyArray<{ readonly id?: string | undefined }>
): ReadonlyArray<string> => {
  const before = context.flatMap((message) => message.toolCalls ?? [])
  const used = new Set([...before, ...calls].map(({ id }) => id))
  let number = before.length
  const next = (): string => {
    number += 1
    const id = `call_${number}`
    return used.has(id) ? next() : id
  }
  return calls.map(({ id }) => id || next())
}
