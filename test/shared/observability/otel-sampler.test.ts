import { createHash } from "node:crypto";
import { ROOT_CONTEXT, SpanKind, trace } from "@opentelemetry/api";
import { SamplingDecision } from "@opentelemetry/sdk-trace";
import { describe, expect, test } from "vitest";
import { log } from "#shared/observability/log.ts";
import { samplerFromEnvironment } from "#shared/observability/otel-sampler.ts";

log.level = "silent";

type Parent = "none" | "sampled" | "unsampled";

const traceIds = Array.from({ length: 256 }, (_, i) => createHash("md5").update(`trace ${i}`).digest("hex"));

/** How much of traces is sampled. */
function share(env: NodeJS.ProcessEnv, parent: Parent): number {
  const sampler = samplerFromEnvironment(env);
  const sampled = traceIds.filter((traceId) => {
    const spanContext = {
      traceId,
      spanId: "b7ad6b7169203331",
      traceFlags: parent === "sampled" ? 1 : 0,
      isRemote: true,
    };
    const context = parent === "none" ? ROOT_CONTEXT : trace.setSpanContext(ROOT_CONTEXT, spanContext);
    const { decision } = sampler.shouldSample(context, traceId, "span", SpanKind.SERVER, {}, []);
    return decision === SamplingDecision.RECORD_AND_SAMPLED;
  });
  return sampled.length / traceIds.length;
}

describe("OTEL_TRACES_SAMPLER", () => {
  test.each<[name: string | undefined, argument: string | undefined, none: number, sampled: number, unsampled: number]>(
    [
      [undefined, undefined, 1, 1, 0],
      ["always_on", undefined, 1, 1, 1],
      ["always_off", undefined, 0, 0, 0],
      ["parentbased_always_on", undefined, 1, 1, 0],
      ["parentbased_always_off", undefined, 0, 1, 0],
      ["traceidratio", "0", 0, 0, 0],
      ["traceidratio", undefined, 1, 1, 1],
      ["traceidratio", "much", 1, 1, 1],
      ["parentbased_traceidratio", "0", 0, 1, 0],
      ["best_guess", undefined, 1, 1, 0],
    ],
  )("%s with %s", (name, argument, none, sampled, unsampled) => {
    const env = { OTEL_TRACES_SAMPLER: name, OTEL_TRACES_SAMPLER_ARG: argument };
    expect([share(env, "none"), share(env, "sampled"), share(env, "unsampled")]).toEqual([none, sampled, unsampled]);
  });

  test("traceidratio takes the same traces in every process, whatever their callers did", () => {
    const env = { OTEL_TRACES_SAMPLER: "traceidratio", OTEL_TRACES_SAMPLER_ARG: "0.25" };
    const some = share(env, "none");
    expect(some).toBeGreaterThan(0);
    expect(some).toBeLessThan(1);
    expect(share(env, "unsampled")).toBe(some);
  });
});
