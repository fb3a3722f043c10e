/**
 * Every benchmark: `npm run bench [name ...]`. Prints a table and exits 1 when a figure is over its bound. Ratios are to
 * a peer or to the raw floor in the same run; see each file's head for how it measures.
 */
import { type BenchRow, report } from "./bench-row.ts";

const BENCHES: Record<string, () => Promise<{ run: () => Promise<BenchRow[]> }>> = {
  canny: () => import("./canny.bench.ts"),
  transport: () => import("./transport.bench.ts"),
  bentoml: () => import("./bentoml.bench.ts"),
  queue: () => import("./queue.bench.ts"),
  livez: () => import("./livez.bench.ts"),
  pipeline: () => import("./pipeline.bench.ts"),
  memory: () => import("./memory.bench.ts"),
  batching: () => import("./batching.bench.ts"),
  "cold-start": () => import("./cold-start.bench.ts"),
};

const asked = process.argv.slice(2);
const unknown = asked.filter((name) => !(name in BENCHES));
if (unknown.length > 0) {
  console.error(`no bench ${unknown.join(", ")}; there are ${Object.keys(BENCHES).join(", ")}`);
  process.exit(2);
}

let over = 0;
for (const [name, load] of Object.entries(BENCHES)) {
  if (asked.length > 0 && !asked.includes(name)) continue;
  console.log(`\n${name}`);
  const { run } = await load();
  over += report(await run());
}
if (over > 0) console.error(`${over} over their bound`);
process.exit(over > 0 ? 1 : 0);
