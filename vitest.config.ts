import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    testTimeout: 60_000,
    hookTimeout: 120_000,
    // Tests start real servers and model processes; two cores carry two files at a time.
    maxWorkers: 2,
    pool: "forks",
    typecheck: { enabled: true, include: ["test/types/**/*.test-d.ts"], checker: "tsc" },
  },
});
