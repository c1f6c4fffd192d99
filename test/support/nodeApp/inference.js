// A Node app as the platform's guides write it, with zod and the platform's own package. `events` is for the tests.
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { createFileSchema, File, imageMeta, textMeta } from "@inferencesh/app"
import { z } from "zod"

export const events = []

export const AppSetup = z.object({ model: z.string().default("small"), fail: z.boolean().optional() })

export const RunInput = z.object({
  text: z.string().min(1).describe("What to repeat"),
  times: z.number().int().min(1).default(2),
  mode: z.enum(["plain", "loud"]).optional()
})

export const RunOutput = z.object({ text: z.string(), model: z.string() })

export const ReverseInput = z.object({ file: z.string().describe("URL of a text") })
export const ReverseOutput = z.object({ files: z.array(z.object({ file: z.any() })), size: z.number() })

export const LazyInput = z.object({ file: createFileSchema(z).describe("A text") })
export const LazyOutput = z.object({ text: z.string() })

export const AddressInput = z.object({ file: z.url() })
export const AddressOutput = z.object({ file: z.string() })

export const CountInput = z.object({ to: z.number().int(), file: z.boolean().default(false) })
export const CountOutput = z.object({ count: z.number() })

export const WaitInput = z.object({ how: z.enum(["polite", "stubborn", "generator"]) })
export const WaitOutput = z.object({ stopped: z.boolean() })

export const ToUpperInput = z.object({ text: z.string() })
export const ToUpperOutput = z.object({ text: z.string() })

export const EchoInput = z.object({ any: z.any() })
export const EchoOutput = z.object({ any: z.any() })

export const TalkInput = z.object({})
export const TalkOutput = z.object({})

export const HiddenInput = z.object({})
export const HiddenOutput = z.object({})

export class App {
  async setup(config) {
    events.push(`setup ${config.model}`)
    if (config.fail) throw new Error(`no model ${config.model}`)
    this.model = config.model
    this.directory = await mkdtemp(join(tmpdir(), "node-app-"))
  }

  async run(input) {
    if (input.text === "fail") throw new Error("no luck")
    const text = input.text.repeat(input.times)
    return {
      text: input.mode === "loud" ? text.toUpperCase() : text,
      model: this.model,
      output_meta: { inputs: [textMeta({ tokens: 1 })], outputs: [imageMeta({ width: 2, height: 1 })] }
    }
  }

  async reverse({ file }) {
    const { path } = await File.from(file)
    const bytes = await readFile(path, "utf8")
    const target = join(this.directory, "reversed.txt")
    await writeFile(target, Array.from(bytes).reverse().join(""))
    return { files: [{ file: File.fromPath(target) }], size: bytes.length }
  }

  async lazy({ file }) {
    return { text: await readFile(await file.getPath(), "utf8") }
  }

  async address({ file }) {
    return { file }
  }

  async *count({ to, file }) {
    const target = join(this.directory, "count.txt")
    if (file) await writeFile(target, "abc")
    const picture = file ? { picture: File.fromPath(target) } : {}
    try {
      for (let count = 1; count <= to; count++) yield { count, ...picture }
    } finally {
      events.push("count ended")
    }
  }

  wait({ how }) {
    events.push(`wait ${how}`)
    if (how === "generator") return this._ticks()
    if (how === "stubborn") return new Promise(() => {})
    return this._polite()
  }

  async _polite() {
    while (!this.context.cancelRequested) await new Promise((resolve) => setTimeout(resolve, 1))
    events.push("wait stopped")
    return { stopped: true }
  }

  async *_ticks() {
    try {
      while (!this.context.cancelRequested) {
        yield { stopped: false }
        await new Promise((resolve) => setTimeout(resolve, 1))
      }
    } finally {
      events.push("ticks ended")
    }
  }

  async to_upper({ text }) {
    return { text: text.toUpperCase() }
  }

  async echo({ any }) {
    return { any }
  }

  // It talks over a socket.
  async talk(_input, _socket) {
    return {}
  }

  async _hidden() {
    return {}
  }

  async onCancel() {
    events.push("onCancel")
    return true
  }

  async unload() {
    events.push("unload")
    if (this.directory) await rm(this.directory, { recursive: true, force: true })
  }
}
