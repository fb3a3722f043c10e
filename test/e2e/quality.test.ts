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
import { type Colour, colourOf, nearShare } from "../quality/measures.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
/** The model's native size, at which the edges are taken and the picture comes out. */
const SIDE = 128;

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
          precision: nearShare(edges, conditions[index]!, 1),
          recall: nearShare(conditions[index]!, edges, 1),
          elsewhere: nearShare(edges, conditions[(index + 1) % PICTURES.length]!, 1),
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
