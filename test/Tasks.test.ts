import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Tracer from "effect/Tracer"
import * as App from "effect-inferencesh/App"
import * as Inference from "effect-inferencesh/Inference"
import type * as InferenceError from "effect-inferencesh/InferenceError"
import * as Tasks from "effect-inferencesh/Tasks"
import * as T from "./support/tasks.js"

const post = "POST /apps/run"
const streamOf = "GET /tasks/t1/stream"
const get = "GET /tasks/t1"

const submitted = T.data({ id: "t1", status: 1, status_text: "received", output: null })

const completing: T.Script = {
  [post]: submitted,
  [streamOf]: T.ndjson(T.task(), T.completed),
  [get]: T.data(T.completed)
}

const using = <A, E>(service: T.Service, effect: Effect.Effect<A, E, Inference.Services>) =>
  Effect.provide(T.within("1 hour", effect), service.layer)

const Echo = App.make("acme/echo", {
  input: { text: Schema.String },
  output: { text: Schema.String, length: Schema.optionalWith(Schema.Int, { default: () => 0 }) }
})

/** A tracer that keeps the spans. */
const tracing = () => {
  const spans: Array<Tracer.Span & { readonly attributes: Map<string, unknown> }> = []
  const tracer = Tracer.make({
    context: (f) => f(),
    span: (name, parent, context, links, startTime, kind) => {
      const attributes = new Map<string, unknown>()
      const span = {
        _tag: "Span" as const,
        name,
        spanId: `span${spans.length}`,
        traceId: "trace",
        parent,
        context,
        status: { _tag: "Started" as const, startTime },
        attributes,
        links,
        sampled: true,
        kind,
        end: () => {},
        attribute: (key: string, value: unknown) => void attributes.set(key, value),
        event: () => {},
        addLinks: () => {}
      }
      spans.push(span)
      return span
    }
  })
  const attributesOf = (name: string) => Object.fromEntries(spans.find((span) => span.name === name)?.attributes ?? [])
  return { tracer, spans, attributesOf }
}

describe("Tasks", () => {
  describe("running", () => {
    it.effect("gives the decoded output, with the defaults of its schema", () =>
      Effect.gen(function* () {
        const task = yield* using(T.service(completing), Tasks.run(Echo, { input: { text: "hi" } }))
        assert.deepStrictEqual(task.output, { text: "done", length: 0 })
        assert.strictEqual(task.status, "completed")
      })
    )

    it.effect("shows partial outputs as far as they fit the contract", () =>
      Effect.gen(function* () {
        const service = T.service({
          [post]: submitted,
          [streamOf]: T.ndjson(
            T.task({ output: {} }),
            T.task({ output: { text: "d" } }),
            T.task({ output: { text: 1 } }),
            T.task({ status: 10, output: { text: "done", length: 4 } })
          )
        })
        const { items, error } = yield* using(service, T.record(Tasks.runStream(Echo, { input: { text: "hi" } })))
        assert.isUndefined(error)
        assert.deepStrictEqual(
          items.map(({ output }) => output),
          [undefined, undefined, { text: "d", length: 0 }, undefined, { text: "done", length: 4 }]
        )
      })
    )

    it.effect("fails with DecodeError when the output does not fit, and the output is still to be had", () =>
      Effect.gen(function* () {
        const service = T.service({
          ...completing,
          [streamOf]: T.ndjson(T.task({ status: 10, output: { text: 1 } })),
          [get]: T.data(T.task({ status: 10, output: { text: 1 } }))
        })
        const error = yield* using(service, Effect.flip(Tasks.run(Echo, { input: { text: "hi" } })))
        if (error._tag !== "DecodeError") return assert.fail(error._tag)
        assert.deepStrictEqual(error.path, ["text"])
        assert.strictEqual(error.taskId, "t1")
        assert.deepStrictEqual((yield* using(service, Tasks.get("t1"))).output, { text: 1 })
      })
    )

    it.effect("by name alone, an output that is missing is undefined", () =>
      Effect.gen(function* () {
        const service = T.service({ ...completing, [streamOf]: T.ndjson(T.task({ status: 10 })) })
        const task = yield* using(service, Tasks.run("acme/app", { input: {} }))
        assert.isUndefined(task.output)
      })
    )

    it.effect("submit returns at once, with what is known so far", () =>
      Effect.gen(function* () {
        const service = T.service(completing)
        const task = yield* using(service, Tasks.submit(Echo, { input: { text: "hi" } }))
        assert.deepStrictEqual(task, { id: "t1", status: "received" })
        assert.strictEqual(service.sent.length, 1)
      })
    )

    it.effect("a submission that may have been carried out is not repeated", () =>
      Effect.gen(function* () {
        for (const status of [500, 502, 504]) {
          const service = T.service({ [post]: T.problem(status, "internal_error") })
          yield* using(service, Effect.flip(Tasks.run("acme/app", { input: {} })))
          assert.strictEqual(service.count(post), 1)
        }
      })
    )

    it.effect("a submission that was refused for now is repeated when the service says", () =>
      Effect.gen(function* () {
        const service = T.service({
          ...completing,
          [post]: [T.problem(429, "rate_limited", { "retry-after": "3" }), submitted]
        })
        yield* using(service, Tasks.run("acme/app", { input: {} }))
        assert.deepStrictEqual(
          service.sent.filter(({ route }) => route === post).map(({ at }) => at),
          [0, 3000]
        )
      })
    )

    it.effect("what is missing for the app to run is told", () =>
      Effect.gen(function* () {
        const requirement = {
          type: "secret",
          key: "OPENAI_API_KEY",
          message: "is not set",
          action: { type: "add_secret" }
        }
        const service = T.service({ [post]: T.json({ satisfied: false, errors: [requirement] }, 412) })
        const error = yield* using(service, Effect.flip(Tasks.submit("acme/app", { input: {} })))
        if (error._tag !== "RequirementsNotMet") return assert.fail(error._tag)
        assert.deepStrictEqual(error.requirements, [requirement])
      })
    )

    it.effect("a reply without an id is a DecodeError", () =>
      Effect.gen(function* () {
        const service = T.service({ [post]: T.data({ status: 1 }) })
        const error = yield* using(service, Effect.flip(Tasks.run("acme/app", { input: {} })))
        assert.strictEqual(error._tag, "DecodeError")
      })
    )

    it.effect("ids are written into addresses as they must be", () =>
      Effect.gen(function* () {
        const service = T.service({ "GET /tasks/a%2F..%3Fb": T.data({ id: "a/..?b", status: 7 }) })
        assert.strictEqual((yield* using(service, Tasks.get("a/..?b"))).id, "a/..?b")
      })
    )

    it.effect("a change of the client applies to all that a run sends", () =>
      Effect.gen(function* () {
        const service = T.service({ ...completing, [streamOf]: T.ndjson(T.broken), [get]: T.data(T.completed) })
        const team = HttpClient.mapRequest(HttpClientRequest.setHeader("x-team-id", "team1"))
        yield* using(service, Inference.withClientTransform(Tasks.run("acme/app", { input: {} }), team))
        assert.deepStrictEqual(
          service.sent.map(({ route, headers }) => `${route} ${headers["x-team-id"]}`),
          [`${post} team1`, `${streamOf} team1`, `${get} team1`]
        )
      })
    )
  })

  describe("sessions", () => {
    const failure = (answer: T.Answer, session?: string) => {
      const service = T.service({ [post]: answer })
      return using(
        service,
        Effect.flip(Tasks.submit("acme/app", { input: {}, ...(session !== undefined && { session }) }))
      )
    }

    it.effect("the loss of a session is told by its code, in any spelling", () =>
      Effect.gen(function* () {
        const cases: ReadonlyArray<
          readonly [status: number, code: string, reason: InferenceError.SessionLost["reason"]]
        > = [
          [404, "SESSION_NOT_FOUND", "NotFound"],
          [404, "session_not_found", "NotFound"],
          [404, "session-not-found", "NotFound"],
          [410, "Session-Expired", "Expired"],
          [410, "session_ended", "Ended"],
          [500, "WORKER_LOST", "WorkerLost"],
          [410, "gone", "Unknown"]
        ]
        for (const [status, code, reason] of cases) {
          const error = yield* failure(T.problem(status, code), "s1")
          if (error._tag !== "SessionLost") return assert.fail(`${code}: ${error._tag}`)
          assert.strictEqual(error.reason, reason)
          assert.strictEqual(error.sessionId, "s1")
          assert.strictEqual(error.status, status)
          assert.strictEqual(error.code, code)
          assert.include(error.detail, code)
        }
      })
    )

    it.effect("other failures of a run with a session stay what they are", () =>
      Effect.gen(function* () {
        const tags = yield* Effect.all([
          failure(T.problem(404, "not_found"), "s1"),
          failure(T.problem(409, "WORKER_LEASED"), "s1"),
          failure(T.problem(400, "APP_MISMATCH"), "s1"),
          failure(T.problem(401, "unauthorized"), "s1")
        ])
        assert.deepStrictEqual(
          tags.map(({ _tag }) => _tag),
          ["NotFound", "ApiError", "InvalidRequest", "Unauthorized"]
        )
      })
    )

    it.effect("a run without a session cannot lose one", () =>
      Effect.gen(function* () {
        assert.strictEqual((yield* failure(T.problem(404, "SESSION_NOT_FOUND")))._tag, "NotFound")
        assert.strictEqual((yield* failure(T.problem(410, "SESSION_ENDED")))._tag, "ApiError")
      })
    )

    it.effect("a new session is not named before it has an id", () =>
      Effect.gen(function* () {
        const error = yield* failure(T.problem(500, "worker_lost"), "new")
        if (error._tag !== "SessionLost") return assert.fail(error._tag)
        assert.isUndefined(error.sessionId)
        const service = T.service({ [post]: T.data({ id: "t1", status: 1, session_id: "s9" }) })
        const task = yield* using(service, Tasks.submit("acme/app", { input: {}, session: "new" }))
        assert.strictEqual(task.sessionId, "s9")
      })
    )
  })

  describe("operations", () => {
    it.effect("cancelling sends what was asked for, and a task that is over is no error", () =>
      Effect.gen(function* () {
        const cancel = "POST /tasks/t1/cancel"
        const service = T.service({ [cancel]: [T.data(null), T.data(null), T.problem(409, "already_finished")] })
        yield* using(service, Tasks.cancel("t1"))
        yield* using(service, Tasks.cancel("t1", { force: true, timeout: "90 seconds" }))
        yield* using(service, Tasks.cancel("t1"))
        assert.deepStrictEqual(
          service.sent.map(({ text }) => text),
          ["", '{"force":true,"timeout":90}', ""]
        )
      })
    )

    it.effect("cancelling is tried again when the service is in trouble", () =>
      Effect.gen(function* () {
        const cancel = "POST /tasks/t1/cancel"
        const service = T.service({ [cancel]: [T.problem(503, "unavailable"), T.data(null)] })
        yield* using(service, Tasks.cancel("t1"))
        assert.strictEqual(service.count(cancel), 2)
      })
    )

    it.effect("lists are fetched page by page, and no further than they are consumed", () =>
      Effect.gen(function* () {
        const page = (n: number) =>
          T.data({
            items: [T.task({ id: `t${2 * n}` }), T.task({ id: `t${2 * n + 1}` })],
            next_cursor: `c+/=${n + 1}`,
            has_next: true
          })
        const list = "POST /tasks/list"
        const service = T.service({ [list]: (_, before) => page(before) })
        const query = {
          pageSize: 2,
          search: "cat",
          filters: [{ field: "status", operator: "eq", value: 10 }],
          sort: [{ field: "created_at", dir: "desc" as const }]
        }
        const ids = yield* using(
          service,
          Stream.runCollect(Stream.map(Stream.take(Tasks.list(query), 3), ({ id }) => id))
        )
        assert.deepStrictEqual([...ids], ["t0", "t1", "t2"])
        assert.deepStrictEqual(service.sent.map(T.jsonOf), [
          { cursor: "", limit: 2, search: { term: "cat", exact: false }, filters: query.filters, sort: query.sort },
          { cursor: "c+/=1", limit: 2, search: { term: "cat", exact: false }, filters: query.filters, sort: query.sort }
        ])
      })
    )

    it.effect("a list ends with its last page, with a cursor that does not move on, and with null for no rows", () =>
      Effect.gen(function* () {
        const ends = [
          { items: [T.task()], has_next: false, next_cursor: "c1" },
          { items: [T.task()], has_next: true, next_cursor: "" },
          { items: [T.task()], has_next: true, next_cursor: null },
          { items: null, has_next: null, next_cursor: null }
        ]
        for (const end of ends) {
          const service = T.service({ "POST /tasks/list": T.data(end) })
          assert.strictEqual(yield* using(service, Stream.runCount(Tasks.list())), end.items?.length ?? 0)
          assert.strictEqual(service.sent.length, 1)
        }
        const stuck = T.service({
          "POST /tasks/list": T.data({ items: [T.task()], has_next: true, next_cursor: "c1" })
        })
        assert.strictEqual(yield* using(stuck, Stream.runCount(Tasks.list())), 2)
      })
    )

    it.effect("featured tasks are listed with their cursor in the query", () =>
      Effect.gen(function* () {
        const service = T.service({
          "GET /tasks/featured?limit=1": T.data({ items: [T.task()], has_next: true, next_cursor: "a+b/c=" }),
          "GET /tasks/featured?limit=1&cursor=a%2Bb%2Fc%3D": T.data({ items: [T.task()], has_next: false })
        })
        assert.strictEqual(yield* using(service, Stream.runCount(Tasks.listFeatured({ pageSize: 1 }))), 2)
      })
    )

    it.effect("logs, telemetry and estimates are taken as they come, with null for none", () =>
      Effect.gen(function* () {
        const service = T.service({
          "GET /tasks/t1/logs": T.data({
            task_id: "t1",
            status: 7,
            events: null,
            logs: [{ log_type: 3, content: null }, { log_type: 9 }]
          }),
          "GET /tasks/t1/telemetry": [T.data([{ gpu: 1 }]), T.data(null)],
          "GET /tasks/t1/timings": T.data({ task_id: "t1", status: 10, groups: null, events: null }),
          "POST /store/apps/a1/estimate": T.data({
            confidence: "brand_new",
            microcents: 5,
            depends_on: null,
            rendered: "x"
          }),
          "POST /tasks/t1/featured": T.data(T.task({ is_featured: true })),
          "POST /tasks/t1/visibility": T.data(T.task({ visibility: "team" })),
          "DELETE /tasks/t1": T.data(null)
        })
        const all = Effect.all({
          logs: Tasks.logs("t1"),
          telemetry: Tasks.telemetry("t1"),
          none: Tasks.telemetry("t1"),
          timings: Tasks.timings("t1"),
          estimate: Tasks.estimate("a1", { input: { a: 1 }, function: "go" }),
          featured: Tasks.setFeatured("t1", true),
          visible: Tasks.setVisibility("t1", "team"),
          removed: Tasks.remove("t1")
        })
        const found = yield* using(service, all)
        assert.deepStrictEqual(
          found.logs.logs.map(({ type, content }) => [type, content]),
          [
            ["setup", ""],
            ["9", ""]
          ]
        )
        assert.deepStrictEqual(found.telemetry, [{ gpu: 1 }])
        assert.deepStrictEqual(found.none, [])
        assert.deepStrictEqual(found.timings.groups, [])
        assert.deepStrictEqual(found.estimate, { confidence: "brand_new", microcents: 5 })
        assert.isTrue(found.featured.isFeatured)
        assert.strictEqual(found.visible.visibility, "team")
        assert.isUndefined(found.removed)
        const bodyOf = (route: string) => T.jsonOf(service.sent.find((sent) => sent.route === route))
        assert.deepStrictEqual(bodyOf("POST /store/apps/a1/estimate"), { input: { a: 1 }, function: "go" })
        assert.deepStrictEqual(bodyOf("POST /tasks/t1/featured"), { is_featured: true })
        assert.deepStrictEqual(bodyOf("POST /tasks/t1/visibility"), { visibility: "team" })
      })
    )
  })

  describe("tracing", () => {
    it.effect("a run has a span with the app, the task and its final status", () =>
      Effect.gen(function* () {
        const { tracer, attributesOf, spans } = tracing()
        const service = T.service(completing)
        yield* using(service, Effect.withTracer(Tasks.run("acme/app", { input: {} }), tracer))
        assert.deepInclude(attributesOf("Tasks.run"), {
          "inference.app": "acme/app",
          "inference.task.id": "t1",
          "inference.task.status": "completed"
        })
        assert.notInclude(JSON.stringify(spans.map(({ attributes }) => [...attributes])), "inf_secret")
      })
    )

    it.effect("a run that fails has a span with how the task ended", () =>
      Effect.gen(function* () {
        const { tracer, attributesOf } = tracing()
        const service = T.service({ ...completing, [streamOf]: T.ndjson(T.task({ status: 11 })) })
        yield* using(service, Effect.withTracer(Effect.flip(Tasks.run("acme/app", { input: {} })), tracer))
        assert.propertyVal(attributesOf("Tasks.run"), "inference.task.status", "failed")
      })
    )

    it.effect("a stream of a run has one as well, and so has each operation", () =>
      Effect.gen(function* () {
        const { tracer, attributesOf } = tracing()
        const service = T.service({ ...completing, "POST /tasks/t1/cancel": T.data(null) })
        const all = Effect.zipRight(
          Stream.runDrain(Tasks.runStream("acme/app", { input: {} })),
          Effect.all([
            Tasks.get("t1"),
            Tasks.cancel("t1"),
            Tasks.waitForCompletion("t1"),
            Tasks.submit("acme/app", { input: {} })
          ])
        )
        yield* using(service, Effect.withTracer(all, tracer))
        const expected = {
          "inference.app": "acme/app",
          "inference.task.id": "t1",
          "inference.task.status": "completed"
        }
        assert.deepInclude(attributesOf("Tasks.runStream"), expected)
        for (const name of ["Tasks.get", "Tasks.cancel", "Tasks.waitForCompletion", "Tasks.submit"]) {
          assert.propertyVal(attributesOf(name), "inference.task.id", "t1")
        }
      })
    )

    it.effect("the service gets no trace headers unless asked for", () =>
      Effect.gen(function* () {
        for (const propagateTraces of [undefined, true]) {
          const service = T.service(completing, { propagateTraces })
          yield* using(service, Effect.withSpan(Tasks.run("acme/app", { input: {} }), "mine"))
          assert.strictEqual(service.sent.length, 2)
          for (const { headers } of service.sent) {
            assert.strictEqual("traceparent" in headers || "b3" in headers, propagateTraces === true)
          }
        }
      })
    )
  })

  describe("contracts and ids", () => {
    const Several = App.make("acme/several", {
      functions: {
        up: { input: { a: Schema.String }, output: { text: Schema.String } },
        down: { input: { b: Schema.Number }, output: { text: Schema.String } }
      }
    })

    it.effect("the function is always named to the service where the contract has no run", () =>
      Effect.gen(function* () {
        const One = App.make("acme/one", {
          functions: { up: { input: { a: Schema.String }, output: { text: Schema.String } } }
        })
        const service = T.service(completing)
        yield* using(service, Tasks.run(Several, { function: "down", input: { b: 1 } }))
        yield* using(service, Tasks.run(One, { function: "up", input: { a: "x" } }))
        yield* using(service, Tasks.run(Echo, { input: { text: "x" } }).pipe(Effect.asVoid))
        const functions = service.sent.filter(({ route }) => route === post).map((sent) => T.jsonOf(sent).function)
        assert.deepStrictEqual(functions, ["down", "up", undefined])
      })
    )

    it.effect("a call that does not say which of several functions it means is refused before anything is sent", () =>
      Effect.gen(function* () {
        const service = T.service(completing)
        const params = { input: { b: 1 } } as unknown as { function: "down"; input: { b: number } }
        const error = yield* using(service, Effect.flip(Tasks.run(Several, params)))
        assert.strictEqual(error._tag, "InvalidRequest")
        assert.include(error.message, "several functions")
        assert.strictEqual(service.sent.length, 0)
      })
    )

    it.effect("defaults are filled in behind a filter", () =>
      Effect.gen(function* () {
        const Filtered = App.make("acme/filtered", {
          input: Schema.Struct({
            a: Schema.Number,
            b: Schema.optionalWith(Schema.Number, { default: () => 1 })
          }).pipe(Schema.filter(({ a, b }) => a > b)),
          output: { text: Schema.String }
        })
        const service = T.service(completing)
        yield* using(service, Tasks.run(Filtered, { input: { a: 2 } }))
        assert.deepStrictEqual(T.jsonOf(service.sent[0]).input, { a: 2, b: 1 })
        const error = yield* using(service, Effect.flip(Tasks.run(Filtered, { input: { a: 0 } })))
        assert.strictEqual(error._tag, "InvalidRequest")
      })
    )

    it.effect("an id that is empty or made of dots does not reach another endpoint", () =>
      Effect.gen(function* () {
        const service = T.service({})
        for (const id of ["", ".", ".."]) {
          const errors = yield* using(
            service,
            Effect.all([
              Effect.flip(Tasks.get(id)),
              Effect.flip(Tasks.remove(id)),
              Effect.flip(Tasks.cancel(id)),
              Effect.flip(Tasks.waitForCompletion(id))
            ])
          )
          assert.deepStrictEqual(
            errors.map((error) => error._tag),
            ["InvalidRequest", "InvalidRequest", "InvalidRequest", "InvalidRequest"]
          )
        }
        assert.strictEqual(service.sent.length, 0)
      })
    )

    it.effect("a run is counted by the way it ended, also when it is interrupted", () =>
      Effect.gen(function* () {
        const counted = (app: string, outcome: string) =>
          Effect.map(Metric.snapshot, (pairs) =>
            pairs
              .filter(({ metricKey }) => metricKey.name === "inference_tasks_total")
              .filter(({ metricKey }) => {
                const tags = metricKey.tags.map(({ value }) => value)
                return tags.includes(app) && tags.includes(outcome)
              })
              .reduce((sum, { metricState }) => sum + Number("count" in metricState ? metricState.count : 0), 0)
          )
        yield* using(T.service(completing), Tasks.run("metric/done", { input: {} }))
        assert.strictEqual(yield* counted("metric/done", "completed"), 1)
        yield* using(
          T.service({ [post]: T.problem(404, "not_found") }),
          Effect.flip(Tasks.run("metric/none", { input: {} }))
        )
        assert.strictEqual(yield* counted("metric/none", "refused"), 1)
        const endless = T.service({
          [post]: submitted,
          [streamOf]: T.ndjson(T.task(), T.silence),
          "POST /tasks/t1/cancel": T.data(null)
        })
        yield* using(endless, Effect.timeoutOption(Tasks.run("metric/slow", { input: {} }), "1 second"))
        assert.strictEqual(yield* counted("metric/slow", "interrupted"), 1)
      })
    )
  })
})
