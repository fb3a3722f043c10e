import { mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { DeploymentPlan } from "./deployment-plan.ts";

/** Plans that have been deployed: the latest of each deployment and stage. */
export interface StoredPlans {
  /** Undefined where nothing was deployed under that name. */
  read(name: string, stage: string): Promise<DeploymentPlan | undefined>;
  write(plan: DeploymentPlan): Promise<void>;
}

/** Plans as files, `<folder>/<name>-<stage>.json`: for one machine. A team's are in the deployment's store. */
export class FileStoredPlans implements StoredPlans {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** @throws Error for a file that is no plan. */
  async read(name: string, stage: string): Promise<DeploymentPlan | undefined> {
    const path = this.#path(name, stage);
    try {
      return readPlanText(await readFile(path, "utf8"), path);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
      throw error;
    }
  }

  async write(plan: DeploymentPlan): Promise<void> {
    const path = this.#path(plan.name, plan.stage);
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, `${JSON.stringify(plan, null, 2)}\n`);
  }

  #path(name: string, stage: string): string {
    return join(this.#folder, `${name}-${stage}.json`);
  }
}

/**
 * A plan from its JSON.
 * @param where it is from, for the message.
 * @throws Error for anything else, a plan of another version included.
 */
export function readPlanText(text: string, where: string): DeploymentPlan {
  let plan: Partial<DeploymentPlan> | null;
  try {
    plan = JSON.parse(text) as Partial<DeploymentPlan> | null;
  } catch (cause) {
    throw new Error(`${where} is no JSON: write it with "tandem plan --json"`, { cause });
  }
  if (plan?.version !== 1 || !Array.isArray(plan.services))
    throw new Error(`${where} is no plan of this version of Tandem: write it with "tandem plan --json"`);
  return plan as DeploymentPlan;
}
