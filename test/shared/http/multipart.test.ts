import { describe, expect, it } from "vitest";
import { multipartFields } from "#shared/http/multipart.ts";

const TYPE = "multipart/form-data; boundary=xyz";
const body = (...lines: string[]): Uint8Array => new Uint8Array(Buffer.from(lines.join("\r\n")));
const part = (disposition: string, content: string): string[] => [
  `Content-Disposition: form-data; ${disposition}`,
  "",
  content,
];
const text = (value: string | Uint8Array): string => Buffer.from(value as Uint8Array).toString();

describe("multipartFields", () => {
  it("gives what Request.formData gives of what FormData writes", async () => {
    const bytes = new Uint8Array(100_000).map((_, index) => (index * 7919) >> 3);
    const form = new FormData();
    form.append("image", new Blob([bytes], { type: "image/png" }), 'a "b"; name=c.png');
    form.append("image", new Blob([]), "empty");
    form.append("%41é", "zwölf\r\n\r\n--");
    form.append("", "");
    const response = new Response(form);
    const type = response.headers.get("content-type")!;
    const copy = new Uint8Array(await response.arrayBuffer());
    const expected = await new Response(copy, { headers: { "content-type": type } }).formData();
    const fields = multipartFields(copy, type);
    expect(fields.map(([name]) => name)).toEqual([...expected.keys()]);
    for (const [index, value] of [...expected.values()].entries())
      expect(fields[index]![1]).toEqual(typeof value === "string" ? value : new Uint8Array(await value.arrayBuffer()));
    expect(fields[0]![1]).toMatchObject({ buffer: copy.buffer });
  });

  it("reads other writers' forms: epilogue, tokens, quotes around the boundary", () => {
    const form = body(
      "--xyz",
      "content-type: image/png",
      "content-disposition: form-data; name=image; filename*=UTF-8''a.png",
      "",
      "\x01--xyz",
      "--xyz",
      ...part('name="params"', "{}"),
      "--xyz--",
      "epilogue",
    );
    for (const type of [TYPE, 'Multipart/Form-Data; charset=utf-8; Boundary="xyz"']) {
      const [image, params, ...more] = multipartFields(form, type);
      expect([image![0], text(image![1]), params, more]).toEqual(["image", "\x01--xyz", ["params", "{}"], []]);
    }
  });

  it.each([
    ["no boundary in the type", "multipart/form-data", body("--xyz--")],
    ["no boundary in the body", TYPE, body("hello")],
    ["another boundary", TYPE, body("--abc", ...part('name="a"', "1"), "--abc--")],
    ["cut off in a part", TYPE, body("--xyz", ...part('name="a"', "1"))],
    ["cut off after a part", TYPE, body("--xyz", ...part('name="a"', "1"), "--xyz")],
    ["cut off in the headers", TYPE, body("--xyz", 'Content-Disposition: form-data; name="a"')],
    ["no headers", TYPE, body("--xyz", "", "1", "--xyz--")],
    ["no name", TYPE, body("--xyz", ...part('filename="a"', "1"), "--xyz--")],
    ["a boundary within a part", TYPE, body("--xyz", ...part('name="a"', "1"), "--xyz1", "2", "--xyz--")],
    ["headers without end", TYPE, body("--xyz", `x: ${"y".repeat(20_000)}`, ...part('name="a"', "1"), "--xyz--")],
    ["too many parts", TYPE, body(...Array(1001).fill(["--xyz", ...part('name="a"', "1")].join("\r\n")), "--xyz--")],
  ])("refuses %s", (_, type, bytes) => {
    expect(() => multipartFields(bytes, type)).toThrow(expect.objectContaining({ code: "INVALID_ARGUMENT" }));
  });
});
