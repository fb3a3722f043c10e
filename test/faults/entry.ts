import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { STEADY_HEAP } from "./memory.ts";
import type { Rig } from "./rig.ts";

const SCRIPT = fileURLToPath(new URL("./entry-process.ts", import.meta.url));

/** An entry in a process of its own, which reaches the rig's service through its queue. */
export interface RunningEntry extends AsyncDisposable {
  readonly url: string;
  readonly process: ChildProcess;
}

export async function startEntry(name: "Entry" | "ControlNet", rig: Rig): Promise<RunningEntry> {
  const TANDEM_SERVICES = JSON.stringify({ [rig.service]: rig.location });
  const child = fork(SCRIPT, [name], { env: { ...process.env, ...rig.env, TANDEM_SERVICES }, execArgv: STEADY_HEAP });
  const exited = once(child, "exit");
  const url = await Promise.race([
    once(child, "message").then(([url]) => url as string),
    exited.then(([code]) => Promise.reject(new Error(`the entry ended with ${code}`))),
  ]);
  return {
    url,
    process: child,
    [Symbol.asyncDispose]: async () => {
      child.disconnect();
      await exited;
    },
  };
}
