/** A GPU service as a Lambda function: runs batches of its queue. `TANDEM_SERVICE` names it, of service.ts. */
import { resolve } from "node:path";
import { sqsHandler } from "#shared/lambda/sqs-handler.ts";
import { loadDeployables } from "#shared/serve/load-deployables.ts";

const path = resolve("service.ts");
const { deployables } = await loadDeployables(path);
const deployable = deployables.get(process.env.TANDEM_SERVICE ?? "");
if (!deployable)
  throw new Error(`TANDEM_SERVICE must name a service that ${path} exports: ${[...deployables.keys()].join(", ")}`);

export const handler = sqsHandler(deployable);
