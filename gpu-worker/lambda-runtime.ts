import { request } from "node:http";
import type { LambdaContext } from "#shared/lambda/lambda-context.ts";

export interface RuntimeOptions {
  /** Host and port of the Runtime API: `AWS_LAMBDA_RUNTIME_API`. */
  readonly api: string;
  /** Invocations that are asked for at once: `AWS_LAMBDA_MAX_CONCURRENCY` on managed instances, else 1. */
  readonly concurrency: number;
  readonly signal?: AbortSignal;
}

/**
 * Takes invocations from Lambda's Runtime API and answers them, until `signal` aborts; then those in work finish. All run in
 * this process, so that they share one model: AWS's own client for Node starts a thread for each that runs at once.
 * https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
 * @throws Error where the API is not there or refuses: Lambda then starts another environment.
 */
export async function serveInvocations(
  handler: (event: unknown, context: LambdaContext) => Promise<unknown>,
  { api, concurrency, signal }: RuntimeOptions,
): Promise<void> {
  const failed = new AbortController();
  const ended = AbortSignal.any([failed.signal, ...(signal ? [signal] : [])]);
  const base = `http://${api}/2018-06-01/runtime`;
  const take = async (): Promise<void> => {
    while (!ended.aborted) {
      let next: Answer;
      try {
        next = await ask("GET", `${base}/invocation/next`, undefined, ended);
      } catch (error) {
        if (ended.aborted) return;
        throw error;
      }
      const id = next.headers["lambda-runtime-aws-request-id"];
      const deadline = Number(next.headers["lambda-runtime-deadline-ms"]);
      if (typeof id !== "string" || !Number.isFinite(deadline)) throw new Error("the Runtime API gave no invocation");
      const context = { awsRequestId: id, getRemainingTimeInMillis: () => deadline - Date.now() };
      const at = `${base}/invocation/${id}`;
      let answer: unknown;
      try {
        answer = await handler(JSON.parse(next.body), context as LambdaContext);
      } catch (error) {
        await ask("POST", `${at}/error`, told(error));
        continue;
      }
      await ask("POST", `${at}/response`, JSON.stringify(answer ?? null));
    }
  };
  try {
    await Promise.all(Array.from({ length: concurrency }, take));
  } finally {
    failed.abort();
  }
}

/** Tells Lambda why an environment cannot start, so that the function's state and log have it. */
export async function refuseInvocations(error: unknown, api: string): Promise<void> {
  await ask("POST", `http://${api}/2018-06-01/runtime/init/error`, told(error));
}

function told(error: unknown): string {
  const { name, message } = error instanceof Error ? error : new Error(String(error));
  return JSON.stringify({ errorType: name, errorMessage: message });
}

interface Answer {
  readonly headers: NodeJS.Dict<string | string[]>;
  readonly body: string;
}

/** Milliseconds for an answer to be taken. The next invocation is waited for without end, which `fetch` does not do. */
const POST_TIMEOUT = 30_000;

function ask(method: "GET" | "POST", url: string, body?: string, signal?: AbortSignal): Promise<Answer> {
  const ends = signal ?? AbortSignal.timeout(POST_TIMEOUT);
  return new Promise((resolve, reject) => {
    const asked = request(url, { method, signal: ends }, async (response) => {
      try {
        const parts = await response.toArray();
        const status = response.statusCode ?? 0;
        if (status >= 400) throw new Error(`the Runtime API answers ${method} ${url} with ${status}`);
        resolve({ headers: response.headers, body: Buffer.concat(parts).toString() });
      } catch (error) {
        reject(error);
      }
    });
    asked.on("error", reject);
    asked.end(body);
  });
}
