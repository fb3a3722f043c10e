import { parentPort, workerData } from "node:worker_threads";

// Stands in for pipeline-thread-worker.ts: speaks its messages, and does what the prompt says.
const aborted = new Int32Array(workerData.shared);
const post = (message: object): void => parentPort!.postMessage(message);
const info = {
  model: "scripted",
  nativeSize: 8,
  sizeMultiple: 8,
  maxPixels: 64,
  maxSteps: 9,
  executionProvider: "cpu",
};

if (workerData.modelDir === "refused")
  post({ type: "refused", error: { error: "no such model", code: "INTERNAL" }, cause: new Error("why") });
else if (workerData.modelDir === "dead") process.exit(3);
else {
  post({ type: "ready", info });
  parentPort!.on("message", async ({ type, id, params }) => {
    if (type === "close") return parentPort!.close();
    if (params.prompt === "exit") process.exit(3);
    if (params.prompt === "throw") throw new Error("thrown outside a job");
    const total = params.numInferenceSteps ?? 3;
    for (let step = 1; step <= total; step++) {
      await new Promise((resolve) => setTimeout(resolve, 10));
      if (Atomics.load(aborted, 0) === id)
        return post({ type: "failed", id, error: { error: `stopped after ${step - 1}`, code: "CANCELED" } });
      post({ type: "step", id, step, total, timings: { stepMs: 10, runMs: 10 } });
    }
    const images = [{ shape: [1, 1, 3], data: new Uint8Array(3) }];
    const timings = { encodeMs: 0, denoiseMs: 30, decodeMs: 0, denoiseRunMs: 30 };
    post({ type: "done", id, result: { images, seed: params.seed, droppedTokens: {}, timings } });
  });
}
