import { once } from "node:events";
import { listen } from "../http/server.ts";
import { loadProject, type Project } from "../serve/project.ts";
import { Supervisor } from "../serve/supervisor.ts";
import { Discovery } from "../service/discovery.ts";
import { ServiceHost } from "../service/host.ts";

export interface ServeCommand {
  file?: string;
  host: string;
  port: number;
  transport: string;
  workers?: number;
  json?: boolean;
}

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
  const served = options.transport === "local" ? inProcess(project, options) : supervised(project, options);
  const stopped = Promise.race([once(process, "SIGINT"), once(process, "SIGTERM")]);
  const url = await Promise.race([served.ready(), stopped.then(() => undefined)]);
  if (url !== undefined) {
    const seconds = ((performance.now() - started) / 1000).toFixed(1);
    const { name } = project.entry.service;
    const workers = Object.fromEntries(
      project.deployables.map(({ service }) => [service.name, served.pids(service.name)]),
    );
    if (options.json) console.log(JSON.stringify({ service: name, url, workers }));
    else console.log(`${name} is ready at ${url} after ${seconds} s`);
    await stopped;
  }
  await served.stop();
  process.exit(0);
}

function supervised(project: Project, options: ServeCommand): Served {
  const { host, port, file, workers } = options;
  return new Supervisor(project, { host, port, workers, configFile: file });
}

/** Every service in this process; the entry behind one HTTP server. */
function inProcess(project: Project, { host, port }: ServeCommand): Served {
  for (const { service } of project.deployables) Object.assign(process.env, project.environmentOf(service.name));
  const discovery = new Discovery(project.deployables);
  const running = (async () => {
    for (const { service } of project.deployables.slice(0, -1)) await discovery.transportOf(service);
    const entry = await ServiceHost.start(project.entry, discovery);
    return { entry, server: await listen(entry, discovery, { host, port }) };
  })();
  return {
    ready: async () => (await running).server.url,
    pids: () => [process.pid],
    stop: async () => {
      const { entry, server } = await running;
      const closed = server.close();
      await entry.stop();
      await discovery.close();
      await closed;
    },
  };
}
