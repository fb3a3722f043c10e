/** A worker process of a container: one instance of its service. Started by `runContainer`. */

import { flushCompileCache } from "node:module";
import { publicOptions } from "../http/access-options.ts";
import { Discovery } from "../service/discovery.ts";
import { loadContainerService, whereToListen } from "./container.ts";
import { readContainerSettings } from "./container-settings.ts";
import { runWorker } from "./run-worker.ts";

const folder = process.env.TANDEM_WORKER;
if (!folder || !process.send) throw new Error("container-worker.ts is started by the container's main process");

const settings = readContainerSettings();
const deployable = await loadContainerService(folder, settings);
await runWorker({
  deployable,
  // Its dependencies run in containers and functions of their own.
  discovery: new Discovery([deployable], settings.locations),
  where: whereToListen(settings),
  limits: publicOptions(),
  queue: settings.queue,
  queueSettings: settings.queueSettings,
  graceSeconds: settings.graceSeconds,
});
flushCompileCache();
