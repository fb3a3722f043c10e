import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type ServedProject, serveProject } from "../e2e/served-project.ts";
import { pythonWith } from "../python.ts";

const here = (file: string): string => fileURLToPath(new URL(file, import.meta.url));

let python: string;
let served: ServedProject;
beforeAll(async () => {
  [python, served] = await Promise.all([
    pythonWith("peers", here("requirements.txt")),
    serveProject(["--workers", "2"]),
  ]);
});
afterAll(async () => {
  await served?.stop();
});

it("BentoML's own clients call the running entry unmodified", async () => {
  const script = spawn(python, [here("bentoml_client.py"), served.url, here("../../examples/cat-face.png")], {
    stdio: ["ignore", "pipe", "inherit"],
    env: { ...process.env, BENTOML_DO_NOT_TRACK: "True" },
  });
  let out = "";
  script.stdout.on("data", (chunk: Buffer) => {
    out += chunk;
  });
  const [code] = (await once(script, "close")) as [number | null];
  const checks = out
    .split("\n")
    .filter(Boolean)
    .map((line) => JSON.parse(line) as { check: string; ok: boolean });
  expect(checks.filter(({ ok }) => !ok)).toEqual([]);
  expect(checks.length).toBeGreaterThan(30);
  expect(code).toBe(0);
});
