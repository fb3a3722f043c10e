import { once } from "node:events";
import http from "node:http";
import type { AddressInfo } from "node:net";
import { functionUrl, type InvokeMode } from "#shared/serve/lambda/function-url.ts";
import { InvokeApi } from "#shared/serve/lambda/invoke-api.ts";
import { LocalFunction, type LocalFunctionSettings } from "#shared/serve/lambda/local-function.ts";

export interface LocalLambdaSettings extends Omit<LocalFunctionSettings, "timeout" | "concurrency"> {
  /** Seconds. Default 30. */
  readonly timeout?: number;
  /** Default 10. */
  readonly concurrency?: number;
  /** How the function's URL answers. Default `RESPONSE_STREAM`. */
  readonly invokeMode?: InvokeMode;
}

/** A Lambda function named tandem: AWS's runtime client, a function URL and the Invoke API. */
export interface LocalLambda extends AsyncDisposable {
  /** The function's URL. */
  readonly url: string;
  /** What `AWS_ENDPOINT_URL_LAMBDA` takes. */
  readonly endpoint: string;
  readonly fn: LocalFunction;
}

export async function startLocalLambda(settings: LocalLambdaSettings): Promise<LocalLambda> {
  const { timeout = 30, concurrency = 10, invokeMode = "RESPONSE_STREAM", env } = settings;
  const silent = { TANDEM_LOG_LEVEL: "silent", AWS_ACCESS_KEY_ID: "test", AWS_SECRET_ACCESS_KEY: "test", ...env };
  const fn = new LocalFunction({ ...settings, timeout, concurrency, env: silent, output: "ignore" });
  const listen = async (listener: http.RequestListener): Promise<http.Server> => {
    const server = http.createServer(listener).listen(0, "127.0.0.1");
    await once(server, "listening");
    return server;
  };
  const invokeApi = new InvokeApi(new Map([["tandem", fn]]));
  const servers = [await listen(functionUrl(fn, invokeMode)), await listen(invokeApi.listener)];
  const [url, endpoint] = servers.map((server) => `http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  return {
    url: url!,
    endpoint: endpoint!,
    fn,
    [Symbol.asyncDispose]: async () => {
      await fn.stop();
      for (const server of servers) {
        server.closeAllConnections();
        server.close();
      }
    },
  };
}
