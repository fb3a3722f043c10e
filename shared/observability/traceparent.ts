/** What a traceparent header says. */
export interface TraceParent {
  readonly traceId: string;
  readonly spanId: string;
  /** Two hexadecimal digits; the last bit says that the trace is sampled. */
  readonly flags: string;
}

/** Reads W3C Trace Context, version 00 (https://www.w3.org/TR/trace-context/); undefined for anything else. */
export function parseTraceparent(header: string | undefined): TraceParent | undefined {
  const match = header && /^00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})$/.exec(header);
  return match ? { traceId: match[1]!, spanId: match[2]!, flags: match[3]! } : undefined;
}

/** A span that nobody records, below `parent`, or the first of a new trace. */
export function newTraceparent(parent: string | undefined): string {
  const { traceId, flags } = parseTraceparent(parent) ?? { traceId: randomHex(), flags: "01" };
  return `00-${traceId}-${randomHex().slice(0, 16)}-${flags}`;
}

/** 32 digits, 122 bits of them random. Node draws these ahead in bulk; `randomBytes` costs a system call each. */
function randomHex(): string {
  return crypto.randomUUID().replaceAll("-", "");
}
