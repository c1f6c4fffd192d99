/** The ```ts blocks of Markdown files, as modules: `README.md.57.ts` is the one whose fence is on line 57. */
import { readFileSync } from "node:fs"
import ts from "typescript"
import type { Plugin } from "vitest/config"

export interface Snippet {
  /** The name of its module. */
  readonly id: string
  readonly line: number
  readonly text: string
  /** Tests are collected by vitest, programs end in `NodeRuntime.runMain`, and the rest only defines things. */
  readonly kind: "tests" | "program" | "definitions"
}

const kindOf = (text: string): Snippet["kind"] =>
  text.includes('from "@effect/vitest"') ? "tests" : text.includes("NodeRuntime.runMain(") ? "program" : "definitions"

export const snippetsOf = (file: string): ReadonlyArray<Snippet> => {
  const markdown = readFileSync(file, "utf8")
  return Array.from(markdown.matchAll(/^```ts\n(.*?)^```$/gms), ({ 1: text = "", index }) => {
    const line = markdown.slice(0, index).split("\n").length
    // As many lines before it as there are in the file, so that stack traces name the right ones.
    return { id: `${file}.${line}.ts`, line, text: "\n".repeat(line) + text, kind: kindOf(text) }
  })
}

const isExported = (statement: ts.VariableStatement) =>
  statement.modifiers?.some(({ kind }) => kind === ts.SyntaxKind.ExportKeyword) === true

/** The names of top-level constants that nobody could see from outside. */
const hiddenConstants = (text: string): ReadonlyArray<string> =>
  ts
    .createSourceFile("snippet.ts", text, ts.ScriptTarget.Latest)
    .statements.filter((statement) => ts.isVariableStatement(statement))
    .filter((statement) => !isExported(statement))
    .flatMap(({ declarationList }) => declarationList.declarations)
    .flatMap(({ name }) => (ts.isIdentifier(name) ? [name.text] : []))

const pattern = /^(.*\.md)\.(\d+)\.ts$/

/** Loads the modules, with all that they define exported. */
export const plugin: Plugin = {
  name: "snippets",
  enforce: "pre",
  resolveId: (id) => (pattern.test(id) ? id : undefined),
  load: (id) => {
    const file = pattern.exec(id)?.[1]
    const snippet = file === undefined ? undefined : snippetsOf(file).find((snippet) => snippet.id === id)
    return snippet && `${snippet.text}\nexport { ${hiddenConstants(snippet.text).join(", ")} }\n`
  }
}
