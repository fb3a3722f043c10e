/** Prints which parts of OpenTelemetry's SDK a process loads that serves a call and stops, and the call's traceparent. */
import { registerHooks } from "node:module";

const loaded = new Set<string>();
registerHooks({
  resolve(specifier, context, next) {
    const name = /^@opentelemetry\/[^/]+/.exec(specifier)?.[0];
    // prom-client loads the API, which does nothing by itself.
    if (name && name !== "@opentelemetry/api") loaded.add(name);
    return next(specifier, context);
  },
});
const { deployLocally } = await import("../../contract/deployment.ts");
const { A, deployables } = await import("../../contract/fixture-service.ts");
const running = await deployLocally(deployables);
const hops = await running.client(A).hop({});
await running[Symbol.asyncDispose]();
console.log(JSON.stringify({ loaded: [...loaded].sort(), traceparents: hops.map(({ traceparent }) => traceparent) }));
