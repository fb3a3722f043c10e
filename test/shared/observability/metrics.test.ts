import { mkdtempSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { z } from "zod";
import { encodeFrame } from "#shared/codec/frame.ts";
import { type CallMessage, encodeMessage } from "#shared/delivery/call-message.ts";
import { CallObjects } from "#shared/delivery/call-objects.ts";
import { CallRunner, type CallRunnerOptions } from "#shared/delivery/call-runner.ts";
import type { OutgoingMessage } from "#shared/delivery/message-queue.ts";
import { type Apis, api, type CallContext, type Input, implement, ServiceError, service } from "#shared/index.ts";
import { log } from "#shared/observability/log.ts";
import { metrics } from "#shared/observability/prometheus.ts";
import { leftQueue } from "#shared/observability/queue.ts";
import { recordSpans, type SpanStart } from "#shared/observability/spans.ts";
import { observeSteps } from "#shared/observability/steps.ts";
import { startTelemetry } from "#shared/observability/telemetry.ts";
import { ServiceHost } from "#shared/service/host.ts";
import { DiskStore } from "#shared/store/disk-store.ts";

log.level = "silent";

const Worker = service("Worker", {
  apis: {
    work: api({ input: z.object({ fail: z.boolean().default(false) }), output: z.unknown() }),
    log: api({ input: z.object({}), output: z.unknown() }),
  },
});

/** What `work` throws where it is told to fail. */
let failure: Error;

class WorkerImpl extends implement(Worker) implements Apis<typeof Worker> {
  work({ fail }: Input<typeof Worker, "work">): unknown {
    if (fail) throw failure;
    return "done";
  }

  log(_: object, { log, traceparent }: CallContext): unknown {
    return { ...log.bindings(), traceparent };
  }
}

let host: ServiceHost;
beforeAll(() => startTelemetry("Worker"));
beforeEach(async () => {
  metrics.resetMetrics();
  failure = new ServiceError("CONFLICT", "not again");
  host = new ServiceHost(Worker, new WorkerImpl());
  await host.start();
});

/** The samples of `Worker` whose name or labels have these words, as Prometheus reads them. */
async function samples(...words: string[]): Promise<string[]> {
  const lines = (await metrics.metrics()).split("\n");
  return lines.filter((line) => !line.startsWith("#") && words.every((word) => line.includes(word)));
}

describe("a service", () => {
  test("counts its start and the seconds until it took calls", async () => {
    expect(await samples("tandem_cold_starts_total")).toEqual(['tandem_cold_starts_total{service_name="Worker"} 1']);
    const [seconds] = await samples("tandem_cold_start_seconds");
    expect(Number(seconds?.split(" ")[1])).toBeGreaterThan(0);
  });

  test("counts errors by their codes, beside BentoML's counts by status", async () => {
    await host.call("work", {});
    await expect(host.call("work", { fail: true })).rejects.toThrow("not again");
    await expect(host.call("work", { fail: "yes" })).rejects.toThrow();
    failure = new RangeError("unforeseen");
    await expect(host.call("work", { fail: true })).rejects.toThrow();
    expect((await samples("tandem_errors_total")).toSorted()).toEqual(
      ["CONFLICT", "INTERNAL", "INVALID_ARGUMENT"].map(
        (code) => `tandem_errors_total{endpoint="/work",service_name="Worker",code="${code}"} 1`,
      ),
    );
    const statuses = (await samples("bentoml_service_request_total")).map(
      (line) => /code="(\d+)"\} 1$/.exec(line)?.[1],
    );
    expect(statuses.toSorted()).toEqual(["200", "400", "409", "500"]);
  });

  test("logs with the trace's id beside the call's", async () => {
    const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    expect(await host.call("log", {}, { callId: "call-1", traceparent })).toMatchObject({
      service: "Worker",
      call_id: "call-1",
      trace_id: "0af7651916cd43dd8448eb211c80319c",
    });
    const own = (await host.call("log", {})) as { trace_id: string; traceparent: string };
    expect(own.traceparent).toMatch(new RegExp(`^00-${own.trace_id}-`));
  });
});

describe("a queue", () => {
  let objects: CallObjects;
  beforeEach(() => {
    const folder = mkdtempSync(join(tmpdir(), "tandem-metrics-"));
    objects = new CallObjects(new DiskStore(folder), "Worker");
    return () => rm(folder, { recursive: true, force: true });
  });

  const newCall = (more: Partial<CallMessage> = {}): CallMessage => ({
    ...{ kind: "call", id: "one", api: "work", callId: "c", deadline: Date.now() + 60_000, traceparent: "", ...more },
  });
  async function handle(
    call: CallMessage | OutgoingMessage,
    { input = {}, last = false, ...options }: { input?: object; last?: boolean } & Partial<CallRunnerOptions> = {},
  ): Promise<void> {
    const message = "body" in call ? call : encodeMessage(call, encodeFrame(input));
    await new CallRunner({ host, objects, ...options }).handle({
      message: { ...message, messageId: "m", handle: "h", receiveCount: 1, sentAt: Date.now() - 5_000 },
      last,
      signal: new AbortController().signal,
      yieldPlace: () => undefined,
      alone: async () => true,
    });
  }
  const outcomes = async (): Promise<(string | undefined)[]> =>
    (await samples("tandem_deliveries_total")).map((line) => /outcome="(\w+)"\} 1$/.exec(line)?.[1]);

  test.each<[outcome: string, deliver: () => Promise<void>]>([
    ["run", () => handle(newCall())],
    ["failed", () => handle(newCall(), { input: { fail: true } })],
    ["refused", () => handle(newCall({ deadline: Date.now() - 1 }))],
    ["superseded", () => objects.putResult("one", { output: 1, finishedAt: 1 }).then(() => handle(newCall()))],
    ["callback", () => handle(newCall({ kind: "callback" }), { callback: async () => undefined })],
    ["dead", () => handle({ body: "", attributes: {} }, { last: true })],
    ["redelivered", () => handle({ body: "", attributes: {} })],
    [
      "redelivered",
      () => {
        failure = new ServiceError("UNAVAILABLE", "for now");
        return handle(newCall(), { input: { fail: true } });
      },
    ],
  ])("counts a message as %s, once", async (outcome, deliver) => {
    await deliver();
    expect(await outcomes()).toEqual([outcome]);
  });

  test("knows how long a call waited, when its work begins and not before", async () => {
    await handle(newCall({ deadline: Date.now() - 1 }));
    expect(await samples("tandem_queue_age_seconds_count")).toEqual([]);
    await handle(newCall({ id: "two" }));
    const [sum] = await samples("tandem_queue_age_seconds_sum", 'endpoint="/work",service_name="Worker"');
    expect(Number(sum?.split(" ")[1])).toBeGreaterThanOrEqual(5);
  });

  test("takes a clock that is ahead, or none, for no wait", async () => {
    for (const sentAt of [Date.now() + 60_000, Number.NaN]) leftQueue("Worker", newCall(), { sentAt, receiveCount: 1 });
    expect(await samples("tandem_queue_age_seconds_sum")).toEqual([
      'tandem_queue_age_seconds_sum{endpoint="/work",service_name="Worker"} 0',
    ]);
    expect((await samples("tandem_queue_age_seconds_count"))[0]).toMatch(/ 2$/);
  });
});

describe("a picture", () => {
  let spans: (Pick<SpanStart, "name" | "at"> & { endedAt: number | undefined; error: unknown })[];
  beforeEach(() => {
    spans = [];
    recordSpans(({ name, at }) => {
      const span = { name, at, endedAt: undefined as number | undefined, error: undefined as unknown };
      spans.push(span);
      return {
        traceparent: `below ${name}`,
        end: (error, endedAt) => {
          span.error = error;
          span.endedAt = endedAt;
        },
      };
    });
  });
  afterEach(() => recordSpans(undefined));

  const timings = { encodeMs: 20, denoiseMs: 1_000, decodeMs: 50 };
  const draw = async (onStep: (step: number, total: number, ms: number) => void) => {
    for (let step = 1; step <= 4; step++) onStep(step, 4, 200);
    return { timings };
  };

  test("counts its steps and how many a second", async () => {
    await observeSteps("Worker", "work", "", draw);
    const labels = '{endpoint="/work",service_name="Worker"}';
    expect(await samples("tandem_denoising_steps_total")).toEqual([`tandem_denoising_steps_total${labels} 4`]);
    expect(await samples("tandem_denoising_steps_per_second_sum")).toEqual([
      `tandem_denoising_steps_per_second_sum${labels} 4`,
    ]);
  });

  test("has its parts one after the other, the steps at the end of their loop", async () => {
    await observeSteps("Worker", "work", "", draw);
    expect(spans.map(({ name }) => name)).toEqual(["draw", "encode", "denoise", ...Array(4).fill("step"), "decode"]);
    const [, encode, denoise, ...rest] = spans;
    const [decode] = rest.splice(4);
    const end = decode!.endedAt!;
    expect([encode!.at, encode!.endedAt]).toEqual([end - 1_070, end - 1_050]);
    expect([denoise!.at, denoise!.endedAt]).toEqual([end - 1_050, end - 50]);
    expect(rest.map(({ at, endedAt }) => [end - at!, end - endedAt!])).toEqual([
      [850, 650],
      [650, 450],
      [450, 250],
      [250, 50],
    ]);
  });

  test("that is canceled shows the steps it had", async () => {
    const reason = new ServiceError("CANCELED", "enough");
    const canceled = observeSteps("Worker", "work", "", async (onStep) => {
      onStep(1, 25, 200);
      throw reason;
    });
    await expect(canceled).rejects.toBe(reason);
    expect(spans.map(({ name, error }) => [name, error])).toEqual([
      ["draw", reason],
      ["denoise", reason],
      ["step", undefined],
    ]);
    expect(await samples("tandem_denoising_steps_total")).toEqual([]);
  });
});
