import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { deploy } from "#infra/deploy.ts";
import { planned, SEED } from "../plan/planned.ts";
import type { Inputs } from "../platform.ts";
import { type Graph, synthesize } from "../synth.ts";

const seed = readFileSync(new URL("../../../config-file.yaml", import.meta.url), "utf8");

async function deployed(config: string): Promise<Graph> {
  const { plan } = planned(SEED, config);
  const graph = await synthesize(() => deploy(plan), { stage: plan.stage, region: plan.region });
  expect(graph.error).toBeUndefined();
  return graph;
}

/** What is different, field by field: `Group SDXLControlNetServiceGroup.maxSize: 4 -> 6`. */
function differences(before: Graph, after: Graph): string[] {
  const [old, now] = [before, after].map(inputsOf) as [Map<string, Inputs>, Map<string, Inputs>];
  const names = new Set([...old.keys(), ...now.keys()]);
  return [...names].flatMap((name) => differentFields(name, old.get(name), now.get(name))).sort();
}

function inputsOf({ resources }: Graph): Map<string, Inputs> {
  // SST makes its key for environments once a process.
  const made = resources.filter(({ custom, name }) => custom && name !== "LambdaEncryptionKey");
  return new Map(made.map(({ type, name, inputs }) => [`${type.split(":").at(-1)} ${name}`, inputs]));
}

function differentFields(path: string, before: unknown, after: unknown): string[] {
  if (JSON.stringify(before) === JSON.stringify(after)) return [];
  if (![before, after].every((value) => typeof value === "object" && value !== null))
    return [typeof before === "number" ? `${path}: ${before} -> ${after}` : path];
  const names = new Set([...Object.keys(before as Inputs), ...Object.keys(after as Inputs)]);
  return [...names].flatMap((name) =>
    differentFields(`${path}.${name}`, (before as Inputs)[name], (after as Inputs)[name]),
  );
}

it("another replica count changes what is counted by it, in all that is deployed, and the record of it", async () => {
  const before = await deployed(seed);
  const gpu = await deployed(seed.replace("max_replicas: 2", "max_replicas: 3"));
  expect(differences(before, gpu)).toEqual([
    "BucketObjectv2 StoredPlan.content",
    "CapacityProvider SDXLControlNetServiceCapacity.autoScalingGroupProvider.managedScaling.maximumScalingStepSize: 4 -> 6",
    "Dashboard Dashboard.dashboardBody",
    "Group SDXLControlNetServiceGroup.maxSize: 4 -> 6",
    "Target SDXLControlNetServiceAutoScalingTarget.maxCapacity: 2 -> 3",
  ]);
  const entry = await deployed(seed.replace("max_replicas: 5", "max_replicas: 6"));
  expect(differences(before, entry)).toEqual([
    "BucketObjectv2 StoredPlan.content",
    "EventSourceMapping ControlNetPriorityQueueSource.scalingConfig.maximumConcurrency: 80 -> 96",
    "EventSourceMapping ControlNetQueueSource.scalingConfig.maximumConcurrency: 80 -> 96",
    "Function ControlNetFunction.reservedConcurrentExecutions: 40 -> 48",
  ]);
});
