import type * as Llm from "../../Llm.js"

/** The ids of calls: their own, and new ones for those that have none. */
export type CallIds = (calls: ReadonlyArray<{ readonly id?: string | undefined }>) => ReadonlyArray<string>

/**
 * Names tool calls that have no id: by their number in the conversation, past the ids that are in use there. The same conversation
 * gives the same ids. It is looked through once, when the first calls are named.
 */
export const callIds = (context: ReadonlyArray<Llm.ContextMessage>): CallIds => {
  let before: { readonly count: number; readonly ids: ReadonlySet<string> } | undefined
  const look = () => {
    const ids = context.flatMap((message) => message.toolCalls ?? []).map(({ id }) => id)
    return { count: ids.length, ids: new Set(ids) }
  }
  return (calls) => {
    before ??= look()
    const { count, ids } = before
    const given = new Set(calls.map(({ id }) => id))
    let number = count
    const next = (): string => {
      number += 1
      const id = `call_${number}`
      return ids.has(id) || given.has(id) ? next() : id
    }
    return calls.map(({ id }) => id || next())
  }
}
