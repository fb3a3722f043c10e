import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { EmfRecorder } from "#shared/observability/emf.ts";
import { watchGpus } from "#shared/observability/gpu.ts";
import { log } from "#shared/observability/log.ts";
import { recordEmf, recordPrometheus } from "#shared/observability/metrics.ts";
import * as prometheus from "#shared/observability/prometheus.ts";
import { standInForNvidiaSmi } from "../../nvidia-smi.ts";

log.level = "silent";
recordPrometheus(prometheus);
const { metrics } = prometheus;

let folder: string;
let stop = (): void => undefined;
let emf: EmfRecorder;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "tandem-smi-"));
  vi.stubEnv("PATH", `${folder}:/usr/bin:/bin`);
  emf = new EmfRecorder();
  recordEmf(emf);
  metrics.resetMetrics();
});
afterEach(async () => {
  stop();
  recordEmf(undefined);
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
  await rm(folder, { recursive: true });
});

const nvidiaSmi = (...lines: string[]) => standInForNvidiaSmi(folder, ...lines);

const gauge = async (name: string): Promise<string[]> =>
  (await metrics.metrics()).split("\n").filter((line) => line.startsWith(`${name}{`));

test("tells how busy this process's GPUs are, to Prometheus and to CloudWatch, idle ones too", async () => {
  const asked = await nvidiaSmi("2, 87, 11520, 23034", "3, 0, 3, 23034");
  stop = watchGpus("Painter", "2,3");
  await vi.waitFor(async () =>
    expect(await gauge("tandem_gpu_utilization")).toEqual([
      'tandem_gpu_utilization{service_name="Painter",gpu="2"} 0.87',
      'tandem_gpu_utilization{service_name="Painter",gpu="3"} 0',
    ]),
  );
  expect(await gauge("tandem_gpu_memory_used_bytes")).toEqual([
    `tandem_gpu_memory_used_bytes{service_name="Painter",gpu="2"} ${11520 * 2 ** 20}`,
    `tandem_gpu_memory_used_bytes{service_name="Painter",gpu="3"} ${3 * 2 ** 20}`,
  ]);
  expect(await gauge("tandem_gpu_memory_total_bytes")).toEqual([
    `tandem_gpu_memory_total_bytes{service_name="Painter",gpu="2"} ${23034 * 2 ** 20}`,
    `tandem_gpu_memory_total_bytes{service_name="Painter",gpu="3"} ${23034 * 2 ** 20}`,
  ]);
  expect(await asked()).toBe(
    "--query-gpu=index,utilization.gpu,memory.used,memory.total --format=csv,noheader,nounits --id=2,3\n",
  );
  const [line, ...others] = emf.lines();
  expect(others).toEqual([]);
  expect(JSON.parse(line!)).toMatchObject({
    _aws: {
      CloudWatchMetrics: [
        {
          Namespace: "Tandem",
          Dimensions: [["Service"]],
          Metrics: [
            { Name: "GpuUtilization", Unit: "Percent" },
            { Name: "GpuMemoryUsed", Unit: "Bytes" },
          ],
        },
      ],
    },
    Service: "Painter",
    GpuUtilization: [87, 0],
    GpuMemoryUsed: [11520 * 2 ** 20, 3 * 2 ** 20],
  });
});

test("an idle GPU alone is told of: an alarm waits for it", async () => {
  await nvidiaSmi("0, 0, 3, 23034");
  stop = watchGpus("Painter", "0");
  await vi.waitFor(async () => expect(await gauge("tandem_gpu_utilization")).toHaveLength(1));
  expect(JSON.parse(emf.lines()[0]!)).toMatchObject({ GpuUtilization: [0] });
});

test("what a GPU does not tell is left out", async () => {
  await nvidiaSmi("0, [N/A], 11520, 23034", "1, 5, 10, 23034");
  stop = watchGpus("Painter", "0,1");
  await vi.waitFor(async () => expect(await gauge("tandem_gpu_utilization")).toHaveLength(1));
  expect((await gauge("tandem_gpu_utilization"))[0]).toContain('gpu="1"');
});

test("a process without GPUs asks for nothing, and a machine without the command is asked once", async () => {
  const asked = await nvidiaSmi("0, 1, 1, 1");
  stop = watchGpus("Painter", "");
  await new Promise((resolve) => setTimeout(resolve, 100));
  expect(await asked()).toBe("");
  vi.stubEnv("PATH", "/nowhere");
  const clear = vi.spyOn(globalThis, "clearInterval");
  stop = watchGpus("Painter", "0");
  await vi.waitFor(() => expect(clear).toHaveBeenCalledTimes(1));
});
