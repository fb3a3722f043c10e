import { newTraceparent } from "./traceparent.ts";

/** A piece of a call's work, as a trace shows it. */
export interface Span {
  /** What the work carries on: calls that it makes are below it. */
  readonly traceparent: string;
  /**
   * @param error what the work failed with; undefined where it did not.
   * @param at milliseconds since the epoch; now where left out.
   */
  end(error?: unknown, at?: number): void;
}

export type SpanKind = "server" | "client" | "producer" | "consumer" | "internal";

export interface SpanStart {
  readonly kind: SpanKind;
  readonly name: string;
  /** Traceparent of the span above; undefined for the first of a trace. */
  readonly parent: string | undefined;
  readonly attributes: Readonly<Record<string, string | number | undefined>>;
  /** Milliseconds since the epoch; now where left out. */
  readonly at?: number | undefined;
}

/** Records spans: OpenTelemetry, once {@link startTelemetry} has loaded it. */
export type SpanRecorder = (start: SpanStart) => Span;

let recorder: SpanRecorder | undefined;

/** Has every span from now on recorded, or none. */
export function recordSpans(by: SpanRecorder | undefined): void {
  recorder = by;
}

/** Begins a call's span. It has a traceparent even where nobody records it, and costs no more than that then. */
export function beginCall(
  kind: "server" | "client" | "producer",
  service: string | undefined,
  api: string,
  callId: string | undefined,
  parent: string | undefined,
  attempt?: number,
): Span {
  if (!recorder) return new Unrecorded(parent);
  return recorder({
    kind,
    name: service === undefined ? api : `${service}.${api}`,
    parent,
    attributes: {
      "rpc.system": "tandem",
      "rpc.service": service,
      "rpc.method": api,
      "tandem.call_id": callId,
      "tandem.attempt": attempt,
    },
  });
}

/** Begins a span of a part of a call's work; undefined where nobody records it. */
export function beginPart(
  name: string,
  parent: string,
  attributes: SpanStart["attributes"] = {},
  at?: number,
  kind: SpanKind = "internal",
): Span | undefined {
  return recorder?.({ kind, name, parent, attributes, at });
}

class Unrecorded implements Span {
  readonly traceparent: string;

  constructor(parent: string | undefined) {
    this.traceparent = newTraceparent(parent);
  }

  end(): void {}
}
