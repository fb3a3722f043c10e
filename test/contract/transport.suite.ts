import { subscribe, unsubscribe } from "node:diagnostics_channel";
import type { Socket } from "node:net";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { z } from "zod";
import { DTYPES } from "#shared/codec/ndarray.ts";
import {
  api,
  type DType,
  ERROR_CODES,
  type ErrorCode,
  ImageValue,
  NDArray,
  ServiceError,
  service,
} from "#shared/index.ts";
import { type Client, clientOf } from "#shared/service/client.ts";
import type { Deploy, Deployment } from "./deployment.ts";
import { A, D, deployables, Hasty, Leaf, Narrow, Phased, phases, Top, Twin, visitsOf } from "./fixture-service.ts";
import { newGate } from "./gate.ts";

/** What differs between transports. */
export interface Traits {
  /** Calls travel over connections, which are to be reused. */
  sockets: boolean;
  /** A call that finds no place waits in a queue; elsewhere it is refused. */
  queued?: boolean;
  /** A call is an invocation of a function, which is not told that its caller has gone: only the deadline ends its work. */
  invoked?: boolean;
  /** Answers come in one piece: nothing is heard of the work before it is done, and a stream's items come together. */
  whole?: boolean;
}

/** What every transport must do. */
export function transportSuite(
  name: string,
  deploy: Deploy,
  { sockets, queued = false, invoked = false, whole = false }: Traits,
): void {
  describe(name, () => {
    let running: Deployment;
    beforeAll(async () => {
      running = await deploy(deployables);
    });
    afterAll(() => running[Symbol.asyncDispose]());

    payloads(() => running);
    errors(() => running);
    streams(() => running, { queued, invoked, whole });
    progress(() => running, whole);
    limits(() => running, queued, invoked);
    chains(() => running);
    crowds(() => running, sockets);
    lifecycle(deploy);
  });
}

type Get = () => Deployment;
const code = (expected: ErrorCode, more: object = {}) => expect.objectContaining({ code: expected, ...more });

function payloads(running: Get): void {
  describe("payloads", () => {
    const echo = (value: unknown): Promise<unknown> => running().client(Leaf).echo({ value });

    test.each([
      ["null", null],
      ["text", "Zürich 日本 👩‍🚀 \u0000"],
      ["numbers", [0, -0, 1.5, Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]],
      ["big integers", [2n ** 64n, -1n]],
      ["dates", new Date(1234)],
      ["members named $", { $: "nd", list: [{ $: { $: "bytes", i: 0 } }] }],
      ["bytes", new Uint8Array([0, 255])],
      ["no bytes", new Uint8Array(0)],
      ["a picture", new ImageValue(new Uint8Array([1, 2]), "webp")],
      ["a list of pictures", [new ImageValue(new Uint8Array([1])), new ImageValue(new Uint8Array(0), "gif")]],
      ["nested lists and objects", { a: [[{ b: [new Uint8Array([1]), { c: null }] }]], "": {} }],
    ])("%s", async (_what, value) => {
      expect(await echo(value)).toStrictEqual(value);
    });

    test.each(Object.keys(DTYPES) as DType[])("ndarrays of %s", async (dtype) => {
      const bits = Uint8Array.from({ length: 64 }, (_, i) => (dtype === "bool" ? i % 2 : (i * 89) & 255));
      const type = DTYPES[dtype];
      const array = new NDArray(dtype, [2, 32 / type.BYTES_PER_ELEMENT], new type(bits.buffer) as never);
      const back = (await echo({ deep: [array] })) as { deep: [NDArray] };
      expect(back.deep[0].dtype).toBe(dtype);
      expect(back.deep[0].shape).toEqual(array.shape);
      const { data } = back.deep[0];
      expect(new Uint8Array(data.buffer, data.byteOffset, data.byteLength)).toEqual(bits);
    });

    test.each<[string, NDArray, readonly unknown[]]>([
      [
        "special floats",
        new NDArray("float16", [4], Float16Array.of(Number.NaN, -0, 65504, -Infinity)),
        [NaN, -0, 65504, -Infinity],
      ],
      ["no dimension", new NDArray("float64", [], Float64Array.of(3)), [3]],
      ["no element", new NDArray("uint16", [0, 4], new Uint16Array(0)), []],
      ["strides", new NDArray("int16", [2, 2], Int16Array.of(1, 2, 3, 4), [1, 2]), [1, 3, 2, 4]],
      ["repetition", new NDArray("uint8", [2, 1], Uint8Array.of(1, 2)).broadcastTo([2, 3]), [1, 1, 1, 2, 2, 2]],
    ])("an ndarray with %s", async (_what, array, elements) => {
      const back = (await echo(array)) as NDArray;
      expect(back.shape).toEqual(array.shape);
      expect(Array.from(back.contiguous().data as ArrayLike<unknown>)).toEqual(elements);
    });

    test("an ndarray that its contract sends as one bit a pixel", async () => {
      const plane = new NDArray(
        "uint8",
        [3, 11, 1],
        Uint8Array.from({ length: 33 }, (_, i) => (i % 3 ? 0 : 255)),
      );
      for (const mask of [plane.broadcastTo([3, 11, 3]), plane.broadcastTo([3, 11, 3]).contiguous()]) {
        const back = await running().client(Leaf).mask({ mask });
        expect(back.shape).toEqual([3, 11, 3]);
        expect(back.contiguous().data).toEqual(mask.contiguous().data);
      }
    });

    test("what cannot travel is refused before it leaves", async () => {
      for (const value of [() => 1, new Map(), JSON.parse('{"__proto__": 1}'), new Date(Number.NaN)])
        await expect(echo({ value })).rejects.toEqual(code("INVALID_ARGUMENT"));
    });

    test("defaults are filled in on the way", async () => {
      expect(
        await running()
          .client(Leaf)
          .checked({ list: [{ n: 1 }, { n: 2 }] }),
      ).toBe(9);
    });
  });
}

function errors(running: Get): void {
  describe("errors", () => {
    // CANCELED is the caller's word alone: see below.
    const thrown = (Object.keys(ERROR_CODES) as ErrorCode[]).filter((code) => code !== "CANCELED");
    test.each(thrown)("%s keeps code, message, detail and time", async (failure) => {
      const error = await running()
        .client(Leaf)
        .fail({ code: failure, message: "out of luck", retryAfter: 7 })
        .catch((reason: unknown) => reason);
      expect(ServiceError.is(error)).toBe(true);
      expect((error as ServiceError).toJSON()).toEqual({
        error: "out of luck",
        code: failure,
        detail: [{ path: ["deep", 1], message: "why" }],
        retry_after: 7,
        service: "Leaf",
      });
    });

    test("a callee that says CANCELED to a caller who still waits has given the call up", async () => {
      await expect(running().client(Leaf).fail({ code: "CANCELED", message: "enough", retryAfter: 7 })).rejects.toEqual(
        expect.objectContaining({ code: "UNAVAILABLE", message: "Leaf gave the call up: enough" }),
      );
    });

    test("an error without detail and time has none", async () => {
      const error = await running()
        .client(Narrow)
        .crash({ secret: "hunter2" })
        .catch((reason: ServiceError) => reason);
      expect(error).toEqual(code("INTERNAL", { detail: undefined, retryAfter: undefined, service: "Narrow" }));
    });

    test("an unknown error is INTERNAL and its message stays at home", async () => {
      const error = await running()
        .client(Leaf)
        .crash({ secret: "hunter2" })
        .catch((reason: ServiceError) => reason);
      expect(error).toEqual(code("INTERNAL"));
      expect(JSON.stringify(error) + String(error)).not.toContain("hunter2");
    });

    test("an output that the contract does not allow is INTERNAL", async () => {
      await expect(running().client(Leaf).lie({})).rejects.toEqual(code("INTERNAL"));
    });

    test("a wrong input names its fields before it is sent", async () => {
      const wrong = { list: [{ n: 0 }, { n: -1, x: 1 }] };
      await expect(running().client(Leaf).checked(wrong)).rejects.toEqual(
        code("INVALID_ARGUMENT", {
          detail: expect.arrayContaining([expect.objectContaining({ path: ["list", 1, "n"] })]),
        }),
      );
    });

    // A caller with an older contract: what it sends passes its own checks.
    const loose = service("Leaf", {
      apis: {
        checked: api({ input: z.looseObject({}), output: z.unknown() }),
        gone: api({ input: z.looseObject({}), output: z.unknown() }),
      },
    });
    const old = () => clientOf(loose, async () => running().transport(Leaf));

    test.each([
      [{ list: [{ n: 0 }, { n: -1 }] }, ["list", 1, "n"]],
      [{ list: [], arr: new NDArray("float32", [3], new Float32Array(3)) }, ["arr"]],
      [{ list: [], scale: "3" }, ["scale"]],
      [{}, ["list"]],
      [{ list: [], more: 1 }, []],
    ])("a wrong input names its field when it comes: %j", async (input, path) => {
      await expect(old().checked(input)).rejects.toEqual(
        code("INVALID_ARGUMENT", { detail: [expect.objectContaining({ path })] }),
      );
    });

    test("an api that is not there is NOT_FOUND", async () => {
      await expect(old().gone({})).rejects.toEqual(code("NOT_FOUND"));
    });
  });
}

/** A call that finds no place: what comes of it, to be awaited once a place is free. */
async function withoutPlace(narrow: Client<typeof Narrow>, queued: boolean): Promise<() => Promise<void>> {
  if (!queued) {
    await expect(narrow.echo({ value: 1 })).rejects.toEqual(
      code("RESOURCE_EXHAUSTED", { status: 429, retryAfter: expect.any(Number) }),
    );
    return async () => undefined;
  }
  let free = false;
  const waiting = narrow.echo({ value: 1 }).then((value) => [value, free]);
  return async () => {
    free = true;
    expect(await waiting).toEqual([1, true]);
  };
}

function streams(running: Get, { queued, invoked, whole }: Required<Omit<Traits, "sockets">>): void {
  describe("streams", () => {
    const read = async (items: AsyncIterable<{ n: number }>, into: number[]): Promise<void> => {
      for await (const { n } of items) into.push(n);
    };

    test("items come in order, whole and once", async () => {
      const got: bigint[] = [];
      for await (const { n, arr } of running().client(Leaf).count({ to: 50 })) {
        expect(arr.dtype).toBe("int64");
        expect(arr.data[0]).toBe(BigInt(n));
        got.push(arr.data[0]!);
      }
      expect(got).toEqual(Array.from({ length: 50 }, (_, n) => BigInt(n)));
    });

    test("no item at all", async () => {
      const got: number[] = [];
      await read(running().client(Leaf).count({ to: 0 }), got);
      expect(got).toEqual([]);
    });

    test.skipIf(whole)("an item arrives before the next one is made", async () => {
      const { name, gate } = newGate();
      const got: number[] = [];
      for await (const { n } of running().client(Leaf).count({ to: 2, gate: name })) {
        got.push(n);
        gate.open();
      }
      expect(got).toEqual([0, 1]);
    });

    test("an error in mid-stream comes after the items before it", async () => {
      const got: number[] = [];
      await expect(read(running().client(Leaf).count({ to: 9, failAt: 3 }), got)).rejects.toEqual(
        code("CONFLICT", { message: "no 3", service: "Leaf" }),
      );
      expect(got).toEqual([0, 1, 2]);
    });

    test("a wrong input fails the first step", async () => {
      const items = running()
        .client(Leaf)
        .count({ to: "x" as unknown as number });
      await expect(read(items, [])).rejects.toEqual(code("INVALID_ARGUMENT"));
    });

    test.skipIf(invoked)("a caller that stops early stops the generator", async () => {
      const { name, gate } = newGate();
      gate.open();
      for await (const { n } of running().client(Leaf).count({ to: 1e9, gate: name })) if (n === 2) break;
      await gate.stopped.happened;
    });

    test.skipIf(invoked)("a caller that stops early frees the place", async () => {
      const narrow = running().client(Narrow);
      let answered = async (): Promise<void> => undefined;
      for await (const _ of narrow.count({ to: 1e9 })) {
        answered = await withoutPlace(narrow, queued);
        break;
      }
      await answered();
      await vi.waitFor(async () => expect(await narrow.echo({ value: 1 })).toBe(1));
    });

    test.skipIf(invoked)("the place is held until the generator has ended, even in the middle of a step", async () => {
      const narrow = running().client(Narrow);
      const { name, gate } = newGate();
      const caller = new AbortController();
      const reading = read(narrow.count({ to: 3, gate: name, stubborn: true }, { signal: caller.signal }), []);
      await gate.entered.happened;
      caller.abort();
      await expect(reading).rejects.toEqual(code("CANCELED"));
      await gate.aborted.happened;
      const answered = await withoutPlace(narrow, queued);
      gate.open();
      await answered();
      await gate.stopped.happened;
      await vi.waitFor(async () => expect(await narrow.echo({ value: 1 })).toBe(1));
    });

    test.skipIf(whole)("a reader that stalls past the deadline holds no place", async () => {
      const { name, gate } = newGate();
      const items = running().client(Hasty).count({ to: 1e9, gate: name })[Symbol.asyncIterator]();
      expect((await items.next()).value).toMatchObject({ n: 0 });
      await gate.stopped.happened;
      await vi.waitFor(() => expect(running().host(Hasty).inFlight).toBe(0));
      await expect(items.next()).rejects.toEqual(code("DEADLINE_EXCEEDED"));
    });
  });
}

function progress(running: Get, whole: boolean): void {
  describe("progress", () => {
    test.skipIf(whole)("the caller hears each report while the call runs, in order, with its preview", async () => {
      const points = [newGate(), newGate(), newGate(), newGate()];
      const heard: [number, number | undefined][] = [];
      const listener = (fraction: number, preview?: Uint8Array): void => {
        heard.push([fraction, preview?.[0]]);
        // The callee waits here: had it to finish before it is heard, this would never end.
        points[fraction * 4 - 1]!.gate.open();
      };
      const gates = points.map(({ name }) => name);
      expect(await running().client(Leaf).report({ gates }, { progress: listener })).toBe("reported");
      expect(heard).toEqual([
        [0.25, 0],
        [0.5, 1],
        [0.75, 2],
        [1, 3],
      ]);
    });

    test("a stream's reports come in order, the last one after its last item", async () => {
      const heard: number[] = [];
      const progress = (fraction: number): void => void heard.push(fraction);
      for await (const _ of running().client(Leaf).count({ to: 4 }, { progress })) void _;
      expect(heard).toEqual([0.25, 0.5, 0.75, 1]);
    });

    test("reports that nobody hears harm nobody", async () => {
      const point = newGate();
      point.gate.open();
      expect(
        await running()
          .client(Leaf)
          .report({ gates: [point.name] }),
      ).toBe("reported");
    });

    test.skipIf(whole).each(["context", "nothing"] as const)(
      "reports come through four services that pass %s",
      async (pass) => {
        const { name, gate } = newGate();
        const heard: number[] = [];
        const listener = (fraction: number): void => {
          heard.push(fraction);
          gate.open();
        };
        await running().client(A).hop({ pass, gate: name, progress: true }, { progress: listener });
        expect(heard).toEqual([0.5]);
      },
    );
  });
}

function limits(running: Get, queued: boolean, invoked: boolean): void {
  describe("deadlines, cancellation and limits", () => {
    test("a service's own timeout: DEADLINE_EXCEEDED, and the work's signal fires", async () => {
      const { name, gate } = newGate();
      await expect(running().client(Hasty).hold({ gate: name })).rejects.toEqual(
        code("DEADLINE_EXCEEDED", { status: 504 }),
      );
      expect(await gate.aborted.happened).toEqual(code("DEADLINE_EXCEEDED"));
    });

    test("the caller's timeout: DEADLINE_EXCEEDED, and the work's signal fires", async () => {
      const { name, gate } = newGate();
      await expect(running().client(Leaf).hold({ gate: name }, { timeout: 0.2 })).rejects.toEqual(
        code("DEADLINE_EXCEEDED"),
      );
      // Whichever comes first there: the deadline, or the news that the caller has hung up.
      expect(["DEADLINE_EXCEEDED", "CANCELED"]).toContain(((await gate.aborted.happened) as ServiceError).code);
    });

    test("a call whose deadline has passed is not run", async () => {
      const client = running().client(D);
      await client.hop({});
      const visits = visitsOf.get("D")!;
      for (const timeout of [0, -1])
        await expect(client.hop({}, { timeout })).rejects.toEqual(code("DEADLINE_EXCEEDED"));
      await client.hop({});
      expect(visitsOf.get("D")).toBe(visits + 1);
    });

    test.skipIf(invoked)("the caller's abort reaches work that runs", async () => {
      const { name, gate } = newGate();
      const caller = new AbortController();
      const call = running().client(Leaf).hold({ gate: name }, { signal: caller.signal });
      await gate.entered.happened;
      caller.abort();
      await expect(call).rejects.toEqual(code("CANCELED"));
      expect(await gate.aborted.happened).toEqual(code("CANCELED"));
    });

    test("an abort before the call", async () => {
      const reason = new ServiceError("UNAVAILABLE", "my own reason");
      const { name } = newGate();
      const call = running()
        .client(Leaf)
        .hold({ gate: name }, { signal: AbortSignal.abort(reason) });
      await expect(call).rejects.toBe(reason);
    });

    test.skipIf(invoked).each(["context", "nothing"] as const)(
      "the caller's abort reaches the last of four services that pass %s",
      async (pass) => {
        const { name, gate } = newGate();
        const caller = new AbortController();
        const call = running().client(A).hop({ pass, gate: name }, { signal: caller.signal });
        await gate.entered.happened;
        caller.abort();
        await expect(call).rejects.toEqual(code("CANCELED"));
        expect(await gate.aborted.happened).toEqual(code("CANCELED"));
      },
    );

    test(`a call over max_concurrency ${queued ? "waits" : "is refused with a time"}, and a place is free when a call ends`, async () => {
      const narrow = running().client(Narrow);
      const { name, gate } = newGate();
      const first = narrow.hold({ gate: name });
      await gate.entered.happened;
      const answered = await withoutPlace(narrow, queued);
      gate.open();
      await answered();
      expect(await first).toBe("held");
      expect(await narrow.echo({ value: 1 })).toBe(1);
    });

    test.skipIf(invoked)("a canceled call keeps its place until its work has stopped", async () => {
      const narrow = running().client(Narrow);
      const { name, gate } = newGate();
      const caller = new AbortController();
      const first = narrow.hold({ gate: name, stubborn: true }, { signal: caller.signal });
      await gate.entered.happened;
      caller.abort();
      await expect(first).rejects.toEqual(code("CANCELED"));
      await gate.aborted.happened;
      const answered = await withoutPlace(narrow, queued);
      gate.open();
      await answered();
      await vi.waitFor(async () => expect(await narrow.echo({ value: 1 })).toBe(1));
    });

    test("refused and faulty calls take no place", async () => {
      const narrow = running().client(Narrow);
      for (let round = 0; round < 3; round++) {
        await expect(narrow.crash({ secret: "" })).rejects.toEqual(code("INTERNAL"));
        await expect(narrow.lie({})).rejects.toEqual(code("INTERNAL"));
      }
      await vi.waitFor(() => expect(running().host(Narrow).inFlight).toBe(0));
    });
  });
}

function chains(running: Get): void {
  describe("services that call services", () => {
    const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    const names = (hops: { service: string }[]): string[] => hops.map((hop) => hop.service);

    test.each(["context", "nothing"] as const)("a chain of four that pass %s is one call", async (pass) => {
      const hops = await running().client(A).hop({ pass }, { callId: "call-7", accept: "image/webp", timeout: 5 });
      expect(names(hops)).toEqual(["A", "B", "C", "D"]);
      expect(hops.map(({ callId }) => callId)).toEqual(Array(4).fill("call-7"));
      expect(hops.map(({ accept }) => accept)).toEqual(Array(4).fill("image/webp"));
      const spans = hops.map((hop) => hop.traceparent.split("-"));
      expect(new Set(spans.map(([, trace]) => trace)).size).toBe(1);
      expect(new Set(spans.map(([, , span]) => span)).size).toBe(4);
      expect(hops[0]!.left).toBeLessThanOrEqual(5001);
      expect(hops[0]!.left).toBeGreaterThan(0);
      // A hop rounds what is left up to a whole millisecond.
      for (let i = 1; i < 4; i++) expect(hops[i]!.left).toBeLessThanOrEqual(hops[i - 1]!.left + 1);
    });

    test("the trace of the caller goes on", async () => {
      const context = { traceparent, callId: "x", deadline: Date.now() + 5000, signal: new AbortController().signal };
      const hops = await running()
        .client(A)
        .hop({}, context as never);
      for (const hop of hops) expect(hop.traceparent).toMatch(/^00-0af7651916cd43dd8448eb211c80319c-[0-9a-f]{16}-01$/);
      expect(hops.map((hop) => hop.traceparent)).not.toContain(traceparent);
    });

    test("calls of their own have ids and traces of their own", async () => {
      const [[first], [second]] = await Promise.all([running().client(D).hop({}), running().client(D).hop({})]);
      expect(first!.callId).not.toBe(second!.callId);
      expect(first!.traceparent.split("-")[1]).not.toBe(second!.traceparent.split("-")[1]);
    });

    test.each(["context", "nothing"] as const)("an idempotency key belongs to one call (%s)", async (pass) => {
      const hops = await running().client(A).hop({ pass }, { idempotencyKey: pass });
      expect(hops.map(({ idempotencyKey }) => idempotencyKey)).toEqual([pass, null, null, null]);
    });

    test("a diamond of four: both ways meet in one instance", async () => {
      const hops = await running().client(Top).hop({});
      expect(names(hops)).toEqual(["Top", "Left", "D", "Right", "D"]);
      const visits = hops.filter((hop) => hop.service === "D").map((hop) => hop.visits);
      expect(Math.abs(visits[0]! - visits[1]!)).toBe(1);
    });

    test("an error of the last service says where it comes from, and middle services run once", async () => {
      await running().client(A).hop({});
      const before = ["A", "B", "C"].map((name) => visitsOf.get(name)!);
      await expect(running().client(A).hop({ fail: true })).rejects.toEqual(
        code("UNAVAILABLE", { service: "D", message: "out of order" }),
      );
      expect(["A", "B", "C"].map((name) => visitsOf.get(name))).toEqual(before.map((visits) => visits + 1));
    });

    test("one class under two names has two states", async () => {
      const [leaf, twin] = [running().client(Leaf), running().client(Twin)];
      await leaf.remember({ word: "a" });
      await twin.remember({ word: "b" });
      expect(await leaf.remember({ word: "c" })).toEqual(["a", "c"]);
      expect(await twin.remember({ word: "d" })).toEqual(["b", "d"]);
    });
  });
}

function crowds(running: Get, sockets: boolean): void {
  describe("many calls", () => {
    test("200 at once with large arrays, none mixed up", async () => {
      const leaf = running().client(Leaf);
      const sums = await Promise.all(
        Array.from({ length: 200 }, async (_, i) => {
          const data = new Float32Array(65_536).fill(i);
          const back = (await leaf.echo({ value: new NDArray("float32", [256, 256], data) })) as NDArray;
          return [back.data[0], back.data[65_535], back.size];
        }),
      );
      expect(sums).toEqual(Array.from({ length: 200 }, (_, i) => [i, i, 65_536]));
    });

    test("a batchable api gives each caller its own answer", async () => {
      const leaf = running().client(Leaf);
      const answers = await Promise.all(Array.from({ length: 100 }, (_, x) => leaf.square({ x })));
      expect(answers).toEqual(Array.from({ length: 100 }, (_, x) => x * x));
    });

    if (sockets)
      test("connections are reused by every kind of call, and bounded in number", async () => {
        const leaf = running().client(Leaf);
        let opened = 0;
        const count = (_message: unknown): void => void opened++;
        subscribe("net.server.socket", count);
        try {
          for (let i = 0; i < 20; i++) {
            await leaf.echo({ value: i });
            await leaf.crash({ secret: "" }).catch(() => undefined);
            for await (const _ of leaf.count({ to: 3 })) void _;
            await expect(async () => {
              for await (const _ of leaf.count({ to: 3, failAt: 1 })) void _;
            }).rejects.toEqual(code("CONFLICT"));
            await leaf.report({ gates: [] }, { progress: () => undefined });
          }
          // Those of before are idle and taken first.
          expect(opened).toBe(0);
          await Promise.all(Array.from({ length: 300 }, (_, value) => leaf.echo({ value })));
          expect(opened).toBeLessThanOrEqual(128);
        } finally {
          unsubscribe("net.server.socket", count);
        }
      });

    if (sockets)
      test("broken connections do no harm to later calls", async () => {
        const leaf = running().client(Leaf);
        const open = new Set<Socket>();
        const note = (message: unknown): void => void open.add((message as { socket: Socket }).socket);
        subscribe("net.client.socket", note);
        const { name, gate } = newGate();
        // More calls than there are idle connections: some are new.
        const calls = Array.from({ length: 128 }, () => leaf.hold({ gate: name }));
        await vi.waitFor(() => expect(running().host(Leaf).inFlight).toBe(128));
        unsubscribe("net.client.socket", note);
        for (const socket of open) socket.destroy();
        gate.open();
        const answers = await Promise.allSettled(calls);
        for (const answer of answers)
          if (answer.status === "rejected") expect(answer.reason).toEqual(code("UNAVAILABLE", { service: "Leaf" }));
        expect(await leaf.echo({ value: 1 })).toBe(1);
      });
  });
}

function lifecycle(deploy: Deploy): void {
  describe("lifecycle", () => {
    const signal = new AbortController().signal;
    const deployed = () => deploy(deployables.filter((one) => one.service === Phased));

    test("constructor, onStart, calls, onStop; a stop lets calls in work finish and refuses new ones", async () => {
      await using running = await deployed();
      const phased = running.client(Phased);
      expect(phases.seen).toEqual(["constructor", "onStart"]);
      const { name, gate } = newGate();
      const call = phased.hold({ gate: name });
      await gate.entered.happened;
      const stopped = running.host(Phased).stop();
      await expect(phased.hold({ gate: name })).rejects.toEqual(code("UNAVAILABLE", { status: 503 }));
      await vi.waitFor(async () => expect(await running.transport(Phased).ready(signal)).toBe(false));
      expect(phases.seen).toEqual(["constructor", "onStart", "call"]);
      gate.open();
      expect(await call).toBe("held");
      await stopped;
      expect(phases.seen).toEqual(["constructor", "onStart", "call", "answer", "onStop"]);
    });

    test("a stop aborts what is left after its grace", async () => {
      await using running = await deployed();
      const { name, gate } = newGate();
      const call = running.client(Phased).hold({ gate: name });
      await gate.entered.happened;
      await Promise.all([expect(call).rejects.toEqual(code("UNAVAILABLE")), running.host(Phased).stop(0)]);
      expect(phases.seen.at(-1)).toBe("onStop");
    });

    test("ready follows the implementation", async () => {
      await using running = await deployed();
      const transport = running.transport(Phased);
      await vi.waitFor(async () => expect(await transport.ready(signal)).toBe(true));
      phases.ready = false;
      await vi.waitFor(async () => expect(await transport.ready(signal)).toBe(false));
    });
  });
}
