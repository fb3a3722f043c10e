import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import type { DeploymentPlan } from "./plan/deployment-plan.ts";

const run = promisify(execFile);
const DEADLINE_MS = 60_000;
const LONGEST_PLAN = 32 * 1024 * 1024;

/**
 * The plan to spell: the one in the file that `TANDEM_PLAN` names, which `tandem deploy` has shown and checked, or what
 * `tandem plan --json` says now. In a process of its own: the project's modules are TypeScript, and Pulumi's loader, which
 * has its say in this process, refuses imports that end in `.ts`.
 * @param root the project's folder.
 * @throws Error with the faults of bentofile.yaml and config-file.yaml, as `tandem plan` tells them.
 */
export async function readPlan(root: string, stage: string, region: string): Promise<DeploymentPlan> {
  const { TANDEM_PLAN: file, TANDEM_CONFIG: configFile } = process.env;
  if (file) return JSON.parse(await readFile(file, "utf8")) as DeploymentPlan;
  const args = ["plan", root, "--stage", stage, "--region", region, "--json"];
  if (configFile) args.push("--config-file", join(root, configFile));
  try {
    const options = { cwd: root, timeout: DEADLINE_MS, maxBuffer: LONGEST_PLAN };
    const { stdout } = await run(process.execPath, [join(root, "bin", "tandem.js"), ...args], options);
    return JSON.parse(stdout) as DeploymentPlan;
  } catch (error) {
    const { stderr } = error as { stderr?: string };
    throw new Error(stderr?.trim() || "tandem plan failed", { cause: error });
  }
}
