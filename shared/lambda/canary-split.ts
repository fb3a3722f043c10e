import { createHash } from "node:crypto";
import * as z from "zod/mini";
import { ServiceError } from "../errors/service-error.ts";

const splitSchema = z.strictObject({
  routeType: z.enum(["random", "header", "query"]),
  /** The header, in small letters, or the query parameter. */
  routeBy: z.optional(z.string().check(z.minLength(1))),
  versions: z.array(
    z.strictObject({
      label: z.string().check(z.regex(/^[a-z][a-z0-9-]*$/)),
      /** Percent of the calls. */
      weight: z.number().check(z.minimum(0), z.maximum(100)),
      /** Name or ARN. */
      functionName: z.string().check(z.minLength(1)),
      /** Another one with each deployment that changes the version. */
      fingerprint: z.string().check(z.regex(/^[\w-]+$/)),
    }),
  ),
});

/** How calls are split among the versions of a service; what no version gets is the main one's. */
export type CanarySplit = z.infer<typeof splitSchema>;
export type SplitVersion = CanarySplit["versions"][number];

/** What is looked at of a function URL's event. */
export interface UrlRequest {
  readonly rawPath: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly queryStringParameters?: Readonly<Record<string, string>>;
  readonly requestContext: { readonly http: { readonly method: string } };
}

/** @throws ServiceError INTERNAL for a text that is no split. */
export function readSplit(text: string): CanarySplit {
  try {
    return z.parse(splitSchema, JSON.parse(text));
  } catch (cause) {
    throw new ServiceError("INTERNAL", "TANDEM_CANARY is no split: the deployment sets it", { cause });
  }
}

/**
 * The version that a request goes to; undefined for the main one. Versions have their shares one after the other, so that
 * callers of the first stay with it when its weight grows. The same header or query value gets the same version always,
 * and one without it the main one; by chance, a call that is sent again under its `Idempotency-Key` gets what it got.
 * @param random from 0 to 1.
 */
export function versionOf(
  { routeType, routeBy = "", versions }: CanarySplit,
  { headers = {}, queryStringParameters = {} }: UrlRequest,
  random: () => number = Math.random,
): SplitVersion | undefined {
  const value = {
    random: headers["idempotency-key"],
    header: headers[routeBy],
    query: queryStringParameters[routeBy],
  }[routeType];
  if (!value && routeType !== "random") return undefined;
  const point = 100 * (value ? fraction(value) : random());
  let end = 0;
  return versions.find(({ weight }) => {
    end += weight;
    return point < end;
  });
}

/** The object that says, by being there, that a version gets no calls any longer. */
export function offKey({ label, fingerprint }: Pick<SplitVersion, "label" | "fingerprint">): string {
  return `tandem/canary-off/${label}/${fingerprint}`;
}

/** A text's place from 0 to 1, the same in every process. */
function fraction(text: string): number {
  return createHash("sha256").update(text).digest().readUInt32BE() / 2 ** 32;
}
