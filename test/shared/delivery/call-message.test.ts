import { randomBytes } from "node:crypto";
import { describe, expect, it } from "vitest";
import { decodeFrame, encodeFrame } from "#shared/codec/frame.ts";
import { type CallMessage, decodeMessage, encodeMessage, MAX_INLINE_BYTES } from "#shared/delivery/call-message.ts";
import type { OutgoingMessage, ReceivedMessage } from "#shared/delivery/message-queue.ts";
import { NDArray } from "#shared/index.ts";

const call: CallMessage = {
  kind: "call",
  id: "k0a-b_c",
  api: "paint",
  callId: "seen-in-logs",
  deadline: 1_800_000_000_000,
  traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
};
const all: CallMessage = {
  ...call,
  idempotencyKey: "key",
  accept: "image/webp",
  startBy: 1_700_000_000_000,
  listened: true,
  callback: "https://example.com/hook?a=1&b=ü",
};

const received = (message: OutgoingMessage): ReceivedMessage => ({
  ...message,
  messageId: "m",
  handle: "h",
  receiveCount: 1,
  sentAt: 0,
});
const withAttributes = (attributes: Record<string, string>): ReceivedMessage => {
  const message = encodeMessage(all);
  return received({ ...message, attributes: { ...message.attributes, ...attributes } });
};

describe("a call as a message", () => {
  it.each([call, all, { ...all, kind: "callback" as const }])("comes back as it was: %#", (said) => {
    const { call: back, input } = decodeMessage(received(encodeMessage(said)));
    expect(back).toEqual(said);
    expect(input).toBeUndefined();
  });

  it("brings its input along, in memory of its own", () => {
    const array = new NDArray("float64", [3], Float64Array.of(1, 2, 3));
    const { input } = decodeMessage(received(encodeMessage(call, encodeFrame({ array }))));
    expect(input!.byteOffset % 8).toBe(0);
    expect(input!.buffer.byteLength).toBeLessThan(1_000);
    const { array: back } = decodeFrame(input!) as { array: NDArray };
    expect(Array.from(back.data as Float64Array)).toEqual([1, 2, 3]);
  });

  it("is one that SQS takes with the largest input and the longest attributes that come with it", () => {
    const bytes = encodeFrame(randomBytes(MAX_INLINE_BYTES - 200));
    expect(bytes.byteLength).toBeLessThanOrEqual(MAX_INLINE_BYTES);
    const long: CallMessage = {
      ...all,
      idempotencyKey: "k".repeat(255),
      accept: "a".repeat(1_000),
      callback: `https://example.com/${"c".repeat(2_000)}`,
    };
    const { body, attributes } = encodeMessage(long, bytes);
    expect(Object.keys(attributes).length).toBeLessThanOrEqual(10);
    const named = Object.entries(attributes).flatMap(([name, value]) => [name, "String", value]);
    const size = Buffer.byteLength(body) + named.reduce((sum, text) => sum + Buffer.byteLength(text), 0);
    expect(size).toBeLessThanOrEqual(2 ** 20);
    expect(decodeMessage(received({ body, attributes })).input).toHaveLength(bytes.byteLength);
  });

  it.each<[string, ReceivedMessage]>([
    ["no attributes", received({ body: "hello", attributes: {} })],
    ["another kind", withAttributes({ kind: "mail" })],
    ["no id", withAttributes({ id: "" })],
    ["an id that leaves its folder", withAttributes({ id: "../../etc" })],
    ["no api", withAttributes({ api: "" })],
    ["no time as deadline", withAttributes({ deadline: "soon" })],
    ["options that are no JSON", withAttributes({ options: "{" })],
  ])("is refused with %s", (_what, message) => {
    expect(() => decodeMessage(message)).toThrow(expect.objectContaining({ code: "INVALID_ARGUMENT" }));
  });

  it("says by its options nothing that its attributes say", () => {
    const { call: back } = decodeMessage(withAttributes({ options: '{"id":"other","kind":"callback","deadline":1}' }));
    expect([back.id, back.kind, back.deadline]).toEqual([all.id, "call", all.deadline]);
  });
});
