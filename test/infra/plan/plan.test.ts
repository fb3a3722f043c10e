import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { bentofileNotes } from "#infra/plan/bentofile-notes.ts";
import { parseBentofile } from "#shared/config/load.ts";
import { handlerFiles } from "#shared/serve/handler-files.ts";
import { GRAPHS } from "./graphs.ts";
import { allHandlers, contract, outline, planned, SEED, serviceIn, serviceOf, toldOf } from "./planned.ts";

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));
const read = (file: string): string => readFileSync(ROOT + file, "utf8");

describe("a plan", () => {
  it("of the project's own files is what the seed's author wants", async () => {
    const { plan } = planned(SEED, read("config-file.yaml"), {
      bentofile: read("bentofile.yaml"),
      handlers: (name) => handlerFiles(ROOT, name),
    });
    await expect(outline(plan)).toMatchFileSnapshot("snapshots/seed.txt");
  });

  it.each(GRAPHS.map((row) => ({ name: row[0], services: row[1], config: row[2], options: row[3] })))(
    "of $name",
    async ({ name, services, config, options }) => {
      await expect(outline(planned(services, config, options).plan)).toMatchFileSnapshot(`snapshots/${name}.txt`);
    },
  );

  it("is plain data: JSON gives the same again", () => {
    for (const [, services, config, options] of GRAPHS) {
      const { plan } = planned(services, config, options);
      expect(JSON.parse(JSON.stringify(plan))).toEqual(JSON.parse(JSON.stringify(structuredClone(plan))));
      expect(outline(JSON.parse(JSON.stringify(plan)))).toBe(outline(plan));
    }
  });

  it("is the same for the same input", () => {
    const [, services, config, options] = GRAPHS[0]!;
    expect(planned(services, config, options)).toEqual(planned(services, config, options));
  });

  it("has callees before callers, and the entry last", () => {
    for (const [, services, config, options] of GRAPHS) {
      const { plan } = planned(services, config, options);
      const place = (name: string): number => plan.services.findIndex((service) => service.name === name);
      for (const { caller, callee } of plan.edges) expect(place(callee)).toBeLessThan(place(caller));
      expect(plan.services.at(-1)?.name).toBe(plan.entry.service);
    }
  });

  it("infers machines from what contracts ask for", () => {
    const Small = contract("Small", { resources: { cpu: "400m", memory: "1Gi" } });
    const Wide = contract("Wide", { resources: { gpu: 2, gpuType: "nvidia-l4" }, workers: 2 });
    const Any = contract("Any", { resources: { gpu: 1 } });
    const Entry = contract("Entry", { resources: { cpu: 2, memory: "3Gi" }, dependencies: [Small, Wide, Any] });
    const { plan } = planned([Small, Wide, Any, Entry], "");
    const types = Object.fromEntries(plan.services.map(({ name, instanceType }) => [name, instanceType]));
    expect(types).toEqual({ Small: "cpu.1", Wide: "gpu.l4.4", Any: "gpu.t4.1", Entry: "cpu.4" });
    expect(serviceOf(plan, "Wide", "gpu")).toMatchObject({
      task: { gpus: 2, workers: [{ gpus: [0] }, { gpus: [1] }] },
      capacity: { replicasPerInstance: 2 },
    });
  });

  it("deals GPUs out as the file says", () => {
    const workersOf = (workers: string, resources = "{}", type = "gpu.l4.4") => {
      const text = `services:\n  SDXLControlNetService:\n    instance_type: ${type}\n    config_overrides:\n      workers: ${workers}\n      resources: ${resources}`;
      const { gpus, workers: dealt } = serviceOf(planned(SEED, text).plan, "SDXLControlNetService", "gpu").task;
      return [gpus, dealt.map((worker) => worker.gpus)];
    };
    expect(workersOf("4")).toEqual([4, [[0], [1], [2], [3]]]);
    expect(workersOf("2", "{ gpu: 4 }")).toEqual([
      4,
      [
        [0, 1],
        [2, 3],
      ],
    ]);
    expect(workersOf("[{ gpus: [1, 2] }, { gpus: 1 }, { gpu: 1 }]")).toEqual([4, [[1, 2], [0], [3]]]);
    expect(workersOf("2", "{ gpu: 1 }", "gpu.l4.1")).toEqual([1, [[0], [0]]]);
    expect(workersOf("1", "{ gpu: 0.5 }", "gpu.l4.1")).toEqual([1, [[0]]]);
  });

  it("puts as many replicas on an instance as fit", () => {
    const replicas = (resources: string) => {
      const text = `services:\n  SDXLControlNetService:\n    instance_type: gpu.l4.4\n    scaling: { min_replicas: 3, max_replicas: 9 }\n    config_overrides:\n      resources: ${resources}`;
      const { capacity } = serviceOf(planned(SEED, text).plan, "SDXLControlNetService", "gpu");
      return [capacity.replicasPerInstance, capacity.minInstances, capacity.maxInstances];
    };
    expect(replicas("{ gpu: 1 }")).toEqual([4, 1, 3]);
    expect(replicas("{ gpu: 1, memory: 80Gi }")).toEqual([2, 2, 5]);
    expect(replicas("{ gpu: 1, cpu: 20 }")).toEqual([2, 2, 5]);
    expect(replicas("{ gpu: 4 }")).toEqual([1, 3, 9]);
  });

  it("keeps functions warm and bounds them only where the file says so", () => {
    const entry = (scaling: string) => {
      const { plan } = planned(
        SEED,
        `services:\n  ControlNet:\n    scaling: ${scaling}\n    config_overrides: { workers: 2 }`,
      );
      const { function: live, queueFunction } = serviceOf(plan, "ControlNet", "function");
      return [live?.provisionedConcurrency, live?.reservedConcurrency, queueFunction?.maximumConcurrency];
    };
    expect(entry("{}")).toEqual([0, undefined, 16]);
    expect(entry("{ max_replicas: 3 }")).toEqual([0, 6, 48]);
    expect(entry("{ min_replicas: 2 }")).toEqual([4, undefined, 32]);
    expect(entry("{ min_replicas: 1, max_replicas: 100 }")).toEqual([2, 200, 1000]);
  });

  it("has no function but the queue's where nobody invokes a service: it is kept warm, and no other handler is asked for", () => {
    const Worker = contract("Worker");
    const Entry = contract("Entry", { dependencies: [Worker] });
    const handlers = (name: string) => {
      const { url = "", ...others } = allHandlers(name);
      return name === "Worker" ? others : { url, ...others };
    };
    const worker = (queued: boolean) => {
      const text = `services:\n  Worker:\n    scaling: { min_replicas: 2, max_replicas: 3 }\n    config_overrides: { traffic: { external_queue: ${queued} } }`;
      return serviceOf(planned([Worker, Entry], text, queued ? { handlers } : {}).plan, "Worker", "function");
    };
    const { function: invoked, queueFunction, permissions } = worker(true);
    expect(invoked).toBeUndefined();
    expect(queueFunction).toMatchObject({ physicalName: "entry-dev-worker-queue", provisionedConcurrency: 2 });
    expect(permissions).toEqual([]);
    expect(worker(false)).toMatchObject({
      function: { provisionedConcurrency: 2, reservedConcurrency: 3 },
      queueFunction: undefined,
    });
  });

  it("gives the keys of callers to the function with the URL alone, other secrets to all", () => {
    const { plan } = planned(SEED, "access_authorization: true\nsecrets: [hf-token]");
    const { secrets, queueFunction } = serviceOf(plan, "ControlNet", "function");
    expect(secrets).toEqual(["hf-token", "tandem-api-keys"]);
    expect(queueFunction?.secrets).toEqual(["hf-token"]);
    expect(serviceIn(plan, "SDXLControlNetService").secrets).toEqual(["hf-token"]);
  });

  it("gives services variables of bentofile.yaml, of the file and their own, the last winning", () => {
    const { plan } = planned(
      SEED,
      "envs: [{ name: B, value: all }, { name: C, value: all }]\nservices:\n  ControlNet:\n    envs: [{ name: C, value: own }]",
      {
        bentofile:
          'service: "service:ControlNet"\nenvs: [{ name: A, value: b }, { name: B, value: b }, { name: X, value: b, stage: build }]',
      },
    );
    expect(serviceIn(plan, "ControlNet").environment).toEqual({ A: "b", B: "all", C: "own" });
    expect(serviceIn(plan, "SDXLControlNetService").environment).toMatchObject({ A: "b", B: "all", C: "all" });
    expect(serviceIn(plan, "SDXLControlNetService").environment).not.toHaveProperty("X");
  });

  it("builds the image as bentofile.yaml says, and gives containers its variables", () => {
    const { plan } = planned(SEED, "", {
      bentofile:
        'service: "service:ControlNet"\nenvs: [{ name: B, value: own }]\ndocker: { cuda_version: "12.6.3", system_packages: [ffmpeg, git], env: [A=1, B=image] }',
    });
    expect(serviceOf(plan, "SDXLControlNetService", "gpu")).toMatchObject({
      task: {
        image: { args: { BASE: "nvidia/cuda:12.6.3-cudnn-runtime-ubuntu24.04", SYSTEM_PACKAGES: "ffmpeg git" } },
      },
      environment: { A: "1", B: "own" },
    });
    expect(serviceIn(plan, "ControlNet").environment).toEqual({ B: "own" });
  });

  it("is refused where bentofile.yaml sets what the deployment sets", () => {
    const bentofile = 'service: "service:ControlNet"\nenvs: [{ name: TANDEM_STORE, value: "file:/x" }]';
    expect(() => planned(SEED, "", { bentofile })).toThrow(/bentofile\.yaml sets TANDEM_STORE, the deployment's own/);
  });

  it("tells of bentofile.yaml's fields that no deployment has a use for", () => {
    const notes = (text: string) =>
      bentofileNotes(parseBentofile(`service: "service:A"\n${text}`)).map(({ line, path }) => `${line} ${path}`);
    expect(notes('include: ["*.ts"]\ndocker:\n  env: .env\n  cuda_version: "11.8"\npython: { packages: [a] }')).toEqual(
      ["6 python.packages", "2 include", "4 docker.env", "5 docker.cuda_version"],
    );
    expect(notes('docker: { cuda_version: "12.8.1", env: { A: 1 } }')).toEqual([]);
  });

  it("tells functions and containers what the file says instead of the contract", () => {
    const { plan } = planned(
      SEED,
      "services:\n  ControlNet:\n    config_overrides: { traffic: { timeout: 800 } }\n  SDXLControlNetService: { config_overrides: { traffic: { concurrency: 1 } } }",
    );
    const overrides = (name: string) => JSON.parse(serviceIn(plan, name).environment.TANDEM_OVERRIDES!);
    expect(overrides("ControlNet")).toEqual({ timeout: 800 });
    expect(overrides("SDXLControlNetService")).toEqual({ concurrency: 1, maxReceiveCount: 3, visibilityTimeout: 30 });
  });

  it("runs a GPU service as a function where the file says lambda", () => {
    const { plan } = planned(
      SEED,
      "services:\n  SDXLControlNetService:\n    instance_type: gpu.l4.1\n    scaling: { min_replicas: 0 }\n    aws: { backend: lambda }",
    );
    expect(serviceOf(plan, "SDXLControlNetService", "gpu-function")).toMatchObject({
      acceleratorMemory: 24,
      function: { timeout: 605 },
      queue: { visibilityTimeout: 3630 },
    });
    expect(plan.edges).toEqual([{ caller: "ControlNet", callee: "SDXLControlNetService", transport: "sqs" }]);
  });

  it("sizes a function with a GPU by what Lambda leaves of the machine, or by what a replica asks for", () => {
    const sizeOf = (text: string) =>
      serviceOf(
        planned(SEED, `services:\n  SDXLControlNetService:\n    aws: { backend: lambda }\n${text}`).plan,
        "SDXLControlNetService",
        "gpu-function",
      ).function;
    expect(sizeOf("    instance_type: gpu.l4.1")).toMatchObject({ memory: 12_288, memoryPerCore: 4, storage: 512 });
    expect(sizeOf("    instance_type: gpu.l40s.1")).toMatchObject({ memory: 24_576, memoryPerCore: 8 });
    const asked = "    instance_type: g6.4xlarge\n    config_overrides: { resources: { memory: 5Gi } }";
    expect(sizeOf(asked)).toMatchObject({ memory: 8192, memoryPerCore: 4, instanceTypes: ["g6.4xlarge"] });
    expect(sizeOf("    instance_type: g6.16xlarge")).toMatchObject({ memory: 32_768 });
  });

  it("hides calls of a function with a GPU for as long as two starts, and short ones too", () => {
    const { plan } = planned(
      SEED,
      "services:\n  SDXLControlNetService:\n    instance_type: gpu.l4.1\n    scaling: { min_replicas: 0 }\n    config_overrides: { traffic: { timeout: 20 } }\n    aws: { backend: lambda }",
    );
    const { queue, startEstimate, function: fn } = serviceOf(plan, "SDXLControlNetService", "gpu-function");
    expect(queue?.visibilityTimeout).toBe(2 * startEstimate.total);
    expect(queue?.visibilityTimeout).toBeGreaterThan(6 * fn.timeout);
  });

  it("asks for the handlers that it needs, and no others", () => {
    const told = toldOf(SEED, "", { handlers: () => ({}) });
    expect(told.filter(({ severity }) => severity === "error").map(({ message }) => message)).toEqual([
      "functions/handlers/sdxlcontrolnet-dead-letters.ts is missing, the handler of its dead letters of SDXLControlNetService",
      "functions/handlers/controlnet.ts is missing, the handler of ControlNet",
      "functions/handlers/controlnet-queue.ts is missing, the handler of its queue of ControlNet",
      "functions/handlers/controlnet-dead-letters.ts is missing, the handler of its dead letters of ControlNet",
    ]);
  });
});
