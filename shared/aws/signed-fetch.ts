import { createHash } from "node:crypto";
import { defaultProvider } from "@aws-sdk/credential-provider-node";
import { Sha256 } from "@smithy/core/checksum";
import { SignatureV4 } from "@smithy/signature-v4";
import { ServiceError } from "../errors/service-error.ts";
import type { SignRequest } from "../transport/http-client.ts";

export interface SignerOptions {
  /** By default the one in a function URL's name, else `AWS_REGION`. */
  region?: string | undefined;
  /** By default what the SDK finds: environment, profile, single sign-on, the role of a function, task or instance. */
  credentials?: Credentials | (() => Promise<Credentials>) | undefined;
}

/** What AWS gave to sign with. */
export interface Credentials {
  accessKeyId: string;
  secretAccessKey: string;
  sessionToken?: string | undefined;
}

/** Headers that something on the way may change. */
const UNSIGNED = new Set(["accept", "accept-encoding", "content-length", "traceparent", "tracestate"]);

/**
 * Signs requests to function URLs whose authorisation is `AWS_IAM`, with Signature Version 4 and the hash of the body:
 * `createClient(Entry, { url, sign: requestSigner() })`.
 * @returns a signer; it throws ServiceError UNAUTHENTICATED where there are no credentials or no region.
 */
export function requestSigner({ region, credentials = defaultProvider() }: SignerOptions = {}): SignRequest {
  return async ({ method, url, headers, body }) => {
    const hash = createHash("sha256");
    for (const chunk of body) hash.update(chunk);
    const signer = new SignatureV4({
      service: "lambda",
      region: region ?? regionOf(url),
      credentials: credentials as ConstructorParameters<typeof SignatureV4>[0]["credentials"],
      sha256: Sha256,
    });
    const query = Object.fromEntries([...url.searchParams.keys()].map((key) => [key, url.searchParams.getAll(key)]));
    try {
      const signed = await signer.sign(
        {
          method,
          protocol: url.protocol,
          hostname: url.hostname,
          path: url.pathname,
          query,
          // The hash that is given is the one that is signed: a body needs not be put together for it.
          headers: { ...headers, host: url.host, "x-amz-content-sha256": hash.digest("hex") },
        },
        { unsignableHeaders: UNSIGNED },
      );
      return signed.headers;
    } catch (cause) {
      throw new ServiceError("UNAUTHENTICATED", `the request cannot be signed: ${(cause as Error).message}`, { cause });
    }
  };
}

/** `fetch` with signed requests. A body is read whole before it is sent, to be hashed. */
export function signedFetch(options: SignerOptions = {}): typeof fetch {
  const sign = requestSigner(options);
  return async (input, init) => {
    const request = new Request(input, init);
    const { method, signal, redirect } = request;
    const body = new Uint8Array(await request.arrayBuffer());
    const url = new URL(request.url);
    // A plus is a space in a form's words, and itself in a signature's.
    url.search = url.search.replaceAll("+", "%20");
    const { host: _, ...headers } = await sign({
      method,
      url,
      headers: Object.fromEntries(request.headers),
      body: [body],
    });
    return fetch(url, { method, headers, signal, redirect, ...(request.body && { body }) });
  };
}

function regionOf({ hostname }: URL): string {
  const region = /\.lambda-url\.([a-z0-9-]+)\.on\.aws$/.exec(hostname)?.[1] ?? process.env.AWS_REGION;
  if (region) return region;
  throw new ServiceError(
    "UNAUTHENTICATED",
    `the request cannot be signed: ${hostname} names no region; set AWS_REGION`,
  );
}
