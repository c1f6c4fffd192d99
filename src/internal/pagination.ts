import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type * as ApiClient from "../ApiClient.js"
import type { ApiFailure } from "../InferenceError.js"
import { field } from "./wire.js"

const pageOf = <A, I>(item: Schema.Schema<A, I>) =>
  Schema.Struct({
    items: Schema.optionalWith(Schema.Array(item), { default: () => [], nullable: true }),
    hasNext: field("has_next", Schema.Boolean),
    nextCursor: field("next_cursor", Schema.String)
  })

/** All rows of a list, page by page as they are asked for. A cursor that does not move on ends the list. */
export const list = <A, I>(
  api: ApiClient.Service,
  endpoint: { readonly method: "GET" | "POST"; readonly path: string },
  item: Schema.Schema<A, I>,
  query: ApiClient.ListQuery = {}
): Stream.Stream<A, ApiFailure> => {
  const schema = pageOf(item)
  const limit = query.pageSize ?? 50
  const search = query.search === undefined ? undefined : { term: query.search, exact: false }
  const ask = (cursor: string) =>
    endpoint.method === "GET"
      ? { query: { limit, cursor: cursor === "" ? undefined : cursor } }
      : { body: { cursor, limit, search, filters: query.filters, sort: query.sort } }
  return Stream.paginateChunkEffect("", (cursor) =>
    Effect.map(
      api.request({ ...endpoint, ...ask(cursor), idempotent: true, schema }),
      ({ items, hasNext, nextCursor }) => [
        Chunk.unsafeFromArray(items),
        hasNext && nextCursor && nextCursor !== cursor ? Option.some(nextCursor) : Option.none()
      ]
    )
  )
}
