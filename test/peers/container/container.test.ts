import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { chmod, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { ensureQueue } from "#shared/aws/ensure-queue.ts";
import { SqsQueue } from "#shared/aws/sqs-queue.ts";
import { SDXLControlNetService } from "#shared/contracts/sdxl-controlnet.ts";
import { createClient, NDArray } from "#shared/index.ts";
import { pushModel } from "#shared/model/push-model.ts";
import type { SqsLocation } from "#shared/transport/location.ts";
import { SqsTransport } from "#shared/transport/sqs-client.ts";
import { type Fauxqs, startFauxqs } from "../../aws/fauxqs.ts";
import { awsEnv, sqsClient } from "../../aws/peer.ts";
import { makeImageFolder } from "../../e2e/image-folder.ts";
import { RunningContainer } from "../../e2e/running-container.ts";
import { runs } from "../../e2e/served-project.ts";
import { freePort } from "../aws/peer-process.ts";

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));
const NAME = SDXLControlNetService.name;
const arr = new NDArray("uint8", [64, 64, 3], new Uint8Array(64 * 64 * 3));
const drawing = { arr, prompt: "a red house on a yellow background", seed: 1 };

describe("a container", () => {
  let place: string;
  let image: string;
  let home: string;
  const running: RunningContainer[] = [];
  const start = (env: Record<string, string>): RunningContainer => {
    const container = new RunningContainer(image, home, { TANDEM_SERVICE: NAME, ...env });
    running.push(container);
    return container;
  };

  beforeAll(async () => {
    place = await mkdtemp(join(tmpdir(), "tandem-image-"));
    image = join(place, "app");
    makeImageFolder(image);
  });
  beforeEach(async () => {
    home = await mkdtemp(join(place, "home-"));
  });
  afterEach(async () => {
    for (const container of running.splice(0)) await container.stop("SIGKILL");
  });
  afterAll(() => rm(place, { recursive: true }));

  it("has what the service needs, and nothing of what only development needs", () => {
    const there = ["node_modules/onnxruntime-node", "gpu-worker/model/model_index.json", "LICENSE"];
    const absent = [
      "node_modules/commander",
      "node_modules/fauxqs",
      "node_modules/vitest",
      "test",
      "functions",
      "docs",
    ];
    expect([...there, ...absent].filter((path) => existsSync(join(image, path)))).toEqual(there);
    expect(existsSync(join(image, "gpu-worker/model/NOTICE.md"))).toBe(true);
  });

  it("answers calls by HTTP in as many processes as it has workers, and replaces those that die", async () => {
    const port = await freePort();
    const container = start({ PORT: `${port}`, TANDEM_WORKERS: "[{},{}]" });
    expect(await container.check("/readyz")).toBe(1);
    await container.ready();
    await using client = createClient(SDXLControlNetService, { url: `http://127.0.0.1:${port}` });
    const [[picture]] = await client.generate({ ...drawing, num_inference_steps: 1 });
    expect(picture!.format).toBe("png");
    expect((await fetch(`http://127.0.0.1:${port}/readyz`)).status).toBe(200);
    await vi.waitFor(() => expect(container.log).toContain(`"workers":2`), { timeout: 30_000 });
    const [first, ...others] = await container.workers();
    expect(others).toHaveLength(1);
    process.kill(first!, "SIGKILL");
    await vi.waitFor(() => expect(container.log).toContain(`a worker of ${NAME} died; it starts again`));
    await vi.waitFor(async () => expect(await container.workers()).toHaveLength(2), { timeout: 30_000 });
    expect(await container.workers()).not.toContain(first);
    expect(await container.check()).toBe(0);
    // onnxruntime keeps an id of the device there when it sends usage data.
    expect(existsSync(join(home, ".cache/Microsoft"))).toBe(false);
    expect(await container.stop()).toBe(0);
  }, 180_000);

  it("finishes a call when it is told to stop, and takes no other", async () => {
    const port = await freePort();
    const container = start({ PORT: `${port}` });
    await container.ready();
    await using client = createClient(SDXLControlNetService, { url: `http://127.0.0.1:${port}` });
    const underway = Promise.withResolvers<void>();
    const call = client.generate({ ...drawing, num_inference_steps: 100 }, { progress: () => underway.resolve() });
    await underway.promise;
    container.process.kill("SIGTERM");
    await vi.waitFor(() => expect(container.log).toContain("stopping"));
    await using late = createClient(SDXLControlNetService, { url: `http://127.0.0.1:${port}` });
    await expect(late.generate({ ...drawing, num_inference_steps: 1 }, { timeout: 2 })).rejects.toMatchObject({
      code: expect.stringMatching(/UNAVAILABLE|DEADLINE_EXCEEDED/),
    });
    expect((await call)[0]).toHaveLength(1);
    expect(await container.exited).toBe(0);
  });

  it("stops at once while a worker still loads its service", async () => {
    const container = start({ PORT: "0" });
    await vi.waitFor(async () => expect(await container.workers()).toHaveLength(1), { timeout: 30_000 });
    const stopped = performance.now();
    expect(await container.stop()).toBe(0);
    expect(container.log).not.toContain("is ready");
    // The grace time is 110 seconds.
    expect(performance.now() - stopped).toBeLessThan(30_000);
  });

  it("is not alive while a worker does not answer", async () => {
    const container = start({ PORT: "0" });
    await container.ready();
    const [pid] = await container.workers();
    process.kill(pid!, "SIGSTOP");
    expect(await container.check()).toBe(1);
    process.kill(pid!, "SIGCONT");
    expect(await container.check()).toBe(0);
  });

  it("gives each worker its own GPUs, and tells how they are used", async () => {
    const bin = join(home, "bin");
    await mkdir(bin);
    const script = "#!/bin/sh\nfor last; do :; done\necho $last | sed 's/--id=//; s/$/, 42, 1000, 24000/'\n";
    await writeFile(join(bin, "nvidia-smi"), script);
    await chmod(join(bin, "nvidia-smi"), 0o755);
    const container = start({
      PORT: "0",
      PATH: `${bin}:${process.env.PATH}`,
      TANDEM_WORKERS: '[{"gpus":[0]},{"gpus":[1]}]',
      TANDEM_EXECUTION_PROVIDER: "cpu",
    });
    await container.ready();
    await vi.waitFor(async () => {
      const text = await container.metrics();
      for (const gpu of [0, 1]) {
        expect(text).toContain(`tandem_gpu_utilization{service_name="${NAME}",gpu="${gpu}"} 0.42`);
        expect(text).toContain(`tandem_gpu_memory_total_bytes{service_name="${NAME}",gpu="${gpu}"} 25165824000`);
      }
    }, 30_000);
  });

  it("does not draw on the CPU where it was given a GPU", async () => {
    const container = start({ PORT: "0", TANDEM_WORKERS: '[{"gpus":[0]}]' });
    expect(await container.exited).toBe(1);
    expect(container.log).toContain("executionProvider cuda can't start");
    expect(container.log).toContain(`${NAME} cannot start: its log says why`);
  });

  it.each([
    [{ TANDEM_SERVICE: "Nobody" }, "exports no service Nobody, but"],
    [{ TANDEM_WORKERS: "two" }, "TANDEM_WORKERS: must be JSON such as"],
    [{ TANDEM_MODEL_URL: "s3://bucket/model/" }, "TANDEM_MODEL_DIR: must name the folder"],
    [{ TANDEM_MODEL_URL: "file:///nowhere/", TANDEM_MODEL_DIR: "/tmp/x" }, "has no manifest.json"],
  ])("ends at once, saying why, with %o", async (env, message) => {
    const container = start({ PORT: "0", ...(env as Record<string, string>) });
    expect(await container.exited).toBe(1);
    expect(container.log).toContain(message);
  });

  describe("with a queue", () => {
    let sqs: Fauxqs;
    let location: SqsLocation;
    let store: string;
    let queued: Record<string, string>;
    const queueClient = () => {
      const openQueue = async (url: string) => new SqsQueue(url, { client: sqsClient(sqs.endpoint) });
      return createClient(SDXLControlNetService, { transport: new SqsTransport(NAME, location, openQueue) });
    };
    const sqsQueue = () => new SqsQueue(location.queueUrl, { client: sqsClient(sqs.endpoint) });

    beforeAll(async () => {
      sqs = await startFauxqs();
      store = await mkdtemp(join(place, "store-"));
      await pushModel(join(ROOT, "gpu-worker/model"), pathToFileURL(join(place, "pushed")).href);
    });
    beforeEach(async () => {
      const client = sqsClient(sqs.endpoint);
      const name = `q${Date.now()}`;
      const dead = await ensureQueue(`${name}-dead`, { visibilityTimeoutSeconds: 30 }, { client });
      const config = { visibilityTimeoutSeconds: 30, deadLetter: { url: dead, maxReceiveCount: 3 } };
      location = {
        transport: "sqs",
        queueUrl: await ensureQueue(name, config, { client }),
        priorityQueueUrl: await ensureQueue(`${name}-priority`, config, { client }),
        storeUrl: pathToFileURL(store).href,
      };
      queued = {
        ...awsEnv(sqs.endpoint),
        TANDEM_SERVICES: JSON.stringify({ [NAME]: location }),
        TANDEM_OVERRIDES: '{"timeout":90,"concurrency":1,"visibilityTimeout":30,"maxReceiveCount":3}',
      };
      client.destroy();
    });
    afterAll(() => sqs?.stop());

    it("fetches its weights, then draws what the queue asks for, without a port", async () => {
      const weights = join(home, "weights");
      const container = start({
        ...queued,
        TANDEM_MODEL_URL: pathToFileURL(join(place, "pushed")).href,
        TANDEM_MODEL_DIR: weights,
        TANDEM_METRICS: "emf",
      });
      await container.ready();
      expect(container.log).toContain("the model is here");
      expect(container.log).toContain(`unix:${join(home, "tmp/tandem-run", `${NAME}.sock`)}`);
      await using client = queueClient();
      const [[picture]] = await client.generate({ ...drawing, num_inference_steps: 1 }, { timeout: 60 });
      expect(picture!.format).toBe("png");
      expect(await container.check()).toBe(0);
      expect(await container.metrics()).toContain(`tandem_deliveries_total{service_name="${NAME}",outcome="run"} 1`);
      expect(await container.stop()).toBe(0);
      expect(container.out).toContain('"Namespace":"Tandem"');
    });

    it("gives back what it cannot finish in its grace time", async () => {
      const container = start({ ...queued, TANDEM_GRACE_SECONDS: "1" });
      await container.ready();
      await using client = queueClient();
      const underway = Promise.withResolvers<void>();
      const gone = new AbortController();
      const call = client.generate(
        { ...drawing, num_inference_steps: 1000 },
        { progress: () => underway.resolve(), timeout: 80, signal: gone.signal },
      );
      call.catch(() => undefined);
      await underway.promise;
      const workers = await container.workers();
      expect((await sqsQueue().depth()).inFlight).toBe(1);
      expect(await container.stop()).toBe(0);
      expect(await sqsQueue().depth()).toMatchObject({ inFlight: 0, visible: 1 });
      expect(workers.filter(runs)).toEqual([]);
      gone.abort();
    });
  });

  it("of the CPU variant runs a service of functions/", async () => {
    const folder = join(place, "cpu");
    makeImageFolder(folder, "cpu");
    const port = await freePort();
    const elsewhere = { [NAME]: { transport: "http", url: "http://127.0.0.1:9" } };
    const container = new RunningContainer(folder, home, {
      TANDEM_SERVICE: "ControlNet",
      TANDEM_WORKERS: "[{}]",
      TANDEM_SERVICES: JSON.stringify(elsewhere),
      PORT: `${port}`,
    });
    running.push(container);
    await container.ready();
    const picture = execFileSync("cat", [`${ROOT}examples/cat-face.png`]);
    const body = new FormData();
    body.append("image", new Blob([new Uint8Array(picture)], { type: "image/png" }), "cat.png");
    const answer = await fetch(`http://127.0.0.1:${port}/edges`, { method: "POST", body });
    expect([answer.status, answer.headers.get("content-type")]).toEqual([200, "image/png"]);
  });
});
