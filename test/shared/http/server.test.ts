import { once } from "node:events";
import http from "node:http";
import { connect } from "node:net";
import { Readable } from "node:stream";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
import { FRAME_TYPE } from "#shared/codec/media-types.ts";
import { listen, type RunningServer } from "#shared/http/server.ts";
import { type Apis, api, bytes, type Input, implement, service } from "#shared/index.ts";
import { Discovery } from "#shared/service/discovery.ts";
import { ServiceHost } from "#shared/service/host.ts";

const Sizes = service("Sizes", {
  apis: { size: api({ input: z.strictObject({ body: bytes() }), output: z.int() }) },
});

/** Calls wait here until the test lets them go. */
let gate = Promise.withResolvers<void>();
class SizesImpl extends implement(Sizes) implements Apis<typeof Sizes> {
  async size({ body }: Input<typeof Sizes, "size">) {
    await gate.promise;
    return body.byteLength;
  }
}

const LIMIT = 100_000;
let server: RunningServer;
beforeAll(async () => {
  const host = new ServiceHost(Sizes, new SizesImpl());
  await host.start();
  server = await listen(host, new Discovery([], {}), { host: "127.0.0.1", port: 0 }, { maxBodyBytes: LIMIT });
});
afterAll(() => server?.close());

function send(byteLength: number): Promise<Response> {
  const body = new FormData();
  body.append("body", new Blob([new Uint8Array(byteLength)]));
  return fetch(`${server.url}/size`, { method: "POST", body });
}

describe("listen", () => {
  it("answers 413 to a body over the limit, to clients that only read after sending, too", async () => {
    const response = await send(LIMIT);
    expect([response.status, (await response.json()) as unknown]).toEqual([
      413,
      { code: "PAYLOAD_TOO_LARGE", error: expect.stringContaining(String(LIMIT)) },
    ]);
    const socket = connect(Number(new URL(server.url).port), "127.0.0.1");
    socket.pause();
    socket.write("POST /size HTTP/1.1\r\nhost: here\r\ncontent-length: 20000000\r\n\r\n");
    for (let sent = 0; sent < 20; sent++) if (!socket.write(new Uint8Array(1_000_000))) await once(socket, "drain");
    let answer = "";
    for await (const chunk of socket) answer += chunk;
    expect(answer).toMatch(/^HTTP\/1.1 413 /);
  });

  it("leaves framed requests for anything but an api to the routes", async () => {
    const headers = { "content-type": FRAME_TYPE };
    const answer = await fetch(`${server.url}/size/submit`, { method: "POST", headers, body: new Uint8Array(8) });
    expect([answer.status, await answer.text()]).toEqual([404, expect.stringContaining("takes no tasks here")]);
  });

  it("answers 413 to a body of unknown length as soon as it is over the limit", async () => {
    const request = http.request(`${server.url}/size`, { method: "POST", headers: { "transfer-encoding": "chunked" } });
    const endless = Readable.from(
      (function* () {
        while (true) yield new Uint8Array(10_000);
      })(),
    );
    endless.on("error", () => undefined);
    request.on("error", () => undefined);
    endless.pipe(request);
    const [answer] = (await once(request, "response")) as [http.IncomingMessage];
    expect(answer.statusCode).toBe(413);
    endless.destroy();
    request.destroy();
  });

  it("holds no more bodies than fit, refuses others with Retry-After, and takes them again later", async () => {
    const held = Array.from({ length: 8 }, () => send(LIMIT - 500));
    const refused = async (): Promise<Response> => {
      while (true) {
        const response = await Promise.race([send(LIMIT - 500), ...held]);
        if (response.status === 429) return response;
      }
    };
    const response = await refused();
    expect(response.headers.get("retry-after")).toBe("1");
    expect(await response.json()).toMatchObject({ code: "RESOURCE_EXHAUSTED" });
    gate.resolve();
    for (const call of held) expect((await call).status).toBe(200);
    expect((await send(10)).status).toBe(200);
    gate = Promise.withResolvers();
  });
});
