/**
 * A GPU service as a Lambda function: runs batches of its queue. `TANDEM_SERVICE` names it, of service.ts. Weights of
 * `TANDEM_MODEL_URL` are fetched below `TANDEM_MODEL_DIR` while Lambda initialises the environment.
 */
import { resolve } from "node:path";
import { sqsHandler } from "#shared/lambda/sqs-handler.ts";
import { fetchModel } from "#shared/model/fetch-model.ts";
import { readContainerSettings } from "#shared/serve/container-settings.ts";
import { loadDeployables } from "#shared/serve/load-deployables.ts";

/** Of the 15 minutes that Lambda gives an initialisation, what weights may take; a model takes the rest to load. */
const FETCH_SECONDS = 13 * 60;

const { model } = readContainerSettings();
if (model) process.env.TANDEM_MODEL_DIR = await fetchModel({ ...model, deadlineSeconds: FETCH_SECONDS });
const path = resolve("service.ts");
const { deployables } = await loadDeployables(path);
const deployable = deployables.get(process.env.TANDEM_SERVICE ?? "");
if (!deployable)
  throw new Error(`TANDEM_SERVICE must name a service that ${path} exports: ${[...deployables.keys()].join(", ")}`);

export const handler = sqsHandler(deployable);
