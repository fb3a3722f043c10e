import { describe, expect, it } from "vitest";
import { CANNY_WASM } from "#functions/vision/canny.wasm.ts";
import { buildKernel } from "#functions/vision/kernel/build.ts";

describe("canny.wasm.ts", () => {
  it("holds what kernel/*.ts compiles to (npm run build:canny)", async () => {
    const built = Buffer.from(await buildKernel()).toString("base64");
    expect(CANNY_WASM).toBe(built);
  });

  it("stays small enough to be inlined", () => expect(Buffer.from(CANNY_WASM, "base64").length).toBeLessThan(8192));
});
