import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import http from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type ServedProject, serveProject } from "../e2e/served-project.ts";
import { pythonWith } from "../python.ts";

const here = (file: string): string => fileURLToPath(new URL(file, import.meta.url));

const LEAST_CASES = 2000;
/** Schemathesis' checks, without those that say which inputs must be taken: no schema says what is a picture. */
const CHECKS = [
  "not_a_server_error",
  "status_code_conformance",
  "content_type_conformance",
  "response_headers_conformance",
  "response_schema_conformance",
  "unsupported_method",
  "allow_header_conformance",
  "ignored_auth",
];
const KEY = randomBytes(32).toString("hex");

interface Run {
  recorder?: {
    cases?: Record<string, { value: { method: string; path: string } }>;
    interactions?: Record<string, { response: { status_code: number } | null }>;
    checks?: Record<string, { name: string; status: string }[]>;
  };
}

let python: string;
let served: ServedProject;
let folder: string;
let told = 0;
/** What callbacks are told. */
const receiver = http.createServer((request, response) => {
  told++;
  request.resume().once("end", () => response.writeHead(204).end());
});

beforeAll(async () => {
  receiver.listen(0, "127.0.0.1");
  await once(receiver, "listening");
  [python, served, folder] = await Promise.all([
    pythonWith("schemathesis", here("schemathesis-requirements.txt")),
    serveProject(["--workers", "1"], {
      TANDEM_API_KEYS: KEY,
      TANDEM_WEBHOOK_SECRET: randomBytes(32).toString("base64"),
      TANDEM_WEBHOOK_ALLOW_PRIVATE: "1",
    }),
    mkdtemp(join(tmpdir(), "tandem-schemathesis-")),
  ]);
});
afterAll(async () => {
  await served?.stop();
  receiver.close();
  if (folder) await rm(folder, { recursive: true, force: true });
});

it("Schemathesis finds no fault in what the running entry's docs.json says of it", async () => {
  const report = join(folder, "run.ndjson");
  const { code, out } = await schemathesis(
    `${served.url}/docs.json`,
    ...["--header", `Authorization: Bearer ${KEY}`],
    ...["--checks", CHECKS.join(",")],
    ...["--max-examples", "100", "--seed", "1", "--generation-database", "none"],
    // One at a time: two threads at once break Python 3.11's own parser now and then.
    ...["--workers", "1", "--request-timeout", "60", "--continue-on-failure"],
    ...["--report", "ndjson", "--report-ndjson-path", report, "--no-color"],
  );
  const runs = (await readFile(report, "utf8"))
    .split("\n")
    .filter(Boolean)
    .flatMap((line) => Object.values(JSON.parse(line) as Record<string, Run>))
    .flatMap(({ recorder }) => recorder ?? []);
  expect(code, out).toBe(0);

  const answers = new Map<string, Set<number>>();
  let cases = 0;
  for (const { cases: sent = {}, interactions = {} } of runs)
    for (const [id, { response }] of Object.entries(interactions)) {
      const { method, path } = sent[id]!.value;
      const operation = `${method} ${path}`;
      if (!answers.has(operation)) answers.set(operation, new Set());
      answers.get(operation)!.add(response?.status_code ?? 0);
      cases++;
    }
  console.info(`${cases} cases`);
  expect(cases).toBeGreaterThanOrEqual(LEAST_CASES);
  const checked = runs.flatMap(({ checks = {} }) => Object.values(checks).flat());
  expect([...new Set(checked.map(({ name }) => name))].sort()).toEqual([...CHECKS].sort());

  // Every operation did its work, not only refuse what was sent to it.
  const unserved = (await operations()).filter(
    (operation) => ![...(answers.get(operation) ?? [])].some((status) => status >= 200 && status < 400),
  );
  expect(unserved).toEqual([]);
  expect(told).toBeGreaterThan(0);
  const statuses = new Set([...answers.values()].flatMap((of) => [...of]));
  for (const status of [200, 400, 401, 404, 409]) expect(statuses).toContain(status);
  for (const status of [0, 500, 503]) expect(statuses).not.toContain(status);
});

/** Runs `st run`: its exit code says whether something was found. */
async function schemathesis(...args: string[]): Promise<{ code: number; out: string }> {
  const { port } = receiver.address() as AddressInfo;
  return new Promise((resolve) => {
    const options = {
      cwd: folder,
      maxBuffer: 2 ** 28,
      env: {
        ...process.env,
        PYTHONPATH: here("."),
        PYTHONDONTWRITEBYTECODE: "1",
        PYTHONIOENCODING: "utf-8",
        SCHEMATHESIS_HOOKS: "schemathesis_hooks",
        CALLBACK_URL: `http://127.0.0.1:${port}/`,
      },
    };
    execFile(join(dirname(python), "st"), ["run", ...args], options, (error, stdout, stderr) =>
      resolve({ code: typeof error?.code === "number" ? error.code : error ? 1 : 0, out: stdout + stderr }),
    );
  });
}

/** Every operation of docs.json, as `POST /edges`. */
async function operations(): Promise<string[]> {
  const response = await fetch(`${served.url}/docs.json`, { headers: { authorization: `Bearer ${KEY}` } });
  const { paths } = (await response.json()) as { paths: Record<string, object> };
  return Object.entries(paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
  );
}
