import { once } from "node:events";
import http from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { parseMemory } from "../../config/quantity.ts";
import { PROBE } from "../../lambda/invocation.ts";
import type { Service } from "../../service/contract.ts";
import { HttpTransport } from "../../transport/http-client.ts";
import type { Location, Locations } from "../../transport/location.ts";
import { type HandlerFiles, handlerFiles, requiredHandlerFiles } from "../handler-files.ts";
import type { Project } from "../project.ts";
import type { ServedQueues } from "../served-queues.ts";
import { bundle, nameOf } from "./bundle.ts";
import { EventSourceMapping } from "./event-source.ts";
import { functionUrl } from "./function-url.ts";
import { InvokeApi } from "./invoke-api.ts";
import { LocalFunction } from "./local-function.ts";
import { runtimeClient } from "./runtime-client.ts";

/** Seconds: a function's longest timeout, and that of one that answers dead letters. */
const LONGEST_TIMEOUT = 900;
const DEAD_LETTER_TIMEOUT = 60;
/** MiB a function may have. */
const LEAST_MEMORY = 128;
const MOST_MEMORY = 10_240;
const START_SECONDS = 120;
/** Longer than clients keep a connection: one that meets its end would not know whether its call has run. */
const KEEP_ALIVE_MS = 75_000;
const PROBE_MS = 2_000;

/** A project's handlers, bundled, and AWS's runtime client that runs them. */
export interface BuiltFunctions {
  /** Folder of the bundle. */
  readonly bundled: string;
  readonly runtime: string;
  readonly entry: Required<HandlerFiles>;
  /** The dead-letter handlers of all services that have one. */
  readonly deadLetters: ReadonlyMap<string, string>;
}

/**
 * Makes what the entry needs to run as functions.
 * @throws Error for a handler that is missing, for one that cannot be bundled, and where the runtime client cannot be
 * compiled.
 */
export async function buildFunctions({ folder, entry, deployables }: Project): Promise<BuiltFunctions> {
  const { url, queue, deadLetters } = requiredHandlerFiles(folder, entry.service.name, ["url", "queue", "deadLetters"]);
  const answering = deployables.flatMap(({ service: { name } }) => {
    const file = handlerFiles(folder, name).deadLetters;
    return file === undefined ? [] : [[name, file] as const];
  });
  const runtime = await runtimeClient();
  const files = new Set([url, queue, ...answering.map(([, file]) => file)]);
  return {
    bundled: await bundle(folder, [...files]),
    runtime,
    entry: { url, queue, deadLetters },
    deadLetters: new Map(answering),
  };
}

export interface EntryFunctionsOptions {
  readonly host: string;
  /** Of the function URL; 0 picks a free one. */
  readonly port: number;
  /** Of the Invoke API, which only this machine reaches; 0 picks a free one. */
  readonly invokePort: number;
  /** Most environments of a function; as many as the service's `workers` when left out. */
  readonly workers?: number | undefined;
  readonly queues: ServedQueues;
  /** Where the entry's dependencies are. */
  readonly locations: Locations;
}

/**
 * A project's entry as Lambda functions: one behind a function URL and the Invoke API, one for its queue, and those that
 * answer dead letters.
 */
export class EntryFunctions {
  readonly #project: Project;
  readonly #built: BuiltFunctions;
  readonly #options: EntryFunctionsOptions;
  readonly #entry: LocalFunction;
  readonly #functions = new Map<string, LocalFunction>();
  readonly #servers: http.Server[] = [];
  #mappings: EventSourceMapping[] = [];

  private constructor(project: Project, built: BuiltFunctions, options: EntryFunctionsOptions) {
    this.#project = project;
    this.#built = built;
    this.#options = options;
    const { service } = project.entry;
    const { timeout, maxConcurrency } = service.traffic;
    const concurrency = Math.min(service.workers, options.workers ?? service.workers, maxConcurrency);
    // A call is given up before its function is, so that its caller hears why.
    const urlTimeout = Math.min(LONGEST_TIMEOUT, Math.ceil(timeout) + 1);
    this.#entry = this.#function(service, built.entry.url, urlTimeout, concurrency);
    this.#function(service, built.entry.queue, LONGEST_TIMEOUT, concurrency);
    for (const { service: each } of project.deployables) {
      const file = built.deadLetters.get(each.name);
      if (file !== undefined) this.#function(each, file, DEAD_LETTER_TIMEOUT, 1);
    }
  }

  /** Listens at once; the functions start with their first events. @throws Error where a port is taken. */
  static async start(project: Project, built: BuiltFunctions, options: EntryFunctionsOptions): Promise<EntryFunctions> {
    const functions = new EntryFunctions(project, built, options);
    await functions.#listen(functionUrl(functions.#entry, "RESPONSE_STREAM"), options.host, options.port);
    await functions.#listen(new InvokeApi(functions.#functions).listener, "127.0.0.1", options.invokePort);
    return functions;
  }

  /** The function URL. */
  get url(): string {
    return urlOf(this.#servers[0]!);
  }

  /** What `AWS_ENDPOINT_URL_LAMBDA` takes. */
  get endpoint(): string {
    return urlOf(this.#servers[1]!);
  }

  /** Name of the entry's function. */
  get functionName(): string {
    return nameOf(this.#built.entry.url);
  }

  /** Process ids of the entry's execution environments. */
  get pids(): number[] {
    return this.#entry.pids;
  }

  /** Waits until the entry is ready, everything behind it included. @throws Error saying why it cannot start. */
  async ready(signal: AbortSignal): Promise<void> {
    const first = await this.#entry.invoke(JSON.stringify(PROBE));
    if (first?.kind === "error") throw new Error(`${this.functionName} cannot start as a function: ${first.json}`);
    first?.body.resume();
    const transport = new HttpTransport(this.url);
    const end = performance.now() + START_SECONDS * 1000;
    try {
      while (!signal.aborted && !(await transport.ready(AbortSignal.timeout(PROBE_MS)))) {
        if (performance.now() > end) throw new Error(`${this.functionName} was not ready within ${START_SECONDS} s`);
        await delay(50);
      }
    } finally {
      await transport.close();
    }
  }

  /** Hands the queues' messages to the functions, once the queues are there. */
  consume(): void {
    const { places } = this.#options.queues;
    const named = (file: string): LocalFunction => this.#functions.get(nameOf(file))!;
    const own = places.services[this.#project.entry.service.name]!;
    const queue = named(this.#built.entry.queue);
    this.#mappings = [own.priorityUrl, own.url].map((url) => new EventSourceMapping(url, queue));
    for (const [service, file] of this.#built.deadLetters)
      this.#mappings.push(new EventSourceMapping(places.services[service]!.deadLetterUrl, named(file)));
  }

  /** Takes no more calls and messages, lets what is in work finish for so many seconds, and ends the environments. */
  async stop(graceSeconds: number): Promise<void> {
    const closed = this.#servers.map((server) => new Promise((resolve) => server.close(resolve)));
    const settled = Promise.all(this.#mappings.map((mapping) => mapping.stop()));
    for (const server of this.#servers) server.closeIdleConnections();
    const answered = Promise.all([...closed, settled]);
    await Promise.race([answered, delay(graceSeconds * 1000, undefined, { ref: false })]);
    await Promise.all([...this.#functions.values()].map((one) => one.stop()));
    for (const server of this.#servers) server.closeAllConnections();
    await answered;
  }

  #function({ name: service, resources }: Service, file: string, timeout: number, concurrency: number): LocalFunction {
    const { bundled, runtime } = this.#built;
    const name = nameOf(file);
    const memory = resources.memory === undefined ? undefined : parseMemory(resources.memory) / 2 ** 20;
    const made = new LocalFunction({
      name,
      folder: bundled,
      handler: `${name}.handler`,
      runtime,
      env: this.#environmentOf(service),
      timeout,
      concurrency,
      ...(memory !== undefined && { memory: Math.round(Math.min(MOST_MEMORY, Math.max(LEAST_MEMORY, memory))) }),
    });
    this.#functions.set(name, made);
    return made;
  }

  #environmentOf(service: string): NodeJS.ProcessEnv {
    const { queues, locations } = this.#options;
    const { services, storeUrl } = queues.places;
    const { url, priorityUrl } = services[service]!;
    const own: Location = { transport: "sqs", queueUrl: url, priorityQueueUrl: priorityUrl, storeUrl };
    return {
      // Nobody gathers a desk's metrics from its log.
      TANDEM_METRICS: "prometheus",
      TANDEM_STORE: storeUrl,
      ...process.env,
      ...queues.environment,
      ...this.#project.environmentOf(service),
      TANDEM_SERVICES: JSON.stringify({ ...locations, [service]: own }),
    };
  }

  async #listen(listener: http.RequestListener, host: string, port: number): Promise<void> {
    const server = http.createServer({ keepAliveTimeout: KEEP_ALIVE_MS }, listener).listen(port, host);
    await once(server, "listening");
    this.#servers.push(server);
  }
}

function urlOf(server: http.Server): string {
  const { address, family, port } = server.address() as AddressInfo;
  if (address === "0.0.0.0" || address === "::") return `http://127.0.0.1:${port}`;
  return `http://${family === "IPv6" ? `[${address}]` : address}:${port}`;
}
