/** The same request as each of the services that call functions for HTTP would hand it over. */

export interface EventRequest {
  readonly method: string;
  /** With its query. */
  readonly path: string;
  readonly headers?: Record<string, string>;
  readonly body?: Uint8Array | string;
}

function bodyOf({ body }: EventRequest): { body?: string; isBase64Encoded: boolean } {
  if (body === undefined) return { isBase64Encoded: false };
  if (typeof body === "string") return { body, isBase64Encoded: false };
  return { body: Buffer.from(body).toString("base64"), isBase64Encoded: true };
}

/** A function URL's, or API Gateway's HTTP API's: payload version 2. */
export function payloadV2(request: EventRequest, domainName = "abc123.lambda-url.us-east-1.on.aws"): object {
  const { method, path, headers = {} } = request;
  const { pathname, searchParams } = new URL(path, "http://x");
  return {
    version: "2.0",
    routeKey: "$default",
    rawPath: pathname,
    rawQueryString: String(searchParams),
    headers: { host: domainName, ...headers },
    ...(searchParams.size > 0 && { queryStringParameters: Object.fromEntries(searchParams) }),
    requestContext: {
      accountId: "anonymous",
      apiId: "abc123",
      domainName,
      domainPrefix: "abc123",
      http: { method, path: pathname, protocol: "HTTP/1.1", sourceIp: "127.0.0.1", userAgent: "test" },
      requestId: "1",
      routeKey: "$default",
      stage: "$default",
      time: "24/Nov/2026:12:00:00 +0000",
      timeEpoch: 1,
    },
    ...bodyOf(request),
  };
}

/** API Gateway's REST API's: payload version 1. */
export function payloadV1(request: EventRequest): object {
  const { method, path, headers = {} } = request;
  const { pathname, searchParams } = new URL(path, "http://x");
  return {
    version: "1.0",
    resource: "/{proxy+}",
    path: pathname,
    httpMethod: method,
    headers,
    multiValueHeaders: Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, [value]])),
    queryStringParameters: Object.fromEntries(searchParams),
    multiValueQueryStringParameters: null,
    requestContext: { httpMethod: method, path: pathname, domainName: "x.execute-api.us-east-1.amazonaws.com" },
    ...bodyOf(request),
  };
}

/** An application load balancer's. */
export function payloadAlb(request: EventRequest): object {
  const { method, path, headers = {} } = request;
  const { pathname, searchParams } = new URL(path, "http://x");
  return {
    requestContext: { elb: { targetGroupArn: "arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/x/1" } },
    httpMethod: method,
    path: pathname,
    queryStringParameters: Object.fromEntries(searchParams),
    headers: { host: "x.elb.amazonaws.com", ...headers },
    ...bodyOf(request),
  };
}
