import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { deviceMemory } from "#gpu-worker/runtime/device-memory.ts";
import { sources } from "../../module-graph.ts";
import { standInForNvidiaSmi } from "../../nvidia-smi.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "tandem-smi-"));
  vi.stubEnv("PATH", `${folder}:/usr/bin:/bin`);
  vi.stubEnv("CUDA_VISIBLE_DEVICES", "2,3");
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await rm(folder, { recursive: true });
});

it("is a GPU's, of the one among those that the process sees", async () => {
  const asked = await standInForNvidiaSmi(folder, "20000, 3034");
  const used = { free: 20000 * 2 ** 20, used: 3034 * 2 ** 20 };
  expect(await deviceMemory({ executionProvider: "cuda", deviceId: 1 })).toEqual(used);
  vi.stubEnv("CUDA_VISIBLE_DEVICES", "");
  expect(await deviceMemory({ executionProvider: "tensorrt", deviceId: 1 })).toEqual(used);
  const query = "--query-gpu=memory.free,memory.used --format=csv,noheader,nounits";
  expect(await asked()).toBe(`${query} --id=3\n${query} --id=1\n`);
});

it("is not known where the GPU or the command does not tell", async () => {
  await standInForNvidiaSmi(folder, "[N/A], 3034");
  expect(await deviceMemory({ executionProvider: "cuda" })).toBeUndefined();
  vi.stubEnv("PATH", "/nowhere");
  expect(await deviceMemory({ executionProvider: "cuda" })).toBeUndefined();
});

it("is this process's on the CPU, which asks for no GPU", async () => {
  const asked = await standInForNvidiaSmi(folder, "1, 1");
  const memory = await deviceMemory({});
  expect(memory!.free).toBeGreaterThan(2 ** 20);
  expect(memory!.used).toBeGreaterThan(2 ** 20);
  expect(await asked()).toBe("");
});

it("and a GPU's use are asked for in one place", () => {
  const asking = Object.entries(sources()).filter(([, source]) => source.includes('"nvidia-smi"'));
  expect(asking.map(([file]) => file)).toEqual(["shared/observability/nvidia-smi.ts"]);
});
