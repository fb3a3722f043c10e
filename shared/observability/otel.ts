import { DiagLogLevel, diag, ROOT_CONTEXT, SpanKind, SpanStatusCode, type Tracer, trace } from "@opentelemetry/api";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-proto";
import { defaultResource, detectResources, envDetector, resourceFromAttributes } from "@opentelemetry/resources";
import { BatchSpanProcessor, TracerProvider } from "@opentelemetry/sdk-trace";
import { ServiceError } from "../errors/service-error.ts";
import { log } from "./log.ts";
import { samplerFromEnvironment } from "./otel-sampler.ts";
import type { Span, SpanRecorder, SpanStart } from "./spans.ts";
import { parseTraceparent } from "./traceparent.ts";

/** OpenTelemetry's SDK at work. */
export interface OpenTelemetry {
  readonly record: SpanRecorder;
  /** Sends what is waiting. Rejects where it cannot. */
  flush(): Promise<void>;
  /** Sends what is waiting and nothing after it. */
  stop(): Promise<void>;
}

const KINDS = {
  server: SpanKind.SERVER,
  client: SpanKind.CLIENT,
  producer: SpanKind.PRODUCER,
  consumer: SpanKind.CONSUMER,
  internal: SpanKind.INTERNAL,
} as const;

/**
 * Records spans and sends them by OTLP (HTTP, protobuf) as the standard `OTEL_` variables say: endpoint, headers, timeout,
 * sampler, resource attributes, schedule delay. This file alone loads the SDK.
 * @param service the resource's `service.name` where `OTEL_SERVICE_NAME` says no other.
 */
export function openTelemetry(service: string): OpenTelemetry {
  const warn = (message: string, ...details: unknown[]): void => log.warn({ details }, `OpenTelemetry: ${message}`);
  const quiet = (): void => undefined;
  diag.setLogger(
    { error: warn, warn, info: quiet, debug: quiet, verbose: quiet },
    { logLevel: DiagLogLevel.WARN, suppressOverrideMessage: true },
  );
  const provider = new TracerProvider({
    resource: defaultResource()
      .merge(resourceFromAttributes({ "service.name": service, "process.pid": process.pid }))
      .merge(detectResources({ detectors: [envDetector] })),
    sampler: samplerFromEnvironment(process.env),
    spanProcessors: [
      new BatchSpanProcessor({
        exporter: new OTLPTraceExporter(),
        scheduledDelayMillis: Number(process.env.OTEL_BSP_SCHEDULE_DELAY) || 5_000,
      }),
    ],
  });
  // An implementation's own spans go the same way.
  trace.setGlobalTracerProvider(provider);
  const tracer = provider.getTracer("tandem");
  return {
    record: (start) => new RecordedSpan(tracer, start),
    flush: () => provider.forceFlush(),
    stop: async () => {
      trace.disable();
      diag.disable();
      await provider.shutdown();
    },
  };
}

class RecordedSpan implements Span {
  readonly traceparent: string;
  readonly #span: ReturnType<Tracer["startSpan"]>;
  readonly #kind: SpanStart["kind"];

  constructor(tracer: Tracer, { kind, name, parent, attributes, at }: SpanStart) {
    const above = parseTraceparent(parent);
    const context = above
      ? trace.setSpanContext(ROOT_CONTEXT, {
          traceId: above.traceId,
          spanId: above.spanId,
          traceFlags: Number.parseInt(above.flags, 16),
          isRemote: kind === "server" || kind === "consumer",
        })
      : ROOT_CONTEXT;
    this.#kind = kind;
    this.#span = tracer.startSpan(
      name,
      { kind: KINDS[kind], attributes: { ...attributes }, ...(at !== undefined && { startTime: at }) },
      context,
    );
    const { traceId, spanId, traceFlags } = this.#span.spanContext();
    this.traceparent = `00-${traceId}-${spanId}-${traceFlags.toString(16).padStart(2, "0")}`;
  }

  end(error?: unknown, at?: number): void {
    const span = this.#span;
    if (error !== undefined) {
      // Its message may say what the caller sent.
      const { code, status } = ServiceError.from(error);
      span.setAttributes({ "tandem.code": code, "error.type": code });
      // As OpenTelemetry has it: what the caller did wrong is no error of the server.
      if (this.#kind !== "server" || status >= 500) span.setStatus({ code: SpanStatusCode.ERROR });
    } else if (this.#kind === "server" || this.#kind === "client") span.setAttribute("tandem.code", "OK");
    span.end(at);
  }
}
