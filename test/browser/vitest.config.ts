import { defineConfig } from "vitest/config";

/** Needs Chromium (Debian's package `chromium`, or CHROMIUM_PATH) and installs playwright-core into this folder. */
export default defineConfig({
  test: {
    include: ["test/browser/**/*.test.ts"],
    globalSetup: ["test/browser/setup.ts"],
    testTimeout: 120_000,
    hookTimeout: 120_000,
    pool: "forks",
  },
});
