import { expect, it } from "vitest";
import { resourcesOf } from "../graph.ts";
import { type Graph, synthesize } from "../synth.ts";
import {
  aContainerPlan,
  aContainerService,
  aGpuService,
  anHttpGpuService,
  deployContainers,
} from "./container-plans.ts";

async function devOf(
  plan: Parameters<typeof deployContainers>[0],
): Promise<{ graph: Graph; panes: Record<string, Pane> }> {
  const graph = await synthesize(() => deployContainers(plan), { dev: true });
  expect(graph.error).toBeUndefined();
  const panes = resourcesOf(graph, "sst:sst:DevCommand").map(({ name, urn }) => [
    name,
    graph.componentOutputs.get(urn)?._dev as Pane,
  ]);
  return { graph, panes: Object.fromEntries(panes) };
}

interface Pane {
  readonly command: string;
  readonly environment: Record<string, string>;
}

it("sst dev makes queues and panes: no instance, no cluster, no network, no alarm", async () => {
  const { graph } = await devOf(
    aContainerPlan([aGpuService(), anHttpGpuService({ name: "Upscaler" }), aContainerService()]),
  );
  const made = new Set(graph.resources.filter(({ custom }) => custom).map(({ type }) => type));
  expect([...made].sort()).toEqual([
    "aws:sqs/queue:Queue",
    "aws:sqs/queuePolicy:QueuePolicy",
    "aws:sqs/redriveAllowPolicy:RedriveAllowPolicy",
  ]);
});

it("a pane runs what the container runs, on the stage's queue, without GPUs and below .tandem", async () => {
  const { panes } = await devOf(aContainerPlan([aGpuService()]));
  const { command, environment } = panes.PainterDev!;
  expect(command).toBe("node_modules/.bin/node gpu-worker/main.ts");
  expect(environment).toMatchObject({
    TANDEM_SERVICE: "Painter",
    TANDEM_STORE: "s3://gallery-store",
    TANDEM_MODEL_DIR: ".tandem/dev/Painter/weights",
    TANDEM_RUN_DIR: ".tandem/dev/Painter/run",
  });
  expect(JSON.parse(environment.TANDEM_SERVICES!).Painter.transport).toBe("sqs");
  expect(environment.TANDEM_WORKERS).toBeUndefined();
  expect(environment.PORT).toBeUndefined();
});

it("a service over HTTP has the port of its listener, where the functions on the desk find it", async () => {
  const { graph, panes } = await devOf(aContainerPlan([anHttpGpuService()]));
  expect(panes.PainterDev?.environment.PORT).toBe("8000");
  expect(graph.outputs.Painter).toBe("http://127.0.0.1:8000");
});
