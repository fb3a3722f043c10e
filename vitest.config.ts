import { defineConfig } from "vitest/config";

export default defineConfig({
  // SST's program finds it where SST put it.
  resolve: {
    alias: {
      "@pulumi/docker-build": new URL(".sst/platform/node_modules/@pulumi/docker-build/index.js", import.meta.url)
        .pathname,
    },
  },
  test: {
    include: ["test/**/*.test.ts"],
    // These need a browser or Python and have a configuration, and a command, of their own.
    exclude: ["**/node_modules/**", "test/browser/**", "test/models/**", "test/peers/**"],
    globalSetup: ["test/prepare-platform.ts"],
    testTimeout: 60_000,
    hookTimeout: 120_000,
    // Tests start real servers and model processes, and wait for them half of the time; two cores carry three files at once.
    maxWorkers: 3,
    pool: "forks",
    typecheck: { enabled: true, include: ["test/types/**/*.test-d.ts"], checker: "tsc" },
  },
});
