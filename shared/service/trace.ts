import { beginCall } from "../observability/spans.ts";

/**
 * A new span below `parent`, or the first of a new trace: W3C Trace Context, version 00
 * (https://www.w3.org/TR/trace-context/). Where spans are recorded, it shows the moment in which a call was sent.
 */
export function childTraceparent(parent: string | undefined): string {
  const span = beginCall("producer", undefined, "send", undefined, parent);
  span.end();
  return span.traceparent;
}
