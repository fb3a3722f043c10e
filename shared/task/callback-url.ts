import { BlockList, isIP } from "node:net";
import { Webhook } from "standardwebhooks";
import { ServiceError } from "../errors/service-error.ts";

/** What the environment says of callbacks. */
export interface CallbackSettings {
  /** What callbacks are signed with: base64, `whsec_` before it or not. Without one there are no callbacks. */
  readonly secret: string | undefined;
  /** Whether a callback may go to a private address, and over plain HTTP: on a desk. */
  readonly allowPrivate: boolean;
}

/** Reads `TANDEM_WEBHOOK_SECRET` and `TANDEM_WEBHOOK_ALLOW_PRIVATE`. @throws TypeError for a secret that is no base64. */
export function callbackSettings(environment: NodeJS.ProcessEnv = process.env): CallbackSettings {
  const secret = environment.TANDEM_WEBHOOK_SECRET || undefined;
  try {
    if (secret !== undefined) new Webhook(secret);
  } catch (cause) {
    throw new TypeError("TANDEM_WEBHOOK_SECRET must be base64: make one with `openssl rand -base64 32`", { cause });
  }
  return { secret, allowPrivate: environment.TANDEM_WEBHOOK_ALLOW_PRIVATE === "1" };
}

/** Characters of a URL; longer ones fit in no message with certainty. */
const MAX_LENGTH = 2048;

/** https://www.iana.org/assignments/iana-ipv4-special-registry and its sibling for IPv6. */
const PRIVATE = new BlockList();
for (const [network, prefix] of [
  ["0.0.0.0", 8],
  ["10.0.0.0", 8],
  ["100.64.0.0", 10],
  ["127.0.0.0", 8],
  ["169.254.0.0", 16],
  ["172.16.0.0", 12],
  ["192.0.0.0", 24],
  ["192.168.0.0", 16],
  ["198.18.0.0", 15],
  ["224.0.0.0", 3],
] as const)
  PRIVATE.addSubnet(network, prefix, "ipv4");
const PUBLIC6 = new BlockList();
PUBLIC6.addSubnet("2000::", 3, "ipv6");
/** Tunnels that carry an IPv4 address within. */
for (const [network, prefix] of [
  ["2001::", 32],
  ["2002::", 16],
] as const)
  PRIVATE.addSubnet(network, prefix, "ipv6");

/**
 * Refuses a callback URL that is never told: at submission, while somebody hears of it. What its name resolves to is
 * looked at when it is connected to, again and again.
 * @throws ServiceError INVALID_ARGUMENT for what is no https URL, carries credentials, or has no secret to be signed with;
 * PERMISSION_DENIED for a private address.
 */
export function checkCallbackUrl(url: string, settings: CallbackSettings = callbackSettings()): void {
  if (settings.secret === undefined)
    throw new ServiceError(
      "INVALID_ARGUMENT",
      "callbacks are off: set TANDEM_WEBHOOK_SECRET on the server (`openssl rand -base64 32`) to sign them with, or send no Tandem-Callback",
    );
  const parsed = url.length <= MAX_LENGTH ? URL.parse(url) : null;
  const schemes = settings.allowPrivate ? ["https:", "http:"] : ["https:"];
  if (!parsed || !schemes.includes(parsed.protocol))
    throw new ServiceError(
      "INVALID_ARGUMENT",
      `the callback must be an https URL of at most ${MAX_LENGTH} characters (TANDEM_WEBHOOK_ALLOW_PRIVATE=1 allows http)`,
    );
  if (parsed.username || parsed.password)
    throw new ServiceError("INVALID_ARGUMENT", "the callback must carry no credentials: its signature says who calls");
  if (!settings.allowPrivate && isPrivate(parsed.hostname)) throw refused(parsed.hostname);
}

/** What is said of an address that callbacks may not reach. */
export function refused(host: string): ServiceError {
  return new ServiceError(
    "PERMISSION_DENIED",
    `callbacks do not go to ${host}: it is no public address (TANDEM_WEBHOOK_ALLOW_PRIVATE=1 allows it)`,
  );
}

function isPrivate(hostname: string): boolean {
  const host = hostname.replace(/^\[|\]$/g, "").replace(/\.$/, "");
  if (host === "localhost" || host.endsWith(".localhost")) return true;
  const family = isIP(host);
  if (family === 4) return PRIVATE.check(host, "ipv4");
  return family === 6 && (!PUBLIC6.check(host, "ipv6") || PRIVATE.check(host, "ipv6"));
}
