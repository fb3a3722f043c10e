import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it, vi } from "vitest";
import { program } from "#infra/program.ts";
import { resourceOf } from "../graph.ts";
import { planned, SEED } from "../plan/planned.ts";
import { synthesize } from "../synth.ts";

it("spells the plan that was shown", async () => {
  const folder = await mkdtemp(join(tmpdir(), "tandem-program-"));
  const file = join(folder, "plan.json");
  await writeFile(file, JSON.stringify(planned(SEED, "aws: { result_retention_days: 9 }", { stage: "test" }).plan));
  vi.stubEnv("TANDEM_PLAN", file);
  const graph = await synthesize(program);
  vi.unstubAllEnvs();
  await rm(folder, { recursive: true });
  expect(graph.error).toBeUndefined();
  const { inputs } = resourceOf(graph, "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration");
  expect(JSON.stringify(inputs)).toContain('"days":9');
});

it("needs Node 24, and says so where it can be read: SST hides what its configuration throws earlier", async () => {
  vi.spyOn(process, "versions", "get").mockReturnValue({ ...process.versions, node: "20.20.2" });
  const { error } = await synthesize(program);
  vi.restoreAllMocks();
  expect(String(error)).toMatch(/Tandem needs Node 24, and this is v\S+: run "npx sst deploy" in the project/);
});
