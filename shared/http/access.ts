import type { MiddlewareHandler } from "hono";
import { ServiceError } from "../errors/service-error.ts";
import { log } from "../observability/log.ts";
import { countAccess } from "../observability/metrics.ts";
import { type AccessKey, keyOf } from "./access-keys.ts";
import { errorAnswer } from "./answer.ts";
import { networkOf, type RateLimit } from "./rate-limit.ts";

/** What load balancers ask, which have no key. */
const PROBES: ReadonlySet<string> = new Set(["/livez", "/readyz", "/healthz"]);
/** What a key that is limited to some apis may read besides. */
const PAGES: ReadonlySet<string> = new Set(["/", "/docs", "/docs.json", "/schema.json", "/metrics"]);

/** What is looked at of a request. */
export interface Ask {
  readonly method: string;
  /** Without the query; as it is routed. */
  readonly path: string;
  readonly authorization: string | undefined;
  /** The client's IP address. */
  readonly address: string | undefined;
}

/** Says who may send requests to the entry, and how many. Probes are open to everybody, always. */
export class Guard {
  readonly #keys: readonly AccessKey[] | undefined;
  readonly #rate: RateLimit | undefined;

  /** @param keys without them, nobody needs one. @param rate of each key's name; without a key, of each client address. */
  constructor({ keys, rate }: { keys?: readonly AccessKey[] | undefined; rate?: RateLimit | undefined }) {
    this.#keys = keys;
    this.#rate = rate;
  }

  get wantsKeys(): boolean {
    return this.#keys !== undefined;
  }

  /** Whether a request with this header comes from somebody who may send any at all. */
  knows(authorization: string | undefined): boolean {
    return !this.#keys || this.#keyOf(authorization) !== undefined;
  }

  /** Why a request is refused: RESOURCE_EXHAUSTED, UNAUTHENTICATED or PERMISSION_DENIED. To be asked once a request. */
  refusalOf({ method, path, authorization, address = "" }: Ask): ServiceError | undefined {
    if (PROBES.has(path) && (method === "GET" || method === "HEAD")) return undefined;
    const key = this.#keyOf(authorization);
    const wait = this.#rate?.take(key ? `key ${key.name}` : `address ${networkOf(address)}`);
    const refusal =
      wait !== undefined
        ? new ServiceError("RESOURCE_EXHAUSTED", "too many requests", { retryAfter: wait })
        : this.#keys && !key
          ? unauthenticated(authorization)
          : key && !mayAsk(key, path)
            ? new ServiceError("PERMISSION_DENIED", `the key "${key.name}" may not use ${path}`)
            : undefined;
    countAccess(key?.name ?? "", refusal?.code ?? "OK");
    if (refusal) log.debug({ key: key?.name, address, code: refusal.code }, "a request was refused");
    return refusal;
  }

  /** Asks the guard before anything else is done for a request. */
  middleware(): MiddlewareHandler {
    return async (c, next) => {
      const { method, path } = c.req;
      const authorization = c.req.header("authorization");
      const refusal = this.refusalOf({ method, path, authorization, address: addressOf(c.env) });
      if (!refusal) return next();
      const answer = errorAnswer(refusal);
      for (const [name, value] of Object.entries(challengeOf(refusal))) answer.headers.set(name, value);
      return answer;
    };
  }

  #keyOf(authorization: string | undefined): AccessKey | undefined {
    const token = /^Bearer +(\S+)$/i.exec(authorization ?? "")?.[1];
    return this.#keys && token !== undefined ? keyOf(this.#keys, token) : undefined;
  }
}

/** The headers that tell a client how to say who it is, on answers that ask for it. */
export function challengeOf({ code }: ServiceError): Record<string, string> {
  return code === "UNAUTHENTICATED" ? { "www-authenticate": "Bearer" } : {};
}

function unauthenticated(authorization: string | undefined): ServiceError {
  const message = authorization === undefined ? "a key is needed" : "the key is not known";
  return new ServiceError("UNAUTHENTICATED", `${message}: send the header Authorization: Bearer <key>`);
}

/** By what is allowed, not by what is not: a path that is spelt in another way is no way around. */
function mayAsk({ apis }: AccessKey, path: string): boolean {
  return !apis || PAGES.has(path) || apis.includes(path.split("/")[1]!);
}

/** What the Node server and Lambda's adapter tell of a client. A forwarded-for header is not believed. */
interface Environment {
  incoming?: { socket?: { remoteAddress?: string } };
  requestContext?: { http?: { sourceIp?: string }; identity?: { sourceIp?: string } };
}

function addressOf(env: unknown): string | undefined {
  const { incoming, requestContext } = (env ?? {}) as Environment;
  return incoming?.socket?.remoteAddress ?? requestContext?.http?.sourceIp ?? requestContext?.identity?.sourceIp;
}
