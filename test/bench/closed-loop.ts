import net from "node:net";

/** What one load did. */
export interface Load {
  /** Calls answered with 200. */
  answered: number;
  /** Calls answered otherwise, or not at all. */
  failed: number;
  /** Milliseconds of the calls answered with 200. */
  times: number[];
  /** Milliseconds from the first call to the last answer. */
  elapsed: number;
}

/** A POST with a multipart body, ready to be written on a socket. */
export async function rawPost(url: string, body: FormData): Promise<Buffer> {
  const { host, pathname } = new URL(url);
  const response = new Response(body);
  const bytes = Buffer.from(await response.arrayBuffer());
  const head = [
    `POST ${pathname} HTTP/1.1`,
    `Host: ${host}`,
    "Accept: */*",
    `Content-Type: ${response.headers.get("content-type")}`,
    `Content-Length: ${bytes.length}`,
  ];
  return Buffer.concat([Buffer.from(`${head.join("\r\n")}\r\n\r\n`), bytes]);
}

/**
 * Sends the same request again and again for some time, `concurrency` at once, each on a connection of its own that it
 * keeps. Plain sockets: the load generator shares its few cores with the servers it measures.
 */
export async function closedLoop(url: string, request: Buffer, concurrency: number, seconds: number): Promise<Load> {
  const load: Load = { answered: 0, failed: 0, times: [], elapsed: 0 };
  const start = performance.now();
  const end = start + seconds * 1000;
  const caller = async (): Promise<void> => {
    let connection: Connection | undefined;
    while (performance.now() < end) {
      const sent = performance.now();
      try {
        connection ??= await Connection.open(url);
        const status = await connection.send(request);
        if (status === 200) {
          load.answered++;
          load.times.push(performance.now() - sent);
        } else load.failed++;
      } catch {
        load.failed++;
      }
      if (!connection?.open) connection = undefined;
    }
    connection?.close();
  };
  await Promise.all(Array.from({ length: concurrency }, caller));
  load.elapsed = performance.now() - start;
  return load;
}

/** One HTTP connection with at most one request under way; takes answers that tell their length, no others. */
class Connection {
  readonly #socket: net.Socket;
  #waiting: PromiseWithResolvers<number> | undefined;
  #head = Buffer.alloc(0);
  #status = 0;
  /** Bytes of the body still to come; undefined while the head is read. */
  #left: number | undefined;
  open = true;

  static open(url: string): Promise<Connection> {
    const { hostname, port } = new URL(url);
    return new Promise((resolve, reject) => {
      const socket = net.connect({ host: hostname, port: Number(port), noDelay: true });
      socket.once("connect", () => resolve(new Connection(socket)));
      socket.once("error", reject);
    });
  }

  constructor(socket: net.Socket) {
    this.#socket = socket;
    socket.on("data", (chunk: Buffer) => this.#read(chunk));
    socket.on("error", () => undefined);
    socket.on("close", () => {
      this.open = false;
      this.#waiting?.reject(new Error("the server closed the connection"));
    });
  }

  send(request: Buffer): Promise<number> {
    this.#waiting = Promise.withResolvers<number>();
    this.#socket.write(request);
    return this.#waiting.promise;
  }

  close(): void {
    this.#socket.destroy();
  }

  #read(chunk: Buffer): void {
    if (this.#left === undefined) {
      this.#head = Buffer.concat([this.#head, chunk]);
      const end = this.#head.indexOf("\r\n\r\n");
      if (end < 0) return;
      const head = this.#head.toString("latin1", 0, end);
      this.#status = Number(head.slice("HTTP/1.1 ".length, "HTTP/1.1 200".length));
      const length = /\r\ncontent-length: *(\d+)/i.exec(head)?.[1];
      if (length === undefined) {
        this.#socket.destroy();
        return;
      }
      this.#left = Number(length) - (this.#head.length - end - "\r\n\r\n".length);
      this.#head = Buffer.alloc(0);
    } else this.#left -= chunk.length;
    if (this.#left > 0) return;
    this.#left = undefined;
    this.#waiting?.resolve(this.#status);
    this.#waiting = undefined;
  }
}
