/**
 * How long `/livez` of the entry takes while it works: `node test/bench/livez.bench.ts`. One entry process, one model
 * process; probes follow each other on one connection for as long as the work lasts. The floor is the idle server.
 */
import { readFile } from "node:fs/promises";
import http from "node:http";
import { fileURLToPath } from "node:url";
import sharp from "sharp";
import { serveProject } from "../e2e/served-project.ts";
import { type BenchRow, figure, report } from "./bench-row.ts";

const ROUNDS = 5;
/** What the issue asks for, in milliseconds. */
const BOUND = 100;

export async function run(): Promise<BenchRow[]> {
  const small = await readFile(fileURLToPath(new URL("../../examples/cat-face.png", import.meta.url)));
  const large = await sharp({ create: { width: 10_000, height: 10_000, channels: 3, background: "#357" } })
    .png({ compressionLevel: 1 })
    .toBuffer();
  await using served = await serveProject(["--workers", "1"]);
  const post = async (api: string, picture: Uint8Array, fields: Record<string, unknown>): Promise<void> => {
    const body = new FormData();
    body.append("image", new Blob([picture as Uint8Array<ArrayBuffer>]), "picture.png");
    for (const [name, value] of Object.entries(fields)) body.append(name, JSON.stringify(value));
    const response = await fetch(`${served.url}/${api}`, { method: "POST", body });
    if (response.status !== 200) throw new Error(`${api} answered ${response.status}: ${await response.text()}`);
    await response.arrayBuffer();
  };
  const params = { prompt: "an orange cat on a blue background", seed: 1 };
  const works: Record<string, () => Promise<unknown>> = {
    "nothing is worked on": () => new Promise((resolve) => setTimeout(resolve, 1000)),
    "a 10000x10000 picture is worked on": () => post("edges", large, {}),
    "the model computes": () => post("generate", small, { params }),
    "both at once": () => Promise.all([post("edges", large, {}), post("generate", small, { params })]),
  };
  const rows: BenchRow[] = [];
  for (const [name, work] of Object.entries(works)) {
    const slowest: number[] = [];
    for (let round = 0; round < ROUNDS; round++) slowest.push(await slowestProbe(served.url, work));
    rows.push({ ...figure(`slowest /livez while ${name}`, slowest), value: Math.max(...slowest), bound: BOUND });
  }
  return rows;
}

async function slowestProbe(url: string, work: () => Promise<unknown>): Promise<number> {
  const agent = new http.Agent({ keepAlive: true });
  let busy = true;
  const done = work().finally(() => {
    busy = false;
  });
  let slowest = 0;
  while (busy) {
    const start = performance.now();
    await probe(agent, `${url}/livez`);
    slowest = Math.max(slowest, performance.now() - start);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  await done;
  agent.destroy();
  return slowest;
}

function probe(agent: http.Agent, url: string): Promise<void> {
  return new Promise((resolve, reject) => {
    http
      .get(url, { agent }, (response) => {
        response.resume();
        response.on("end", resolve);
      })
      .on("error", reject);
  });
}

if (import.meta.main) process.exitCode = report(await run()) > 0 ? 1 : 0;
