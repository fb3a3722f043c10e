import * as z from "zod/mini";

/** What `TANDEM_SERVICES` holds: made when there is something to check, for it takes a part of a function's start. */
function locationsSchema() {
  const storeUrl = z.string().check(z.regex(/^(s3:\/\/|file:\/)/, "must start with s3:// or file:/"));
  const httpLocation = z.strictObject({
    /** `http` for a Tandem service, `bentoml` for one that BentoML serves. */
    transport: z.enum(["http", "bentoml"]),
    /** `http(s)://host:port[/prefix]`, or `unix:/path/to/socket`. */
    url: z.string().check(z.regex(/^(https?:\/\/|unix:\/)/, "must start with http://, https:// or unix:/")),
  });
  const sqsLocation = z.strictObject({
    transport: z.literal("sqs"),
    queueUrl: z.url(),
    /** The lane that is emptied first; without one, a call's priority has no effect. */
    priorityQueueUrl: z.optional(z.url()),
    /** Where results and large inputs are: `s3://bucket[/prefix]`, or `file:/folder`. */
    storeUrl,
  });
  const lambdaLocation = z.strictObject({
    transport: z.literal("lambda"),
    /** Name or ARN, `:alias` or `:version` after it. */
    functionName: z.string().check(z.regex(/^[\w:.$-]{1,256}$/, "must be a function's name or ARN")),
    /** Where payloads over 6 MB are; by default `TANDEM_STORE`. */
    storeUrl: z.optional(storeUrl),
  });
  return z.record(z.string(), z.discriminatedUnion("transport", [httpLocation, sqsLocation, lambdaLocation]));
}

/** Where services run, by name. */
export type Locations = z.infer<ReturnType<typeof locationsSchema>>;
/** Where a service runs, and what it speaks. */
export type Location = Locations[string];
/** Where a service's queue and its results are. */
export type SqsLocation = Extract<Location, { transport: "sqs" }>;
/** A service's Lambda function, invoked with the SDK. */
export type LambdaLocation = Extract<Location, { transport: "lambda" }>;

/**
 * Reads `TANDEM_SERVICES` (JSON: name -> {transport, url}, {transport: "sqs", queueUrl, storeUrl} or
 * {transport: "lambda", functionName}).
 * @throws TypeError when it is set and is not that.
 */
export function locationsFromEnvironment(text: string | undefined = process.env.TANDEM_SERVICES): Locations {
  if (!text) return {};
  try {
    return locationsSchema().parse(JSON.parse(text));
  } catch (cause) {
    throw new TypeError(`TANDEM_SERVICES must be JSON such as {"Name": {"transport": "http", "url": "http://..."}}`, {
      cause,
    });
  }
}
