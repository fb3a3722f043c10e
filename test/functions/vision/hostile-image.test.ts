import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { createDeflate, deflateSync } from "node:zlib";
import sharp from "sharp";
import { describe, expect, test } from "vitest";
import { decodeImage } from "#functions/vision/decode-image.ts";
import { imageSize } from "#functions/vision/image-size.ts";
import { IMAGE_FORMATS, type ImageFormat, ImageValue } from "#shared/codec/image.ts";
import { ServiceError } from "#shared/errors/service-error.ts";
import { handmadePng as png, PNG_SIGNATURE as SIGNATURE } from "./handmade-png.ts";

/** `rows` rows of `rowBytes` zero bytes and their filter byte, deflated as a stream. */
async function zeroRows(rows: number, rowBytes: number): Promise<Buffer> {
  const deflate = createDeflate({ level: 9 });
  const row = Buffer.alloc(rowBytes + 1);
  const writing = (async () => {
    for (let y = 0; y < rows; y++) if (!deflate.write(row)) await new Promise((done) => deflate.once("drain", done));
    deflate.end();
  })();
  const parts: Buffer[] = [];
  for await (const part of deflate) parts.push(part);
  await writing;
  return Buffer.concat(parts);
}

const sample = (format: ImageFormat, width = 64, height = 48) => {
  const raw = Uint8Array.from({ length: width * height * 3 }, (_, i) => (i * i + (i >> 5)) % 256);
  return sharp(raw, { raw: { width, height, channels: 3 } })
    [format]()
    .toBuffer();
};

const decode = (bytes: Uint8Array, options = {}) => decodeImage(new ImageValue(bytes), options);

describe("not a picture of a format we take: 415, naming those we take", () => {
  const svg = '<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" width="10" height="10"/>';
  test.each<[string, () => Promise<Uint8Array> | Uint8Array]>([
    ["SVG", () => Buffer.from(svg)],
    [
      "TIFF",
      () =>
        sharp({ create: { width: 8, height: 8, channels: 3, background: "red" } })
          .tiff()
          .toBuffer(),
    ],
    ["PDF", () => Buffer.from("%PDF-1.7\n%....")],
    ["BMP", () => Buffer.concat([Buffer.from("BM"), Buffer.alloc(60)])],
    ["HEIC", () => Buffer.from("\0\0\0\x18ftypheic\0\0\0\0mif1heic", "latin1")],
    ["an MP4 film", () => Buffer.from("\0\0\0\x18ftypisom\0\0\0\0isommp42", "latin1")],
    ["a WAV sound", () => Buffer.from("RIFF\x24\0\0\0WAVEfmt ", "latin1")],
    ["text", () => Buffer.from("this is no image".repeat(100))],
    ["one byte", () => Buffer.from([0x89])],
    ["half a PNG signature", () => SIGNATURE.subarray(0, 4)],
    ["a JSON body", () => Buffer.from('{"image": "..."}')],
  ])("%s", async (_, make) => {
    const bytes = await make();
    const detail = [{ path: ["photo"], message: expect.stringContaining("png, jpeg, webp, avif, gif") }];
    const refused = { code: "UNSUPPORTED_MEDIA_TYPE", status: 415, detail };
    await expect(decode(bytes, { field: "photo" })).rejects.toMatchObject(refused);
    await expect(imageSize(new ImageValue(bytes, "png"), { field: "photo" })).rejects.toMatchObject(refused);
  });

  test("even past the sniffing, sharp has no loader for them", async () => {
    await imageSize(new ImageValue(await sample("png")));
    await expect(sharp(Buffer.from(svg)).metadata()).rejects.toThrow("unsupported image format");
  });
});

test("no bytes: 400", async () => {
  const detail = [{ path: ["image"], message: "the picture is empty" }];
  await expect(decode(new Uint8Array())).rejects.toMatchObject({ code: "INVALID_ARGUMENT", status: 400, detail });
});

describe("too large: 413 from the header, at once, with the numbers", () => {
  const oneBit = png(30_000, 30_000, deflateSync(Buffer.alloc(10)));

  test.each<[string, () => Promise<Buffer> | Buffer, string]>([
    ["a header of 30000 x 30000 with nothing behind", () => oneBit, "900000000"],
    ["a real 16000 x 16000 PNG of 1 bit", async () => png(16_000, 16_000, await zeroRows(16_000, 2000)), "256000000"],
    ["a row of 100 million pixels", () => png(100_000_000, 1, deflateSync(Buffer.alloc(9))), ""],
  ])("%s", async (_, make, number) => {
    const bytes = await make();
    await imageSize(new ImageValue(await sample("png")));
    const before = process.memoryUsage.rss();
    const start = performance.now();
    const error = await decode(bytes, { size: { width: 64, height: 64 } }).catch((thrown) => thrown);
    expect(error, error.message).toMatchObject({ code: "PAYLOAD_TOO_LARGE", status: 413 });
    expect(error.message).toContain(number);
    if (number) expect(error.message).toContain("128000000");
    await expect(imageSize(new ImageValue(bytes))).rejects.toMatchObject({ status: 413 });
    expect(performance.now() - start).toBeLessThan(1000);
    expect(process.memoryUsage.rss() - before).toBeLessThan(64 * 2 ** 20);
  });

  test("bytes and pixels, by limits of one's own", async () => {
    const bytes = await sample("png");
    const small = { limits: { maxBytes: bytes.length - 1 } };
    const message = `the picture has ${bytes.length} bytes; the limit is ${bytes.length - 1}`;
    await expect(decode(bytes, small)).rejects.toMatchObject({ status: 413, message });
    await expect(decode(bytes, { limits: { maxPixels: 64 * 48 - 1 } })).rejects.toMatchObject({ status: 413 });
    expect((await decode(bytes, { limits: { maxBytes: bytes.length, maxPixels: 64 * 48 } })).size).toBe(64 * 48 * 3);
  });
});

test("a 10000 x 10000 PNG is allowed, and brought to a small size in little memory", async () => {
  // A process of its own, for a memory peak of its own.
  const script = `
    import { readFileSync } from "node:fs";
    import { decodeImage } from ${JSON.stringify(new URL("../../../functions/vision/decode-image.ts", import.meta.url))};
    import { ImageValue } from ${JSON.stringify(new URL("../../../shared/codec/image.ts", import.meta.url))};
    const decode = (bytes) => decodeImage(new ImageValue(bytes), { size: { width: 64, height: 32 } });
    const chunks = []; for await (const chunk of process.stdin) chunks.push(chunk);
    const bytes = Buffer.concat(chunks);
    const before = process.resourceUsage().maxRSS;
    const { shape } = await decode(bytes);
    console.log(JSON.stringify({ shape, growth: (process.resourceUsage().maxRSS - before) / 1024 }));`;
  const run = promisify(execFile)(process.execPath, ["--input-type=module", "-e", script]);
  run.child.stdin?.end(png(10_000, 10_000, await zeroRows(10_000, 30_000), { depth: 8, color: 2 }));
  const { shape, growth } = JSON.parse((await run).stdout);
  expect(shape).toEqual([32, 64, 3]);
  // Whole, its pixels are 286 MiB. The figure has sharp's own 30 MiB in it.
  expect(growth).toBeLessThan(150);
});

describe("damaged: 400, pointing at the field", () => {
  test.each(IMAGE_FORMATS)("%s cut off anywhere never crashes; cut off in half it is refused", async (format) => {
    const bytes = await sample(format);
    for (const share of [0.3, 0.5, 0.8]) {
      const cut = bytes.subarray(0, Math.floor(bytes.length * share));
      const error = await decode(cut, { field: "photo" }).catch((thrown) => thrown);
      expect(error).toMatchObject({ code: "INVALID_ARGUMENT", detail: [{ path: ["photo"] }] });
      expect(error.message).toContain(format);
    }
    for (let length = 1; length < 64; length++) {
      const error = await decode(bytes.subarray(0, length)).catch((thrown) => thrown);
      expect([400, 415]).toContain(error.status);
    }
  });

  test.each([
    ["PNG signature, then junk", Buffer.concat([SIGNATURE, Buffer.alloc(200, 0x5a)])],
    ["JPEG signature, then junk", Buffer.concat([Buffer.from([0xff, 0xd8, 0xff, 0xe0]), Buffer.alloc(200, 0x5a)])],
    ["a header of the largest PNG there is", png(2 ** 31 - 1, 2 ** 31 - 1, deflateSync(Buffer.alloc(9)))],
    ["0 x 0 PNG", png(0, 0, deflateSync(Buffer.alloc(1)))],
    ["PNG whose rows are too few", png(64, 64, deflateSync(Buffer.alloc(20)))],
    ["PNG of an unknown colour type", png(8, 8, deflateSync(Buffer.alloc(200)), { depth: 8, color: 5 })],
    ["RIFF that says it is a WebP", Buffer.from("RIFF\xff\xff\xff\xffWEBPVP8X", "latin1")],
    ["AVIF with nothing but brands", Buffer.from("\0\0\0\x1cftypavif\0\0\0\0mif1avifmiaf", "latin1")],
    ["GIF with nothing but a header", Buffer.from("GIF89a\xff\xff\xff\xff\0\0\0", "latin1")],
  ])("%s", async (_, bytes) => {
    const error = await decode(bytes).catch((thrown) => thrown);
    expect(ServiceError.is(error), `${error}`).toBe(true);
    expect([400, 413]).toContain(error.status);
  });
});

test("hundreds of mutated files never crash, never hang, and give only 400, 413 or 415", async () => {
  let seed = 20_261_123;
  const random = (below: number) => {
    seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((seed / 2 ** 32) * below);
  };
  const originals = await Promise.all(IMAGE_FORMATS.map((format) => sample(format, 24, 16)));
  const mutate = (original: Buffer): Buffer => {
    const bytes = Buffer.from(original);
    for (let n = 1 + random(4); n > 0; n--) {
      // Headers are where lies hurt: half of all changes go there.
      const at = random(random(2) ? Math.min(64, bytes.length) : bytes.length);
      if (random(3) === 0) bytes.writeUInt32BE(random(2 ** 32), Math.min(at, bytes.length - 4));
      else bytes[at] = random(256);
    }
    return random(6) === 0 ? bytes.subarray(0, random(bytes.length)) : bytes;
  };
  const seen = new Set<number>();
  for (let round = 0; round < 100; round++)
    for (const original of originals) {
      const bytes = mutate(original);
      const size = round % 2 ? { width: 8, height: 8 } : undefined;
      try {
        const array = await decode(bytes, { size, limits: { maxPixels: 4e6 } });
        expect(array.size).toBe(array.shape.reduce((product, n) => product * n, 1));
        seen.add(200);
      } catch (error) {
        expect(ServiceError.is(error), `${error} for ${bytes.toString("base64")}`).toBe(true);
        const { status } = error as ServiceError;
        expect([400, 413, 415], bytes.toString("base64")).toContain(status);
        seen.add(status);
      }
    }
  expect(seen).toEqual(new Set([200, 400, 413, 415]));
});
