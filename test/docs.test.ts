import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { ERROR_CODES } from "#shared/errors/codes.ts";
import { tandem } from "./e2e/served-project.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const read = (path: string): string => readFileSync(ROOT + path, "utf8");
const sources = ["bin", "functions", "gpu-worker", "infra", "shared"]
  .flatMap((room) => readdirSync(ROOT + room, { recursive: true, encoding: "utf8" }).map((file) => `${room}/${file}`))
  .filter((file) => /\.(ts|js|mjs)$/.test(file));
const documents = ["README.md", ...readdirSync(`${ROOT}docs`).map((file) => `docs/${file}`)];

describe("the documents", () => {
  it("list every error code as the table has it, and no other", () => {
    const rows = [...read("docs/errors.md").matchAll(/^\| `(\w+)` \| (\d+) \| (.+) \|$/gm)];
    expect(rows.map(([, code, status, meaning]) => [code, Number(status), meaning])).toEqual(
      Object.entries(ERROR_CODES).map(([code, { status, meaning }]) => [code, status, meaning]),
    );
  });

  it("name only environment variables that the code reads, and the README all that a user sets, or the page of containers", () => {
    const code = sources.map(read).join("\n");
    const inCode = new Set(code.match(/TANDEM_[A-Z_]+[A-Z]/g));
    const inDocuments = new Set(
      documents
        .map(read)
        .join("\n")
        .match(/TANDEM_[A-Z_]+[A-Z]/g),
    );
    expect([...inDocuments].filter((name) => !inCode.has(name))).toEqual([]);
    // One of our processes gives them to another, or a deployment to its functions.
    const internal = [
      ...["TANDEM_WORKER", "TANDEM_PLAN", "TANDEM_SOURCE"],
      ...["TANDEM_CANARY", "TANDEM_CANARY_ALARMS", "TANDEM_VERSION"],
    ];
    const inReadme = read("README.md") + read("docs/container.md");
    expect([...inCode].filter((name) => !internal.includes(name) && !inReadme.includes(name))).toEqual([]);
  });

  it("name only scripts, files and command options that exist", async () => {
    const { scripts } = JSON.parse(read("package.json")) as { scripts: Record<string, string> };
    const text = documents.map(read).join("\n");
    const named = [...text.matchAll(/npm (?:run )?([a-z:]+)(?= |$|`)/gm)].map(([, name]) => name!);
    expect(named.filter((name) => !(name in scripts) && name !== "ci")).toEqual([]);
    for (const document of documents)
      for (const [, target] of read(document).matchAll(/\]\(([^)#:]+)\)/g))
        expect(() => readFileSync(new URL(target!, `file://${ROOT}${document}`)), target).not.toThrow();
    const commands = await Promise.all(["serve", "call", "plan", "containerize"].map((name) => tandem(name, "--help")));
    const help = commands.map(({ out }) => out).join("");
    const options = [...read("README.md").matchAll(/npx tandem (?:[^#\n\\]|\\\n)*/g)].flatMap(
      ([command]) => command.match(/(?<= )--?[a-z]+/g) ?? [],
    );
    expect(options.length).toBeGreaterThan(5);
    expect(options.filter((option) => !help.includes(option))).toEqual([]);
  });
});
