import type http from "node:http";
import net from "node:net";
import { type SpyMessage, type SqsSpyMessage, startFauxqs } from "fauxqs";
import { mendDatabase } from "./mend-fauxqs.ts";

export interface EmulatorOptions {
  port: number;
  /** Where its messages are kept. */
  folder: string;
  /** Share of messages that are delivered twice, 0 to 1. */
  redeliver: number;
}

type FauxqsServer = Awaited<ReturnType<typeof startFauxqs>>;

const SQS_TYPE = "application/x-amz-json-1.0";

/**
 * Starts fauxqs, an emulator of SQS, for this machine alone. It changes Node's own classes: only for a process that does
 * nothing else.
 */
export async function startEmulator({ port, folder, redeliver }: EmulatorOptions): Promise<{ stop(): Promise<void> }> {
  listenLocally(port);
  mendDatabase();
  const server = await startFauxqs({ port, logger: false, dataDir: folder, messageSpies: { bufferSize: 1 } });
  deliverTwice(server, redeliver);
  return server;
}

/**
 * fauxqs listens on every address and cannot be told otherwise. It also takes forms (SNS) and plain uploads (S3), which
 * any web page in the user's browser may send anywhere: only SQS's protocol, asked for under our own name, gets through.
 */
function listenLocally(port: number): void {
  const { listen } = net.Server.prototype;
  net.Server.prototype.listen = function (this: net.Server, options: net.ListenOptions, ...rest: never[]) {
    const answers = this.listeners("request") as http.RequestListener[];
    this.removeAllListeners("request").on("request", (request: http.IncomingMessage, response: http.ServerResponse) => {
      const { host, "content-type": type } = request.headers;
      if (type !== SQS_TYPE || host !== `127.0.0.1:${port}`) response.writeHead(403).end();
      else for (const answer of answers) answer(request, response as never);
    });
    return listen.call(this, { ...options, host: "127.0.0.1" }, ...rest);
  } as typeof listen;
}

/** A share of the messages is put on their queue a second time, as SQS may deliver any message twice. */
function deliverTwice(server: FauxqsServer, share: number): void {
  let again = false;
  const copy = ({ queueName, body, messageAttributes }: SqsSpyMessage): void => {
    again = true;
    server.sendMessage(queueName, body, { messageAttributes });
    again = false;
  };
  const addMessage = (event: SpyMessage): void => {
    if (again || event.service !== "sqs" || event.status !== "published" || event.queueName.endsWith("-dead")) return;
    if (Math.random() < share) setImmediate(copy, event);
  };
  // The spy is told of every message. Replaced, it keeps none in memory.
  Object.assign(server.spy, { addMessage });
}
