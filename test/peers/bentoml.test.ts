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

it.each([
  ["bentoml_client.py", "call the running entry"],
  ["bentoml_tasks.py", "submit tasks to it and ask for them"],
])("BentoML's own clients, unmodified (%s), %s", async (file, _what) => {
  const script = spawn(python, [here(file), served.url, here("../../examples/cat-face.png")], {
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
