import { defineConfig } from "vitest/config";

/** Tests against programs of other languages: they need Python and install what they need into .venv. */
export default defineConfig({
  // SST's program finds it where SST put it.
  resolve: {
    alias: {
      "@pulumi/docker-build": new URL("../../.sst/platform/node_modules/@pulumi/docker-build/index.js", import.meta.url)
        .pathname,
    },
  },
  test: {
    include: ["test/peers/**/*.test.ts"],
    setupFiles: ["test/infra/platform-is-there.ts"],
    testTimeout: 300_000,
    hookTimeout: 600_000,
    maxWorkers: 1,
    pool: "forks",
  },
});
