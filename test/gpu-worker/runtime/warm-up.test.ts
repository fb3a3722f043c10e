import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { PipelineThread } from "#gpu-worker/runtime/pipeline-thread.ts";
import { MODEL_DIR } from "../model.ts";

it("a worker is not ready before it has drawn: a model that loads and cannot draw is refused at start", async () => {
  const folder = await mkdtemp(join(tmpdir(), "tandem-warm-up-"));
  try {
    await cp(MODEL_DIR, folder, { recursive: true });
    const file = join(folder, "unet/config.json");
    // What the graphs are made of fits together; what the pipeline is told of them does not, which only a run finds out.
    const config = { ...JSON.parse(await readFile(file, "utf8")), cross_attention_dim: 2048 };
    await writeFile(file, JSON.stringify(config));
    await expect(PipelineThread.start(folder)).rejects.toMatchObject({
      code: "INTERNAL",
      message: expect.stringContaining("the UNet takes 2048"),
    });
  } finally {
    await rm(folder, { recursive: true });
  }
});
