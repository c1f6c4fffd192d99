/** A disk in memory: files that a test can read and write, and that are gone with it. */
import { type PlatformError, SystemError, type SystemErrorReason } from "@effect/platform/Error"
import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"

interface Node {
  /** A directory has none. */
  bytes: Uint8Array | undefined
  mtime: number
}

interface FileNode extends Node {
  bytes: Uint8Array
}

const isFile = (node: Node): node is FileNode => node.bytes !== undefined

/** The same bytes in an array of this size. There is room to spare, so that a file that grows is not copied each time. */
const grown = (bytes: Uint8Array, size: number): Uint8Array => {
  if (size <= bytes.buffer.byteLength) return new Uint8Array(bytes.buffer, 0, size)
  const larger = new Uint8Array(Math.max(size, 2 * bytes.length))
  larger.set(bytes)
  return larger.subarray(0, size)
}

const failure = (reason: SystemErrorReason, method: string, path: string, description: string): PlatformError =>
  new SystemError({ module: "FileSystem", reason, method, pathOrDescriptor: path, description })

const descriptions: { readonly [Reason in SystemErrorReason]?: string } = {
  NotFound: "No such file or directory",
  AlreadyExists: "File exists",
  BadResource: "It is a directory"
}

const make = (path: Path.Path): FileSystem.FileSystem => {
  const nodes = new Map<string, Node>([["/", { bytes: undefined, mtime: 0 }]])
  let descriptors = 0
  let temporaries = 0

  const fail = (reason: SystemErrorReason, method: string, name: string) =>
    Effect.fail(failure(reason, method, name, descriptions[reason] ?? reason))

  const at = (name: string) => nodes.get(path.resolve(name))

  /** What is below a directory, however deep. */
  const below = (directory: string): ReadonlyArray<string> => {
    const prefix = directory === "/" ? "/" : `${directory}/`
    return Array.from(nodes.keys()).filter((name) => name !== directory && name.startsWith(prefix))
  }

  const isDirectory = (full: string): boolean => {
    const node = nodes.get(full)
    return node !== undefined && !isFile(node)
  }

  const isBelowFile = (full: string): boolean => {
    const parent = path.dirname(full)
    return parent !== full && (nodes.get(parent)?.bytes !== undefined || isBelowFile(parent))
  }

  const found = (method: string, name: string): Effect.Effect<Node, PlatformError> =>
    Effect.suspend(() => {
      const node = at(name)
      return node === undefined ? fail("NotFound", method, name) : Effect.succeed(node)
    })

  const file = (method: string, name: string): Effect.Effect<FileNode, PlatformError> =>
    Effect.flatMap(found(method, name), (node) =>
      isFile(node) ? Effect.succeed(node) : fail("BadResource", method, name)
    )

  /** A new file in a directory that is there, or the file that is there already. */
  const created = (method: string, name: string) =>
    Effect.gen(function* () {
      const full = path.resolve(name)
      const existing = nodes.get(full)
      if (existing !== undefined) return yield* file(method, name)
      if (!isDirectory(path.dirname(full))) return yield* fail("NotFound", method, name)
      const node: FileNode = { bytes: new Uint8Array(0), mtime: yield* Clock.currentTimeMillis }
      nodes.set(full, node)
      return node
    })

  const touch = (node: Node, bytes: Uint8Array) =>
    Effect.map(Clock.currentTimeMillis, (now) => {
      node.bytes = bytes
      node.mtime = now
    })

  const makeDirectory: FileSystem.FileSystem["makeDirectory"] = (name, { recursive = false } = {}) =>
    Effect.gen(function* () {
      const full = path.resolve(name)
      const existing = nodes.get(full)
      if (existing !== undefined) {
        if (recursive && existing.bytes === undefined) return
        return yield* fail("AlreadyExists", "makeDirectory", name)
      }
      const parent = path.dirname(full)
      if (recursive) yield* makeDirectory(parent, { recursive })
      else if (!isDirectory(parent)) return yield* fail("NotFound", "makeDirectory", name)
      nodes.set(full, { bytes: undefined, mtime: yield* Clock.currentTimeMillis })
    })

  const remove: FileSystem.FileSystem["remove"] = (name, { recursive = false, force = false } = {}) =>
    Effect.suspend(() => {
      const full = path.resolve(name)
      if (!nodes.has(full)) {
        return force && !isBelowFile(full) ? Effect.void : fail("NotFound", "remove", name)
      }
      if (isDirectory(full) && !recursive) return fail("BadResource", "remove", name)
      const inside = below(full)
      for (const each of [full, ...inside]) nodes.delete(each)
      return Effect.void
    })

  const rename: FileSystem.FileSystem["rename"] = (from, to) =>
    Effect.gen(function* () {
      yield* found("rename", from)
      const [source, target] = [path.resolve(from), path.resolve(to)]
      if (!isDirectory(path.dirname(target))) return yield* fail("NotFound", "rename", to)
      if (source === target) return
      const moved = [source, ...below(source)].map((name) => [name, nodes.get(name)] as const)
      for (const [name, node] of moved) {
        nodes.delete(name)
        if (node !== undefined) nodes.set(target + name.slice(source.length), node)
      }
    })

  const temporary = (options: { readonly directory?: string; readonly prefix?: string } = {}): string => {
    temporaries += 1
    return path.join(options.directory ?? "/tmp", `${options.prefix ?? ""}${temporaries}`)
  }

  const makeTempDirectory: FileSystem.FileSystem["makeTempDirectory"] = (options) =>
    Effect.suspend(() => {
      const name = temporary(options)
      return Effect.as(makeDirectory(name, { recursive: true }), name)
    })

  const makeTempFile: FileSystem.FileSystem["makeTempFile"] = (options) =>
    Effect.gen(function* () {
      const name = path.join(yield* makeTempDirectory(options), `file${options?.suffix ?? ""}`)
      yield* created("makeTempFile", name)
      return name
    })

  const scoped = (name: Effect.Effect<string, PlatformError>, place: (name: string) => string) =>
    Effect.acquireRelease(name, (name) => Effect.ignore(remove(place(name), { recursive: true, force: true })))

  const stat = (method: string, name: string): Effect.Effect<FileSystem.File.Info, PlatformError> =>
    Effect.map(found(method, name), ({ bytes, mtime }) => ({
      type: bytes === undefined ? "Directory" : "File",
      mtime: Option.some(new Date(mtime)),
      atime: Option.none(),
      birthtime: Option.none(),
      dev: 0,
      ino: Option.none(),
      mode: 0o644,
      nlink: Option.none(),
      uid: Option.none(),
      gid: Option.none(),
      rdev: Option.none(),
      size: FileSystem.Size(bytes?.length ?? 0),
      blksize: Option.none(),
      blocks: Option.none()
    }))

  const open: FileSystem.FileSystem["open"] = (name, { flag = "r" } = {}) =>
    Effect.gen(function* () {
      if (flag.includes("x") && at(name) !== undefined) return yield* fail("AlreadyExists", "open", name)
      const node = flag.startsWith("r") ? yield* file("open", name) : yield* created("open", name)
      if (flag.startsWith("w")) yield* touch(node, new Uint8Array(0))
      descriptors += 1
      let position = flag.startsWith("a") ? node.bytes.length : 0
      const read = (size: number) => {
        const bytes = node.bytes.slice(position, position + size)
        position += bytes.length
        return bytes
      }
      const write = (data: Uint8Array) =>
        Effect.suspend(() => {
          const bytes = grown(node.bytes, Math.max(node.bytes.length, position + data.length))
          bytes.set(data, position)
          position += data.length
          return touch(node, bytes)
        })
      const opened: FileSystem.File = {
        [FileSystem.FileTypeId]: FileSystem.FileTypeId,
        fd: FileSystem.FileDescriptor(descriptors),
        stat: stat("stat", name),
        seek: (offset, from) =>
          Effect.sync(() => {
            position = Number(offset) + (from === "start" ? 0 : position)
          }),
        sync: Effect.void,
        read: (buffer) =>
          Effect.sync(() => {
            const bytes = read(buffer.length)
            buffer.set(bytes)
            return FileSystem.Size(bytes.length)
          }),
        readAlloc: (size) =>
          Effect.sync(() => {
            const bytes = read(Number(size))
            return bytes.length === 0 ? Option.none() : Option.some(bytes)
          }),
        truncate: (length = 0) => Effect.suspend(() => touch(node, node.bytes.slice(0, Number(length)))),
        write: (buffer) => Effect.as(write(buffer), FileSystem.Size(buffer.length)),
        writeAll: write
      }
      return opened
    })

  const copy: FileSystem.FileSystem["copy"] = (from, to) =>
    Effect.gen(function* () {
      yield* found("copy", from)
      const [source, target] = [path.resolve(from), path.resolve(to)]
      yield* makeDirectory(path.dirname(target), { recursive: true })
      const copies = [source, ...below(source)].map((name) => [name, nodes.get(name)] as const)
      for (const [name, node] of copies) {
        if (node !== undefined) nodes.set(target + name.slice(source.length), { ...node, bytes: node.bytes?.slice() })
      }
    })

  const unsupported = (method: string) => (name: string) =>
    Effect.fail(failure("Unknown", method, name, "A disk in memory has no such thing"))

  return FileSystem.make({
    access: (name) => Effect.asVoid(found("access", name)),
    copy,
    copyFile: copy,
    chmod: (name) => Effect.asVoid(found("chmod", name)),
    chown: (name) => Effect.asVoid(found("chown", name)),
    link: unsupported("link"),
    makeDirectory,
    makeTempDirectory,
    makeTempDirectoryScoped: (options) => scoped(makeTempDirectory(options), (name) => name),
    makeTempFile,
    makeTempFileScoped: (options) => scoped(makeTempFile(options), (name) => path.dirname(name)),
    open,
    readDirectory: (name, { recursive = false } = {}) =>
      Effect.flatMap(found("readDirectory", name), ({ bytes }) => {
        if (bytes !== undefined) return fail("BadResource", "readDirectory", name)
        const directory = path.resolve(name)
        const inside = below(directory).map((full) => path.relative(directory, full))
        return Effect.succeed((recursive ? inside : inside.filter((each) => !each.includes("/"))).sort())
      }),
    readFile: (name) => Effect.map(file("readFile", name), ({ bytes }) => bytes.slice()),
    readLink: unsupported("readLink"),
    realPath: (name) => Effect.as(found("realPath", name), path.resolve(name)),
    remove,
    rename,
    stat: (name) => stat("stat", name),
    symlink: unsupported("symlink"),
    truncate: (name, length = 0) =>
      Effect.flatMap(file("truncate", name), (node) => touch(node, node.bytes.slice(0, Number(length)))),
    utimes: (name) => Effect.asVoid(found("utimes", name)),
    watch: (name) => Stream.fail(failure("Unknown", "watch", name, "A disk in memory has no such thing")),
    writeFile: (name, data, { flag = "w" } = {}) =>
      Effect.scoped(Effect.flatMap(open(name, { flag }), (file) => file.writeAll(data)))
  })
}

/** A disk of its own for each time that the layer is built, with Unix paths. */
export const layer: Layer.Layer<FileSystem.FileSystem | Path.Path> = Layer.provideMerge(
  Layer.effect(FileSystem.FileSystem, Effect.map(Path.Path, make)),
  Path.layer
)
