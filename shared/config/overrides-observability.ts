import * as z from "zod";
import { unused } from "./field.ts";
import { anyMapping, between, flag, positive, text, texts, whole, words } from "./values.ts";

const object = <S extends z.core.$ZodLooseShape>(shape: S) => z.strictObject(shape, { error: "must be a mapping" });

const PROBE = "ignored: probes are /livez and /readyz, at intervals that Tandem sets";
const METRICS = "ignored: metrics are always at /metrics, under BentoML's names";
const LOGGING = "ignored: TANDEM_LOG_LEVEL in envs says what is logged";
const TRACING = "ignored: this group is not read";
const MONITORING = "ignored: Tandem keeps no record of predictions";

const content = () => unused(flag(), "Whether it is logged", LOGGING);

const access = object({
  enabled: unused(flag(), "Whether calls are logged", LOGGING),
  skip_paths: unused(texts(), "Paths whose calls are not", LOGGING),
  request_content_length: content(),
  request_content_type: content(),
  response_content_length: content(),
  response_content_type: content(),
  format: unused(
    object({
      trace_id: unused(text(), "Form of a trace's id", LOGGING),
      span_id: unused(text(), "Form of a span's id", LOGGING),
    }),
    "Form of ids",
    LOGGING,
  ),
});

const duration = object({
  buckets: unused(z.array(positive(), { error: "must be a list of numbers" }), "Bounds of the histogram", METRICS),
  min: unused(positive(), "Its least bound", METRICS),
  max: unused(positive(), "Its greatest bound", METRICS),
  factor: unused(
    z.number({ error: "must be a number over 1" }).gt(1, { error: "must be a number over 1" }),
    "From one bound to the next",
    METRICS,
  ),
});

const otlp = object({
  protocol: unused(words(["grpc", "http"]), "Its protocol", TRACING),
  endpoint: unused(text(), "Where to", TRACING),
  compression: unused(words(["gzip", "none", "deflate"]), "How it is packed", TRACING),
  http: unused(anyMapping(), "Details of HTTP", TRACING),
  grpc: unused(anyMapping(), "Details of gRPC", TRACING),
});

/** Groups of `config_overrides` about watching a service. They are checked, and said to be unused. */
export const observability = {
  runner_probe: unused(
    object({
      enabled: unused(flag(), "Whether services are probed", PROBE),
      timeout: unused(whole(1), "Seconds that a probe may take", PROBE),
      period: unused(whole(1), "Seconds between probes", PROBE),
    }),
    "Health probes",
    PROBE,
  ),
  metrics: unused(
    object({
      enabled: unused(flag(), "Whether there are metrics", METRICS),
      namespace: unused(text(), "Start of their names", METRICS),
      duration: unused(duration, "Bounds of the histogram of durations", METRICS),
    }),
    "Prometheus metrics",
    METRICS,
  ),
  logging: unused(object({ access: unused(access, "The access log", LOGGING) }), "Logs", LOGGING),
  tracing: unused(
    object({
      exporter_type: unused(words(["zipkin", "jaeger", "otlp", "in_memory"]), "Where traces go", TRACING),
      sample_rate: unused(between(0, 1), "Share of calls that is traced", TRACING),
      timeout: unused(whole(1), "Seconds that sending may take", TRACING),
      max_tag_value_length: unused(whole(1), "Length of a tag", TRACING),
      excluded_urls: unused(z.union([text(), texts()]), "What is not traced", TRACING),
      otlp: unused(otlp, "OpenTelemetry's protocol", TRACING),
      zipkin: unused(anyMapping(), "Zipkin", TRACING),
      jaeger: unused(anyMapping(), "Jaeger", TRACING),
    }),
    "Traces",
    TRACING,
  ),
  monitoring: unused(
    object({
      enabled: unused(flag(), "Whether predictions are recorded", MONITORING),
      type: unused(text(), "By what", MONITORING),
      options: unused(anyMapping(), "Its options", MONITORING),
    }),
    "Record of predictions",
    MONITORING,
  ),
};
