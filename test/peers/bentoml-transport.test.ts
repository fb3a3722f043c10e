import { type ChildProcess, spawn } from "node:child_process";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";
import sharp from "sharp";
import { afterAll, beforeAll, expect, it, vi } from "vitest";
import { z } from "zod";
import {
  type Apis,
  api,
  createClient,
  deployable,
  ImageValue,
  type Input,
  image,
  implement,
  NDArray,
  ndarray,
  type StandaloneClient,
  service,
} from "#shared/index.ts";
import { Discovery } from "#shared/service/discovery.ts";
import { ServiceHost } from "#shared/service/host.ts";
import { pythonWith } from "../python.ts";

const here = (file: string): string => fileURLToPath(new URL(file, import.meta.url));

/** What Tandem knows of the service that bento_service.py implements. */
const Peer = service("Peer", {
  apis: {
    double: api({ input: z.strictObject({ arr: ndarray("float32") }), output: ndarray("float32") }),
    invert: api({ input: z.strictObject({ image: image(), note: z.string() }), output: image() }),
    label: api({
      input: z.strictObject({ name: z.string(), score: z.unknown() }),
      output: z.object({ name: z.string(), score: z.number() }),
    }),
    words: api({ input: z.strictObject({ text: z.string() }), output: z.string(), stream: true }),
    missing: api({ input: z.strictObject({}), output: z.string() }),
  },
});

let bento: ChildProcess;
let url: string;
let peer: StandaloneClient<typeof Peer>;

beforeAll(async () => {
  const python = await pythonWith("peers", here("requirements.txt"));
  const port = await freePort();
  url = `http://127.0.0.1:${port}`;
  bento = spawn(
    python,
    [
      ...["-m", "bentoml", "serve", "bento_service:Peer", "--working-dir", here(".")],
      "-p",
      String(port),
      "--host",
      "127.0.0.1",
    ],
    { stdio: "ignore", env: { ...process.env, BENTOML_DO_NOT_TRACK: "True" }, detached: true },
  );
  peer = createClient(Peer, { url, transport: "bentoml" });
  await vi.waitFor(async () => expect((await fetch(`${url}/readyz`)).ok).toBe(true), {
    timeout: 90_000,
    interval: 200,
  });
});
afterAll(() => {
  if (bento?.pid) process.kill(-bento.pid, "SIGTERM");
});

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address() as AddressInfo;
      server.close(() => resolve(port));
    });
  });
}

it("arrays and objects travel as JSON", async () => {
  const arr = new NDArray("float32", [2, 2], Float32Array.of(1, 2.5, -3, 0));
  const doubled = await peer.double({ arr });
  expect([doubled.shape, [...doubled.data]]).toEqual([
    [2, 2],
    [2, 5, -6, 0],
  ]);
  expect(await peer.label({ name: "cat", score: 0.5 })).toEqual({ name: "CAT", score: 0.5 });
});

it("pictures travel as files", async () => {
  const file = await readFile(here("../../examples/cat-face.png"));
  const inverted = await peer.invert({ image: new ImageValue(file, "png"), note: "as is" });
  const [before, after] = await Promise.all(
    [file, inverted.bytes].map((bytes) => sharp(bytes).removeAlpha().toColourspace("srgb").raw().toBuffer()),
  );
  expect(after).toEqual(before!.map((value) => 255 - value));
});

it("streams arrive item by item", async () => {
  let text = "";
  for await (const word of peer.words({ text: "one two three" })) text += word;
  expect(text).toBe("onetwothree");
});

it("errors keep their status and field", async () => {
  await expect(peer.label({ name: "cat", score: "high" })).rejects.toMatchObject({
    code: "INVALID_ARGUMENT",
    service: "Peer",
    detail: [{ path: ["score"] }],
  });
  await expect(peer.missing({})).rejects.toMatchObject({ code: "NOT_FOUND" });
});

it("a Tandem service depends on it by its URL", async () => {
  const Caller = service("Caller", {
    dependencies: [Peer],
    apis: { shout: api({ input: z.strictObject({ name: z.string() }), output: z.string() }) },
  });
  class CallerImpl extends implement(Caller) implements Apis<typeof Caller> {
    readonly peer = this.depends(Peer, { url, transport: "bentoml" });

    async shout({ name }: Input<typeof Caller, "shout">) {
      return (await this.peer.label({ name, score: 1 })).name;
    }
  }
  const discovery = new Discovery([], {});
  const host = await ServiceHost.start(
    deployable(Caller, async () => ({ default: CallerImpl })),
    discovery,
  );
  expect(await host.call("shout", { name: "hey" })).toBe("HEY");
  await host.stop();
  await discovery.close();
});
