/** What came to a function. */
export type EventKind = "url" | "http" | "sqs" | "probe" | "call" | "records" | "unknown";

type Members = Record<string, unknown>;

/**
 * Tells events apart by their members: a function URL's (`url`), those of API Gateway, ALB and Lattice (`http`), a batch of
 * SQS or of another source (`records`), and what an `Invoke` brings: a question whether the service is ready, or a call.
 */
export function kindOf(event: unknown): EventKind {
  if (!isObject(event)) return "unknown";
  const { requestContext, Records, probe, api } = event;
  if (isObject(requestContext)) {
    const { http, elb, serviceArn, domainName, httpMethod } = requestContext;
    if (isObject(http) && typeof event.rawPath === "string")
      return typeof domainName === "string" && /\.lambda-url\.[\w-]+\.on\.aws$/.test(domainName) ? "url" : "http";
    if (elb || serviceArn || httpMethod || event.httpMethod) return "http";
  }
  if (Array.isArray(Records)) {
    const sqs = Records.length > 0 && Records.every((record) => isObject(record) && record.eventSource === "aws:sqs");
    return sqs ? "sqs" : "records";
  }
  if (probe === "ready") return "probe";
  return api === undefined ? "unknown" : "call";
}

/** An event's members by name, for a complaint about it. */
export function describe(event: unknown): string {
  if (!isObject(event)) return event === null ? "null" : `a ${typeof event}`;
  const names = Object.keys(event);
  return names.length === 0 ? "an empty object" : `an object with ${names.slice(0, 8).join(", ")}`;
}

function isObject(value: unknown): value is Members {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
