import { randomUUID } from "node:crypto";
import type { SQSClient } from "@aws-sdk/client-sqs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ensureQueue, type QueueConfig } from "#shared/aws/ensure-queue.ts";
import { SqsQueue } from "#shared/aws/sqs-queue.ts";
import type { OutgoingMessage, ReceivedMessage } from "#shared/delivery/message-queue.ts";
import { type AwsPeer, sqsClient } from "../aws/peer.ts";

/** Where a server is not as SQS is, and why. What is named is expected to fail: a server that has mended it is found. */
export interface Deviations {
  /** Characters above U+FFFF are refused. */
  refusesAstral?: string;
  /** Deleting by a handle that never was succeeds. */
  deletesUnknown?: string;
  /** A queue's dead letters, once set, cannot be taken away. */
  keepsDeadLetters?: string;
}

const message = (body: string): OutgoingMessage => ({ body, attributes: {} });

/** What every server of queues must do, as {@link SqsQueue} asks it. */
export function queueSuite(name: string, start: () => Promise<AwsPeer>, deviations: Deviations = {}): void {
  describe(name, () => {
    let peer: AwsPeer;
    let client: SQSClient;
    beforeAll(async () => {
      peer = await start();
      client = sqsClient(peer.endpoint);
    });
    afterAll(async () => {
      client?.destroy();
      await peer?.stop();
    });

    async function newQueue(config: Partial<QueueConfig> = {}): Promise<SqsQueue> {
      const wanted = { visibilityTimeoutSeconds: 60, ...config };
      return new SqsQueue(await ensureQueue(`suite-${randomUUID()}`, wanted, { client }), { client });
    }
    /** Receives so many messages, in as many receptions as that takes. */
    async function receiveAll(queue: SqsQueue, count: number): Promise<ReceivedMessage[]> {
      const received: ReceivedMessage[] = [];
      while (received.length < count) {
        const some = await queue.receive(10, 5);
        if (some.length === 0) break;
        received.push(...some);
      }
      return received;
    }

    test("a message comes as it was sent, once", async () => {
      const queue = await newQueue();
      const before = Date.now();
      const attributes = { kind: "call", "call-id": "a.b_c", options: '{"accept":"image/webp"}' };
      await queue.send({ body: "hello", attributes });
      const received = await queue.receive(10, 5);
      const names = { messageId: expect.stringMatching(/./), handle: expect.stringMatching(/./) };
      expect(received).toEqual([{ body: "hello", attributes, ...names, receiveCount: 1, sentAt: expect.any(Number) }]);
      expect(Math.abs(received[0]!.sentAt - before)).toBeLessThan(60_000);
      expect(await queue.receive(10, 0)).toEqual([]);
    });

    test("an empty attribute is left out", async () => {
      const queue = await newQueue();
      await queue.send({ body: "x", attributes: { full: "1", empty: "" } });
      expect((await queue.receive(1, 5))[0]!.attributes).toEqual({ full: "1" });
    });

    test("text of any script", async () => {
      const queue = await newQueue();
      const text = "Zürich \t\n 日本 العربية \u007f\u0085\ufdd0";
      await queue.send({ body: text, attributes: { text } });
      expect(await queue.receive(1, 5)).toEqual([expect.objectContaining({ body: text, attributes: { text } })]);
    });

    test(`characters above U+FFFF${deviations.refusesAstral ? `: refused, ${deviations.refusesAstral}` : ""}`, async () => {
      const queue = await newQueue();
      const sent = queue.send({ body: "👩‍🚀 𝄞", attributes: {} });
      if (deviations.refusesAstral) return await expect(sent).rejects.toMatchObject({ code: "INTERNAL" });
      await sent;
      expect((await queue.receive(1, 5))[0]!.body).toBe("👩‍🚀 𝄞");
    });

    test.each(["\u0000", "a\u0001b", "\u001f", "\ufffe", "\uffff", "\ud800"])("%j is refused", async (text) => {
      const queue = await newQueue();
      const refused = { code: "INVALID_ARGUMENT", message: expect.stringContaining("U+") };
      await expect(queue.send(message(text))).rejects.toMatchObject(refused);
      await expect(queue.send({ body: "x", attributes: { text } })).rejects.toMatchObject(refused);
    });

    test("a message of 1 MiB with its attributes, and not a byte more", async () => {
      const queue = await newQueue();
      const attributes = { name: "é" };
      const body = "é".repeat((2 ** 20 - Buffer.byteLength("nameStringé")) / 2);
      const spare = 2 ** 20 - Buffer.byteLength(`${body}nameStringé`);
      await queue.send({ body: body + "x".repeat(spare), attributes });
      expect((await queue.receive(1, 5))[0]!.body).toHaveLength(body.length + spare);
      await expect(queue.send({ body: body + "x".repeat(spare + 1), attributes })).rejects.toMatchObject({
        code: "PAYLOAD_TOO_LARGE",
        message: expect.stringContaining("1048577"),
      });
    });

    test("a message that nobody deletes comes again when its visibility timeout has passed", async () => {
      const queue = await newQueue({ visibilityTimeoutSeconds: 1 });
      await queue.send(message("again"));
      const [{ messageId } = { messageId: "" }] = await queue.receive(1, 5);
      expect(await queue.receive(1, 10)).toMatchObject([{ body: "again", messageId, receiveCount: 2 }]);
    });

    test("an extended message stays hidden; one given back comes at once", async () => {
      const queue = await newQueue({ visibilityTimeoutSeconds: 1 });
      await queue.send(message("long"));
      const [received] = await queue.receive(1, 5);
      expect(await queue.extend([received!.handle], 40_000.5)).toEqual([]);
      expect(await queue.receive(1, 2)).toEqual([]);
      expect(await queue.extend([received!.handle], 0)).toEqual([]);
      expect((await queue.receive(1, 5))[0]!.body).toBe("long");
    });

    test("messages are extended and deleted by the dozen", async () => {
      const queue = await newQueue();
      const bodies = Array.from({ length: 25 }, (_, i) => `message ${i}`);
      await Promise.all(bodies.map((body) => queue.send(message(body))));
      const received = await receiveAll(queue, 25);
      expect(received.map(({ body }) => body).sort()).toEqual(bodies.sort());
      const handles = received.map(({ handle }) => handle);
      expect(await queue.extend(handles, 0)).toEqual([]);
      const again = await receiveAll(queue, 25);
      expect(again).toHaveLength(25);
      expect(await queue.delete(again.map(({ handle }) => handle))).toEqual([]);
      expect(await queue.depth()).toEqual({ visible: 0, inFlight: 0, delayed: 0 });
      expect(await queue.delete([])).toEqual([]);
    });

    test("extending what is deleted fails for that alone", async () => {
      const queue = await newQueue();
      for (const body of ["deleted", "kept"]) await queue.send(message(body));
      const received = (await receiveAll(queue, 2)).sort((a, b) => a.body.localeCompare(b.body));
      const [deleted, kept] = received.map(({ handle }) => handle) as [string, string];
      expect(await queue.delete([deleted])).toEqual([]);
      expect(await queue.extend([kept, deleted], 0)).toEqual([deleted]);
      expect((await queue.receive(10, 5)).map(({ body }) => body)).toEqual(["kept"]);
    });

    const forgiven = deviations.deletesUnknown;
    test(`deleting by an unknown handle ${forgiven ? `succeeds: ${forgiven}` : "fails for that alone"}`, async () => {
      const queue = await newQueue();
      await queue.send(message("x"));
      const [{ handle }] = (await queue.receive(1, 5)) as [ReceivedMessage];
      expect(await queue.delete(["no handle", handle])).toEqual(forgiven ? [] : ["no handle"]);
      expect(await queue.depth()).toEqual({ visible: 0, inFlight: 0, delayed: 0 });
    });

    test("a receiver that waits gets what is sent meanwhile", { timeout: 15_000 }, async () => {
      const queue = await newQueue();
      const waiting = queue.receive(1, 20);
      await queue.depth();
      await queue.send(message("at last"));
      expect(await waiting).toMatchObject([{ body: "at last" }]);
    });

    test("how much waits, is in flight, is delayed", async () => {
      const queue = await newQueue();
      for (const body of ["a", "b", "c"]) await queue.send(message(body));
      await queue.send(message("later"), { delaySeconds: 600 });
      await queue.receive(1, 5);
      expect(await queue.depth()).toEqual({ visible: 2, inFlight: 1, delayed: 1 });
    });

    test("a delayed message comes later", async () => {
      const queue = await newQueue();
      await queue.send(message("later"), { delaySeconds: 1 });
      expect(await queue.receive(1, 0)).toEqual([]);
      expect(await queue.receive(1, 10)).toMatchObject([{ body: "later" }]);
    });

    test("a message goes to the dead letters after so many receptions", async () => {
      const dead = await newQueue();
      const queue = await newQueue({ deadLetter: { url: dead.url, maxReceiveCount: 2 } });
      await queue.send({ body: "poison", attributes: { id: "7" } });
      for (const receiveCount of [1, 2]) {
        const [received] = await queue.receive(1, 5);
        expect(received).toMatchObject({ body: "poison", receiveCount });
        await queue.extend([received!.handle], 0);
      }
      expect(await queue.receive(1, 1)).toEqual([]);
      expect(await dead.receive(1, 5)).toMatchObject([{ body: "poison", attributes: { id: "7" } }]);
      expect(await queue.depth()).toEqual({ visible: 0, inFlight: 0, delayed: 0 });
    });

    test("a queue has the settings it was made with, and those it was given later", async () => {
      const name = `suite-${randomUUID()}`;
      const settings = async (config: Partial<QueueConfig>): Promise<unknown> => {
        const url = await ensureQueue(name, { visibilityTimeoutSeconds: 60, ...config }, { client });
        return await new SqsQueue(url, { client }).settings();
      };
      const deadLetter = { url: (await newQueue()).url, maxReceiveCount: 3 };
      for (const _time of ["made", "found"])
        expect(await settings({ deadLetter })).toEqual({ visibilityTimeout: 60, maxReceiveCount: 3 });
      deadLetter.maxReceiveCount = 5;
      expect(await settings({ deadLetter, visibilityTimeoutSeconds: 7, retentionSeconds: 600 })).toEqual({
        visibilityTimeout: 7,
        maxReceiveCount: 5,
      });
    });

    const kept = deviations.keepsDeadLetters;
    test(`a queue without dead letters ${kept ? `after it had some is refused: ${kept}` : "after it had some"}`, async () => {
      const name = `suite-${randomUUID()}`;
      const deadLetter = { url: (await newQueue()).url, maxReceiveCount: 3 };
      const url = await ensureQueue(name, { visibilityTimeoutSeconds: 60, deadLetter }, { client });
      const changed = ensureQueue(name, { visibilityTimeoutSeconds: 60 }, { client });
      if (kept) return await expect(changed).rejects.toMatchObject({ code: "INTERNAL" });
      expect(await changed).toBe(url);
      expect((await new SqsQueue(url, { client }).settings()).maxReceiveCount).toBeUndefined();
    });

    test("a purged queue is empty", async () => {
      const queue = await newQueue();
      await queue.send(message("a"));
      await queue.purge();
      expect(await queue.receive(10, 0)).toEqual([]);
      expect(await queue.depth()).toEqual({ visible: 0, inFlight: 0, delayed: 0 });
    });

    test("a queue that is not there is named, with what to do", async () => {
      const queue = await newQueue();
      const missing = new SqsQueue(`${queue.url}-not`, { client });
      const error = { code: "INTERNAL", message: `there is no queue ${missing.url}: create it, or correct the URL` };
      await expect(missing.send(message("x"))).rejects.toMatchObject(error);
      await expect(missing.receive(1, 0)).rejects.toMatchObject(error);
      await expect(missing.depth()).rejects.toMatchObject(error);
    });

    test("an aborted signal ends a request with its reason", async () => {
      const queue = await newQueue();
      const signal = AbortSignal.abort(new Error("enough"));
      await expect(queue.send(message("x"), { signal })).rejects.toBe(signal.reason);
      await expect(queue.depth(signal)).rejects.toBe(signal.reason);
      await expect(queue.settings(signal)).rejects.toBe(signal.reason);
      expect(await queue.depth()).toEqual({ visible: 0, inFlight: 0, delayed: 0 });
    });
  });
}
