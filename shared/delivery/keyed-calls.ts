import { ServiceError } from "../errors/service-error.ts";
import type { IncomingCall, ServiceHost } from "../service/host.ts";
import { childTraceparent } from "../service/trace.ts";
import { parseInput } from "../service/validation.ts";
import type { Transport } from "../transport/transport.ts";

/** What runs the calls that come to a server. */
export type Calls = Pick<ServiceHost, "service" | "call">;

/** The way to a service's own queue. */
export type KeyedQueue = Pick<Transport, "call">;

/**
 * A host whose calls with an idempotency key travel by the service's own queue, so that they are computed once whichever
 * worker they come to, and again by another when one dies. All others it runs itself.
 */
export function keyedCalls(host: ServiceHost, queue: KeyedQueue): Calls {
  const { service } = host;
  return {
    service,
    call: async (name, input, incoming: IncomingCall = {}) => {
      const { idempotencyKey, signal, callId, traceparent, accept, progress } = incoming;
      const api = Object.hasOwn(service.apis, name) ? service.apis[name] : undefined;
      if (idempotencyKey === undefined || !api) return host.call(name, input, incoming);
      if (!/^[\x21-\x7e]{1,255}$/.test(idempotencyKey))
        throw new ServiceError("INVALID_ARGUMENT", "the Idempotency-Key must be 1 to 255 visible ASCII characters");
      const own = Date.now() + service.traffic.timeout * 1000;
      return queue.call({
        service,
        api: name,
        input: parseInput(api.input, input),
        deadline: Math.min(own, incoming.deadline ?? own),
        signal,
        callId: callId ?? crypto.randomUUID(),
        traceparent: childTraceparent(traceparent),
        idempotencyKey,
        accept,
        progress,
      });
    },
  };
}
