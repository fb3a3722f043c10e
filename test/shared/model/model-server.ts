import { once } from "node:events";
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import http from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { setTimeout as delay } from "node:timers/promises";

/** What a server does instead of answering as asked. */
export type Fault = (path: string, response: http.ServerResponse) => boolean;

/** A web server over a folder that knows Range requests, and what was asked of it. */
export interface ModelServer extends AsyncDisposable {
  readonly url: string;
  /** Paths in the order in which they were asked for. */
  readonly asked: string[];
  /** Bytes of files that were sent. */
  readonly sentBytes: number;
  /** Most requests at once. */
  readonly mostAtOnce: number;
  /** Answers by itself, and says true; the request is answered as asked otherwise. */
  fault: Fault;
  /** Milliseconds before a piece of 64 KiB of a range is sent. */
  pieceMs: number;
}

const PIECE = 64 * 1024;

export async function serveModel(folder: string): Promise<ModelServer> {
  const state = { asked: [] as string[], sentBytes: 0, mostAtOnce: 0, fault: (() => false) as Fault, pieceMs: 0 };
  let atOnce = 0;
  async function* counted(source: AsyncIterable<Buffer>, isRange: boolean): AsyncGenerator<Buffer> {
    for await (const piece of source) {
      if (isRange && state.pieceMs > 0) await delay(state.pieceMs);
      if (isRange) state.sentBytes += piece.length;
      yield piece;
    }
  }
  const answer = async (request: http.IncomingMessage, response: http.ServerResponse): Promise<void> => {
    const path = decodeURIComponent(request.url!.slice(1));
    state.asked.push(path);
    state.mostAtOnce = Math.max(state.mostAtOnce, ++atOnce);
    response.once("close", () => atOnce--);
    if (state.fault(path, response)) return;
    const file = join(folder, path);
    const found = await stat(file).catch(() => undefined);
    if (!found) return void response.writeHead(404).end();
    const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? "") ?? [];
    const range = first === undefined ? undefined : { start: Number(first), end: Number(last) };
    const length = range ? range.end - range.start + 1 : found.size;
    response.writeHead(range ? 206 : 200, {
      "content-length": length,
      ...(range && { "content-range": `bytes ${first}-${last}/${found.size}` }),
    });
    const pieces = createReadStream(file, { ...range, highWaterMark: PIECE });
    await pipeline(pieces, (source) => counted(source, range !== undefined), response);
  };
  const server = http.createServer((request, response) => {
    answer(request, response).catch(() => response.destroy());
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return Object.assign(state, {
    url: `http://127.0.0.1:${port}/`,
    [Symbol.asyncDispose]: async () => {
      server.close();
      server.closeAllConnections();
    },
  });
}
