import { describe, expect, it } from "vitest";
import { checkStage, NAME_LIMITS, physicalName } from "#infra/plan/names.ts";
import { contract, planned } from "./planned.ts";

describe("a name in AWS", () => {
  it("is its parts in small letters, with hyphens for what AWS does not take", () => {
    expect(physicalName(["my-app", "Dev", "SDXLControlNetService", "queue"], 80)).toBe(
      "my-app-dev-sdxlcontrolnetservice-queue",
    );
    expect(physicalName(["a", "b", "My_Service-", "x"], 80)).toBe("a-b-my-service-x");
    expect(physicalName(["3d", "dev"], 80)).toBe("t-3d-dev");
  });

  it("that is too long is cut, keeps its start and its end, and differs where the whole does", () => {
    const one = physicalName(["deployment", "stage", "a".repeat(63), "dead-letters"], 64);
    const other = physicalName(["deployment", "stage", `${"a".repeat(62)}b`, "dead-letters"], 64);
    expect(one).toMatch(/^deployment-stage-a+-[a-z-]*dead-letters-[0-9a-f]{8}$/);
    expect(one).not.toBe(other);
    expect(one).toHaveLength(64);
  });

  it.each(Object.entries(NAME_LIMITS))("keeps the limit of a %s, %i, whatever its parts", (_, limit) => {
    for (const length of [1, 20, 40, 63])
      for (const last of ["x", "queue", "dead-letters", "--", "-".repeat(30)]) {
        const name = physicalName(["d".repeat(63), "S-".repeat(15), "_Z".repeat(length), last], limit);
        expect(name.length).toBeLessThanOrEqual(limit);
        expect(name).toMatch(/^[a-z]([a-z0-9]|-(?!-|$))*$/);
      }
  });

  it("fits everywhere for the longest stage and services, and is nobody else's", () => {
    const Callee = contract("C".repeat(63), { resources: { gpu: 1 }, traffic: { timeout: 60, concurrency: 1 } });
    const Entry = contract("E".repeat(63), { dependencies: [Callee] });
    const { plan } = planned([Callee, Entry], `name: ${"n".repeat(63)}`, { stage: "s".repeat(30) });
    const functions: string[] = [];
    const queues: string[] = [];
    for (const service of plan.services) {
      if (service.kind === "function")
        functions.push(service.function!.physicalName, service.queueFunction!.physicalName);
      functions.push(service.queue!.deadLetterFunction.physicalName);
      const { physicalName: queue, priorityPhysicalName, deadLetterPhysicalName } = service.queue!;
      queues.push(queue, priorityPhysicalName, deadLetterPhysicalName);
    }
    const alarms = plan.alarms.map((alarm) => alarm.physicalName);
    for (const [names, limit] of [
      [functions, 64],
      [queues, 80],
      [alarms, 255],
    ] as const) {
      expect(new Set(names).size).toBe(names.length);
      for (const name of names) expect(name).toMatch(new RegExp(`^[a-z][a-z0-9-]{0,${limit - 1}}$`));
    }
  });
});

it("a stage is what SST takes, 30 characters at most", () => {
  expect(checkStage("pr-12")).toBe("pr-12");
  for (const stage of ["", "a b", "a_b", "-a", "s".repeat(31)])
    expect(() => checkStage(stage)).toThrow(/1 to 30 letters, digits and hyphens/);
});
