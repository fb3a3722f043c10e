import { once } from "node:events";
import { mkdirSync, rmSync, statSync } from "node:fs";
import http from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Health } from "./worker-messages.ts";

/** Longest that a question may take: less than the health check's own timeout. */
const ASK_MS = 8_000;

export interface HealthServer {
  close(): Promise<void>;
}

/** What the health server tells. */
export interface HealthSource {
  health(): Promise<Health>;
  /** As Prometheus reads them. */
  metricsText(): Promise<string>;
}

/** A container's own folder, for its sockets. */
export function runFolderOf({ TANDEM_RUN_DIR }: NodeJS.ProcessEnv = process.env): string {
  return TANDEM_RUN_DIR || join(tmpdir(), "tandem-run");
}

/** The socket in a container's run folder that says how the container is. */
export function healthSocket(runFolder: string): string {
  return join(runFolder, "health.sock");
}

/**
 * Answers `/livez`, `/readyz` and `/metrics` on a socket that nobody outside of the container reaches: there on the
 * host's network, too, where another container may have the port.
 * @throws Error where the run folder is somebody else's.
 */
export async function serveHealth(runFolder: string, source: HealthSource): Promise<HealthServer> {
  mkdirSync(runFolder, { recursive: true, mode: 0o700 });
  const { uid, mode } = statSync(runFolder);
  if (uid !== process.getuid?.() || (mode & 0o022) !== 0)
    throw new Error(`${runFolder} can be written to by others: name a folder of this user's own in TANDEM_RUN_DIR`);
  const path = healthSocket(runFolder);
  rmSync(path, { force: true });
  const server = http.createServer((request, response) => {
    answer(request.url ?? "/", source).then(
      ({ status, text }) => response.writeHead(status, { "content-type": "text/plain" }).end(text),
      () => response.writeHead(503).end("\n"),
    );
  });
  server.listen(path);
  await once(server, "listening");
  return {
    close: async () => {
      const closed = once(server, "close");
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

async function answer(url: string, source: HealthSource): Promise<{ status: number; text: string }> {
  if (url === "/metrics") return { status: 200, text: await source.metricsText() };
  const { live, ready } = await source.health();
  if (url === "/livez") return { status: live ? 200 : 503, text: "\n" };
  if (url === "/readyz") return { status: ready ? 200 : 503, text: "\n" };
  return { status: 404, text: "/livez, /readyz and /metrics are here\n" };
}

/** Asks a container's health server. @returns whether it says yes; false, too, where nobody answers in 8 seconds. */
export async function askHealth(runFolder: string, path: "/livez" | "/readyz"): Promise<boolean> {
  const request = http.get({ socketPath: healthSocket(runFolder), path, signal: AbortSignal.timeout(ASK_MS) });
  try {
    const [response] = (await once(request, "response")) as [http.IncomingMessage];
    response.resume();
    return response.statusCode === 200;
  } catch {
    return false;
  }
}
