import { beforeEach, describe, expect, it, vi } from "vitest";
import { z } from "zod";
import type { CallObjects } from "#shared/delivery/call-objects.ts";
import { isSuperseded, runStream } from "#shared/delivery/stream-pieces.ts";
import { type Apis, api, type CallContext, implement, ServiceError, service } from "#shared/index.ts";
import { log } from "#shared/observability/log.ts";
import { ServiceHost } from "#shared/service/host.ts";
import { decodeItems, holdsEnd } from "#shared/transport/frame-items.ts";
import { Event, Gate } from "../../contract/gate.ts";

log.level = "silent";

const Source = service("Source", { apis: { flow: api({ stream: true, input: z.object({}), output: z.unknown() }) } });

let flow: (context: CallContext) => AsyncGenerator<unknown>;
class SourceImpl extends implement(Source) implements Apis<typeof Source> {
  flow = (_: unknown, context: CallContext) => flow(context);
}

/** Takes pieces as long as its gate lets it. */
class Pieces {
  readonly pieces: Uint8Array[] = [];
  readonly asked = new Event();
  gate: Gate | undefined;
  refuse: (index: number) => boolean = () => false;

  async putItems(_id: string, index: number, chunks: readonly Uint8Array[]): Promise<boolean> {
    this.asked.happen();
    await this.gate?.pass(new AbortController().signal);
    if (this.refuse(index)) return false;
    if (index !== this.pieces.length) throw new Error(`piece ${index} is not the next`);
    this.pieces.push(new Uint8Array(Buffer.concat(chunks)));
    return true;
  }
}

let objects: Pieces;
let host: ServiceHost;
beforeEach(async () => {
  objects = new Pieces();
  host = new ServiceHost(Source, new SourceImpl());
  await host.start();
});

const run = (signal?: AbortSignal) => runStream(host, "flow", {}, { signal }, objects as unknown as CallObjects, "id");

async function itemsOf(...pieces: Uint8Array[]): Promise<unknown[]> {
  const items: unknown[] = [];
  const body = (async function* () {
    yield* pieces;
  })();
  try {
    for await (const item of decodeItems(body, 2 ** 30)) items.push(item.kind === "value" ? item.value : item.kind);
  } catch (error) {
    items.push((error as Error).message);
  }
  return items;
}

describe("a stream's pieces", () => {
  it("are the first item, then what came while the one before was written; whole items each", async () => {
    objects.gate = new Gate();
    flow = async function* () {
      for (let n = 0; n < 5; n++) yield n;
    };
    const running = run();
    await objects.asked.happened;
    await vi.waitFor(() => expect(host.inFlight).toBe(0));
    objects.gate.open();
    expect(await running).toEqual({ pieces: 2 });
    expect(objects.pieces.map(holdsEnd)).toEqual([false, true]);
    expect(await itemsOf(objects.pieces[0]!)).toEqual([0, "the connection ended before the answer did"]);
    expect(await itemsOf(objects.pieces[1]!)).toEqual([1, 2, 3, 4, "end"]);
  });

  it("hold the progress between the items, and the error at the end", async () => {
    flow = async function* ({ progress }) {
      progress(0.5, Uint8Array.of(1));
      yield "half";
      throw new ServiceError("CONFLICT", "no more");
    };
    await expect(run()).rejects.toEqual(expect.objectContaining({ code: "CONFLICT" }));
    expect(await itemsOf(...objects.pieces)).toEqual(["progress", "half", "error"]);
  });

  it("hold the generator up where it is far ahead", async () => {
    objects.gate = new Gate();
    let made = 0;
    flow = async function* () {
      for (; made < 20; made++) yield new Uint8Array(2 ** 17);
    };
    const running = run();
    await objects.asked.happened;
    // Nothing moves until the piece is written, however long that takes.
    for (let turn = 0; turn < 1_000; turn++) await Promise.resolve();
    const ahead = made;
    for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
    expect(made).toBe(ahead);
    expect(made).toBeLessThanOrEqual(5);
    objects.gate.open();
    await running;
    expect(await itemsOf(...objects.pieces)).toHaveLength(21);
  });

  it("that another run writes stop this one at once, even while it makes its next item", async () => {
    const gate = new Gate();
    objects.refuse = (index) => index === 0;
    flow = async function* ({ signal }) {
      yield 1;
      await gate.pass(signal);
      yield 2;
    };
    const failure = await run().catch((error: unknown) => error);
    expect(isSuperseded(failure)).toBe(true);
    await gate.aborted.happened;
    await vi.waitFor(() => expect(host.inFlight).toBe(0));
    expect(objects.pieces).toEqual([]);
  });

  it("of a run that is aborted in the middle end with the reason; before the first item there are none", async () => {
    const stopping = new ServiceError("UNAVAILABLE", "the worker is stopping");
    const gate = new Gate();
    let first = 0;
    flow = async function* ({ signal }) {
      for (let n = first; n < 1; n++) yield n;
      await gate.pass(signal);
    };
    const worker = new AbortController();
    const running = run(worker.signal);
    await gate.entered.happened;
    worker.abort(stopping);
    await expect(running).rejects.toBe(stopping);
    expect(await itemsOf(...objects.pieces)).toEqual([0, "error"]);
    objects.pieces.length = 0;
    first = 1;
    await expect(run(worker.signal)).rejects.toBe(stopping);
    expect(objects.pieces).toEqual([]);
  });
});
