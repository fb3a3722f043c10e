import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import sharp from "sharp";
import { afterAll, beforeAll, expect, it } from "vitest";
import { ControlNet } from "#shared/contracts/controlnet.ts";
import { createClient, ImageValue } from "#shared/index.ts";
import { maxDifference } from "../gpu-worker/model.ts";
import { type ServedProject, serveProject } from "./served-project.ts";

const image = new ImageValue(
  await readFile(fileURLToPath(new URL("../../examples/cat-face.png", import.meta.url))),
  "png",
);
const CALLS = [
  { prompt: "a red house", num_inference_steps: 12 },
  { prompt: "a green cat", num_inference_steps: 16, scheduler: "euler_a" as const },
  { prompt: "a blue car", num_inference_steps: 10, guidance_scale: 1 },
  { prompt: "a pink cat on a yellow background", num_inference_steps: 14, negative_prompt: "dark" },
].map((params, seed) => ({ ...params, seed }));

let served: ServedProject;
beforeAll(async () => {
  served = await serveProject(["--workers", "1", "--transport", "sqs", "--redeliver", "0"], { TANDEM_BATCHING: "on" });
});
afterAll(() => served?.stop());

/** Runs of the model so far, by the most calls that they were shared by. */
async function runs(): Promise<Record<string, number>> {
  const text = await (await fetch(`${served.url}/metrics`)).text();
  const buckets = text.matchAll(/adaptive_batch_size_bucket\{le="(\d+)",[^}]*service_name="SDXL[^}]*\} (\d+)/g);
  return Object.fromEntries([...buckets].map(([, most, count]) => [most, Number(count)]));
}

it("calls from a queue share runs of the model, and their pictures are what each gives alone", async () => {
  await using client = createClient(ControlNet, { url: served.url });
  const draw = async (params: (typeof CALLS)[number]): Promise<Buffer> =>
    sharp((await client.generate({ image, params })).bytes)
      .raw()
      .toBuffer();
  const alone: Buffer[] = [];
  for (const params of CALLS) alone.push(await draw(params));
  const before = await runs();
  expect(before["1"]).toBe(before["8"]);
  const together = await Promise.all(CALLS.map(draw));
  for (const [i, picture] of together.entries()) expect(maxDifference(picture, alone[i]!)).toBeLessThanOrEqual(1);
  const after = await runs();
  const steps = CALLS.reduce((sum, { num_inference_steps }) => sum + num_inference_steps, 0);
  expect(before["8"]).toBe(steps);
  expect(after["8"]! - before["8"]!).toBeLessThan(steps);
  expect(after["4"]! - after["1"]!).toBeGreaterThan(0);
});
