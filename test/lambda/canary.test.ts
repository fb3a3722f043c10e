import { mkdtempSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { canaryRollback } from "#shared/lambda/canary-rollback.ts";
import { type CanarySplit, readSplit, type UrlRequest, versionOf } from "#shared/lambda/canary-split.ts";
import { type LambdaHandler, lambdaHandler } from "#shared/lambda/handler.ts";
import { OffSwitch } from "#shared/lambda/off-switch.ts";
import { EmfRecorder } from "#shared/observability/emf.ts";
import { log } from "#shared/observability/log.ts";
import { recordEmf } from "#shared/observability/metrics.ts";
import { DiskStore } from "#shared/store/disk-store.ts";
import type { ObjectStore } from "#shared/store/object-store.ts";
import { door, patternOf } from "./fixture-service.ts";
import { type EventRequest, payloadV2 } from "./http-events.ts";
import { type InvokeFront, startInvokeFront } from "./invoke-front.ts";
import { lambdaContext } from "./lambda-context.ts";
import { inStreamingRuntime, wholeAnswer } from "./streaming-runtime.ts";

log.level = "silent";

const version = (label: string, weight: number) => ({ label, weight, functionName: `fn-${label}`, fingerprint: "f1" });
const random: CanarySplit = { routeType: "random", versions: [version("next", 20), version("wild", 5)] };
const byHeader: CanarySplit = { ...random, routeType: "header", routeBy: "x-user" };
const requestOf = (request: Omit<EventRequest, "method">) => payloadV2({ method: "POST", ...request }) as UrlRequest;
const labelOf = (split: CanarySplit, request: UrlRequest, chance?: () => number) =>
  versionOf(split, request, chance)?.label ?? "main";

/** How many of some requests each version gets. */
function shares(split: CanarySplit, requests: readonly UrlRequest[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const request of requests) {
    const label = labelOf(split, request);
    counts[label] = (counts[label] ?? 0) + 1;
  }
  return counts;
}

describe("a split", () => {
  const plain = requestOf({ path: "/plain" });

  test("by chance gives every version its share, and main the rest", () => {
    expect([0, 0.199, 0.2, 0.249, 0.25, 0.999].map((point) => labelOf(random, plain, () => point))).toEqual([
      ...["next", "next", "wild", "wild", "main", "main"],
    ]);
    const { next, wild, main } = shares(random, Array<UrlRequest>(20_000).fill(plain));
    // Five standard deviations.
    expect(Math.abs(next! - 4000)).toBeLessThan(285);
    expect(Math.abs(wild! - 1000)).toBeLessThan(155);
    expect(next! + wild! + main!).toBe(20_000);
  });

  test.each([
    ["a header", byHeader, (value: string) => requestOf({ path: "/plain", headers: { "x-user": value } })],
    [
      "a query parameter",
      { ...byHeader, routeType: "query", routeBy: "user" } satisfies CanarySplit,
      (value: string) => requestOf({ path: `/plain?user=${value}` }),
    ],
    [
      "an idempotency key, of calls by chance",
      random,
      (value: string) => requestOf({ path: "/plain", headers: { "idempotency-key": value } }),
    ],
  ])("by %s gives a value the same version always, and versions their shares of all values", (_, split, of) => {
    const users = Array.from({ length: 20_000 }, (_, i) => of(`user-${i}`));
    const { next, wild } = shares(split, users);
    expect(Math.abs(next! - 4000)).toBeLessThan(285);
    expect(Math.abs(wild! - 1000)).toBeLessThan(155);
    for (const user of users.slice(0, 200)) expect(labelOf(split, user)).toBe(labelOf(split, user));
  });

  test("keeps a version's callers when its weight grows", () => {
    const grown: CanarySplit = { ...byHeader, versions: [version("next", 40)] };
    const users = Array.from({ length: 500 }, (_, i) => requestOf({ path: "/x", headers: { "x-user": `${i}` } }));
    const before = users.filter((user) => labelOf(byHeader, user) === "next");
    expect(before.length).toBeGreaterThan(50);
    expect(before.every((user) => labelOf(grown, user) === "next")).toBe(true);
  });

  test("gives main what has no value to go by, and a version all at 100", () => {
    const whole: CanarySplit = { ...byHeader, versions: [version("next", 100)] };
    expect(labelOf(whole, requestOf({ path: "/plain" }))).toBe("main");
    expect(labelOf(whole, requestOf({ path: "/plain", headers: { "x-user": "" } }))).toBe("main");
    expect(labelOf({ ...whole, routeType: "query" }, requestOf({ path: "/plain?y=1" }))).toBe("main");
    expect(labelOf(whole, requestOf({ path: "/plain", headers: { "x-user": "1" } }))).toBe("next");
  });

  test("is read from what the deployment sets, or refused", () => {
    expect(readSplit(JSON.stringify(byHeader))).toEqual(byHeader);
    for (const text of ["", "{}", JSON.stringify({ ...random, routeType: "moon" })])
      expect(() => readSplit(text)).toThrow("TANDEM_CANARY is no split");
  });
});

const folder = mkdtempSync(join(tmpdir(), "tandem-canary-"));
const storeUrl = `file:${folder}`;
const store = new DiskStore(folder);
const off = { label: "next", fingerprint: "f1" };
const OFF_KEY = "tandem/canary-off/next/f1";
afterAll(() => rm(folder, { recursive: true, force: true }));
afterEach(async () => {
  vi.unstubAllEnvs();
  vi.useRealTimers();
  await store.delete(OFF_KEY);
});

describe("the entry in front of a version", () => {
  let front: InvokeFront;
  const emf = new EmfRecorder();

  beforeAll(async () => {
    front = await startInvokeFront();
  });
  afterAll(() => front[Symbol.asyncDispose]());
  beforeEach(() => {
    front.events.length = 0;
    front.refusals.length = 0;
    front.streaming = true;
    recordEmf(emf);
    emf.lines();
  });
  afterEach(() => recordEmf(undefined));

  interface Answer {
    status: number;
    version: string | undefined;
    type: string | undefined;
    body: Buffer;
  }

  /** The entry with a version that gets all calls, both of them functions whose runtime streams, or neither. */
  function entry({
    streaming = true,
    weight = 100,
    split = JSON.stringify({ routeType: "random", versions: [version("next", weight)] }),
  } = {}): (request: EventRequest, ms?: number) => Promise<Answer> {
    for (const [name, value] of Object.entries({
      AWS_REGION: "us-east-1",
      AWS_ACCESS_KEY_ID: "test",
      AWS_SECRET_ACCESS_KEY: "test",
      AWS_ENDPOINT_URL_LAMBDA: front.endpoint,
      TANDEM_STORE: storeUrl,
    }))
      vi.stubEnv(name, value);
    const make = (): LambdaHandler => (streaming ? inStreamingRuntime(() => lambdaHandler(door)) : lambdaHandler(door));
    front.serve("fn-next", make());
    vi.stubEnv("TANDEM_CANARY", split);
    const handler = make();
    return async (request, ms) => {
      const raw = await wholeAnswer(handler, payloadV2(request), lambdaContext(ms));
      const end = streaming ? raw.indexOf(Buffer.alloc(8)) : raw.byteLength;
      const { statusCode, headers, body, isBase64Encoded } = JSON.parse(raw.toString("utf8", 0, end));
      return {
        status: statusCode,
        version: headers["tandem-version"],
        type: headers["content-type"],
        body: streaming ? raw.subarray(end + 8) : Buffer.from(body, isBase64Encoded ? "base64" : "utf8"),
      };
    };
  }
  const json = (path: string, input: unknown, headers: Record<string, string> = {}): EventRequest => ({
    method: "POST",
    path,
    headers: { "content-type": "application/json", ...headers },
    body: JSON.stringify(input),
  });
  const counted = (): Record<string, unknown> => {
    const members = emf.lines().flatMap((line) => Object.entries(JSON.parse(line)));
    return Object.fromEntries(members.filter(([name]) => name.startsWith("Versions.")));
  };

  describe.each([true, false])("whose URL streams: %s", (streaming) => {
    test("passes a call on as it came, and the answer as it is", async () => {
      const send = entry({ streaming });
      const answer = await send(json("/raw", { length: 300_000 }));
      expect([answer.status, answer.version, answer.type]).toEqual([200, "next", "application/octet-stream"]);
      expect(Buffer.compare(answer.body, patternOf(300_000))).toBe(0);
      const request = json("/plain", { value: "Zürich" }, { "x-of": "mine" });
      expect((await send(request)).body.toString()).toBe('"Zürich"');
      expect(front.events.at(-1)).toEqual(payloadV2(request));
      expect(counted()).toEqual({ "Versions.next.Answered": 2 });
    });

    test("counts the version's 5xx as its failures, its callers' own faults as answers", async () => {
      const send = entry({ streaming });
      const refused = await send(json("/plain", { wrong: 1 }));
      expect([refused.status, refused.version]).toEqual([400, "next"]);
      const failed = await send(json("/fail", { code: "INTERNAL" }));
      expect([failed.status, failed.version]).toEqual([500, "next"]);
      expect(counted()).toEqual({ "Versions.next.Answered": 1, "Versions.next.Failed": 1 });
    });

    test("answers itself where the version cannot be invoked", async () => {
      const send = entry({ streaming });
      for (const refusal of [
        { status: 429, name: "TooManyRequestsException" },
        { status: 404, name: "ResourceNotFoundException" },
        { status: 403, name: "AccessDeniedException" },
        { status: 413, name: "RequestTooLargeException" },
      ]) {
        front.refusals.push(refusal);
        const { status, version, body } = await send(json("/plain", { value: refusal.name }));
        expect([status, version, body.toString()]).toEqual([200, undefined, `"${refusal.name}"`]);
      }
      expect(front.events).toEqual([]);
      expect(counted()).toEqual({ "Versions.next.Unreachable": 4 });
    });

    test("gives the version's failure as it is: its function may have run", async () => {
      const send = entry({ streaming });
      front.refusals.push("crash");
      const crashed = await send(json("/plain", { value: 1 }));
      expect([crashed.status, crashed.version]).toEqual([500, "next"]);
      expect(crashed.body.toString()).toContain("Runtime.ExitError");
      expect(crashed.body.toString()).not.toContain("hunter2");
      front.refusals.push("drop");
      expect((await send(json("/plain", { value: 1 }))).status).toBe(503);
      expect(counted()).toEqual({ "Versions.next.Failed": 2 });
    });

    test("answers itself where the version's module cannot be loaded, and counts that", async () => {
      const send = entry({ streaming });
      front.serve("fn-next", () =>
        Promise.reject(Object.assign(new Error("Cannot find module 'x'"), { name: "Runtime.ImportModuleError" })),
      );
      const { status, version } = await send(json("/plain", { value: 1 }));
      expect([status, version]).toEqual([200, undefined]);
      expect(counted()).toEqual({ "Versions.next.Failed": 1 });
    });

    test("is not kept waiting beyond its end", async () => {
      const send = entry({ streaming });
      front.serve("fn-next", () => new Promise(() => undefined));
      const { status, body } = await send(json("/plain", { value: 1 }), 900);
      expect([status, body.toString()]).toEqual([504, expect.stringContaining("before the function's end")]);
    });

    test("splits what begins a call, and nothing else", async () => {
      const send = entry({ streaming });
      for (const path of ["/livez", "/schema.json", "/plain", "/plain/status?task_id=1", "/plain/get?task_id=1"])
        expect((await send({ method: "GET", path })).version).toBeUndefined();
      expect((await send({ method: "PUT", path: "/plain/cancel?task_id=1" })).version).toBeUndefined();
      expect((await send(json("/plain/retry?task_id=1", {}))).version).toBeUndefined();
      expect((await send(json("/nowhere", {}))).version).toBeUndefined();
      expect(front.events).toEqual([]);
      expect((await send(json("/plain/submit", { value: 1 }))).version).toBe("next");
    });
  });

  test("passes items on as they come", async () => {
    const send = entry();
    const { status, type, version, body } = await send(json("/items", { n: 3, size: 10 }));
    expect([status, type, version]).toEqual([200, "text/event-stream", "next"]);
    expect(body.toString().match(/"n":\d/g)).toEqual(['"n":0', '"n":1', '"n":2']);
  });

  test("breaks off an answer that breaks off, and counts it", async () => {
    const send = entry();
    await expect(send(json("/items", { n: 40, size: 20_000, failAt: 39 }))).rejects.toThrow();
    front.refusals.push("break");
    await expect(send(json("/items", { n: 40, size: 20_000 }))).rejects.toThrow();
    expect(counted()).toEqual({ "Versions.next.Failed": 2 });
  });

  test("sends nothing to a version of no weight, nor by a split that cannot be read", async () => {
    expect((await entry({ weight: 0 })(json("/plain", { value: 1 }))).version).toBeUndefined();
    const { status, version } = await entry({ split: "nonsense" })(json("/plain", { value: 1 }));
    expect([status, version]).toEqual([200, undefined]);
    expect(front.events).toEqual([]);
  });

  test("does not split invocations by SDK", async () => {
    entry();
    const handler = lambdaHandler(door);
    expect(await handler({ api: "plain", input: { value: 5 } }, lambdaContext())).toEqual({ output: 5 });
    expect(front.events).toEqual([]);
  });

  test("sends a version that was rolled back no more calls", async () => {
    const send = entry();
    expect((await send(json("/plain", { value: 1 }))).version).toBe("next");
    vi.stubEnv("TANDEM_CANARY_ALARMS", JSON.stringify({ "app-next-errors": off }));
    const rollback = canaryRollback();
    const alarm = { alarmData: { alarmName: "app-next-errors", state: { value: "ALARM", reason: "7 % failed" } } };
    expect(await rollback(alarm)).toEqual({ off: "next" });
    // For half a minute an answer of the store is believed.
    expect((await send(json("/plain", { value: 1 }))).version).toBe("next");
    vi.useFakeTimers({ toFake: ["Date"], now: Date.now() + 31_000 });
    expect((await send(json("/plain", { value: 1 }))).version).toBeUndefined();
    const said = JSON.parse(Buffer.from((await store.get(OFF_KEY))!).toString());
    expect(said).toMatchObject({ alarm: "app-next-errors", reason: "7 % failed" });
  });
});

describe("the rollback function", () => {
  const alarm = (alarmName: string, value: string) => ({ alarmData: { alarmName, state: { value } } });

  test("does nothing where an alarm is over, and says which it does not know", async () => {
    vi.stubEnv("TANDEM_STORE", storeUrl);
    vi.stubEnv("TANDEM_CANARY_ALARMS", JSON.stringify({ a: off }));
    const rollback = canaryRollback();
    expect(await rollback(alarm("a", "OK"))).toEqual({ off: null });
    expect(await store.has(OFF_KEY)).toBe(false);
    await expect(rollback(alarm("b", "ALARM"))).rejects.toThrow("alarm b is no canary version's");
    await expect(rollback({ Records: [] })).rejects.toThrow();
  });
});

describe("the off switch", () => {
  test("is of one fingerprint: a version that was deployed anew is on", async () => {
    await store.put(OFF_KEY, [Buffer.from("{}")]);
    const now = new OffSwitch(store);
    expect(await now.isOff(version("next", 10))).toBe(true);
    expect(await now.isOff({ ...version("next", 10), fingerprint: "f2" })).toBe(false);
  });

  test("asks once in half a minute, and a store that does not answer changes nothing", async () => {
    const has = vi.fn<ObjectStore["has"]>(async () => true);
    const now = new OffSwitch({ has } as Partial<ObjectStore> as ObjectStore);
    const isOff = () => now.isOff(version("next", 10));
    vi.useFakeTimers({ toFake: ["Date"] });
    expect([await isOff(), await isOff(), has.mock.calls.length]).toEqual([true, true, 1]);
    vi.advanceTimersByTime(31_000);
    has.mockRejectedValue(new Error("no answer"));
    expect([await isOff(), await isOff(), has.mock.calls.length]).toEqual([true, true, 2]);
    expect(await new OffSwitch(undefined).isOff(version("next", 10))).toBe(false);
  });
});
