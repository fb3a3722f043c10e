import {
  AlwaysOffSampler,
  AlwaysOnSampler,
  ParentBasedSampler,
  type Sampler,
  TraceIdRatioBasedSampler,
} from "@opentelemetry/sdk-trace";
import { log } from "./log.ts";

/**
 * The sampler that `OTEL_TRACES_SAMPLER` and `OTEL_TRACES_SAMPLER_ARG` name
 * (https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/): `parentbased_always_on` where it is
 * not set, and where it is none of the six.
 */
export function samplerFromEnvironment(env: NodeJS.ProcessEnv): Sampler {
  const name = env.OTEL_TRACES_SAMPLER || "parentbased_always_on";
  const parentBased = name.startsWith("parentbased_");
  const root = rootSampler(parentBased ? name.slice("parentbased_".length) : name, env.OTEL_TRACES_SAMPLER_ARG);
  if (!root) log.warn({ sampler: name }, "OTEL_TRACES_SAMPLER names no sampler: parentbased_always_on is taken");
  return root && !parentBased ? root : new ParentBasedSampler({ root: root ?? new AlwaysOnSampler() });
}

function rootSampler(name: string, argument: string | undefined): Sampler | undefined {
  if (name === "always_on") return new AlwaysOnSampler();
  if (name === "always_off") return new AlwaysOffSampler();
  if (name !== "traceidratio") return undefined;
  const ratio = Number(argument || 1);
  if (ratio >= 0 && ratio <= 1) return new TraceIdRatioBasedSampler(ratio);
  log.warn({ argument }, "OTEL_TRACES_SAMPLER_ARG must be a number from 0 to 1: 1 is taken");
  return new TraceIdRatioBasedSampler(1);
}
