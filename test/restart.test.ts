/** What a server with a data directory still knows after a restart. */
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import * as FileSystem from "@effect/platform/FileSystem"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as NodeContext from "@effect/platform-node/NodeContext"
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/TestClock"
import * as LocalServer from "effect-inferencesh/LocalServer"
import * as Agents from "./support/agents.js"
import * as Apps from "./support/apps.js"
import { serveApps } from "./support/startServer.js"
import { del, type Json, origin, post, runTask, send, submit, task } from "./support/wire.js"

type Options = Omit<LocalServer.Options, "apps">

const surroundings = Layer.mergeAll(FetchHttpClient.layer, Apps.layerJournal, NodeContext.layer)

const apps = [...Apps.all, Agents.makeModel(({ text }) => (text === "wait" ? Effect.never : Agents.says(text))).app]

const start = (options: Options) => LocalServer.layerHttpClient({ ...options, apps })

/** Runs on a server that lives as long as the effect. */
const during = <A, E, R>(options: Options, effect: Effect.Effect<A, E, R>) => Effect.provide(effect, start(options))

/** Runs on a server that is still there when the next one starts: to the disk that is the same as if it was killed. */
const beforeKill = <A, E, R>(options: Options, effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const scope = yield* Effect.acquireRelease(Scope.make(), (scope) => Scope.close(scope, Exit.void))
    const context = yield* Layer.buildWithScope(start(options), scope)
    return yield* Effect.provide(effect, context)
  })

const directory = Effect.flatMap(FileSystem.FileSystem, (fs) => fs.makeTempDirectoryScoped())

const recordsIn = (dataDirectory: string, kind: string) =>
  Effect.flatMap(FileSystem.FileSystem, (fs) => fs.readDirectory(`${dataDirectory}/records/${kind}`))

/** The warnings that the effect logs. */
const warnings = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.suspend(() => {
    const all: Array<string> = []
    const logger = Logger.make(({ logLevel, message }) => {
      if (logLevel.label === "WARN") all.push(String(message))
    })
    return Effect.map(
      Effect.provide(effect, Logger.replace(Logger.defaultLogger, logger)),
      (value) => [value, all] as const
    )
  })

const reason = "the server was stopped before the task had ended: run it again"

describe("after a restart", () => {
  it.scoped("tasks that ended are as they were, the newest first", () =>
    Effect.gen(function* () {
      const dataDirectory = yield* directory
      const before = yield* during(
        { dataDirectory },
        Effect.gen(function* () {
          const { id } = yield* runTask("acme/echo", { text: "x" })
          yield* runTask("acme/failing", { message: "out of luck" })
          const cancelled = yield* submit("acme/never", {})
          yield* post(`/tasks/${cancelled}/cancel`)
          yield* Agents.until(task(cancelled), ({ status_text }) => status_text === "cancelled")
          yield* post(`/tasks/${id}/visibility`, { visibility: "public" })
          return (yield* post("/tasks/list")).data.items
        })
      )
      assert.deepStrictEqual(
        before.map((each: Json) => each.status_text),
        ["cancelled", "failed", "completed"]
      )
      assert.strictEqual(before[1].logs[0].content, "about to fail")
      assert.strictEqual(before[2].visibility, "public")
      const [after, next] = yield* during(
        { dataDirectory },
        Effect.gen(function* () {
          const after = (yield* post("/tasks/list")).data.items
          yield* runTask("acme/echo", { text: "new" })
          const first = (yield* post("/tasks/list", { limit: 2 })).data
          const second = (yield* post("/tasks/list", { limit: 2, cursor: first.next_cursor })).data
          return [after, [...first.items, ...second.items]]
        })
      )
      assert.deepStrictEqual(after, before)
      assert.strictEqual(next[0].output.text, "new")
      assert.deepStrictEqual(next.slice(1), before)
    }).pipe(Effect.provide(surroundings))
  )

  it.scoped("tasks that had not ended have failed, and say why", () =>
    Effect.gen(function* () {
      const dataDirectory = yield* directory
      const ids = yield* beforeKill(
        { dataDirectory },
        Effect.gen(function* () {
          const later = new Date(3_600_000).toISOString()
          const ids = [
            yield* submit("acme/never", {}),
            yield* submit("acme/never", {}),
            yield* submit("acme/echo", { text: "later" }, { run_at: later })
          ]
          yield* TestClock.adjust("1 second")
          return ids
        })
      )
      const look = Effect.gen(function* () {
        for (const id of ids) {
          const { status_text, error, events, input } = yield* task(id)
          assert.deepStrictEqual([status_text, error, events.length], ["failed", reason, 2])
          assert.isDefined(input)
        }
      })
      yield* during({ dataDirectory }, look)
      yield* during({ dataDirectory }, look)
    }).pipe(Effect.provide(surroundings))
  )

  it.scoped("tasks that ran when the server was closed are cancelled", () =>
    Effect.gen(function* () {
      const dataDirectory = yield* directory
      const id = yield* during({ dataDirectory }, submit("acme/never", {}))
      assert.strictEqual((yield* during({ dataDirectory }, task(id))).status_text, "cancelled")
    }).pipe(Effect.provide(surroundings))
  )

  it.scoped("files are served, of uploads and of outputs, at whatever address", () =>
    Effect.gen(function* () {
      const dataDirectory = yield* directory
      const bytes = new TextEncoder().encode("forwards")
      const before = yield* during(
        { dataDirectory },
        Effect.gen(function* () {
          const { data } = yield* post("/files", {
            files: [
              { uri: "", filename: "words.txt", content_type: "text/plain" },
              { uri: "", filename: "never.txt" }
            ]
          })
          const put = HttpClientRequest.put(data[0].upload_url).pipe(
            HttpClientRequest.bodyUint8Array(bytes, "text/plain")
          )
          assert.strictEqual((yield* send(put)).status, 200)
          const { output } = yield* runTask("acme/reverse", { file: data[0].uri })
          const { items } = (yield* post("/files/list")).data
          return { uri: data[0].uri, output: output.file, items }
        })
      )
      const moved = (uri: string) => uri.replace(origin, "https://elsewhere.test")
      yield* during(
        { dataDirectory },
        Effect.gen(function* () {
          const { items } = (yield* post("/files/list")).data
          assert.deepStrictEqual(
            items.map(({ filename }: Json) => filename),
            ["reversed-words.txt", "words.txt"]
          )
          assert.deepStrictEqual(items[1], before.items[2])
          assert.strictEqual((yield* send(HttpClientRequest.get(before.uri))).text, "forwards")
          const reply = yield* send(HttpClientRequest.get(moved(before.output)))
          assert.strictEqual(reply.text, "sdrawrof")
          assert.strictEqual(reply.headers["content-type"], "text/plain")
          const again = yield* runTask("acme/reverse", { file: moved(before.output) })
          assert.strictEqual((yield* send(HttpClientRequest.get(again.output.file))).text, "forwards")
          assert.strictEqual((yield* del(`/files/${items[1].id}`)).status, 204)
        })
      )
      assert.strictEqual((yield* during({ dataDirectory }, send(HttpClientRequest.get(before.uri)))).status, 404)
    }).pipe(Effect.provide(surroundings))
  )

  it.scoped("chats go on where they were", () =>
    Effect.gen(function* () {
      const dataDirectory = yield* directory
      const look = (id: string) => Effect.all([Agents.chat(id), Agents.messages(id)])
      const [id, before] = yield* during(
        { dataDirectory },
        Effect.gen(function* () {
          const { chatId } = yield* Agents.say("hi", Agents.config({ system_prompt: "be kind" }))
          yield* Agents.untilIdle(chatId)
          yield* post(`/chats/${chatId}`, { name: "renamed" })
          const gone = yield* Agents.say("forget me")
          yield* del(`/chats/${gone.chatId}`)
          return [chatId, yield* look(chatId)] as const
        })
      )
      assert.deepStrictEqual(before[1].map(Agents.textOf), ["hi", "hi"])
      assert.strictEqual(before[0].name, "renamed")
      yield* during(
        { dataDirectory },
        Effect.gen(function* () {
          assert.deepStrictEqual(yield* look(id), before)
          assert.strictEqual((yield* post("/chats/list")).data.items.length, 1)
          yield* post(`/chats/${id}/messages`, { message: "again" })
          yield* Agents.untilIdle(id)
          assert.deepStrictEqual((yield* Agents.messages(id)).map(Agents.textOf), ["hi", "hi", "again", "again"])
          const other = yield* Agents.say("another")
          assert.deepStrictEqual(
            (yield* post("/chats/list")).data.items.map(({ id }: Json) => id),
            [other.chatId, id]
          )
        })
      )
    }).pipe(Effect.provide(surroundings))
  )

  it.scoped("a turn that was under way has failed, and says why, and its chat takes another message", () =>
    Effect.gen(function* () {
      const dataDirectory = yield* directory
      const id = yield* beforeKill(
        { dataDirectory },
        Effect.gen(function* () {
          const { chatId } = yield* Agents.say("wait")
          yield* post(`/chats/${chatId}/messages`, { message: "queued" })
          yield* Agents.until(Agents.chat(chatId), ({ active_run }) => active_run.state === "working")
          return chatId
        })
      )
      yield* during(
        { dataDirectory },
        Effect.gen(function* () {
          const { status, active_run } = yield* Agents.chat(id)
          assert.deepStrictEqual([status, active_run.state], ["idle", "failed"])
          assert.match(active_run.error, /^the server was stopped before the turn had ended/)
          assert.deepStrictEqual(
            (yield* Agents.messages(id)).map(({ role, status }) => `${role} ${status}`),
            ["user ready", "assistant failed", "user cancelled"]
          )
          yield* post(`/chats/${id}/messages`, { message: "go on" })
          yield* Agents.untilIdle(id)
          assert.strictEqual(Agents.textOf((yield* Agents.messages(id)).at(-1)), "go on")
        })
      )
    }).pipe(Effect.provide(surroundings))
  )

  it.scoped("questions of a turn that was under way are not open any more", () =>
    Effect.gen(function* () {
      const dataDirectory = yield* directory
      const asking = Agents.makeModel(() => Agents.calls(Agents.call("ask", { x: 1 })), "acme/asking")
      const serve = LocalServer.layerHttpClient({ dataDirectory, apps: [asking.app] })
      const scope = yield* Effect.acquireRelease(Scope.make(), (scope) => Scope.close(scope, Exit.void))
      const context = yield* Layer.buildWithScope(serve, scope)
      const { chatId, call } = yield* Effect.gen(function* () {
        const { chatId } = yield* Agents.say("ask me", {
          core_app: { ref: "acme/asking" },
          tools: [Agents.clientTool("ask", { require_approval: true })]
        })
        const [call] = yield* Agents.untilPending(chatId)
        const record = Effect.flatMap(FileSystem.FileSystem, (fs) =>
          fs.readFileString(`${dataDirectory}/records/chats/${chatId}.json`)
        )
        yield* Agents.until(record, (text) => text.includes(call.id))
        return { chatId, call }
      }).pipe(Effect.provide(context))
      yield* Effect.gen(function* () {
        const { status, pending_interrupts } = yield* Agents.chat(chatId)
        assert.deepStrictEqual([status, pending_interrupts], ["idle", []])
        assert.deepStrictEqual(yield* Agents.pending(chatId), [])
        assert.strictEqual((yield* post(`/tools/${call.id}`, { result: "late" })).status, 409)
      }).pipe(Effect.provide(serve))
    }).pipe(Effect.provide(surroundings))
  )

  it.scoped("there are no more tasks than are to be remembered, nor records of them", () =>
    Effect.gen(function* () {
      const dataDirectory = yield* directory
      const texts = Effect.map(post("/tasks/list"), ({ data }) => data.items.map(({ output }: Json) => output.text))
      yield* during(
        { dataDirectory, maxTasks: 3 },
        Effect.forEach(["a", "b", "c", "d", "e"], (text) => runTask("acme/echo", { text }))
      )
      assert.strictEqual((yield* recordsIn(dataDirectory, "tasks")).length, 3)
      assert.deepStrictEqual(yield* during({ dataDirectory, maxTasks: 2 }, texts), ["e", "d"])
      assert.strictEqual((yield* recordsIn(dataDirectory, "tasks")).length, 2)
      yield* during(
        { dataDirectory },
        Effect.flatMap(post("/tasks/list"), ({ data }) => del(`/tasks/${data.items[0].id}`))
      )
      assert.deepStrictEqual(yield* during({ dataDirectory }, texts), ["d"])
    }).pipe(Effect.provide(surroundings))
  )

  it.scoped("files that are no records are left alone, and told of", () =>
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const dataDirectory = yield* directory
      const tasks = `${dataDirectory}/records/tasks`
      yield* during({ dataDirectory }, runTask("acme/echo", { text: "a" }))
      const [good = ""] = yield* recordsIn(dataDirectory, "tasks")
      const text = yield* fs.readFileString(`${tasks}/${good}`)
      const id = "0".repeat(26)
      const strange = ["notes.txt", `${id}.json`, `${"1".repeat(26)}.json`, `${"2".repeat(26)}.json`]
      yield* fs.writeFileString(`${tasks}/notes.txt`, "not mine")
      yield* fs.writeFileString(`${tasks}/${id}.json`, text.slice(0, 50))
      yield* fs.writeFileString(`${tasks}/${"1".repeat(26)}.json`, text)
      yield* fs.writeFileString(`${tasks}/${"2".repeat(26)}.json`, JSON.stringify({ ...JSON.parse(text), status: 7 }))
      yield* fs.writeFileString(`${tasks}/${good}.part`, "half")
      const [items, warned] = yield* warnings(
        during(
          { dataDirectory },
          Effect.map(post("/tasks/list"), ({ data }) => data.items)
        )
      )
      assert.strictEqual(items.length, 1)
      assert.deepStrictEqual(
        warned.map((line) => strange.find((name) => line.includes(name))).sort(),
        strange.toSorted()
      )
      assert.sameMembers(yield* recordsIn(dataDirectory, "tasks"), [good, ...strange])
    }).pipe(Effect.provide(surroundings))
  )
})

describe("a server with a data directory", () => {
  const withRename = (
    dataDirectory: string,
    rename: (fs: FileSystem.FileSystem) => FileSystem.FileSystem["rename"],
    options: Options = {}
  ) =>
    Layer.provide(
      start({ ...options, dataDirectory }),
      Layer.effect(
        FileSystem.FileSystem,
        Effect.map(FileSystem.FileSystem, (fs) => ({ ...fs, rename: rename(fs) }))
      )
    )

  it.scoped("records the end of a task before anybody is told of it", () =>
    Effect.gen(function* () {
      const dataDirectory = yield* directory
      const reached = yield* Deferred.make<void>()
      const go = yield* Deferred.make<void>()
      let renames = 0
      const slow = withRename(dataDirectory, (fs) => (from, to) => {
        const rename = fs.rename(from, to)
        // The first is that of the task as it was received.
        return ++renames === 2
          ? Deferred.succeed(reached, undefined).pipe(Effect.zipRight(Deferred.await(go)), Effect.zipRight(rename))
          : rename
      })
      yield* Effect.gen(function* () {
        const id = yield* submit("acme/echo", { text: "a" })
        yield* Deferred.await(reached)
        assert.strictEqual((yield* task(id)).status_text, "running")
        // Whatever else happens to the task, its first end counts.
        yield* post(`/tasks/${id}/cancel`)
        yield* post(`/tasks/${id}/visibility`, { visibility: "public" }).pipe(Effect.fork)
        yield* Deferred.succeed(go, undefined)
        const ended = yield* Agents.until(task(id), ({ status_text }) => status_text === "completed")
        assert.deepStrictEqual(ended.output, { text: "a" })
      }).pipe(Effect.provide(slow))
    }).pipe(Effect.provide(surroundings))
  )

  it.scoped("records the end of a turn before anybody is told of it", () =>
    Effect.gen(function* () {
      const dataDirectory = yield* directory
      const reached = yield* Deferred.make<void>()
      const go = yield* Deferred.make<void>()
      const slow = withRename(
        dataDirectory,
        (fs) => (from, to) =>
          Effect.flatMap(fs.readFileString(from), (text) => {
            const ends = /"state":"completed"/.test(text)
            return (
              ends ? Effect.zipRight(Deferred.succeed(reached, undefined), Deferred.await(go)) : Effect.void
            ).pipe(Effect.zipRight(fs.rename(from, to)))
          })
      )
      yield* Effect.gen(function* () {
        const { chatId } = yield* Agents.say("hi")
        yield* Deferred.await(reached)
        assert.strictEqual((yield* Agents.chat(chatId)).status, "busy")
        yield* Deferred.succeed(go, undefined)
        yield* Agents.untilIdle(chatId)
      }).pipe(Effect.provide(slow))
    }).pipe(Effect.provide(surroundings))
  )

  it.scoped("goes on where the disk fails, and warns", () =>
    Effect.gen(function* () {
      const dataDirectory = yield* directory
      const fs = yield* FileSystem.FileSystem
      const full = withRename(dataDirectory, () => (from) => fs.rename(from, "/nowhere/at/all"))
      const [run, warned] = yield* warnings(Effect.provide(runTask("acme/echo", { text: "a" }), full))
      assert.strictEqual(run.status_text, "completed")
      assert.strictEqual(warned.length, 2)
      assert.match(warned[0] ?? "", /^could not keep .*\.json: it will be lost at a restart/)
      assert.deepStrictEqual(yield* recordsIn(dataDirectory, "tasks"), [])
    }).pipe(Effect.provide(surroundings))
  )

  it.scoped("says so where there can be none", () =>
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const dataDirectory = yield* directory
      yield* fs.writeFileString(`${dataDirectory}/records`, "in the way")
      const error = yield* Effect.flip(Layer.build(start({ dataDirectory })))
      assert.strictEqual(error._tag, "FileError")
      assert.include(error.message, `${dataDirectory}/records/files`)
    }).pipe(Effect.provide(surroundings))
  )

  it.scoped("loses no task that ended, and ends those that did not, when it is killed", () =>
    Effect.gen(function* () {
      const dataDirectory = yield* directory
      const killed = yield* Deferred.make<{ readonly done: ReadonlyArray<string>; readonly running: Json }>()
      yield* Effect.scoped(
        Effect.gen(function* () {
          const server = yield* serveApps({ dataDirectory })
          yield* Effect.gen(function* () {
            const early = yield* Effect.forEach([1, 2, 3], (n) => runTask("test/echo", { n }))
            const running = yield* Effect.forEach(Array.from({ length: 100 }), () => submit("test/never", {}), {
              concurrency: 16
            })
            yield* Agents.until(task(running.at(-1) ?? ""), ({ status_text }) => status_text === "running")
            // Until the process is gone, tasks end: what of them a client sees must not be lost.
            const done = early.map(({ id }) => id as string)
            const more = yield* Effect.forever(
              Effect.map(runTask("test/echo", { n: done.length }), ({ id }) => void done.push(id))
            ).pipe(Effect.ignore, Effect.fork)
            yield* Agents.until(
              Effect.sync(() => done.length),
              (length) => length > 20
            )
            yield* server.stop("SIGKILL")
            yield* Fiber.await(more)
            yield* Deferred.succeed(killed, { done, running })
          }).pipe(Effect.provide(server.client))
        })
      )
      const { done, running } = yield* Deferred.await(killed)
      const server = yield* serveApps({ dataDirectory })
      yield* Effect.gen(function* () {
        for (const id of done) {
          const { status_text, input, output } = yield* task(id)
          assert.deepStrictEqual([status_text, output], ["completed", input])
        }
        for (const id of running) {
          const { status_text, error } = yield* task(id)
          assert.deepStrictEqual([status_text, error], ["failed", reason])
        }
        assert.strictEqual((yield* runTask("test/echo", { n: 0 })).status_text, "completed")
      }).pipe(Effect.provide(server.client))
    }).pipe(Effect.scoped, Effect.provide(surroundings))
  )
})

it.scoped("a server without a data directory keeps nothing", () =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const parent = yield* directory
    const watched = Layer.succeed(FileSystem.FileSystem, {
      ...fs,
      makeTempDirectoryScoped: () => fs.makeTempDirectoryScoped({ directory: parent })
    })
    yield* Effect.gen(function* () {
      yield* runTask("acme/echo", { text: "a" })
      yield* Agents.say("hi")
      const made = yield* fs.readDirectory(parent, { recursive: true })
      assert.strictEqual(made.length, 1)
    }).pipe(Effect.provide(Layer.provide(start({}), watched)))
    assert.deepStrictEqual(yield* fs.readDirectory(parent), [])
  }).pipe(Effect.provide(surroundings))
)
