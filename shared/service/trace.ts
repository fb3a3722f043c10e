import { randomBytes } from "node:crypto";

/** A new span below `parent`, or the first of a new trace: W3C Trace Context, version 00 (https://www.w3.org/TR/trace-context/). */
export function childTraceparent(parent: string | undefined): string {
  const match = parent && /^00-([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})$/.exec(parent);
  const traceId = match && !/^0+$/.test(match[1]!) ? match[1]! : randomBytes(16).toString("hex");
  return `00-${traceId}-${randomBytes(8).toString("hex")}-${match ? match[2] : "01"}`;
}
