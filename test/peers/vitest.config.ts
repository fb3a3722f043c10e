import { defineConfig } from "vitest/config";

/** Tests against programs of other languages: they need Python and install what they need into .venv. */
export default defineConfig({
  test: {
    include: ["test/peers/**/*.test.ts"],
    testTimeout: 300_000,
    hookTimeout: 600_000,
    maxWorkers: 1,
    pool: "forks",
  },
});
