import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { type AddressInfo, connect, createServer } from "node:net";
import { setTimeout } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import type { AwsPeer } from "../../aws/peer.ts";

const run = promisify(execFile);

/** Where peers are installed at first need; git does not see it. */
export const PEERS = fileURLToPath(new URL("../../../.peers", import.meta.url));
/** Milliseconds: a JVM on a busy machine takes half a minute. */
const READY_TIMEOUT = 120_000;

/** A port of 127.0.0.1 that nobody listens on. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

/**
 * Runs a program to its end.
 * @param debian the Debian packages that have it.
 * @throws Error where it is missing, saying what to install, or where it fails.
 */
export async function runTool(
  [program, ...args]: [string, ...string[]],
  debian: string,
  options: { cwd?: string; env?: NodeJS.ProcessEnv } = {},
): Promise<void> {
  try {
    await run(program, args, { maxBuffer: 2 ** 26, ...options });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    throw new Error(`${program} is missing: apt-get install ${debian}`, { cause: error });
  }
}

/**
 * Starts a server and waits until it takes connections. It ends with this process at the latest.
 * @throws Error with what it wrote, where it ends or is not ready in two minutes.
 */
export async function startPeer(
  [program, ...args]: [string, ...string[]],
  port: number,
  options: { cwd?: string; env?: Record<string, string> } = {},
): Promise<AwsPeer> {
  const child = spawn(program, args, {
    stdio: ["ignore", "pipe", "pipe"],
    ...options,
    env: { ...process.env, ...options.env },
  });
  const kill = (): void => void child.kill("SIGKILL");
  process.once("exit", kill);
  let log = "";
  for (const stream of [child.stdout, child.stderr])
    stream.on("data", (chunk: Buffer) => {
      log = (log + chunk).slice(-5000);
    });
  let ended = false;
  const closed = once(child, "close").finally(() => {
    ended = true;
    process.removeListener("exit", kill);
  });
  closed.catch(() => {});
  const deadline = Date.now() + READY_TIMEOUT;
  while (!(await accepts(port))) {
    if (ended || Date.now() > deadline) {
      kill();
      throw new Error(`${program} ${ended ? "ended" : "takes no connections"}: ${log}`);
    }
    await setTimeout(50);
  }
  return {
    endpoint: `http://127.0.0.1:${port}`,
    stop: async () => {
      kill();
      await closed;
    },
  };
}

async function accepts(port: number): Promise<boolean> {
  const socket = connect(port, "127.0.0.1");
  try {
    await once(socket, "connect");
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}
