import { type ChildProcess, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import http from "node:http";
import type { AddressInfo } from "node:net";
import { buffer } from "node:stream/consumers";

/** What a function is made of. */
export interface FunctionSettings {
  /** Folder of the bundle. */
  readonly folder: string;
  /** `file.export` */
  readonly handler: string;
  /** Program of the runtime's client. */
  readonly runtime: string;
  readonly env?: Record<string, string>;
  /** Seconds; Lambda's default is 3. */
  readonly timeout: number;
}

/** What a function gave: a body, streamed or not, or an error as the runtime reports it. */
export type InvocationResult =
  | { readonly kind: "answer"; readonly streamed: boolean; readonly type: string; readonly body: http.IncomingMessage }
  | { readonly kind: "error"; readonly json: string };

interface Pending {
  readonly id: string;
  readonly event: string;
  readonly endsAt: number;
  settle(result: InvocationResult): void;
}

const failure = (errorType: string, errorMessage: string): InvocationResult => ({
  kind: "error",
  json: JSON.stringify({ errorType, errorMessage }),
});

/**
 * One execution environment: a process with AWS's runtime client and the handler, and the runtime API that it asks for
 * events (https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html). It works on one event at a time.
 */
export class Instance {
  /** Milliseconds from the process's start until it asked for its first event. */
  initMs: number | undefined;
  readonly #settings: FunctionSettings;
  readonly #child: ChildProcess;
  readonly #startedAt = performance.now();
  #asking: http.ServerResponse | undefined;
  #next: Pending | undefined;
  #current: Pending | undefined;
  #gone = false;

  private constructor(settings: FunctionSettings, server: http.Server) {
    this.#settings = settings;
    server.on("request", (request, response) => void this.#serve(request, response));
    const { folder, handler, runtime, env } = settings;
    const { port } = server.address() as AddressInfo;
    this.#child = spawn(process.execPath, [runtime, handler], {
      cwd: folder,
      stdio: ["ignore", "ignore", "inherit"],
      env: {
        PATH: process.env.PATH,
        AWS_LAMBDA_RUNTIME_API: `127.0.0.1:${port}`,
        LAMBDA_TASK_ROOT: folder,
        _HANDLER: handler,
        AWS_LAMBDA_FUNCTION_NAME: "tandem",
        AWS_LAMBDA_FUNCTION_VERSION: "$LATEST",
        AWS_LAMBDA_FUNCTION_MEMORY_SIZE: "2048",
        AWS_LAMBDA_LOG_GROUP_NAME: "/aws/lambda/tandem",
        AWS_LAMBDA_LOG_STREAM_NAME: "1",
        AWS_LAMBDA_INITIALIZATION_TYPE: "on-demand",
        AWS_EXECUTION_ENV: "AWS_Lambda_nodejs24.x",
        AWS_REGION: "us-east-1",
        AWS_ACCESS_KEY_ID: "test",
        AWS_SECRET_ACCESS_KEY: "test",
        TANDEM_LOG_LEVEL: "silent",
        ...env,
      },
    });
    this.#child.once("exit", (code) => {
      this.#gone = true;
      server.closeAllConnections();
      server.close();
      const error = failure("Runtime.ExitError", `Error: Runtime exited with error: exit status ${code}`);
      this.#current?.settle(error);
      this.#next?.settle(error);
    });
  }

  static async start(settings: FunctionSettings): Promise<Instance> {
    const server = http.createServer();
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return new Instance(settings, server);
  }

  /** Whether it can take an event. */
  get idle(): boolean {
    return !this.#gone && !this.#next && !this.#current;
  }

  /** Gives the event to the handler. A function that takes longer than its timeout is killed. */
  async invoke(event: string): Promise<InvocationResult> {
    const { timeout } = this.#settings;
    const { promise, resolve } = Promise.withResolvers<InvocationResult>();
    // A new environment's timeout counts from when it is initialised; that of this one is near enough.
    this.#next = { id: randomUUID(), event, endsAt: Date.now() + timeout * 1000, settle: resolve };
    const timer = setTimeout(() => {
      resolve(failure("Sandbox.Timedout", `Error: Task timed out after ${timeout.toFixed(2)} seconds`));
      this.stop();
    }, timeout * 1000);
    this.#give();
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
    }
  }

  stop(): void {
    this.#gone = true;
    this.#child.kill("SIGKILL");
  }

  async #serve(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    const path = request.url?.replace("/2018-06-01/runtime/", "");
    if (path === "invocation/next") {
      this.initMs ??= performance.now() - this.#startedAt;
      this.#asking = response;
      this.#give();
      return;
    }
    const [, id, what] = /^invocation\/([^/]+)\/(response|error)$/.exec(path ?? "") ?? [];
    const accepted = (): void => void response.writeHead(202, { "content-type": "application/json" }).end("{}");
    if (this.#current && id === this.#current.id) {
      const { settle } = this.#current;
      const done = (): void => {
        this.#current = undefined;
        accepted();
      };
      if (what === "error") {
        const json = (await buffer(request)).toString();
        done();
        return settle({ kind: "error", json });
      }
      const streamed = request.headers["lambda-runtime-function-response-mode"] === "streaming";
      request.once("end", done);
      return settle({ kind: "answer", streamed, type: request.headers["content-type"] ?? "", body: request });
    }
    const json = (await buffer(request)).toString();
    if (path === "init/error") this.#next?.settle({ kind: "error", json });
    accepted();
  }

  #give(): void {
    const [asking, next] = [this.#asking, this.#next];
    if (!asking || !next) return;
    this.#asking = undefined;
    this.#next = undefined;
    this.#current = next;
    asking.writeHead(200, {
      "content-type": "application/json",
      "Lambda-Runtime-Aws-Request-Id": next.id,
      "Lambda-Runtime-Deadline-Ms": String(next.endsAt),
      "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:us-east-1:123456789012:function:tandem",
      "Lambda-Runtime-Trace-Id": "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Parent=9a9197af755a6419;Sampled=0",
    });
    asking.end(next.event);
  }
}
