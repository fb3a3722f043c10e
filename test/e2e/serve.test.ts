import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ControlNet } from "#shared/contracts/controlnet.ts";
import { createClient, ImageValue } from "#shared/index.ts";
import { runs, type ServedProject, serveProject, tandem } from "./served-project.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const PICTURE = `${ROOT}examples/cat-face.png`;
const house = new ImageValue(await readFile(PICTURE), "png");
const params = { prompt: "a red house on a yellow background", seed: 3 };

function form(fields: Record<string, unknown>, picture: Uint8Array = house.bytes): FormData {
  const body = new FormData();
  body.append("image", new Blob([picture as Uint8Array<ArrayBuffer>], { type: "image/png" }), "cat-face.png");
  for (const [name, value] of Object.entries(fields)) body.append(name, JSON.stringify(value));
  return body;
}

describe("tandem serve", () => {
  let served: ServedProject;
  const post = (api: string, body: FormData, headers: Record<string, string> = {}): Promise<Response> =>
    fetch(`${served.url}/${api}`, { method: "POST", body, headers });

  beforeAll(async () => {
    served = await serveProject(["--workers", "2", "-f", `${ROOT}config-file.yaml`, "--transport", "http"]);
  });
  afterAll(async () => {
    await served?.stop();
  });

  it("runs each service in its own processes, as many as its workers say", () => {
    const { ControlNet: entry, SDXLControlNetService: gpu } = served.workers;
    expect(entry).toHaveLength(2);
    expect(gpu).toHaveLength(1);
    expect(new Set([...entry!, ...gpu!, served.process.pid]).size).toBe(4);
  });

  it("makes a picture in the format that the caller accepts, at the picture's shape and the model's native area", async () => {
    const wide = await sharp(house.bytes).resize(512, 256, { fit: "fill" }).png().toBuffer();
    const response = await post("generate", form({ params: { ...params, num_inference_steps: 2 } }, wide), {
      accept: "image/webp",
    });
    expect(response.status).toBe(200);
    expect(response.headers.get("content-type")).toBe("image/webp");
    const { format, width, height } = await sharp(Buffer.from(await response.arrayBuffer())).metadata();
    // 128 x 128 pixels in the ratio of 2 to 1, in multiples of 16.
    expect({ format, width, height }).toEqual({ format: "webp", width: 176, height: 96 });
  });

  it("gives the size that was asked for, odd ones too", async () => {
    const response = await post(
      "generate",
      form({ params: { ...params, num_inference_steps: 1, width: 101, height: 75 } }),
    );
    const { width, height } = await sharp(Buffer.from(await response.arrayBuffer())).metadata();
    expect({ width, height }).toEqual({ width: 101, height: 75 });
  });

  it("gives the edge map as a one-channel PNG of the picture's own size", async () => {
    const response = await post("edges", form({ low: 50, high: 120 }));
    const { format, width, height, channels } = await sharp(Buffer.from(await response.arrayBuffer())).metadata();
    expect({ format, width, height, channels }).toEqual({ format: "png", width: 512, height: 512, channels: 1 });
  });

  it("gives several pictures of one call, in the format and quality asked for, with their seed", async () => {
    const several = async (quality: number) => {
      const asked = {
        num_images_per_prompt: 2,
        output_format: "jpeg",
        output_quality: quality,
        num_inference_steps: 2,
      };
      const response = await post("generate_images", form({ params: { ...params, ...asked } }));
      expect(response.status).toBe(200);
      return (await response.json()) as { images: string[]; seed: number; warnings: string[] };
    };
    const [rough, fine] = [await several(10), await several(95)];
    expect(rough).toMatchObject({ seed: 3, warnings: [] });
    expect(new Set(rough.images).size).toBe(2);
    for (const [at, image] of rough.images.entries()) {
      expect(image).toMatch(/^data:image\/jpeg;base64,/);
      expect(image.length).toBeLessThan(fine.images[at]!.length);
    }
    // The first is the one that generate gives for that seed.
    const single = { ...params, output_format: "jpeg", output_quality: 95, num_inference_steps: 2 };
    const alone = await (await post("generate", form({ params: single }), { accept: "image/webp" })).bytes();
    const pixels = (picture: Uint8Array) => sharp(picture).raw().toBuffer();
    const first = await pixels(Buffer.from(fine.images[0]!.split(",")[1]!, "base64"));
    const apart = (await pixels(alone)).reduce((most, value, at) => Math.max(most, Math.abs(value - first[at]!)), 0);
    expect(apart).toBeLessThan(8);
  });

  it("takes the sampler and the edges' thresholds from the call", async () => {
    const picture = async (fields: Record<string, unknown>, change = {}): Promise<string> => {
      const response = await post(
        "generate",
        form({ params: { ...params, num_inference_steps: 2, ...change }, ...fields }),
      );
      expect(response.status).toBe(200);
      return Buffer.from(await response.arrayBuffer()).toString("base64");
    };
    const pictures = [
      await picture({}),
      await picture({ low: 1e6, high: 1e6 }),
      await picture({}, { scheduler: "euler_a" }),
      await picture({}, { scheduler: "DPMSolverMultistepScheduler" }),
      await picture({}, { control_guidance_end: 0.5 }),
    ];
    expect(new Set(pictures).size).toBe(pictures.length);
    expect(await picture({ low: 100, high: 200 }, { scheduler: "euler" })).toBe(pictures[0]);
  });

  it.each([
    ["scheduler", { scheduler: "ddim" }, /give one of EulerDiscreteScheduler, .*lcm/],
    ["num_images_per_prompt", { num_images_per_prompt: 2 }, /generate_images/],
    [
      "control_guidance_end",
      { control_guidance_start: 0.6, control_guidance_end: 0.6 },
      /above control_guidance_start/,
    ],
    ["output_quality", { output_quality: 0 }, /1/],
    ["output_format", { output_format: "bmp" }, /png, webp, jpeg/],
  ])("refuses a wrong %s by name, and says what is right", async (field, change, fix) => {
    const response = await post("generate", form({ params: { ...params, ...change } }));
    expect(response.status).toBe(400);
    const { detail } = (await response.json()) as { detail: { path: string[]; message: string }[] };
    expect(detail).toEqual([{ path: ["params", field], message: expect.stringMatching(fix) }]);
  });

  it("says what of a long prompt had no effect, to the caller alone", async () => {
    const prompt = `${"a red house, ".repeat(20)}and a Café`;
    const ask = { params: { ...params, prompt, num_inference_steps: 1 } };
    const header = (await post("generate", form(ask))).headers.get("tandem-warning");
    expect(header).toMatch(
      /^The following part of your input was truncated because CLIP can .* 77 tokens: \[', a red house/,
    );
    expect(header).toContain("caf\\u00e9']");
    const { warnings } = (await (await post("generate_images", form(ask))).json()) as { warnings: string[] };
    expect(warnings).toEqual([expect.stringContaining("and a café']")]);
    expect(
      (await post("generate", form({ params: { ...params, num_inference_steps: 1 } }))).headers.get("tandem-warning"),
    ).toBe(null);
    expect(served.log()).toMatch(/"dropped_tokens":\{"prompt":\d+,"negativePrompt":0\}.*a prompt was truncated/);
    expect(served.log()).not.toContain("red house");
  });

  it("refuses a size that the model cannot work at, before the model sees it", async () => {
    const response = await post("generate", form({ params: { ...params, width: 4000, height: 4000 } }));
    expect(response.status).toBe(413);
    expect(await response.json()).toMatchObject({ code: "PAYLOAD_TOO_LARGE" });
  });

  it("counts every worker's calls in one metrics page, the dependency's too", async () => {
    await Promise.all([1, 2, 3, 4].map(() => post("edges", form({}))));
    const text = await (await fetch(`${served.url}/metrics`)).text();
    const count = (labels: string): number => {
      const line = text.split("\n").find((row) => row.startsWith(`bentoml_service_request_total{${labels}`));
      return Number(line?.split(" ").at(-1) ?? 0);
    };
    expect(count('endpoint="/edges",service_name="ControlNet"')).toBeGreaterThanOrEqual(5);
    expect(count('endpoint="/generate",service_name="SDXLControlNetService"')).toBeGreaterThanOrEqual(2);
    // Runs of the model, by how many calls shared each.
    expect(text).toMatch(
      /adaptive_batch_size_bucket\{le="8",[^}]*endpoint="\/generate",service_name="SDXLControlNetService"[^}]*\} [1-9]/,
    );
  });

  it("answers probes while a 100-megapixel picture is worked on and while the model computes", async () => {
    const large = await sharp({ create: { width: 10_000, height: 10_000, channels: 3, background: "#357" } })
      .png({ compressionLevel: 1 })
      .toBuffer();
    let busy = true;
    const work = Promise.all([post("edges", form({}, large)), post("generate", form({ params }))]).then((answers) => {
      busy = false;
      return answers.map(({ status }) => status);
    });
    let probes = 0;
    while (busy) {
      expect((await fetch(`${served.url}/livez`)).status).toBe(200);
      probes++;
    }
    expect(await work).toEqual([200, 200]);
    expect(probes).toBeGreaterThan(10);
  });

  it("stops the model when the caller goes away", async () => {
    const gone = new AbortController();
    const body = form({ params: { ...params, num_inference_steps: 1000 } });
    const call = fetch(`${served.url}/generate`, { method: "POST", body, signal: gone.signal });
    const calls = async (metric: string): Promise<boolean> =>
      (await (await fetch(`${served.url}/metrics`)).text())
        .split("\n")
        .some(
          (line) => line.startsWith(metric) && line.includes('"/generate",service_name="SDXL') && line.endsWith(" 1"),
        );
    await expect.poll(() => calls("bentoml_service_request_in_progress{"), { timeout: 20_000 }).toBe(true);
    gone.abort();
    await expect(call).rejects.toThrow("aborted");
    await expect.poll(() => calls("bentoml_service_request_in_progress{"), { timeout: 20_000 }).toBe(false);
    // The model is free: a thousand steps would take most of a minute.
    const next = await post("generate", form({ params: { ...params, num_inference_steps: 1 } }));
    expect(next.status).toBe(200);
    const text = await (await fetch(`${served.url}/metrics`)).text();
    expect(text).toMatch(/request_total\{endpoint="\/generate",service_name="SDXL[^}]*code="499"\} 1/);
  });

  it("answers a call whose GPU worker is killed, and the next one too", async () => {
    await using client = createClient(ControlNet, { url: served.url });
    const { promise: underway, resolve } = Promise.withResolvers<void>();
    const call = client.generate(
      { image: house, params: { ...params, num_inference_steps: 60 } },
      { progress: (fraction) => fraction > 0.1 && resolve(), timeout: 60 },
    );
    await underway;
    const [pid] = served.workers.SDXLControlNetService!;
    process.kill(pid!, "SIGKILL");
    // generate is declared idempotent, so the entry sends it again once the worker is back.
    expect((await call).format).toBe("png");
    expect((await client.generate({ image: house, params: { ...params, num_inference_steps: 1 } })).format).toBe("png");
    expect(runs(pid!)).toBe(false);
    expect(served.log()).toContain("a worker of SDXLControlNetService died; it starts again");
  });

  it.each([
    ["a URL in depends()", (url: string) => ({ CALLEE_URL: url })],
    [
      "TANDEM_SERVICES",
      (url: string) => ({ TANDEM_SERVICES: JSON.stringify({ ControlNet: { transport: "http", url } }) }),
    ],
  ])("serves a project whose dependency runs elsewhere, by %s", async (_, env) => {
    await using caller = await serveProject([], env(served.url), `${ROOT}test/e2e/elsewhere`);
    expect(Object.keys(caller.workers)).toEqual(["Caller"]);
    const answer = await fetch(`${caller.url}/ask`, { method: "POST" });
    expect(await answer.text()).toBe("INVALID_ARGUMENT");
  });

  it("names a dependency that runs nowhere", async () => {
    const lost = serveProject([], {}, `${ROOT}test/e2e/elsewhere`);
    await expect(lost).rejects.toThrow(/ControlNet has no implementation: export it from service.ts/);
  });

  it("finishes calls in work when told to stop, then leaves no process behind", async () => {
    const call = post("generate", form({ params }));
    await expect
      .poll(
        async () =>
          (await (await fetch(`${served.url}/metrics`)).text()).includes(
            'request_in_progress{endpoint="/generate",service_name="SDXLControlNetService",service_version="not available",runner_name="SDXLControlNetService"} 1',
          ),
        { timeout: 20_000 },
      )
      .toBe(true);
    const code = served.stop("SIGINT");
    expect((await call).status).toBe(200);
    expect(await code).toBe(0);
    for (const pid of Object.values(served.workers).flat()) expect(runs(pid)).toBe(false);
  });
});

describe("the tandem command", () => {
  it("runs the whole graph in one process with --transport local", async () => {
    await using served = await serveProject(["--transport", "local"]);
    expect(served.workers).toEqual({
      ControlNet: [served.process.pid],
      SDXLControlNetService: [served.process.pid],
    });
    const body = form({ params: { ...params, num_inference_steps: 1 } });
    expect((await fetch(`${served.url}/generate`, { method: "POST", body })).status).toBe(200);
  });

  it("says so when a service cannot start", async () => {
    const failing = serveProject(["--workers", "1"], { TANDEM_MODEL_DIR: "/nowhere" });
    await expect(failing).rejects.toThrow(/ended with 1.*SDXLControlNetService cannot start/s);
  });

  it("calls an api in this process and writes the picture", async () => {
    const folder = await mkdtemp(join(tmpdir(), "tandem-test-"));
    const file = join(folder, "out.jpg");
    const { code, out } = await tandem(
      ...["call", "ControlNet.generate", "--image", PICTURE, "--param", "prompt=a blue house"],
      ...["--param", "num_inference_steps=1", "-o", file],
    );
    expect({ code, out }).toEqual({ code: 0, out: `${file}\n` });
    expect((await sharp(file).metadata()).format).toBe("jpeg");
    const several = await tandem(
      ...["call", "ControlNet.generate_images", "--image", PICTURE, "--param", "prompt=a blue house"],
      ...["--param", "num_inference_steps=1", "--param", "num_images_per_prompt=2", "-o", file],
    );
    const names = [1, 2].map((number) => join(folder, `out-${number}.jpg`));
    expect(several).toMatchObject({ code: 0, out: `${names.join("\n")}\n` });
    for (const name of names) expect((await sharp(name).metadata()).format).toBe("jpeg");
    await rm(folder, { recursive: true });
  });

  it("exits with 2 when it is used wrongly and with 1 when the call fails", async () => {
    expect((await tandem("serve", "--port", "abc")).code).toBe(2);
    expect((await tandem("call", "ControlNet.nothing")).code).toBe(2);
    const failed = await tandem(
      "call",
      "ControlNet.edges",
      "--image",
      PICTURE,
      "--url",
      "http://127.0.0.1:9",
      "-o",
      "x.png",
    );
    expect(failed.code).toBe(1);
    expect(failed.err).toContain("ControlNet cannot be reached (UNAVAILABLE)");
  });
});
