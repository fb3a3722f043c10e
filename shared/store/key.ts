const KEY = /^[\w.-]+(?:\/[\w.-]+)*$/;

/**
 * @returns the key, if every driver can store under it: letters, digits, `-`, `_`, `.` and `/`, 1,024 characters at
 * most, 255 between slashes, no empty part, no `.` or `..`.
 * @throws TypeError for any other.
 */
export function checkKey(key: string): string {
  const valid = key.length <= 1024 && KEY.test(key) && key.split("/").every((part) => !/^\.\.?$|.{256}/.test(part));
  if (!valid) throw new TypeError(`${JSON.stringify(key)} is no object key: letters, digits, -, _, . and / make one`);
  return key;
}

/**
 * @returns the prefix, if it can be listed: empty, or a key and `/`.
 * @throws TypeError for any other.
 */
export function checkPrefix(prefix: string): string {
  if (prefix !== "" && !prefix.endsWith("/"))
    throw new TypeError(`${JSON.stringify(prefix)} is no prefix of keys: it must end in /`);
  if (prefix !== "") checkKey(prefix.slice(0, -1));
  return prefix;
}
