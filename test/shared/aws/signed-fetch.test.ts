import { afterEach, describe, expect, it, onTestFinished, vi } from "vitest";
import { requestSigner, signedFetch } from "#shared/aws/signed-fetch.ts";
import { listen } from "#shared/http/server.ts";
import { createClient } from "#shared/index.ts";
import { Discovery } from "#shared/service/discovery.ts";
import { HttpTransport } from "#shared/transport/http-client.ts";
import { Kinds, kindsApp } from "../http/kinds-service.ts";

const KEYS = { accessKeyId: "AKIDEXAMPLE", secretAccessKey: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY" };
const URL_OF_FUNCTION = "https://abc123.lambda-url.eu-central-1.on.aws";

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllEnvs();
  vi.unstubAllGlobals();
});

/** The moment that the vectors were signed at. */
function atVectors(): void {
  vi.useFakeTimers({ toFake: ["Date"], now: Date.UTC(2026, 0, 2, 3, 4, 5) });
}

describe("requestSigner", () => {
  // The signatures are botocore's: test/peers/aws/sigv4.py.
  it("signs as botocore does", async () => {
    atVectors();
    const post = await requestSigner({ credentials: { ...KEYS, sessionToken: "session-token" } })({
      method: "POST",
      url: new URL(`${URL_OF_FUNCTION}/text/a%20b?task_id=7&x=b%2Fc&x=a`),
      headers: { "content-type": "application/json", "content-length": "10", traceparent: "00-1-2-01" },
      body: [Buffer.from('{"s": '), Buffer.from('"x"}')],
    });
    expect(post).toMatchObject({
      "content-length": "10",
      host: "abc123.lambda-url.eu-central-1.on.aws",
      traceparent: "00-1-2-01",
      "x-amz-content-sha256": "6a821556986dd4cb865b65102234f191521eb78ce457751826835846aae68d4e",
      "x-amz-date": "20260102T030405Z",
      "x-amz-security-token": "session-token",
      authorization:
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260102/eu-central-1/lambda/aws4_request, " +
        "SignedHeaders=content-type;host;x-amz-content-sha256;x-amz-date;x-amz-security-token, " +
        "Signature=f68ea6629fef7858b53709b54389251323616bfcd0820db35ce4e40d64a66ef5",
    });
    const get = await requestSigner({ credentials: KEYS })({
      method: "GET",
      url: new URL(URL_OF_FUNCTION),
      headers: {},
      body: [],
    });
    expect(get.authorization).toContain("e6d0782a7fd65af810b7450d3496c22c7c98fc99b9d77c2bf6245896bba7016f");
  });

  it("finds credentials as the SDK does, and the region of what has none in its name in AWS_REGION", async () => {
    vi.stubEnv("AWS_ACCESS_KEY_ID", "AKIDFOUND");
    vi.stubEnv("AWS_SECRET_ACCESS_KEY", "secret");
    vi.stubEnv("AWS_REGION", "eu-west-3");
    const { authorization } = await requestSigner()({
      method: "GET",
      url: new URL("https://models.example.com/readyz"),
      headers: {},
      body: [],
    });
    expect(authorization).toMatch(/Credential=AKIDFOUND\/\d{8}\/eu-west-3\/lambda\/aws4_request/);
  });

  it("says what is missing", async () => {
    vi.stubEnv("AWS_REGION", undefined);
    const request = { method: "GET", url: new URL("https://models.example.com/"), headers: {}, body: [] };
    const refusal = (message: RegExp) => ({ code: "UNAUTHENTICATED", message: expect.stringMatching(message) });
    await expect(requestSigner({ credentials: KEYS })(request)).rejects.toMatchObject(refusal(/AWS_REGION/));
    const credentials = () => Promise.reject(new Error("no role"));
    await expect(requestSigner({ credentials, region: "eu-west-3" })(request)).rejects.toMatchObject(
      refusal(/no role/),
    );
  });
});

describe("signed requests", () => {
  /** Serves {@link Kinds}. */
  async function served(): Promise<string> {
    const { host } = await kindsApp();
    const server = await listen(host, new Discovery([], {}), { host: "127.0.0.1", port: 0 });
    onTestFinished(() => server.close());
    return server.url;
  }

  it("carry calls and probes of a client", async () => {
    const url = await served();
    const sign = vi.fn(requestSigner({ region: "eu-west-3", credentials: KEYS }));
    await using client = createClient(Kinds, { url, sign });
    expect(await client.text({ s: "é" })).toBe("é");
    expect(await Array.fromAsync(client.texts({ n: 2 }))).toEqual(["text 0", "text 1"]);
    const transport = new HttpTransport(url, { sign });
    expect(await transport.ready(AbortSignal.timeout(10_000))).toBe(true);
    await transport.close();
    expect(sign).toHaveBeenCalledTimes(3);
    expect(sign.mock.calls[2]![0]).toMatchObject({ method: "GET", url: new URL("/readyz", url) });
    expect(sign.mock.calls[0]![0]).toMatchObject({ method: "POST", url: new URL("/text", url) });
    const headers = await sign.mock.results[0]!.value;
    expect(headers.authorization).toContain("content-type;host;tandem-call-id;tandem-timeout-ms;x-amz-content-sha256");
  });

  it("that cannot be signed are not sent, and not tried again", async () => {
    const sign = vi.fn(requestSigner({ region: "eu-west-3", credentials: () => Promise.reject(new Error("no role")) }));
    await using client = createClient(Kinds, { url: "http://127.0.0.1:1", sign });
    await expect(client.text({ s: "x" })).rejects.toMatchObject({ code: "UNAUTHENTICATED" });
    expect(sign).toHaveBeenCalledTimes(1);
  });

  it("are no way to reach BentoML's services", () => {
    const sign = requestSigner({ credentials: KEYS });
    expect(() => createClient(Kinds, { url: "http://127.0.0.1:1", transport: "bentoml", sign })).toThrow(TypeError);
  });

  it("are made by a fetch of ours, of forms too", async () => {
    const url = await served();
    const fetched = signedFetch({ region: "eu-west-3", credentials: KEYS });
    const form = new FormData();
    form.append("s", "x");
    expect(await (await fetched(`${url}/text`, { method: "POST", body: form })).text()).toBe("x");
    expect((await fetched(`${url}/readyz`)).status).toBe(200);
    const sent = vi.fn<typeof fetch>(async () => new Response());
    vi.stubGlobal("fetch", sent);
    await fetched(`${url}/text`, { method: "POST", body: "hello", headers: { "x-a": "b" } });
    const [, init] = sent.mock.calls[0]!;
    expect(init).toMatchObject({
      method: "POST",
      headers: {
        "x-a": "b",
        "x-amz-content-sha256": "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
        authorization: expect.stringContaining("SignedHeaders=content-type;host;x-a;x-amz-content-sha256;x-amz-date"),
      },
    });
    expect(Buffer.from(init!.body as Uint8Array).toString()).toBe("hello");
  });
});
