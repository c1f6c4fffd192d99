// Type-checked against the packed package from CommonJS, which may require ESM.

import { App, Tasks } from "effect-inferencesh"
import { NodeInference } from "effect-inferencesh/node"

export const used = [App.make, Tasks.run, NodeInference.layer]
