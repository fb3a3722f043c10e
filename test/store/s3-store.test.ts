import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { ensureBucket } from "#shared/aws/ensure-bucket.ts";
import { S3Store } from "#shared/aws/s3-store.ts";
import { openStore } from "#shared/store/open-store.ts";
import { awsEnv, s3Client } from "../aws/peer.ts";

/** What no real server does when a test wants it; everything else is in test/peers/aws/s3.test.ts. */
describe("S3Store", () => {
  let server: Server;
  let endpoint: string;
  let store: S3Store;
  let requests: IncomingMessage[];
  /** Answers to come, one for each request; the last one stays. */
  let answers: ((request: IncomingMessage, response: ServerResponse) => void)[];

  beforeEach(async () => {
    requests = [];
    answers = [];
    server = createServer((request, response) => {
      requests.push(request);
      const answer = answers.length > 1 ? answers.shift()! : answers[0]!;
      void text(request).then(() => answer(request, response));
    }).listen(0, "127.0.0.1");
    await once(server, "listening");
    endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    store = new S3Store({ bucket: "box", prefix: "some", client: s3Client(endpoint) });
  });
  afterEach(() => {
    vi.unstubAllEnvs();
    server.close();
    server.closeAllConnections();
  });

  const refuse = (status: number, code: string) => (request: IncomingMessage, response: ServerResponse) => {
    const body = `<?xml version="1.0"?><Error><Code>${code}</Code><Message>because</Message></Error>`;
    response.writeHead(status, { "content-type": "application/xml" }).end(request.method === "HEAD" ? "" : body);
  };
  const accept = (_request: IncomingMessage, response: ServerResponse): void => void response.writeHead(200).end();
  const put = (): Promise<boolean> => store.put("a/b", [Buffer.from("x")], { ifAbsent: true });

  test("names its bucket in the path, and its condition", async () => {
    answers = [accept];
    expect(await put()).toBe(true);
    expect(requests.map(({ method, url }) => `${method} ${url}`)).toEqual(["PUT /box/some/a/b?x-id=PutObject"]);
    expect(requests[0]!.headers["if-none-match"]).toBe("*");
    await store.put("a/b", []);
    expect(requests[1]!.headers["if-none-match"]).toBeUndefined();
  });

  test("a conditional write whose answer was lost, and that was sent again, has written", async () => {
    const written = (_request: IncomingMessage, response: ServerResponse): void => {
      response.writeHead(200, { "x-amz-meta-write": String(requests[0]!.headers["x-amz-meta-write"]) }).end();
    };
    answers = [(request) => request.socket.destroy(), refuse(412, "PreconditionFailed"), written];
    expect(await put()).toBe(true);
    expect(requests.map(({ method }) => method)).toEqual(["PUT", "PUT", "HEAD"]);
  });

  test("a conditional write that meets another's object has not", async () => {
    const others = (_request: IncomingMessage, response: ServerResponse): void =>
      void response.writeHead(200, { "x-amz-meta-write": "another" }).end();
    answers = [refuse(412, "PreconditionFailed"), others];
    expect(await put()).toBe(false);
    answers = [refuse(412, "PreconditionFailed"), refuse(404, "NotFound")];
    expect(await put()).toBe(false);
  });

  test("a conditional write that meets another on its way waits for what comes of it", async () => {
    answers = [refuse(409, "ConditionalRequestConflict"), refuse(404, "NotFound"), accept];
    expect(await put()).toBe(true);
    expect(requests.map(({ method }) => method)).toEqual(["PUT", "HEAD", "PUT"]);
    answers = [refuse(409, "ConditionalRequestConflict"), accept];
    expect(await put()).toBe(false);
    answers = [
      (request, response) =>
        refuse(request.method === "PUT" ? 409 : 404, "ConditionalRequestConflict")(request, response),
    ];
    await expect(put()).rejects.toMatchObject({ code: "UNAVAILABLE", message: expect.stringContaining("some/a/b") });
  });

  test.each([
    [503, "SlowDown", "UNAVAILABLE"],
    [500, "InternalError", "UNAVAILABLE"],
    [403, "AccessDenied", "INTERNAL"],
    [404, "NoSuchBucket", "INTERNAL"],
    [400, "AuthorizationHeaderMalformed", "INTERNAL"],
  ])("%i %s is %s, with bucket and key named and the cause kept", async (status, code, expected) => {
    answers = [refuse(status, code)];
    const error = {
      code: expected,
      message: `bucket box, some/a/b: ${code}: because`,
      cause: expect.objectContaining({ name: code }),
    };
    await expect(put()).rejects.toMatchObject(error);
    await expect(store.get("a/b")).rejects.toMatchObject(error);
  });

  test("a refusal without a word is told by its status", async () => {
    answers = [refuse(403, "AccessDenied")];
    await expect(store.has("a/b")).rejects.toMatchObject({
      code: "INTERNAL",
      message: "bucket box, some/a/b: HTTP 403",
    });
  });

  test("a server that is not there", async () => {
    server.close();
    const error = {
      code: "UNAVAILABLE",
      retryAfter: 1,
      message: expect.stringMatching(/some\/a\/b: not reached: .*ECONN/),
    };
    await expect(store.get("a/b")).rejects.toMatchObject(error);
  });

  test("a body that breaks off is no object", async () => {
    answers = [
      (_request, response) => {
        response.writeHead(200, { "content-length": 1000 }).write("half", () => response.destroy());
      },
    ];
    await expect(store.get("a/b")).rejects.toMatchObject({ code: "UNAVAILABLE" });
  });

  test("a body that stands still ends with the signal, and its connection too", async () => {
    const controller = new AbortController();
    const reason = new Error("enough");
    let closed: Promise<unknown> = Promise.resolve();
    answers = [
      (_request, response) => {
        closed = once(response, "close");
        response
          .writeHead(200, { "content-length": 1000 })
          .write("half", () => setImmediate(() => controller.abort(reason)));
      },
    ];
    await expect(store.get("a/b", controller.signal)).rejects.toBe(reason);
    await closed;
  });

  test("is opened with the environment's endpoint", async () => {
    for (const [name, value] of Object.entries(awsEnv("http://127.0.0.1:1"))) vi.stubEnv(name, value);
    vi.stubEnv("AWS_ENDPOINT_URL_S3", endpoint);
    answers = [accept];
    const opened = await openStore("s3://my.box/some/place/");
    await opened.put("a", []);
    expect(requests[0]!.url).toBe("/my.box/some/place/a?x-id=PutObject");
    await opened.close();
  });

  test("a bucket's name may be somebody else's", async () => {
    answers = [refuse(404, "NotFound"), refuse(409, "BucketAlreadyExists")];
    await expect(ensureBucket("box", { client: s3Client(endpoint) })).rejects.toMatchObject({
      code: "INTERNAL",
      message: "bucket box: BucketAlreadyExists: because",
    });
  });
});
