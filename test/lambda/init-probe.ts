/** Loads a handler's bundle and says which modules that loaded, and whether anything was connected to. */
import { readFileSync } from "node:fs";
import { registerHooks } from "node:module";
import net from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";

export interface InitReport {
  /** Modules by name, without Node's own, up to the end of each step. */
  readonly init: string[];
  readonly livez: string[];
  readonly edges: string[];
  readonly connections: number;
  /** Of the modules that are loaded up to the end of `init`. */
  readonly bytes: number;
  /** Node's own that `init` loaded. */
  readonly builtins: string[];
}

const [, , bundle, picture] = process.argv;
const loaded = new Set<string>();
registerHooks({
  resolve: (specifier, context, next) => {
    const resolved = next(specifier, context);
    if (resolved.url.startsWith("file:")) loaded.add(fileURLToPath(resolved.url));
    return resolved;
  },
});
let connections = 0;
const { connect } = net.Socket.prototype;
net.Socket.prototype.connect = function (this: net.Socket, ...args: Parameters<typeof connect>) {
  connections++;
  return connect.apply(this, args);
} as typeof connect;

// Node's type for `process` has no moduleLoadList, which Node's own tests look at.
const builtins = (): string[] => (process as unknown as { moduleLoadList: string[] }).moduleLoadList;
const before = new Set(builtins());
const { handler } = (await import(`file://${bundle}`)) as {
  handler: (event: object, context: object) => Promise<{ statusCode?: number; output?: string }>;
};
// The service starts by itself.
await delay(200);
const init = [...loaded];
const ofNode = builtins().filter((name) => !before.has(name));
const bytes = init.reduce((sum, path) => sum + readFileSync(path).byteLength, 0);
// It has node:crypto with it.
const { lambdaContext } = await import("./lambda-context.ts");
const requestContext = { http: { method: "GET" }, domainName: "x.lambda-url.us-east-1.on.aws" };
const event = { version: "2.0", rawPath: "/livez", rawQueryString: "", headers: {}, requestContext };
const { statusCode } = await handler(event, lambdaContext());
if (statusCode !== 200) throw new Error(`/livez: ${statusCode}`);
const livez = [...loaded];
const idle = connections;
const input = { image: readFileSync(picture!).toString("base64") };
const answer = await handler({ api: "edges", input }, lambdaContext());
if (!answer.output) throw new Error(JSON.stringify(answer));
const report: InitReport = { init, livez, edges: [...loaded], connections: idle, bytes, builtins: ofNode };
console.log(JSON.stringify(report));
process.exit(0);
