import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ControlNet } from "#shared/contracts/controlnet.ts";
import { createClient, ImageValue } from "#shared/index.ts";
import { type ServedProject, serveProject, tandem } from "./served-project.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const PICTURE = `${ROOT}examples/cat-face.png`;
const KEY = "e2e-key-0123456789abcdef";
const EDGES = "e2e-edges-0123456789abcdef";
const WRONG = "e2e-wrong-0123456789abcdef";
const PROMPT = "a zebra that nobody else asked for";
const image = new ImageValue(await readFile(PICTURE), "png");
const bearer = (key: string) => ({ authorization: `Bearer ${key}` });

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "tandem-access-"));
});
afterAll(() => rm(folder, { recursive: true }));

async function configFile(authorization: string): Promise<string> {
  const path = join(folder, `${authorization}.yaml`);
  await writeFile(path, `access_authorization: ${authorization}\n`);
  return path;
}

it.each([
  ["true", "http", /TANDEM_API_KEYS=\$\(openssl rand -hex 32\)/],
  ["true", "local", /TANDEM_API_KEYS=\$\(openssl rand -hex 32\)/],
  ["iam", "http", /only.*AWS|AWS's to check/],
])("tandem serve refuses to start with access_authorization: %s and no key (%s)", async (value, transport, message) => {
  const { code, out, err } = await tandem("serve", "-f", await configFile(value), "--transport", transport);
  expect([code, out]).toEqual([1, ""]);
  expect(err).toMatch(message);
});

describe.each(["http", "local"])("tandem serve --transport %s with keys", (transport) => {
  let served: ServedProject;
  beforeAll(async () => {
    const keys = [
      { name: "all", key: KEY },
      { name: "edges", key: EDGES, apis: ["edges"] },
    ];
    const env = { TANDEM_API_KEYS: JSON.stringify(keys), TANDEM_LOG_LEVEL: "info" };
    served = await serveProject(["-f", await configFile("true"), "--transport", transport], env);
  });
  afterAll(async () => {
    await served?.stop();
  });

  function form(params: object): FormData {
    const body = new FormData();
    body.append("image", new Blob([image.bytes as Uint8Array<ArrayBuffer>], { type: "image/png" }), "cat-face.png");
    body.append("params", JSON.stringify(params));
    return body;
  }
  const post = (path: string, headers: Record<string, string>, params: object = { prompt: PROMPT }) =>
    fetch(served.url + path, { method: "POST", headers, body: form(params) });

  it("asks for one at the entry, and not between its services", async () => {
    expect((await post("/generate", {})).status).toBe(401);
    expect((await post("/generate", bearer(WRONG))).status).toBe(401);
    expect((await post("/generate", bearer(EDGES))).status).toBe(403);
    expect((await fetch(`${served.url}/metrics`)).status).toBe(401);
    for (const probe of ["livez", "readyz"]) expect((await fetch(`${served.url}/${probe}`)).status).toBe(200);
    // The entry calls the model's service, which has no key and asks for none.
    const answer = await post("/generate", bearer(KEY), { prompt: PROMPT, num_inference_steps: 1 });
    expect([answer.status, answer.headers.get("content-type")]).toEqual([200, "image/png"]);
  });

  it("takes a client's and the command's token", async () => {
    await using client = createClient(ControlNet, { url: served.url, token: EDGES });
    expect((await client.edges({ image })).format).toBe("png");
    await expect(client.generate({ image, params: { prompt: PROMPT } })).rejects.toMatchObject({
      code: "PERMISSION_DENIED",
    });
    await using stranger = createClient(ControlNet, { url: served.url });
    await expect(stranger.edges({ image })).rejects.toMatchObject({ code: "UNAUTHENTICATED" });
    const args = ["call", "ControlNet.edges", "--image", PICTURE, "-o", join(folder, "edges.png"), "--url", served.url];
    expect((await tandem(...args, "--token", EDGES)).code).toBe(0);
    const refused = await tandem(...args);
    expect([refused.code, refused.err]).toEqual([1, expect.stringContaining("UNAUTHENTICATED")]);
  });

  it("logs no prompt, no picture and no key, whatever becomes of a call", async () => {
    const refusals = [
      // Faults of the input, in which the prompt stands; and of the picture.
      await post("/generate", bearer(KEY), { prompt: PROMPT, steps: PROMPT }),
      await post("/generate", bearer(KEY), { prompt: [PROMPT] }),
      await post("/generate", bearer(KEY), { prompt: PROMPT, width: 4000, height: 4000 }),
      await post(`/generate?prompt=${encodeURIComponent(PROMPT)}`, bearer(WRONG)),
      await fetch(`${served.url}/edges`, { method: "POST", headers: bearer(KEY), body: form({ prompt: PROMPT }) }),
    ];
    expect(refusals.map(({ status }) => status)).toEqual([400, 400, 413, 401, 400]);
    const broken = image.bytes.slice(0, 2000);
    await using client = createClient(ControlNet, { url: served.url, token: KEY });
    const params = { prompt: PROMPT, num_inference_steps: 1 };
    await expect(client.generate({ image: new ImageValue(broken, "png"), params })).rejects.toThrow();
    const submitted = await post("/generate/submit", { ...bearer(KEY), "idempotency-key": "k" }, params);
    const { task_id } = (await submitted.json()) as { task_id: string };
    const result = async () =>
      (await fetch(`${served.url}/generate/get?task_id=${task_id}`, { headers: bearer(KEY) })).status;
    await expect.poll(result, { timeout: 30_000, interval: 200 }).toBe(200);
    const log = served.log();
    // It says something, of calls that are delivered twice on purpose, and so is heard.
    expect(log).toContain("--redeliver 0");
    for (const secret of [KEY, EDGES, WRONG, PROMPT, encodeURIComponent(PROMPT), "zebra"])
      expect(log).not.toContain(secret);
    for (const encoding of ["base64", "hex", "latin1"] as const)
      expect(log).not.toContain(Buffer.from(image.bytes.subarray(8, 40)).toString(encoding));
    expect(log).not.toContain(image.bytes.subarray(8, 20).join(","));
  });
});
