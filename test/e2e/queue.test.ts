import { mkdtempSync } from "node:fs";
import { readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { SqsQueue } from "#shared/aws/sqs-queue.ts";
import { encodeFrame } from "#shared/codec/frame.ts";
import { ControlNet } from "#shared/contracts/controlnet.ts";
import { encodeMessage } from "#shared/delivery/call-message.ts";
import { CallObjects } from "#shared/delivery/call-objects.ts";
import { createClient, ImageValue } from "#shared/index.ts";
import { DiskStore } from "#shared/store/disk-store.ts";
import { sqsClient } from "../aws/peer.ts";
import { runs, type ServedProject, serveProject, tandem } from "./served-project.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const image = new ImageValue(await readFile(`${ROOT}examples/cat-face.png`), "png");
const params = { prompt: "a red house on a yellow background", seed: 3, num_inference_steps: 1 };

describe("tandem serve --transport sqs", () => {
  const data = mkdtempSync(join(tmpdir(), "tandem-data-"));
  const common = ["--workers", "1", "--data", data, "--visibility-timeout", "2"];
  let served: ServedProject;
  const generate = async () => {
    await using client = createClient(ControlNet, { url: served.url });
    return client.generate({ image, params });
  };
  const queue = async (...words: string[]) => {
    const { code, out, err } = await tandem("queue", ...words, "--json", "--data", data);
    expect({ code, err }).toEqual({ code: 0, err: "" });
    return JSON.parse(out) as unknown;
  };
  const task = async (action: string, id: string): Promise<Response> =>
    fetch(`${served.url}/generate/${action}?task_id=${id}`);

  beforeAll(async () => {
    served = await serveProject([...common, "--transport", "sqs", "--redeliver", "1"]);
  });
  afterAll(async () => {
    await served?.stop();
    await rm(data, { recursive: true });
  });

  it("makes a picture, however often each message is delivered", async () => {
    expect((await generate()).format).toBe("png");
    expect(served.log()).toContain("100 % of the messages are delivered twice on purpose");
    const metrics = await (await fetch(`${served.url}/metrics`)).text();
    expect(metrics).toMatch(/request_total\{endpoint="\/generate",service_name="SDXL[^}]*code="200"\} 1\n/);
  });

  it("goes on when the queue's process is killed", async () => {
    process.kill(served.queue.pid, "SIGKILL");
    expect((await generate()).format).toBe("png");
    expect(served.log()).toContain("the queue's process died; it starts again");
  });

  it("answers what was given up, shows it and sends it again", async () => {
    const store = new DiskStore(join(data, "store"));
    const objects = new CallObjects(store, "ControlNet");
    const dead = new SqsQueue(`${served.queue.endpoint}/000000000000/ControlNet-dead`, {
      client: sqsClient(served.queue.endpoint),
    });
    const call = {
      kind: "call",
      id: "lost",
      api: "edges",
      callId: "c",
      deadline: Date.now(),
      traceparent: "",
    } as const;
    await dead.send(encodeMessage(call, encodeFrame({ image })));
    await expect
      .poll(() => objects.result("lost"), { timeout: 10_000 })
      .toMatchObject({ error: { code: "UNAVAILABLE" } });
    expect(await queue("ls", "ControlNet")).toMatchObject([{ service: "ControlNet", deadLetters: 1 }]);
    expect(await queue("peek")).toMatchObject([{ id: "lost", service: "ControlNet", api: "edges" }]);
    expect(await queue("redrive", "--id", "lost")).toEqual({ sent: ["lost"], dropped: [] });
    await expect.poll(() => objects.result("lost"), { timeout: 10_000 }).toHaveProperty("output.format", "png");
    expect(await queue("peek")).toEqual([]);
  });

  it("keeps queued work when everything is killed", async () => {
    const body = JSON.stringify({ image: Buffer.from(image.bytes).toString("base64"), params });
    const submitted = await fetch(`${served.url}/generate/submit`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body,
    });
    expect(submitted.status).toBe(200);
    const { task_id } = (await submitted.json()) as { task_id: string };
    for (const pid of [served.process.pid!, ...Object.values(served.workers).flat()]) process.kill(pid, "SIGKILL");
    await served.stop();
    await expect.poll(() => runs(served.queue.pid)).toBe(false);

    expect(await queue("ls", "ControlNet")).toHaveLength(1);
    // The config file has the GPU service called through its queue: `auto` does.
    served = await serveProject([...common, "-f", `${ROOT}config-file.yaml`]);
    const calls = () => new DiskStore(join(data, "store")).list("SDXLControlNetService/calls/");
    const before = await calls();
    await expect
      .poll(async () => (await task("status", task_id)).json(), { timeout: 40_000, interval: 200 })
      .toMatchObject({ status: "completed" });
    const picture = await task("get", task_id);
    expect(picture.headers.get("content-type")).toBe("image/png");
    expect((await calls()).length).toBeGreaterThan(before.length);
  });

  it("answers a call whose worker is killed in the middle of it", async () => {
    await using client = createClient(ControlNet, { url: served.url });
    const { promise: underway, resolve } = Promise.withResolvers<void>();
    const call = client.generate(
      { image, params: { ...params, num_inference_steps: 60 } },
      { progress: (fraction) => fraction > 0.1 && resolve(), timeout: 60 },
    );
    await underway;
    process.kill(served.workers.SDXLControlNetService![0]!, "SIGKILL");
    expect((await call).format).toBe("png");
    expect(served.log()).toContain("a worker of SDXLControlNetService died; it starts again");
  });

  it("has its queue emptied by those who mean it", async () => {
    expect((await tandem("queue", "purge", "--data", data)).code).toBe(2);
    expect((await tandem("queue", "redrive", "--id", "nothing", "--data", data)).code).toBe(1);
    expect((await tandem("queue", "ls", "Nothing", "--data", data)).code).toBe(2);
    await served.stop();
    expect(await queue("purge", "--yes")).toHaveProperty("purged");
    const empty = { normal: { visible: 0 }, priority: { visible: 0 }, deadLetters: 0 };
    expect(await queue("ls")).toMatchObject([empty, empty]);
  });
});
