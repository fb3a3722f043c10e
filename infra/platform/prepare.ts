/** Makes `.sst/platform`, SST's components and types in the version that package.json pins, from the npm registry alone. */
import { execFile } from "node:child_process";
import { constants } from "node:fs";
import { access, mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { delimiter, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { FolderLock } from "#shared/serve/folder-lock.ts";

const run = promisify(execFile);

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const PLATFORM = join(ROOT, ".sst", "platform");
/** Where it is made before it is moved: a platform is there whole or not at all. */
const DRAFT = join(ROOT, ".sst", "draft");
/** The version that SST runs. It would download it; npm has it too. */
const BUN = "1.2.1";
const DEADLINE_MS = 5 * 60_000;

/** As SST wants a configuration: the provider's version is the platform's own where none is given. */
const CONFIG = `export default $config({
  app: () => ({ name: "tandem", home: "aws" }),
  async run() {},
});
`;

/**
 * Makes the platform unless it is there, whoever made it: `npx sst` makes the same. Takes about 20 s the first time on a
 * machine and 3 s in another clone (bun links from its cache). Several processes may ask at once: one works, the others wait.
 * @returns its folder.
 * @throws Error with what `sst install` said, or after five minutes.
 */
export async function preparePlatform(): Promise<string> {
  const version = await pinnedVersion();
  if (await isReady(version)) return PLATFORM;
  const lock = await lockDraft();
  try {
    if (!(await isReady(version))) await makePlatform();
  } finally {
    lock.release();
  }
  return PLATFORM;
}

async function pinnedVersion(): Promise<string> {
  const { devDependencies } = JSON.parse(await readFile(join(ROOT, "package.json"), "utf8")) as {
    devDependencies: { sst: string };
  };
  return devDependencies.sst;
}

/** `sst install` writes config.d.ts after everything else of the platform. */
async function isReady(version: string): Promise<boolean> {
  const made = await readFile(join(PLATFORM, "version"), "utf8").catch(() => undefined);
  return made === version && (await exists(join(PLATFORM, "config.d.ts")));
}

async function lockDraft(): Promise<FolderLock> {
  const giveUp = Date.now() + DEADLINE_MS;
  for (;;) {
    try {
      return new FolderLock(DRAFT);
    } catch (error) {
      if (Date.now() > giveUp) throw error;
      await sleep(200);
    }
  }
}

async function makePlatform(): Promise<void> {
  const made = join(DRAFT, ".sst");
  await rm(made, { recursive: true, force: true });
  await writeFile(join(DRAFT, "sst.config.ts"), CONFIG);
  const bun = await installBun();
  const bin = join(ROOT, "node_modules", ".bin");
  await run(join(bin, "sst"), ["install", "--stage", "types", "--config", join(DRAFT, "sst.config.ts")], {
    cwd: DRAFT,
    timeout: DEADLINE_MS,
    env: {
      ...process.env,
      PATH: `${bin}${delimiter}${process.env.PATH}`,
      // A person's ~/.config/sst is left alone, and Pulumi's engine is not downloaded: only a deployment needs it.
      XDG_CONFIG_HOME: join(DRAFT, "config"),
      SST_SKIP_DEPENDENCY_CHECK: "1",
      SST_TELEMETRY_DISABLED: "1",
      ...(bun ? { SST_BUN_PATH: bun } : { SST_NO_BUN: "1" }),
    },
  });
  await rm(PLATFORM, { recursive: true, force: true });
  await rename(join(made, "provider-lock.json"), join(ROOT, ".sst", "provider-lock.json"));
  await rename(join(made, "platform"), PLATFORM);
}

/** @returns undefined where there is no bun for this machine: SST takes npm then, which is slower. */
async function installBun(): Promise<string | undefined> {
  const cpu = process.arch === "arm64" ? "aarch64" : process.arch;
  const name = `@oven/bun-${process.platform}-${cpu}`;
  const folder = join(process.env.XDG_CACHE_HOME ?? join(homedir(), ".cache"), "tandem", `bun-${BUN}`);
  const bun = join(folder, "node_modules", name, "bin", "bun");
  try {
    if (!(await exists(bun))) {
      await mkdir(folder, { recursive: true });
      const quiet = ["--no-save", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"];
      await run("npm", ["install", "--prefix", folder, ...quiet, `${name}@${BUN}`], { timeout: DEADLINE_MS });
    }
    await run(bun, ["--version"], { timeout: 10_000 });
    return bun;
  } catch {
    return undefined;
  }
}

async function exists(file: string): Promise<boolean> {
  return access(file, constants.F_OK).then(
    () => true,
    () => false,
  );
}

if (import.meta.main) console.log(await preparePlatform());
