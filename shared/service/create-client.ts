import type { SignRequest } from "../transport/http-client.ts";
import type { Transport } from "../transport/transport.ts";
import { transportTo } from "../transport/transport-to.ts";
import { type Client, clientOf } from "./client.ts";
import type { Service } from "./contract.ts";

/** A client made by hand, with the way to let its connections go. */
export type StandaloneClient<S extends Service> = Client<S> & AsyncDisposable;

/** Where a service runs, and what its requests carry. */
export interface RemoteTarget {
  url: string;
  transport?: "http" | "bentoml";
  headers?: Record<string, string>;
  token?: string | undefined;
  sign?: SignRequest | undefined;
}

function remote({ name }: Service, { url, transport = "http", headers, token, sign }: RemoteTarget): Transport {
  const all = { ...headers, ...(token !== undefined && { authorization: `Bearer ${token}` }) };
  return transportTo(name, { transport, url }, { headers: all, sign });
}

/** Where a client's service is. */
export type ClientTarget = RemoteTarget | { functionName: string; storeUrl?: string } | { transport: Transport };

/**
 * A client of a service that runs somewhere: `createClient(ControlNet, { url: "http://127.0.0.1:3000" })`; with
 * `transport: "bentoml"`, of one that BentoML serves; with `functionName`, of a Lambda function that is invoked with the
 * AWS SDK. Dispose of it (`await using`) to close its connections.
 */
export function createClient<S extends Service>(service: S, target: ClientTarget): StandaloneClient<S> {
  const transport = transportOf(service, target);
  const disposal: AsyncDisposable = { [Symbol.asyncDispose]: () => transport.close() };
  const client: StandaloneClient<S> = Object.assign(
    {},
    clientOf(service, async () => transport),
    disposal,
  );
  return client;
}

function transportOf(service: Service, target: ClientTarget): Transport {
  if ("url" in target) return remote(service, target);
  return "functionName" in target ? transportTo(service.name, { transport: "lambda", ...target }) : target.transport;
}
