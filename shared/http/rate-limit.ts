import { isIPv6 } from "node:net";
import { TokenBucket } from "limiter";
import { LRUCache } from "lru-cache";

const INTERVALS = ["second", "minute", "hour", "day"] as const;

/** So many requests in an interval. */
export interface Rate {
  readonly requests: number;
  readonly interval: (typeof INTERVALS)[number];
}

/** Callers that are remembered: about 3 MB. A bucket that is forgotten comes back full. */
const MAX_CALLERS = 10_000;

/** Reads a rate such as `60/minute`. @throws TypeError */
export function parseRate(text: string): Rate {
  const [, requests, interval] = /^\s*(\d{1,9})\s*\/\s*(\w+)\s*$/.exec(text) ?? [];
  const known = INTERVALS.find((name) => name === interval);
  if (!known || !(Number(requests) >= 1))
    throw new TypeError(`TANDEM_RATE_LIMIT must be a number / ${INTERVALS.join(", ")}, such as 60/minute`);
  return { requests: Number(requests), interval: known };
}

/** A token bucket a caller, of this process: full at first, so that as many requests as the rate names may come at once. */
export class RateLimit {
  readonly #rate: Rate;
  readonly #buckets: LRUCache<string, TokenBucket>;

  constructor(rate: Rate, maxCallers = MAX_CALLERS) {
    this.#rate = rate;
    this.#buckets = new LRUCache({ max: maxCallers });
  }

  /** Takes a caller's token. @returns seconds until there is one, where there is none. */
  take(caller: string): number | undefined {
    const { requests, interval } = this.#rate;
    let bucket = this.#buckets.get(caller);
    if (!bucket) {
      bucket = new TokenBucket({ bucketSize: requests, tokensPerInterval: requests, interval });
      bucket.content = requests;
      this.#buckets.set(caller, bucket);
    }
    return bucket.tryRemoveTokens(1) ? undefined : bucket.getWaitTime(1) / 1000;
  }
}

/** What stands for an address in a rate limit: with IPv6 its /64, of which a single customer has all addresses. */
export function networkOf(address: string): string {
  const inside = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1];
  if (inside !== undefined) return inside;
  if (!isIPv6(address)) return address;
  const [left, right] = address.split("::").map((half) => half.split(":").filter(Boolean));
  const zeros = right ? Array<string>(8 - left!.length - right.length).fill("0") : [];
  return `${[...left!, ...zeros, ...(right ?? [])].slice(0, 4).join(":")}::/64`;
}
