/** A worker process of `tandem serve`. Started by the supervisor. */

import { flushCompileCache } from "node:module";
import { privateOptions, publicOptions } from "../http/access-options.ts";
import { Discovery } from "../service/discovery.ts";
import { loadProject } from "./project.ts";
import { runWorker } from "./run-worker.ts";
import type { WorkerSettings } from "./worker-messages.ts";

const settings = JSON.parse(process.env.TANDEM_WORKER ?? "null") as WorkerSettings | null;
if (!settings || !process.send) throw new Error("worker.ts is started by `tandem serve`");

const { listen: where, queue, graceSeconds } = settings;
const project = await loadProject(settings.folder, settings.configFile);
const deployable = project.deployables.find(({ service }) => service.name === settings.service)!;
const discovery = new Discovery(project.deployables, settings.locations);
// The supervisor's sockets are nobody else's: only what listens on a port asks who calls.
const limits = where.path === undefined ? publicOptions(project.accessAuthorization) : privateOptions();
await runWorker({ deployable, discovery, where, limits, queue, graceSeconds });
// For the next start: a worker that is killed would not leave what it compiled.
flushCompileCache();
