import { fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import type { AwsPeer } from "./peer.ts";

const SCRIPT = fileURLToPath(new URL("./fauxqs-process.ts", import.meta.url));

/** fauxqs in a process of its own. */
export interface Fauxqs extends AwsPeer {
  /** Ends it as a crash does. */
  kill(): Promise<void>;
}

/**
 * Starts fauxqs, an SQS server written in JavaScript. (Its S3 ignores conditions: it is no store for Tandem.)
 * @param options.dataDir folder that keeps the queues and messages; they are in memory only unless given.
 * @param options.port a free one unless given.
 */
export async function startFauxqs({ dataDir, port = 0 }: { dataDir?: string; port?: number } = {}): Promise<Fauxqs> {
  const child = fork(SCRIPT, dataDir === undefined ? [`${port}`] : [`${port}`, dataDir]);
  const exited = once(child, "exit");
  const started = once(child, "message") as Promise<[number]>;
  const [listening] = await Promise.race([
    started,
    exited.then(([code]) => Promise.reject(new Error(`fauxqs ended with ${code}`))),
  ]);
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    child.kill(signal);
    await exited;
  };
  return {
    endpoint: `http://127.0.0.1:${listening}`,
    stop: () => end("SIGTERM"),
    kill: () => end("SIGKILL"),
  };
}
