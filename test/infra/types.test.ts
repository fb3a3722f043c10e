import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { beforeAll, expect, it } from "vitest";
import { preparePlatform } from "#infra/platform/prepare.ts";
import { PREPARED_IN_MS, ROOT } from "./platform.ts";

beforeAll(async () => {
  await preparePlatform();
}, PREPARED_IN_MS);

it("sst.config.ts, infra and its tests have the types of the pinned platform (test/infra/graph/types.ts: what has not)", async () => {
  const tsc = promisify(execFile)("node_modules/.bin/tsc", ["-p", "infra"], { cwd: ROOT, timeout: 140_000 });
  const { stdout } = await tsc.catch((failed: { stdout: string }) => failed);
  expect(stdout).toBe("");
}, 150_000);
