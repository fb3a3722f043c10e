import { spawnSync } from "node:child_process";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { PipelineThread, type PipelineThreadOptions } from "#gpu-worker/runtime/pipeline-thread.ts";
import { NDArray } from "#shared/codec/ndarray.ts";
import { ServiceError } from "#shared/errors/service-error.ts";
import { boxOutline, MODEL_DIR } from "../model.ts";

const image = boxOutline(64, 64);
const params = (prompt: string, numInferenceSteps = 3) => ({ prompt, image, numInferenceSteps, seed: 1 });

const unhandled: unknown[] = [];
const onUnhandled = (reason: unknown): void => void unhandled.push(reason);
beforeAll(() => void process.on("unhandledRejection", onUnhandled));
afterAll(() => {
  process.off("unhandledRejection", onUnhandled);
  expect(unhandled).toEqual([]);
});

describe("PipelineThread with the bundled model", () => {
  let thread: PipelineThread;
  beforeAll(async () => {
    thread = await PipelineThread.start(MODEL_DIR, { batching: { mode: "off", memoryBytes: 2 ** 28 } });
  });
  afterAll(() => thread.close());

  it("says what it has loaded", () => {
    expect(thread.info).toEqual({
      model: expect.any(String),
      nativeSize: 128,
      sizeMultiple: 16,
      maxPixels: 512 * 512,
      maxSteps: 1000,
      executionProvider: "cpu",
      batching: {
        calls: 1,
        rowBytes: expect.any(Number),
        nativePixels: 128 * 128,
        seenRows: 2,
        decodePixelBytes: 512,
        memoryBytes: 2 ** 28,
        measured: [],
      },
    });
    expect(thread.ready).toBe(true);
  });

  it("leaves the event loop free while it draws, and tells each step as it happens", async () => {
    const steps: number[] = [];
    /** Turns of the event loop between one step's report and the next. */
    const turns: number[] = [];
    let sinceReport = 0;
    const turning = setInterval(() => sinceReport++, 1);
    const result = await thread.generate(
      { ...params("a red house"), image: boxOutline(128, 128), numInferenceSteps: 20 },
      {
        onStep: (step, total) => {
          expect(total).toBe(20);
          steps.push(step);
          turns.push(sinceReport);
          sinceReport = 0;
        },
      },
    );
    clearInterval(turning);
    expect(result.images[0]!.shape).toEqual([128, 128, 3]);
    expect(steps).toEqual(Array.from({ length: 20 }, (_, index) => index + 1));
    // A loop that the graph held would turn once a step, to deliver the report.
    expect(turns.filter((count) => count > 1).length).toBeGreaterThan(15);
  });

  it("lets a short call pass a long one, and a canceled one leave", async () => {
    const order: string[] = [];
    const abort = new AbortController();
    const long = thread.generate({ ...params("a"), numInferenceSteps: 60 }).then(() => order.push("long"));
    const gone = thread.generate(params("b", 500), { signal: abort.signal });
    const short = thread.generate(params("c")).then(() => order.push("short"));
    expect(thread.load).toBe(3);
    abort.abort();
    await expect(gone).rejects.toMatchObject({ code: "CANCELED" });
    expect(thread.load).toBe(2);
    await Promise.all([long, short]);
    expect(order).toEqual(["short", "long"]);
  });

  it("leaves the caller's picture and the buffer under it alone", async () => {
    const whole = new Uint8Array(1 << 20);
    whole.set(boxOutline(64, 64).data, 512);
    const part = new NDArray("uint8", [64, 64], whole.subarray(512, 512 + 64 * 64));
    const first = await thread.generate({ ...params("a red house"), image: part });
    const second = await thread.generate({ ...params("a red house"), image: part });
    expect(part.data).toHaveLength(64 * 64);
    expect(second.images[0]!.data).toEqual(first.images[0]!.data);
  });

  it("stops a run between two steps, at once for the caller, and takes the next job", async () => {
    const abort = new AbortController();
    const steps: number[] = [];
    const onStep = (step: number): void => {
      steps.push(step);
      if (step === 3) abort.abort();
    };
    const start = performance.now();
    const run = thread.generate(params("a red house", 500), { signal: abort.signal, onStep });
    await expect(run).rejects.toMatchObject({ code: "CANCELED" });
    expect((await thread.generate(params("a red house"))).images[0]!.shape).toEqual([64, 64, 3]);
    expect(steps).toEqual([1, 2, 3]);
    expect(performance.now() - start).toBeLessThan(5000);
  });

  it("hands on the pipeline's errors with their details", async () => {
    await expect(thread.generate({ ...params("a"), guidanceScale: -1 })).rejects.toMatchObject({
      code: "INVALID_ARGUMENT",
      detail: [{ path: ["guidance_scale"], message: expect.any(String) }],
    });
    await expect(thread.generate({ ...params("a"), image: "no" as never })).rejects.toMatchObject({
      code: "INVALID_ARGUMENT",
    });
    await expect(thread.generate({ ...params("a"), seed: (() => 1) as never })).rejects.toThrow(/could not be cloned/);
    expect(thread.load).toBe(0);
  });

  it("refuses a model folder that isn't one", async () => {
    await expect(PipelineThread.start("no/such/model")).rejects.toMatchObject({
      code: "INTERNAL",
      message: expect.stringContaining("model_index.json"),
    });
  });
});

it("lets the process exit while it draws, with the exit code that was asked for", () => {
  const script = fileURLToPath(new URL("./exit-while-drawing.ts", import.meta.url));
  const { status, signal, stderr } = spawnSync(process.execPath, [script, MODEL_DIR], { encoding: "utf8" });
  expect({ status, signal, stderr }).toEqual({ status: 7, signal: null, stderr: "" });
});

describe("PipelineThread's queue and restarts", () => {
  const threads: PipelineThread[] = [];
  const start = async (options: PipelineThreadOptions = {}, modelDir = "model"): Promise<PipelineThread> => {
    const script = new URL("./scripted-worker.ts", import.meta.url);
    const thread = await PipelineThread.start(modelDir, { script, restartDelayMs: 20, ...options });
    threads.push(thread);
    return thread;
  };
  afterEach(async () => {
    await Promise.all(threads.splice(0).map((thread) => thread.close()));
  });

  it("hands on steps to their own jobs, and how many calls shared each run", async () => {
    const runs: number[] = [];
    const narrowed: unknown[] = [];
    const onNarrowed: PipelineThreadOptions["onNarrowed"] = (calls, { message }) => narrowed.push([calls, message]);
    const thread = await start({ onRun: (calls) => runs.push(calls), onNarrowed });
    const order: string[] = [];
    const onStep = (name: string) => (step: number) => void order.push(`${name}${step}`);
    await Promise.all(["a", "b", "narrow"].map((name) => thread.generate(params(name, 2), { onStep: onStep(name) })));
    expect(order).toEqual(["a1", "a2", "b1", "b2", "narrow1", "narrow2"]);
    expect(runs).toEqual(Array(6).fill(2));
    expect(narrowed).toEqual([[4, "no memory"]]);
  });

  it("has batching measured once: a thread that comes back is told what was found", async () => {
    const thread = await start({ batching: { mode: "on" } });
    expect((await thread.generate(params("a"))).warnings).toEqual(['{"mode":"on"}']);
    await expect(thread.generate(params("exit"))).rejects.toMatchObject({ code: "UNAVAILABLE" });
    await expect.poll(() => thread.ready, { timeout: 20_000 }).toBe(true);
    expect((await thread.generate(params("a"))).warnings).toEqual(['{"calls":3}']);
  });

  it("refuses a job when the queue is full, and says when to come back", async () => {
    const thread = await start({ queueSize: 1 });
    const [running, waiting] = [thread.generate(params("a")), thread.generate(params("b"))];
    await expect(thread.generate(params("c"))).rejects.toMatchObject({ code: "RESOURCE_EXHAUSTED", retryAfter: 1 });
    await Promise.all([running, waiting]);
    await thread.generate(params("d"));
  });

  it("takes one job at a time with a queue of 0", async () => {
    const thread = await start({ queueSize: 0 });
    const running = thread.generate(params("a"));
    await expect(thread.generate(params("b"))).rejects.toMatchObject({ code: "RESOURCE_EXHAUSTED" });
    await running;
  });

  it("never starts a job that was aborted while it waited", async () => {
    const thread = await start();
    const abort = new AbortController();
    const steps: number[] = [];
    const running = thread.generate(params("a"));
    const waiting = thread.generate(params("b"), { signal: abort.signal, onStep: (step) => steps.push(step) });
    abort.abort();
    await expect(waiting).rejects.toMatchObject({ code: "CANCELED" });
    expect(thread.load).toBe(1);
    await running;
    await thread.generate(params("c"));
    expect(steps).toEqual([]);
  });

  it("throws the signal's own ServiceError, and refuses an aborted signal at once", async () => {
    const thread = await start();
    const late = new ServiceError("DEADLINE_EXCEEDED", "too late");
    const abort = new AbortController();
    const run = thread.generate(params("a", 50), { signal: abort.signal });
    setTimeout(() => abort.abort(late), 30);
    await expect(run).rejects.toBe(late);
    await expect(thread.generate(params("b"), { signal: abort.signal })).rejects.toBe(late);
  });

  it("fails the job whose onStep throws, and goes on", async () => {
    const thread = await start();
    const onStep = (): void => {
      throw new Error("listener");
    };
    await expect(thread.generate(params("a", 50), { onStep })).rejects.toThrow("listener");
    await thread.generate(params("b"));
  });

  it.each(["exit", "throw"])("fails what runs and waits when the thread dies (%s), and comes back", async (how) => {
    const crashes: Error[] = [];
    const thread = await start({ onCrash: (error) => crashes.push(error) });
    const jobs = [thread.generate(params(how)), thread.generate(params("a"))];
    for (const job of await Promise.allSettled(jobs))
      expect(job).toMatchObject({ status: "rejected", reason: { code: "UNAVAILABLE", retryAfter: 5 } });
    expect(crashes).toHaveLength(1);
    expect(thread.ready).toBe(false);
    await expect(thread.generate(params("b"))).rejects.toMatchObject({ code: "UNAVAILABLE" });
    await expect.poll(() => thread.ready, { timeout: 20_000 }).toBe(true);
    await thread.generate(params("c"));
  });

  it("survives a log that throws", async () => {
    const onCrash = (): void => {
      throw new Error("log");
    };
    const thread = await start({ onCrash, onRun: onCrash });
    await thread.generate(params("a"));
    await expect(thread.generate(params("exit"))).rejects.toMatchObject({ code: "UNAVAILABLE" });
    await expect.poll(() => thread.ready, { timeout: 20_000 }).toBe(true);
  });

  it("fails to start when the thread refuses or dies", async () => {
    await expect(start({}, "refused")).rejects.toMatchObject({ code: "INTERNAL", message: "no such model" });
    await expect(start({}, "dead")).rejects.toMatchObject({ code: "UNAVAILABLE" });
  });

  it("finishes what runs and waits before it closes, and takes nothing more", async () => {
    const thread = await start();
    const jobs = [thread.generate(params("a")), thread.generate(params("b"))];
    const closing = thread.close();
    expect(thread.ready).toBe(false);
    await expect(thread.generate(params("c"))).rejects.toMatchObject({ code: "UNAVAILABLE" });
    await closing;
    expect((await Promise.allSettled(jobs)).map((job) => job.status)).toEqual(["fulfilled", "fulfilled"]);
    await thread.close();
  });

  it("closes while it waits to restart, without coming back", async () => {
    const thread = await start({ restartDelayMs: 60_000 });
    await expect(thread.generate(params("exit"))).rejects.toMatchObject({ code: "UNAVAILABLE" });
    await thread.close();
    await delay(20);
    expect(thread.ready).toBe(false);
  });
});
