import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { serveInvocations } from "#gpu-worker/lambda-runtime.ts";

/** Lambda's side of the Runtime API. */
async function runtimeApi() {
  const waiting: ServerResponse[] = [];
  const answers = new Map<string, unknown>();
  const server = createServer(async (request, response) => {
    if (request.url === "/2018-06-01/runtime/invocation/next") return void waiting.push(response);
    const [, id, kind] = /(?:invocation\/(\w+)|init)\/(response|error)$/.exec(request.url!)!;
    answers.set(`${id ?? "init"} ${kind}`, JSON.parse(Buffer.concat(await request.toArray()).toString()));
    response.writeHead(202).end();
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const invoke = async (id: string, event: unknown) => {
    await expect.poll(() => waiting.length).toBeGreaterThan(0);
    waiting
      .shift()!
      .writeHead(200, { "lambda-runtime-aws-request-id": id, "lambda-runtime-deadline-ms": Date.now() + 60_000 })
      .end(JSON.stringify(event));
  };
  const close = () => void server.close().closeAllConnections();
  return { api: `127.0.0.1:${(server.address() as AddressInfo).port}`, answers, waiting, invoke, close };
}

test("invocations run side by side in one process; an error is told; what is in work is answered after the stop", async () => {
  const lambda = await runtimeApi();
  const stop = new AbortController();
  const gate = Promise.withResolvers<void>();
  let running = 0;
  const handler = async (event: unknown, context: { getRemainingTimeInMillis(): number }) => {
    if (event === "bad") throw new TypeError("no batch");
    running++;
    await gate.promise;
    return { event, left: context.getRemainingTimeInMillis() > 50_000 };
  };
  const served = serveInvocations(handler, { api: lambda.api, concurrency: 2, signal: stop.signal });
  await lambda.invoke("one", "bad");
  await expect
    .poll(() => lambda.answers.get("one error"))
    .toEqual({ errorType: "TypeError", errorMessage: "no batch" });
  await lambda.invoke("two", 2);
  await lambda.invoke("three", 3);
  await expect.poll(() => running).toBe(2);
  expect(lambda.waiting).toHaveLength(0);
  stop.abort();
  gate.resolve();
  await served;
  expect(lambda.answers.get("two response")).toEqual({ event: 2, left: true });
  expect(lambda.answers.get("three response")).toEqual({ event: 3, left: true });
  lambda.close();
});

test("an API that is not there ends the process", async () => {
  const lambda = await runtimeApi();
  lambda.close();
  await expect(serveInvocations(async () => null, { api: lambda.api, concurrency: 1 })).rejects.toThrow("ECONNREFUSED");
});

test("weights that cannot be had are told to Lambda as why the environment does not start", async () => {
  const lambda = await runtimeApi();
  const root = fileURLToPath(new URL("../../..", import.meta.url));
  const worker = spawn(process.execPath, ["gpu-worker/lambda-main.ts"], {
    cwd: root,
    env: {
      ...process.env,
      AWS_LAMBDA_RUNTIME_API: lambda.api,
      TANDEM_SERVICE: "SDXLControlNetService",
      TANDEM_EXECUTION_PROVIDER: "cpu",
      TANDEM_MODEL_URL: "file:///no/such/folder/",
      TANDEM_MODEL_DIR: "/tmp/models",
    },
    stdio: "ignore",
  });
  const [code] = await once(worker, "exit");
  expect(code).toBe(1);
  expect(lambda.answers.get("init error")).toMatchObject({
    errorType: "ModelError",
    errorMessage: expect.stringContaining("/no/such/folder"),
  });
  lambda.close();
});
