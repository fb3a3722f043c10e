import { describe, expect, test } from "vitest";
import { z } from "zod";
import { api, deployable, implement, named, service } from "#shared/index.ts";
import { log } from "#shared/observability/log.ts";
import { dependencyOrder, type Service } from "#shared/service/contract.ts";
import { Discovery } from "#shared/service/discovery.ts";
import { ServiceHost } from "#shared/service/host.ts";
import { constructWith } from "#shared/service/implementation.ts";
import { childTraceparent } from "#shared/service/trace.ts";
import { parseInput, parseOutput } from "#shared/service/validation.ts";
import { locationsFromEnvironment } from "#shared/transport/location.ts";

// Failures are what these tests are about.
log.level = "silent";

const ping = api({ input: z.object({}), output: z.string() });
const plain = (name: string, dependencies: Service[] = []): Service => service(name, { apis: { ping }, dependencies });

describe("service()", () => {
  test.each(["", "1a", "a b", "a/b", "_a", "é", "a".repeat(64)])("the name %j is refused", (name) => {
    expect(() => plain(name)).toThrow(TypeError);
  });

  test.each(["Model", "a-b_c9", "a".repeat(63)])("the name %j is taken", (name) => {
    expect(plain(name).name).toBe(name);
  });

  test.each([
    "constructor",
    "depends",
    "then",
    "onStart",
    "toString",
    "valueOf",
    "hasOwnProperty",
    "__proto__",
    "a-b",
    "",
  ])("the api name %j is refused", (name) => {
    expect(() => service("S", { apis: Object.fromEntries([[name, ping]]) })).toThrow(/cannot be the name of an api/);
  });

  test.each([
    [{ traffic: { timeout: 0 } }],
    [{ traffic: { timeout: Number.NaN } }],
    [{ traffic: { maxConcurrency: 0 } }],
    [{ traffic: { maxConcurrency: 1.5 } }],
    [{ workers: 0 }],
    [{ workers: 1.5 }],
  ])("%j is refused", (options) => {
    expect(() => service("S", { apis: { ping }, ...options })).toThrow(TypeError);
  });

  test("a service that depends on one of its own name is a cycle, and the error shows the way", () => {
    const inner = plain("A");
    expect(() => plain("A", [plain("B", [plain("C", [inner])])])).toThrow("services form a cycle: A -> B -> C -> A");
  });

  test("a dependency that is undefined means that two modules import each other", () => {
    expect(() => plain("A", [undefined as unknown as Service])).toThrow(/a dependency of A is undefined.*cycle/);
  });

  test("many diamonds on top of each other are no more work than their services", () => {
    let below = [plain("L0"), plain("R0")];
    for (let level = 1; level <= 60; level++) below = [plain(`L${level}`, below), plain(`R${level}`, below)];
    expect(dependencyOrder(plain("Top", below))).toHaveLength(123);
  });

  test("a dependency stands before its callers, each service once", () => {
    const bottom = plain("Bottom");
    const [left, right] = [plain("Left", [bottom]), plain("Right", [bottom])];
    expect(dependencyOrder(plain("Top", [left, right])).map(({ name }) => name)).toEqual([
      "Bottom",
      "Left",
      "Right",
      "Top",
    ]);
  });

  test("two services of one name in a graph are refused", () => {
    expect(() => dependencyOrder(plain("Top", [plain("X"), plain("Mid", [plain("X")])]))).toThrow(
      'two services are named "X"',
    );
  });

  test("named() keeps everything but the name and what is given", () => {
    const base = service("Base", { apis: { ping }, traffic: { timeout: 5 }, workers: 3, description: "d" });
    expect(named("Other", base, { workers: 2 })).toEqual({ ...base, name: "Other", workers: 2 });
    expect(() => named("not a name", base)).toThrow(TypeError);
  });
});

describe("api()", () => {
  test("an api that streams cannot be batchable", () => {
    const options = { input: z.object({}), output: z.string(), stream: true, batchable: {} } as never;
    expect(() => api(options)).toThrow(/both stream and be batchable/);
  });

  test.each([{ maxBatchSize: 1 }, { maxBatchSize: 2.5 }, { maxLatencyMs: 0 }, { maxLatencyMs: Number.NaN }])(
    "%j is refused",
    (batchable) => {
      expect(() => api({ input: z.object({}), output: z.string(), batchable })).toThrow(TypeError);
    },
  );

  test("batching has BentoML's defaults", () => {
    expect(api({ input: z.object({}), output: z.string(), batchable: {} }).batch).toEqual({
      maxBatchSize: 100,
      maxLatencyMs: 60_000,
    });
  });
});

describe("implementations", () => {
  const Callee = plain("Callee");
  const Stranger = plain("Stranger");
  const Caller = service("Caller", { apis: { ping }, dependencies: [Callee] });

  test("depends() on a service that the contract does not list", () => {
    class CallerImpl extends implement(Caller) {
      stranger = this.depends(Stranger as never);
    }
    expect(() => constructWith(new Discovery([], {}), () => new CallerImpl())).toThrow(/Caller depends on Stranger/);
  });

  test("a method that is missing", () => {
    expect(() => new ServiceHost(Callee, {})).toThrow("Callee has no method ping");
  });

  test("a call before onStart has ended is UNAVAILABLE", async () => {
    const host = new ServiceHost(Callee, { ping: () => "pong" });
    expect(await host.ready()).toBe(false);
    await expect(host.call("ping", {})).rejects.toMatchObject({ code: "UNAVAILABLE" });
    await host.start();
    expect(await host.call("ping", {})).toBe("pong");
  });

  test("probes that throw say no", async () => {
    const fails = (): boolean => {
      throw new Error("broken");
    };
    const host = new ServiceHost(Callee, { ping: () => "pong", isReady: fails, isLive: fails });
    await host.start();
    expect(await host.ready()).toBe(false);
    expect(await host.live()).toBe(false);
  });

  test("a timeout of more than 24 days is not one of a millisecond", async () => {
    const Patient = service("Patient", { apis: { ping }, traffic: { timeout: 1e8 } });
    const { promise, resolve } = Promise.withResolvers<string>();
    const host = new ServiceHost(Patient, { ping: () => promise });
    await host.start();
    const call = host.call("ping", {});
    // Later than a timer of a millisecond that was set before it.
    setTimeout(() => resolve("pong"), 20);
    expect(await call).toBe("pong");
  });

  test("an api that streams and gives nothing to iterate over is INTERNAL and holds no place", async () => {
    const Streamer = service("Streamer", {
      apis: { items: api({ stream: true, input: z.object({}), output: z.int() }) },
    });
    const host = new ServiceHost(Streamer, { items: () => 1 });
    await host.start();
    await expect(host.call("items", {})).rejects.toMatchObject({ code: "INTERNAL" });
    expect(host.inFlight).toBe(0);
  });

  test("a stream that nobody begins to read is given up when its caller goes", async () => {
    const Streamer = service("Streamer", {
      apis: { items: api({ stream: true, input: z.object({}), output: z.int() }) },
    });
    const host = new ServiceHost(Streamer, {
      async *items() {
        yield 1;
      },
    });
    await host.start();
    const caller = new AbortController();
    await host.call("items", {}, { signal: caller.signal });
    expect(host.inFlight).toBe(1);
    caller.abort();
    await expect.poll(() => host.inFlight).toBe(0);
  });
});

describe("discovery", () => {
  test.each([
    ["no JSON", "{"],
    ["a list", "[]"],
    ["an unknown transport", '{"A": {"transport": "carrier-pigeon", "url": "http://x"}}'],
    ["a URL of another kind", '{"A": {"transport": "http", "url": "ftp://x"}}'],
  ])("TANDEM_SERVICES that is %s is refused", (_what, text) => {
    expect(() => locationsFromEnvironment(text)).toThrow(TypeError);
  });

  test("TANDEM_SERVICES that is not set is no location", () => {
    expect(locationsFromEnvironment("")).toEqual({});
  });

  test("a service that is nowhere says what to do", async () => {
    await expect(new Discovery([], {}).transportOf(plain("Nowhere"))).rejects.toThrow(/Nowhere has no implementation/);
  });

  test("instances are made once, at the first call, and stopped callers first", async () => {
    const seen: string[] = [];
    const Bottom = service("Bottom", { apis: { ping } });
    const Mid = service("Mid", { apis: { ping }, dependencies: [Bottom] });
    const Top = service("Top", { apis: { ping }, dependencies: [Mid, Bottom] });
    class BottomImpl extends implement(Bottom) {
      onStart = (): void => void seen.push("Bottom starts");
      onStop = (): void => void seen.push("Bottom stops");
      ping = (): string => "pong";
    }
    class MidImpl extends implement(Mid) {
      readonly next = this.depends(Bottom);
      onStart = (): void => void seen.push("Mid starts");
      onStop = (): void => void seen.push("Mid stops");
      ping = async (): Promise<string> => `mid ${await this.next.ping({})}`;
    }
    class TopImpl extends implement(Top) {
      readonly next = this.depends(Mid);
      onStart = (): void => void seen.push("Top starts");
      onStop = (): void => void seen.push("Top stops");
      ping = async (): Promise<string> => `top ${await this.next.ping({})}`;
    }
    const discovery = new Discovery(
      [
        deployable(Bottom, async () => ({ default: BottomImpl })),
        deployable(Mid, async () => ({ default: MidImpl })),
        deployable(Top, async () => ({ default: TopImpl })),
      ],
      {},
    );
    const transport = await discovery.transportOf(Top);
    expect(await transport.ready(new AbortController().signal)).toBe(true);
    expect(seen).toEqual(["Top starts"]);
    const call = () =>
      transport.call({
        service: Top,
        api: "ping",
        input: {},
        deadline: Date.now() + 5000,
        signal: undefined,
        callId: "c",
        traceparent: "",
        idempotencyKey: undefined,
        accept: undefined,
        progress: undefined,
      });
    expect(await Promise.all([call(), call()])).toEqual(["top mid pong", "top mid pong"]);
    expect(seen).toEqual(["Top starts", "Mid starts", "Bottom starts"]);
    await discovery.close();
    expect(seen.slice(3)).toEqual(["Top stops", "Mid stops", "Bottom stops"]);
  });
});

describe("validation", () => {
  const schema = z.strictObject({ list: z.array(z.object({ n: z.int() })), name: z.string().default("x") });

  test("an input gets its defaults", () => {
    expect(parseInput(schema, { list: [] })).toEqual({ list: [], name: "x" });
  });

  test("every faulty field is named, the first in the message", () => {
    let error: unknown;
    try {
      parseInput(schema, { list: [{ n: 1 }, { n: "2" }], name: 3 });
    } catch (caught) {
      error = caught;
    }
    expect(error).toMatchObject({
      code: "INVALID_ARGUMENT",
      message: expect.stringMatching(/^list\.1\.n: .*\(and 1 more\)$/),
      detail: [expect.objectContaining({ path: ["list", 1, "n"] }), expect.objectContaining({ path: ["name"] })],
    });
  });

  test("a wrong output is the service's fault, and says no more than that to its caller", () => {
    expect(() => parseOutput(z.string(), { secret: 1 }, "S.a")).toThrow(
      expect.objectContaining({ code: "INTERNAL", message: "S.a gave an output that its contract does not allow" }),
    );
  });
});

describe("trace context", () => {
  const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";

  test("a child keeps trace and flags and has a span of its own", () => {
    expect(childTraceparent(parent)).toMatch(
      /^00-0af7651916cd43dd8448eb211c80319c-(?!b7ad6b7169203331)[0-9a-f]{16}-00$/,
    );
  });

  test.each([
    undefined,
    "",
    "00-1-2-3",
    parent.toUpperCase(),
    parent.replace("0af7651916cd43dd8448eb211c80319c", "0".repeat(32)),
  ])("%j starts a trace", (header) => {
    const made = childTraceparent(header);
    expect(made).toMatch(/^00-(?!0{32})[0-9a-f]{32}-[0-9a-f]{16}-01$/);
    expect(made).not.toContain("0af7651916cd43dd8448eb211c80319c");
  });
});
