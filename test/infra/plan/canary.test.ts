import { expect, it } from "vitest";
import type { CanaryPlan } from "#infra/plan/deployment-plan.ts";
import { changeLine, diffPlans } from "#infra/plan/diff.ts";
import { faultLine } from "#shared/config/faults.ts";
import type { Service } from "#shared/service/contract.ts";
import { allHandlers, contract, type PlannedOptions, planned, SEED, toldOf } from "./planned.ts";

function canaryOf(yaml: string, services: readonly Service[] = SEED, options: PlannedOptions = {}): CanaryPlan {
  const { canary } = planned(services, yaml, options).plan;
  if (!canary) throw new Error("the plan has no canary");
  return canary;
}
const versions = (text: string, top = ""): string =>
  `${top}canary:\n  route_type: random\n  versions:\n${text.replace(/^/gm, "    ")}\n`;
const namesOf = ({ services }: CanaryPlan["versions"][number]): string[] => services.map(({ name }) => name);

it("gives a version the entry and its queue, and has it use the main version's services where they are the same", () => {
  const [next] = canaryOf(versions("next: { weight: 10 }")).versions;
  expect([next!.label, next!.weight, next!.bento, namesOf(next!)]).toEqual(["next", 10, undefined, ["ControlNet"]]);
  expect(next!.services[0]).toMatchObject({
    version: "next",
    environment: { TANDEM_VERSION: "next" },
    function: { physicalName: "controlnet-dev-controlnet-next" },
    queueFunction: { physicalName: "controlnet-dev-controlnet-next-queue" },
    queue: { physicalName: "controlnet-dev-controlnet-next-queue" },
  });
});

it("gives a version those services that differ, and all that lead to them", () => {
  const A = contract("A");
  const B = contract("B", { dependencies: [A] });
  const C = contract("C");
  const D = contract("D", { dependencies: [B, C] });
  const services = [A, B, C, D];
  const changed = (text: string) => namesOf(canaryOf(versions(`next:\n  weight: 5\n  ${text}`), services).versions[0]!);
  expect(changed("services: { A: { instance_type: cpu.4 } }")).toEqual(["A", "B", "D"]);
  expect(changed("services: { C: { envs: [{ name: X, value: y }] } }")).toEqual(["C", "D"]);
  expect(changed("services: { C: {} }")).toEqual(["D"]);
  expect(changed("envs: [{ name: X, value: y }]")).toEqual(["A", "B", "C", "D"]);
});

it("takes what a version does not say from the main one", () => {
  const yaml = versions(
    `next:
  weight: 5
  services:
    ControlNet:
      envs: [{ name: LEVEL, value: "2" }]
      config_overrides: { traffic: { timeout: 50 } }`,
    `services:
  ControlNet:
    instance_type: cpu.4
    envs: [{ name: LEVEL, value: "1" }, { name: KEPT, value: "yes" }]
    scaling: { max_replicas: 3 }
    config_overrides: { traffic: { concurrency: 4 }, workers: 2 }
`,
  );
  expect(canaryOf(yaml).versions[0]!.services.at(-1)).toMatchObject({
    instanceType: "cpu.4",
    timeout: 50,
    concurrency: 4,
    environment: { LEVEL: "2", KEPT: "yes" },
    function: { reservedConcurrency: 6 },
  });
});

it("gives a version with a folder all services, from its own handlers and images", () => {
  const [next] = canaryOf(versions("next: { weight: 5, bento: ./next }")).versions;
  expect([next!.bento, namesOf(next!)]).toEqual(["./next", ["SDXLControlNetService", "ControlNet"]]);
  expect(next!.services).toMatchObject([
    { task: { image: { context: "./next" } } },
    { function: { handler: "next/functions/handlers/controlnet.handler" } },
  ]);
});

it("wants the same entry in a version's folder", () => {
  const Other = contract("Other");
  const yaml = versions("next: { weight: 5, bento: ./next }");
  const [fault] = toldOf(SEED, yaml, { versions: { next: [Other] } }).filter(({ severity }) => severity === "error");
  expect(faultLine(fault!)).toBe(
    "config-file.yaml:4:31: canary.versions.next.bento: its entry is Other, and the main version's is ControlNet: one URL has one entry; name ControlNet in its bentofile.yaml",
  );
});

it("gives secrets to the versions that name them, and keys to every version's entry", () => {
  const yaml = versions("next: { weight: 5, secrets: [b] }", "access_authorization: true\nsecrets: [a]\n");
  const { plan } = planned(SEED, yaml);
  expect(plan.secrets.map(({ name }) => name)).toEqual(["a", "b", "tandem-api-keys"]);
  expect(plan.services.at(-1)!.secrets).toEqual(["a", "tandem-api-keys"]);
  expect(plan.canary!.versions[0]!.services.at(-1)!.secrets).toEqual(["a", "b", "tandem-api-keys"]);
});

it("wants the rollback function's handler", () => {
  const handlers = (name: string) => (name === "CanaryRollback" ? {} : allHandlers(name));
  const told = toldOf(SEED, versions("next: { weight: 5 }"), { handlers }).filter(({ path }) => path === "canary");
  expect(told.map(faultLine)).toEqual([
    "config-file.yaml:1:1: canary: functions/handlers/canary-rollback.ts is missing, the function that takes calls off a version that fails; write it: export const handler = canaryRollback()",
  ]);
});

it("lets functions in the VPC reach Lambda, to hand calls over", () => {
  const direct = "services:\n  SDXLControlNetService:\n    config_overrides: { traffic: { external_queue: false } }\n";
  expect(planned(SEED, direct).plan.network?.interfaceEndpoints).toEqual(["sqs"]);
  const { network } = planned(SEED, versions("next: { weight: 5 }", direct)).plan;
  expect(network?.interfaceEndpoints).toEqual(["sqs", "lambda"]);
});

it("changes only a version's share where only that is changed", () => {
  const before = planned(SEED, versions("next: { weight: 5 }\nwild: { weight: 1 }")).plan;
  const after = planned(SEED, versions("next: { weight: 25 }\nwild: { weight: 1 }")).plan;
  expect(diffPlans(before, after).map(changeLine)).toEqual(["~ canary.versions.next.weight: 5 -> 25"]);
});
