/**
 * How fast the entry is as a Lambda function: `node test/bench/cold-start.bench.ts`. Beside a bare Hono handler, bundled
 * alike, in turns, each in a process of its own with AWS's runtime client (`.peers/lambda`): from the process's start to
 * the first event asked for; the first health answer; the first picture after it, against sharp's own load and a warm
 * picture; the same start where the entry has a queue of its own, as a deployed one has. Then, in this process, what the handler costs around a service that does nothing but pass on a picture of 1 MB,
 * against Hono's own adapters answering the same bytes.
 */
import { mkdtempSync } from "node:fs";
import { readFile, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Writable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { Hono } from "hono";
import { handle, streamHandle } from "hono/aws-lambda";
import * as z from "zod";
import { bundleHandlers, HANDLERS } from "#functions/build.ts";
import {
  type Apis,
  api,
  type CallContext,
  deployable,
  type ImageValue,
  type Input,
  image,
  implement,
  service,
} from "#shared/index.ts";
import { lambdaHandler } from "#shared/lambda/handler.ts";
import { ExecutionEnvironment as Instance } from "#shared/serve/lambda/execution-environment.ts";
import { runtimeClient } from "#shared/serve/lambda/runtime-client.ts";
import { payloadV2 } from "../lambda/http-events.ts";
import { lambdaContext } from "../lambda/lambda-context.ts";
import { type BenchRow, figure, median, report } from "./bench-row.ts";

const ROUNDS = 20;
const WARM_PICTURES = 5;
const PASSES = 20;
/** What the issue asks for, as ratios. */
const BOUND = { init: 1.5, picture: 1.3, warm: 1.5 };
/** Of a function with a queue of its own, which its start does not look for. */
const QUEUED = {
  TANDEM_SERVICES: JSON.stringify({
    ControlNet: {
      transport: "sqs",
      queueUrl: "https://sqs.us-east-1.amazonaws.com/000000000000/ControlNet",
      storeUrl: "s3://tandem-bucket",
    },
  }),
  TANDEM_STORE: "s3://tandem-bucket",
};
const ROOT = fileURLToPath(new URL("../..", import.meta.url));

export async function run(): Promise<BenchRow[]> {
  return [...(await coldRows()), ...(await warmRows())];
}

async function coldRows(): Promise<BenchRow[]> {
  const folder = mkdtempSync(join(tmpdir(), "tandem-cold-"));
  try {
    await bundleHandlers(folder, { controlnet: HANDLERS.controlnet! });
    // As SST bundles a handler by itself: sharp is a package beside it.
    await bundleHandlers(folder, { bare: "test/bench/cold-start-bare.ts" }, []);
    await symlink(`${ROOT}node_modules`, join(folder, "node_modules"));
    const runtime = await runtimeClient().catch((error: unknown) => {
      console.error(`without AWS's runtime client, with cold-start-client.ts instead: ${error}`);
      return fileURLToPath(new URL("cold-start-client.ts", import.meta.url));
    });
    const picture = await pictureEvent("edges", await readFile(`${ROOT}examples/cat-face.png`));
    const entries: Awaited<ReturnType<typeof coldEntry>>[] = [];
    const queueds: Awaited<ReturnType<typeof untilHealthy>>[] = [];
    const bares: Awaited<ReturnType<typeof coldBare>>[] = [];
    // The first is not counted: it has the files read from the disk.
    for (let round = -1; round < ROUNDS; round++) {
      const entry = await coldEntry(folder, runtime, picture);
      const queued = await coldQueued(folder, runtime);
      const bare = await coldBare(folder, runtime);
      if (round < 0) continue;
      entries.push(entry);
      queueds.push(queued);
      bares.push(bare);
    }
    const sharpAndWarm = entries.map(({ warm }, round) => bares[round]!.sharp + warm);
    const init = (run: { init: number }): number => run.init;
    const health = (run: { health: number }): number => run.health;
    const whole = (run: { init: number; health: number }): number => run.init + run.health;
    return [
      figure("bare Hono handler: start to first event", bares.map(init)),
      figure("entry: start to first event", entries.map(init), bares.map(init), BOUND.init),
      figure("bare Hono handler: first health answer", bares.map(health)),
      figure("entry: first health answer", entries.map(health), bares.map(health)),
      figure("with a queue: start to first event", queueds.map(init), bares.map(init), BOUND.init),
      figure("with a queue: start to health answer, to the entry's", queueds.map(whole), entries.map(whole)),
      figure("sharp's own load and a warm picture", sharpAndWarm),
      figure(
        "entry: first picture",
        entries.map(({ first }) => first),
        sharpAndWarm,
        BOUND.picture,
      ),
    ];
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function coldEntry(folder: string, runtime: string, picture: string) {
  const instance = await Instance.start({
    folder,
    handler: "controlnet.handler",
    runtime,
    timeout: 30,
    output: "ignore",
  });
  try {
    const { init, health } = await untilHealthy(instance);
    const first = (await invoke(instance, picture)).ms;
    const warms: number[] = [];
    for (let i = 0; i < WARM_PICTURES; i++) warms.push((await invoke(instance, picture)).ms);
    return { init, health, first, warm: median(warms) };
  } finally {
    instance.stop();
  }
}

async function coldQueued(folder: string, runtime: string) {
  const handler = "controlnet.handler";
  const instance = await Instance.start({ folder, handler, runtime, timeout: 30, output: "ignore", env: QUEUED });
  try {
    return await untilHealthy(instance);
  } finally {
    instance.stop();
  }
}

async function coldBare(folder: string, runtime: string) {
  const instance = await Instance.start({ folder, handler: "bare.handler", runtime, timeout: 30, output: "ignore" });
  try {
    const { init, health } = await untilHealthy(instance);
    const { body } = await invoke(instance, eventOf({ method: "GET", path: "/sharp" }));
    return { init, health, sharp: Number(body) };
  } finally {
    instance.stop();
  }
}

/** Milliseconds from the process's start to its first event, and from that to the answer. */
async function untilHealthy(instance: Instance): Promise<{ init: number; health: number }> {
  const { ms } = await invoke(instance, eventOf({ method: "GET", path: "/livez" }));
  const init = instance.initMs!;
  return { init, health: ms - init };
}

/** The body without its head, and milliseconds. */
async function invoke(instance: Instance, event: string): Promise<{ ms: number; body: string }> {
  const start = performance.now();
  const result = await instance.invoke(event);
  if (result.kind === "error") throw new Error(result.json);
  const bytes = await buffer(result.body);
  const ms = performance.now() - start;
  const end = bytes.indexOf(Buffer.alloc(8));
  const head = JSON.parse(bytes.subarray(0, end).toString()) as { statusCode: number };
  const body = bytes.subarray(end + 8).toString();
  if (head.statusCode !== 200) throw new Error(`answered ${head.statusCode}: ${body}`);
  return { ms, body };
}

function eventOf(request: Parameters<typeof payloadV2>[0]): string {
  return JSON.stringify(payloadV2(request));
}

async function pictureEvent(name: string, bytes: Uint8Array): Promise<string> {
  const form = new FormData();
  form.set("image", new Blob([bytes as Uint8Array<ArrayBuffer>], { type: "image/png" }), "picture.png");
  const request = new Response(form);
  const headers = { "content-type": request.headers.get("content-type")! };
  return eventOf({ method: "POST", path: `/${name}`, headers, body: new Uint8Array(await request.arrayBuffer()) });
}

const Nothing = service("Nothing", { apis: { pass: api({ input: z.strictObject({}), output: z.null() }) } });
class NothingImpl extends implement(Nothing) implements Apis<typeof Nothing> {
  pass(): null {
    return null;
  }
}

const Passing = service("Passing", {
  dependencies: [Nothing],
  apis: { pass: api({ input: z.strictObject({ image: image() }), output: image() }) },
});
class PassingImpl extends implement(Passing) implements Apis<typeof Passing> {
  readonly nothing = this.depends(Nothing);

  async pass({ image }: Input<typeof Passing, "pass">, ctx: CallContext): Promise<ImageValue> {
    await this.nothing.pass({}, ctx);
    return image;
  }
}

type Handler = (event: unknown, ...rest: unknown[]) => Promise<unknown>;

/** What Lambda's runtime has for handlers that stream; the streams keep nothing. */
const RUNTIME = {
  streamifyResponse: (handler: Handler) => handler,
  HttpResponseStream: { from: (stream: Writable) => stream },
};

async function warmRows(): Promise<BenchRow[]> {
  const passing = deployable(Passing, async () => ({ default: PassingImpl }));
  const nothing = deployable(Nothing, async () => ({ default: NothingImpl }));
  const picture = new Uint8Array(2 ** 20).fill(7);
  // A PNG's first bytes: nobody looks at more of it.
  picture.set([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
  const bare = new Hono();
  bare.post("/pass", (c) => c.body(picture, 200, { "content-type": "image/png" }));
  const event = await pictureEvent("pass", picture);
  Object.assign(globalThis, { awslambda: RUNTIME });
  try {
    const whole = lambdaHandler(passing, { with: [nothing], streaming: false });
    const streaming = lambdaHandler(passing, { with: [nothing] });
    return [
      ...(await compared("in one piece", event, handle(bare) as Handler, whole as Handler)),
      ...(await compared("streamed", event, streamHandle(bare) as Handler, streaming as Handler)),
    ];
  } finally {
    Reflect.deleteProperty(globalThis, "awslambda");
  }
}

async function compared(name: string, event: string, theirs: Handler, ours: Handler): Promise<BenchRow[]> {
  const base: number[] = [];
  const values: number[] = [];
  for (let round = -2; round < ROUNDS; round++) {
    const there = await pass(theirs, event, name === "streamed");
    const here = await pass(ours, event, name === "streamed");
    if (round < 0) continue;
    base.push(there);
    values.push(here);
  }
  return [figure(`Hono's adapter: 1 MB, ${name}`, base), figure(`handler: 1 MB, ${name}`, values, base, BOUND.warm)];
}

/** Milliseconds of one of several passes. @throws Error where one is answered with less than the picture. */
async function pass(handler: Handler, json: string, streamed: boolean): Promise<number> {
  const event: unknown = JSON.parse(json);
  const start = performance.now();
  for (let i = 0; i < PASSES; i++) {
    let bytes = 0;
    if (streamed) {
      const write: Writable["_write"] = (chunk: Buffer, _encoding, done) => {
        bytes += chunk.byteLength;
        done();
      };
      const stream = Object.assign(new Writable({ write }), { setContentType: () => undefined });
      await handler(event, stream, lambdaContext());
    } else {
      const { body } = (await handler(event, lambdaContext())) as { body: string };
      bytes = Buffer.byteLength(body, "base64");
    }
    if (bytes !== 2 ** 20) throw new Error(`${bytes} bytes were answered`);
  }
  return (performance.now() - start) / PASSES;
}

if (import.meta.main) process.exitCode = report(await run()) > 0 ? 1 : 0;
