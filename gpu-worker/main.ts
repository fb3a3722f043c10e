/** What the worker image runs: the service that `TANDEM_SERVICE` names, of the service.ts in the working directory. */

import { log } from "#shared/observability/log.ts";
import { runContainer } from "#shared/serve/container.ts";

try {
  await runContainer(process.cwd());
  process.exit(0);
} catch (err) {
  log.fatal({ err }, (err as Error).message);
  process.exit(1);
}
