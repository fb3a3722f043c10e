import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { deploy } from "#infra/deploy.ts";
import type { DeploymentPlan } from "#infra/plan/deployment-plan.ts";
import { resourceOf, resourcesOf } from "../graph.ts";
import { graphSummary } from "../graph-summary.ts";
import { GRAPHS } from "../plan/graphs.ts";
import { planned, SEED } from "../plan/planned.ts";
import type { Inputs } from "../platform.ts";
import { type Graph, synthesize } from "../synth.ts";

interface Statement {
  Effect: string;
  Action: string | string[];
  Resource?: string | string[];
  Principal?: unknown;
}

const list = (value: string | string[] | undefined): string[] => (value === undefined ? [] : [value].flat());
const parsed = (policy: unknown): { Statement: Statement[] } =>
  (typeof policy === "string" ? JSON.parse(policy) : policy) as { Statement: Statement[] };

/** What roles may do: their inline policies, and those that stand beside them. */
function statements(graph: Graph): { role: string; statement: Statement }[] {
  const inline = resourcesOf(graph, "aws:iam/role:Role").flatMap(({ name, inputs }) =>
    ((inputs.inlinePolicies ?? []) as Inputs[]).map(({ policy }) => ({ role: name, policy })),
  );
  const beside = ["aws:iam/rolePolicy:RolePolicy", "aws:iam/policy:Policy"].flatMap((type) =>
    resourcesOf(graph, type).map(({ name, inputs }) => ({ role: name, policy: inputs.policy })),
  );
  return [...inline, ...beside].flatMap(({ role, policy }) =>
    parsed(policy).Statement.map((statement) => ({ role, statement })),
  );
}

/** Functions, those of stacks too, which the template alone knows. */
function functionsOf(graph: Graph): { name: string; timeout: number }[] {
  const inStacks = resourcesOf(graph, "aws:cloudformation/stack:Stack").flatMap(({ inputs }) => {
    const { Resources } = JSON.parse(inputs.templateBody as string) as { Resources: Record<string, StackResource> };
    return Object.values(Resources).flatMap(({ Type, Properties: { FunctionName, Timeout } }) =>
      Type === "AWS::Lambda::Function" ? [{ name: String(FunctionName), timeout: Number(Timeout) }] : [],
    );
  });
  const own = resourcesOf(graph, "aws:lambda/function:Function").map(({ inputs }) => ({
    name: String(inputs.name),
    timeout: Number(inputs.timeout),
  }));
  return [...own, ...inStacks];
}

interface StackResource {
  readonly Type: string;
  readonly Properties: Record<string, unknown>;
}

/** Actions that AWS knows no resource for (Service Authorization Reference), or demands `*` of. */
const WITHOUT_RESOURCE =
  /^(ec2:(Create|Describe|Delete|Assign|Unassign)\w*(NetworkInterface|PrivateIpAddresses|Subnets|SecurityGroups|Vpcs)\w*|cloudwatch:DescribeAlarms|ecr:GetAuthorizationToken|ssmmessages:\w+)$/;

const seed = readFileSync(new URL("../../../config-file.yaml", import.meta.url), "utf8");
const rows: typeof GRAPHS = [["seed", SEED, seed], ...GRAPHS];

describe.each(rows.map(([name, services, config, options]) => ({ name, services, config, options })))(
  "$name",
  ({ name, services, config, options }) => {
    let plan: DeploymentPlan;
    let graph: Graph;
    beforeAll(async () => {
      ({ plan } = planned(services, config, options));
      for (const { sst } of plan.secrets) vi.stubEnv(`SST_SECRET_${sst}`, "a-secret-of-16-letters");
      graph = await synthesize(() => deploy(plan), { stage: plan.stage, region: plan.region });
      expect(graph.error).toBeUndefined();
    });

    afterAll(() => {
      vi.unstubAllEnvs();
    });

    it("is the graph that was read and found right", async () => {
      await expect(`${graphSummary(graph, plan)}\n`).toMatchFileSnapshot(`snapshots/${name}.txt`);
    });

    it("grants no action on everything, but those that AWS knows no resource for, and no service's every action", () => {
      const all = statements(graph);
      expect(all.length).toBeGreaterThan(3);
      const wide = all.flatMap(({ role, statement: { Effect, Action, Resource } }) => {
        if (Effect !== "Allow") return [];
        const onAll = list(Resource).includes("*");
        return list(Action)
          .filter((action) => action.endsWith("*") || (onAll && !WITHOUT_RESOURCE.test(action)))
          .map((action) => `${role}: ${action} on ${list(Resource).join()}`);
      });
      expect(wide).toEqual([]);
    });

    it("shows nothing to the world but the entry's URL", () => {
      const open = resourcesOf(graph, "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule").filter(
        ({ inputs }) => inputs.cidrIpv4 !== undefined || inputs.cidrIpv6 !== undefined,
      );
      expect(open).toEqual([]);
      for (const { inputs } of resourcesOf(graph, "aws:ec2/securityGroup:SecurityGroup"))
        expect(inputs.ingress ?? []).toEqual([]);
      for (const { inputs } of resourcesOf(graph, "aws:lb/loadBalancer:LoadBalancer"))
        expect(inputs.internal).toBe(true);
      expect(resourcesOf(graph, "aws:lambda/functionUrl:FunctionUrl")).toHaveLength(1);
      const entry = plan.services.at(-1)!;
      const forAll = resourcesOf(graph, "aws:lambda/permission:Permission").filter(
        ({ inputs }) => inputs.principal === "*",
      );
      for (const { inputs } of forAll) {
        expect("function" in entry && entry.function?.physicalName).toBe(inputs.function);
        expect(inputs.functionUrlAuthType === "NONE" || inputs.invokedViaFunctionUrl === true).toBe(true);
      }
      for (const { inputs } of resourcesOf(graph, "aws:ecr/repositoryPolicy:RepositoryPolicy"))
        for (const { Principal } of parsed(inputs.policy).Statement)
          expect(Principal).toEqual({ Service: "lambda.amazonaws.com" });
      const store = resourceOf(graph, "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock").inputs;
      expect([
        store.blockPublicAcls,
        store.blockPublicPolicy,
        store.ignorePublicAcls,
        store.restrictPublicBuckets,
      ]).toEqual([true, true, true, true]);
    });

    it("encrypts what it stores", () => {
      for (const { inputs } of resourcesOf(graph, "aws:sqs/queue:Queue"))
        expect(inputs.sqsManagedSseEnabled === true || inputs.kmsMasterKeyId !== undefined).toBe(true);
      for (const { inputs } of resourcesOf(graph, "aws:sns/topic:Topic")) expect(inputs.kmsMasterKeyId).toBeDefined();
      resourceOf(graph, "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration");
      for (const { inputs } of resourcesOf(graph, "aws:ec2/launchTemplate:LaunchTemplate"))
        for (const { ebs } of inputs.blockDeviceMappings as { ebs: Inputs }[]) expect(ebs.encrypted).toBe("true");
      for (const { inputs } of resourcesOf(graph, "aws:ecr/repository:Repository"))
        expect(inputs.encryptionConfigurations).toEqual([{ encryptionType: "AES256" }]);
    });

    it("gives every queue a dead-letter queue, and functions six times their timeout", () => {
      const queues = resourcesOf(graph, "aws:sqs/queue:Queue");
      const arnOf = (queue: string): string => `arn:aws:sqs:${plan.region}:123456789012:${queue}`;
      const targets = new Set<string>();
      for (const { inputs } of queues)
        if (inputs.redrivePolicy !== undefined)
          targets.add(
            (JSON.parse(inputs.redrivePolicy as string) as { deadLetterTargetArn: string }).deadLetterTargetArn,
          );
      const without = queues.filter(
        ({ inputs }) => inputs.redrivePolicy === undefined && !targets.has(arnOf(String(inputs.name))),
      );
      expect(without).toEqual([]);
      const functions = functionsOf(graph);
      for (const { inputs } of resourcesOf(graph, "aws:lambda/eventSourceMapping:EventSourceMapping")) {
        const queue = queues.find((one) => arnOf(String(one.inputs.name)) === inputs.eventSourceArn)!;
        const fn = functions.find(({ name }) => String(inputs.functionName).split(":")[6] === name)!;
        expect(queue.inputs.visibilityTimeoutSeconds, `${queue.name} for ${fn.name}`).toBeGreaterThanOrEqual(
          6 * fn.timeout,
        );
        expect(inputs.functionResponseTypes).toEqual(["ReportBatchItemFailures"]);
      }
    });

    it("has actions for every alarm, and every alarm of the plan", () => {
      const alarms = resourcesOf(graph, "aws:cloudwatch/metricAlarm:MetricAlarm");
      for (const { name: alarm, inputs } of alarms) expect(inputs.alarmActions, alarm).not.toHaveLength(0);
      const names = alarms.map(({ inputs }) => inputs.name);
      for (const { physicalName } of plan.alarms) expect(names).toContain(physicalName);
    });

    it("says of everything that costs which service it is for", () => {
      const costly = [
        "aws:lambda/function:Function",
        "aws:sqs/queue:Queue",
        "aws:ecs/service:Service",
        "aws:ecs/taskDefinition:TaskDefinition",
        "aws:ec2/launchTemplate:LaunchTemplate",
        "aws:cloudwatch/logGroup:LogGroup",
        "aws:cloudformation/stack:Stack",
        "aws:ecr/repository:Repository",
      ].flatMap((type) => resourcesOf(graph, type));
      const untagged = costly.filter(({ inputs }) => !(inputs.tags as Inputs | undefined)?.["tandem:service"]);
      expect(untagged.map(({ name: resource }) => resource)).toEqual([]);
    });
  },
);
