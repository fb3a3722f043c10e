import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, rename, rm } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import sharp from "sharp";
import { canny } from "#functions/vision/canny.ts";
import { NDArray } from "#shared/codec/ndarray.ts";
import heldOut from "../../gpu-worker/training/held-out-emoji.json" with { type: "json" };
import { COLOUR_NAMES, type Colour } from "./measures.ts";

const run = promisify(execFile);
const PACKAGES = fileURLToPath(new URL("../../.venv/packages", import.meta.url));
/** As in gpu-worker/training/packages.py, which checks what it fetches and lays it out in the same way. */
const EMOJI = { name: "@lobehub/fluent-emoji-3d", version: "1.1.0" };
/** What the edges are taken against: the edge map of a user's picture owes nothing to the prompt. */
const BACKDROPS = ["#f4f4f4", "#285ac8", "#3c3c40", "#d8c48c"];

export interface Case {
  prompt: string;
  object: Colour;
  background: Colour;
  /** uint8 [side, side], 0 and 255. */
  edges: NDArray<"uint8">;
  /** Pixels that are the object's, and the background's, each away from the outline. */
  onObject: boolean[];
  onBackground: boolean[];
}

/**
 * Edge maps and prompts of emoji that nobody trained on: the first `count` of a fixed list, in which each emoji comes with
 * several sizes, places, prompts and backdrops.
 */
export async function heldOutCases(count: number, side: number): Promise<Case[]> {
  const assets = await fetchAssets();
  const emoji = Object.entries(heldOut);
  return Promise.all(
    Array.from({ length: count }, async (_, index) => {
      const [stem, name] = emoji[index % emoji.length]!;
      return makeCase(`${assets}/${stem}.webp`, name, index, side);
    }),
  );
}

async function makeCase(file: string, name: string, index: number, side: number): Promise<Case> {
  const random = generator(index);
  const size = Math.round(side * (0.55 + 0.37 * random()));
  const place = (): number => Math.round((side - size) * random());
  const [left, top] = [place(), place()];
  const backdrop = BACKDROPS[Math.floor(index / Object.keys(heldOut).length) % BACKDROPS.length]!;
  const sprite = sharp(file).resize(size, size);
  const placed = { left, top, right: side - size - left, bottom: side - size - top };
  const layer = sharp(await (random() < 0.5 ? sprite.flop() : sprite).ensureAlpha().png().toBuffer()).extend({
    ...placed,
    background: { r: 0, g: 0, b: 0, alpha: 0 },
  });
  const { data: rgba } = await layer.raw().toBuffer({ resolveWithObject: true });
  const flat = await sharp(rgba, { raw: { width: side, height: side, channels: 4 } })
    .flatten({ background: backdrop })
    .raw()
    .toBuffer();
  const alpha = Array.from({ length: side * side }, (_, at) => rgba[at * 4 + 3]!);
  const object = COLOUR_NAMES[Math.floor(random() * COLOUR_NAMES.length)]!;
  const others = COLOUR_NAMES.filter((colour) => colour !== object);
  const background = others[Math.floor(random() * others.length)]!;
  return {
    prompt: promptFor(plainName(name), object, background, index),
    object,
    background,
    edges: canny(new NDArray("uint8", [side, side, 3], Uint8Array.from(flat)), 100, 200),
    onObject: everywhereNear(alpha, side, 2, (value) => value > 200),
    onBackground: everywhereNear(alpha, side, 4, (value) => value < 10),
  };
}

/** The colour words of a name would contradict the prompt's: "orange heart". */
function plainName(name: string): string {
  const words = name.split(" ").filter((word) => !COLOUR_NAMES.includes(word as Colour));
  return words.join(" ");
}

function promptFor(name: string, object: Colour, background: Colour, index: number): string {
  const article = (word: string): string => `${"aeiou".includes(word[0]!) ? "an" : "a"} ${word}`;
  const thing = `${object} ${name}`;
  return [
    `${article(thing)} on ${article(background)} background`,
    `${background} background, ${thing}`,
    `a photo of ${article(thing)} on ${article(background)} background, best quality`,
  ][index % 3]!;
}

/** Pixels of which all within `margin` pixels each way, inside the picture, pass `test`. */
function everywhereNear(values: number[], side: number, margin: number, test: (value: number) => boolean): boolean[] {
  const clamp = (at: number): number => Math.min(side - 1, Math.max(0, at));
  return values.map((_, at) => {
    const [x, y] = [at % side, Math.floor(at / side)];
    for (let v = y - margin; v <= y + margin; v++)
      for (let u = x - margin; u <= x + margin; u++) if (!test(values[clamp(v) * side + clamp(u)]!)) return false;
    return true;
  });
}

/** Numbers in [0, 1) that are a seed's own (mulberry32). */
function generator(seed: number): () => number {
  let state = (seed + 1) * 0x9e3779b9;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** The folder of the emoji package's pictures, fetched the first time. */
async function fetchAssets(): Promise<string> {
  const folder = `${PACKAGES}/${EMOJI.name.replace("/", "+")}@${EMOJI.version}`;
  if (!existsSync(folder)) {
    const partial = `${folder}.partial`;
    await rm(partial, { recursive: true, force: true });
    await mkdir(partial, { recursive: true });
    const { stdout } = await run("npm", ["pack", "--silent", `${EMOJI.name}@${EMOJI.version}`], { cwd: partial });
    const archive = stdout.trim().split("\n").at(-1)!;
    await run("tar", ["-xzf", archive], { cwd: partial });
    await rm(`${partial}/${archive}`);
    await rename(partial, folder);
  }
  return `${folder}/package/assets`;
}
