import { execFile } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { promisify } from "node:util";
import type { Worker } from "node:worker_threads";
import { afterAll, describe, expect, it } from "vitest";
import { canny } from "#functions/vision/canny.ts";
import { cannyAsync } from "#functions/vision/canny-thread.ts";
import { NDArray } from "#shared/codec/ndarray.ts";
import { ServiceError } from "#shared/errors/service-error.ts";
import { picture } from "./canny-patterns.ts";

/** Threads started in this process, by the event that Node raises for each. */
const threads: Worker[] = [];
const record = (thread: Worker) => void threads.push(thread);
process.on("worker", record);
afterAll(() => void process.off("worker", record));

/** A picture large enough for the thread, cheap to make. */
function large(width: number, height: number, channels: number): NDArray<"uint8"> {
  const tile = picture("texture", 509, 251, 1, 3).data;
  const data = new Uint8Array(width * height * channels);
  for (let at = 0; at < data.length; at += tile.length) data.set(tile.subarray(0, data.length - at), at);
  return new NDArray("uint8", channels === 1 ? [height, width] : [height, width, channels], data);
}

async function rejection(promise: Promise<unknown>): Promise<ServiceError> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!ServiceError.is(error)) throw new Error(`expected a ServiceError, got ${String(error)}`);
  return error;
}

describe("cannyAsync", () => {
  it("runs a small picture at once, without a thread", async () => {
    const image = picture("texture", 300, 200, 3, 1);
    expect((await cannyAsync(image, 40, 120)).data).toEqual(canny(image, 40, 120).data);
    expect(threads.length).toBe(0);
  });

  it("gives the same edges by the thread, for several pictures at once, and leaves the input alone", async () => {
    const images = [large(1500, 1100, 3), large(2001, 1203, 1), large(1, 60_000, 3), large(40_000, 31, 3)];
    const before = images.map((image) => image.data.slice());
    const edges = await Promise.all(images.map((image) => cannyAsync(image, 120, 40)));
    expect(threads.length).toBe(1);
    for (const [n, image] of images.entries()) {
      expect(edges[n]!.shape).toEqual(image.shape.slice(0, 2));
      expect(Buffer.compare(edges[n]!.data, canny(image, 40, 120).data)).toBe(0);
      expect(Buffer.compare(image.data, before[n]!)).toBe(0);
    }
  });

  it("lets a server answer while 10000 x 10000 pixels are worked on", async () => {
    const image = large(10_000, 10_000, 3);
    const server = createServer((_request, response) => response.end("ok")).listen(0, "127.0.0.1");
    await once(server, "listening");
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/livez`;
    await (await fetch(url)).text();

    let done = false;
    const edges = cannyAsync(image, 40, 120).finally(() => {
      done = true;
    });
    let answers = 0;
    while (!done) {
      await (await fetch(url)).text();
      answers++;
    }
    server.close();
    expect((await edges).shape).toEqual([10_000, 10_000]);
    expect(answers).toBeGreaterThan(5);
  });

  it("abandons a picture when the signal fires, under way or waiting, and goes on with the next", async () => {
    const image = large(3000, 3000, 3);
    const [underWay, waiting] = [new AbortController(), new AbortController()];
    const first = cannyAsync(image, 40, 120, { signal: underWay.signal });
    const second = cannyAsync(image, 40, 120, { signal: waiting.signal });
    const third = cannyAsync(image, 40, 120);
    waiting.abort();
    setTimeout(() => underWay.abort(new ServiceError("DEADLINE_EXCEEDED", "too late")), 5);
    expect((await rejection(second)).code).toBe("CANCELED");
    expect((await rejection(first)).code).toBe("DEADLINE_EXCEEDED");
    expect(Buffer.compare((await third).data, canny(image, 40, 120).data)).toBe(0);
    expect((await rejection(cannyAsync(image, 1, 2, { signal: AbortSignal.abort() }))).code).toBe("CANCELED");
  });

  it("refuses more pictures than may wait", async () => {
    const image = large(1200, 1000, 3);
    const controller = new AbortController();
    const calls = Array.from({ length: 66 }, () => cannyAsync(image, 40, 120, { signal: controller.signal }));
    const settled = Promise.allSettled(calls);
    expect(await rejection(calls[65]!)).toMatchObject({ code: "RESOURCE_EXHAUSTED", retryAfter: 1 });
    controller.abort();
    expect((await settled).filter(({ status }) => status === "rejected").length).toBeGreaterThan(60);
  });

  it("fails the picture whose thread dies and starts another for the next", async () => {
    const image = large(3000, 2000, 3);
    const started = threads.length;
    const [lost, next] = [cannyAsync(image, 40, 120), cannyAsync(image, 40, 120)];
    const failure = rejection(lost);
    await threads.at(-1)!.terminate();
    expect((await failure).code).toBe("INTERNAL");
    expect(Buffer.compare((await next).data, canny(image, 40, 120).data)).toBe(0);
    expect(threads.length).toBe(started + 1);
  });

  it("rejects bad input and what no memory can hold", async () => {
    const rgba = new NDArray("uint8", [1, 1, 4], new Uint8Array(4));
    expect((await rejection(cannyAsync(rgba, 1, 2))).message).toContain("drop the alpha channel");
    const wide = new NDArray("uint8", [1, 2 ** 27], new Uint8Array(2 ** 27));
    expect((await rejection(cannyAsync(wide, 1, 2))).code).toBe("PAYLOAD_TOO_LARGE");
    expect(() => canny(wide, 1, 2)).toThrow(expect.objectContaining({ code: "PAYLOAD_TOO_LARGE" }));
  });

  it("lets the process end when it is idle", async () => {
    const script = `
      const { cannyAsync } = await import("#functions/vision/canny-thread.ts");
      const { NDArray } = await import("#shared/codec/ndarray.ts");
      const image = new NDArray("uint8", [1500, 1500, 3], new Uint8Array(1500 * 1500 * 3).fill(7));
      console.log((await cannyAsync(image, 1, 2)).shape.join("x"));`;
    const { stdout } = await promisify(execFile)(process.execPath, ["--input-type=module", "-e", script]);
    expect(stdout.trim()).toBe("1500x1500");
  });
});
