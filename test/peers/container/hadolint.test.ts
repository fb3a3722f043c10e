import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, it } from "vitest";
import { pythonWith } from "../../python.ts";

const path = (file: string): string => fileURLToPath(new URL(file, import.meta.url));
let hadolint: string;
beforeAll(async () => {
  const python = await pythonWith("hadolint", path("hadolint-requirements.txt"));
  hadolint = python.replace(/python$/, "hadolint");
});

describe("hadolint", () => {
  it.each(["Dockerfile", "Dockerfile.lambda"])("finds nothing to say of %s", (file) => {
    const { stdout, status } = spawnSync(hadolint, [path(`../../../gpu-worker/${file}`)], { encoding: "utf8" });
    expect({ stdout, status }).toEqual({ stdout: "", status: 0 });
  });

  it("would find something", () => {
    const { stdout, status } = spawnSync(hadolint, ["-"], { input: "FROM ubuntu\nRUN cd /tmp\n", encoding: "utf8" });
    expect(stdout).toMatch(/DL3006/);
    expect(stdout).toMatch(/DL3003/);
    expect(status).toBe(1);
  });
});
