/**
 * How well a model draws what it is asked for: `npm run quality -- [--model FOLDER] [--cases N] [--side PIXELS] [--sheet FILE]`.
 * Draws held-out edge maps and prompts with the API's defaults, prints the figures, writes a contact sheet of the first ones,
 * and exits 1 when a figure is under its bound. The emoji come from npm the first time.
 */
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { canny } from "#functions/vision/canny.ts";
import { PipelineThread } from "#gpu-worker/runtime/pipeline-thread.ts";
import { type SheetCell, writeContactSheet } from "./contact-sheet.ts";
import { type Case, heldOutCases } from "./held-out-cases.ts";
import { type Colour, colourOf, nearShare } from "./measures.ts";

const BUNDLED = fileURLToPath(new URL("../../gpu-worker/model", import.meta.url));
const ON_SHEET = 48;
/** Of the mean over all cases; F1 has to be this much over the one with another case's edges. */
const BOUNDS = { f1: 0.85, precision: 0.96, over: 0.3, object: 0.95, background: 0.98 };

const { values } = parseArgs({
  options: {
    model: { type: "string", default: BUNDLED },
    cases: { type: "string", default: "240" },
    side: { type: "string", default: "128" },
    sheet: { type: "string" },
  },
});
const side = Number(values.side);
const tolerance = Math.max(1, Math.round(side / 64));
const cases = await heldOutCases(Number(values.cases), side);
const thread = await PipelineThread.start(values.model);

interface Outcome {
  precision: number;
  recall: number;
  wrongPrecision: number;
  wrongRecall: number;
  object: Colour;
  background: Colour;
  seconds: number;
}
const outcomes: Outcome[] = [];
const cells: SheetCell[] = [];

for (const [index, one] of cases.entries()) {
  const started = performance.now();
  const { images } = await thread.generate({ prompt: one.prompt, image: one.edges, seed: index });
  const seconds = (performance.now() - started) / 1000;
  const picture = images[0]!;
  const edges = canny(picture, 100, 200);
  // Its own emoji comes again after so many cases; half of that is another one.
  const wrong = cases[(index + 31) % cases.length]!.edges;
  outcomes.push({
    precision: nearShare(edges, one.edges, tolerance),
    recall: nearShare(one.edges, edges, tolerance),
    wrongPrecision: nearShare(edges, wrong, tolerance),
    wrongRecall: nearShare(wrong, edges, tolerance),
    object: colourOf(picture, one.onObject),
    background: colourOf(picture, one.onBackground),
    seconds,
  });
  if (cells.length < ON_SHEET) cells.push({ pictures: [one.edges, picture], caption: one.prompt });
  if ((index + 1) % 20 === 0) console.error(`${index + 1} of ${cases.length}`);
}
await thread.close();
if (values.sheet) await writeContactSheet(values.sheet, cells);

const mean = (of: (outcome: Outcome, index: number) => number): number =>
  outcomes.reduce((sum, outcome, index) => sum + of(outcome, index), 0) / outcomes.length;
const f1 = (precision: number, recall: number): number => (2 * precision * recall) / (precision + recall);
const wanted = (part: "object" | "background") => (outcome: Outcome, index: number) =>
  Number(outcome[part] === cases[index]![part]);

const precision = mean((outcome) => outcome.precision);
const recall = mean((outcome) => outcome.recall);
const found = {
  f1: f1(precision, recall),
  precision,
  recall,
  "f1 with another case's edges": f1(
    mean((outcome) => outcome.wrongPrecision),
    mean((outcome) => outcome.wrongRecall),
  ),
  object: mean(wanted("object")),
  background: mean(wanted("background")),
  "seconds a picture": mean((outcome) => outcome.seconds),
};
console.log(`${outcomes.length} held-out cases, ${side} px, edges within ${tolerance} px, the API's defaults`);
for (const [name, value] of Object.entries(found)) console.log(`  ${name.padEnd(30)} ${value.toFixed(3)}`);
for (const part of ["object", "background"] as const)
  console.log(`  ${part} missed: ${misses(cases, part) || "never"}`);

const under = [
  found.f1 < BOUNDS.f1 && "f1",
  found.precision < BOUNDS.precision && "precision",
  found.f1 - found["f1 with another case's edges"] < BOUNDS.over && "f1 over that with another case's edges",
  found.object < BOUNDS.object && "object",
  found.background < BOUNDS.background && "background",
].filter(Boolean);
if (under.length > 0) console.error(`under the bound: ${under.join(", ")}`);
process.exitCode = under.length > 0 ? 1 : 0;

/** "wanted as found" with how often, most first. */
function misses(all: Case[], part: "object" | "background"): string {
  const counts = new Map<string, number>();
  for (const [index, outcome] of outcomes.entries()) {
    if (outcome[part] === all[index]![part]) continue;
    const miss = `${all[index]![part]} as ${outcome[part]}`;
    counts.set(miss, (counts.get(miss) ?? 0) + 1);
  }
  return [...counts]
    .sort((a, b) => b[1] - a[1])
    .map(([miss, count]) => `${miss} ${count}`)
    .join(", ");
}
