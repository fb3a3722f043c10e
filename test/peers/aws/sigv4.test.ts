import { execFile } from "node:child_process";
import { once } from "node:events";
import http from "node:http";
import type { AddressInfo } from "node:net";
import { buffer } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, it } from "vitest";
import { requestSigner, signedFetch } from "#shared/aws/signed-fetch.ts";
import { ControlNet } from "#shared/contracts/controlnet.ts";
import { createClient, ImageValue } from "#shared/index.ts";
import { pythonWith } from "../../python.ts";

const here = (file: string): string => fileURLToPath(new URL(file, import.meta.url));
const CREDENTIALS = { accessKeyId: "AKIDEXAMPLE", secretAccessKey: "se/cr+et", sessionToken: "to/ken==" };
const REGION = "eu-west-3";

/** A request as it arrived, with what signs it beside what botocore would. */
interface Arrived {
  authorization: string;
  asked: object;
}

let server: http.Server;
let url: string;
const arrived: Arrived[] = [];
beforeAll(async () => {
  server = http.createServer(async (request, response) => {
    const body = await buffer(request);
    const authorization = request.headers.authorization ?? "";
    const signed = /SignedHeaders=([^,]*)/.exec(authorization)?.[1]?.split(";") ?? [];
    const headers = Object.fromEntries(signed.map((name) => [name, request.headers[name]]));
    const credentials = [CREDENTIALS.accessKeyId, CREDENTIALS.secretAccessKey, CREDENTIALS.sessionToken];
    arrived.push({
      authorization,
      asked: {
        method: request.method,
        url: `http://${request.headers.host}${request.url}`,
        headers,
        body: body.toString("base64"),
        credentials,
        region: REGION,
        timestamp: request.headers["x-amz-date"],
      },
    });
    response.writeHead(403, { "content-type": "application/json" }).end('{"Message":"Forbidden"}');
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(() => {
  server?.closeAllConnections();
  server?.close();
});

it("signs what arrives as botocore would, whoever sends it", async () => {
  const options = { region: REGION, credentials: CREDENTIALS };
  await using client = createClient(ControlNet, { url: `${url}/stage`, sign: requestSigner(options) });
  const image = new ImageValue(new Uint8Array(200_000).fill(7), "png");
  await expect(client.edges({ image })).rejects.toMatchObject({ code: "PERMISSION_DENIED" });
  await expect(client.generate({ image, params: { prompt: "é" } })).rejects.toMatchObject({
    code: "PERMISSION_DENIED",
  });
  const fetched = signedFetch(options);
  const form = new FormData();
  form.append("image", new Blob([Uint8Array.of(1, 2)], { type: "image/png" }), "a.png");
  await fetched(`${url}/edges`, { method: "POST", body: form });
  // Escaped as AWS does before it signs, which botocore leaves to whoever makes the URL.
  await fetched(`${url}/a%20path/é?task_id=a%2Fb&x=2&x=1&é=%20+`);
  expect(arrived).toHaveLength(4);

  const python = await pythonWith("moto", here("moto-requirements.txt"));
  const run = promisify(execFile)(python, [here("sigv4.py")]);
  run.child.stdin!.end(arrived.map(({ asked }) => `${JSON.stringify(asked)}\n`).join(""));
  const signatures = (await run).stdout.trim().split("\n");
  expect(arrived.map(({ authorization }) => /Signature=(\w+)$/.exec(authorization)?.[1])).toEqual(signatures);
});
