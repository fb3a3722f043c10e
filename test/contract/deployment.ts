import { once } from "node:events";
import { mkdtempSync } from "node:fs";
import { rm } from "node:fs/promises";
import http from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { getRequestListener } from "@hono/node-server";
import { createApp } from "#shared/http/app.ts";
import { listen, type RunningServer } from "#shared/http/server.ts";
import type { Deployable } from "#shared/index.ts";
import { log } from "#shared/observability/log.ts";
import { type Client, clientOf } from "#shared/service/client.ts";
import type { Service } from "#shared/service/contract.ts";
import { Discovery } from "#shared/service/discovery.ts";
import { ServiceHost } from "#shared/service/host.ts";
import { HttpTransport } from "#shared/transport/http-client.ts";
import { LocalTransport } from "#shared/transport/local.ts";
import type { Locations } from "#shared/transport/location.ts";
import type { Transport } from "#shared/transport/transport.ts";

// Failures are what these tests are about.
log.level = "silent";

/** Services that run in this process, and the transport under test to each. */
export interface Deployment extends AsyncDisposable {
  host(service: Service): ServiceHost;
  transport(service: Service): Transport;
  client<S extends Service>(service: S): Client<S>;
}

/** Starts services, given in an order in which a dependency stands before its callers. */
export type Deploy = (deployables: readonly Deployable[]) => Promise<Deployment>;

/** Serves a service on an address of its own, or on one that it had before. */
export type Serve = (host: ServiceHost, discovery: Discovery, url?: string) => Promise<RunningServer>;

const portOf = (url?: string): number => (url ? Number(new URL(url).port) : 0);

export const SERVERS = {
  "http-tcp": (host, discovery, url) => listen(host, discovery, { host: "127.0.0.1", port: portOf(url) }),
  "http-unix": async (host, discovery, url) => {
    const path = url?.slice("unix:".length) ?? join(mkdtempSync(join(tmpdir(), "tandem-contract-")), "socket");
    if (url) await rm(path, { force: true });
    const server = await listen(host, discovery, { path });
    return {
      url: server.url,
      close: () => server.close().then(() => rm(dirname(path), { recursive: true, force: true })),
    };
  },
  "http-fetch": async (host, discovery, url) => {
    // As long as ours keeps idle connections: with Node's 5 s a slow machine meets ones that are about to be closed.
    const server = http.createServer(
      { keepAliveTimeout: 75_000 },
      getRequestListener(createApp(host, discovery).fetch),
    );
    server.listen({ host: "127.0.0.1", port: portOf(url) });
    await once(server, "listening");
    return {
      url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
      close: async () => {
        const closed = once(server, "close");
        server.close();
        server.closeIdleConnections();
        await closed;
      },
    };
  },
} as const satisfies Record<string, Serve>;

/** Everything in this process, by the local transport. */
export const deployLocally: Deploy = async (deployables) => {
  const hosts = new Map<string, ServiceHost>();
  const transportOf = async (service: Service): Promise<Transport> => new LocalTransport(hosts.get(service.name)!);
  class Here extends Discovery {
    override transportOf = transportOf;
  }
  const discovery = new Here([], {});
  for (const deployable of deployables)
    hosts.set(deployable.service.name, await ServiceHost.start(deployable, discovery));
  const host = (service: Service): ServiceHost => hosts.get(service.name)!;
  return {
    host,
    transport: (service) => new LocalTransport(host(service)),
    client: (service) => clientOf(service, () => transportOf(service)),
    [Symbol.asyncDispose]: async () => {
      for (const running of hosts.values()) await running.stop(0);
    },
  };
};

/** Every service behind a server of its own. */
export function deployOver(start: Serve): Deploy {
  return async (deployables) => {
    const locations: Locations = {};
    const hosts = new Map<string, ServiceHost>();
    const transports = new Map<string, Transport>();
    const closing: (() => Promise<void>)[] = [];
    for (const deployable of deployables) {
      const { name } = deployable.service;
      const discovery = new Discovery([], { ...locations });
      const host = await ServiceHost.start(deployable, discovery);
      const server = await start(host, discovery);
      const transport = new HttpTransport(server.url);
      locations[name] = { transport: "http", url: server.url };
      hosts.set(name, host);
      transports.set(name, transport);
      closing.unshift(async () => {
        await transport.close();
        await host.stop(0);
        await discovery.close();
        await server.close();
      });
    }
    return {
      host: ({ name }) => hosts.get(name)!,
      transport: ({ name }) => transports.get(name)!,
      client: (service) => clientOf(service, async () => transports.get(service.name)!),
      [Symbol.asyncDispose]: async () => {
        for (const close of closing) await close();
      },
    };
  };
}
