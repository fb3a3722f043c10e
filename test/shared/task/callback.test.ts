import dns from "node:dns";
import { once } from "node:events";
import http from "node:http";
import { syncBuiltinESMExports } from "node:module";
import type { AddressInfo } from "node:net";
import { Webhook } from "standardwebhooks";
import { afterEach, describe, expect, onTestFinished, test, vi } from "vitest";
import type { CallMessage } from "#shared/delivery/call-message.ts";
import { ServiceError } from "#shared/index.ts";
import { log } from "#shared/observability/log.ts";
import { type CallbackBody, deliverCallback, sendCallback } from "#shared/task/callback.ts";
import { callbackSettings, checkCallbackUrl } from "#shared/task/callback-url.ts";
import { Painter, painterTasks } from "./fixture.ts";

log.level = "silent";

const secret = `whsec_${Buffer.from("a secret of at least 24 bytes").toString("base64")}`;
const NOW = 1_700_000_000_000;
const body: CallbackBody = {
  task_id: "t1",
  service: "Painter",
  api: "paint",
  status: "completed",
  created_at: null,
  executed_at: null,
  completed_at: "2023-11-14T22:13:20.000Z",
};

interface Heard {
  path: string;
  headers: Record<string, string>;
  body: string;
}

/** A server that answers with these statuses, one after the other, the last for ever; 0 breaks the connection. */
async function receiver(...statuses: number[]) {
  const heard: Heard[] = [];
  const server = http.createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    heard.push({
      path: request.url!,
      headers: request.headers as Record<string, string>,
      body: Buffer.concat(chunks).toString(),
    });
    const status = statuses.length > 1 ? statuses.shift()! : statuses[0]!;
    if (status === 0) return request.socket.destroy();
    response.writeHead(status, { location: "/elsewhere" }).end("thanks");
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => void server.close());
  return { heard, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook` };
}

const options = { id: "t1", secret, allowPrivate: true, backoffMs: 1 };

afterEach(() => {
  vi.unstubAllEnvs();
});

describe("sending", () => {
  test("is signed so that the library of the standard verifies it", async () => {
    const { heard, url } = await receiver(204);
    expect(await sendCallback(url, body, options)).toBe(true);
    expect(heard.length).toBe(1);
    const [{ headers, body: text, path }] = heard as [Heard];
    expect(path).toBe("/hook");
    expect(headers).toMatchObject({ "content-type": "application/json", "webhook-id": "t1" });
    expect(new Webhook(secret).verify(text, headers)).toEqual(body);
    expect(() => new Webhook(secret).verify(text.replace("completed", "failed"), headers)).toThrow("No matching");
  });

  test("is tried again, under the same id, until the receiver says that it has it", async () => {
    const { heard, url } = await receiver(500, 0, 429, 404, 200);
    expect(await sendCallback(url, body, options)).toBe(true);
    expect(heard.length).toBe(5);
    for (const { headers, body: text } of heard) {
      expect(headers["webhook-id"]).toBe("t1");
      expect(new Webhook(secret).verify(text, headers)).toEqual(body);
    }
  });

  test("gives up after five tries", async () => {
    const { heard, url } = await receiver(503);
    await expect(sendCallback(url, body, options)).rejects.toMatchObject({
      code: "UNAVAILABLE",
      message: expect.stringContaining("503"),
    });
    expect(heard.length).toBe(5);
  });

  test("410 means no more", async () => {
    const { heard, url } = await receiver(410);
    expect(await sendCallback(url, body, options)).toBe(false);
    expect(heard.length).toBe(1);
  });

  test("a redirect is no answer, and nobody goes where it leads", async () => {
    const { heard, url } = await receiver(302, 307, 200);
    expect(await sendCallback(url, body, options)).toBe(true);
    expect(heard.map(({ path }) => path)).toEqual(["/hook", "/hook", "/hook"]);
  });

  test("stops when told to", async () => {
    const { heard, url } = await receiver(500);
    const stop = new AbortController();
    const sending = sendCallback(url, body, { ...options, backoffMs: 60_000, signal: stop.signal });
    const outcome = expect(sending).rejects.toThrow("enough");
    await expect.poll(() => heard.length).toBe(1);
    stop.abort(new Error("enough"));
    await outcome;
  });

  test("a name that leads to a private address is refused when it is connected to", async () => {
    // As with DNS rebinding, the name says nothing: only what it resolves to does.
    const lookup = vi
      .spyOn(dns, "lookup")
      .mockImplementation(((
        _name: string,
        { all }: { all?: boolean },
        done: (error: null, ...found: unknown[]) => void,
      ) =>
        all ? done(null, [{ address: "169.254.169.254", family: 4 }]) : done(null, "169.254.169.254", 4)) as never);
    syncBuiltinESMExports();
    onTestFinished(() => {
      lookup.mockRestore();
      syncBuiltinESMExports();
    });
    await expect(
      sendCallback("https://rebound.example/", body, { ...options, allowPrivate: false }),
    ).rejects.toMatchObject({ code: "PERMISSION_DENIED", message: expect.stringContaining("rebound.example") });
    expect(lookup).toHaveBeenCalledOnce();
  });
});

describe("a callback URL", () => {
  const settings = { secret, allowPrivate: false };

  test.each(["https://a.example", "https://a.example:8443/x?y=1", "https://93.184.216.34/", "https://[2606:4700::1]/"])(
    "%s is taken",
    (url) => {
      expect(() => checkCallbackUrl(url, settings)).not.toThrow();
    },
  );

  test.each([
    ["http://a.example/", "INVALID_ARGUMENT"],
    ["ftp://a.example/", "INVALID_ARGUMENT"],
    ["a.example", "INVALID_ARGUMENT"],
    ["", "INVALID_ARGUMENT"],
    [`https://a.example/${"x".repeat(2048)}`, "INVALID_ARGUMENT"],
    ["https://me:pass@a.example/", "INVALID_ARGUMENT"],
    ["https://me@a.example/", "INVALID_ARGUMENT"],
    ["https://localhost/", "PERMISSION_DENIED"],
    ["https://a.localhost./", "PERMISSION_DENIED"],
    ["https://127.0.0.1/", "PERMISSION_DENIED"],
    ["https://0x7f.1/", "PERMISSION_DENIED"],
    ["https://2130706433/", "PERMISSION_DENIED"],
    ["https://10.1.2.3/", "PERMISSION_DENIED"],
    ["https://172.31.0.1/", "PERMISSION_DENIED"],
    ["https://192.168.0.1/", "PERMISSION_DENIED"],
    ["https://169.254.169.254/latest/meta-data", "PERMISSION_DENIED"],
    ["https://100.100.100.200/", "PERMISSION_DENIED"],
    ["https://0.0.0.0/", "PERMISSION_DENIED"],
    ["https://224.0.0.1/", "PERMISSION_DENIED"],
    ["https://[::1]/", "PERMISSION_DENIED"],
    ["https://[::]/", "PERMISSION_DENIED"],
    ["https://[fd00:ec2::254]/", "PERMISSION_DENIED"],
    ["https://[fe80::1]/", "PERMISSION_DENIED"],
    ["https://[::ffff:127.0.0.1]/", "PERMISSION_DENIED"],
    ["https://[64:ff9b::7f00:1]/", "PERMISSION_DENIED"],
    ["https://[2002:7f00:1::]/", "PERMISSION_DENIED"],
  ])("%s is refused with %s", (url, code) => {
    expect(codeOf(() => checkCallbackUrl(url, settings))).toBe(code);
  });

  test("on a desk, plain HTTP to the same machine is taken", () => {
    const desk = { secret, allowPrivate: true };
    expect(() => checkCallbackUrl("http://127.0.0.1:3001/", desk)).not.toThrow();
    expect(codeOf(() => checkCallbackUrl("http://me@127.0.0.1:3001/", desk))).toBe("INVALID_ARGUMENT");
  });

  test("without a secret it is refused, and the message says what to do", () => {
    expect(() => checkCallbackUrl("https://a.example", { secret: undefined, allowPrivate: true })).toThrow(
      "set TANDEM_WEBHOOK_SECRET",
    );
  });

  test("settings come from the environment; a secret that is none is said at once", () => {
    expect(callbackSettings({})).toEqual({ secret: undefined, allowPrivate: false });
    expect(callbackSettings({ TANDEM_WEBHOOK_SECRET: secret, TANDEM_WEBHOOK_ALLOW_PRIVATE: "1" })).toEqual({
      secret,
      allowPrivate: true,
    });
    expect(() => callbackSettings({ TANDEM_WEBHOOK_SECRET: "not base64!" })).toThrow("openssl rand");
  });

  function codeOf(work: () => void): string {
    try {
      work();
    } catch (error) {
      if (ServiceError.is(error)) return error.code;
      throw error;
    }
    return "none";
  }
});

describe("a finished task", () => {
  async function finished(url: string, error?: { error: string; code: "CONFLICT" }) {
    vi.stubEnv("TANDEM_WEBHOOK_SECRET", secret);
    vi.stubEnv("TANDEM_WEBHOOK_ALLOW_PRIVATE", "1");
    const { tasks, queue, objects } = await painterTasks();
    const { task_id: id } = await tasks.submit("paint", { prompt: "a" }, { callback: url });
    const call: CallMessage = { ...queue.calls[0]!.call, kind: "callback" };
    const result = error ? { error } : { output: "x" };
    return { id, call, objects, end: () => objects.putResult(id, { ...result, startedAt: NOW, finishedAt: NOW + 1 }) };
  }

  test("tells its URL how it ended", async () => {
    const { heard, url } = await receiver(200);
    const error = { error: "no luck", code: "CONFLICT" } as const;
    const { id, call, objects, end } = await finished(url, error);
    await end();
    await deliverCallback(call, objects, Painter);
    const [{ headers, body: text }] = heard as [Heard];
    expect(new Webhook(secret).verify(text, headers)).toEqual({
      task_id: id,
      service: "Painter",
      api: "paint",
      status: "failed",
      created_at: expect.stringMatching(/Z$/),
      executed_at: "2023-11-14T22:13:20.000Z",
      completed_at: "2023-11-14T22:13:20.001Z",
      error,
    });
    expect(headers["webhook-id"]).toBe(id);
  });

  test("tells it once, though its message comes twice; again where it was not heard", async () => {
    const { heard, url } = await receiver(200);
    const { call, objects, end } = await finished(url);
    await end();
    for (let delivery = 0; delivery < 3; delivery++) await deliverCallback(call, objects, Painter);
    expect(heard.length).toBe(1);

    const broken = await finished("http://127.0.0.1:1/");
    await broken.end();
    vi.useFakeTimers({ toFake: ["setTimeout"] });
    onTestFinished(() => void vi.useRealTimers());
    const failing = expect(deliverCallback(broken.call, broken.objects, Painter)).rejects.toMatchObject({
      code: "UNAVAILABLE",
    });
    const hurry = setInterval(() => vi.runAllTimers(), 1);
    await failing;
    clearInterval(hurry);
    await deliverCallback({ ...broken.call, callback: url }, broken.objects, Painter);
    expect(heard.length).toBe(2);
  });

  test("has nothing to tell before it has ended", async () => {
    const { heard, url } = await receiver(200);
    const { call, objects } = await finished(url);
    await deliverCallback(call, objects, Painter);
    expect(heard).toEqual([]);
  });

  test("what would be refused again is given up, not thrown", async () => {
    const { heard, url } = await receiver(200);
    const { call, objects, end } = await finished(url);
    await end();
    await deliverCallback(call, objects, Painter, { secret, allowPrivate: false });
    await deliverCallback(call, objects, Painter, { secret: undefined, allowPrivate: true });
    expect(heard).toEqual([]);
  });
});
