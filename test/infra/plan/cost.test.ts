import { expect, it } from "vitest";
import { Catalogue } from "#infra/catalogue/instance-types.ts";
import { type CostParts, costOf } from "#infra/plan/cost.ts";
import type { CostItem, NetworkPlan } from "#infra/plan/deployment-plan.ts";
import { alarm, container, cpuService, edge, gpuFunction, gpuService } from "./plan-parts.ts";

const catalogue = new Catalogue();
const network: NetworkPlan = {
  zones: 3,
  private: false,
  gatewayEndpoints: ["s3"],
  interfaceEndpoints: [],
  loadBalanced: [],
};

const parts = (more: Partial<CostParts>): CostParts => ({
  region: "us-east-1",
  entry: { service: "ControlNet", access: "none", cors: undefined, invokeMode: "RESPONSE_STREAM" },
  services: [],
  edges: [],
  network: undefined,
  alarms: [],
  canary: undefined,
  ...more,
});

/** Items as `[what, at min, at max]`, in cents. */
const cents = (items: readonly CostItem[]): (string | number | undefined)[][] =>
  items.map(({ what, monthlyAtMin, monthlyAtMax }) => [
    what,
    monthlyAtMin && Math.round(monthlyAtMin * 100) / 100,
    monthlyAtMax && Math.round(monthlyAtMax * 100) / 100,
  ]);

const seed = parts({
  services: [
    gpuService("SDXLControlNetService", "gpu.l4.1", "g6.xlarge", [1, 2]),
    cpuService("ControlNet", { provisionedConcurrency: 1 }),
  ],
  edges: [edge("ControlNet", "SDXLControlNetService", "sqs")],
  network,
  alarms: [alarm("queue-age"), alarm("dead-letters"), alarm("error-rate")],
});

it("reckons the seed's month, item by item", () => {
  const { items, monthlyAtMin, monthlyAtMax } = costOf(seed, catalogue);
  expect(cents(items)).toEqual([
    ["1 to 2 x g6.xlarge on demand", 587.5, 1175.01], // 0.8048 * 730
    ["1 to 2 root volumes of 100 GiB", 8, 16], // 100 * 0.08
    ["1 to 2 public IPv4 addresses", 3.65, 7.3], // 0.005 * 730
    ["alarms of scaling", 1, 1], // 10 metrics * 0.10
    ["1 x 2048 MB kept warm", 17.52, 17.52], // 2 GB * 730 * 3600 s * 0.0000033334
    ["Container Insights, 32 metrics", 9.6, 9.6], // (11 + 21) * 0.30
    ["3 alarms", 0.5, 0.5], // (2 + 1 + 2) * 0.10
    ["dashboard", 3, 3],
  ]);
  expect(monthlyAtMin).toBeCloseTo(630.77, 2);
  expect(monthlyAtMax).toBeCloseTo(1229.93, 2);
});

it("reckons the seed's 1,000 pictures: the GPU, the entry that waits, requests", () => {
  const { callItems, perThousandPictures, secondsPerPicture, basis } = costOf(seed, catalogue);
  // 9.4 s / 0.75 for 30 steps without ControlNet; 25 steps with one.
  expect(secondsPerPicture).toBe(15.5);
  const [gpu, wait, requests] = callItems.map((item) => item.perThousandPictures!);
  expect(gpu).toBeCloseTo((1000 * 15.5 * 0.8048) / 3600, 6);
  expect(wait).toBeCloseTo(1000 * (15.5 * 2 * 0.0000133334 + 0.0000002), 6);
  // Sent, received, deleted and hidden once more; the result and 15 times progress; 13 looks and 2 a second.
  expect(requests).toBeCloseTo(1000 * (4 * 0.0000004 + 16 * 0.000005 + 43 * 0.0000004), 6);
  expect(perThousandPictures).toBeCloseTo(3.98, 2);
  expect(basis).toContain("seconds of SDXLControlNetService: SDXL with a ControlNet");
});

it("takes the seconds that the config file gives", () => {
  const { secondsPerPicture, callItems, basis } = costOf(seed, catalogue, { SDXLControlNetService: 36 });
  expect(secondsPerPicture).toBe(36);
  expect(callItems[0]?.perThousandPictures).toBeCloseTo(8.048, 6);
  expect(basis).not.toContain("seconds_per_call");
});

it("shares a machine's price among its replicas and their workers", () => {
  const service = (replicasPerInstance: number, workers: number) =>
    gpuService("G", "gpu.l4.4", "g6.12xlarge", [0, 1], {
      capacity: { replicasPerInstance },
      task: { workers: Array.from({ length: workers }, (_, gpu) => ({ gpus: [gpu] })) },
    });
  const perThousand = (replicas: number, workers: number) =>
    costOf(
      parts({
        services: [service(replicas, workers), cpuService("ControlNet")],
        edges: [edge("ControlNet", "G", "http")],
        network,
      }),
      catalogue,
      { G: 10 },
    ).callItems[0]?.perThousandPictures;
  expect(perThousand(1, 1)).toBeCloseTo((1000 * 10 * 4.6016) / 3600, 6);
  expect(perThousand(1, 4)).toBeCloseTo((1000 * 10 * 4.6016) / 3600 / 4, 6);
  expect(perThousand(2, 2)).toBeCloseTo((1000 * 10 * 4.6016) / 3600 / 4, 6);
});

it("counts a service's calls along every way from the entry", () => {
  const { secondsPerPicture, callItems } = costOf(
    parts({
      services: [
        gpuService("D", "gpu.l4.1", "g6.xlarge", [0, 1]),
        cpuService("B"),
        cpuService("C"),
        cpuService("ControlNet"),
      ],
      edges: [
        edge("B", "D", "sqs"),
        edge("C", "D", "sqs"),
        edge("ControlNet", "B", "lambda"),
        edge("ControlNet", "C", "lambda"),
      ],
    }),
    catalogue,
    { D: 3600 },
  );
  expect(secondsPerPicture).toBe(7200);
  const duration = (seconds: number) => 1000 * (seconds * 2 * 0.0000133334 + 0.0000002);
  expect(callItems.slice(0, 4).map((item) => item.perThousandPictures)).toEqual(
    [2000 * 0.8048, duration(3600), duration(3600), duration(7200)].map((usd) => expect.closeTo(usd, 4)),
  );
});

it("counts Spot, stopped instances and the alarm that wakes from zero", () => {
  const service = gpuService("G", "gpu.a10g.1", "g5.xlarge", [0, 5], {
    capacity: { spotPercent: 50, warmPool: 2, rootVolume: 50 },
  });
  const { items } = costOf(parts({ services: [service], network }), catalogue);
  expect(cents(items).slice(0, 6)).toEqual([
    ["0 to 3 x g5.xlarge on demand", 0, 2203.14], // 3 * 1.006 * 730
    ["0 to 2 x g5.xlarge Spot, priced as on demand", 0, 1468.76],
    ["0 to 5 root volumes of 50 GiB", 0, 20],
    ["0 to 5 public IPv4 addresses", 0, 18.25],
    ["2 volumes of stopped instances, 50 GiB each", 8, 8],
    ["alarms of scaling", 1.7, 1.7],
  ]);
});

it("counts containers by their architecture, a load balancer and endpoints", () => {
  const { items } = costOf(
    parts({
      services: [container("X", [1, 1], "linux/amd64"), container("Y", [1, 2], "linux/arm64")],
      network: {
        ...network,
        zones: 2,
        private: true,
        interfaceEndpoints: ["sqs", "logs"],
        loadBalanced: [{ service: "X", port: 8000 }],
      },
    }),
    catalogue,
  );
  expect(cents(items)).toEqual([
    ["1 Fargate tasks of 4 vCPU and 16 GB", 170.12, 170.12], // (4 * 0.04048 + 16 * 0.004445) * 730
    ["1 public IPv4 addresses", 3.65, 3.65],
    ["1 to 2 Fargate tasks of 4 vCPU and 16 GB", 136.13, 272.26], // (4 * 0.03238 + 16 * 0.00356) * 730
    ["1 to 2 public IPv4 addresses", 3.65, 7.3],
    ["alarms of scaling", 1, 1],
    ["load balancer", 16.43, 16.43], // 0.0225 * 730
    ["2 interface endpoints in 2 zones", 29.2, 29.2], // 4 * 0.01 * 730
    ["Container Insights, 53 metrics", 15.9, 15.9],
    ["dashboard", 3, 3],
  ]);
});

it("counts a GPU function's machine and what Lambda takes for managing it", () => {
  const { items, callItems } = costOf(
    parts({ services: [gpuFunction("G", [0, 2]), cpuService("ControlNet")], edges: [edge("ControlNet", "G", "sqs")] }),
    catalogue,
    { G: 36 },
  );
  expect(cents(items)[0]).toEqual(["0 to 2 x g6.xlarge managed by Lambda", 0, 1351.26]); // 0.8048 * 1.15 * 730 * 2
  expect(callItems[0]?.perThousandPictures).toBeCloseTo(8.048 * 1.15, 6);
});

it("knows no figure where no source has the price, and leaves it out of the sum", () => {
  const { items, monthlyAtMax, perThousandPictures } = costOf(
    parts({ services: [gpuService("G", "p5e.48xlarge", "p5e.48xlarge", [0, 1]), cpuService("ControlNet")], network }),
    catalogue,
  );
  expect(cents(items)[0]).toEqual(["0 to 1 x p5e.48xlarge on demand", 0, undefined]);
  expect(monthlyAtMax).toBeCloseTo(8 + 3.65 + 1.7 + 9.6 + 3, 6);
  expect(perThousandPictures).toBeUndefined();
  const warm = cpuService("ControlNet", { provisionedConcurrency: 2, architecture: "x86_64" });
  expect(cents(costOf(parts({ services: [warm] }), catalogue).items)[0]).toEqual([
    "2 x 2048 MB kept warm",
    undefined,
    undefined,
  ]);
});

it("says that another region has the prices of us-east-1, and nothing of pictures without a GPU", () => {
  const { basis, callItems, perThousandPictures, secondsPerPicture } = costOf(
    parts({ region: "eu-central-1", services: [cpuService("ControlNet")] }),
    catalogue,
  );
  expect(basis).toContain("eu-central-1 is priced as us-east-1");
  expect([callItems, perThousandPictures, secondsPerPicture]).toEqual([[], undefined, undefined]);
});

it("counts the versions of a canary beside the main one", () => {
  const next = {
    label: "next",
    services: [gpuService("G", "gpu.l4.1", "g6.xlarge", [1, 1])],
  };
  const { items } = costOf(parts({ canary: { versions: [next] }, network }), catalogue);
  expect(items[0]).toMatchObject({ service: "G (next)", what: "1 x g6.xlarge on demand" });
  expect(items.map(({ what }) => what)).toContain("Container Insights, 32 metrics");
});
