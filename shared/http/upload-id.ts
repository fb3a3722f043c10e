/** Ids of uploads and stored answers, as a pattern: the second they were made in, and 128 random bits that nobody guesses. */
export const ID = "[0-9a-z]{6,8}-[\\w-]{22}";
const WHOLE = new RegExp(`^${ID}$`);

/** A new id. @param now milliseconds since the epoch. */
export function newId(now: number): string {
  return `${Math.floor(now / 1000).toString(36)}-${Buffer.from(crypto.getRandomValues(new Uint8Array(16))).toString("base64url")}`;
}

/** When an id was made: milliseconds since the epoch. Undefined for what is no id. */
export function madeAt(id: string): number | undefined {
  return WHOLE.test(id) ? Number.parseInt(id, 36) * 1000 : undefined;
}
