import { mkdtempSync, readdirSync, readFileSync } from "node:fs";
import { readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { SqsQueue } from "#shared/aws/sqs-queue.ts";
import { encodeFrame } from "#shared/codec/frame.ts";
import { ControlNet } from "#shared/contracts/controlnet.ts";
import { encodeMessage } from "#shared/delivery/call-message.ts";
import { CallObjects } from "#shared/delivery/call-objects.ts";
import { createClient, ImageValue } from "#shared/index.ts";
import { deskCredentials } from "#shared/serve/emulator-credentials.ts";
import { DiskStore } from "#shared/store/disk-store.ts";
import { sqsClient } from "../../aws/peer.ts";
import { runs, type ServedProject, serveProject, tandem } from "../../e2e/served-project.ts";

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));
const PICTURE = `${ROOT}examples/cat-face.png`;
const params = { prompt: "a red house on a yellow background", seed: 3, num_inference_steps: 1 };
const data = mkdtempSync(join(tmpdir(), "tandem-as-lambda-"));
const common = ["--as", "lambda", "--data", data, "--redeliver", "0", "--visibility-timeout", "2"];

type Served = ServedProject & { readonly invoke: { endpoint: string; functionName: string } };
const serve = async (...args: string[]) => (await serveProject([...common, ...args])) as Served;

/** Process ids of the environments that run a handler, whoever has started them. */
function environmentsOf(handler: string): number[] {
  return readdirSync("/proc").flatMap((pid) => {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, "utf8").includes(`\0${handler}.handler`) ? Number(pid) : [];
    } catch {
      return [];
    }
  });
}

async function post(url: string, steps = 1): Promise<Response> {
  const form = new FormData();
  form.set("image", new Blob([await readFile(PICTURE)], { type: "image/png" }), "picture.png");
  form.set("params", JSON.stringify({ ...params, num_inference_steps: steps }));
  return fetch(url, { method: "POST", body: form });
}

afterAll(() => rm(data, { recursive: true, force: true }));

describe("tandem serve --as lambda --transport sqs", () => {
  let served: Served;
  beforeAll(async () => {
    served = await serve("--transport", "sqs", "--workers", "1");
  });
  afterAll(() => served?.stop());

  const submitted = async (steps: number): Promise<string> => {
    const response = await post(`${served.url}/generate/submit`, steps);
    expect(response.status).toBe(200);
    return ((await response.json()) as { task_id: string }).task_id;
  };
  const completed = (id: string) =>
    expect
      .poll(async () => (await fetch(`${served.url}/generate/status?task_id=${id}`)).json(), {
        timeout: 60_000,
        interval: 100,
      })
      .toMatchObject({ status: "completed" });

  test("draws a picture, the GPU service behind its queue", async () => {
    const response = await post(`${served.url}/generate`);
    expect([response.status, response.headers.get("content-type")]).toEqual([200, "image/png"]);
    expect(environmentsOf("controlnet")).toEqual(served.workers.ControlNet);
  });

  test("is invoked with the AWS SDK: tandem call --function", async () => {
    process.env.AWS_ENDPOINT_URL_LAMBDA = served.invoke.endpoint;
    const output = join(data, "edges.png");
    const call = (name: string) =>
      tandem("call", "ControlNet.edges", "--image", PICTURE, "--function", name, "-o", output);
    try {
      expect(await call(served.invoke.functionName)).toEqual({ code: 0, out: `${output}\n`, err: "" });
      expect((await readFile(output)).toString("latin1", 1, 4)).toBe("PNG");
      const arn = "arn:aws:lambda:us-east-1:000000000000:function:controlnet:live";
      expect((await call(arn)).code).toBe(0);
      expect(await call("nowhere")).toMatchObject({ code: 1, err: expect.stringContaining("no function nowhere") });
    } finally {
      delete process.env.AWS_ENDPOINT_URL_LAMBDA;
    }
  });

  test("is heard while it runs by who invokes it", async () => {
    const aws = { AWS_ENDPOINT_URL_LAMBDA: served.invoke.endpoint, ...deskCredentials({}) };
    for (const [name, value] of Object.entries(aws)) vi.stubEnv(name, value);
    await using client = createClient(ControlNet, { functionName: served.invoke.functionName });
    const heard: number[] = [];
    const progress = (fraction: number): void => void heard.push(fraction);
    const image = new ImageValue(await readFile(PICTURE), "png");
    const picture = await client.generate({ image, params: { ...params, num_inference_steps: 20 } }, { progress });
    vi.unstubAllEnvs();
    expect(picture.format).toBe("png");
    expect(heard.some((fraction) => fraction > 0 && fraction < 1)).toBe(true);
  });

  test("has environments that Ctrl-C does not reach: they are no part of its process group", () => {
    for (const pid of environmentsOf("controlnet"))
      expect(Number(readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]!.split(" ")[2])).toBe(pid);
  });

  test("runs tasks in the function of its queue", async () => {
    const id = await submitted(1);
    await completed(id);
    expect((await fetch(`${served.url}/generate/get?task_id=${id}`)).headers.get("content-type")).toBe("image/png");
    expect(environmentsOf("controlnet-queue")).toHaveLength(1);
  });

  test("runs a task again whose environment was killed in the middle of it", async () => {
    const [environment] = environmentsOf("controlnet-queue");
    const id = await submitted(30);
    await expect
      .poll(async () => (await fetch(`${served.url}/generate/status?task_id=${id}`)).json(), { timeout: 20_000 })
      .toMatchObject({ status: "in_progress" });
    process.kill(environment!, "SIGKILL");
    await completed(id);
    expect(environmentsOf("controlnet-queue")).not.toContain(environment);
    expect(served.log()).toContain("a batch failed; it comes again");
  });

  test.each([
    ["ControlNet", "controlnet-dead-letters"],
    ["SDXLControlNetService", "sdxl-controlnet-dead-letters"],
  ])("answers the dead letters of %s in a function", async (service, handler) => {
    const objects = new CallObjects(new DiskStore(join(data, "store")), service);
    const dead = new SqsQueue(`${served.queue.endpoint}/000000000000/${service}-dead`, {
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
    await dead.send(encodeMessage(call, encodeFrame({})));
    await expect
      .poll(() => objects.result("lost"), { timeout: 20_000 })
      .toMatchObject({ error: { code: "UNAVAILABLE" } });
    expect(environmentsOf(handler)).toHaveLength(1);
  });

  test("more requests than environments are throttled", async () => {
    const first = post(`${served.url}/generate`, 20);
    await delay(300);
    const second = await fetch(`${served.url}/livez`);
    expect([second.status, await second.json()]).toEqual([429, { Message: "Rate Exceeded." }]);
    expect((await first).status).toBe(200);
  });

  test("a killed environment is a 502, and the next call is answered", async () => {
    const [environment] = environmentsOf("controlnet");
    const call = post(`${served.url}/generate`, 30);
    await delay(500);
    process.kill(environment!, "SIGKILL");
    const response = await call;
    expect([response.status, await response.json()]).toEqual([502, { Message: "Internal Server Error" }]);
    expect((await post(`${served.url}/generate`)).status).toBe(200);
    expect(environmentsOf("controlnet")).toHaveLength(1);
    expect(environmentsOf("controlnet")).not.toContain(environment);
  });

  test("drains: a call in work is answered, and nothing is left", async () => {
    const call = post(`${served.url}/generate`, 20);
    await delay(300);
    const code = served.stop("SIGINT");
    expect((await call).status).toBe(200);
    expect(await code).toBe(0);
    for (const handler of ["controlnet", "controlnet-queue", "controlnet-dead-letters"])
      expect(environmentsOf(handler)).toEqual([]);
  });
});

describe("tandem serve --as lambda", () => {
  test("takes a port for each front; its environments end with it, however it ends", async () => {
    await using served = await serve("--transport", "http", "--host", "127.0.0.1");
    expect(served.invoke.endpoint).not.toBe(served.url);
    expect((await post(`${served.url}/generate`)).status).toBe(200);
    const [environment] = served.workers.ControlNet!;
    expect(runs(environment!)).toBe(true);
    served.process.kill("SIGKILL");
    await expect.poll(() => runs(environment!), { timeout: 10_000 }).toBe(false);
    for (const pid of served.workers.SDXLControlNetService!)
      await expect.poll(() => runs(pid), { timeout: 40_000 }).toBe(false);
  });
});
