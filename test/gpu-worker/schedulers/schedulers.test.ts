import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { TorchGenerator } from "#gpu-worker/pipelines/random.ts";
import { Schedulers } from "#gpu-worker/schedulers/schedulers.ts";
import { SCHEDULERS } from "#shared/contracts/sdxl-controlnet.ts";
import runs from "../../golden/schedulers/runs.json" with { type: "json" };
import { MODEL_DIR, maxDifference } from "../model.ts";

const base = JSON.parse(readFileSync(`${MODEL_DIR}/scheduler/scheduler_config.json`, "utf8"));
const noNoise = (): never => expect.unreachable("this sampler adds no noise");

describe("every sampler equals diffusers'", () => {
  it.each(runs)("$scheduler, $steps steps, $config", (row) => {
    const generator = new TorchGenerator(7);
    const noise = (out: Float32Array): void => generator.randn(out);
    const scheduler = new Schedulers({ ...base, ...row.config }).get(row.scheduler);
    const schedule = scheduler.schedule(row.steps, noise);
    expect(maxDifference(schedule.timesteps, row.timesteps)).toBeLessThanOrEqual(1e-3);
    expect(Math.abs(schedule.initNoiseSigma / row.init_noise_sigma - 1)).toBeLessThan(1e-6);
    const latents = new Float32Array(16);
    noise(latents);
    for (let i = 0; i < 16; i++) latents[i]! *= schedule.initNoiseSigma;
    const size = schedule.initNoiseSigma;
    for (let step = 0; step < schedule.timesteps.length; step++) {
      const shown = latents.map((value) => Math.fround(value * schedule.inputScale(step)));
      schedule.step(
        shown.map((value) => Math.cos(3 * value) / 2 + value / 4),
        step,
        latents,
      );
      const early = row.early[step];
      if (early) expect(maxDifference(latents, early) / size).toBeLessThan(1e-4);
    }
    expect(maxDifference(latents, row.last)).toBeLessThan(5e-4);
  });
});

describe("Schedulers", () => {
  const own = new Schedulers(base);

  it("is the model's own where none is named, and refuses a model whose it hasn't", () => {
    expect(own.get(undefined)).toBe(own.get("EulerDiscreteScheduler"));
    const lcm = new Schedulers({ ...base, _class_name: "LCMScheduler" });
    expect(lcm.get(undefined)).toBe(lcm.get("LCMScheduler"));
    expect(() => new Schedulers({ ...base, _class_name: "DDIMScheduler" })).toThrow(
      expect.objectContaining({ code: "INTERNAL", message: expect.stringContaining("_class_name") }),
    );
  });

  it.each([
    ["euler", "EulerDiscreteScheduler", {}],
    ["euler_a", "EulerAncestralDiscreteScheduler", {}],
    ["dpm++_2m", "DPMSolverMultistepScheduler", {}],
    ["dpm++_2m_karras", "DPMSolverMultistepScheduler", { use_karras_sigmas: true }],
    ["lcm", "LCMScheduler", {}],
  ])("takes %s for %s", (short, long, change) => {
    const [one, other] = [own.get(short), new Schedulers({ ...base, ...change }).get(long)];
    expect(one.constructor).toBe(other.constructor);
    expect(one.schedule(9, noNoise).timesteps).toEqual(other.schedule(9, noNoise).timesteps);
  });

  it("makes all that the contract names, once", () => {
    for (const name of SCHEDULERS) expect(own.get(name)).toBe(own.get(name));
  });

  it("refuses another name by those that there are", () => {
    for (const name of ["ddim", "", "toString", "Euler"])
      expect(() => own.get(name)).toThrow(
        expect.objectContaining({
          code: "INVALID_ARGUMENT",
          message: expect.stringMatching(/scheduler is .*give one of EulerDiscreteScheduler, .*lcm/),
          detail: [expect.objectContaining({ path: ["scheduler"] })],
        }),
      );
  });

  it("says what of the model's config another sampler can't do", () => {
    const clipped = new Schedulers({ ...base, clip_sample: true });
    expect(() => clipped.get("lcm")).toThrow(
      expect.objectContaining({ code: "INVALID_ARGUMENT", message: expect.stringContaining("clip_sample") }),
    );
    expect(() => own.get("lcm").schedule(51, noNoise)).toThrow(/num_inference_steps is 51.*1 to 50/);
    expect(() => own.get("dpm++_2m").schedule(1000, noNoise)).toThrow(/num_inference_steps is 1000.*1 to 999/);
    expect(() => new Schedulers({ ...base, original_inference_steps: 2000 }).get("lcm")).toThrow(/original_inference/);
  });

  it("keeps the calls of one sampler apart", () => {
    const count = (noise: () => void) => own.get("dpm++_2m").schedule(5, noise);
    const [first, second, alone] = [count(noNoise), count(noNoise), count(noNoise)];
    const output = (step: number): Float32Array => Float32Array.of(0.3, -0.2 * step);
    const [a, b, c] = [Float32Array.of(1, 2), Float32Array.of(-5, 9), Float32Array.of(1, 2)];
    for (let step = 0; step < 5; step++) {
      first.step(output(step), step, a);
      second.step(output(step + 1), step, b);
      alone.step(output(step), step, c);
    }
    expect(a).toEqual(c);
  });
});
