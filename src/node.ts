/**
 * The Node entry of the package: `import { NodeInference } from "effect-inferencesh/node"`, or the module itself as a namespace.
 *
 * @module
 * @since 0.1.0
 */
export * from "./NodeInference.js"
export * as NodeInference from "./NodeInference.js"
