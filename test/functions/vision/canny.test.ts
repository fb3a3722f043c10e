import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { inflateSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { canny } from "#functions/vision/canny.ts";
import { cannyInput } from "#functions/vision/canny-input.ts";
import { kernelEdges, kernelModule } from "#functions/vision/canny-kernel.ts";
import { cannyReference } from "#functions/vision/canny-reference.ts";
import { packBits, packedRowBytes } from "#shared/codec/bitmask.ts";
import { type DType, NDArray } from "#shared/codec/ndarray.ts";
import { ServiceError } from "#shared/errors/service-error.ts";
import { PATTERNS, type PatternName, picture, random } from "./canny-patterns.ts";

interface Golden {
  kind: PatternName;
  width: number;
  height: number;
  channels: number;
  seed: number;
  low: number | null;
  high: number | null;
}

const golden = new URL("../../golden/canny/", import.meta.url);
const { cases } = JSON.parse(readFileSync(new URL("cases.json", golden), "utf8")) as { cases: Golden[] };
const expected = inflateSync(readFileSync(new URL("edges.bin", golden)));

/** Names of the goldens whose edges differ from those of `detect`. */
function differing(detect: typeof canny): string[] {
  const wrong: string[] = [];
  let at = 0;
  for (const { kind, width, height, channels, seed, low, high } of cases) {
    const bytes = packedRowBytes(width) * height;
    const edges = detect(picture(kind, width, height, channels, seed), low ?? Number.NaN, high ?? Number.NaN);
    const same = Buffer.compare(packBits(edges.data, width, height), expected.subarray(at, at + bytes)) === 0;
    if (!same) wrong.push(`${kind} ${width}x${height}x${channels} ${low} ${high}`);
    at += bytes;
  }
  expect(at).toBe(expected.length);
  return wrong;
}

describe("canny", () => {
  it("has the WebAssembly kernel on this machine", () => expect(kernelModule()).not.toBeNull());

  it("gives OpenCV's edges in every golden case", () => expect(differing(canny)).toEqual([]));

  it("gives OpenCV's edges in the reference too", () => expect(differing(cannyReference)).toEqual([]));

  it("agrees with the reference on random pictures, sizes and thresholds", () => {
    const seed = Number(process.env.TANDEM_FUZZ_SEED ?? Date.now() % 1e9);
    const next = random(seed);
    const kinds = Object.keys(PATTERNS) as PatternName[];
    for (let n = 0; n < 400; n++) {
      const kind = kinds[next(kinds.length)]!;
      const [width, height] = [1 + next(150), 1 + next(90)];
      const channels = next(2) ? 3 : 1;
      const [low, high] = [next(300) - 20, next(500) - 20];
      const image = picture(kind, width, height, channels, next(1e6));
      const same = Buffer.compare(canny(image, low, high).data, cannyReference(image, low, high).data) === 0;
      expect(same, `TANDEM_FUZZ_SEED=${seed}, case ${n}: ${kind} ${width}x${height}x${channels} ${low} ${high}`).toBe(
        true,
      );
    }
  });

  it("finds the same edges when its stack overflows", () => {
    for (const kind of ["noise", "texture", "levels"] as const) {
      const image = picture(kind, 199, 133, 3, 4);
      const input = cannyInput(image, 10, 500);
      for (const stackBytes of [0, 4, 64])
        expect(Buffer.compare(kernelEdges(kernelModule()!, input, stackBytes), canny(image, 10, 500).data)).toBe(0);
    }
  });

  it.each([
    [8192, 8192, 1],
    [4096, 2731, 3],
    [70_001, 40, 3],
    [3, 300_001, 3],
  ])("agrees with the reference on %i x %i x %i", (width, height, channels) => {
    const tile = picture("texture", 1021, 509, 1, 3).data;
    const data = new Uint8Array(width * height * channels);
    for (let at = 0; at < data.length; at += tile.length) data.set(tile.subarray(0, data.length - at), at);
    const image = new NDArray("uint8", channels === 1 ? [height, width] : [height, width, 3], data);
    const hash = (edges: NDArray<"uint8">) => createHash("sha1").update(edges.data).digest("hex");
    expect(hash(canny(image, 40, 120))).toBe(hash(cannyReference(image, 40, 120)));
  });

  it("works on 10000 x 10000 pixels", () => {
    const data = new Uint8Array(3e8);
    // A white square from (2000, 1000) to (7999, 8999): each side's maximum lies just outside of it or on it.
    for (let y = 1000; y < 9000; y++) data.fill(255, (y * 10_000 + 2000) * 3, (y * 10_000 + 8000) * 3);
    const edges = canny(new NDArray("uint8", [10_000, 10_000, 3], data), 100, 200);
    expect(edges.shape).toEqual([10_000, 10_000]);
    const onRow = (y: number) => [...edges.data.subarray(y * 10_000, (y + 1) * 10_000).entries()].filter(([, v]) => v);
    expect(onRow(5000).map(([x]) => x)).toEqual([1999, 7999]);
    expect(onRow(500)).toEqual([]);
  });

  it("owns its result and leaves its input alone", () => {
    const image = picture("texture", 120, 90, 3, 1);
    const before = image.data.slice();
    const edges = canny(image, 40, 120);
    const first = edges.data.slice();
    canny(picture("noise", 120, 90, 3, 2), 40, 120);
    expect(edges.data).toEqual(first);
    expect(image.data).toEqual(before);
    expect(edges.dtype).toBe("uint8");
    expect(edges.shape).toEqual([90, 120]);
    expect(edges.data.buffer.byteLength).toBe(90 * 120);
    expect(new Set(edges.data)).toEqual(new Set([0, 255]));
  });

  it("takes a gray picture as [h, w], as [h, w, 1], repeated to three channels and strided", () => {
    const gray = picture("texture", 75, 60, 1, 6);
    const edges = canny(gray, 40, 120).data;
    const column = gray.reshape([60, 75, 1]);
    expect(canny(column, 40, 120).data).toEqual(edges);
    const repeated = column.broadcastTo([60, 75, 3]);
    expect(canny(repeated, 40, 120).data).toEqual(edges);
    expect(canny(repeated.contiguous(), 40, 120).data).toEqual(edges);
    const everyOther = new NDArray("uint8", [30, 75], gray.data, [150, 1]);
    expect(canny(everyOther, 40, 120).data).toEqual(canny(everyOther.contiguous(), 40, 120).data);
  });

  it.each([
    ["image", "drop the alpha channel", () => canny(new NDArray("uint8", [2, 2, 4], new Uint8Array(16)), 1, 2)],
    ["image", "must be of shape", () => canny(new NDArray("uint8", [4], new Uint8Array(4)), 1, 2)],
    ["image", "must be of shape", () => canny(new NDArray("uint8", [1, 2, 2, 1], new Uint8Array(4)), 1, 2)],
    ["image", "has no pixels", () => canny(new NDArray("uint8", [0, 5, 3], new Uint8Array(0)), 1, 2)],
    ["image", "must be of dtype uint8", () => canny(new NDArray("float32", [1, 1], new Float32Array(1)), 1, 2)],
    ["image", "must be an NDArray", () => canny(new Uint8Array(4) as unknown as NDArray<DType>, 1, 2)],
    ["low", "must be a number", () => canny(picture("flat", 2, 2, 1, 1), "1" as unknown as number, 2)],
    ["high", "must be a number", () => canny(picture("flat", 2, 2, 1, 1), 1, undefined as unknown as number)],
  ])("refuses a bad %s: %s", (field, message, call) => {
    let error: unknown;
    try {
      call();
    } catch (thrown) {
      error = thrown;
    }
    expect(ServiceError.is(error) && error.code).toBe("INVALID_ARGUMENT");
    expect((error as ServiceError).message).toContain(message);
    expect((error as ServiceError).detail?.[0]?.path).toEqual([field]);
  });
});
