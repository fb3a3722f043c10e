import { expect, test } from "vitest";
import { withWarnings } from "#shared/http/answer.ts";

test("warnings are headers of ASCII, bounded in length and number", () => {
  const header = (warnings: string[]) => withWarnings(new Response(), warnings).headers.get("tandem-warning");
  expect(header([])).toBe(null);
  expect(header(["one", "two"])).toBe("one, two");
  expect(header(["a caf\u00e9,\r\nset-cookie: x \ud83c\udf89"])).toBe(
    "a caf\\u00e9,\\u000d\\u000aset-cookie: x \\ud83c\\udf89",
  );
  expect(header(["\u4e2d".repeat(4000)])).toHaveLength(1003);
  expect(header(Array(100).fill("w"))).toBe("w, w, w, w");
});
