import type { Writable } from "node:stream";
import { ServiceError } from "../errors/service-error.ts";
import { errorAnswer } from "../http/answer.ts";
import { type HttpHead, type HttpResult, writeBody } from "../http/lambda.ts";
import { log } from "../observability/log.ts";
import { countVersion, type VersionOutcome } from "../observability/metrics.ts";
import type { Service } from "../service/contract.ts";
import { lazyStore } from "../store/lazy-store.ts";
import { crashed, parsed, rejoined } from "../transport/lambda-answer.ts";
import { type CanarySplit, readSplit, type SplitVersion, type UrlRequest, versionOf } from "./canary-split.ts";
import { endOf, type LambdaContext } from "./lambda-context.ts";
import { OffSwitch } from "./off-switch.ts";
import {
  FunctionFailed,
  neverRan,
  type OpenFunction,
  openLambdaFunction,
  type RemoteFunction,
  StreamingRefused,
} from "./remote-function.ts";

/** Says on an answer which version gave it. */
const VERSION_HEADER = "tandem-version";
/** Between the head of a streamed answer and its body. */
const DELIMITER = Buffer.alloc(8);
/** Bytes of a head, at the most: more than Lambda passes on. */
const MAX_HEAD_BYTES = 2 ** 16;
/** Errors of a function whose module cannot be loaded: no call has begun. */
const NOT_LOADED =
  /^Runtime\.(ImportModuleError|UserCodeSyntaxError|HandlerNotFound|MalformedHandlerName|NoSuchModule)$/;

export interface CanaryRouterOptions {
  readonly split: CanarySplit;
  readonly off: OffSwitch;
  readonly openFunction?: OpenFunction;
  /** From 0 to 1. */
  readonly random?: () => number;
}

/**
 * Hands calls of a service's function URL over to the functions of its canary versions. A version's function gets the
 * event as it came, and what it answers is passed on as it comes, with `tandem-version` among the headers. Where a version
 * cannot be invoked the main one answers; once its function may have begun, the answer is the version's, whatever it is.
 */
export class CanaryRouter {
  readonly #service: Service;
  readonly #options: CanaryRouterOptions;
  readonly #paths: ReadonlySet<string>;
  readonly #functions = new Map<string, Promise<RemoteFunction>>();

  constructor(service: Service, options: CanaryRouterOptions) {
    this.#service = service;
    this.#options = options;
    this.#paths = new Set(Object.keys(service.apis).flatMap((api) => [`/${api}`, `/${api}/submit`]));
  }

  /**
   * Streams a version's answer.
   * @param open puts the head before what is written to the stream.
   * @returns false where the main version is to answer: nothing has been written.
   * @throws what broke the answer off.
   */
  async stream(event: unknown, context: LambdaContext, open: (head: HttpHead) => Writable): Promise<boolean> {
    const version = await this.#versionOf(event as UrlRequest);
    if (!version) return false;
    const signal = endSignal(context);
    const answer = await this.#ask(version, signal, async (fn, began) => {
      const pieces = await fn.stream(JSON.stringify(event), signal);
      began();
      return headed(pieces);
    });
    if (!answer) return false;
    const failed = ServiceError.is(answer);
    const { head, body } = failed ? await failure(answer) : answer;
    try {
      // There is time to say that there is none left.
      await writeBody(body, open(marked(head, version)), failed ? new AbortController().signal : signal);
    } catch (error) {
      this.#count(version, "Failed");
      throw error;
    }
    this.#countAnswer(version, head);
    return true;
  }

  /** A version's answer in one piece; undefined where the main one is to answer. */
  async result(event: unknown, context: LambdaContext): Promise<HttpResult | undefined> {
    const version = await this.#versionOf(event as UrlRequest);
    if (!version) return undefined;
    const signal = endSignal(context);
    const answer = await this.#ask(version, signal, async (fn, began) => {
      const { payload, functionError } = await fn.invoke(JSON.stringify(event), signal);
      began();
      if (functionError) throw new FunctionFailed(Buffer.from(payload).toString());
      return { ...headOf(parsed(payload)), ...(parsed(payload) as Pick<HttpResult, "body" | "isBase64Encoded">) };
    });
    if (!answer) return undefined;
    if (!ServiceError.is(answer)) {
      this.#countAnswer(version, answer);
      return marked(answer, version);
    }
    const { head, body } = await failure(answer);
    this.#countAnswer(version, head);
    return { ...marked(head, version), body: Buffer.concat(body).toString(), isBase64Encoded: false };
  }

  /** Only what runs or begins a call is split: whatever asks for a task finds it in the store that all versions have. */
  async #versionOf(request: UrlRequest): Promise<SplitVersion | undefined> {
    const { split, off, random } = this.#options;
    if (request.requestContext.http.method !== "POST" || !this.#paths.has(request.rawPath)) return undefined;
    const version = versionOf(split, request, random);
    return version && !(await off.isOff(version)) ? version : undefined;
  }

  /**
   * What comes of asking a version, its failure as an error; undefined where its function has not run.
   * @param ask calls `began` when the function may have begun.
   */
  async #ask<T>(
    version: SplitVersion,
    signal: AbortSignal,
    ask: (fn: RemoteFunction, began: () => void) => Promise<T>,
  ): Promise<T | ServiceError | undefined> {
    const { label } = version;
    let mayHaveRun = false;
    try {
      return await ask(await this.#opened(version), () => {
        mayHaveRun = true;
      });
    } catch (err) {
      if (err instanceof FunctionFailed && NOT_LOADED.test(errorType(err))) {
        log.error({ version: label, error: errorType(err) }, "the version cannot start: the main one answers");
        this.#count(version, "Failed");
        return undefined;
      }
      if (!mayHaveRun && (neverRan(err) || isRefusal(err))) {
        log.warn({ err, version: label }, "the version cannot be invoked: the main one answers");
        this.#count(version, "Unreachable");
        return undefined;
      }
      log.error({ err, version: label }, "the version gave no answer");
      if (signal.aborted)
        return new ServiceError("DEADLINE_EXCEEDED", `version ${label} gave no answer before the function's end`);
      return err instanceof FunctionFailed
        ? crashed(this.#service.name, Buffer.from(err.details))
        : ServiceError.from(err);
    }
  }

  async #opened({ functionName }: SplitVersion): Promise<RemoteFunction> {
    let opened = this.#functions.get(functionName);
    if (!opened) {
      opened = (this.#options.openFunction ?? openLambdaFunction)(functionName);
      this.#functions.set(functionName, opened);
      opened.catch(() => this.#functions.delete(functionName));
    }
    return opened;
  }

  #countAnswer(version: SplitVersion, { statusCode }: HttpHead): void {
    this.#count(version, statusCode >= 500 ? "Failed" : "Answered");
  }

  #count({ label }: SplitVersion, outcome: VersionOutcome): void {
    countVersion(this.#service.name, label, outcome);
  }
}

/**
 * The router of a service, its off switch in the store that `TANDEM_STORE` names.
 * @param split as `TANDEM_CANARY` has it; of one that cannot be read the log tells, and the main version answers.
 */
export function routerOf(service: Service, split: string): CanaryRouter | undefined {
  const { TANDEM_STORE } = process.env;
  try {
    const off = new OffSwitch(TANDEM_STORE ? lazyStore(TANDEM_STORE) : undefined);
    return new CanaryRouter(service, { split: readSplit(split), off });
  } catch (err) {
    log.error({ err }, "no call is split");
    return undefined;
  }
}

/** Splits what a function streams for its URL: a head as JSON, eight zero bytes, and the body. */
async function headed(
  pieces: AsyncIterable<Uint8Array>,
): Promise<{ head: HttpHead; body: AsyncIterable<Uint8Array> | Uint8Array[] }> {
  const reading = pieces[Symbol.asyncIterator]();
  let seen = Buffer.alloc(0);
  while (seen.byteLength <= MAX_HEAD_BYTES) {
    const piece = await reading.next();
    if (piece.done) throw noAnswer();
    seen = Buffer.concat([seen, piece.value]);
    const end = seen.indexOf(DELIMITER);
    if (end < 0) continue;
    const head = headOf(parsed(seen.subarray(0, end)));
    const first = seen.subarray(end + DELIMITER.byteLength);
    return { head, body: rejoined(first.byteLength > 0 ? { value: first } : await reading.next(), reading) };
  }
  await reading.return?.();
  throw noAnswer();
}

function headOf(json: object): HttpHead {
  const { statusCode, headers, cookies } = json as Partial<HttpHead>;
  if (typeof statusCode !== "number") throw noAnswer();
  return { statusCode, ...(headers && { headers }), ...(cookies && { cookies }) };
}

function noAnswer(): ServiceError {
  return new ServiceError("INTERNAL", "the version's function gave no HTTP answer");
}

function marked<T extends HttpHead>(head: T, { label }: SplitVersion): T {
  return { ...head, headers: { ...head.headers, [VERSION_HEADER]: label } };
}

async function failure(error: ServiceError): Promise<{ head: HttpHead; body: Uint8Array[] }> {
  const response = errorAnswer(error);
  const head = { statusCode: response.status, headers: Object.fromEntries(response.headers) };
  return { head, body: [await response.bytes()] };
}

/** Lambda's refusal, or one of the request that it would have been. */
function isRefusal(error: unknown): boolean {
  if (error instanceof StreamingRefused) return true;
  return ServiceError.is(error) && (error.code === "INTERNAL" || error.code === "PAYLOAD_TOO_LARGE");
}

function errorType({ details }: FunctionFailed): string {
  return String((parsed(Buffer.from(details)) as { errorType?: unknown }).errorType);
}

function endSignal(context: LambdaContext): AbortSignal {
  return AbortSignal.timeout(Math.max(0, endOf(context) - Date.now()));
}
