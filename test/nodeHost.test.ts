import { readFile, rm, writeFile } from "node:fs/promises"
import { basename, dirname, join } from "node:path"
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import * as FileSystem from "@effect/platform/FileSystem"
import * as NodeContext from "@effect/platform-node/NodeContext"
import { assert, describe, it } from "@effect/vitest"
import { File as PlatformFile } from "@inferencesh/app"
import * as Chunk from "effect/Chunk"
import * as ConfigProvider from "effect/ConfigProvider"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as App from "effect-inferencesh/App"
import * as BaseApp from "effect-inferencesh/BaseApp"
import * as File from "effect-inferencesh/File"
import * as Files from "effect-inferencesh/Files"
import * as InferenceError from "effect-inferencesh/InferenceError"
import * as NodeInference from "effect-inferencesh/NodeInference"
import type * as NodeModule from "effect-inferencesh/NodeModule"
import * as OutputMeta from "effect-inferencesh/OutputMeta"
import * as Tasks from "effect-inferencesh/Tasks"
import { z } from "zod"
import { mapFiles } from "../src/internal/server/mapFiles.js"
import * as Apps from "./support/apps.js"

interface Written extends NodeModule.Any {
  readonly events: Array<string>
}

// As published apps are: JavaScript, of whose types nothing is known.
const written: Written = await import(new URL("./support/nodeApp/inference.js", import.meta.url).href)

const { events } = written

const untyped: NodeModule.Any = written

const hosted = BaseApp.fromNodeModule("acme/written", untyped)

const last = <A, E, R>(stream: Stream.Stream<A, E, R>) => Effect.map(Stream.runLast(stream), Option.getOrThrow)

const until = (event: string) => Effect.repeat(Effect.sleep(1), { until: () => events.includes(event) })

/** The steps of a test: what happened is forgotten before each. */
const fresh = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.suspend(() => {
    events.length = 0
    return effect
  })

const failure = (error: unknown) => {
  assert.instanceOf(error, InferenceError.AppFailed)
  return error
}

const start = (config: unknown = {}) => BaseApp.start(hosted, config)

describe("fromNodeModule", () => {
  it("finds the functions of the module", () => {
    const names = ["run", "reverse", "lazy", "address", "count", "wait", "to_upper", "echo"]
    assert.deepStrictEqual(Object.keys(hosted.app.functions), names)
    class Nothing {}
    assert.throws(() => BaseApp.fromNodeModule("acme/none", { App: Nothing }), /RunInput/)
  })

  it.effect("tells the JSON Schemas that zod offers", () =>
    Effect.gen(function* () {
      const { input, setup, functions } = yield* BaseApp.jsonSchemas(hosted)
      assert.deepStrictEqual(input.required, ["text"])
      const properties = input.properties
      assert.deepStrictEqual(properties, {
        text: { type: "string", minLength: 1, description: "What to repeat" },
        times: { type: "integer", minimum: 1, maximum: Number.MAX_SAFE_INTEGER, default: 2 },
        mode: { type: "string", enum: ["plain", "loud"] }
      })
      assert.include(JSON.stringify(setup), '"default":"small"')
      assert.deepStrictEqual(functions.lazy?.input.properties, {
        file: { type: "string", format: "file", description: "A text" }
      })
    })
  )

  it.effect("tells them in the form of published ones: all is inline, and objects are open", () =>
    Effect.gen(function* () {
      const Size = z.object({ w: z.number().default(1) }).meta({ id: "Size", description: "A size" })
      const Tree = z.object({
        name: z.string(),
        get children() {
          return z.array(Tree)
        }
      })
      const module = {
        App: class {
          run() {}
        },
        RunInput: Tree,
        RunOutput: z.strictObject({
          length: z.string().transform((text) => text.length),
          size: Size.optional(),
          other: Size.describe("The other"),
          tree: Tree,
          pet: z.discriminatedUnion("kind", [
            z.object({ kind: z.literal("cat"), size: Size }),
            z.object({ kind: z.literal("dog") })
          ]),
          pair: z.tuple([Size, z.literal(1)]),
          record: z.record(z.string(), Size),
          const: z.string().meta({ examples: [{ const: 1 }] }),
          $ref: z.string()
        })
      }
      const { input, output } = yield* BaseApp.jsonSchemas(BaseApp.fromNodeModule("acme/rich", module))
      const size = { type: "object", properties: { w: { type: "number", default: 1 } }, description: "A size" }
      const tree = {
        type: "object",
        properties: { name: { type: "string" }, children: { type: "array", items: { type: "object" } } },
        required: ["name", "children"]
      }
      assert.deepStrictEqual(input, tree)
      assert.deepStrictEqual(output, {
        type: "object",
        properties: {
          length: { type: "string" },
          size,
          other: { ...size, description: "The other" },
          tree,
          pet: {
            oneOf: [
              {
                type: "object",
                properties: { kind: { type: "string", enum: ["cat"] }, size },
                required: ["kind", "size"]
              },
              { type: "object", properties: { kind: { type: "string", enum: ["dog"] } }, required: ["kind"] }
            ]
          },
          pair: {
            type: "array",
            prefixItems: [size, { type: "number", enum: [1] }],
            items: false,
            minItems: 2,
            maxItems: 2
          },
          record: { type: "object", propertyNames: { type: "string" }, additionalProperties: size },
          const: { type: "string", examples: [{ const: 1 }] },
          $ref: { type: "string" }
        },
        required: ["length", "other", "tree", "pet", "pair", "record", "const", "$ref"]
      })
    })
  )

  it.effect("allows anything where the schemas tell none", () =>
    Effect.gen(function* () {
      const plain = {
        App: class {
          run(input: unknown) {
            return Promise.resolve(input)
          }
        },
        RunInput: { safeParseAsync: (data: unknown) => Promise.resolve({ success: true, data }) },
        RunOutput: { safeParseAsync: (data: unknown) => Promise.resolve({ success: true, data }) }
      }
      const { input } = yield* BaseApp.jsonSchemas(BaseApp.fromNodeModule("acme/plain", plain))
      assert.deepStrictEqual(input, {})
    })
  )

  it.scoped("validates and completes inputs by the schemas of the module", () =>
    fresh(
      Effect.gen(function* () {
        const app = yield* start()
        assert.deepInclude(yield* last(app.runEncoded({ text: "ab" })), { text: "abab", model: "small" })
        assert.deepInclude(yield* last(app.run({ text: "ab", times: 1, mode: "loud" })), { text: "AB" })
        for (const run of [app.runEncoded, app.run]) {
          const error = failure(yield* Effect.flip(last(run({ text: 1, times: 0 }))))
          assert.strictEqual(error.phase, "input")
          assert.match(error.detail, /text: .*times: /)
        }
      })
    )
  )

  it.scoped("fails with what the function throws", () =>
    fresh(
      Effect.gen(function* () {
        const app = yield* start()
        const error = failure(yield* Effect.flip(last(app.runEncoded({ text: "fail" }))))
        assert.strictEqual(error.phase, "run")
        assert.strictEqual(error.detail, "no luck")
        const unknown = failure(yield* Effect.flip(last(app.runEncoded({}, { function: "nope" }))))
        assert.strictEqual(unknown.phase, "input")
      })
    )
  )

  it.effect("is set up with validated parameters, and unloaded once", () =>
    fresh(
      Effect.gen(function* () {
        yield* Effect.scoped(
          Effect.zipRight(
            start({ model: "large" }),
            Effect.sync(() => events.push("used"))
          )
        )
        assert.deepStrictEqual(events.splice(0), ["setup large", "used", "unload"])
        const failed = failure(yield* Effect.flip(Effect.scoped(start({ model: "huge", fail: true }))))
        assert.strictEqual(failed.phase, "setup")
        assert.strictEqual(failed.detail, "no model huge")
        assert.deepStrictEqual(events.splice(0), ["setup huge"])
        const odd = failure(yield* Effect.flip(Effect.scoped(start({ model: 1 }))))
        assert.strictEqual(odd.phase, "setup")
        assert.include(odd.detail, "model")
        assert.deepStrictEqual(events, [])
      })
    )
  )

  it.scoped("emits each value of a generator", () =>
    fresh(
      Effect.gen(function* () {
        const app = yield* start()
        const counts = yield* Stream.runCollect(app.runEncoded({ to: 3 }, { function: "count" }))
        assert.deepStrictEqual(Chunk.toReadonlyArray(counts), [{ count: 1 }, { count: 2 }, { count: 3 }])
        yield* Stream.runDrain(Stream.take(app.runEncoded({ to: 3 }, { function: "count" }), 1))
        assert.deepStrictEqual(events, ["setup small", "count ended", "onCancel", "count ended"])
      })
    )
  )

  it.live("asks the function to stop when it is interrupted, and waits for it", () =>
    Effect.scoped(
      fresh(
        Effect.gen(function* () {
          const app = yield* start()
          for (const [how, ended] of [
            ["polite", "wait stopped"],
            ["generator", "ticks ended"]
          ] as const) {
            events.length = 0
            const fiber = yield* Effect.fork(last(app.runEncoded({ how }, { function: "wait" })))
            yield* until(`wait ${how}`)
            yield* Fiber.interrupt(fiber)
            assert.deepStrictEqual(events, [`wait ${how}`, "onCancel", ended])
          }
          // The next run is not cancelled.
          assert.deepInclude(yield* last(app.runEncoded({ text: "ab" })), { text: "abab" })
        })
      )
    )
  )

  it.live("leaves a function to itself that does not stop", () =>
    Effect.scoped(
      fresh(
        Effect.gen(function* () {
          const patient = BaseApp.fromNodeModule("acme/written", untyped, { cancelTimeout: "20 millis" })
          const app = yield* BaseApp.start(patient, {})
          const fiber = yield* Effect.fork(last(app.runEncoded({ how: "stubborn" }, { function: "wait" })))
          yield* until("wait stubborn")
          yield* Fiber.interrupt(fiber)
          assert.deepStrictEqual(events, ["setup small", "wait stubborn", "onCancel"])
        })
      )
    )
  )

  it.live("gives no more runs to an instance in which one did not stop", () =>
    Effect.gen(function* () {
      const seen: Array<string> = []
      let instances = 0
      const module = {
        App: class {
          readonly id = ++instances
          async run({ waits }: { readonly waits: boolean }) {
            seen.push(`run ${this.id}`)
            return waits ? new Promise(() => {}) : {}
          }
          async unload() {
            seen.push(`unload ${this.id}`)
          }
        },
        RunInput: z.object({ waits: z.boolean() }),
        RunOutput: z.object({})
      }
      const apps = [BaseApp.fromNodeModule("acme/stubborn", module, { cancelTimeout: "20 millis" })]
      yield* Effect.gen(function* () {
        const { id } = yield* Tasks.submit("acme/stubborn", { input: { waits: true } })
        yield* Effect.repeat(Effect.sleep(1), { until: () => seen.includes("run 1") })
        yield* Tasks.cancel(id)
        for (const _ of [1, 2]) yield* Tasks.run("acme/stubborn", { input: { waits: false } })
      }).pipe(Effect.provide(NodeInference.layerLocal({ apps })))
      assert.deepStrictEqual(seen, ["run 1", "unload 1", "run 2", "run 2", "unload 2"])
    })
  )

  it.live("does not take back from a function that it was cancelled when the next one runs", () =>
    Effect.gen(function* () {
      const seen: Array<unknown> = []
      let goOn = () => {}
      const gate = new Promise<void>((resolve) => {
        goOn = resolve
      })
      class Patient {
        declare context: { readonly cancelRequested: boolean }
        async run({ waits }: { readonly waits: boolean }) {
          if (waits) {
            seen.push("waits")
            await gate
          }
          seen.push(this.context.cancelRequested)
          return {}
        }
      }
      const RunInput = z.object({ waits: z.boolean() })
      const module = { App: Patient, RunInput, RunOutput: z.object({}) }
      const app = yield* BaseApp.start(BaseApp.fromNodeModule("acme/patient", module, { cancelTimeout: "20 millis" }))
      const fiber = yield* Effect.fork(last(app.run({ waits: true })))
      yield* Effect.repeat(Effect.sleep(1), { until: () => seen.includes("waits") })
      yield* Fiber.interrupt(fiber)
      yield* last(app.run({ waits: false }))
      assert.deepStrictEqual(seen, ["waits", false])
      goOn()
      yield* Effect.promise(() => gate)
      assert.deepStrictEqual(seen, ["waits", false, true])
    }).pipe(Effect.scoped)
  )

  it.effect("leaves its context to an app that has one of its own", () =>
    Effect.gen(function* () {
      const module = {
        App: class {
          declare context: unknown
          async setup() {
            this.context = { page: 1 }
          }
          async run() {
            return { context: this.context }
          }
        },
        RunInput: z.object({}),
        RunOutput: z.object({ context: z.any() })
      }
      const app = yield* BaseApp.start(BaseApp.fromNodeModule("acme/browses", module))
      assert.deepStrictEqual(yield* last(app.run({})), { context: { page: 1 } })
    }).pipe(Effect.scoped)
  )

  it.live("lets an app reset its context, and still tells it of a cancellation", () =>
    Effect.gen(function* () {
      let runs = 0
      const module = {
        App: class {
          declare context: { cancelRequested: boolean }
          async run() {
            this.context = { cancelRequested: false }
            runs++
            while (!this.context.cancelRequested) await new Promise((resolve) => setTimeout(resolve, 1))
            return {}
          }
        },
        RunInput: z.object({}),
        RunOutput: z.object({})
      }
      const app = yield* BaseApp.start(BaseApp.fromNodeModule("acme/resets", module, { cancelTimeout: "1 hour" }))
      const fiber = yield* Effect.fork(last(app.run({})))
      yield* Effect.repeat(Effect.sleep(1), { until: () => runs > 0 })
      yield* Fiber.interrupt(fiber)
    }).pipe(Effect.scoped)
  )

  it.live.each(["setup", "an earlier run"])("tells work that was begun in %s of a cancellation", (begun) =>
    Effect.gen(function* () {
      let runs = 0
      const tick = () => new Promise((resolve) => setTimeout(resolve, 1))
      class Worker {
        declare context: { readonly cancelRequested: boolean }
        jobs: Array<(stopped: boolean) => void> = []
        isOpen = true
        async setup() {
          if (begun === "setup") this._work()
        }
        async _work() {
          while (this.isOpen) {
            await tick()
            if (this.context.cancelRequested) for (const end of this.jobs.splice(0)) end(true)
          }
        }
        async run({ waits }: { readonly waits: boolean }) {
          runs++
          if (!waits && begun !== "setup") this._work()
          return { stopped: waits && (await new Promise<boolean>((resolve) => this.jobs.push(resolve))) }
        }
        async unload() {
          this.isOpen = false
        }
      }
      const module = {
        App: Worker,
        RunInput: z.object({ waits: z.boolean() }),
        RunOutput: z.object({ stopped: z.boolean() })
      }
      const app = yield* BaseApp.start(BaseApp.fromNodeModule("acme/worker", module, { cancelTimeout: "1 hour" }))
      yield* last(app.run({ waits: false }))
      const fiber = yield* Effect.fork(last(app.run({ waits: true })))
      yield* Effect.repeat(Effect.sleep(1), { until: () => runs > 1 })
      yield* Fiber.interrupt(fiber)
    }).pipe(Effect.scoped)
  )

  it.live("leaves a module to itself that does not unload", () =>
    Effect.gen(function* () {
      const stuck = BaseApp.fromNodeModule(
        "acme/stuck",
        {
          App: class {
            async run() {
              return {}
            }
            unload() {
              return new Promise(() => {})
            }
          },
          RunInput: z.object({}),
          RunOutput: z.object({})
        },
        { cancelTimeout: "20 millis" }
      )
      assert.deepStrictEqual(yield* Effect.scoped(Effect.flatMap(BaseApp.start(stuck), (app) => last(app.run({})))), {})
    })
  )

  /** A module of which the first setup ends when `end` is called, if ever. */
  const slow = () => {
    const seen: Array<string> = []
    let end = () => {}
    const first = new Promise<void>((resolve) => {
      end = resolve
    })
    let isFirst = true
    const module = {
      App: class {
        async setup() {
          seen.push("setup")
          if (isFirst) {
            isFirst = false
            await first
          }
        }
        async run() {
          return {}
        }
        async onCancel() {
          seen.push("onCancel")
        }
        async unload() {
          seen.push("unload")
        }
      },
      RunInput: z.object({}),
      RunOutput: z.object({})
    }
    return {
      app: (cancelTimeout: Duration.DurationInput) => BaseApp.fromNodeModule("acme/slow", module, { cancelTimeout }),
      seen,
      has: (event: string) => Effect.repeat(Effect.sleep(1), { until: () => seen.includes(event) }),
      end: Effect.sync(() => end())
    }
  }

  it.live("leaves a module to itself whose setup does not end, and unloads it should it end later", () =>
    Effect.gen(function* () {
      const { app, seen, has, end } = slow()
      const fiber = yield* Effect.fork(Effect.scoped(BaseApp.start(app("20 millis"))))
      yield* has("setup")
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual(seen, ["setup", "onCancel"])
      yield* end
      yield* has("unload")
      assert.deepStrictEqual(seen, ["setup", "onCancel", "unload"])
    })
  )

  it.live("unloads a module whose setup ends while it is interrupted", () =>
    Effect.gen(function* () {
      const { app, seen, has, end } = slow()
      const fiber = yield* Effect.fork(Effect.scoped(BaseApp.start(app("1 hour"))))
      yield* has("setup")
      yield* Fiber.interruptFork(fiber)
      yield* has("onCancel")
      yield* end
      yield* Fiber.await(fiber)
      assert.deepStrictEqual(seen, ["setup", "onCancel", "unload"])
    })
  )

  it.live("does not hold up the server with a setup that does not end", () =>
    Effect.gen(function* () {
      const { app, seen, has } = slow()
      yield* Effect.gen(function* () {
        const { id } = yield* Tasks.submit("acme/slow", { input: {} })
        yield* has("setup")
        yield* Tasks.cancel(id)
        const cancelled = yield* Effect.flip(Tasks.waitForCompletion(id))
        assert.instanceOf(cancelled, InferenceError.TaskCancelled)
        assert.deepStrictEqual((yield* Tasks.run("acme/slow", { input: {} })).output, {})
      }).pipe(Effect.provide(NodeInference.layerLocal({ apps: [app("20 millis")] })))
      assert.deepStrictEqual(seen, ["setup", "onCancel", "setup", "unload"])
    })
  )

  it.live("loads one instance for the same setup, with its defaults spelled out or not", () =>
    fresh(
      Effect.gen(function* () {
        for (const setup of [undefined, {}, { model: "small" }]) {
          yield* Tasks.run("acme/written", { input: { text: "a" }, ...(setup && { setup }) })
        }
        assert.deepStrictEqual(events, ["setup small"])
        yield* Tasks.run("acme/written", { input: { text: "a" }, setup: { model: "large" } })
        assert.deepStrictEqual(events, ["setup small", "setup large"])
      }).pipe(Effect.provide(NodeInference.layerLocal({ apps: [hosted] })))
    )
  )

  it.live("tells apart setups that its schema makes into what is no JSON, and parses them once", () =>
    Effect.gen(function* () {
      const seen: Array<ReadonlyMap<string, string>> = []
      const module = {
        App: class {
          async setup({ names }: { readonly names: ReadonlyMap<string, string> }) {
            seen.push(names)
          }
          async run() {
            return {}
          }
        },
        AppSetup: z.object({ names: z.string().transform((name) => new Map([[name, name]])) }),
        RunInput: z.object({}),
        RunOutput: z.object({})
      }
      const apps = [BaseApp.fromNodeModule("acme/maps", module)]
      yield* Effect.gen(function* () {
        for (const names of ["a", "b"]) yield* Tasks.run("acme/maps", { input: {}, setup: { names } })
      }).pipe(Effect.provide(NodeInference.layerLocal({ apps })))
      assert.deepStrictEqual(seen, [new Map([["a", "a"]]), new Map([["b", "b"]])])
    })
  )

  it.live("gives an address to the fields that insist on one, and paths to the others", () =>
    Effect.gen(function* () {
      const seen: Array<{ readonly path: string; readonly address: string }> = []
      const module = {
        App: class {
          async run({ files }: { readonly files: ReadonlyArray<{ readonly path: string; readonly address: string }> }) {
            seen.push(...files)
            return {}
          }
        },
        RunInput: z.object({ files: z.array(z.object({ path: z.string(), address: z.url() })) }),
        RunOutput: z.object({})
      }
      yield* Effect.gen(function* () {
        const files = [{ path: abc, address: abc }]
        yield* Tasks.run("acme/both", { input: { files } })
        const [file] = seen
        assert.match(file?.path ?? "", /^\/.*abc\.txt$/)
        assert.match(file?.address ?? "", /^https?:.*abc\.txt$/)
      }).pipe(Effect.provide(NodeInference.layerLocal({ apps: [BaseApp.fromNodeModule("acme/both", module)] })))
    })
  )

  it.scoped("takes no path from the caller for a file of the app", () =>
    fresh(
      Effect.gen(function* () {
        const app = yield* start()
        const any = { path: "/etc/hostname", content_type: "text/plain" }
        assert.deepStrictEqual(yield* last(app.runEncoded({ any }, { function: "echo" })), { any })
      })
    )
  )

  const gives = (give: (given: unknown) => unknown, options?: { readonly outputDirectories: ReadonlyArray<string> }) =>
    BaseApp.start(
      BaseApp.fromNodeModule(
        "acme/gives",
        {
          App: class {
            async run({ given }: { readonly given: unknown }) {
              return { result: give(given) }
            }
          },
          RunInput: z.object({ given: z.union([z.string().trim(), z.unknown()]) }),
          RunOutput: z.object({ result: z.any() })
        },
        options
      )
    )

  const givenBy = (
    give: (given: unknown) => unknown,
    given: unknown = "",
    options?: { readonly outputDirectories: ReadonlyArray<string> }
  ) =>
    Effect.flatMap(gives(give, options), (app) => last(app.run({ given }))).pipe(
      Effect.map(({ result }) => result),
      Effect.scoped
    )

  it.effect("gives no file of this machine from elsewhere than where apps put theirs", () =>
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const directory = yield* fs.makeTempDirectoryScoped()
      yield* fs.symlink("/etc/hostname", `${directory}/link`)
      const open = (path: unknown) => PlatformFile.fromPath(String(path))
      for (const [give, given] of [
        [open, "/etc//hostname"],
        [open, " /etc/hostname"],
        [open, `${directory}/../../etc/hostname`],
        [() => PlatformFile.fromPath(`${directory}/link`), ""],
        [() => PlatformFile.fromPath("/etc/hostname"), ""],
        [() => [{ deep: PlatformFile.fromPath("/etc/hostname") }], ""]
      ] as const) {
        const error = failure(yield* Effect.flip(givenBy(give, given)))
        assert.strictEqual(error.phase, "output")
        assert.match(error.detail, /outputDirectories/)
      }
    }).pipe(Effect.scoped, Effect.provide(NodeContext.layer))
  )

  it.effect("gives no file of the working directory", () =>
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const directory = yield* fs.makeTempDirectoryScoped()
      // It may itself be a temporary one.
      const makeTempDirectoryScoped = () => fs.makeTempDirectoryScoped({ directory })
      const given = givenBy(() => PlatformFile.fromPath("package.json")).pipe(
        Effect.provideService(FileSystem.FileSystem, { ...fs, makeTempDirectoryScoped })
      )
      assert.match(failure(yield* Effect.flip(given)).detail, /package\.json.*outputDirectories/)
    }).pipe(Effect.scoped, Effect.provide(NodeContext.layer))
  )

  it.effect("gives the files that are where apps put theirs", () =>
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const directory = yield* fs.makeTempDirectoryScoped()
      yield* fs.writeFileString(`${directory}/a.txt`, "a")
      assert.isTrue(File.isFile(yield* givenBy(() => ({ path: `${directory}/a.txt` }))))
      assert.isTrue(File.isFile(yield* givenBy(() => PlatformFile.fromPath(`${directory}/a.txt`))))
      assert.isTrue(File.isFile(yield* givenBy(() => ({ uri: "data:text/plain,a", filename: "a.txt" }))))
      const etc = { outputDirectories: ["/etc"] }
      assert.isTrue(File.isFile(yield* givenBy(() => ({ path: "/etc/hostname" }), "", etc)))
      const cached = givenBy(() => PlatformFile.fromPath("/opt/cache/a.txt"))
      const config = ConfigProvider.fromMap(new Map([["FILE_CACHE_DIR", "/opt/cache"]]))
      assert.isTrue(File.isFile(yield* Effect.withConfigProvider(cached, config)))
    }).pipe(Effect.scoped, Effect.provide(NodeContext.layer))
  )

  it.effect("finds the files that tell more of themselves than those of the platform", () =>
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const file = PlatformFile.fromPath(yield* fs.makeTempFileScoped())
      const image = Object.assign(file, { toJSON: () => ({ path: file.path, width: 3 }) })
      assert.isTrue(File.isFile(yield* givenBy(() => image)))
    }).pipe(Effect.scoped, Effect.provide(NodeContext.layer))
  )

  it.effect("finds the files in objects of the app's own classes", () =>
    Effect.gen(function* () {
      class Result {
        file
        readonly made = new Date(0)
        constructor(path: string) {
          this.file = PlatformFile.fromPath(path)
        }
      }
      const fs = yield* FileSystem.FileSystem
      const directory = yield* fs.makeTempDirectoryScoped()
      yield* fs.writeFileString(`${directory}/a.txt`, "a")
      const { file, made } = (yield* givenBy(() => new Result(`${directory}/a.txt`))) as Record<string, unknown>
      assert.isTrue(File.isFile(file))
      assert.deepStrictEqual(made, new Date(0))
    }).pipe(Effect.scoped, Effect.provide(NodeContext.layer))
  )

  it.effect("passes on bytes as they are", () =>
    Effect.gen(function* () {
      for (const data of [Buffer.alloc(8), new Float32Array(2), new ArrayBuffer(2), new Blob(["a"])]) {
        // Its bytes would be looked at one by one.
        Object.defineProperty(data, "looked", { get: () => assert.fail("looked into bytes"), enumerable: true })
        assert.strictEqual(
          mapFiles(data, (file) => file),
          data
        )
        const { deep } = (yield* givenBy(() => ({ deep: data }))) as Record<string, unknown>
        assert.strictEqual(deep, data)
      }
    })
  )

  it.effect("fails in the phase output where an output cannot be one", () =>
    Effect.gen(function* () {
      const circular: Record<string, unknown> = {}
      circular.self = circular
      const throwing = {
        toJSON() {
          throw new Error("no JSON")
        }
      }
      const run = (give: () => unknown) =>
        Effect.flip(
          Tasks.run("acme/odd", { input: {} }).pipe(
            Effect.provide(
              NodeInference.layerLocal({
                apps: [
                  BaseApp.fromNodeModule("acme/odd", {
                    App: class {
                      async run() {
                        return give()
                      }
                    },
                    RunInput: z.object({}),
                    RunOutput: z.any()
                  })
                ]
              })
            )
          )
        )
      assert.match((yield* run(() => circular)).message, /output: .*contains itself/)
      assert.match((yield* run(() => throwing)).message, /output: no JSON/)
    })
  )

  it.effect("leaves data as it is that only looks like a file", () =>
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const directory = yield* fs.makeTempDirectoryScoped()
      yield* fs.symlink("/etc/hostname", `${directory}/link`)
      for (const data of [
        { path: "/users/42" },
        { path: "users/42", size: 3 },
        { path: "/etc/hostname" },
        { path: `${directory}/link` },
        { path: directory },
        { path: `${directory}/nothing.txt` },
        { path: `${directory}/a.txt`, method: "GET" },
        { uri: "spotify:track:1" },
        { uri: "file:///etc/hostname" },
        { filename: "a.txt", size: 1 },
        [{ deep: { path: "/users/42" } }]
      ]) {
        assert.deepStrictEqual(yield* givenBy(() => data), data)
      }
    }).pipe(Effect.scoped, Effect.provide(NodeContext.layer))
  )

  it.live("gives no file of the server that hosts it, but for those that it was given", () =>
    Effect.gen(function* () {
      const Peek = z.object({ file: z.string(), other: z.string() })
      const module = {
        App: class {
          async run({ file, other }: z.infer<typeof Peek>) {
            return { result: PlatformFile.fromPath(other === "" ? file : join(dirname(file), other)) }
          }
        },
        RunInput: Peek,
        RunOutput: z.object({ result: z.any() })
      }
      yield* Effect.gen(function* () {
        const own = yield* Tasks.run("acme/peek", { input: { file: abc, other: "" } })
        assert.match(String(Object(own.output).result), /abc\.txt$/)
        const failed = yield* Effect.flip(Tasks.run("acme/peek", { input: { file: abc, other: "../../tasks" } }))
        assert.include(failed.message, "outputDirectories")
      }).pipe(Effect.provide(NodeInference.layerLocal({ apps: [BaseApp.fromNodeModule("acme/peek", module)] })))
    })
  )

  it.live("tells its callers the addresses of files that it was given, and no path of this machine", () =>
    Effect.gen(function* () {
      const module = {
        App: class {
          async run({ file, write }: { readonly file: string; readonly write: boolean }) {
            if (write) await writeFile(file, "written")
            return { text: file, file: PlatformFile.fromPath(file), deep: [{ path: file }] }
          }
        },
        RunInput: z.object({ file: z.string(), write: z.boolean() }),
        RunOutput: z.object({ text: z.string(), file: z.any(), deep: z.any() })
      }
      yield* Effect.gen(function* () {
        const { uri } = yield* Files.upload(abc)
        const { output } = yield* Tasks.run("acme/repeats", { input: { file: uri, write: false } })
        assert.deepStrictEqual(output, { text: uri, file: uri, deep: [uri] })
        const written = yield* Tasks.run("acme/repeats", { input: { file: uri, write: true } })
        const { text, file } = written.output as Record<string, string>
        assert.strictEqual(text, uri)
        const bytes = Files.download(File.fromUri(String(file)))
        assert.strictEqual(yield* Stream.mkString(Stream.decodeText(bytes)), "written")
      }).pipe(Effect.provide(NodeInference.layerLocal({ apps: [BaseApp.fromNodeModule("acme/repeats", module)] })))
    })
  )

  it.live("gives no file of the directory of the server, also where that is among its output directories", () =>
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const directory = yield* fs.makeTempDirectoryScoped()
      const dataDirectory = `${directory}/data`
      const Name = z.object({ name: z.string() })
      const module = {
        App: class {
          async run({ name }: z.infer<typeof Name>) {
            await writeFile(`${directory}/own.txt`, "own")
            return { result: PlatformFile.fromPath(join(directory, name)) }
          }
        },
        RunInput: Name,
        RunOutput: z.object({ result: z.any() })
      }
      const apps = [BaseApp.fromNodeModule("acme/finds", module, { outputDirectories: [directory] })]
      yield* Effect.gen(function* () {
        const { id, filename } = yield* Files.upload(abc)
        const other = { name: `data/files/${id}/${filename}` }
        const failed = yield* Effect.flip(Tasks.run("acme/finds", { input: other }))
        assert.include(failed.message, "outputDirectories")
        const { output } = yield* Tasks.run("acme/finds", { input: { name: "own.txt" } })
        assert.match(String(Object(output).result), /own\.txt$/)
      }).pipe(Effect.provide(NodeInference.layerLocal({ apps, dataDirectory })))
    }).pipe(Effect.scoped, Effect.provide(NodeContext.layer))
  )

  it.live("gives each run files of its own, which it may change and remove", () =>
    Effect.gen(function* () {
      const module = {
        App: class {
          async run({ file, and }: { readonly file: string; readonly and: string }) {
            const text = await readFile(file, "utf8")
            await (and === "remove" ? rm(file) : writeFile(file, "changed"))
            return { text, name: basename(file) }
          }
        },
        RunInput: z.object({ file: z.string(), and: z.string() }),
        RunOutput: z.object({ text: z.string(), name: z.string() })
      }
      yield* Effect.gen(function* () {
        const file = yield* Files.upload(abc)
        for (const and of ["change", "remove", "change"]) {
          const { output } = yield* Tasks.run("acme/keeps", { input: { file, and } })
          assert.deepStrictEqual(output, { text: "abc", name: "abc.txt" })
        }
        assert.strictEqual(yield* Stream.mkString(Stream.decodeText(Files.download(file))), "abc")
      }).pipe(Effect.provide(NodeInference.layerLocal({ apps: [BaseApp.fromNodeModule("acme/keeps", module)] })))
    })
  )

  it.effect("gives back the files that it was given, wherever they are", () =>
    Effect.gen(function* () {
      const echo = (path: unknown) => ({ path })
      assert.isTrue(File.isFile(yield* givenBy(echo, File.fromPath("/etc/hostname"))))
    }).pipe(Effect.provide(NodeContext.layer))
  )

  const Written = App.make("acme/written", {
    functions: {
      run: {
        input: { text: Schema.String },
        output: { text: Schema.String, outputMeta: OutputMeta.field }
      },
      reverse: {
        input: { file: File.File },
        output: { files: Schema.Array(Schema.Struct({ file: File.File })), size: Schema.Int }
      },
      lazy: { input: { file: File.File }, output: { text: Schema.String } },
      address: { input: { file: File.File }, output: { file: Schema.String } },
      count: {
        input: { to: Schema.Int, file: Schema.Boolean },
        output: { count: Schema.Int, picture: Schema.optional(File.File) }
      }
    }
  })

  const local = NodeInference.layerLocal({ apps: [hosted] })

  const abc = File.fromBytes(new TextEncoder().encode("abc"), { filename: "abc.txt" })

  it.live("is called like any other app", () =>
    fresh(
      Effect.gen(function* () {
        const { output } = yield* Tasks.run(Written, { input: { text: "ab" } })
        assert.deepStrictEqual(output, {
          text: "abab",
          outputMeta: OutputMeta.make({
            inputs: [OutputMeta.text({ tokens: 1 })],
            outputs: [OutputMeta.image({ width: 2, height: 1 })]
          })
        })
        const refused = yield* Effect.flip(Tasks.run("acme/written", { input: { text: "" } }))
        assert.instanceOf(refused, InferenceError.InvalidRequest)
        assert.deepStrictEqual(refused.issues[0]?.path, ["input", "text"])
        const failed = yield* Effect.flip(Tasks.run(Written, { input: { text: "fail" } }))
        assert.instanceOf(failed, InferenceError.TaskFailed)
        assert.include(failed.message, "no luck")
      }).pipe(Effect.provide(local))
    )
  )

  it.live("reads the files of inputs, and has those of outputs uploaded", () =>
    fresh(
      Effect.gen(function* () {
        const { output } = yield* Tasks.run(Written, { function: "reverse", input: { file: abc } })
        assert.strictEqual(output.size, 3)
        const [first] = output.files
        assert.match(first?.file.uri ?? "", /^https?:.*\/reversed\.txt$/)
        assert.strictEqual(
          first === undefined ? "" : yield* Stream.mkString(Stream.decodeText(Files.download(first.file))),
          "cba"
        )
        const lazy = yield* Tasks.run(Written, { function: "lazy", input: { file: abc } })
        assert.strictEqual(lazy.output.text, "abc")
        const address = yield* Tasks.run(Written, { function: "address", input: { file: abc } })
        assert.match(address.output.file, /^https?:/)
      }).pipe(Effect.provide(local))
    )
  )

  it.live("stores a file once that stays the same in each partial output", () =>
    fresh(
      Effect.gen(function* () {
        const { output } = yield* Tasks.run(Written, { function: "count", input: { to: 3, file: true } })
        assert.isDefined(output.picture)
        assert.strictEqual(Chunk.size(yield* Stream.runCollect(Files.list())), 1)
      }).pipe(Effect.provide(local))
    )
  )

  it.live("stores a file again that was written to since the last partial output", () =>
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const path = `${yield* fs.makeTempDirectoryScoped()}/a.txt`
      const module = {
        App: class {
          async *run() {
            await writeFile(path, "first")
            const file = PlatformFile.fromPath(path)
            const plain = { path }
            yield { file, plain }
            await writeFile(path, "the second")
            yield { file, plain }
          }
        },
        RunInput: z.object({}),
        RunOutput: z.object({ file: z.any(), plain: z.any() })
      }
      yield* Effect.gen(function* () {
        const { output } = yield* Tasks.run("acme/writes", { input: {} })
        const { file, plain } = output as Record<string, string>
        for (const uri of [file, plain]) {
          const bytes = Files.download(File.fromUri(String(uri)))
          assert.strictEqual(yield* Stream.mkString(Stream.decodeText(bytes)), "the second")
        }
      }).pipe(Effect.provide(NodeInference.layerLocal({ apps: [BaseApp.fromNodeModule("acme/writes", module)] })))
    }).pipe(Effect.scoped, Effect.provide(NodeContext.layer))
  )

  it.live("hosts a module that was made from an app as the app itself", () =>
    Effect.gen(function* () {
      const layer = Layer.mergeAll(NodeContext.layer, FetchHttpClient.layer, Apps.layerJournal)
      const again = <A extends App.Any, R extends Layer.Layer.Success<typeof layer>>(app: BaseApp.BaseApp<A, R>) =>
        BaseApp.fromNodeModule(app.app.name, BaseApp.toNodeModule(app, layer))
      const apps = [
        again(Apps.echo),
        again(Apps.counter),
        again(Apps.reverse),
        again(Apps.arithmetic),
        again(Apps.model),
        again(Apps.failing)
      ]
      yield* Effect.gen(function* () {
        assert.deepStrictEqual((yield* Tasks.run(Apps.Echo, { input: { text: "a", times: 2 } })).output, { text: "aa" })
        const counts = yield* Stream.runCollect(Tasks.runStream(Apps.Counter, { input: { to: 3, every: 5 } }))
        assert.deepStrictEqual(Chunk.toReadonlyArray(counts).at(-1)?.output, { count: 3 })
        const { output } = yield* Tasks.run(Apps.Reverse, { input: { file: abc } })
        assert.strictEqual(output.size, 3)
        assert.match(output.file.uri ?? "", /reversed-abc\.txt$/)
        assert.strictEqual(yield* Stream.mkString(Stream.decodeText(Files.download(output.file))), "cba")
        const sum = yield* Tasks.run(Apps.Arithmetic, { function: "add", input: { a: 1, b: 2 } })
        assert.deepStrictEqual(sum.output, { sum: 3 })
        const model = yield* Tasks.run(Apps.Model, { input: { prompt: "a" }, setup: { name: "large" } })
        assert.deepStrictEqual(model.output, { answer: "large: a", runs: 1 })
        const failed = yield* Effect.flip(Tasks.run(Apps.Failing, { input: { message: "no luck" } }))
        assert.instanceOf(failed, InferenceError.TaskFailed)
        assert.include(failed.message, "no luck")
        // A file of this machine is what the host says it is, and not the caller.
        const stolen = yield* Effect.flip(Tasks.run("acme/reverse", { input: { file: { path: "/etc/hostname" } } }))
        assert.instanceOf(stolen, InferenceError.InvalidRequest)
        assert.deepStrictEqual(stolen.issues[0]?.path, ["input", "file"])
        const stored = yield* Files.upload(abc)
        const named = yield* Tasks.run("acme/reverse", { input: { file: { uri: stored.uri } } })
        assert.propertyVal(named.output, "size", 3)
        const invalid = yield* Effect.flip(Tasks.run("acme/echo", { input: { text: 1 } }))
        assert.instanceOf(invalid, InferenceError.InvalidRequest)
        assert.deepStrictEqual(invalid.issues[0]?.path, ["input", "text"])
      }).pipe(Effect.provide(NodeInference.layerLocal({ apps })))
      assert.deepStrictEqual(yield* BaseApp.jsonSchemas(again(Apps.model)), yield* BaseApp.jsonSchemas(Apps.Model))
    })
  )

  it.scoped("takes no path from the caller for a file where an app takes either", () =>
    Effect.gen(function* () {
      const Either = App.make("acme/either", {
        input: { any: Schema.Union(File.File, Schema.Struct({ path: Schema.String })) },
        output: { isFile: Schema.Boolean }
      })
      const either = BaseApp.make(Either, { run: ({ any }) => Effect.succeed({ isFile: File.isFile(any) }) })
      const again = BaseApp.fromNodeModule("acme/either", BaseApp.toNodeModule(either, NodeContext.layer))
      const app = yield* BaseApp.start(again)
      assert.deepStrictEqual(yield* last(app.runEncoded({ any: { path: "/etc/hostname" } })), { isFile: false })
      assert.deepStrictEqual(yield* last(app.runEncoded({ any: File.fromPath("/etc/hostname") })), { isFile: true })
    })
  )

  it.effect("tells the JSON Schema of a module also where a field has none", () =>
    Effect.gen(function* () {
      const odd = BaseApp.fromNodeModule("acme/odd", {
        App: class {
          run() {}
        },
        RunInput: z.object({ big: z.bigint(), text: z.string() }),
        RunOutput: z.object({})
      })
      const { input } = yield* BaseApp.jsonSchemas(odd)
      assert.deepStrictEqual(input.properties, { big: {}, text: { type: "string" } })
    })
  )

  it.scoped("types its functions as zod does", () =>
    Effect.gen(function* () {
      const shout = BaseApp.fromNodeModule("acme/shout", {
        App: class {
          async run(input: { readonly text: string; readonly times: number }) {
            return { text: input.text.toUpperCase().repeat(input.times) }
          }
        },
        RunInput: z.object({ text: z.string(), times: z.number().default(2) }),
        RunOutput: z.object({ text: z.string() })
      })
      const app = yield* BaseApp.start(shout)
      const output = yield* last(app.run({ text: "a" }))
      assert.strictEqual(output.text, "AA")
    })
  )
})
