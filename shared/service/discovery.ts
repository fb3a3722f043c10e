import { type Location, type Locations, locationsFromEnvironment } from "../transport/location.ts";
import type { Transport } from "../transport/transport.ts";
import { dependencyOrder, type Service } from "./contract.ts";
import type { Deployable } from "./deployable.ts";
import { ServiceHost } from "./host.ts";

/** Finds the transport to a service: its location if it has one, else an instance in this process. */
export class Discovery {
  readonly #locations: Locations;
  readonly #deployables: Map<string, Deployable>;
  readonly #transports = new Map<string, Promise<Transport>>();
  readonly #hosts: ServiceHost[] = [];

  constructor(deployables: Iterable<Deployable> = [], locations: Locations = locationsFromEnvironment()) {
    this.#locations = { ...locations };
    this.#deployables = new Map([...deployables].map((deployable) => [deployable.service.name, deployable]));
  }

  /** Says where a service runs, whatever was known before. */
  locate(service: Service, location: Location): void {
    this.#locations[service.name] = location;
  }

  /** Whether a service has a location, or an implementation here. */
  knows(service: Service): boolean {
    return service.name in this.#locations || this.#deployables.has(service.name);
  }

  /**
   * @throws TypeError when the service has no location and no implementation here.
   */
  transportOf(service: Service, elsewhere?: Location): Promise<Transport> {
    const location = elsewhere ?? this.#locations[service.name];
    const key = location ? JSON.stringify(location) : service.name;
    let transport = this.#transports.get(key);
    if (!transport) {
      transport = location ? remote(service, location) : this.#local(service);
      this.#transports.set(key, transport);
      transport.catch(() => this.#transports.delete(key));
    }
    return transport;
  }

  /** Stops the instances in this process, callers before callees, and closes connections. */
  async close(): Promise<void> {
    const order = new Set(this.#hosts.flatMap(({ service }) => dependencyOrder(service).map(({ name }) => name)));
    for (const name of [...order].reverse()) await this.#hosts.find(({ service }) => service.name === name)?.stop();
    this.#hosts.length = 0;
    for (const transport of this.#transports.values()) await (await transport).close();
    this.#transports.clear();
  }

  async #local(service: Service): Promise<Transport> {
    const deployable = this.#deployables.get(service.name);
    if (!deployable)
      throw new TypeError(
        `${service.name} has no implementation here and no entry in TANDEM_SERVICES: export it from service.ts`,
      );
    const [{ LocalTransport }, host] = await Promise.all([
      import("../transport/local.ts"),
      ServiceHost.start(deployable, this),
    ]);
    this.#hosts.push(host);
    return new LocalTransport(host);
  }
}

/** The transports' code is loaded with the first of them: a function's start has no time for it. */
async function remote(service: Service, location: Location): Promise<Transport> {
  const { transportTo } = await import("../transport/transport-to.ts");
  return transportTo(service.name, location);
}

let fallback: Discovery | undefined;

/** The discovery of objects constructed by hand: the environment's locations and nothing in this process. */
export function defaultDiscovery(): Discovery {
  fallback ??= new Discovery();
  return fallback;
}
