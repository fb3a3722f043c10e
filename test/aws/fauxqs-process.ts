/** The process of `startFauxqs`: `node fauxqs-process.ts PORT [FOLDER]` says its port to its parent, and ends with it. */
import { type ListenOptions, Server } from "node:net";
import { startFauxqs } from "fauxqs";
import { mendDatabase } from "#shared/serve/mend-fauxqs.ts";

// fauxqs listens on every interface and has no option for another; here the machine itself is enough.
const { listen } = Server.prototype;
Server.prototype.listen = function (this: Server, options: ListenOptions, ...rest: (() => void)[]) {
  return listen.call(this, { ...options, host: "127.0.0.1" }, ...rest);
} as typeof listen;

const [port, dataDir] = process.argv.slice(2);
mendDatabase();
process.on("disconnect", () => process.exit());
const server = await startFauxqs({ port: Number(port), logger: false, ...(dataDir && { dataDir }) });
process.send!(server.port);
