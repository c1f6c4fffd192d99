// Packs the built package, installs the tarball in a project of its own outside the repository, and uses it from there.
// Every *.mjs in .ci/smoke is then run in that project, and every *.ts compiled.
import { execFileSync } from "node:child_process"
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { builtinModules } from "node:module"
import { tmpdir } from "node:os"
import { basename, join } from "node:path"
import { fileURLToPath } from "node:url"
import { build } from "esbuild"

const root = fileURLToPath(new URL("..", import.meta.url))
const scratch = mkdtempSync(join(tmpdir(), "effect-inferencesh-pack-"))
process.on("exit", () => rmSync(scratch, { recursive: true, force: true }))

const run = (command, args, options) =>
  execFileSync(command, args, { cwd: scratch, encoding: "utf8", stdio: ["ignore", "pipe", "inherit"], ...options })
const evaluate = (code) => run(process.execPath, ["--input-type=module", "--eval", code])
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

const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8"))
const modules = readdirSync(join(root, "src"))
  .filter((file) => /^[A-Z]\w*\.ts$/.test(file))
  .map((file) => basename(file, ".ts"))
const isBuiltin = (path) => path.startsWith("node:") || builtinModules.includes(path)

let tarball
await step("pack", () => {
  assert(existsSync(join(root, "dist/index.js")), "there is no dist: run npm run build first")
  const [packed] = JSON.parse(
    run("npm", ["pack", "--json", "--ignore-scripts", "--pack-destination", scratch], { cwd: root })
  )
  tarball = join(scratch, packed.filename)
  return `${packed.files.length} files, ${Math.round(packed.size / 1024)} kB`
})

await step("publint", () => {
  run(process.execPath, [join(root, "node_modules/publint/src/cli.js"), tarball, "--strict"])
})

await step("install", () => {
  const peers = Object.entries(manifest.devDependencies).filter(
    ([name]) => name === "effect" || (name.startsWith("@effect/") && name !== "@effect/vitest")
  )
  const dependencies = { ...Object.fromEntries(peers), [manifest.name]: `file:${tarball}` }
  writeFileSync(join(scratch, "package.json"), JSON.stringify({ private: true, type: "module", dependencies }))
  cpSync(join(root, ".ci/smoke"), scratch, { recursive: true })
  run("npm", ["install", "--prefer-offline", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"])
})

await step("import", () => {
  // The Node wiring is in its own entry, so that the root loads anywhere.
  const isOfNode = (name) => readFileSync(join(root, "src/node.ts"), "utf8").includes(`"./${name}.js"`)
  const entries = {
    [manifest.name]: modules.filter((name) => !isOfNode(name)),
    [`${manifest.name}/node`]: modules.filter(isOfNode),
    ...Object.fromEntries(modules.map((name) => [`${manifest.name}/${name}`, []]))
  }
  evaluate(`
    for (const [entry, names] of Object.entries(${JSON.stringify(entries)})) {
      const module = await import(entry)
      const missing = names.filter((name) => typeof module[name] !== "object")
      if (missing.length > 0) throw new Error(entry + " does not export " + missing.join(", "))
    }
  `)
  return Object.keys(entries).join(" ")
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

const bundle = (options) =>
  build({
    stdin: { contents: `export * from "${manifest.name}"`, resolveDir: scratch },
    absWorkingDir: scratch,
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
  return `${inputs.length} modules, ${Math.round(outputFiles[0].contents.length / 1024)} kB minified`
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

for (const [title, options] of [
  ["nodenext", { module: "nodenext" }],
  ["bundler", { module: "esnext", moduleResolution: "bundler" }]
]) {
  await step(`types compile under ${title}`, () => {
    const compilerOptions = {
      target: "es2022",
      lib: ["es2022", "dom", "dom.iterable"],
      types: [],
      strict: true,
      exactOptionalPropertyTypes: true,
      noEmit: true,
      ...options
    }
    writeFileSync(join(scratch, "tsconfig.json"), JSON.stringify({ compilerOptions, include: ["*.ts"] }))
    run(process.execPath, [join(root, "node_modules/typescript/bin/tsc"), "-p", "."])
  })
}

for (const program of readdirSync(join(root, ".ci/smoke")).filter((file) => file.endsWith(".mjs"))) {
  await step(`run ${program}`, () => run(process.execPath, [program], { timeout: 60_000 }).trim().split("\n").at(-1))
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
      run(join(scratch, "node_modules", name, path), [...args, program], { timeout: 60_000 })
    })
  }
}
