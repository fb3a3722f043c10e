import { describe, expect, it } from "vitest";
import { changeLine, diffPlans } from "#infra/plan/diff.ts";
import { contract, planned, SEED } from "./planned.ts";

const plan = (yaml: string) => planned(SEED, yaml).plan;
const sdxl = (min: number, max: number, more = "") =>
  `services:\n  SDXLControlNetService:\n    instance_type: gpu.l4.1\n    scaling: { min_replicas: ${min}, max_replicas: ${max} }\n${more}`;
const changes = (before: string, after: string) => diffPlans(plan(before), plan(after)).map(changeLine);

describe("the difference of two plans", () => {
  it("is nothing for the same plan, also from JSON", () => {
    const one = plan(sdxl(1, 2));
    expect(diffPlans(one, plan(sdxl(1, 2)))).toEqual([]);
    expect(diffPlans(JSON.parse(JSON.stringify(one)), one)).toEqual([]);
  });

  it("of one replica count is that count and what is counted by it", () => {
    expect(changes(sdxl(1, 2), sdxl(1, 3))).toEqual([
      "~ services.SDXLControlNetService.scaling.maxReplicas: 2 -> 3",
      "~ services.SDXLControlNetService.capacity.maxInstances: 2 -> 3",
      "~ quotas.L-DB2E81BA.needed: 8 -> 12",
      expect.stringMatching(/^~ quotas\.L-DB2E81BA\.command: .*--desired-value 8.* -> .*--desired-value 12/),
      expect.stringMatching(/^\+ cost\.items\.SDXLControlNetService 1 to 3 x g6\.xlarge on demand: /),
      expect.stringMatching(/^\+ cost\.items\.SDXLControlNetService 1 to 3 root volumes/),
      expect.stringMatching(/^\+ cost\.items\.SDXLControlNetService 1 to 3 public/),
      expect.stringMatching(/^- cost\.items\.SDXLControlNetService 1 to 2 x g6\.xlarge on demand: /),
      expect.stringMatching(/^- cost\.items\.SDXLControlNetService 1 to 2 root volumes/),
      expect.stringMatching(/^- cost\.items\.SDXLControlNetService 1 to 2 public/),
      expect.stringMatching(/^~ cost\.monthlyAtMax: /),
    ]);
    const entry = (max: number) => `${sdxl(1, 2)}  ControlNet: { scaling: { max_replicas: ${max} } }`;
    expect(changes(entry(3), entry(4)).filter((line) => !line.startsWith("~ quotas"))).toEqual([
      "~ services.ControlNet.scaling.maxReplicas: 3 -> 4",
      "~ services.ControlNet.function.reservedConcurrency: 24 -> 32",
      "~ services.ControlNet.queueFunction.maximumConcurrency: 48 -> 64",
    ]);
  });

  it("names what comes, goes and changes", () => {
    const before = sdxl(1, 2, "    envs: [{ name: A, value: x }, { name: B, value: y }]\n");
    const after = sdxl(1, 2, "    envs: [{ name: A, value: z }, { name: C, value: y }]\n");
    expect(changes(before, after)).toEqual([
      "~ services.SDXLControlNetService.environment.A: x -> z",
      "+ services.SDXLControlNetService.environment.C: y",
      "- services.SDXLControlNetService.environment.B: y",
    ]);
  });

  it("of a service that comes is a line, beside what others may do because of it", () => {
    const Helper = contract("Helper");
    const alone = planned([contract("Entry")], "").plan;
    const both = planned([Helper, contract("Entry", { dependencies: [Helper] })], "").plan;
    const lines = diffPlans(alone, both).map(changeLine);
    expect(lines).toContain("+ services.Helper: function on cpu.1");
    expect(lines).toContain(
      '+ services.Entry.permissions.function Helper: {"actions":["lambda:InvokeFunction"],"on":{"kind":"function","service":"Helper"}}',
    );
    expect(lines.filter((line) => /^. services\./.test(line))).toHaveLength(7);
    expect(lines.some((line) => line.startsWith("+ edges.Entry -> Helper: "))).toBe(true);
  });
});
