import { setTimeout } from "node:timers/promises";
import { expect, test } from "vitest";
import { awsRequest } from "#shared/aws/request.ts";

test("a request that is not answered ends at its deadline, whatever its sender does", async () => {
  let aborted = false;
  const send = (signal: AbortSignal): Promise<never> => {
    signal.addEventListener("abort", () => {
      aborted = true;
    });
    return setTimeout(2 ** 30, undefined as never, { ref: false });
  };
  await expect(awsRequest("queue q", send, { timeoutMs: 20 })).rejects.toMatchObject({
    code: "UNAVAILABLE",
    message: "queue q: no answer within 0.02 seconds",
    retryAfter: 1,
  });
  expect(aborted).toBe(true);
});

test("the caller's signal ends it with the signal's reason", async () => {
  const controller = new AbortController();
  const reason = new Error("enough");
  const sent = awsRequest("queue q", () => new Promise<never>(() => {}), { signal: controller.signal });
  controller.abort(reason);
  await expect(sent).rejects.toBe(reason);
});
