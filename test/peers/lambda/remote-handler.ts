/** A function whose apis do what a test asks of their process; bundled for AWS's runtime client. */
import { once } from "node:events";
import { existsSync } from "node:fs";
import { connect } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import * as z from "zod";
import { type Apis, api, bytes, type CallContext, deployable, type Input, implement, service } from "#shared/index.ts";
import { lambdaHandler } from "#shared/lambda/handler.ts";

export const Remote = service("Remote", {
  traffic: { timeout: 60 },
  apis: {
    pid: api({ input: z.strictObject({}), output: z.int() }),
    raw: api({ input: z.strictObject({ length: z.int() }), output: bytes() }),
    measure: api({ input: z.strictObject({ raw: bytes() }), output: z.int() }),
    /** Gives an item, and the next once the file is there. */
    gated: api({
      stream: true,
      input: z.strictObject({ file: z.string(), fail: z.boolean().default(false) }),
      output: z.string(),
    }),
    wait: api({ input: z.strictObject({}), output: z.null() }),
    spin: api({ input: z.strictObject({}), output: z.null() }),
    /** Whether a connection to the runtime API is kept for so many seconds in which it says nothing. */
    idle: api({ input: z.strictObject({ seconds: z.number() }), output: z.boolean() }),
    exit: api({ input: z.strictObject({}), output: z.null() }),
  },
});

class RemoteImpl extends implement(Remote) implements Apis<typeof Remote> {
  pid(): number {
    return process.pid;
  }
  raw({ length }: Input<typeof Remote, "raw">): Uint8Array {
    return Uint8Array.from({ length }, (_, i) => i & 255);
  }
  measure({ raw }: Input<typeof Remote, "measure">): number {
    return raw.length;
  }
  async *gated({ file, fail }: Input<typeof Remote, "gated">, { signal }: CallContext) {
    yield "first";
    while (!existsSync(file)) await delay(20, undefined, { signal });
    if (fail) throw new Error("lost");
    yield "second";
  }
  async wait(_: object, { signal }: CallContext): Promise<null> {
    return await new Promise((_resolve, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
  }
  spin(): never {
    while (true);
  }
  async idle({ seconds }: Input<typeof Remote, "idle">): Promise<boolean> {
    const [host, port] = process.env.AWS_LAMBDA_RUNTIME_API!.split(":");
    const socket = connect(Number(port), host);
    socket.write("GET /2018-06-01/runtime/nothing HTTP/1.1\r\nhost: runtime\r\n\r\n");
    await once(socket, "data");
    const ended = once(socket, "close").then(() => false);
    const kept = await Promise.race([ended, delay(seconds * 1000, true)]);
    socket.destroy();
    return kept;
  }
  exit(): never {
    process.exit(3);
  }
}

const remote = deployable(Remote, async () => ({ default: RemoteImpl }));
export const handler = lambdaHandler(remote);
/** For a function URL whose invoke mode is BUFFERED. */
export const buffered = lambdaHandler(remote, { streaming: false });
/** Answers more than `Invoke` carries. */
export const large = async (): Promise<string> => "x".repeat(7_000_000);
