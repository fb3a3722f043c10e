import { ServiceError } from "#shared/errors/service-error.ts";
import type { StepTimings } from "./generate-params.ts";
import type { NoiseGraph, NoiseInputs } from "./noise-graph.ts";
import type { PictureCall } from "./sdxl-controlnet-pipeline.ts";

/**
 * Calls of one size that take their steps in the same runs of the graph, each at its own step: timestep, weight of the
 * control picture, guidance, sampler and noise are each call's own. A call has as many rows as alone: two a picture with
 * guidance, one without. Made anew when a call joins or leaves.
 */
export class StepBatch {
  readonly calls: readonly PictureCall[];
  readonly #graph: NoiseGraph;
  readonly #inputs: NoiseInputs;

  /** @throws ServiceError INTERNAL for calls of different sizes, or of a graph that takes one timestep for all rows. */
  constructor(graph: NoiseGraph, calls: readonly PictureCall[]) {
    if (calls.length > 1 && !graph.takesRows)
      throw new ServiceError("INTERNAL", "the graph takes one timestep for all rows: calls cannot share its runs");
    this.calls = calls;
    this.#graph = graph;
    this.#inputs = calls.length === 1 ? calls[0]!.inputs : graph.join(calls.map(({ inputs }) => inputs));
  }

  /**
   * Does the next step of every call; none of them may be done. Where the run fails, no call has moved.
   * @throws what the graph throws.
   */
  async step(): Promise<StepTimings> {
    const start = performance.now();
    const { sample, timestep, conditioningScale } = this.#inputs;
    const size = sample.length / this.#inputs.rows;
    let row = 0;
    for (const { denoising } of this.calls) {
      const end = row + denoising.rows;
      denoising.writeSample(sample.subarray(row * size, end * size));
      // A graph that takes one number for all rows has no other call's rows.
      timestep.fill(denoising.timestep, row, end);
      conditioningScale.fill(denoising.conditioningScale, row, end);
      row = end;
    }
    const runBefore = this.#graph.runMs;
    const prediction = await this.#graph.predict(this.#inputs);
    const runMs = this.#graph.runMs - runBefore;
    row = 0;
    for (const { denoising } of this.calls) {
      denoising.advance(prediction.subarray(row * size, (row + denoising.rows) * size));
      row += denoising.rows;
    }
    const stepMs = performance.now() - start;
    for (const { timings } of this.calls) {
      timings.denoiseMs += stepMs;
      timings.denoiseRunMs += runMs;
    }
    return { stepMs, runMs };
  }
}
