/** The service that the transport bench calls, and, run as a script, a process that serves it beside the raw floor. */
import http from "node:http";
import { z } from "zod";
import { listen } from "#shared/http/server.ts";
import { type Apis, api, type Input, implement, ndarray, service } from "#shared/index.ts";
import { Discovery } from "#shared/service/discovery.ts";
import { ServiceHost } from "#shared/service/host.ts";

export const Echo = service("Echo", {
  apis: {
    echo: api({
      input: z.strictObject({ arr: ndarray("uint8", ["h", "w", 3]) }),
      output: ndarray("uint8", ["h", "w", 3]),
    }),
  },
});

export class EchoImpl extends implement(Echo) implements Apis<typeof Echo> {
  echo({ arr }: Input<typeof Echo, "echo">) {
    return arr;
  }
}

if (import.meta.main) {
  const [socket, rawSocket] = process.argv.slice(2) as [string, string];
  const host = new ServiceHost(Echo, new EchoImpl());
  await host.start();
  const discovery = new Discovery([], {});
  await listen(host, discovery, { path: socket });
  const { url } = await listen(host, discovery, { host: "127.0.0.1", port: 0 });
  // The floor: the same bytes there and back over node:http, no codec, no rules.
  const raw = http.createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const body = Buffer.concat(chunks);
      response.writeHead(200, { "content-length": body.byteLength });
      response.end(body);
    });
  });
  raw.listen(rawSocket, () => console.log(url));
}
