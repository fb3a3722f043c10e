import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

const folder = fileURLToPath(new URL(".", import.meta.url));

export default function setup(): void {
  if (!existsSync(`${folder}node_modules/playwright-core`))
    execFileSync("npm", ["ci", "--loglevel=error"], { cwd: folder, stdio: "inherit" });
}
