import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { expect, test, vi } from "vitest";
import { encodeFrame } from "#shared/codec/frame.ts";
import { NDArray } from "#shared/codec/ndarray.ts";
import { encodeMessage } from "#shared/delivery/call-message.ts";
import { DiskStore } from "#shared/store/disk-store.ts";
import { boxOutline, MODEL_DIR } from "../model.ts";

test("a batch of the queue makes pictures with the model that was fetched; a call's own fault is a stored result", async () => {
  const folder = await mkdtemp(join(tmpdir(), "tandem-gpu-function-"));
  vi.stubEnv("TANDEM_SERVICE", "SDXLControlNetService");
  vi.stubEnv("TANDEM_STORE", `file:${folder}`);
  vi.stubEnv("TANDEM_EXECUTION_PROVIDER", "cpu");
  const models = join(folder, "models");
  vi.stubEnv("TANDEM_MODEL_URL", `${pathToFileURL(MODEL_DIR)}/`);
  vi.stubEnv("TANDEM_MODEL_DIR", models);
  const { handler } = await import("#gpu-worker/lambda.ts");
  const [fetched] = await readdir(models);
  expect(process.env.TANDEM_MODEL_DIR).toBe(join(models, fetched!));
  const edges = boxOutline(64, 64);
  const rgb = new Uint8Array(64 * 64 * 3);
  for (const [at, value] of edges.data.entries()) rgb.fill(value, 3 * at, 3 * at + 3);
  const record = (id: string, input: object) => {
    const call = {
      kind: "call",
      id,
      api: "generate",
      callId: id,
      deadline: Date.now() + 60_000,
      traceparent: "",
    } as const;
    const { body, attributes } = encodeMessage(call, encodeFrame(input));
    return {
      messageId: id,
      receiptHandle: id,
      body,
      attributes: { ApproximateReceiveCount: "1", SentTimestamp: String(Date.now()) },
      messageAttributes: Object.fromEntries(
        Object.entries(attributes).map(([name, stringValue]) => [name, { stringValue, dataType: "String" }]),
      ),
      eventSource: "aws:sqs",
      eventSourceARN: "arn:aws:sqs:us-east-1:123456789012:SDXL",
    };
  };
  const input = { prompt: "a cat", arr: new NDArray("uint8", [64, 64, 3], rgb), num_inference_steps: 2, seed: 1 };
  const context = { awsRequestId: "1", getRemainingTimeInMillis: () => 60_000 };
  const Records = [record("good", input), record("bad", { ...input, guidance_scale: 99 })];
  expect(await handler({ Records }, context)).toEqual({ batchItemFailures: [] });
  const store = new DiskStore(folder);
  const result = async (id: string) =>
    Buffer.from((await store.get(`SDXLControlNetService/calls/${id}/result`))!).toString("latin1");
  expect(await result("good")).toContain("\x89PNG");
  expect(await result("bad")).toContain("guidance_scale");
  await rm(folder, { recursive: true, force: true });
}, 60_000);
