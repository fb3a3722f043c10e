import { readFile } from "node:fs/promises";
import { expect, it } from "vitest";
import { NDArray } from "#shared/codec/ndarray.ts";
import { COLOURS, colourOf, nearShare } from "./measures.ts";

/** A picture of rows of characters, on where they are not dots. */
function edges(...rows: string[]): NDArray<"uint8"> {
  const data = Uint8Array.from(rows.join(""), (character) => (character === "." ? 0 : 255));
  return new NDArray("uint8", [rows.length, rows[0]!.length], data);
}

it("an edge within the tolerance is found, one further away is not", () => {
  const ours = edges("#....", ".....", "....#");
  const theirs = edges(".....", ".#...", ".....");
  expect(nearShare(ours, theirs, 1)).toBe(0.5);
  expect(nearShare(ours, theirs, 3)).toBe(1);
  expect(nearShare(theirs, ours, 1)).toBe(1);
  expect(nearShare(ours, edges(".....", ".....", "....."), 3)).toBe(0);
});

it("no edges at all are not a success", () => {
  expect(nearShare(edges("..", ".."), edges("##", "##"), 1)).toBe(0);
});

it("the colour is that of the region's median, whatever lies outside and shines inside", () => {
  const pixels = new NDArray(
    "uint8",
    [1, 5, 3],
    Uint8Array.from([...COLOURS.blue, 230, 110, 20, ...COLOURS.orange, 255, 255, 255, 250, 140, 45]),
  );
  expect(colourOf(pixels, [false, true, true, true, true])).toBe("orange");
  expect(colourOf(pixels, [true, false, false, false, false])).toBe("blue");
});

it("every named colour is nearest to itself, and is what the training paints with that name", async () => {
  const source = await readFile(new URL("../../gpu-worker/training/colours.py", import.meta.url), "utf8");
  const painted = Object.fromEntries(
    [...source.matchAll(/^ {4}"(\w+)": \((\d+), (\d+), (\d+)\),$/gm)].map(([, name, ...rgb]) => [
      name,
      rgb.map(Number),
    ]),
  );
  expect(painted).toEqual(COLOURS);
  for (const [name, rgb] of Object.entries(COLOURS))
    expect(colourOf(new NDArray("uint8", [1, 1, 3], Uint8Array.from(rgb)), [true])).toBe(name);
});
