import { parentPort, workerData } from "node:worker_threads";

// Stands in for pipeline-thread-worker.ts: speaks its messages, and does what the prompt says.
const post = (message: object): void => parentPort!.postMessage(message);
const canceled = new Set<number>();
const info = {
  model: "scripted",
  nativeSize: 8,
  sizeMultiple: 8,
  maxPixels: 64,
  maxSteps: 9,
  executionProvider: "cpu",
  batching: { calls: 3 },
};

if (workerData.modelDir === "refused")
  post({ type: "refused", error: { error: "no such model", code: "INTERNAL" }, cause: new Error("why") });
else if (workerData.modelDir === "dead") process.exit(3);
else {
  post({ type: "ready", info });
  let last = Promise.resolve();
  parentPort!.on("message", ({ type, id, params }) => {
    if (type === "cancel") canceled.add(id);
    if (type === "close") void last.then(() => parentPort!.close());
    if (type === "generate") last = last.then(() => draw(id, params));
  });
}

async function draw(id: number, params: { prompt: string; numInferenceSteps?: number; seed: number }): Promise<void> {
  if (params.prompt === "exit") process.exit(3);
  if (params.prompt === "throw") throw new Error("thrown outside a job");
  if (params.prompt === "narrow") post({ type: "narrowed", calls: 4, error: { error: "no memory", code: "INTERNAL" } });
  const total = params.numInferenceSteps ?? 3;
  for (let step = 1; step <= total; step++) {
    await new Promise((resolve) => setTimeout(resolve, 10));
    if (canceled.has(id)) return;
    // The other call that shares the run is nobody's.
    const steps = [
      { id, step, total },
      { id: 1000, step, total },
    ];
    post({ type: "stepped", steps, timings: { stepMs: 10, runMs: 10 } });
  }
  const images = [{ shape: [1, 1, 3], data: new Uint8Array(3) }];
  const timings = { encodeMs: 0, denoiseMs: 30, decodeMs: 0, denoiseRunMs: 30 };
  post({
    type: "done",
    id,
    result: { images, seed: params.seed, droppedTokens: {}, warnings: [JSON.stringify(workerData.batching)], timings },
  });
}
