import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Either from "effect/Either"
import * as FC from "effect/FastCheck"
import * as Schema from "effect/Schema"
import * as Task from "effect-inferencesh/Task"
import { schemas } from "../src/internal/taskSchemas.js"
import * as TaskState from "../src/internal/taskState.js"
import type { Json } from "./support/tasks.js"

const numberings = ["current", "documented"] as const

const statuses = Object.values(Task.TaskStatus)

const iso = FC.integer({ min: 0, max: 4_102_444_800_000 }).map((millis) => new Date(millis).toISOString())
const codes = { current: FC.integer({ min: 0, max: 12 }), documented: FC.integer({ min: 0, max: 11 }) }

const statusEvent = (code: FC.Arbitrary<number>) =>
  FC.record(
    { id: FC.string(), task_id: FC.string(), status: code, created_at: iso, event_time: iso },
    { requiredKeys: [] }
  )

const log = FC.record(
  {
    id: FC.string(),
    task_id: FC.string(),
    log_type: FC.oneof(FC.integer({ min: 0, max: 4 }), FC.constant("other")),
    content: FC.string(),
    created_at: iso,
    updated_at: iso
  },
  { requiredKeys: ["content"] }
)

const json = FC.jsonValue().filter((value) => value !== null)

/** Everything that a task may hold on the wire, in the form in which it is encoded again. */
const fields = (code: FC.Arbitrary<number>) => ({
  short_id: FC.string(),
  created_at: iso,
  updated_at: iso,
  user_id: FC.string(),
  user: json,
  visibility: FC.oneof(FC.constantFrom("private", "public"), FC.string()),
  is_featured: FC.boolean(),
  app_id: FC.string(),
  app_version_id: FC.string(),
  app_variant: FC.string(),
  function: FC.string(),
  infra: FC.constantFrom("cloud", "private", "something new"),
  workers: FC.array(FC.string()),
  engine_id: FC.string(),
  run_at: iso,
  webhook: FC.webUrl(),
  setup: json,
  input: json,
  output: json,
  error: FC.string(),
  rating: FC.string(),
  events: FC.array(statusEvent(code), { maxLength: 3 }),
  logs: FC.array(log, { maxLength: 3 }),
  usage_events: FC.array(FC.jsonValue(), { maxLength: 2 }),
  session_id: FC.string(),
  session_timeout: FC.nat(3600)
})

const wireTask = (code: FC.Arbitrary<number>): FC.Arbitrary<Json> =>
  FC.record({ id: FC.string(), status: code, ...fields(code) }, { requiredKeys: ["id", "status"] })

describe("Task", () => {
  describe("status", () => {
    it("integers and statuses convert to each other in both numberings", () => {
      for (const numbering of numberings) {
        for (const status of statuses) {
          const back = Task.statusFromCode(Task.statusCode(status, numbering), numbering)
          // The documented numbering has no cancelling: such a task still counts as running.
          assert.strictEqual(back, numbering === "documented" && status === "cancelling" ? "running" : status)
        }
        const last = numbering === "current" ? 12 : 11
        for (let code = 0; code <= last; code++) {
          assert.strictEqual(Task.statusCode(Task.statusFromCode(code, numbering), numbering), code)
        }
        for (const code of [last + 1, 99, -1, 1.5, Number.NaN]) {
          assert.strictEqual(Task.statusFromCode(code, numbering), "unknown")
        }
      }
    })

    it("the integers are those of the two published tables", () => {
      const names = "received queued scheduled preparing serving setting_up running".split(" ")
      const table = (rest: string) => [...names, ...rest.split(" ")]
      const current = table("cancelling uploading completed failed cancelled")
      const documented = table("uploading completed failed cancelled")
      assert.deepStrictEqual(
        current.map((_, i) => Task.statusFromCode(i + 1)),
        current
      )
      assert.deepStrictEqual(
        documented.map((_, i) => Task.statusFromCode(i + 1, "documented")),
        documented
      )
    })

    it("completed, failed and cancelled are terminal, and no others", () => {
      assert.deepStrictEqual(statuses.filter(Task.isTerminal), ["completed", "failed", "cancelled"])
    })

    it("names are understood in any case and in all their spellings", () => {
      const decode = Schema.decodeUnknownSync(Task.Task)
      const of = (status: unknown, status_text?: unknown) => decode({ id: "t1", status, status_text }).status
      assert.strictEqual(of("Setting_Up"), "setting_up")
      assert.strictEqual(of("dispatched"), "scheduled")
      assert.strictEqual(of("canceled"), "cancelled")
      assert.strictEqual(of("brand_new"), "unknown")
      assert.strictEqual(of(null), "unknown")
      assert.strictEqual(of(undefined, "running"), "running")
      assert.strictEqual(of(9, "COMPLETED"), "completed")
      assert.strictEqual(of(9, "brand_new"), "uploading")
      assert.strictEqual(of(9, null), "uploading")
    })
  })

  describe("schema", () => {
    for (const numbering of numberings) {
      it.prop(
        `decodes and encodes without loss in the ${numbering} numbering`,
        { wire: wireTask(codes[numbering]) },
        ({ wire }) => {
          const schema = schemas[numbering].Task
          const task = Schema.decodeUnknownSync(schema)(wire)
          assert.deepStrictEqual(Schema.encodeSync(schema)(task), wire)
          assert.deepStrictEqual(Schema.decodeUnknownSync(schema)(Schema.encodeSync(schema)(task)), task)
        }
      )
    }

    it.prop(
      "survives fields and values that it does not know",
      { wire: wireTask(codes.current), extra: FC.jsonValue() },
      ({ wire, extra }) => {
        const decode = Schema.decodeUnknownSync(Task.Task)
        const more = { ...wire, brand_new: extra, user_public_key: extra }
        assert.deepStrictEqual(decode(more), decode(wire))
      }
    )

    it.prop(
      "takes null for no field",
      { wire: wireTask(codes.current), names: FC.subarray(Object.keys(fields(codes.current))) },
      ({ wire, names }) => {
        const decode = Schema.decodeUnknownSync(Task.Task)
        const without = Object.fromEntries(Object.entries(wire).filter(([name]) => !names.includes(name)))
        assert.deepStrictEqual(
          decode({ ...wire, ...Object.fromEntries(names.map((name) => [name, null])) }),
          decode(without)
        )
      }
    )

    it("a time that is none costs only itself", () => {
      const task = Schema.decodeUnknownSync(Task.Task)({
        id: "t1",
        status: 7,
        created_at: "soon",
        updated_at: "2026-10-01T10:00:00.123456789Z"
      })
      assert.notProperty(task, "createdAt")
      assert.strictEqual(task.updatedAt?.epochMillis, Date.parse("2026-10-01T10:00:00.123Z"))
    })

    it("a task without an id is none", () => {
      assert.isTrue(Either.isLeft(Schema.decodeUnknownEither(Task.Task)({ status: 7 })))
    })

    it("timings have durations and names of statuses", () => {
      const timings = Schema.decodeUnknownSync(schemas.current.Timings)({
        task_id: "t1",
        status: 10,
        total_duration: "4.2s",
        total_duration_ms: 4200,
        groups: [{ label: "queued", start_at: "2026-10-01T10:00:00Z", duration: "1s", duration_ms: 1000 }],
        events: [{ status: "dispatched", timestamp: "2026-10-01T10:00:00Z", duration_ms: null, next_status: "running" }]
      })
      assert.strictEqual(Duration.toMillis(timings.totalDuration ?? 0), 4200)
      assert.strictEqual(timings.events[0]?.status, "scheduled")
      assert.strictEqual(timings.events[0]?.nextStatus, "running")
      assert.deepStrictEqual(Schema.decodeUnknownSync(schemas.current.Timings)({ groups: null, events: null }), {
        groups: [],
        events: []
      })
    })
  })
})

describe("merging", () => {
  const wire = wireTask(FC.integer({ min: 0, max: 9 })).map((task): Json => ({ ...task, id: "t1" }))
  const timeless = FC.record(
    { ...fields(FC.integer({ min: 0, max: 9 })), status: FC.integer({ min: 0, max: 9 }) },
    { requiredKeys: [] }
  ).map(({ updated_at: _, ...patch }): Json => patch)

  /** The task after a snapshot and some updates. */
  const merged = (snapshot: Json, ...patches: ReadonlyArray<readonly [data: Json, fields: ReadonlyArray<string>]>) => {
    const state = TaskState.make("current")
    Either.getOrThrow(state.replace(snapshot))
    for (const [data, fields] of patches) Either.getOrThrow(state.merge(data, fields))
    return state.task()
  }
  const whole = (patch: Json) => [patch, Object.keys(patch)] as const
  const decode = Schema.decodeUnknownSync(Task.Task)

  it.prop("an update is the same as a snapshot with its fields in it", { wire, patch: timeless }, ({ wire, patch }) => {
    assert.deepStrictEqual(merged(wire, whole(patch)), decode({ ...wire, ...patch }))
  })

  it.prop(
    "a field that is not named keeps its value, whatever the data says",
    { wire, patch: timeless, fields: FC.subarray(Object.keys(fields(codes.current))) },
    ({ wire, patch, fields }) => {
      const named = Object.fromEntries(fields.map((name) => [name, patch[name] ?? null]))
      const data = Object.fromEntries(Object.entries(patch).filter(([name]) => name !== "updated_at"))
      assert.deepStrictEqual(
        merged(wire, [data, fields.filter((name) => name !== "updated_at")]),
        decode({ ...wire, ...named, updated_at: wire.updated_at })
      )
    }
  )

  it.prop("a field that is named and missing, or null, is cleared", { wire, patch: timeless }, ({ wire, patch }) => {
    const names = Object.keys(patch).filter((name) => name !== "status")
    const without = Object.fromEntries(Object.entries(wire).filter(([name]) => !names.includes(name)))
    const nulls = Object.fromEntries(names.map((name) => [name, null]))
    assert.deepStrictEqual(merged(wire, [{}, names]), decode(without))
    assert.deepStrictEqual(merged(wire, [nulls, names]), decode(without))
  })

  it.prop(
    "the order of updates to different fields does not matter",
    { wire, a: timeless, b: timeless },
    ({ wire, a, b }) => {
      const rest = Object.fromEntries(Object.entries(b).filter(([name]) => !(name in a)))
      assert.deepStrictEqual(merged(wire, whole(a), whole(rest)), merged(wire, whole(rest), whole(a)))
    }
  )

  it.prop("an update that is told again is no news", { wire, patch: timeless }, ({ wire, patch }) => {
    const state = TaskState.make("current")
    assert.isTrue(Either.getOrThrow(state.replace(wire)))
    assert.isFalse(Either.getOrThrow(state.replace({ ...wire, brand_new: 1 })))
    const before = state.task()
    const isNews = Either.getOrThrow(state.merge(...whole(patch)))
    // It is news just if the task is another one after it.
    if (isNews) assert.notDeepEqual(state.task(), before)
    else assert.deepStrictEqual(state.task(), before)
    assert.isFalse(Either.getOrThrow(state.merge(...whole(patch))))
  })

  it.prop("states that were given before do not change afterwards", { wire, patch: timeless }, ({ wire, patch }) => {
    const state = TaskState.make("current")
    Either.getOrThrow(state.replace(wire))
    const before = state.task()
    Either.getOrThrow(state.merge(...whole(patch)))
    assert.deepStrictEqual(before, decode(wire))
  })

  it("an update before any snapshot is no news: there is nothing to merge it into", () => {
    const state = TaskState.make("current")
    assert.isFalse(Either.getOrThrow(state.merge({ status: 7 }, ["status"])))
    assert.isUndefined(state.task())
  })

  it("after its end a task stays as it is", () => {
    const state = TaskState.make("current")
    Either.getOrThrow(state.replace({ id: "t1", status: 10, output: 1 }))
    assert.isFalse(Either.getOrThrow(state.merge({ status: 7, output: 2 }, ["status", "output"])))
    assert.isFalse(Either.getOrThrow(state.replace({ id: "t1", status: 7 })))
    // The whole task may still be told, with what the last update left out.
    assert.isTrue(Either.getOrThrow(state.replace({ id: "t1", status: 10, output: 1, input: 2 })))
    assert.deepInclude(state.task(), { status: "completed", input: 2 })
  })
})
