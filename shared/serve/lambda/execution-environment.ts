import { type ChildProcess, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import http from "node:http";
import type { AddressInfo } from "node:net";
import { buffer } from "node:stream/consumers";

/** What a function is made of. */
export interface FunctionSettings {
  /** Its name: letters, digits, `-` and `_`. Default `tandem`. */
  readonly name?: string | undefined;
  /** Folder of the bundle. */
  readonly folder: string;
  /** `file.export` */
  readonly handler: string;
  /** Program of the runtime's client. */
  readonly runtime: string;
  readonly env?: NodeJS.ProcessEnv | undefined;
  /** Seconds, 900 at most; Lambda's default is 3. */
  readonly timeout: number;
  /** What becomes of what it writes to standard output; by default it goes to this process's standard error. */
  readonly output?: "ignore" | undefined;
  /** MiB that the handler is told it has: nothing here holds it to them. Default 2048. */
  readonly memory?: number | undefined;
}

/** What a function gave: a body, streamed or not, or an error as the runtime reports it. */
export type InvocationResult =
  | { readonly kind: "answer"; readonly streamed: boolean; readonly type: string; readonly body: http.IncomingMessage }
  | { readonly kind: "error"; readonly json: string };

interface Pending {
  readonly id: string;
  readonly event: string;
  settle(result: InvocationResult): void;
}

/** Account and region of every function on a desk. */
export const ACCOUNT = "000000000000";
export const REGION = "us-east-1";

export function functionArn(name: string): string {
  return `arn:aws:lambda:${REGION}:${ACCOUNT}:function:${name}`;
}

/** Milliseconds that Lambda gives a handler's module to load. */
const INIT_MS = 10_000;

/**
 * One execution environment: a process with AWS's runtime client and the handler, and the runtime API that it asks for
 * events (https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html). It works on one event at a time.
 */
export class ExecutionEnvironment {
  /** Milliseconds from the process's start until it asked for its first event. */
  initMs: number | undefined;
  /** Ends when the process has. */
  readonly gone: Promise<unknown>;
  readonly #settings: FunctionSettings;
  readonly #child: ChildProcess;
  readonly #startedAt = performance.now();
  #asking: http.ServerResponse | undefined;
  #next: Pending | undefined;
  #current: Pending | undefined;
  #timer: NodeJS.Timeout | undefined;
  #isGone = false;

  private constructor(settings: FunctionSettings, server: http.Server) {
    this.#settings = settings;
    server.on("request", (request, response) => {
      this.#serve(request, response).catch(() => response.destroy());
    });
    const { folder, handler, runtime, env, name = "tandem", output = 2, memory = 2048 } = settings;
    const { port } = server.address() as AddressInfo;
    this.#child = spawn(process.execPath, [runtime, handler], {
      cwd: folder,
      stdio: ["ignore", output, 2],
      // Ctrl-C reaches a whole process group, and a call in work is to be finished.
      detached: true,
      env: {
        PATH: process.env.PATH,
        AWS_REGION: REGION,
        ...env,
        AWS_LAMBDA_RUNTIME_API: `127.0.0.1:${port}`,
        LAMBDA_TASK_ROOT: folder,
        _HANDLER: handler,
        AWS_LAMBDA_FUNCTION_NAME: name,
        AWS_LAMBDA_FUNCTION_VERSION: "$LATEST",
        AWS_LAMBDA_FUNCTION_MEMORY_SIZE: String(memory),
        AWS_LAMBDA_LOG_GROUP_NAME: `/aws/lambda/${name}`,
        AWS_LAMBDA_LOG_STREAM_NAME: randomUUID(),
        AWS_LAMBDA_INITIALIZATION_TYPE: "on-demand",
        AWS_EXECUTION_ENV: `AWS_Lambda_nodejs${process.versions.node.split(".")[0]}.x`,
      },
    });
    this.gone = once(this.#child, "exit").then(([code]) => {
      this.#isGone = true;
      clearTimeout(this.#timer);
      server.closeAllConnections();
      server.close();
      const how = code === null ? "signal: killed" : `exit status ${code}`;
      for (const pending of [this.#current, this.#next])
        pending?.settle(failure(pending.id, "Runtime.ExitError", `Runtime exited with error: ${how}`));
    });
  }

  static async start(settings: FunctionSettings): Promise<ExecutionEnvironment> {
    // The client keeps its connection for the whole of a call, and may stream its answer as long.
    const server = http.createServer({ keepAliveTimeout: 0, requestTimeout: 0 });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return new ExecutionEnvironment(settings, server);
  }

  /** Process id. */
  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** Whether it can take an event. */
  get idle(): boolean {
    return !this.#isGone && !this.#next && !this.#current;
  }

  /** Gives the event to the handler. A function that takes longer than its timeout is killed. */
  async invoke(event: string): Promise<InvocationResult> {
    const { promise, resolve } = Promise.withResolvers<InvocationResult>();
    this.#next = { id: randomUUID(), event, settle: resolve };
    this.#expect(this.#next, this.#settings.timeout * 1000 + INIT_MS);
    this.#give();
    return promise;
  }

  stop(): void {
    this.#isGone = true;
    this.#child.kill("SIGKILL");
  }

  #expect({ id, settle }: Pending, ms: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      const { timeout } = this.#settings;
      settle(failure(id, "Sandbox.Timedout", `Task timed out after ${timeout.toFixed(2)} seconds`));
      this.stop();
    }, ms);
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
        clearTimeout(this.#timer);
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
    const { timeout, name = "tandem" } = this.#settings;
    this.#asking = undefined;
    this.#next = undefined;
    this.#current = next;
    this.#expect(next, timeout * 1000);
    const trace = randomUUID().replaceAll("-", "");
    asking.writeHead(200, {
      "content-type": "application/json",
      "Lambda-Runtime-Aws-Request-Id": next.id,
      "Lambda-Runtime-Deadline-Ms": String(Date.now() + timeout * 1000),
      "Lambda-Runtime-Invoked-Function-Arn": functionArn(name),
      "Lambda-Runtime-Trace-Id": `Root=1-${trace.slice(0, 8)}-${trace.slice(8)};Parent=${trace.slice(16)};Sampled=0`,
    });
    asking.end(next.event);
  }
}

function failure(id: string, errorType: string, message: string): InvocationResult {
  return { kind: "error", json: JSON.stringify({ errorType, errorMessage: `RequestId: ${id} Error: ${message}` }) };
}
