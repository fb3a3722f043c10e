import { expect, it } from "vitest";
import { deploy } from "#infra/deploy.ts";
import type { DeploymentPlan, ServicePlan } from "#infra/plan/deployment-plan.ts";
import { logicalName } from "#infra/plan/names.ts";
import { resourceNames } from "#infra/plan/resource-names.ts";
import { GRAPHS } from "../plan/graphs.ts";
import { contract, planned } from "../plan/planned.ts";
import { type Graph, type GraphResource, synthesize } from "../synth.ts";

/** A service of a plan, and what the names of its resources end in, by what they must be apart in. */
interface Named {
  readonly plan: DeploymentPlan;
  readonly service: ServicePlan;
  readonly ends: ReadonlyMap<string, ReadonlySet<string>>;
}

async function deployed(plan: DeploymentPlan, dev = false): Promise<Graph> {
  const options = { stage: plan.stage, region: plan.region, dev };
  const secrets = plan.secrets.map(({ sst }) => `SST_SECRET_${sst}`);
  for (const name of secrets) process.env[name] = "a value";
  const graph = await synthesize(() => deploy(plan), options);
  for (const name of secrets) delete process.env[name];
  expect(graph.error).toBeUndefined();
  return graph;
}

/** Pulumi wants names apart in a type below a parent's type; SST those of all its components, whatever their capitals. */
function apartIn({ urn, type, parent }: GraphResource): string[] {
  const isOnTop = parent === undefined || parent.split("::")[2] === "pulumi:pulumi:Stack";
  return [urn.split("::")[2]!, ...(isOnTop && type.startsWith("sst:") ? ["SST"] : [])];
}

function namedIn(plan: DeploymentPlan, graphs: readonly Graph[]): Named[] {
  const services = [...plan.services, ...(plan.canary?.versions ?? []).flatMap(({ services }) => services)];
  const named = services.map((service) => ({ plan, service, ends: new Map<string, Set<string>>() }));
  const longestFirst = named.toSorted((a, b) => logicalName(b.service).length - logicalName(a.service).length);
  for (const resource of graphs.flatMap(({ resources }) => resources)) {
    const whose = longestFirst.find(({ service }) => resource.name.startsWith(logicalName(service)));
    if (!whose) continue;
    const end = resource.name.slice(logicalName(whose.service).length);
    for (const scope of apartIn(resource)) {
      if (!whose.ends.has(scope)) whose.ends.set(scope, new Set());
      whose.ends.get(scope)!.add(end);
    }
  }
  return named;
}

/** What a service could be called beyond another's name, so that it would have a resource of that other's. */
function wordsBetween(one: Named, other: Named): Set<string> {
  return new Set(
    [...one.ends].flatMap(([scope, ends]) =>
      [...ends].flatMap((end) =>
        [...(other.ends.get(scope) ?? [])].flatMap((tail) =>
          end !== tail && end.endsWith(tail) ? [end.slice(0, end.length - tail.length)] : [],
        ),
      ),
    ),
  );
}

function namesOf({ plan, service }: Named, name: string): string[] {
  return resourceNames({ ...service, name, version: undefined }, plan.secrets);
}

it("of two services' resources are refused wherever Pulumi or SST would have two of one name", async () => {
  const all: Named[] = [];
  for (const [, services, config, options] of GRAPHS) {
    const { plan } = planned(services, config, options);
    all.push(...namedIn(plan, [await deployed(plan), await deployed(plan, true)]));
  }
  const found = new Set<string>();
  const missed = new Set<string>();
  for (const one of all)
    for (const other of all)
      for (const word of wordsBetween(one, other)) {
        found.add(word);
        const names = new Set(namesOf(one, "A"));
        if (!namesOf(other, `A${word}`).some((name) => names.has(name)))
          missed.add(`a ${one.service.kind} A and a ${other.service.kind} A${word}`);
      }
  expect([...missed]).toEqual([]);
  for (const word of [
    "Priority",
    "DeadLetter",
    "DeadLetters",
    "QueueRunner",
    "Cluster",
    "Dev",
    "Instances",
    "Operator",
  ])
    expect(found).toContain(word);
}, 300_000);

const queued = "config_overrides: { traffic: { external_queue: true } }";

it("are apart for services whose names begin alike, but have no role's name between them", async () => {
  const Callee = contract("AQueue");
  const { plan } = planned([Callee, contract("A", { dependencies: [Callee] })], `services: { AQueue: { ${queued} } }`);
  const urns = (await deployed(plan)).resources.map(({ urn }) => urn);
  expect(urns.filter((urn, index) => urns.indexOf(urn) !== index)).toEqual([]);
});

it("are one in Pulumi for those that are refused", async () => {
  const Callee = contract("APriority");
  const services = [Callee, contract("A", { dependencies: [Callee] })];
  const config = `services: { APriority: { ${queued} } }`;
  expect(() => planned(services, config)).toThrow(
    "services.A: A and APriority would both have a queue APriorityQueue in Pulumi; rename one",
  );
  const Other = contract("Priority");
  const { plan } = planned([Other, contract("A", { dependencies: [Other] })], config.replace("APriority", "Priority"));
  const renamed = JSON.parse(JSON.stringify(plan).replaceAll('"Priority"', '"APriority"')) as DeploymentPlan;
  const urns = (await deployed(renamed)).resources.map(({ urn }) => urn.split("$").at(-1));
  expect(urns.filter((urn, index) => urns.indexOf(urn) !== index).sort()).toEqual([
    "aws:lambda/eventSourceMapping:EventSourceMapping::APriorityQueueSource",
    "aws:sqs/queue:Queue::APriorityQueue",
    "aws:sqs/queuePolicy:QueuePolicy::APriorityQueueTls",
  ]);
});
