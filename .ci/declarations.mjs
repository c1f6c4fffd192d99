// Checks the declarations that are published: an export of src/*.ts shows no type that users cannot name, which is one of
// src/internal, or one that its module keeps to itself. A type becomes nameable by being exported under a name of its own:
// `export type X = Internal.X`, `export interface X extends Internal.X {}`, `export … from`. What stands behind such a name
// is held to the same rule.
import { basename, relative } from "node:path"
import { fileURLToPath } from "node:url"
import ts from "typescript"

const root = fileURLToPath(new URL("..", import.meta.url))
const problems = new Set()

const { options, fileNames } = ts.getParsedCommandLineOfConfigFile(
  `${root}src/tsconfig.json`,
  { emitDeclarationOnly: true, declarationMap: false, sourceMap: false },
  { ...ts.sys, onUnRecoverableConfigFileDiagnostic: ({ messageText }) => problems.add(messageText) }
)

// The declarations exist only in the compiler's host, where the build would put them.
const emitted = new Map()
const sources = ts.createProgram(fileNames, options)
sources.emit(undefined, (path, text) => emitted.set(path, text))

const host = ts.createCompilerHost(options)
const { fileExists, readFile } = host
host.fileExists = (path) => emitted.has(path) || fileExists(path)
host.readFile = (path) => emitted.get(path) ?? readFile(path)
host.getSourceFile = (path, languageVersion) =>
  emitted.has(path) ? ts.createSourceFile(path, emitted.get(path), languageVersion, true) : sources.getSourceFile(path)
const program = ts.createProgram([...emitted.keys()], { ...options, emitDeclarationOnly: false, noEmit: true }, host)
const checker = program.getTypeChecker()

const resolve = (symbol) => (symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol)
const modules = [...emitted.keys()].filter(
  (path) => !relative(options.outDir, path).includes("/") && basename(path) !== "bin.d.ts"
)

/** Everything that users can name, by where it is declared, with the name that they know it by. */
const named = new Map()
const nameExports = (container, prefix) => {
  for (const symbol of checker.getExportsOfModule(container)) {
    const target = resolve(symbol)
    if (named.has(target)) continue
    named.set(target, `${prefix}${symbol.name}`)
    if (target.flags & ts.SymbolFlags.NamespaceModule) nameExports(target, `${prefix}${symbol.name}.`)
  }
}
for (const path of modules) nameExports(program.getSourceFile(path).symbol, `${basename(path, ".d.ts")}.`)

const isOurs = (symbol) => symbol.declarations?.some((node) => emitted.has(node.getSourceFile().fileName))
const isTopLevel = (symbol) =>
  symbol.declarations?.some(({ parent }) => {
    const node = parent && ts.isVariableDeclarationList(parent) ? parent.parent.parent : parent
    return node !== undefined && (ts.isSourceFile(node) || ts.isModuleBlock(node))
  })

/** The name in a mention of a type, if this node is one. */
const mentionIn = (node) =>
  ts.isTypeReferenceNode(node)
    ? node.typeName
    : ts.isTypeQueryNode(node)
      ? node.exprName
      : ts.isExpressionWithTypeArguments(node)
        ? node.expression
        : ts.isImportTypeNode(node)
          ? (node.qualifier ?? node.argument)
          : undefined

/**
 * Whether the node does no more than to give the type that it mentions a name. So does an interface for the type of a schema:
 * `interface X extends Schema.Schema.Type<typeof schema> {}`.
 */
const isNameFor = (node) => {
  let outer = node
  if (ts.isTypeQueryNode(node)) while (mentionIn(outer.parent)) outer = outer.parent
  return ts.isHeritageClause(outer.parent) || (ts.isTypeAliasDeclaration(outer.parent) && outer.parent.type === outer)
}

const seen = new Set()
const check = (symbol, owner) => {
  if (seen.has(symbol)) return
  seen.add(symbol)
  const visit = (node) => {
    const name = mentionIn(node)
    const found = name && checker.getSymbolAtLocation(name)
    const target = found && resolve(found)
    // The compiler copies what is spelled as `import("…")` into the declarations of users, where it leads nowhere.
    const isSpelledOut = ts.isImportTypeNode(node) && /\.\/internal\//.test(node.argument.getText())
    if (target && isOurs(target) && isTopLevel(target) && (isSpelledOut || !named.has(target))) {
      if (isNameFor(node)) check(target, owner)
      else {
        const [declaration] = target.declarations
        const file = relative(options.outDir, declaration.getSourceFile().fileName).replace(/\.d\.ts$/, ".ts")
        problems.add(`${owner} shows ${target.name} of src/${file}, which users cannot name`)
      }
    }
    ts.forEachChild(node, visit)
  }
  for (const node of symbol.declarations ?? []) if (isOurs(symbol) && !ts.isSourceFile(node)) visit(node)
}
for (const [symbol, name] of named) check(symbol, name)

for (const problem of problems) console.error(problem)
console.log(`declarations: ${modules.length} modules, ${named.size} names, ${problems.size} problems`)
process.exit(problems.size === 0 ? 0 : 1)
