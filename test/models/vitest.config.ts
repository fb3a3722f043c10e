import { defineConfig } from "vitest/config";

/** Tests of what makes models: they install torch (6 GB) into .venv and take minutes of both cores, so CI does not run them. */
export default defineConfig({
  test: {
    include: ["test/models/**/*.test.ts"],
    maxWorkers: 1,
    pool: "forks",
  },
});
