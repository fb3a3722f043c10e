import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { canny } from "#functions/vision/canny.ts";
import { decodeImage } from "#functions/vision/decode-image.ts";
import { ControlNet } from "#shared/contracts/controlnet.ts";
import { type Client, ImageValue, type NDArray } from "#shared/index.ts";
import { loadProject } from "#shared/serve/project.ts";
import { clientOf } from "#shared/service/client.ts";
import { Discovery } from "#shared/service/discovery.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
/** The model's native size, at which the edges are taken and the picture comes out. */
const SIDE = 128;

/** The colours that the model was taught by name. */
const COLOURS = {
  red: [214, 38, 38],
  orange: [245, 130, 32],
  yellow: [250, 208, 44],
  green: [52, 168, 70],
  cyan: [40, 196, 206],
  blue: [44, 92, 222],
  purple: [136, 62, 196],
  pink: [247, 120, 178],
  brown: [128, 78, 44],
  white: [244, 244, 244],
  gray: [140, 142, 148],
  black: [34, 34, 38],
} as const;
type Colour = keyof typeof COLOURS;

const PICTURES = ["house", "star", "teapot", "cat-face"] as const;
const PROMPTS: [object: Colour, background: Colour][] = [
  ["red", "yellow"],
  ["green", "white"],
  ["pink", "blue"],
];

interface Outcome {
  name: string;
  precision: number;
  recall: number;
  /** Precision against the edges of another picture. */
  elsewhere: number;
  object: Colour;
  background: Colour;
}

/** Pixels of `a` that have one of `b` within a pixel's distance, as a share of `a`'s. */
function share(a: NDArray<"uint8">, b: NDArray<"uint8">): number {
  let found = 0;
  let all = 0;
  for (let y = 0; y < SIDE; y++)
    for (let x = 0; x < SIDE; x++) {
      if (!a.data[y * SIDE + x]) continue;
      all++;
      let near = false;
      for (let v = Math.max(0, y - 1); v <= Math.min(SIDE - 1, y + 1); v++)
        for (let u = Math.max(0, x - 1); u <= Math.min(SIDE - 1, x + 1); u++) near ||= b.data[v * SIDE + u] !== 0;
      if (near) found++;
    }
  return found / all;
}

/** CIE L*a*b* of an sRGB colour (IEC 61966-2-1, D65). */
function lab([r, g, b]: readonly number[]): [number, number, number] {
  const [R, G, B] = [r!, g!, b!].map((byte) => {
    const c = byte / 255;
    return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  }) as [number, number, number];
  const f = (t: number): number => (t > 216 / 24389 ? Math.cbrt(t) : (t * 24389) / 27 / 116 + 16 / 116);
  const x = f((0.4124 * R + 0.3576 * G + 0.1805 * B) / 0.9505);
  const y = f(0.2126 * R + 0.7152 * G + 0.0722 * B);
  const z = f((0.0193 * R + 0.1192 * G + 0.9505 * B) / 1.089);
  return [116 * y - 16, 500 * (x - y), 200 * (y - z)];
}

/** The named colour nearest to a region's median; lightness counts half, since objects are shaded. */
function colourOf(pixels: NDArray<"uint8">, region: boolean[]): Colour {
  const median = [0, 1, 2].map((channel) => {
    const values = region.flatMap((inside, at) => (inside ? [pixels.data[at * 3 + channel]!] : []));
    return values.sort((a, b) => a - b)[values.length >> 1]!;
  });
  const [l, a, b] = lab(median);
  const distance = (colour: Colour): number => {
    const [L, A, B] = lab(COLOURS[colour]);
    return (l - L) ** 2 / 2 + (a - A) ** 2 + (b - B) ** 2;
  };
  return (Object.keys(COLOURS) as Colour[]).reduce((best, next) => (distance(next) < distance(best) ? next : best));
}

/** Pixels whose whole neighbourhood is of the background's colour, or whose whole neighbourhood is not. */
function region(pixels: NDArray<"uint8">, isObject: boolean): boolean[] {
  const [r, g, b] = pixels.data;
  const object = (x: number, y: number): boolean => {
    const at = (Math.min(SIDE - 1, Math.max(0, y)) * SIDE + Math.min(SIDE - 1, Math.max(0, x))) * 3;
    const { data } = pixels;
    return Math.abs(data[at]! - r!) + Math.abs(data[at + 1]! - g!) + Math.abs(data[at + 2]! - b!) > 60;
  };
  return Array.from({ length: SIDE * SIDE }, (_, at) => {
    const [x, y] = [at % SIDE, Math.floor(at / SIDE)];
    const margin = 3;
    return [-margin, 0, margin].every((dy) => [-margin, 0, margin].every((dx) => object(x + dx, y + dy) === isObject));
  });
}

describe("the bundled model, through both services", () => {
  let discovery: Discovery;
  const outcomes: Outcome[] = [];

  beforeAll(async () => {
    // Rendered before anything of ours loads sharp, which then reads no SVG any more.
    const files = await Promise.all(
      PICTURES.map(async (name) =>
        sharp(await readFile(`${ROOT}test/fixtures/pictures/${name}.svg`))
          .resize(512, 512)
          .png()
          .toBuffer(),
      ),
    );
    const project = await loadProject(ROOT);
    discovery = new Discovery(project.deployables, {});
    const client: Client<typeof ControlNet> = clientOf(ControlNet, () => discovery.transportOf(ControlNet));
    const sources = await Promise.all(
      files.map((file) => decodeImage(new ImageValue(file), { size: { width: SIDE, height: SIDE } })),
    );
    const conditions = sources.map((source) => canny(source, 100, 200));
    for (const [index, name] of PICTURES.entries())
      for (const [object, background] of PROMPTS) {
        const prompt = `a ${object} ${name.split("-")[0]} on a ${background} background`;
        const result = await client.generate({ image: new ImageValue(files[index]!), params: { prompt, seed: 1 } });
        const pixels = await decodeImage(result);
        const edges = canny(pixels, 100, 200);
        outcomes.push({
          name: `${prompt}, edges of ${name}`,
          precision: share(edges, conditions[index]!),
          recall: share(conditions[index]!, edges),
          elsewhere: share(edges, conditions[(index + 1) % PICTURES.length]!),
          object: colourOf(pixels, region(sources[index]!, true)),
          background: colourOf(pixels, region(sources[index]!, false)),
        });
      }
  }, 180_000);
  afterAll(() => discovery?.close());

  it("draws the result's edges where the input's are", () => {
    for (const { name, precision, recall } of outcomes) {
      expect(precision, `precision of ${name}`).toBeGreaterThan(0.85);
      expect(recall, `recall of ${name}`).toBeGreaterThan(0.8);
    }
  });

  it("follows its own input, not just any edges", () => {
    for (const { name, precision, elsewhere } of outcomes)
      expect(precision - elsewhere, `${name} against another picture's edges`).toBeGreaterThan(0.3);
  });

  it("paints the background in the prompt's colour every time, the object nine times in ten", () => {
    const wanted = PICTURES.flatMap(() => PROMPTS);
    const right = (part: "object" | "background", at: 0 | 1): number =>
      outcomes.filter((outcome, index) => outcome[part] === wanted[index]![at]).length;
    expect(right("background", 1)).toBe(outcomes.length);
    expect(right("object", 0) / outcomes.length).toBeGreaterThanOrEqual(0.9);
  });
});
