import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, it } from "vitest";
import { tandem } from "../../e2e/served-project.ts";

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "tandem-config-"));
});
afterAll(() => rm(folder, { recursive: true }));

async function written(name: string, text: string): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, text);
  return path;
}

it("tandem config check passes the project's file, with its warnings", async () => {
  const { code, out } = await tandem("config", "check", ROOT, "-f", `${ROOT}config-file.yaml`);
  expect(code).toBe(0);
  expect(out).toMatch(/config-file\.yaml:20:9: warning: .*external_queue/);
  expect(out).toMatch(/0 faults, 2 warnings/);
});

it("tandem config check tells every fault, and ends with 1", async () => {
  const path = await written("bad.yaml", "nmae: x\nservices:\n  ControlNett: {}\n");
  const { code, out } = await tandem("config", "check", ROOT, "-f", path, "--json");
  const { ok, faults } = JSON.parse(out) as { ok: boolean; faults: { line: number; column: number; path: string }[] };
  expect([code, ok]).toEqual([1, false]);
  expect(faults.map(({ line, column, path }) => [line, column, path])).toEqual([
    [1, 1, "nmae"],
    [3, 3, "services.ControlNett"],
  ]);
});

it("tandem serve refuses the same file before anything starts", async () => {
  const path = await written("bad.yaml", "nmae: x\nservices:\n  ControlNett: {}\n");
  const { code, out, err } = await tandem("serve", ROOT, "-f", path, "--port", "0");
  expect([code, out]).toEqual([1, ""]);
  expect(err).toContain("bad.yaml:1:1: nmae: unknown field; did you mean name?");
  expect(err).toContain("bad.yaml:3:3: services.ControlNett: no such service; did you mean ControlNet?");
});

it("tandem config init writes a file that check passes, and replaces none unasked", async () => {
  const path = join(folder, "new.yaml");
  expect((await tandem("config", "init", ROOT, "-f", path)).code).toBe(0);
  const text = await readFile(path, "utf8");
  const [, schema] = /^# yaml-language-server: \$schema=(\S+)\n/.exec(text)!;
  expect(JSON.parse(await readFile(join(folder, schema!), "utf8"))).toHaveProperty("properties.services");
  const { code, out } = await tandem("config", "check", ROOT, "-f", path);
  expect([code, out.trim()]).toEqual([0, expect.stringMatching(/0 faults, 0 warnings$/)]);
  const whole = await written("whole.yaml", text.replace(/^( *)# (?!yaml-language|Every)/gm, "$1"));
  expect(await readFile(whole, "utf8")).toMatch(/^secrets:[\s\S]*^ {6}resources:/m);
  expect((await tandem("config", "check", ROOT, "-f", whole)).out).toMatch(/0 faults, 0 warnings/);
  expect((await tandem("config", "init", ROOT, "-f", path)).err).toMatch(/--force/);
  expect((await tandem("config", "init", ROOT, "-f", path, "--force")).code).toBe(0);
});

it("tandem config check says what to do where there is no file, and ends with 2 on a wrong option", async () => {
  const { code, err } = await tandem("config", "check", ROOT, "-f", join(folder, "nowhere.yaml"));
  expect([code, err]).toEqual([1, expect.stringContaining("tandem config init writes one")]);
  expect((await tandem("config", "check", "--no-such-option")).code).toBe(2);
});
