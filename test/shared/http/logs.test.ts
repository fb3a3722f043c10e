import { inspect } from "node:util";
import { pino } from "pino";
import { afterAll, beforeAll, beforeEach, expect, it, onTestFinished, vi } from "vitest";
import { z } from "zod";
import { Guard } from "#shared/http/access.ts";
import { readKeys } from "#shared/http/access-keys.ts";
import { listen, type RunningServer } from "#shared/http/server.ts";
import {
  type Apis,
  api,
  createClient,
  ImageValue,
  type Input,
  image,
  implement,
  ServiceError,
  service,
} from "#shared/index.ts";
import { log } from "#shared/observability/log.ts";
import { Discovery } from "#shared/service/discovery.ts";
import { ServiceHost } from "#shared/service/host.ts";

const KEY = "logged-key-0123456789abcdef";
const WRONG = "logged-wrong-0123456789abcdef";
const PROMPT = "zebra";
const picture = new ImageValue(
  Uint8Array.from({ length: 64 }, (_, i) => 131 + i),
  "png",
);

const input = z.strictObject({ image: image(), prompt: z.string() });
const Studio = service("Studio", {
  apis: {
    paint: api({ input, output: image() }),
    items: api({ stream: true, input, output: z.string() }),
    odd: api({ input, output: z.int() }),
    crash: api({ input, output: z.null() }),
    refuse: api({ input, output: z.null() }),
  },
});
type PaintInput = Input<typeof Studio, "paint">;

/** An error as HTTP clients throw them, with the request that failed. */
function clientError(sent: PaintInput): Error {
  const request = { body: sent.prompt, bytes: sent.image.bytes, headers: { authorization: `Bearer ${KEY}` } };
  const cause = Object.assign(new Error("connection reset"), { request, code: "ECONNRESET" });
  return Object.assign(new Error("the model's server failed", { cause }), {
    input: sent,
    config: { data: sent.prompt },
  });
}

class StudioImpl extends implement(Studio) implements Apis<typeof Studio> {
  paint({ image }: PaintInput) {
    return image;
  }
  async *items(sent: PaintInput) {
    yield "one";
    throw sent.prompt === PROMPT ? clientError(sent) : new ServiceError("CONFLICT", `no ${sent.prompt} here`);
  }
  odd({ prompt }: PaintInput): number {
    return prompt as unknown as number;
  }
  crash(sent: PaintInput): null {
    throw new AggregateError([clientError(sent), sent], "all servers failed");
  }
  refuse({ prompt }: PaintInput): null {
    throw new ServiceError("INVALID_ARGUMENT", `no ${prompt} here`);
  }
}

let server: RunningServer;
let lines: string;
let printedText: string;
const level = log.level;
beforeAll(async () => {
  log.level = "info";
  const host = new ServiceHost(Studio, new StudioImpl());
  await host.start();
  const guard = new Guard({ keys: readKeys(JSON.stringify([{ name: "ci", key: KEY }])) });
  server = await listen(host, new Discovery([], {}), { host: "127.0.0.1", port: 0 }, { guard, maxBodyBytes: 10_000 });
});
afterAll(async () => {
  log.level = level;
  await server?.close();
});
beforeEach(() => {
  lines = "";
  printedText = "";
  const stream = (log as unknown as Record<symbol, { write(line: string): void }>)[pino.symbols.streamSym]!;
  const write = vi.spyOn(stream, "write").mockImplementation((line) => {
    lines += line;
  });
  // What libraries print is in the same log, where servers run.
  const printed = vi.spyOn(console, "error").mockImplementation((...args) => {
    printedText += inspect(args, { depth: 10 });
  });
  onTestFinished(() => {
    write.mockRestore();
    printed.mockRestore();
  });
});

/** Calls an api as a form, as a form to an iterable, and framed. */
async function callAll(name: keyof typeof Studio.apis, key: string, sent: object = {}): Promise<number[]> {
  const form = new FormData();
  form.append("image", new Blob([picture.bytes as Uint8Array<ArrayBuffer>]), "a.png");
  for (const [field, value] of Object.entries({ prompt: PROMPT, ...sent })) form.append(field, value);
  const headers = { authorization: `Bearer ${key}` };
  const answer = await fetch(`${server.url}/${name}`, { method: "POST", headers, body: form });
  await answer.arrayBuffer().catch(() => undefined);
  await using client = createClient(Studio, { url: server.url, token: key });
  const framed = { image: picture, prompt: PROMPT, ...sent };
  const call = name === "items" ? Array.fromAsync(client.items(framed)) : client[name](framed);
  const status = await call.then(
    () => 200,
    (error: unknown) => (error as ServiceError).status,
  );
  return [answer.status, status];
}

function expectNoSecrets(text: string): void {
  for (const secret of [KEY, WRONG, PROMPT]) expect(text).not.toContain(secret);
  const bytes = Buffer.from(picture.bytes);
  // As pino writes a typed array, too.
  for (const form of [bytes.toString("base64").slice(4, 40), bytes.toString("hex"), "131,132,133", '"0":131,"1":132'])
    expect(text).not.toContain(form);
}

it.each<[string, keyof typeof Studio.apis, number[], RegExp]>([
  ["a crash", "crash", [500, 500], /all servers failed.*caused by: Error: connection reset/s],
  ["an output that the contract does not allow", "odd", [500, 500], /expected number, received string/],
  ["a stream that breaks off", "items", [200, 500], /the model's server failed: connection reset/],
])("%s is told with its cause, without what was sent", async (_what, name, statuses, told) => {
  expect(await callAll(name, KEY)).toEqual(statuses);
  expect(lines.trim().split("\n")).toHaveLength(2);
  expect(lines).toMatch(told);
  expect(lines).toContain(`"api":"${name}"`);
  expectNoSecrets(lines + printedText);
});

it.each<[string, keyof typeof Studio.apis, string, object, number[]]>([
  ["a call that succeeds", "paint", KEY, {}, [200, 200]],
  ["one that its service refuses", "refuse", KEY, {}, [400, 400]],
  ["one without a known key", "paint", WRONG, {}, [401, 401]],
  ["one that is too large", "paint", KEY, { prompt: PROMPT.repeat(3000) }, [413, 413]],
])("%s is not told at all", async (_what, name, key, sent, statuses) => {
  expect(await callAll(name, key, sent)).toEqual(statuses);
  expect(lines + printedText).toBe("");
});

it("a stream that its service breaks off is not told by the server's libraries, either", async () => {
  expect(await callAll("items", KEY, { prompt: `a ${PROMPT}` })).toEqual([200, 409]);
  expect(lines).toBe("");
  expectNoSecrets(printedText);
});

it("at debug, refusals are told with the caller's name or address, without keys", async () => {
  log.level = "debug";
  onTestFinished(() => {
    log.level = "info";
  });
  expect(await callAll("paint", WRONG)).toEqual([401, 401]);
  expect(lines).toMatch(/"address":"127\.0\.0\.1","code":"UNAUTHENTICATED"/);
  expectNoSecrets(lines + printedText);
});
