import { mkdtempSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { SQSClient } from "@aws-sdk/client-sqs";
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { ensureQueue } from "#shared/aws/ensure-queue.ts";
import { SqsQueue } from "#shared/aws/sqs-queue.ts";
import { encodeFrame, joinFrame } from "#shared/codec/frame.ts";
import { type CallMessage, decodeMessage, encodeMessage } from "#shared/delivery/call-message.ts";
import { CallObjects } from "#shared/delivery/call-objects.ts";
import { answerDeadLetters, deadLetters, eachDeadLetter, redriveDeadLetter } from "#shared/delivery/dead-letters.ts";
import type { OutgoingMessage, ReceivedMessage } from "#shared/delivery/message-queue.ts";
import { log } from "#shared/observability/log.ts";
import { DiskStore } from "#shared/store/disk-store.ts";
import { type Fauxqs, startFauxqs } from "../../aws/fauxqs.ts";
import { sqsClient } from "../../aws/peer.ts";

// Failures are what these tests are about.
log.level = "silent";

const call: CallMessage = {
  kind: "call",
  id: "abc",
  api: "draw",
  callId: "seen-in-logs",
  deadline: Date.now() + 1_000,
  startBy: Date.now() + 500,
  traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
  accept: "image/webp",
};
const input = encodeFrame({ prompt: "a cat" });

describe("dead letters", () => {
  let peer: Fauxqs;
  let client: SQSClient;
  let lane: SqsQueue;
  let dead: SqsQueue;
  let folder: string;
  let objects: CallObjects;
  let names = 0;

  beforeAll(async () => {
    peer = await startFauxqs();
    client = sqsClient(peer.endpoint);
  });
  afterAll(async () => {
    client.destroy();
    await peer.stop();
  });
  beforeEach(async () => {
    const url = await ensureQueue(`dead-${++names}`, { visibilityTimeoutSeconds: 30 }, { client });
    const config = { visibilityTimeoutSeconds: 30, deadLetter: { url, maxReceiveCount: 1 } };
    dead = new SqsQueue(url, { client });
    lane = new SqsQueue(await ensureQueue(`lane-${names}`, config, { client }), { client });
    folder = mkdtempSync(join(tmpdir(), "tandem-dead-"));
    objects = new CallObjects(new DiskStore(folder), "Painter");
    return () => rm(folder, { recursive: true });
  });

  /** Sends a message, lets its only delivery fail, and gives it as the dead-letter queue does. */
  async function died(message: OutgoingMessage): Promise<ReceivedMessage[]> {
    await lane.send(message);
    await lane.extend(
      (await lane.receive(1, 0)).map(({ handle }) => handle),
      0,
    );
    expect(await lane.receive(1, 0)).toEqual([]);
    return dead.receive(10, 0);
  }
  const answer = (messages: ReceivedMessage[]): Promise<ReceivedMessage[]> =>
    answerDeadLetters(messages, { service: "Painter", objects, tries: 3 });

  it("leaves a call alone that a worker is at, and answers it when that has fallen silent", async () => {
    const messages = await died(encodeMessage(call, input));
    const at = Date.now();
    const lease = { run: "r", startedAt: at, at, sequence: 0, fraction: 0 };
    await objects.putProgress(call.id, lease);
    expect(await answerDeadLetters(messages, { service: "Painter", objects })).toEqual([]);
    expect(await objects.result(call.id)).toBeUndefined();
    await objects.putProgress(call.id, { ...lease, at: at - 20_000 });
    expect(await answerDeadLetters(messages, { service: "Painter", objects })).toEqual(messages);
    expect((await objects.result(call.id))?.error?.code).toBe("UNAVAILABLE");
  });

  it("sends a call once more, to be run alone, unless it was", async () => {
    const sent: OutgoingMessage[] = [];
    const send = async (message: OutgoingMessage): Promise<void> => void sent.push(message);
    const options = { service: "Painter", objects, send };
    const living = { ...call, deadline: Date.now() + 60_000 };
    expect(await answerDeadLetters(await died(encodeMessage(living, input)), options)).toHaveLength(1);
    expect(await objects.result(call.id)).toBeUndefined();
    expect(await deadLetters(objects.store, "Painter")).toEqual([]);
    const again = decodeMessage({ ...sent[0]!, messageId: "", handle: "", receiveCount: 1, sentAt: 0 });
    expect(again.call).toMatchObject({ id: call.id, alone: 1, deadline: living.deadline });
    expect(again.call.startBy).toBeUndefined();
    expect(again.input).toEqual(joinFrame(input));
    // It had a worker for itself, and did not come to an end.
    expect(await objects.markAlone(call.id)).toBe(true);
    await answerDeadLetters(await died(sent[0]!), options);
    expect(sent).toHaveLength(1);
    expect((await objects.result(call.id))?.error?.code).toBe("UNAVAILABLE");
    const [letter] = await Array.fromAsync(eachDeadLetter(objects.store, "Painter"));
    expect(letter).toMatchObject({ id: call.id });
    await redriveDeadLetter(letter!, { objects, queue: lane, timeout: 60 });
    const [redriven] = await lane.receive(1, 0);
    expect(decodeMessage(redriven!).call.alone).toBeUndefined();
    expect(await objects.wasAlone(call.id)).toBe(false);
  });

  it("does not send a call again for ever, nor after its deadline", async () => {
    const sent: OutgoingMessage[] = [];
    const options = { service: "Painter", objects, send: async (one: OutgoingMessage) => void sent.push(one) };
    const deadline = Date.now() + 60_000;
    await answerDeadLetters(
      await died(encodeMessage({ ...call, id: "late", deadline: Date.now() - 1 }, input)),
      options,
    );
    await answerDeadLetters(await died(encodeMessage({ ...call, id: "often", deadline, alone: 3 }, input)), options);
    expect(sent).toEqual([]);
    for (const id of ["late", "often"]) expect((await objects.result(id))?.error?.code).toBe("UNAVAILABLE");
  });

  it("has a callback URL told, unless the call had ended before", async () => {
    const told: string[] = [];
    const announce = async ({ id }: CallMessage): Promise<void> => void told.push(id);
    const callback = "https://example.com/done";
    const options = { service: "Painter", objects, announce };
    await answerDeadLetters(await died(encodeMessage({ ...call, callback }, input)), options);
    await answerDeadLetters(await died(encodeMessage({ ...call, id: "plain" }, input)), options);
    await objects.putResult("ended", { output: 1, finishedAt: 1 });
    await answerDeadLetters(await died(encodeMessage({ ...call, id: "ended", callback }, input)), options);
    expect(told).toEqual([call.id]);
  });

  it("tell the caller that waits, and are kept with their message", async () => {
    const messages = await died(encodeMessage(call, input));
    expect(await answer(messages)).toEqual(messages);
    const result = await objects.result("abc");
    expect(result?.error).toMatchObject({ code: "UNAVAILABLE", service: "Painter" });
    expect(result?.error?.error).toMatch(/^Painter\.draw was given up after 3 tries: its worker died/);
    const [letter, ...others] = await Array.fromAsync(eachDeadLetter(objects.store, "Painter"));
    expect(others).toEqual([]);
    expect(letter).toMatchObject({ id: "abc", api: "draw", kind: "call", callId: "seen-in-logs", service: "Painter" });
    expect(letter!.receiveCount).toBeGreaterThan(1);
    expect(letter!.diedAt).toBeGreaterThanOrEqual(letter!.sentAt);
    expect(letter!.message).toEqual({ body: messages[0]!.body, attributes: messages[0]!.attributes });
  });

  it("may be answered twice", async () => {
    const messages = await died(encodeMessage(call, input));
    await answer(messages);
    const first = await objects.result("abc");
    expect(await answer(messages)).toEqual(messages);
    expect(await objects.result("abc")).toEqual(first);
    expect(await deadLetters(objects.store, "Painter")).toMatchObject([{ id: "abc", diedAt: expect.any(Number) }]);
  });

  it("leave a call alone that has ended after all", async () => {
    await objects.putResult("abc", { output: 7, finishedAt: 1 });
    const messages = await died(encodeMessage(call, input));
    expect(await answer(messages)).toEqual(messages);
    expect(await objects.result("abc")).toMatchObject({ output: 7 });
    expect(await Array.fromAsync(eachDeadLetter(objects.store, "Painter"))).toEqual([]);
  });

  it("that are no calls are kept for a person to see, and cannot be sent again", async () => {
    const messages = await died({ body: "junk", attributes: { from: "elsewhere" } });
    expect(await answer(messages)).toEqual(messages);
    const [letter] = await Array.fromAsync(eachDeadLetter(objects.store, "Painter"));
    expect(letter).toMatchObject({ id: messages[0]!.messageId, message: { body: "junk" } });
    expect(letter!.reason).toContain("it is no call of Tandem's");
    await expect(redriveDeadLetter(letter!, { objects, queue: lane, timeout: 60 })).rejects.toThrow("no call");
    expect(await Array.fromAsync(eachDeadLetter(objects.store, "Painter"))).toEqual([letter]);
  });

  it("of callbacks are kept beside the call's own, whose result they leave alone", async () => {
    const messages = await died(encodeMessage({ ...call, kind: "callback", callback: "https://example.com" }));
    expect(await answer(messages)).toEqual(messages);
    expect(await objects.hasResult("abc")).toBe(false);
    expect(await Array.fromAsync(eachDeadLetter(objects.store, "Painter"))).toMatchObject([
      { id: "callback-abc", kind: "callback" },
    ]);
  });

  it("stay on their queue when the store fails, and only those", async () => {
    const messages = await died(encodeMessage(call, input));
    messages.push(...(await died(encodeMessage({ ...call, id: "def" }, input))));
    const put = objects.store.put.bind(objects.store);
    vi.spyOn(objects.store, "put").mockImplementation((key, ...rest) =>
      key.includes("abc") ? Promise.reject(new Error("the disk is full")) : put(key, ...rest),
    );
    expect(await answer(messages)).toEqual([messages[1]]);
    expect(await objects.hasResult("def")).toBe(true);
  });

  it("are sent again with a new deadline, without the error, and are forgotten", async () => {
    const messages = await died(encodeMessage(call, input));
    await answer(messages);
    const [letter] = await Array.fromAsync(eachDeadLetter(objects.store, "Painter"));
    const before = Date.now();
    expect(await redriveDeadLetter(letter!, { objects, queue: lane, timeout: 60, maxQueueTime: 20 })).toBe(true);
    expect(await objects.hasResult("abc")).toBe(false);
    expect(await Array.fromAsync(eachDeadLetter(objects.store, "Painter"))).toEqual([]);
    const [again] = await lane.receive(1, 0);
    const decoded = decodeMessage(again!);
    expect(decoded.input).toEqual(decodeMessage(messages[0]!).input);
    const { deadline, startBy } = decoded.call;
    expect(decoded.call).toMatchObject({ ...call, deadline, startBy });
    expect(deadline).toBeGreaterThanOrEqual(before + 60_000);
    expect(startBy).toBeGreaterThanOrEqual(before + 20_000);
    expect(startBy).toBeLessThan(deadline);
  });

  it("are dropped instead when their call has another result by now", async () => {
    await answer(await died(encodeMessage(call, input)));
    const [letter] = await Array.fromAsync(eachDeadLetter(objects.store, "Painter"));
    await objects.deleteResult("abc");
    await objects.putResult("abc", { output: 7, finishedAt: 1 });
    expect(await redriveDeadLetter(letter!, { objects, queue: lane, timeout: 60 })).toBe(false);
    expect(await lane.depth()).toMatchObject({ visible: 0, inFlight: 0 });
    expect(await objects.result("abc")).toMatchObject({ output: 7 });
    expect(await Array.fromAsync(eachDeadLetter(objects.store, "Painter"))).toEqual([]);
  });
});
