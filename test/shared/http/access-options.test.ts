import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { keyOf, readKeys } from "#shared/http/access-keys.ts";
import { privateOptions, publicOptions } from "#shared/http/access-options.ts";
import { DEFAULT_MAX_BODY_BYTES } from "#shared/http/app.ts";
import { kindsApp } from "./kinds-service.ts";

const A = "a-0123456789abcdef";
const B = "b-0123456789abcdef";
const hash = (key: string): string => `sha256:${createHash("sha256").update(key).digest("hex")}`;

describe("TANDEM_API_KEYS", () => {
  it.each([
    ["one key", A, ["key-1"]],
    ["keys with commas between", ` ${A} ,${hash(B)}, `, ["key-1", "key-2"]],
    ["hashes in capitals", `${A},${hash(B).toUpperCase().replace("SHA", "sha")}`, ["key-1", "key-2"]],
    [
      "a list",
      JSON.stringify([
        { name: "ci", key: A },
        { name: "ui", key: hash(B) },
      ]),
      ["ci", "ui"],
    ],
  ])("may be %s", (_what, text, names) => {
    const keys = readKeys(text);
    expect(keys.map(({ name }) => name)).toEqual(names);
    expect([A, B].map((key) => keyOf(keys, key)?.name)).toEqual([names[0], names[1]]);
    expect(keyOf(keys, "c-0123456789abcdef")).toBeUndefined();
  });

  it("are kept as hashes only", () => {
    expect(JSON.stringify(readKeys(A))).not.toContain(A);
    expect(Object.values(readKeys(A)[0]!)).not.toContain(A);
  });

  it.each([
    ["a short key", "hunter2hunter2"],
    ["a key that no header can carry", "hunter2 hunter2 hunter2"],
    ["a hash that is cut off", "sha256:hunter2"],
    ["no key", " , "],
    ["an empty list", "[]"],
    ["a list that is cut off", '[{"name": "ci", "key": "hunter2hunter2hunter2'],
    ["a list of keys alone", '["hunter2hunter2hunter2"]'],
    ["a key without a name", '[{"key": "hunter2hunter2hunter2"}]'],
    ["a key in the place of a member", '[{"name": "ci", "key": "0123456789abcdef", "hunter2": 1}]'],
    ["a name in the place of apis", '[{"name": "ci", "key": "0123456789abcdef", "apis": "hunter2"}]'],
  ])("that are %s are refused, and not repeated", (_what, text) => {
    const refusal = (): unknown => readKeys(text);
    expect(refusal).toThrow(/^TANDEM_API_KEYS/);
    expect(refusal).not.toThrow(/hunter2/);
    try {
      refusal();
    } catch (error) {
      expect((error as Error).cause).toBeUndefined();
    }
  });
});

describe("the entry's options", () => {
  it("are none in an empty environment", () => {
    const none = { guard: undefined, corsOrigins: undefined, maxBodyBytes: DEFAULT_MAX_BODY_BYTES };
    expect(publicOptions("none", {})).toEqual(none);
    expect(publicOptions("none", { TANDEM_API_KEYS: "", TANDEM_RATE_LIMIT: "", TANDEM_CORS_ORIGINS: "" })).toEqual(
      none,
    );
  });

  it("ask for keys where there are any, whatever the config file says", () => {
    for (const authorization of ["none", "bearer", "iam"] as const)
      expect(publicOptions(authorization, { TANDEM_API_KEYS: A }).guard?.wantsKeys).toBe(true);
  });

  it("are refused where the config file wants keys and there are none", () => {
    expect(() => publicOptions("bearer", {})).toThrow(/TANDEM_API_KEYS/);
    expect(() => publicOptions("bearer", { TANDEM_API_KEYS: "" })).toThrow(/TANDEM_API_KEYS/);
    expect(() => publicOptions("bearer", { TANDEM_RATE_LIMIT: "1/day" })).toThrow(/TANDEM_API_KEYS/);
  });

  it("have origins", () => {
    const { corsOrigins } = publicOptions("none", { TANDEM_CORS_ORIGINS: "https://a.example, http://localhost:5173" });
    expect(corsOrigins).toEqual(["https://a.example", "http://localhost:5173"]);
    expect(publicOptions("none", { TANDEM_CORS_ORIGINS: "*" }).corsOrigins).toEqual(["*"]);
  });

  it.each([
    ["TANDEM_CORS_ORIGINS", "a.example"],
    ["TANDEM_CORS_ORIGINS", "https://a.example/"],
    ["TANDEM_CORS_ORIGINS", "https://a.example,https://*.b.example"],
    ["TANDEM_CORS_ORIGINS", "null"],
    ["TANDEM_CORS_ORIGINS", " , "],
    ["TANDEM_RATE_LIMIT", "60"],
    ["TANDEM_RATE_LIMIT", "0/minute"],
    ["TANDEM_RATE_LIMIT", "1.5/minute"],
    ["TANDEM_RATE_LIMIT", "60/fortnight"],
    ["TANDEM_MAX_BODY_MB", "0"],
    ["TANDEM_MAX_BODY_MB", "-1"],
    ["TANDEM_MAX_BODY_MB", "10MB"],
    ["TANDEM_MAX_BODY_MB", "Infinity"],
  ])("refuse %s=%s by name", (name, value) => {
    expect(() => publicOptions("none", { [name]: value })).toThrow(name);
  });

  it("limit a request's size", async () => {
    const { app } = await kindsApp(publicOptions("none", { TANDEM_MAX_BODY_MB: "0.001" }));
    const post = async (bytes: number): Promise<number> => {
      const body = JSON.stringify({ s: "x".repeat(bytes) });
      const headers = { "content-type": "application/json", "content-length": String(body.length) };
      return (await app.request("/text", { method: "POST", headers, body })).status;
    };
    expect([await post(500), await post(1100)]).toEqual([200, 413]);
  });

  it("of a service behind it are at least the default size", () => {
    const bytes = (mb: string) => privateOptions({ TANDEM_MAX_BODY_MB: mb }).maxBodyBytes;
    expect([bytes("1"), bytes("200")]).toEqual([DEFAULT_MAX_BODY_BYTES, 200 * 2 ** 20]);
  });
});
