import { existsSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { basename, dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { ConfigError, type Fault, faultLine } from "../config/faults.ts";
import { deploymentName, initialConfigFile } from "../config/init.ts";
import { readBentofile, readConfigFile } from "../config/load.ts";
import { loadProject } from "../serve/project.ts";

export interface CheckCommand {
  file?: string;
  json?: boolean;
}

/** `tandem config check`: every fault of bentofile.yaml and config-file.yaml. */
export async function checkConfig(folder: string, { file, json }: CheckCommand): Promise<void> {
  const bentofilePath = join(folder, "bentofile.yaml");
  const path = file ?? join(folder, "config-file.yaml");
  if (!existsSync(path)) throw new Error(`${path} is missing; tandem config init writes one`);
  const faults: Fault[] = [];
  const gathered = async <T extends { warnings: Fault[] }>(read: Promise<T>): Promise<T | undefined> => {
    try {
      const loaded = await read;
      faults.push(...loaded.warnings);
      return loaded;
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      faults.push(...error.faults);
      return undefined;
    }
  };
  const bentofile = await gathered(readBentofile(bentofilePath));
  // Without a bentofile that can be read, nobody knows which services there are.
  const services = bentofile && (await loadProject(folder)).services.map(({ name }) => name);
  await gathered(readConfigFile(path, services && { services, wanted: bentofile.wanted }));
  const errors = faults.filter(({ severity }) => severity === "error").length;
  if (json) console.log(JSON.stringify({ ok: errors === 0, faults }));
  else {
    for (const fault of faults) console.log(faultLine(fault));
    const warnings = faults.length - errors;
    console.log(`${bentofilePath} and ${path}: ${count(errors, "fault")}, ${count(warnings, "warning")}`);
  }
  if (errors > 0) process.exitCode = 1;
}

/** `tandem config init`: writes a commented config-file.yaml for the project's services. */
export async function initConfig(folder: string, { file, force }: { file?: string; force?: boolean }): Promise<void> {
  const path = file ?? join(folder, "config-file.yaml");
  if (existsSync(path) && !force) throw new Error(`${path} is there already; --force replaces it`);
  const services = (await loadProject(folder)).services.map(({ name, resources }) => ({
    name,
    gpu: (resources.gpu ?? 0) > 0,
  }));
  const schema = fileURLToPath(new URL("../config/config-file.schema.json", import.meta.url));
  const link = relative(dirname(resolve(path)), schema);
  const text = initialConfigFile(
    deploymentName(basename(resolve(folder))),
    services,
    link.startsWith(".") ? link : `./${link}`,
  );
  await writeFile(path, text);
  console.log(`wrote ${path}`);
}

function count(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? "" : "s"}`;
}
