/** A process that serves {@link Mortal}: `dying-server.ts KIND [URL]`, says its URL to its parent. */
import { setTimeout as delay } from "node:timers/promises";
import type { RunningServer } from "#shared/http/server.ts";
import { deployable } from "#shared/index.ts";
import { Discovery } from "#shared/service/discovery.ts";
import { ServiceHost } from "#shared/service/host.ts";
import { SERVERS } from "./deployment.ts";
import { Mortal, MortalImpl } from "./dying-service.ts";

const [kind, url] = process.argv.slice(2) as [keyof typeof SERVERS, string | undefined];
const discovery = new Discovery([], {});
const host = await ServiceHost.start(
  deployable(Mortal, async () => ({ default: MortalImpl })),
  discovery,
);

async function start(): Promise<RunningServer> {
  while (true) {
    try {
      return await SERVERS[kind](host, discovery, url);
    } catch (error) {
      // Some other connection may have the port of the server that died; it goes.
      if ((error as NodeJS.ErrnoException).code !== "EADDRINUSE") throw error;
      await delay(50);
    }
  }
}
const server = await start();
process.once("disconnect", () => process.exit(0));
process.send!(server.url);
