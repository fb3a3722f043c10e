import { randomUUID } from "node:crypto";

/** A new span below `parent`, or the first of a new trace: W3C Trace Context, version 00 (https://www.w3.org/TR/trace-context/). */
export function childTraceparent(parent: string | undefined): string {
  const match = parent && /^00-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})$/.exec(parent);
  const [traceId, flags] = match ? [match[1]!, match[2]!] : [randomHex(), "01"];
  return `00-${traceId}-${randomHex().slice(0, 16)}-${flags}`;
}

/** 32 digits, 122 bits of them random. Node draws these ahead in bulk; `randomBytes` costs a system call each. */
function randomHex(): string {
  return randomUUID().replaceAll("-", "");
}
