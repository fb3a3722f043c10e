import { expect, test } from "vitest";
import { preferredImageFormat } from "#shared/image/accept.ts";

test.each([
  [undefined, "png"],
  ["", "png"],
  ["*/*", "png"],
  ["image/*", "png"],
  ["image/webp", "webp"],
  ["image/jpeg", "jpeg"],
  ["image/jpg", "jpeg"],
  ["IMAGE/WEBP", "webp"],
  ["image/webp, image/png;q=0.9, */*;q=0.1", "webp"],
  ["image/png;q=0.2, image/jpeg;q=0.3", "jpeg"],
  ["image/*;q=0.5, image/jpeg", "jpeg"],
  ["*/*, image/png;q=0", "webp"],
  ["image/*;q=0, */*", undefined],
  ["image/avif,image/webp,image/apng,image/*,*/*;q=0.8", "png"],
  ["application/json, image/webp ; q=1.0", "webp"],
  ["application/json", undefined],
  ["text/html, image/tiff", undefined],
  ["image/png;q=0", undefined],
  ["image/png;q=nonsense, image/webp;q=0.1", "webp"],
  ["image/png;level=1;q=0.5, image/webp;q=0.6", "webp"],
  [",;,=;q=1", undefined],
])("Accept: %s -> %s", (accept, format) => {
  expect(preferredImageFormat(accept)).toBe(format);
});

test("only what is offered is chosen", () => {
  expect(preferredImageFormat("image/png, image/gif;q=0.1", ["gif"])).toBe("gif");
  expect(preferredImageFormat("image/webp", ["png"])).toBeUndefined();
  expect(preferredImageFormat("*/*", [])).toBeUndefined();
});
