import { once } from "node:events";
import http from "node:http";
import type { AddressInfo } from "node:net";
import { functionUrl } from "./function-url.ts";
import { type FunctionSettings, Instance, type InvocationResult } from "./instance.ts";
import { invokeApi } from "./invoke-api.ts";

export interface LocalLambdaSettings extends Omit<FunctionSettings, "timeout"> {
  /** Seconds. Default 30. */
  readonly timeout?: number;
  /** Instances at once; more events are throttled. Default 10. */
  readonly concurrency?: number;
  /** How the function's URL answers. Default `RESPONSE_STREAM`. */
  readonly invokeMode?: "BUFFERED" | "RESPONSE_STREAM";
}

/** A Lambda function on this machine: AWS's runtime client, a function URL and the Invoke API. */
export interface LocalLambda extends AsyncDisposable {
  /** The function's URL. */
  readonly url: string;
  /** What `AWS_ENDPOINT_URL_LAMBDA` takes; every function's name is this function's. */
  readonly endpoint: string;
  /** Milliseconds that each instance's initialisation took. */
  readonly initMs: number[];
}

/** Takes an event to an instance that is free, or to a new one; undefined where all are at work. */
export type Invoke = (event: string) => Promise<InvocationResult | undefined>;

export async function startLocalLambda(settings: LocalLambdaSettings): Promise<LocalLambda> {
  const { timeout = 30, concurrency = 10, invokeMode = "RESPONSE_STREAM" } = settings;
  let instances: Instance[] = [];
  const initMs: number[] = [];
  let starting = 0;
  const invoke: Invoke = async (event) => {
    let instance = instances.find(({ idle }) => idle);
    const isNew = instance === undefined;
    if (!instance) {
      if (instances.filter(({ idle }) => !idle).length + starting >= concurrency) return undefined;
      starting++;
      instance = await Instance.start({ ...settings, timeout }).finally(() => starting--);
      instances.push(instance);
    }
    const result = await instance.invoke(event);
    if (isNew && instance.initMs !== undefined) initMs.push(instance.initMs);
    return result;
  };
  const listen = async (listener: http.RequestListener): Promise<http.Server> => {
    const server = http.createServer(listener).listen(0, "127.0.0.1");
    await once(server, "listening");
    return server;
  };
  const servers = [await listen(functionUrl(invoke, invokeMode)), await listen(invokeApi(invoke))];
  const [url, endpoint] = servers.map((server) => `http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  return {
    url: url!,
    endpoint: endpoint!,
    initMs,
    [Symbol.asyncDispose]: async () => {
      for (const instance of instances) instance.stop();
      instances = [];
      for (const server of servers) {
        server.closeAllConnections();
        server.close();
      }
    },
  };
}
