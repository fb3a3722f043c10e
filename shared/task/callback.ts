import http from "node:http";
import https from "node:https";
import pRetry, { AbortError } from "p-retry";
import { useAgent } from "request-filtering-agent";
import { Webhook } from "standardwebhooks";
import type { CallMessage } from "../delivery/call-message.ts";
import type { CallObjects } from "../delivery/call-objects.ts";
import { ServiceError, type ServiceErrorJson } from "../errors/service-error.ts";
import { log } from "../observability/log.ts";
import type { Service } from "../service/contract.ts";
import { type CallbackSettings, callbackSettings, checkCallbackUrl, refused } from "./callback-url.ts";
import { isoTime, readRecord, stateOf, type TaskState } from "./task-record.ts";

export { checkCallbackUrl } from "./callback-url.ts";

/** What a callback URL is told. Times are ISO 8601. */
export interface CallbackBody {
  readonly task_id: string;
  readonly service: string;
  readonly api: string;
  readonly status: TaskState;
  readonly created_at: string | null;
  readonly executed_at: string | null;
  readonly completed_at: string;
  readonly error?: ServiceErrorJson;
}

export interface SendOptions {
  /** Names the event: the same for every try, so that its receiver knows what it has had. */
  readonly id: string;
  /** Base64, `whsec_` before it or not. */
  readonly secret: string;
  readonly signal?: AbortSignal | undefined;
  readonly allowPrivate?: boolean | undefined;
  /** Milliseconds until the second try; each wait after is twice as long. Default 1000. */
  readonly backoffMs?: number | undefined;
}

const TRY_MS = 10_000;
const TRIES = 5;

/**
 * Posts an event as Standard Webhooks says (https://www.standardwebhooks.com): signed, until the receiver answers 2xx, five
 * times at most. Redirects are not followed, and only public addresses are connected to.
 * @returns false where the receiver answered 410: it wants no more.
 * @throws ServiceError UNAVAILABLE when every try failed, PERMISSION_DENIED for a private address, INVALID_ARGUMENT for
 * what is no callback URL, the signal's reason.
 */
export async function sendCallback(url: string, body: CallbackBody, options: SendOptions): Promise<boolean> {
  const { secret, signal, allowPrivate = false, backoffMs = 1000 } = options;
  checkCallbackUrl(url, { secret, allowPrivate });
  const once = async (): Promise<boolean> => {
    const status = await post(url, JSON.stringify(body), options);
    if (status === 410) return false;
    if (status >= 200 && status < 300) return true;
    throw new Error(`it answered ${status}`);
  };
  try {
    return await pRetry(once, {
      retries: TRIES - 1,
      minTimeout: backoffMs,
      randomize: true,
      ...(signal && { signal }),
    });
  } catch (cause) {
    signal?.throwIfAborted();
    if (ServiceError.is(cause)) throw cause;
    const why = (cause as Error).message;
    throw new ServiceError("UNAVAILABLE", `the callback URL could not be told: ${why}`, { cause });
  }
}

/**
 * Tells a finished task's callback URL how it ended. A message that comes twice is told once, as a rule: at least once is
 * what holds, and the id is the same.
 * @throws ServiceError UNAVAILABLE where that should be tried again later.
 */
export async function deliverCallback(
  call: CallMessage,
  objects: CallObjects,
  service: Service,
  settings: CallbackSettings = callbackSettings(),
): Promise<void> {
  const { id, api, callback } = call;
  if (callback === undefined) return;
  const said = { id, api, call_id: call.callId };
  const told = `${service.name}/callbacks/${id}`;
  if (await objects.store.has(told)) return;
  const result = await objects.result(id);
  if (!result) return log.warn(said, "a callback has nothing to tell: the task has no result");
  if (settings.secret === undefined)
    return log.error(said, "a callback cannot be signed: set TANDEM_WEBHOOK_SECRET on every process of the service");
  const record = await readRecord(objects.store, service.name, id);
  const body: CallbackBody = {
    task_id: id,
    service: service.name,
    api,
    status: stateOf(result, undefined),
    created_at: record ? isoTime(record.createdAt) : null,
    executed_at: result.startedAt === undefined ? null : isoTime(result.startedAt),
    completed_at: isoTime(result.finishedAt),
    ...(result.error && { error: result.error }),
  };
  try {
    const { secret, allowPrivate } = settings;
    const wanted = await sendCallback(callback, body, { id, secret, allowPrivate });
    if (!wanted) log.info(said, "a callback URL wants no more: it answered 410");
    await objects.store.put(told, [Buffer.from(isoTime(Date.now()))]);
  } catch (error) {
    // These would be the same the next time.
    if (ServiceError.is(error) && error.code !== "UNAVAILABLE")
      return log.warn({ ...said, code: error.code }, `a callback was given up: ${error.message}`);
    throw error;
  }
}

/** One try: gives the status. */
function post(url: string, body: string, { id, secret, signal, allowPrivate = false }: SendOptions): Promise<number> {
  const target = new URL(url);
  const at = new Date();
  const inTime = AbortSignal.timeout(TRY_MS);
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const request = (target.protocol === "https:" ? https : http).request(
    target,
    {
      method: "POST",
      agent: useAgent(target.href, { allowPrivateIPAddress: allowPrivate }),
      signal: signal ? AbortSignal.any([inTime, signal]) : inTime,
      headers: {
        "content-type": "application/json",
        "content-length": Buffer.byteLength(body),
        "user-agent": "tandem",
        "webhook-id": id,
        "webhook-timestamp": String(Math.floor(at.getTime() / 1000)),
        "webhook-signature": new Webhook(secret).sign(id, at, body),
      },
    },
    (response) => {
      resolve(response.statusCode ?? 0);
      // Nobody reads what else it says, and it may say it for ever.
      response.destroy();
    },
  );
  request.on("error", (error) => {
    if (/is not allowed\. Because/.test(error.message)) reject(new AbortError(refused(target.hostname)));
    else reject(inTime.aborted ? new Error(`it did not answer within ${TRY_MS / 1000} s`) : error);
  });
  request.end(body);
  return promise;
}
