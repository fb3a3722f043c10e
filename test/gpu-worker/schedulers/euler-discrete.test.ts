import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { EulerDiscreteScheduler } from "#gpu-worker/schedulers/euler-discrete.ts";
import golden from "../../golden/pipeline/schedules.json" with { type: "json" };
import { MODEL_DIR, maxDifference } from "../model.ts";

const base = JSON.parse(readFileSync(`${MODEL_DIR}/scheduler/scheduler_config.json`, "utf8"));

/** Largest difference, of numbers above 1 in proportion: float32 has no more to give there. */
function difference(found: ArrayLike<number>, expected: readonly number[]): number {
  const size = expected.map((value) => Math.max(1, Math.abs(value)));
  return maxDifference(
    size.map((one, i) => found[i]! / one),
    size.map((one, i) => expected[i]! / one),
  );
}

describe("EulerDiscreteScheduler equals diffusers", () => {
  it.each(golden)("$steps steps, $config", (row) => {
    const schedule = new EulerDiscreteScheduler({ ...base, ...row.config }).schedule(row.steps);
    expect(schedule.timesteps).toHaveLength(row.timesteps.length);
    expect(schedule.sigmas).toHaveLength(row.sigmas.length);
    expect(difference(schedule.timesteps, row.timesteps)).toBeLessThanOrEqual(1e-6);
    expect(difference(schedule.sigmas, row.sigmas)).toBeLessThanOrEqual(1e-6);
    expect(difference([schedule.initNoiseSigma], [row.init_noise_sigma])).toBeLessThanOrEqual(1e-6);
  });

  it("to 1e-6 without proportion for SDXL's own config", () => {
    for (const row of golden.filter(({ config }) => Object.keys(config).length === 0)) {
      const schedule = new EulerDiscreteScheduler(base).schedule(row.steps);
      expect(maxDifference(schedule.timesteps, row.timesteps)).toBe(0);
      expect(maxDifference(schedule.sigmas, row.sigmas)).toBeLessThanOrEqual(1e-6);
    }
  });

  it.each(golden.filter((row) => row.sample))("two steps on numbers, $config", (row) => {
    const schedule = new EulerDiscreteScheduler({ ...base, ...row.config }).schedule(row.steps);
    const sample = Float32Array.from(row.sample!);
    const scaled = sample.map((value) => value * schedule.inputScale(12));
    expect(maxDifference(scaled, row.scaled!)).toBeLessThanOrEqual(1e-6);
    schedule.step(Float32Array.from(row.output!), 12, sample);
    schedule.step(Float32Array.from(row.output!), 13, sample);
    expect(maxDifference(sample, row.stepped!)).toBeLessThanOrEqual(2e-6);
  });
});

describe("EulerDiscreteScheduler", () => {
  it("keeps no state between two runs", () => {
    const scheduler = new EulerDiscreteScheduler(base);
    const first = scheduler.schedule(25);
    const sigmas = first.sigmas.slice();
    scheduler.schedule(7);
    first.step(new Float32Array(4).fill(1), 0, new Float32Array(4));
    expect(first.sigmas).toEqual(sigmas);
    expect(scheduler.schedule(25).sigmas).toEqual(sigmas);
  });

  it.each([
    ["beta_schedule", "squaredcos_cap_v2"],
    ["prediction_type", "sample"],
    ["interpolation_type", "log_linear"],
    ["timestep_type", "continuous"],
    ["use_beta_sigmas", true],
    ["use_exponential_sigmas", true],
  ])("refuses %s %s by name", (field, value) => {
    expect(() => new EulerDiscreteScheduler({ ...base, [field]: value })).toThrow(
      expect.objectContaining({ code: "INTERNAL", message: expect.stringContaining(field) }),
    );
  });

  it.each([0, -1, 1.5, 1001, Number.NaN])("refuses %s steps", (steps) => {
    expect(() => new EulerDiscreteScheduler(base).schedule(steps)).toThrow(
      expect.objectContaining({
        code: "INVALID_ARGUMENT",
        detail: [expect.objectContaining({ path: ["num_inference_steps"] })],
      }),
    );
  });
});
