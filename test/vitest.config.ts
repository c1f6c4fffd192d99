import { fileURLToPath } from "node:url"
import { defineConfig } from "vitest/config"
import * as Snippets from "./readme/snippets.js"

const root = fileURLToPath(new URL("..", import.meta.url))

export default defineConfig({
  root,
  plugins: [Snippets.plugin],
  resolve: {
    alias: [
      { find: /^effect-inferencesh$/, replacement: `${root}src/index.ts` },
      { find: /^effect-inferencesh\/(\w+)$/, replacement: `${root}src/$1.ts` }
    ]
  },
  test: {
    include: ["test/**/*.test.ts", "examples/**/*.test.ts"],
    setupFiles: ["test/setup.ts"],
    pool: "forks",
    testTimeout: 60_000,
    typecheck: { enabled: true, include: ["test/**/*.test-d.ts"], tsconfig: "tsconfig.json" }
  }
})
