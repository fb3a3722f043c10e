import { decodeFrame, encodeFrame, type Frame } from "../codec/frame.ts";
import { FRAME_TYPE, ITEMS_TYPE } from "../codec/media-types.ts";
import type { Calls } from "../delivery/keyed-calls.ts";
import { ServiceError } from "../errors/service-error.ts";
import type { IncomingCall } from "../service/host.ts";
import { incomingCall } from "./call-headers.ts";
import { encodeItem, type Item } from "./frame-items.ts";

/** An answer that any HTTP server can write: whole, with its length known, or chunk by chunk. */
export interface FrameReply {
  readonly status: number;
  readonly headers: Record<string, string>;
  readonly body: Frame | AsyncIterable<Uint8Array[]>;
}

/** Runs one framed call. Never throws: an error is an answer. */
export async function answerFrame(
  host: Calls,
  api: string,
  header: (name: string) => string | undefined,
  body: Uint8Array,
  signal: AbortSignal,
): Promise<FrameReply> {
  try {
    const incoming = incomingCall(header, signal);
    const input = decodeFrame(body);
    if (host.service.apis[api]?.stream || header("accept") === ITEMS_TYPE)
      return { status: 200, headers: { "content-type": ITEMS_TYPE }, body: items(host, api, input, incoming) };
    const frame = encodeFrame(await host.call(api, input, incoming));
    return { status: 200, headers: { "content-type": FRAME_TYPE }, body: frame };
  } catch (error) {
    return errorReply(ServiceError.from(error));
  }
}

/** An error as JSON with its status, and `Retry-After` where the error names a time. */
export function errorReply(error: ServiceError): FrameReply & { body: Frame } {
  const json = Buffer.from(JSON.stringify(error));
  return {
    status: error.status,
    headers: {
      "content-type": "application/json",
      ...(error.retryAfter !== undefined && { "retry-after": String(Math.ceil(error.retryAfter)) }),
    },
    body: { chunks: [json], byteLength: json.byteLength },
  };
}

async function* items(host: Calls, api: string, input: unknown, incoming: IncomingCall): AsyncGenerator<Uint8Array[]> {
  for await (const item of callItems(host, api, input, incoming)) yield encodeItem(item);
}

/** Runs a call and gives its progress, its values and its end or error. Never throws. */
export async function* callItems(
  host: Calls,
  api: string,
  input: unknown,
  incoming: IncomingCall,
): AsyncGenerator<Item> {
  const news = new LatestProgress();
  try {
    const call = host.call(api, input, { ...incoming, progress: news.listener });
    if (host.service.apis[api]?.stream) {
      for await (const value of (await call) as AsyncIterable<unknown>) {
        const progress = news.take();
        if (progress) yield progress;
        yield { kind: "value", value };
      }
      const progress = news.take();
      if (progress) yield progress;
    } else {
      let output: { value: unknown } | undefined;
      const done = call.then((value) => {
        output = { value };
      });
      while (!output) {
        await Promise.race([done, news.next()]);
        const progress = news.take();
        if (progress) yield progress;
      }
      yield { kind: "value", value: output.value };
    }
    yield { kind: "end" };
  } catch (error) {
    yield { kind: "error", error: ServiceError.from(error) };
  }
}

/** Keeps only the newest report, so that a slow reader delays nobody and nothing piles up. */
class LatestProgress {
  #latest: { kind: "progress"; fraction: number; preview?: Uint8Array } | undefined;
  #wake: (() => void) | undefined;

  readonly listener = (fraction: number, preview?: Uint8Array): void => {
    this.#latest = { kind: "progress", fraction, ...(preview && { preview }) };
    this.#wake?.();
  };

  take(): { kind: "progress"; fraction: number; preview?: Uint8Array } | undefined {
    const latest = this.#latest;
    this.#latest = undefined;
    return latest;
  }

  next(): Promise<void> {
    if (this.#latest) return Promise.resolve();
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }
}
