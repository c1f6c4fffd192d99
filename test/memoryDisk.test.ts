import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as NodeContext from "@effect/platform-node/NodeContext"
import { assert, describe, it } from "@effect/vitest"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as FastCheck from "effect/FastCheck"
import * as Stream from "effect/Stream"
import * as MemoryDisk from "../src/internal/test/memoryDisk.js"

type Operation = (
  fs: FileSystem.FileSystem,
  at: (name: string) => string
) => Effect.Effect<unknown, { readonly _tag: string }>

const name = FastCheck.constantFrom("a", "b", "a/a", "a/b", "b/a", "a/a/a", "c")
const bytes = FastCheck.uint8Array({ maxLength: 20 })
const flag = FastCheck.constantFrom<FileSystem.OpenFlag>("w", "a", "wx", "r+")

const operation: FastCheck.Arbitrary<readonly [label: string, Operation]> = FastCheck.oneof(
  FastCheck.tuple(name, bytes, flag).map(([name, bytes, flag]): readonly [string, Operation] => [
    `write ${name} ${flag}`,
    (fs, at) => fs.writeFile(at(name), bytes, { flag })
  ]),
  FastCheck.tuple(
    name,
    FastCheck.array(FastCheck.uint8Array({ minLength: 1, maxLength: 20 }), { maxLength: 4 }),
    flag
  ).map(([name, parts, flag]): readonly [string, Operation] => [
    `sink ${name} ${flag}`,
    (fs, at) => Stream.run(Stream.fromIterable(parts), fs.sink(at(name), { flag }))
  ]),
  FastCheck.tuple(name, FastCheck.boolean()).map(([name, recursive]): readonly [string, Operation] => [
    `makeDirectory ${name} ${recursive}`,
    (fs, at) => Effect.asVoid(fs.makeDirectory(at(name), { recursive }))
  ]),
  FastCheck.tuple(name, FastCheck.boolean(), FastCheck.boolean()).map(
    ([name, recursive, force]): readonly [string, Operation] => [
      `remove ${name} ${recursive} ${force}`,
      (fs, at) => fs.remove(at(name), { recursive, force })
    ]
  ),
  name.map((name): readonly [string, Operation] => [
    `stream ${name}`,
    (fs, at) =>
      Effect.map(Stream.runCollect(fs.stream(at(name), { chunkSize: 7 })), (parts) =>
        Chunk.toReadonlyArray(parts).flatMap((part) => Array.from(part))
      )
  ]),
  name.map((name): readonly [string, Operation] => [
    `stat ${name}`,
    (fs, at) => Effect.map(fs.stat(at(name)), ({ type, size }) => (type === "File" ? Number(size) : type))
  ]),
  FastCheck.tuple(name, FastCheck.boolean()).map(([name, recursive]): readonly [string, Operation] => [
    `readDirectory ${name}`,
    (fs, at) => Effect.map(fs.readDirectory(at(name), { recursive }), (names) => [...names].sort())
  ]),
  FastCheck.tuple(FastCheck.constantFrom("a", "b", "c"), FastCheck.constantFrom("d", "e")).map(
    ([from, to]): readonly [string, Operation] => [
      `move ${from} ${to} and back`,
      (fs, at) => Effect.zipRight(fs.rename(at(from), at(to)), fs.rename(at(to), at(from)))
    ]
  )
)

/** What each operation gives on a disk, and what there is in the end. */
const story = (operations: ReadonlyArray<readonly [string, Operation]>) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const directory = yield* fs.makeTempDirectoryScoped()
    const at = (name: string) => path.join(directory, name)
    const results: Array<unknown> = []
    for (const [label, operation] of operations) {
      const result = yield* Effect.either(operation(fs, at))
      results.push([label, Either.isRight(result) ? (result.right ?? "done") : "refused"])
    }
    const names = [...(yield* fs.readDirectory(directory, { recursive: true }))].sort()
    const contents = yield* Effect.forEach(names, (name) =>
      Effect.orElseSucceed(
        Effect.map(fs.readFile(at(name)), (bytes) => Array.from(bytes)),
        () => "directory"
      )
    )
    return { results, names, contents }
  }).pipe(Effect.scoped)

describe("a disk in memory", () => {
  it.effect("does what a real one does", () =>
    Effect.promise(() =>
      FastCheck.assert(
        FastCheck.asyncProperty(FastCheck.array(operation, { maxLength: 25 }), async (operations) => {
          const inMemory = await Effect.runPromise(Effect.provide(story(operations), MemoryDisk.layer))
          const real = await Effect.runPromise(Effect.provide(story(operations), NodeContext.layer))
          assert.strictEqual(JSON.stringify(inMemory), JSON.stringify(real))
        }),
        { numRuns: 150 }
      )
    )
  )

  it.scoped("removes temporary files and directories with their scope", () =>
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const made = yield* Effect.scoped(
        Effect.gen(function* () {
          const file = yield* fs.makeTempFileScoped({ suffix: ".txt" })
          const directory = yield* fs.makeTempDirectoryScoped({ prefix: "some-" })
          yield* fs.writeFileString(`${directory}/a`, "a")
          assert.isTrue(yield* fs.exists(file))
          assert.match(file, /\.txt$/)
          return [file, directory]
        })
      )
      for (const name of made) assert.isFalse(yield* fs.exists(name))
    }).pipe(Effect.provide(MemoryDisk.layer))
  )
})
