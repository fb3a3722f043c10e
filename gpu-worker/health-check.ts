/** The container's health check: exit code 0 while it is alive, else 1. `node gpu-worker/health-check.ts [/readyz]` */

import { askHealth, runFolderOf } from "#shared/serve/health-server.ts";

const path = process.argv[2] === "/readyz" ? "/readyz" : "/livez";
process.exit((await askHealth(runFolderOf(), path)) ? 0 : 1);
