import { appendFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { SDXLControlNetService } from "#shared/contracts/sdxl-controlnet.ts";
import { encodeImage } from "#shared/image/encode-image.ts";
import { type Apis, type CallContext, type ImageValue, type Input, implement, NDArray } from "#shared/index.ts";

/** Milliseconds that the GPU takes for a picture. */
export const GPU_MS = 200;
const SIDE = 1024;

/**
 * The GPU service with a GPU that takes always the same time, for one picture at once. Each leaves a line with three times
 * in the file that FAULTS_LOG names: when it was there, when the GPU began with it, and when it was done.
 */
export default class GpuStub extends implement(SDXLControlNetService) implements Apis<typeof SDXLControlNetService> {
  #picture!: ImageValue;
  #gpu: Promise<unknown> = Promise.resolve();

  async onStart(): Promise<void> {
    const pixels = new Uint8Array(SIDE * SIDE * 3).map((_, i) => (i ^ (i >> 11)) & 255);
    this.#picture = await encodeImage(new NDArray("uint8", [SIDE, SIDE, 3], pixels), "png");
  }

  async generate(_input: Input<typeof SDXLControlNetService, "generate">, { signal }: CallContext) {
    const came = now();
    const done = this.#gpu.then(async () => {
      signal.throwIfAborted();
      const began = now();
      await delay(GPU_MS);
      appendFileSync(process.env.FAULTS_LOG!, `${came} ${began} ${now()}\n`);
    });
    this.#gpu = done.catch(() => undefined);
    await done;
    return [[this.#picture]] as [ImageValue[]];
  }

  info() {
    const sizes = { native_size: SIDE, size_multiple: 8, max_pixels: SIDE * SIDE };
    return { model: "none", ...sizes, execution_provider: "none" };
  }
}

function now(): number {
  return performance.timeOrigin + performance.now();
}
