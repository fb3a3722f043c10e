import { createHash, timingSafeEqual } from "node:crypto";
import * as z from "zod/mini";

/** A key that callers may have. The key itself is not kept. */
export interface AccessKey {
  /** What logs and metrics may say. Two keys may have one name while one replaces the other. */
  readonly name: string;
  /** SHA-256 of the key. */
  readonly digest: Buffer;
  /** The apis that it may call, their tasks included; every one when left out. */
  readonly apis?: readonly string[] | undefined;
}

const HASH = /^sha256:([0-9a-f]{64})$/i;
/** What `Authorization: Bearer` may carry (RFC 6750). A short key could be guessed, and found by its hash. */
const KEY = /^[\w.~+/-]{16,512}=*$/;
const KEY_RULE =
  "a key is 16 to 512 letters, digits and -._~+/ (openssl rand -hex 32), or sha256: and the 64 hex digits of its hash";

const keySchema = z.strictObject({
  name: z.string().check(z.minLength(1), z.maxLength(64)),
  key: z.string().check(z.refine((key) => HASH.test(key) || KEY.test(key), KEY_RULE)),
  apis: z.optional(z.array(z.string())),
});

/**
 * Reads `TANDEM_API_KEYS`: keys with commas between them, named `key-1`, `key-2`..., or a JSON list of
 * `{name, key, apis?}`. In place of a key may stand its SHA-256, as `sha256:<hex>`.
 * @throws TypeError for anything else; it never repeats what it was given.
 */
export function readKeys(text: string): AccessKey[] {
  const parsed = z.array(keySchema).check(z.minLength(1, "there is no key")).safeParse(itemsOf(text.trim()));
  if (!parsed.success) throw new TypeError(`TANDEM_API_KEYS: ${parsed.error.issues.map(faultOf).join("; ")}`);
  return parsed.data.map(({ name, key, apis }) => ({ name, digest: digestOf(key), apis }));
}

/** The key that a caller's token is. How long that takes tells nothing about the keys. */
export function keyOf(keys: readonly AccessKey[], token: string): AccessKey | undefined {
  const digest = sha256(token);
  let found: AccessKey | undefined;
  for (const key of keys) if (timingSafeEqual(key.digest, digest)) found = key;
  return found;
}

function itemsOf(text: string): unknown {
  if (!text.startsWith("[")) {
    const keys = text.split(",").flatMap((key) => key.trim() || []);
    return keys.map((key, index) => ({ name: `key-${index + 1}`, key }));
  }
  try {
    return JSON.parse(text);
  } catch {
    // Its message would quote the text.
    throw new TypeError('TANDEM_API_KEYS is no JSON list: [{"name": "ci", "key": "..."}]');
  }
}

function faultOf({ code, path, message }: z.core.$ZodIssue): string {
  const where = path.length > 0 ? `${path.join(".")}: ` : "";
  // The names of unknown members may be keys in the wrong place.
  return where + (code === "unrecognized_keys" ? "an unknown member; there are name, key and apis" : message);
}

function digestOf(key: string): Buffer {
  const hex = HASH.exec(key)?.[1];
  return hex === undefined ? sha256(key) : Buffer.from(hex, "hex");
}

function sha256(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}
