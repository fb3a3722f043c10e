/** An entry's process: `entry-process.ts NAME` serves it on a free port, says its URL to its parent and ends with it. */
import { ControlNet } from "#shared/contracts/controlnet.ts";
import { listen } from "#shared/http/server.ts";
import { deployable } from "#shared/index.ts";
import { log } from "#shared/observability/log.ts";
import { Discovery } from "#shared/service/discovery.ts";
import { ServiceHost } from "#shared/service/host.ts";
import { Entry } from "./entry-service.ts";
import { answerMemory } from "./memory.ts";

const ENTRIES = {
  Entry: deployable(Entry, () => import("./entry-service.ts")),
  ControlNet: deployable(ControlNet, () => import("#functions/services/controlnet.ts")),
};

log.level = process.env.TANDEM_LOG_LEVEL ?? "silent";
// Where what it depends on runs is in TANDEM_SERVICES.
const discovery = new Discovery();
const host = await ServiceHost.start(ENTRIES[process.argv[2] as keyof typeof ENTRIES], discovery);
const { url } = await listen(host, discovery, { host: "127.0.0.1", port: 0 });
process.once("disconnect", () => process.exit(0));
answerMemory();
process.send!(url);
