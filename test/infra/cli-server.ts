/** The side of SST's command that a program talks to while it runs: JSON-RPC over HTTP, of cmd/sst/mosaic and pkg/server. */
import { once } from "node:events";
import { existsSync, mkdirSync, renameSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { json } from "node:stream/consumers";
import { buildHandler } from "./build-handler.ts";
import { ACCOUNT } from "./mocked-outputs.ts";
import type { Pending } from "./pending.ts";

/** What SST's node runtime is asked to build. */
export interface BuildInput {
  readonly functionID: string;
  readonly handler: string;
  readonly runtime: string;
  readonly properties: Record<string, unknown>;
}

export interface CliCall {
  readonly method: string;
  readonly params: unknown;
}

export interface CliServer extends AsyncDisposable {
  readonly url: string;
  readonly calls: readonly CliCall[];
}

/** @param bundle whether functions are really bundled; otherwise each is an empty handler. */
export async function startCliServer(
  region: string,
  { bundle, pending }: { bundle: boolean; pending: Pending },
): Promise<CliServer> {
  const calls: CliCall[] = [];
  const methods: Record<string, (params: never) => unknown> = {
    "Provider.Aws.Bootstrap": () => ({
      asset: "sst-asset",
      assetEcrRegistryId: ACCOUNT,
      assetEcrUrl: `${ACCOUNT}.dkr.ecr.${region}.amazonaws.com/sst-asset`,
      state: "sst-state",
      appsyncHttp: "appsync",
      appsyncRealtime: "appsync",
    }),
    "Provider.Aws.Appsync": () => ({ http: "appsync", realtime: "appsync" }),
    "Runtime.AddTarget": () => true,
    "Runtime.Build": bundle ? buildHandler : emptyHandler,
  };
  const server = createServer((request, response) => {
    const answered = json(request)
      .then(async (body) => {
        const { id, method, params } = body as { id: unknown; method: string; params: [never] };
        calls.push({ method, params: params[0] });
        const answer = methods[method];
        if (!answer) return { id, error: `rpc: can't find method ${method}` };
        return { id, result: await answer(params[0]) };
      })
      .catch((error: unknown) => ({ error: String(error) }))
      .then((answer) => response.setHeader("content-type", "application/json").end(JSON.stringify(answer)));
    void pending.track(answered);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    calls,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await once(server.close(), "close");
    },
  };
}

/** Moved to its place whole: SST hashes what it zips, and other processes' tests have the same folder. */
function emptyHandler({ handler }: BuildInput) {
  const out = join(tmpdir(), "tandem-empty-handler");
  const file = join(out, "bundle.mjs");
  if (!existsSync(file)) {
    mkdirSync(out, { recursive: true });
    const draft = `${out}.${process.pid}.mjs`;
    writeFileSync(draft, "export const handler = async () => {};\n");
    renameSync(draft, file);
  }
  return { handler: `bundle.${handler.split(".").at(-1)}`, out, errors: [], sourcemaps: [] };
}
