import { once } from "node:events";
import { InvalidArgumentError } from "commander";
import { faultLine } from "../config/faults.ts";
import { publicOptions } from "../http/access-options.ts";
import { listen } from "../http/server.ts";
import { log } from "../observability/log.ts";
import { type BuiltFunctions, buildFunctions, EntryFunctions } from "../serve/lambda/entry-functions.ts";
import { OwnQueue } from "../serve/own-queue.ts";
import { loadProject, type Project } from "../serve/project.ts";
import { queueOf } from "../serve/queue-places.ts";
import { ServedQueues } from "../serve/served-queues.ts";
import { Supervisor } from "../serve/supervisor.ts";
import { Discovery } from "../service/discovery.ts";
import { ServiceHost } from "../service/host.ts";

export interface ServeCommand {
  file?: string;
  host: string;
  port: number;
  transport: "auto" | "local" | "http" | "sqs";
  as: "process" | "lambda";
  invokePort: number;
  workers?: number;
  data?: string;
  redeliver?: number;
  visibilityTimeout?: number;
  json?: boolean;
}

/** Seconds that work from the queue gets when the command is told to stop. */
const GRACE_SECONDS = 30;

interface Served {
  /** The entry's URL, and where its function is invoked, if it is one. */
  ready(): Promise<{ url: string; invoke?: { endpoint: string; functionName: string } }>;
  /** Process ids of a service's workers. */
  pids(service: string): number[];
  stop(): Promise<void>;
}

/** `tandem serve`: ready when `/readyz` says 200; SIGINT and SIGTERM drain. */
export async function serve(folder: string, options: ServeCommand): Promise<void> {
  const started = performance.now();
  const project = await loadProject(folder, options.file);
  for (const warning of project.warnings) console.error(`tandem: ${faultLine(warning)}`);
  checkAccess(project);
  const functions = options.as === "lambda" ? await functionsOf(project, options) : undefined;
  const queues = await ServedQueues.start({
    ...options,
    projectFolder: project.folder,
    services: project.deployables.map(({ service }) => service.name),
    answeredElsewhere: [...(functions?.deadLetters.keys() ?? [])],
  });
  const served = functions
    ? await asFunctions(project, functions, queues, options)
    : options.transport === "local"
      ? inProcess(project, queues, options)
      : supervised(project, queues, options);
  const stopped = Promise.race([once(process, "SIGINT"), once(process, "SIGTERM")]);
  const ready = await Promise.race([served.ready(), stopped.then(() => undefined)]);
  if (ready !== undefined) {
    const { url, invoke } = ready;
    const seconds = ((performance.now() - started) / 1000).toFixed(1);
    const { name } = project.entry.service;
    const workers = Object.fromEntries(
      project.deployables.map(({ service }) => [service.name, served.pids(service.name)]),
    );
    const queue = { endpoint: queues.places.endpoint, pid: queues.pid };
    if (options.json) console.log(JSON.stringify({ service: name, url, workers, queue, ...(invoke && { invoke }) }));
    else console.log(`${name} is ready at ${url} after ${seconds} s`);
    if (invoke && !options.json)
      console.log(`AWS_ENDPOINT_URL_LAMBDA=${invoke.endpoint} invokes it, as function ${invoke.functionName}`);
    if (queues.redeliver > 0) log.info(duplicates(queues.redeliver));
    await stopped;
  }
  await served.stop();
  process.exit(0);
}

function duplicates(share: number): string {
  const percent = Math.round(share * 1000) / 10;
  return `${percent} % of the messages are delivered twice on purpose, as SQS may; --redeliver 0 turns it off`;
}

/** Says what is wrong with the entry's access before anything starts. @throws TypeError */
function checkAccess({ accessAuthorization, entry, environmentOf }: Project): void {
  const environment = { ...process.env, ...environmentOf(entry.service.name) };
  const { guard } = publicOptions(accessAuthorization, environment);
  if (accessAuthorization === "iam" && !guard?.wantsKeys)
    throw new TypeError(
      "access_authorization: iam is AWS's to check, in front of a function; to serve here, set TANDEM_API_KEYS or say none",
    );
}

function supervised(project: Project, queues: ServedQueues, options: ServeCommand): Served {
  const { host, port, file, workers, transport } = options;
  if (transport === "local") throw new TypeError("local services have no supervisor");
  const supervisor = new Supervisor(project, { host, port, workers, configFile: file, queues, transport });
  return {
    ready: async () => ({ url: await supervisor.ready() }),
    pids: (service) => supervisor.pids(service),
    stop: () => supervisor.stop(),
  };
}

/** @throws InvalidArgumentError where all services are to be in one process. */
function functionsOf(project: Project, { transport }: ServeCommand): Promise<BuiltFunctions> {
  if (transport === "local")
    throw new InvalidArgumentError("--transport local is one process: a function's dependencies are in others");
  return buildFunctions(project);
}

/** The entry as Lambda functions, its dependencies in processes of their own. */
async function asFunctions(
  project: Project,
  built: BuiltFunctions,
  queues: ServedQueues,
  { host, port, invokePort, file, workers, transport }: ServeCommand,
): Promise<Served> {
  if (transport === "local") throw new TypeError("functions have dependencies in other processes");
  Object.assign(process.env, queues.environment);
  const supervisor = new Supervisor(project, {
    host,
    port,
    workers,
    configFile: file,
    queues,
    transport,
    entry: false,
  });
  const { locations } = supervisor;
  const stopping = new AbortController();
  let functions: EntryFunctions;
  try {
    functions = await EntryFunctions.start(project, built, { host, port, invokePort, workers, queues, locations });
  } catch (error) {
    await supervisor.stop();
    throw error;
  }
  return {
    ready: async () => {
      await supervisor.dependenciesReady();
      if (!stopping.signal.aborted) functions.consume();
      await functions.ready(stopping.signal);
      return { url: functions.url, invoke: { endpoint: functions.endpoint, functionName: functions.functionName } };
    },
    pids: (service) => (service === project.entry.service.name ? functions.pids : supervisor.pids(service)),
    stop: async () => {
      stopping.abort();
      await functions.stop(GRACE_SECONDS);
      await supervisor.stop();
    },
  };
}

/** Every service in this process; the entry behind one HTTP server. */
function inProcess(project: Project, queues: ServedQueues, { host, port }: ServeCommand): Served {
  Object.assign(process.env, queues.environment);
  for (const { service } of project.deployables) Object.assign(process.env, project.environmentOf(service.name));
  const discovery = new Discovery(project.deployables);
  const running = (async () => {
    for (const { service } of project.deployables.slice(0, -1)) await discovery.transportOf(service);
    const ownQueue = await OwnQueue.open(project.entry.service, queueOf(queues.places, project.entry.service.name));
    const entry = await ServiceHost.start(project.entry, discovery);
    const limits = publicOptions(project.accessAuthorization);
    const server = await listen(entry, discovery, { host, port }, { ...limits, ...ownQueue.routes });
    ownQueue.consume(entry);
    return { entry, server, ownQueue };
  })();
  return {
    ready: async () => {
      await queues.ready();
      return { url: (await running).server.url };
    },
    pids: () => [process.pid],
    stop: async () => {
      const { entry, server, ownQueue } = await running;
      const closed = server.close();
      await ownQueue.stop(GRACE_SECONDS);
      await entry.stop();
      await discovery.close();
      await closed;
      await queues.stop();
    },
  };
}
