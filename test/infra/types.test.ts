import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { expect, it } from "vitest";
import { preparePlatform } from "#infra/platform/prepare.ts";
import { ROOT } from "./platform.ts";

it("sst.config.ts, infra and its tests have the types of the pinned platform (test/infra/graph/types.ts: what has not)", async () => {
  await preparePlatform();
  const tsc = promisify(execFile)("node_modules/.bin/tsc", ["-p", "infra"], { cwd: ROOT, timeout: 100_000 });
  const { stdout } = await tsc.catch((failed: { stdout: string }) => failed);
  expect(stdout).toBe("");
});
