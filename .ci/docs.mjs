// Checks the docs: every public export has a description, @since and @category, and every ```ts block in a doc comment of
// src/*.ts and in README.md compiles.
import { existsSync, readdirSync } from "node:fs"
import { relative } from "node:path"
import { fileURLToPath } from "node:url"
import ts from "typescript"

const root = fileURLToPath(new URL("..", import.meta.url))
const problems = []
const report = (file, line, message) => problems.push({ file: relative(root, file), line, message })

// ---- Snippets -----------------------------------------------------------------------------------------------------------
// Each snippet is a file of its own that exists only in the compiler's host, next to where it comes from. Blank lines
// before it keep its lines where they are in the original, so that diagnostics need no translation.

const snippetsOf = (path) => {
  const inReadme = path.endsWith(".md")
  const snippets = []
  let fence
  for (const [index, line] of (ts.sys.readFile(path) ?? "").split(/\r?\n/).entries()) {
    const text = inReadme ? line : line.replace(/^\s*\* ?/, "")
    const [, indent, mark, language] = /^(\s*)(`{3,}|~{3,})\s*(\w*)/.exec(inReadme || text !== line ? text : "") ?? []
    if (fence === undefined && mark !== undefined) {
      fence = {
        indent: indent.length,
        mark,
        snippet: language === "ts" ? { path, line: index + 1, lines: [] } : undefined
      }
      if (fence.snippet !== undefined) snippets.push(fence.snippet)
    } else if (fence !== undefined && text.trim() === fence.mark) {
      fence = undefined
    } else {
      fence?.snippet?.lines.push(text.slice(Math.min(fence.indent, text.search(/\S|$/))))
    }
  }
  return snippets.map(({ line, lines }) => ({ path, line, text: "\n".repeat(line) + lines.join("\n") }))
}

const modules = readdirSync(`${root}src`)
  .filter((name) => name.endsWith(".ts"))
  .map((name) => `${root}src/${name}`)
const readme = `${root}README.md`
const snippets = new Map(
  [...modules, ...(existsSync(readme) ? [readme] : [])]
    .flatMap(snippetsOf)
    .map((snippet) => [`${snippet.path}.${snippet.line}.ts`, snippet])
)

const config = ts.getParsedCommandLineOfConfigFile(
  `${root}tsconfig.json`,
  { noEmit: true, noUnusedLocals: false, noUnusedParameters: false },
  { ...ts.sys, onUnRecoverableConfigFileDiagnostic: (diagnostic) => report("tsconfig.json", 1, diagnostic.messageText) }
)
const host = ts.createCompilerHost(config.options)
const { fileExists, readFile, getSourceFile } = host
host.fileExists = (path) => snippets.has(path) || fileExists(path)
host.readFile = (path) => snippets.get(path)?.text ?? readFile(path)
host.getSourceFile = (path, options, ...rest) =>
  snippets.has(path)
    ? ts.createSourceFile(path, snippets.get(path).text, options, true)
    : getSourceFile(path, options, ...rest)

const program = ts.createProgram([...modules, ...snippets.keys()], config.options, host)
const checker = program.getTypeChecker()

for (const [name, { path }] of snippets) {
  const source = program.getSourceFile(name)
  for (const { start, messageText } of [
    ...program.getSyntacticDiagnostics(source),
    ...program.getSemanticDiagnostics(source)
  ]) {
    const { line } = source.getLineAndCharacterOfPosition(start ?? source.text.length)
    report(path, line + 1, `example does not compile: ${ts.flattenDiagnosticMessageText(messageText, "\n    ")}`)
  }
}

// ---- Exports ------------------------------------------------------------------------------------------------------------

const kinds = {
  type: (node) => ts.isInterfaceDeclaration(node) || ts.isTypeAliasDeclaration(node),
  namespace: ts.isModuleDeclaration,
  value: (node) => !kinds.type(node) && !kinds.namespace(node)
}
const docsOf = (node) => ts.getJSDocCommentsAndTags(node).filter(ts.isJSDoc)
const tagsOf = (doc) =>
  new Map(doc.tags?.map(({ tagName, comment }) => [tagName.text, ts.getTextOfJSDocComment(comment)]))
const lineOf = (node) => node.getSourceFile().getLineAndCharacterOfPosition(node.getStart()).line + 1

/** What the most complete of these doc comments lacks. */
const lacks = (docs, needed) =>
  docs
    .map((doc) => {
      const tags = tagsOf(doc)
      return [
        ...(ts.getTextOfJSDocComment(doc.comment)?.trim() ? [] : ["a description"]),
        ...needed.filter((tag) => !tags.get(tag)?.trim()).map((tag) => `@${tag}`)
      ]
    })
    .sort((a, b) => a.length - b.length)[0] ?? ["a doc comment"]

const checkExports = (container, path, prefix = "") => {
  for (const symbol of checker.getExportsOfModule(container)) {
    const alias = (symbol.flags & ts.SymbolFlags.Alias) !== 0
    const declarations = (alias ? checker.getAliasedSymbol(symbol) : symbol).declarations ?? []
    // A namespace made of another module, or what another public module exports: its docs are there.
    const elsewhere = (node) =>
      node.getSourceFile().fileName !== path && modules.includes(node.getSourceFile().fileName)
    if (declarations.every(ts.isSourceFile) || declarations.every(elsewhere) || symbol.declarations.every(elsewhere))
      continue
    const reexport = alias ? symbol.declarations : []
    if ([...declarations, ...reexport].flatMap(docsOf).some((doc) => tagsOf(doc).has("internal"))) continue
    for (const kind of Object.keys(kinds)) {
      // The overloads of a function share one doc comment, a value and a type of the same name do not.
      const group = declarations.filter(kinds[kind])
      if (group.length === 0) continue
      const missing = lacks([...reexport, ...group].flatMap(docsOf), ["since", "category"])
      if (missing.length > 0) {
        report(path, lineOf(reexport[0] ?? group[0]), `${kind} ${prefix}${symbol.name} lacks ${missing.join(", ")}`)
      }
      if (kind === "namespace") for (const node of group) checkExports(node.symbol, path, `${prefix}${symbol.name}.`)
    }
  }
}

/** The module's own docs: the first comment of the file, when it is not the one of the first export. */
const checkModule = (source) => {
  const [first] = source.statements
  const docs = first === undefined ? [] : (first.jsDoc ?? [])
  const isExport =
    first !== undefined && docs.length < 2 && ts.getCombinedModifierFlags(first) & ts.ModifierFlags.Export
  const [own] = isExport ? [] : docs
  // Without @module the generated pages leave these docs out.
  const missing = [
    ...lacks(own === undefined ? [] : [own], ["since"]),
    ...(own !== undefined && !tagsOf(own).has("module") ? ["@module"] : [])
  ]
  if (missing.length > 0) report(source.fileName, 1, `the module lacks ${missing.join(", ")}`)
}

for (const path of modules) {
  const source = program.getSourceFile(path)
  checkModule(source)
  if (source.symbol !== undefined) checkExports(source.symbol, path)
}

// ---- Report -------------------------------------------------------------------------------------------------------------

problems.sort((a, b) => a.file.localeCompare(b.file) || a.line - b.line)
for (const { file, line, message } of problems) console.error(`${file}:${line} ${message}`)
console.log(`docs: ${modules.length} modules, ${snippets.size} examples, ${problems.length} problems`)
process.exit(problems.length === 0 ? 0 : 1)
