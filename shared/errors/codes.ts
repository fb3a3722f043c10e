/**
 * The one table of error codes: HTTP status, whether the same call may be sent again, and what the code means.
 * Meanings follow gRPC's status codes (https://grpc.io/docs/guides/status-codes/), statuses follow RFC 9110.
 */
export const ERROR_CODES = {
  INVALID_ARGUMENT: { status: 400, retryable: false, meaning: "the input does not satisfy the api's schema" },
  UNAUTHENTICATED: { status: 401, retryable: false, meaning: "credentials are missing or wrong" },
  PERMISSION_DENIED: { status: 403, retryable: false, meaning: "the caller may not do this" },
  NOT_FOUND: { status: 404, retryable: false, meaning: "no such service, api or object" },
  METHOD_NOT_ALLOWED: { status: 405, retryable: false, meaning: "the route exists, with another HTTP method" },
  CONFLICT: { status: 409, retryable: false, meaning: "the request contradicts what is stored" },
  GONE: { status: 410, retryable: false, meaning: "it was here and has expired" },
  PAYLOAD_TOO_LARGE: { status: 413, retryable: false, meaning: "more bytes or pixels than the limit" },
  UNSUPPORTED_MEDIA_TYPE: { status: 415, retryable: false, meaning: "not a picture or body of a supported format" },
  RESOURCE_EXHAUSTED: { status: 429, retryable: true, meaning: "over max_concurrency; retry after the given time" },
  CANCELED: { status: 499, retryable: false, meaning: "the caller went away or canceled" },
  INTERNAL: { status: 500, retryable: false, meaning: "a fault of the service; its log has the cause" },
  UNAVAILABLE: { status: 503, retryable: true, meaning: "the service or its dependency is not ready" },
  DEADLINE_EXCEEDED: { status: 504, retryable: false, meaning: "the call's deadline passed; its work was aborted" },
  OUT_OF_MEMORY: { status: 507, retryable: false, meaning: "the call needs more memory than the machine or GPU has" },
} as const satisfies Record<string, { status: number; retryable: boolean; meaning: string }>;

export type ErrorCode = keyof typeof ERROR_CODES;

/** The code for an HTTP status that came without one of ours: the exact status, else 400 for 4xx and 500 for the rest. */
export function codeOfStatus(status: number): ErrorCode {
  for (const [code, { status: own }] of Object.entries(ERROR_CODES)) if (own === status) return code as ErrorCode;
  return status >= 400 && status < 500 ? "INVALID_ARGUMENT" : "INTERNAL";
}
