import { Guard } from "./access.ts";
import { readKeys } from "./access-keys.ts";
import { type AppOptions, DEFAULT_MAX_BODY_BYTES } from "./app.ts";
import { parseRate, RateLimit } from "./rate-limit.ts";

/**
 * `access_authorization` of a config file: who may call the entry. `bearer`: who has one of its keys; `iam`: whose
 * signature AWS accepts, which only AWS can check, in front of a function.
 */
export type AccessAuthorization = "none" | "bearer" | "iam";

/**
 * What an entry's HTTP face does beside answering, by the environment: `TANDEM_API_KEYS`, `TANDEM_RATE_LIMIT`,
 * `TANDEM_CORS_ORIGINS`, `TANDEM_MAX_BODY_MB`. Keys that are set are asked for, whatever the config file says.
 * @throws TypeError naming the variable that cannot be used, or is missing for `bearer`.
 */
export function publicOptions(
  authorization: AccessAuthorization = "none",
  environment: NodeJS.ProcessEnv = process.env,
): Pick<AppOptions, "guard" | "corsOrigins" | "maxBodyBytes"> {
  const { TANDEM_API_KEYS, TANDEM_RATE_LIMIT, TANDEM_CORS_ORIGINS } = environment;
  const keys = TANDEM_API_KEYS ? readKeys(TANDEM_API_KEYS) : undefined;
  if (authorization === "bearer" && !keys)
    throw new TypeError(
      "access_authorization wants callers to have a key, and none is set: TANDEM_API_KEYS=$(openssl rand -hex 32)",
    );
  const rate = TANDEM_RATE_LIMIT ? new RateLimit(parseRate(TANDEM_RATE_LIMIT)) : undefined;
  return {
    guard: keys || rate ? new Guard({ keys, rate }) : undefined,
    corsOrigins: TANDEM_CORS_ORIGINS ? originsOf(TANDEM_CORS_ORIGINS) : undefined,
    maxBodyBytes: maxBodyBytes(environment),
  };
}

/** The same of a service that only others of the project reach. Its calls may be larger than those that brought them about. */
export function privateOptions(environment: NodeJS.ProcessEnv = process.env): Pick<AppOptions, "maxBodyBytes"> {
  return { maxBodyBytes: Math.max(DEFAULT_MAX_BODY_BYTES, maxBodyBytes(environment)) };
}

function maxBodyBytes({ TANDEM_MAX_BODY_MB }: NodeJS.ProcessEnv): number {
  if (!TANDEM_MAX_BODY_MB) return DEFAULT_MAX_BODY_BYTES;
  const bytes = Math.floor(Number(TANDEM_MAX_BODY_MB) * 2 ** 20);
  if (bytes >= 1 && Number.isSafeInteger(bytes)) return bytes;
  throw new TypeError("TANDEM_MAX_BODY_MB must be a number over 0, of MiB");
}

function originsOf(text: string): string[] {
  const origins = text.split(",").flatMap((origin) => origin.trim() || []);
  const wrong = origins.find(
    (origin) => origin !== "*" && (origin.includes("*") || URL.parse(origin)?.origin !== origin),
  );
  if (wrong === undefined && origins.length > 0) return origins;
  throw new TypeError("TANDEM_CORS_ORIGINS must be *, or origins such as https://app.example.com with commas between");
}
