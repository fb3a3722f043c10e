import { EmfRecorder } from "./emf.ts";
import { log } from "./log.ts";
import { recordEmf, recordPrometheus } from "./metrics.ts";
import type { OpenTelemetry } from "./otel.ts";
import { recordSpans } from "./spans.ts";

/** Longest time that a flush may take: an invocation's answer, and a process's end, wait for it. */
const FLUSH_MS = 2_000;
/** Left of an invocation for its answer to go out. */
const ANSWER_MS = 200;
const EMF_EVERY_MS = 60_000;

let starting: Promise<void> | undefined;
let tracing: OpenTelemetry | undefined;
let emf: EmfRecorder | undefined;
let emfTimer: NodeJS.Timeout | undefined;
/** A flush has not ended in its time, and is still at it. */
let late = false;

/**
 * Turns on what the environment asks for, once a process: traces where it names an OTLP endpoint
 * (`OTEL_EXPORTER_OTLP_ENDPOINT`, or `..._TRACES_ENDPOINT`), CloudWatch metrics on standard output in Lambda and with
 * `TANDEM_METRICS=emf`, and Prometheus's everywhere but in Lambda, unless `TANDEM_METRICS=prometheus` asks for them there.
 * Loads nothing of what is not asked for.
 * @param service names the process in its traces.
 */
export function startTelemetry(service: string): Promise<void> {
  starting ??= start(service);
  return starting;
}

/**
 * Sends spans and metrics that wait: at the end of an invocation, after which Lambda stops the clock, and of a process.
 * Takes two seconds at most, and no longer than `limitMs`; a collector that was slower is not waited for again until it
 * has answered. Never throws.
 */
export async function flushTelemetry(limitMs = FLUSH_MS): Promise<void> {
  writeEmf();
  if (tracing && !late) await within(tracing.flush(), Math.min(FLUSH_MS, limitMs));
}

interface TimeLeft {
  getRemainingTimeInMillis(): number;
}

/** A Lambda handler that flushes before an invocation ends, as far as there is time: the answer comes first. */
export function flushing<A extends [...unknown[], TimeLeft], R>(
  handler: (...given: A) => Promise<R>,
): (...given: A) => Promise<R> {
  return async (...given) => {
    try {
      return await handler(...given);
    } finally {
      await flushTelemetry((given.at(-1) as TimeLeft).getRemainingTimeInMillis() - ANSWER_MS);
    }
  };
}

/** Sends what waits, and records nothing from then on. Takes two seconds at most. Never throws. */
export async function stopTelemetry(): Promise<void> {
  await starting?.catch(() => undefined);
  const ending = tracing;
  clearInterval(emfTimer);
  writeEmf();
  recordSpans(undefined);
  recordEmf(undefined);
  starting = tracing = emf = undefined;
  if (ending) await within(ending.stop(), FLUSH_MS);
}

async function start(service: string): Promise<void> {
  const { env } = process;
  const inLambda = Boolean(env.AWS_LAMBDA_FUNCTION_NAME);
  if (env.TANDEM_METRICS === "emf" || (inLambda && !env.TANDEM_METRICS)) {
    emf = new EmfRecorder(env.TANDEM_VERSION || undefined);
    recordEmf(emf);
    // A function's lines are written when an invocation ends: between two its timers stand still.
    if (!inLambda) emfTimer = setInterval(writeEmf, EMF_EVERY_MS).unref();
  }
  if (!inLambda || env.TANDEM_METRICS === "prometheus") recordPrometheus(await import("./prometheus.ts"));
  if (!tracesAsked(env)) return;
  try {
    const { openTelemetry } = await import("./otel.ts");
    tracing = openTelemetry(service);
    recordSpans(tracing.record);
  } catch (err) {
    log.error({ err }, "traces cannot be recorded");
  }
}

function tracesAsked(env: NodeJS.ProcessEnv): boolean {
  const endpoint = env.OTEL_EXPORTER_OTLP_TRACES_ENDPOINT || env.OTEL_EXPORTER_OTLP_ENDPOINT;
  return Boolean(endpoint) && env.OTEL_SDK_DISABLED?.toLowerCase() !== "true" && env.OTEL_TRACES_EXPORTER !== "none";
}

function writeEmf(): void {
  const lines = emf?.lines() ?? [];
  if (lines.length > 0) process.stdout.write(`${lines.join("\n")}\n`);
}

async function within(work: Promise<void>, limitMs: number): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(
    () => {
      late = true;
      resolve();
    },
    Math.max(0, limitMs),
  );
  const sent = work
    .catch((err: unknown) => log.debug({ err }, "spans could not be sent"))
    .finally(() => {
      late = false;
    });
  await Promise.race([sent, promise]);
  clearTimeout(timer);
}
