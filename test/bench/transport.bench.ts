/**
 * The bare cost of a call on each transport: `node test/bench/transport.bench.ts`. An array goes to a service that gives
 * it back. The floor in the same round is node:http over a unix socket moving the same bytes, with no codec around it.
 * Wall time a call, sequential, the median of a round; a ratio is the median of the rounds' ratios.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import http from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { createClient, NDArray } from "#shared/index.ts";
import { ServiceHost } from "#shared/service/host.ts";
import { LocalTransport } from "#shared/transport/local.ts";
import { type BenchRow, figure, median, report } from "./bench-row.ts";
import { Echo, EchoImpl } from "./transport-service.ts";

const ROUNDS = 7;
const SIZES = [
  { side: 64, calls: 300, label: "12 kB each way" },
  { side: 1024, calls: 40, label: "3 MB each way" },
] as const;

export async function run(): Promise<BenchRow[]> {
  const folder = mkdtempSync(join(tmpdir(), "tandem-bench-"));
  const [socket, rawSocket] = [join(folder, "tandem.sock"), join(folder, "raw.sock")];
  const script = fileURLToPath(new URL("./transport-service.ts", import.meta.url));
  const server = spawn(process.execPath, [script, socket, rawSocket], { stdio: ["ignore", "pipe", "inherit"] });
  const [line] = (await once(server.stdout, "data")) as [Buffer];
  const host = new ServiceHost(Echo, new EchoImpl());
  await host.start();
  await using unix = createClient(Echo, { url: `unix:${socket}` });
  await using tcp = createClient(Echo, { url: String(line).trim() });
  await using local = createClient(Echo, { transport: new LocalTransport(host) });
  const agent = new http.Agent({ keepAlive: true });
  try {
    const rows: BenchRow[] = [];
    for (const { side, calls, label } of SIZES) {
      const arr = new NDArray("uint8", [side, side, 3], new Uint8Array(side * side * 3).fill(7));
      const ways = {
        floor: () => rawCall(agent, rawSocket, arr.data),
        "http, unix socket": () => unix.echo({ arr }),
        "http, TCP": () => tcp.echo({ arr }),
        local: () => local.echo({ arr }),
      };
      const times = await alternate(ways, calls);
      for (const [name, all] of Object.entries(times))
        rows.push(
          name === "floor"
            ? figure(`call, ${label}: floor, node:http over a unix socket`, all)
            : figure(`call, ${label}: ${name}`, all, times.floor),
        );
    }
    return rows;
  } finally {
    agent.destroy();
    server.kill();
    rmSync(folder, { recursive: true });
  }
}

/** Median milliseconds a call, one value a round, the ways taking turns. */
async function alternate(
  ways: Record<string, () => Promise<unknown>>,
  calls: number,
): Promise<Record<string, number[]>> {
  const times: Record<string, number[]> = Object.fromEntries(Object.keys(ways).map((name) => [name, []]));
  for (let round = -1; round < ROUNDS; round++)
    for (const [name, call] of Object.entries(ways)) {
      const all: number[] = [];
      for (let i = 0; i < calls; i++) {
        const start = performance.now();
        await call();
        all.push(performance.now() - start);
      }
      if (round >= 0) times[name]!.push(median(all));
    }
  return times;
}

function rawCall(agent: http.Agent, socketPath: string, body: Uint8Array): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const headers = { "content-length": body.byteLength };
    const request = http.request({ socketPath, agent, method: "POST", headers }, (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("end", () => resolve(Buffer.concat(chunks)));
    });
    request.on("error", reject);
    request.end(body);
  });
}

if (import.meta.main) report(await run());
