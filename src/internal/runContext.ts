/** What a Node app sees as `this.context`. Its one object runs many times, and each run has a context of its own. */

export interface RunContext {
  cancelRequested: boolean
}

/** Calls `f`: what that calls sees the context, also after it has awaited something. */
export type WithContext = <A>(context: RunContext, f: () => A) => A

/** Gives an object its `context`. */
export const install = (instance: object): WithContext => {
  // Without an import, which would keep the package from loading where there is no Node. Where there is none of it (before Node
  // 20.16), the context is that of the latest run.
  const hooks = globalThis.process?.getBuiltinModule?.("node:async_hooks")
  const contexts = hooks && new hooks.AsyncLocalStorage<RunContext>()
  let latest: RunContext = { cancelRequested: false }
  Reflect.defineProperty(instance, "context", {
    get: () => contexts?.getStore() ?? latest,
    enumerable: true,
    configurable: true
  })
  return (context, f) => {
    latest = context
    return contexts === undefined ? f() : contexts.run(context, f)
  }
}
