import { z } from "zod";
import { BentomlTransport } from "./bentoml-client.ts";
import { HttpTransport } from "./http-client.ts";
import type { Transport } from "./transport.ts";

const locationSchema = z.strictObject({
  /** `http` for a Tandem service, `bentoml` for one that BentoML serves. */
  transport: z.enum(["http", "bentoml"]),
  /** `http(s)://host:port[/prefix]`, or `unix:/path/to/socket`. */
  url: z.string().regex(/^(https?:\/\/|unix:\/)/, "must start with http://, https:// or unix:/"),
});
const locationsSchema = z.record(z.string(), locationSchema);

/** Where a service runs, and what it speaks. */
export type Location = z.infer<typeof locationSchema>;
/** Where services run, by name. */
export type Locations = z.infer<typeof locationsSchema>;

/**
 * Reads `TANDEM_SERVICES` (JSON: name -> {transport, url}).
 * @throws TypeError when it is set and is not that.
 */
export function locationsFromEnvironment(text: string | undefined = process.env.TANDEM_SERVICES): Locations {
  if (!text) return {};
  try {
    return locationsSchema.parse(JSON.parse(text));
  } catch (cause) {
    throw new TypeError(`TANDEM_SERVICES must be JSON such as {"Name": {"transport": "http", "url": "http://..."}}`, {
      cause,
    });
  }
}

/** A transport to something that runs elsewhere. */
export function transportTo({ transport, url }: Location, headers: Record<string, string> = {}): Transport {
  return transport === "bentoml" ? new BentomlTransport(url, headers) : new HttpTransport(url, { headers });
}
