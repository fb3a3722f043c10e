import { once } from "node:events";
import { faultLine } from "../config/faults.ts";
import { publicOptions } from "../http/access-options.ts";
import { listen } from "../http/server.ts";
import { log } from "../observability/log.ts";
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
  workers?: number;
  data?: string;
  redeliver?: number;
  visibilityTimeout?: number;
  json?: boolean;
}

/** Seconds that work from the queue gets when the command is told to stop. */
const GRACE_SECONDS = 30;

interface Served {
  ready(): Promise<string>;
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
  const queues = await ServedQueues.start({
    ...options,
    projectFolder: project.folder,
    services: project.deployables.map(({ service }) => service.name),
  });
  const served =
    options.transport === "local" ? inProcess(project, queues, options) : supervised(project, queues, options);
  const stopped = Promise.race([once(process, "SIGINT"), once(process, "SIGTERM")]);
  const url = await Promise.race([served.ready(), stopped.then(() => undefined)]);
  if (url !== undefined) {
    const seconds = ((performance.now() - started) / 1000).toFixed(1);
    const { name } = project.entry.service;
    const workers = Object.fromEntries(
      project.deployables.map(({ service }) => [service.name, served.pids(service.name)]),
    );
    const queue = { endpoint: queues.places.endpoint, pid: queues.pid };
    if (options.json) console.log(JSON.stringify({ service: name, url, workers, queue }));
    else console.log(`${name} is ready at ${url} after ${seconds} s`);
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
  return new Supervisor(project, { host, port, workers, configFile: file, queues, transport });
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
      return (await running).server.url;
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
