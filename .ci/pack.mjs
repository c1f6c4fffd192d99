// Packs the built package, installs the tarball in projects of its own outside the repository, and uses it from there: with the
// newest peers that it allows, and with the lowest. Every *.mjs in .ci/smoke is run in them, every *.ts and *.cts compiled.
import { execFileSync } from "node:child_process"
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { builtinModules } from "node:module"
import { tmpdir } from "node:os"
import { basename, join } from "node:path"
import { fileURLToPath } from "node:url"
import { gzipSync } from "node:zlib"
import { build } from "esbuild"

// Budgets, in kB. Raise one in the commit that needs it, and say there what for.
const limits = {
  tarball: 800,
  // Minified and gzipped, with what they use of Effect, which is 80 kB of a client's.
  client: 150,
  everything: 230
}

const root = fileURLToPath(new URL("..", import.meta.url))
const scratch = mkdtempSync(join(tmpdir(), "effect-inferencesh-pack-"))
process.on("exit", () => rmSync(scratch, { recursive: true, force: true }))

const newest = join(scratch, "newest")
const lowest = join(scratch, "lowest")

const run = (command, args, options) =>
  execFileSync(command, args, { cwd: newest, encoding: "utf8", stdio: ["ignore", "pipe", "inherit"], ...options })
const bin = (path, args, options) => run(process.execPath, [join(root, "node_modules", path), ...args], options)
const evaluate = (code, type = "module") => run(process.execPath, [`--input-type=${type}`, "--eval", code])
const step = async (title, body) => {
  try {
    console.log(`ok ${title}${((note) => (note ? `: ${note}` : ""))(await body())}`)
  } catch (error) {
    console.error(`FAILED ${title}\n${error.stdout ?? ""}${error.message}`)
    process.exit(1)
  }
}
const assert = (condition, message) => {
  if (!condition) throw new Error(message)
}
const within = (limit, bytes, what) => {
  const size = Math.ceil(bytes / 1024)
  assert(size <= limit, `${what} takes ${size} kB, more than the ${limit} kB that it may`)
  return `${size} of ${limit} kB`
}

const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8"))
const modules = readdirSync(join(root, "src"))
  .filter((file) => /^[A-Z]\w*\.ts$/.test(file))
  .map((file) => basename(file, ".ts"))
const isBuiltin = (path) => path.startsWith("node:") || builtinModules.includes(path)

const entries = [manifest.name, `${manifest.name}/node`, ...modules.map((name) => `${manifest.name}/${name}`)]

let packed
let tarball
await step("pack", () => {
  assert(existsSync(join(root, "dist/index.js")), "there is no dist: run npm run build first")
  ;[packed] = JSON.parse(
    run("npm", ["pack", "--json", "--ignore-scripts", "--pack-destination", scratch], { cwd: root })
  )
  tarball = join(scratch, packed.filename)
  return `${packed.files.length} files, ${within(limits.tarball, packed.size, "the tarball")}`
})

await step("what ships is the docs, the sources, and what the build makes of each", () => {
  const isSource = (path) => path.endsWith(".ts")
  const sources = readdirSync(join(root, "src"), { recursive: true }).filter(isSource)
  const expected = [
    ...["package.json", "README.md", "LICENSE", "CHANGELOG.md"],
    ...sources.map((path) => `src/${path}`),
    ...sources.flatMap((path) =>
      ["js", "js.map", "d.ts", "d.ts.map"].map((kind) => `dist/${path.replace(/ts$/, kind)}`)
    )
  ]
  const ships = packed.files.map(({ path }) => path)
  const stray = ships.filter((path) => !expected.includes(path))
  const missing = expected.filter((path) => !ships.includes(path))
  assert(stray.length === 0, `these should not: ${stray.join(", ")}`)
  assert(missing.length === 0, `these are missing: ${missing.join(", ")}`)
})

await step("publint", () => {
  bin("publint/src/cli.js", [tarball, "--strict"], { cwd: root })
})

await step("are the types wrong", () => {
  // The package is ESM alone. Two resolutions are therefore left out: node10, which knows no `exports`, and which TypeScript
  // has given up, and node16 from CommonJS, which is from before Node could require ESM. nodenext knows of that: see below.
  const names = entries.map((entry) => entry.slice(manifest.name.length + 1) || ".")
  const options = ["--profile", "esm-only", "--format", "ascii", "--no-color", "--no-emoji", "--entrypoints", ...names]
  bin("@arethetypeswrong/cli/dist/index.js", [tarball, ...options], { cwd: root })
})

/** Makes a project with these versions of the peers. */
const install = (cwd, version, ...options) => {
  const peers = Object.entries(manifest.peerDependencies).map(([name, range]) => [name, version(range)])
  const dependencies = { ...Object.fromEntries(peers), [manifest.name]: `file:${tarball}` }
  mkdirSync(cwd)
  writeFileSync(join(cwd, "package.json"), JSON.stringify({ private: true, type: "module", dependencies }))
  cpSync(join(root, ".ci/smoke"), cwd, { recursive: true })
  run("npm", ["install", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error", ...options], { cwd })
  const found = (name) => JSON.parse(readFileSync(join(cwd, "node_modules", name, "package.json"), "utf8")).version
  return peers.map(([name]) => `${name} ${found(name)}`).join(", ")
}
const typesCompile = (cwd, options, include = ["*.ts"]) => {
  const compilerOptions = {
    target: "es2022",
    lib: ["es2022", "dom", "dom.iterable"],
    types: [],
    strict: true,
    exactOptionalPropertyTypes: true,
    declaration: true,
    emitDeclarationOnly: true,
    outDir: "declarations",
    ...options
  }
  writeFileSync(join(cwd, "tsconfig.json"), JSON.stringify({ compilerOptions, include }))
  bin("typescript/bin/tsc", ["-p", "."], { cwd })
  const inferred = readFileSync(join(cwd, "declarations/consumer.d.ts"), "utf8")
  assert(
    !inferred.includes(`${manifest.name}/internal/`),
    `declarations of users mention internal modules:\n${inferred}`
  )
}
const programs = readdirSync(join(root, ".ci/smoke")).filter((file) => file.endsWith(".mjs"))
const runProgram = (cwd, program) =>
  run(process.execPath, [program], { cwd, timeout: 60_000 }).trim().split("\n").at(-1)

await step("install with the newest peers", () => install(newest, (range) => range))

// The Node wiring is in its own entry, so that the root loads anywhere.
const isOfNode = (name) => readFileSync(join(root, "src/node.ts"), "utf8").includes(`"./${name}.js"`)
const expectedNames = {
  ...Object.fromEntries(entries.map((entry) => [entry, []])),
  [manifest.name]: modules.filter((name) => !isOfNode(name)),
  [`${manifest.name}/node`]: modules.filter(isOfNode)
}
const checkNames = `
  const checkNames = (entry, names, module) => {
    const missing = names.filter((name) => typeof module[name] !== "object")
    if (missing.length > 0) throw new Error(entry + " does not export " + missing.join(", "))
  }
  const expected = Object.entries(${JSON.stringify(expectedNames)})
`

await step("import", () => {
  evaluate(`${checkNames}
    for (const [entry, names] of expected) checkNames(entry, names, await import(entry))
  `)
  return entries.join(" ")
})

await step("require", () => {
  if (!process.features.require_module) return `skipped, since Node ${process.version} cannot require ESM`
  evaluate(
    `${checkNames}
    for (const [entry, names] of expected) checkNames(entry, names, require(entry))
    `,
    "commonjs"
  )
})

await step("internal modules are blocked", () => {
  const paths = readdirSync(join(root, "src/internal"), { recursive: true })
    .filter((file) => file.endsWith(".ts"))
    .map((file) => `${manifest.name}/internal/${file.slice(0, -".ts".length)}`)
  evaluate(`
    for (const path of ${JSON.stringify(paths)}) {
      const error = await import(path).then(() => undefined, (error) => error)
      if (error?.code !== "ERR_PACKAGE_PATH_NOT_EXPORTED") throw new Error(path + " can be imported")
    }
  `)
})

const bundle = ({ contents = `export * from "${manifest.name}"`, ...options }) =>
  build({
    stdin: { contents, resolveDir: newest },
    absWorkingDir: newest,
    bundle: true,
    format: "esm",
    metafile: true,
    write: false,
    logLevel: "silent",
    ...options
  })

await step("the root entry bundles for browsers", async () => {
  const { metafile, outputFiles } = await bundle({ platform: "browser", minify: true })
  const inputs = Object.entries(metafile.inputs)
  const builtins = inputs.flatMap(([file, { imports }]) =>
    imports.filter(({ path }) => isBuiltin(path)).map(({ path }) => `${path} (from ${file})`)
  )
  assert(builtins.length === 0, `it reaches ${builtins.join(", ")}`)
  const node = inputs.find(([file]) => file.includes("node_modules/@effect/platform-node"))
  assert(node === undefined, `it reaches ${node?.[0]}`)
  return `${inputs.length} modules, ${within(limits.everything, gzipSync(outputFiles[0].contents).length, "the root entry")}`
})

await step("a client that runs apps bundles small", async () => {
  const { outputFiles } = await bundle({
    contents: `
      import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
      import { App, Inference, Tasks } from "${manifest.name}"
      export const used = [App.make, Inference.layer, Tasks.run, FetchHttpClient.layer]
    `,
    platform: "browser",
    minify: true
  })
  return within(limits.client, gzipSync(outputFiles[0].contents).length, "it")
})

await step("the root entry reaches no node: module of its own", async () => {
  const { metafile } = await bundle({
    platform: "neutral",
    plugins: [
      {
        name: "external",
        setup: ({ onResolve }) =>
          onResolve({ filter: /^[^.]/ }, ({ path, kind }) =>
            path === manifest.name || kind === "entry-point" ? undefined : { path, external: true }
          )
      }
    ]
  })
  const packages = new Set(
    Object.values(metafile.inputs).flatMap(({ imports }) =>
      imports.filter(({ external }) => external).map(({ path }) => path)
    )
  )
  const builtins = [...packages].filter(isBuiltin)
  assert(builtins.length === 0, `it reaches ${builtins.join(", ")}`)
  const names = [...packages].map((path) => /^(@[^/]+\/)?[^/]+/.exec(path)[0])
  return `it imports ${[...new Set(names)].join(" ")}`
})

// The declarations of the packages themselves are checked once per project. CommonJS can import ESM under nodenext alone.
await step("types compile under nodenext", () => typesCompile(newest, { module: "nodenext" }, ["*.ts", "*.cts"]))
await step("types compile under node16", () => typesCompile(newest, { module: "node16", skipLibCheck: true }))
await step("types compile under bundler", () =>
  typesCompile(newest, { module: "esnext", moduleResolution: "bundler", skipLibCheck: true })
)
for (const program of programs) await step(`run ${program}`, () => runProgram(newest, program))

// The peers' own peers, which only their barrels need, are left out here: with the lowest versions npm finds no set of them.
await step("install with the lowest peers", () =>
  install(lowest, (range) => range.replace(/^\^/, ""), "--prefer-offline", "--legacy-peer-deps")
)
await step("types compile with the lowest peers", () => typesCompile(lowest, { module: "nodenext" }))
// The README's example is for everybody, and so imports from the barrel.
for (const program of programs.filter((name) => name !== "readme.mjs")) {
  await step(`run ${program} with the lowest peers`, () => runProgram(lowest, program))
}

// Other runtimes are in packages of npm that need no install script. Deno closes no server whose clients keep their connections.
const runtimes =
  process.platform === "linux" && process.arch === "x64"
    ? [
        ["@oven/bun-linux-x64@1.4.5", "bin/bun", [], ["local.mjs", "proxy.mjs"]],
        ["@deno/linux-x64-glibc@2.9.6", "deno", ["run", "--allow-all"], ["local.mjs"]]
      ]
    : []

for (const [spec, path, args, programs] of runtimes) {
  const name = spec.slice(0, spec.lastIndexOf("@"))
  await step(`install ${spec}`, () => {
    run("npm", ["install", "--no-save", "--prefer-offline", "--no-audit", "--no-fund", "--loglevel=error", spec])
  })
  for (const program of programs) {
    await step(`run ${program} with ${basename(path)}`, () => {
      run(join(newest, "node_modules", name, path), [...args, program], { timeout: 60_000 })
    })
  }
}
