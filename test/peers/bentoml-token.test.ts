import { spawn } from "node:child_process";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { serveProject } from "../e2e/served-project.ts";
import { pythonWith } from "../python.ts";

const here = (file: string): string => fileURLToPath(new URL(file, import.meta.url));
const KEY = "bentoml-0123456789abcdef";
const OTHER_KEY = "generate-0123456789abcdef";
const KEYS = [
  { name: "bentoml", key: KEY },
  { name: "generate", key: OTHER_KEY, apis: ["generate"] },
];

it("BentoML's own clients, unmodified, send a token to an entry that asks for one", async () => {
  const python = await pythonWith("peers", here("requirements.txt"));
  await using served = await serveProject([], { TANDEM_API_KEYS: JSON.stringify(KEYS) });
  const picture = here("../../examples/cat-face.png");
  const script = spawn(python, [here("bentoml_token.py"), served.url, picture, KEY, OTHER_KEY], {
    stdio: ["ignore", "pipe", "inherit"],
    env: { ...process.env, BENTOML_DO_NOT_TRACK: "True" },
  });
  const closed = once(script, "close") as Promise<[number | null]>;
  const lines = (await text(script.stdout)).trim().split("\n");
  const checks = lines.map((line) => JSON.parse(line) as { check: string; ok: boolean });
  expect(checks.filter(({ ok }) => !ok)).toEqual([]);
  expect(checks).toHaveLength(9);
  expect((await closed)[0]).toBe(0);
  const metrics = await fetch(`${served.url}/metrics`, { headers: { authorization: `Bearer ${KEY}` } });
  expect(await metrics.text()).toMatch(/^tandem_access_total\{key="bentoml",outcome="OK"\} [1-9]/m);
});
