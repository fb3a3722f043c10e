import type { Writable } from "node:stream";
import { ServiceError } from "../errors/service-error.ts";
import type { HttpHead } from "../http/lambda.ts";
import { flushing } from "../observability/telemetry.ts";
import type { Deployable } from "../service/deployable.ts";
import type { CanaryRouter } from "./canary-router.ts";
import type { LambdaContext } from "./lambda-context.ts";
import { describe, kindOf } from "./lambda-event.ts";
import { WarmService, type WarmServiceOptions } from "./warm-service.ts";

export interface LambdaHandlerOptions extends WarmServiceOptions {
  /**
   * Whether the function's URL streams its answers (invoke mode `RESPONSE_STREAM`): up to 200 MB, the first byte as soon
   * as it is there. False for a URL that is `BUFFERED`; by default unless `TANDEM_INVOKE_MODE` says that it is. Where the
   * runtime cannot stream, nothing does.
   */
  readonly streaming?: boolean | undefined;
}

/** A handler as Lambda calls it; one that streams takes the response stream as its second argument. */
export type LambdaHandler = (event: unknown, context: LambdaContext) => Promise<unknown>;

/** What Lambda's Node runtime puts into the global scope. */
interface Runtime {
  streamifyResponse(
    handler: (event: unknown, stream: ResponseStream, context: LambdaContext) => Promise<void>,
  ): LambdaHandler;
  HttpResponseStream: { from(stream: ResponseStream, head: object): Writable };
}

/** What splits calls among versions, where `TANDEM_CANARY` says so: loaded with the first request. */
type OpenRouter = () => Promise<CanaryRouter | undefined> | undefined;

interface ResponseStream extends Writable {
  setContentType(type: string): void;
}

/**
 * The Lambda handler of a service: its HTTP face behind a function URL, API Gateway, an ALB or Lattice, and calls by
 * `Invoke`, `{api, input}` -> `{output}` or `{error: {error, code, ...}}`. The service starts while Lambda initialises
 * the function.
 * @example export const handler = lambdaHandler(deployable(Entry, () => import("../services/entry.ts")));
 * @throws Error from the handler for a batch of another event source: answering it would acknowledge its records.
 */
export function lambdaHandler(deployable: Deployable, options: LambdaHandlerOptions = {}): LambdaHandler {
  return handlerOf(new WarmService(deployable, options), options);
}

/** The handler of a service that has been made already. */
export function handlerOf(service: WarmService, options: Pick<LambdaHandlerOptions, "streaming"> = {}): LambdaHandler {
  const { TANDEM_CANARY: split } = process.env;
  let router: Promise<CanaryRouter | undefined> | undefined;
  const canary: OpenRouter = () => {
    if (split) router ??= import("./canary-router.ts").then(({ routerOf }) => routerOf(service.service, split));
    return router;
  };
  const answer = (event: unknown, context: LambdaContext): Promise<unknown> =>
    answerEvent(service, event, context, canary);
  const { awslambda: runtime } = globalThis as { awslambda?: Partial<Runtime> };
  const { streamifyResponse, HttpResponseStream } = runtime ?? {};
  const { streaming = process.env.TANDEM_INVOKE_MODE !== "BUFFERED" } = options;
  if (!streamifyResponse || !HttpResponseStream || !streaming) return flushing(answer);
  const answerStream = async (event: unknown, stream: ResponseStream, context: LambdaContext): Promise<void> => {
    if (kindOf(event) === "url") {
      const { http } = await service.started();
      const open = (head: HttpHead): Writable => HttpResponseStream.from(stream, head);
      if (!(await (await canary())?.stream(event, context, open))) await http.stream(event, context, open);
      return;
    }
    if (kindOf(event) === "call") {
      const { ITEMS_TYPE, wantsItems } = await import("./invocation.ts");
      if (wantsItems(event)) {
        const { streamInvocation } = await import("./stream-invocation.ts");
        stream.setContentType(ITEMS_TYPE);
        return streamInvocation(service, event, context, stream);
      }
    }
    const text = JSON.stringify(await answer(event, context));
    stream.setContentType("application/json");
    stream.end(text);
  };
  return streamifyResponse(flushing(answerStream));
}

async function answerEvent(
  service: WarmService,
  event: unknown,
  context: LambdaContext,
  canary: OpenRouter,
): Promise<unknown> {
  const kind = kindOf(event);
  if (kind === "sqs" || kind === "records")
    throw new TypeError("a batch of records came to the service's own handler: give its event source sqsHandler()");
  if (kind === "unknown") return { error: unknownEvent(event).toJSON() };
  if (kind === "probe") return { ready: await isReady(service) };
  const started = await service.started().catch((cause: unknown) => {
    if (kind === "call") return ServiceError.from(cause);
    throw cause;
  });
  if (ServiceError.is(started)) return { error: started.toJSON() };
  if (kind === "call") {
    const { answerInvocation } = await import("./answer-invocation.ts");
    using uploads = started.uploads?.reader();
    return await answerInvocation(started.calls, event, context, service.checks, uploads);
  }
  const split = kind === "url" ? await (await canary())?.result(event, context) : undefined;
  return split ?? started.http.result(event, context);
}

async function isReady(service: WarmService): Promise<boolean> {
  try {
    return await (await service.started()).host.ready();
  } catch {
    return false;
  }
}

function unknownEvent(event: unknown): ServiceError {
  return new ServiceError(
    "INVALID_ARGUMENT",
    `the event is none that this function takes, but ${describe(event)}: a call is {"api": "...", "input": {...}}`,
  );
}
