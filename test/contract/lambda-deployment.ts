import { mkdtempSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { LambdaFunction } from "#shared/aws/lambda-function.ts";
import { handlerOf } from "#shared/lambda/handler.ts";
import { WarmService } from "#shared/lambda/warm-service.ts";
import { log } from "#shared/observability/log.ts";
import { clientOf } from "#shared/service/client.ts";
import type { Service } from "#shared/service/contract.ts";
import { Discovery } from "#shared/service/discovery.ts";
import type { ServiceHost } from "#shared/service/host.ts";
import { LambdaTransport } from "#shared/transport/lambda-client.ts";
import type { Transport } from "#shared/transport/transport.ts";
import { startInvokeFront } from "../lambda/invoke-front.ts";
import { inStreamingRuntime } from "../lambda/streaming-runtime.ts";
import type { Deploy } from "./deployment.ts";

// Failures are what these tests are about.
log.level = "silent";

/**
 * Every service a function of its own, invoked with the AWS SDK over HTTP; handlers and hosts are in this process.
 * @param streaming whether the functions' runtime streams.
 */
export const deployAsFunctions =
  (streaming: boolean): Deploy =>
  async (deployables) => {
    const folder = mkdtempSync(join(tmpdir(), "tandem-contract-"));
    const storeUrl = `file:${folder}`;
    const front = await startInvokeFront();
    const openFunction = async (name: string) => new LambdaFunction(name, { client: front.client });
    const hosts = new Map<string, ServiceHost>();
    const transports = new Map<string, LambdaTransport>();
    const transportOf = async (service: Service): Promise<Transport> => transports.get(service.name)!;
    class Here extends Discovery {
      override transportOf = transportOf;
    }
    const discovery = new Here([], {});
    for (const deployable of deployables) {
      const { name } = deployable.service;
      const functionName = `tandem-${name}`;
      const service = new WarmService(deployable, { discovery, storeUrl });
      front.serve(functionName, streaming ? inStreamingRuntime(() => handlerOf(service)) : handlerOf(service));
      hosts.set(name, (await service.started()).host);
      transports.set(name, new LambdaTransport(name, { transport: "lambda", functionName, storeUrl }, openFunction));
    }
    return {
      host: ({ name }) => hosts.get(name)!,
      transport: ({ name }) => transports.get(name)!,
      client: (service) => clientOf(service, () => transportOf(service)),
      [Symbol.asyncDispose]: async () => {
        for (const host of hosts.values()) await host.stop(0);
        for (const transport of transports.values()) await transport.close();
        await front[Symbol.asyncDispose]();
        await rm(folder, { recursive: true, force: true });
      },
    };
  };
