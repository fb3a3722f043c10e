import { defineConfig } from "vitest/config";

/** Tests of graphs: each process loads SST's platform, which takes seconds, once for all of them. */
const GRAPHS = "test/infra/graph/**/*.test.ts";

export default defineConfig({
  // SST's program finds it where SST put it.
  resolve: {
    alias: {
      "@pulumi/docker-build": new URL(".sst/platform/node_modules/@pulumi/docker-build/index.js", import.meta.url)
        .pathname,
    },
  },
  test: {
    // Tests start real servers and model processes, and wait for them half of the time; two cores carry three files at once.
    maxWorkers: 3,
    pool: "forks",
    testTimeout: 60_000,
    hookTimeout: 120_000,
    globalSetup: ["test/prepare-platform.ts"],
    projects: [
      {
        extends: true,
        test: {
          name: "tandem",
          include: ["test/**/*.test.ts"],
          // The first three need a browser or Python and have a configuration, and a command, of their own.
          exclude: ["**/node_modules/**", "test/browser/**", "test/models/**", "test/peers/**", GRAPHS],
          typecheck: { enabled: true, include: ["test/types/**/*.test-d.ts"], checker: "tsc" },
        },
      },
      {
        extends: true,
        test: { name: "graphs", include: [GRAPHS], setupFiles: ["test/infra/platform-is-there.ts"], isolate: false },
      },
    ],
  },
});
