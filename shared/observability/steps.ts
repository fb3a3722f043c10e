import { countSteps } from "./metrics.ts";
import { beginPart, type Span } from "./spans.ts";

/** Milliseconds that the parts of a picture took. */
export interface PictureTimings {
  readonly encodeMs: number;
  readonly denoiseMs: number;
  readonly decodeMs: number;
}

/**
 * Records a picture while it is drawn elsewhere, in another thread: its denoising steps a second, and in its call's trace
 * a span a part (`encode`, `denoise` with a span a step, `decode`), made of the times that were reported.
 * @param draw gets a function to be called after each step with its number, how many there are, and its milliseconds.
 */
export async function observeSteps<T extends { readonly timings: PictureTimings }>(
  service: string,
  api: string,
  parent: string,
  draw: (onStep: (step: number, total: number, ms: number) => void) => Promise<T>,
): Promise<T> {
  const whole = beginPart("draw", parent);
  const steps: number[] = [];
  let [total, lastAt] = [0, 0];
  const onStep = (_step: number, of: number, ms: number): void => {
    steps.push(ms);
    total = of;
    lastAt = Date.now();
  };
  try {
    const drawn = await draw(onStep);
    countSteps(service, api, steps.length, drawn.timings.denoiseMs / 1000);
    if (whole) traceParts(whole, steps, drawn.timings);
    whole?.end();
    return drawn;
  } catch (error) {
    if (whole && steps.length > 0) traceSteps(whole.traceparent, steps, total, lastAt - sum(steps), lastAt, error);
    whole?.end(error);
    throw error;
  }
}

/** The parts follow one another up to now. */
function traceParts(whole: Span, steps: readonly number[], timings: PictureTimings): void {
  const now = Date.now();
  const denoised = now - timings.decodeMs;
  const encoded = denoised - timings.denoiseMs;
  beginPart("encode", whole.traceparent, {}, encoded - timings.encodeMs)?.end(undefined, encoded);
  traceSteps(whole.traceparent, steps, steps.length, encoded, denoised);
  beginPart("decode", whole.traceparent, {}, denoised)?.end(undefined, now);
}

/** The steps follow one another up to `end`: what comes before the first lays out memory. */
function traceSteps(
  parent: string,
  steps: readonly number[],
  total: number,
  begin: number,
  end: number,
  error?: unknown,
): void {
  const loop = beginPart("denoise", parent, { "tandem.steps": total }, begin);
  if (!loop) return;
  let at = end - sum(steps);
  for (const [index, ms] of steps.entries()) {
    beginPart("step", loop.traceparent, { "tandem.step": index + 1 }, at)?.end(undefined, at + ms);
    at += ms;
  }
  loop.end(error, end);
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((all, one) => all + one, 0);
}
