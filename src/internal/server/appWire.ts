/** Apps as they go over the wire: protocol.md §11. */
import * as Either from "effect/Either"
import type * as Schema from "effect/Schema"
import * as App from "../../App.js"
import { toJsonSchema } from "../jsonSchema.js"
import type { Json } from "../wire.js"
import { base } from "./agents/wire.js"
import type { Hosted } from "./registry.js"

/** What takes or gives other things than JSON has no schema. */
const schemaOf = (schema: Schema.Schema.AnyNoContext): Json | null => Either.getOrElse(toJsonSchema(schema), () => null)

/** `AppDTO`, with its only version. */
export const app = ({ base: hosted, id, versionId, namespace, name }: Hosted, createdAt: number): Json => {
  const { functions, setup, description = "" } = hosted.app
  const described = Object.entries(functions).map(
    ([name, { input, output }]) =>
      [name, { name, description: "", input_schema: schemaOf(input), output_schema: schemaOf(output) }] as const
  )
  const defaultFunction = App.defaultFunction(hosted.app)
  const schemas = described.find(([name]) => name === defaultFunction)?.[1]
  return {
    ...base({ id, createdAt, updatedAt: createdAt }),
    namespace,
    name,
    title: name,
    description,
    agent_description: "",
    category: "other",
    images: { card: "", thumbnail: "", banner: "" },
    status: "active",
    version_id: versionId,
    version: {
      ...base({ id: versionId, createdAt, updatedAt: createdAt }),
      metadata: {},
      repository: "",
      setup_schema: schemaOf(setup),
      input_schema: schemas?.input_schema ?? null,
      output_schema: schemas?.output_schema ?? null,
      functions: Object.fromEntries(described),
      default_function: defaultFunction,
      variants: null,
      env: null,
      kernel: "",
      required_secrets: null,
      required_integrations: null,
      resources: null
    }
  }
}
