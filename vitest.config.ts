import { defineConfig } from "vitest/config";

/** Tests of graphs: each process loads SST's platform, which takes seconds, once for all of them. */
const GRAPHS = "test/infra/graph/**/*.test.ts";

export default defineConfig({
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
          // The first two need a browser or Python and have a configuration, and a command, of their own.
          exclude: ["**/node_modules/**", "test/browser/**", "test/peers/**", GRAPHS],
          typecheck: { enabled: true, include: ["test/types/**/*.test-d.ts"], checker: "tsc" },
        },
      },
      { extends: true, test: { name: "graphs", include: [GRAPHS], isolate: false } },
    ],
  },
});
