import * as Effect from "effect/Effect"
import { pipe } from "effect/Function"
import type * as Option from "effect/Option"
import type * as Stream from "effect/Stream"
import type * as ApiClient from "effect-inferencesh/ApiClient"
import * as Inference from "effect-inferencesh/Inference"
import type * as InferenceError from "effect-inferencesh/InferenceError"
import type * as Task from "effect-inferencesh/Task"
import * as Tasks from "effect-inferencesh/Tasks"
import { describe, expectTypeOf, it } from "vitest"

declare const note: (reply: ApiClient.ReplyInfo) => Effect.Effect<void, never, "note">

describe("replies", () => {
  it("come beside the value, with the errors and needs of the effect", () => {
    expectTypeOf(Inference.withReply(Tasks.get("t1"))).toEqualTypeOf<
      Effect.Effect<readonly [Task.Task, Option.Option<ApiClient.ReplyInfo>], InferenceError.ApiFailure, Tasks.Tasks>
    >()
  })

  it("are told of in effects and streams, to what may need something and cannot fail", () => {
    expectTypeOf(pipe(Tasks.get("t1"), Inference.onReply(note))).toEqualTypeOf<
      Effect.Effect<Task.Task, InferenceError.ApiFailure, Tasks.Tasks | "note">
    >()
    expectTypeOf(pipe(Tasks.list(), Inference.onReplyStream(note))).toEqualTypeOf<
      Stream.Stream<Task.Task, InferenceError.ApiFailure, Tasks.Tasks | "note">
    >()
    // @ts-expect-error a reply is told of whatever comes of it
    Inference.onReply(Tasks.get("t1"), () => Effect.fail("no"))
  })
})
