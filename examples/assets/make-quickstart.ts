/** Draws `quickstart.svg`, the picture in the README, from what the quickstart prints: npm run picture */
import { spawnSync } from "node:child_process"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

const path = (name: string) => fileURLToPath(new URL(name, import.meta.url))

// ---- What it prints on a terminal ------------------------------------------------------------------------------------------

/** In a directory of its own, so that the result has the same name each time. */
const directory = mkdtempSync(join(tmpdir(), "quickstart-"))
const { stdout, stderr, status } = spawnSync(
  process.execPath,
  [
    "--import",
    "data:text/javascript,Object.assign(process.stdout,{isTTY:true,columns:80})",
    "--import",
    import.meta.resolve("tsx"),
    path("../quickstart.ts")
  ],
  {
    cwd: directory,
    encoding: "utf8",
    env: {
      PATH: process.env.PATH,
      HOME: process.env.HOME,
      TERM: "xterm",
      TSX_TSCONFIG_PATH: path("../../tsconfig.json")
    }
  }
)
rmSync(directory, { recursive: true, force: true })
if (status !== 0) throw new Error(stderr)

/** A line that was redrawn is what it was in the end. */
const lines = stdout
  .trimEnd()
  .split("\n")
  .map((line) => line.split("\r\u001b[2K").at(-1) ?? "")

// ---- The picture -----------------------------------------------------------------------------------------------------------

const [char, row, margin, top] = [8.4, 20, 20, 64] as const

const colors: { readonly [code: string]: string } = {
  "1": "#f0f6fc",
  "2": "#8b949e",
  "31": "#ff7b72",
  "32": "#7ee787",
  "36": "#79c0ff"
}

const escaped = (text: string) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;")

const at = (column: number) => Number((margin + column * char).toFixed(1))

/** The parts of a line between escape codes, each at its column and as wide as it is, whatever font the reader has. */
const draw = (line: string, y: number): string => {
  let [column, code] = [0, ""]
  const parts: Array<string> = []
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the escape codes of terminals
  for (const [index, part] of line.split(/\u001b\[([\d;]*)m/).entries()) {
    if (index % 2 === 1) {
      code = part
      continue
    }
    const text = part.trim()
    const background = /^48;2;(\d+;\d+;\d+)$/.exec(code)?.[1]
    const start = at(column + part.length - part.trimStart().length)
    const width = (columns: number) => Number((columns * char).toFixed(1))
    if (background !== undefined) {
      const fill = `rgb(${background.replaceAll(";", ",")})`
      parts.push(
        `<rect x="${at(column)}" y="${y - 13}" width="${width(part.length)}" height="16" rx="2" fill="${fill}" stroke="#30363d"/>`
      )
    } else if (text !== "") {
      const style = `fill="${colors[code] ?? "#c9d1d9"}"${code === "1" ? ' font-weight="600"' : ""}`
      parts.push(`<text x="${start}" y="${y}" textLength="${width(text.length)}" ${style}>${escaped(text)}</text>`)
    }
    column += part.length
  }
  return parts.join("")
}

const shown = ["\u001b[2m$\u001b[0m npm start", "", ...lines]
const width = 2 * margin + 80 * char
const height = top + shown.length * row

const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img" aria-label="What npm start prints">
<rect x="0.5" y="0.5" width="${width - 1}" height="${height - 1}" rx="10" fill="#0d1117" stroke="#30363d"/>
<circle cx="24" cy="22" r="6" fill="#ff5f57"/><circle cx="44" cy="22" r="6" fill="#febc2e"/><circle cx="64" cy="22" r="6" fill="#28c840"/>
<g font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace" font-size="14" xml:space="preserve">
${shown.map((line, i) => draw(line, top + i * row)).join("\n")}
</g>
</svg>
`
writeFileSync(path("quickstart.svg"), svg)
console.log(`examples/assets/quickstart.svg: ${width}×${height}, ${Math.round(svg.length / 1000)} kB`)
