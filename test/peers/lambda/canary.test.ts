import { mkdtempSync } from "node:fs";
import { rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { bundleHandlers } from "#functions/build.ts";
import { canaryRollback } from "#shared/lambda/canary-rollback.ts";
import { runtimeClient } from "#shared/serve/lambda/runtime-client.ts";
import { type LocalLambda, type LocalLambdaSettings, startLocalLambda } from "./local-lambda.ts";

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "tandem-local-canary-"));
const storeUrl = `file:${folder}/store`;
const stopping: AsyncDisposable[] = [];
let runtime: string;

beforeAll(async () => {
  runtime = await runtimeClient();
  await bundleHandlers(folder, { remote: "test/peers/lambda/remote-handler.ts" });
  await symlink(`${ROOT}node_modules`, join(folder, "node_modules"));
});
afterAll(async () => {
  vi.unstubAllEnvs();
  for (const lambda of stopping) await lambda[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

async function start(handler: string, settings: Partial<LocalLambdaSettings>): Promise<LocalLambda> {
  const lambda = await startLocalLambda({ folder, handler, runtime, ...settings });
  stopping.push(lambda);
  return lambda;
}

/** A version behind Lambda's Invoke API, and an entry that hands all calls over to it: processes of AWS's runtime client. */
async function pair(
  fingerprint: string,
  mode: "RESPONSE_STREAM" | "BUFFERED",
  settings: Partial<LocalLambdaSettings> = {},
) {
  const handler = mode === "BUFFERED" ? "remote.buffered" : "remote.handler";
  const env = { TANDEM_STORE: storeUrl, AWS_REGION: "us-east-1" };
  const version = await start(handler, { env: { ...env, TANDEM_VERSION: "next" }, ...settings });
  const split = {
    routeType: "random",
    versions: [{ label: "next", weight: 100, functionName: "tandem", fingerprint }],
  };
  const entry = await start(handler, {
    invokeMode: mode,
    env: { ...env, TANDEM_CANARY: JSON.stringify(split), AWS_ENDPOINT_URL_LAMBDA: version.endpoint },
  });
  const post = (api: string, input: object): Promise<Response> =>
    fetch(`${entry.url}/${api}`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(input),
    });
  return { entry, version, post };
}

describe.each(["RESPONSE_STREAM", "BUFFERED"] as const)("behind a URL that is %s", (mode) => {
  test("a call is the version's, its answer untouched", async () => {
    const { entry, version, post } = await pair(`f-${mode}`, mode);
    const answer = await post("pid", {});
    expect([answer.status, answer.headers.get("tandem-version")]).toEqual([200, "next"]);
    expect(version.fn.pids).toContain(await answer.json());
    const raw = await post("raw", { length: 3_000_000 });
    expect([raw.headers.get("tandem-version"), raw.headers.get("content-type")]).toEqual([
      "next",
      "application/octet-stream",
    ]);
    const expected = Buffer.from(Uint8Array.from({ length: 3_000_000 }, (_, i) => i & 255));
    expect(Buffer.compare(Buffer.from(await raw.arrayBuffer()), expected)).toBe(0);
    const wrong = await post("raw", { length: "long" });
    expect([wrong.status, wrong.headers.get("tandem-version")]).toEqual([400, "next"]);
    expect((await fetch(`${entry.url}/livez`)).headers.get("tandem-version")).toBeNull();
  });

  test("the entry answers itself once the version has been taken off, and a new one gets calls again", async () => {
    const { entry, version, post } = await pair(`g-${mode}`, mode);
    const { post: toOther } = await pair(`h-${mode}`, mode);
    vi.stubEnv("TANDEM_STORE", storeUrl);
    vi.stubEnv("TANDEM_CANARY_ALARMS", JSON.stringify({ rings: { label: "next", fingerprint: `g-${mode}` } }));
    await canaryRollback()({ alarmData: { alarmName: "rings", state: { value: "ALARM" } } });
    const off = await post("pid", {});
    expect([off.headers.get("tandem-version"), version.fn.initMs]).toEqual([null, []]);
    expect(entry.fn.pids).toContain(await off.json());
    expect((await toOther("pid", {})).headers.get("tandem-version")).toBe("next");
  });

  test("a version that is throttled, or not there, costs no call", async () => {
    const { version, post } = await pair(`i-${mode}`, mode, { concurrency: 1 });
    const file = join(folder, `gate-${mode}`);
    const busy = post("gated", { file });
    while (version.fn.pids.length === 0) await new Promise((resolve) => setTimeout(resolve, 50));
    const second = await post("pid", {});
    expect([second.status, second.headers.get("tandem-version")]).toEqual([200, null]);
    await writeFile(file, "");
    expect((await busy).headers.get("tandem-version")).toBe("next");
    // Never asked before: on a connection that breaks nobody knows whether the version ran, and the caller hears 503.
    const gone = await pair(`j-${mode}`, mode);
    await gone.version[Symbol.asyncDispose]();
    const third = await gone.post("pid", {});
    expect([third.status, third.headers.get("tandem-version")]).toEqual([200, null]);
  });
});

test("items go through both functions as they are made, and more than 6 MB of them", async () => {
  const { post } = await pair("s", "RESPONSE_STREAM");
  const file = join(folder, "gate");
  const response = await post("gated", { file });
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
  expect((await reader.read()).value).toBe("first");
  await writeFile(file, "");
  expect((await reader.read()).value).toBe("second");
  expect((await reader.read()).done).toBe(true);
  expect((await (await post("raw", { length: 10_000_000 })).arrayBuffer()).byteLength).toBe(10_000_000);
});

test("a version that dies in a call is answered for; the entry goes on", async () => {
  const { post } = await pair("x", "RESPONSE_STREAM");
  const died = await post("exit", {});
  expect([died.status, died.headers.get("tandem-version")]).toEqual([500, "next"]);
  expect(((await died.json()) as { error: string }).error).toContain("Runtime.ExitError");
  expect((await post("pid", {})).status).toBe(200);
});
