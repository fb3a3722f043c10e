/**
 * What happens when things fail or are too much: `npm run faults [name ...]`. Prints a table each and exits 1 when a figure
 * is over its bound; see each file's head for what it does.
 */
import { type BenchRow, report } from "../bench/bench-row.ts";

const FAULTS: Record<string, () => Promise<{ run: () => Promise<BenchRow[]> }>> = {
  chaos: () => import("./chaos.ts"),
  poison: () => import("./poison.ts"),
  overload: () => import("./overload.ts"),
  overlap: () => import("./overlap.ts"),
};

const asked = process.argv.slice(2);
const unknown = asked.filter((name) => !(name in FAULTS));
if (unknown.length > 0) {
  console.error(`no faults ${unknown.join(", ")}; there are ${Object.keys(FAULTS).join(", ")}`);
  process.exit(2);
}

let over = 0;
for (const [name, load] of Object.entries(FAULTS)) {
  if (asked.length > 0 && !asked.includes(name)) continue;
  console.log(`\n${name}`);
  const { run } = await load();
  over += report(await run());
}
if (over > 0) console.error(`${over} over their bound`);
process.exit(over > 0 ? 1 : 0);
