/** What a Node app sees as `this.context`. Its one object runs many times, and each run has a context of its own. */
import { isJsonObject } from "./wire.js"

export interface RunContext {
  cancelRequested: boolean
}

export interface Contexts {
  /** Calls `f`: what that calls sees the context, also after it has awaited something. */
  readonly enter: <A>(context: RunContext, f: () => A) => A
  /** What still goes on of what was called, such as the loop of a worker, sees the latest context from now on. */
  readonly leave: (context: RunContext) => void
}

/** Gives an object its `context`. */
export const install = (instance: object): Contexts => {
  // Without an import, which would keep the package from loading where there is no Node. Where there is none of it (before Node
  // 20.16), the context is that of the latest run.
  const hooks = globalThis.process?.getBuiltinModule?.("node:async_hooks")
  const contexts = hooks && new hooks.AsyncLocalStorage<RunContext>()
  const left = new WeakSet<RunContext>()
  let latest: RunContext = { cancelRequested: false }
  const current = () => {
    const context = contexts?.getStore()
    return context === undefined || left.has(context) ? latest : context
  }
  let own: { readonly value: unknown } | undefined
  Reflect.defineProperty(instance, "context", {
    get: () => (own === undefined ? current() : own.value),
    set: (value: unknown) => {
      // It resets the one it has, or means something else by the name.
      if (isJsonObject(value) && "cancelRequested" in value) Object.assign(current(), value)
      else own = { value }
    },
    enumerable: true,
    configurable: true
  })
  return {
    enter: (context, f) => {
      latest = context
      return contexts === undefined ? f() : contexts.run(context, f)
    },
    leave: (context) => {
      left.add(context)
    }
  }
}
